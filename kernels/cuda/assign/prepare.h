/* What the filter knows before it multiplies: the parts of cuda_filter (filter.h) that this module computes. */
#ifndef LLOYD_KERNELS_CUDA_ASSIGN_PREPARE_H
#define LLOYD_KERNELS_CUDA_ASSIGN_PREPARE_H

#include "kernels/cuda/assign/assign.h"
#include "kernels/cuda/assign/registry.h"
#include "kernels/cuda/rows.cuh"

/* Origin and scale from the rows of this slot. */
lloyd_status lloyd_cuda_choose_units(cuda_kernels *cuda, const cuda_rows &rows);
/* What the origin comes to in units of the filter, for the current shape. */
lloyd_status lloyd_cuda_filter_offsets(cuda_kernels *cuda);
/* The norms of the slot's rows. They stay when the rows go: what is loaded again is the same. */
lloyd_status lloyd_cuda_describe_slot(cuda_kernels *cuda, const cuda_slot &slot,
                                      const cuda_rows &rows);

/* Room for the image of `set` centroids, as they are padded. */
int64_t lloyd_cuda_padded_set(const cuda_assign_config &config, int64_t set);
/* Bytes of CUB's space for sorting `set` lengths. */
int64_t lloyd_cuda_length_sorter_bytes(int64_t set);
/* The operands of the centroids. inertia: as for lloyd_cuda_prepare(). */
lloyd_status lloyd_cuda_prepare_image(cuda_kernels *cuda, const float *centroids,
                                      const cuda_inertia &inertia);

#endif
