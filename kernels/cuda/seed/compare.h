/* Seeding: rows compared with the centroids chosen so far; see kernels.h. */
#ifndef LLOYD_KERNELS_CUDA_SEED_COMPARE_H
#define LLOYD_KERNELS_CUDA_SEED_COMPARE_H

#include "kernels/cuda/state.h"

lloyd_status lloyd_cuda_seed_compare(lloyd_kernels *kernels, int slot, int64_t base, double *mass);
lloyd_status lloyd_cuda_seed_try(lloyd_kernels *kernels, int slot, int exponent, int bits,
                                 int64_t *totals);

#endif
