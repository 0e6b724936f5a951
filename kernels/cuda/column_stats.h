/* Passes over the columns of a slot; see kernels.h. */
#ifndef LLOYD_KERNELS_CUDA_COLUMN_STATS_H
#define LLOYD_KERNELS_CUDA_COLUMN_STATS_H

#include "kernels/cuda/state.h"

lloyd_status lloyd_cuda_measure(lloyd_kernels *kernels, int slot, lloyd_range *range);
lloyd_status lloyd_cuda_measure_weighted(lloyd_kernels *kernels, int slot,
                                         lloyd_product_range *range);
lloyd_status lloyd_cuda_squares(lloyd_kernels *kernels, int slot, int64_t *words);

#endif
