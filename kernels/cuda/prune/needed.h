/* Which rows of a chunk that comes from host memory an iteration with pruning needs: all others keep their labels, and are not copied. */
#ifndef LLOYD_KERNELS_CUDA_PRUNE_NEEDED_H
#define LLOYD_KERNELS_CUDA_PRUNE_NEEDED_H

#include "kernels/cuda/prune/prune.h"
#include "kernels/cuda/state.h"

/* Lists the arrays of cuda_prune that it takes, where `serves`. */
void lloyd_cuda_needed_list(cuda_buffers &buffer, cuda_prune *s, const lloyd_kernels_config *config,
                            int64_t set, bool serves);

/* Copies the rows that the iteration that has begun needs from `rows`, in host memory, into a slot, which has its `first` and `count`
 * already. *done: false if all rows have to be copied in the usual way. Enqueued on cuda->copies, after what cuda->stream has before. */
lloyd_status lloyd_cuda_bring_needed(cuda_kernels *cuda, int slot, const void *rows, bool *done);

/* The bits of a slot's rows, the first one that of row `first` / 8 * 8: whether they are needed. NULL: all are. */
const uint8_t *lloyd_cuda_needed_bits(const cuda_kernels *cuda, int slot);

#endif
