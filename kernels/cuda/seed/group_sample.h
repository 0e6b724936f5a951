/* Rounds of kmeans|| in groups of rows. */
#ifndef LLOYD_KERNELS_CUDA_SEED_GROUP_SAMPLE_H
#define LLOYD_KERNELS_CUDA_SEED_GROUP_SAMPLE_H

#include "kernels/cuda/state.h"

lloyd_status lloyd_cuda_groups_sample(lloyd_kernels *kernels, const lloyd_group_draw *draws,
                                      int round, int64_t room, int64_t *rows, int64_t *counts);

#endif
