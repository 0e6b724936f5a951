/* What follows from the sums: inertia and centroids. */
#ifndef LLOYD_KERNELS_CPU_MEANS_H
#define LLOYD_KERNELS_CPU_MEANS_H

#include "kernels/cpu/cpu.h"

/* Of the table in kernels.h. */
lloyd_status lloyd_cpu_inertia(lloyd_kernels *kernels, lloyd_dd squares, lloyd_found *found);
lloyd_status lloyd_cpu_update(lloyd_kernels *kernels);
lloyd_status lloyd_cpu_empty_clusters(lloyd_kernels *kernels, int64_t count, int32_t *clusters);

#endif
