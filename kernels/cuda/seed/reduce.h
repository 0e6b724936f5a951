/* The last step of kmeans||; see kernels.h. */
#ifndef LLOYD_KERNELS_CUDA_SEED_REDUCE_H
#define LLOYD_KERNELS_CUDA_SEED_REDUCE_H

#include "kernels/cuda/cuda.h"

lloyd_status lloyd_cuda_reduce(lloyd_kernels *kernels, const lloyd_reduction *reduction,
                               const lloyd_leaf *leaves, int64_t count, int64_t *done);

#endif
