/* What follows from the sums: inertia and new centroids. */
#ifndef LLOYD_KERNELS_CUDA_UPDATE_MEANS_H
#define LLOYD_KERNELS_CUDA_UPDATE_MEANS_H

#include "kernels/cuda/state.h"

lloyd_status lloyd_cuda_inertia(lloyd_kernels *kernels, lloyd_dd squares, lloyd_found *found);
lloyd_status lloyd_cuda_update_means(lloyd_kernels *kernels);
lloyd_status lloyd_cuda_empty_clusters(lloyd_kernels *kernels, int64_t count, int32_t *clusters);
lloyd_status lloyd_cuda_relocate(lloyd_kernels *kernels, int32_t from, int32_t to,
                                 const int64_t *words);
/* To be called by all but means.cu that change sums, grid or centroids: what inertia() computed
 * ahead of update_means() is void. */
void lloyd_cuda_means_stale(cuda_kernels *cuda);
void lloyd_cuda_means_free(cuda_kernels *cuda);
/* Bytes that means.cu allocates for sets of at most `set` centroids. */
int64_t lloyd_cuda_means_bytes(const lloyd_kernels_config *config, int64_t set);
/* Bytes that relocate() allocates while it runs. */
int64_t lloyd_cuda_relocation_bytes(const lloyd_kernels_config *config);

#endif
