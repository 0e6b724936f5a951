/* When iterations are pruned. */
#ifndef LLOYD_KERNELS_CUDA_PRUNE_CHOICE_H
#define LLOYD_KERNELS_CUDA_PRUNE_CHOICE_H

#include "kernels/cuda/prune/prune.h"

/* Whether this iteration's rows are pruned. Chooses once for a set of centroids, and may look at rows for that. */
lloyd_status lloyd_cuda_prune_choose(cuda_kernels *cuda, int slot, const cuda_decision &d,
                                     bool iteration, bool *pruned);
/* What an iteration has counted, of this rank. */
void lloyd_cuda_prune_counted(cuda_kernels *cuda, const int64_t counters[LLOYD_COUNTERS]);

#endif
