/* The CUDA kernels as the rest of the program sees them, in C. Only in builds with CUDA. */
#ifndef LLOYD_KERNELS_CUDA_CUDA_H
#define LLOYD_KERNELS_CUDA_CUDA_H

#include "kernels/kernels.h"

#include <stdint.h>

/* GPU number `device`: tensor cores for the filter, compute capability 8.0 or newer. Rows and
 * weights are copied to it. */
lloyd_status lloyd_kernels_cuda(const lloyd_kernels_config *config, int device,
                                lloyd_kernels **kernels);

/* Bytes of the GPU's memory lloyd_kernels_cuda() and everything it does with at most `set`
 * centroids at a time allocates: weights if the configuration has any, but neither the rows in the
 * slots, which are as large as what is loaded, nor seeding's LLOYD_SEED_ROW_BYTES a row, nor what reduce() takes.
 * Besides, it pins lloyd_device.pinned bytes of the host's memory. */
int64_t lloyd_kernels_cuda_bytes(const lloyd_kernels_config *config, int64_t set);

/* Centroids that share bounds where the configuration has these: more than config->prune_group where there would be too many groups, 0 where that is 0. */
int64_t lloyd_kernels_cuda_prune_group(const lloyd_kernels_config *config);

#endif
