/* Groups of centroids, found on the host while the GPU goes through iterations. */
#ifndef LLOYD_KERNELS_CUDA_PRUNE_GROUPING_H
#define LLOYD_KERNELS_CUDA_PRUNE_GROUPING_H

#include "kernels/cuda/prune/prune.h"

/* Begins with the current centroids, unless it has begun. s->group_centroids is set. */
lloyd_status lloyd_cuda_grouping_begin(cuda_kernels *cuda, cuda_prune *s);
/* Whether it need not be waited for. */
bool lloyd_cuda_grouping_done(const cuda_prune *s);
/* Waits for it; s->order and s->place. */
lloyd_status lloyd_cuda_grouping_end(cuda_kernels *cuda, cuda_prune *s);
/* Also while it is under way. */
void lloyd_cuda_grouping_free(cuda_prune *s);

#endif
