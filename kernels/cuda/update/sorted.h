/* Rows summed in the order of their labels. */
#ifndef LLOYD_KERNELS_CUDA_UPDATE_SORTED_H
#define LLOYD_KERNELS_CUDA_UPDATE_SORTED_H

#include "kernels/cuda/state.h"

/* Sorts rows [at, at + count) of a slot by label, and adds them. */
lloyd_status lloyd_cuda_add_sorted(cuda_kernels *cuda, int slot, int64_t at, int64_t count);

#endif
