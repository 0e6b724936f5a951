/* First bounds of rows, from the distances between centroids: docs/numerics.md, section 2.8, "First bounds". */
#ifndef LLOYD_KERNELS_CUDA_PRUNE_APART_H
#define LLOYD_KERNELS_CUDA_PRUNE_APART_H

#include "kernels/cuda/prune/own.h"
#include "kernels/cuda/prune/prune.h"

/* Whether finding these distances takes little of the time of an iteration without pruning. */
bool lloyd_cuda_apart_serves(const lloyd_kernels_config *config, int64_t set);
/* Device memory for it. */
void lloyd_cuda_apart_list(cuda_buffers &buffer, cuda_apart *a, const lloyd_kernels_config *config,
                           int64_t set, int groups);
/* Raises the bounds of the launch's rows to what follows from the distances between the current centroids, which are found if they are
 * not there. After lloyd_cuda_prune_look(). */
lloyd_status lloyd_cuda_apart_begin(cuda_kernels *cuda, const prune_own &own);

#endif
