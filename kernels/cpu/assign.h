/* Filter, certificate and fallback pass. */
#ifndef LLOYD_KERNELS_CPU_ASSIGN_H
#define LLOYD_KERNELS_CPU_ASSIGN_H

#include "kernels/cpu/cpu.h"

/* Up to this many centroids dist() to all of them is cheaper than a filter. */
enum { LLOYD_CPU_FEW = 4 };

/* The memory of a set of at most `count` centroids, but for cpu->int8. */
void lloyd_cpu_list_set(cpu_buffers *buffers, cpu_kernels *cpu, int64_t count);

/* Derives the filter's view of the set from cpu->centroids. */
lloyd_status lloyd_cpu_prepare(cpu_kernels *cpu);

/* Labels the rows of a slot with the nearest member of the current set, of any size. Adds to
 * counters[LLOYD_COUNTERS]. */
void lloyd_cpu_nearest(cpu_kernels *cpu, int slot, int64_t *counters);

/* Of the table in kernels.h. */
lloyd_status lloyd_cpu_set_centroids(lloyd_kernels *kernels, int64_t count, const float *centroids);
lloyd_status lloyd_cpu_assign(lloyd_kernels *kernels, int slot);

#endif
