/* How far the groups of centroids have moved. */
#ifndef LLOYD_KERNELS_CUDA_PRUNE_MOVE_H
#define LLOYD_KERNELS_CUDA_PRUNE_MOVE_H

#include "kernels/cuda/prune/prune.h"
#include "kernels/cuda/state.h"

/* Adds to the drift of each group how far its fastest centroid has moved since the last call, from `before`, which becomes the current
 * centroids; and makes room in the bounds where drift has become large. */
lloyd_status lloyd_cuda_prune_move(cuda_kernels *cuda, cuda_prune *s);

#endif
