/* The last step of kmeans||, in C; see kernels.h. */
#ifndef LLOYD_KERNELS_CUDA_SEED_REDUCE_H
#define LLOYD_KERNELS_CUDA_SEED_REDUCE_H

#include "kernels/kernels.h"

#include <stdint.h>

lloyd_status lloyd_cuda_reduce(lloyd_kernels *kernels, const lloyd_reduction *reduction,
                               const lloyd_leaf *leaves, int64_t count, int64_t *done);

/* Bytes of the GPU's memory that reduce() takes for `leaves` leaves at a time, of at most `count` points.
 */
int64_t lloyd_cuda_reduce_bytes(int64_t count, int64_t dim, int64_t leaves);

#endif
