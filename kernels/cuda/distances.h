/* Distances of rows to their own centroids, and histograms of numbers. */
#ifndef LLOYD_KERNELS_CUDA_DISTANCES_H
#define LLOYD_KERNELS_CUDA_DISTANCES_H

#include "kernels/cuda/state.h"

lloyd_status lloyd_cuda_count_labels(lloyd_kernels *kernels, int64_t *counts);
lloyd_status lloyd_cuda_distances(lloyd_kernels *kernels, int slot, double *out);
lloyd_status lloyd_cuda_distance_span(lloyd_kernels *kernels, int slot, lloyd_span *span);
lloyd_status lloyd_cuda_total_distance(lloyd_kernels *kernels, int slot, int top, int bits,
                                       int count, int64_t *total);
lloyd_status lloyd_cuda_farthest(lloyd_kernels *kernels, int slot, int64_t want,
                                 lloyd_far_row *list, int64_t *count);
/* counts[id] += 1, or with weights the fixed-point mass, for every local row whose ids[row] is below
 * `bins`. ids and weights in device memory, counts[bins] on the host. */
lloyd_status lloyd_cuda_histogram(cuda_kernels *cuda, const int32_t *ids, const float *weights,
                                  int64_t bins, int64_t *counts);
/* Bytes that any of these allocates while it runs. */
int64_t lloyd_cuda_distances_bytes(const lloyd_kernels_config *config);

#endif
