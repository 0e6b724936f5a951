/* Distances of rows to their own centroids: as a result, as an exact total, and to find rows for
 * empty clusters. */
#ifndef LLOYD_KERNELS_CPU_DISTANCES_H
#define LLOYD_KERNELS_CPU_DISTANCES_H

#include "kernels/cpu/cpu.h"

/* Of the table in kernels.h. */
lloyd_status lloyd_cpu_distances(lloyd_kernels *kernels, int slot, double *out);
lloyd_status lloyd_cpu_distance_span(lloyd_kernels *kernels, int slot, lloyd_span *span);
lloyd_status lloyd_cpu_total_distance(lloyd_kernels *kernels, int slot, int top, int bits,
                                      int count, int64_t *total);
lloyd_status lloyd_cpu_farthest(lloyd_kernels *kernels, int slot, int64_t want, lloyd_far_row *list,
                                int64_t *count);

#endif
