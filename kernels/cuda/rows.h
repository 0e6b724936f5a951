/* Lengths of rows, and rows on their way out. */
#ifndef LLOYD_KERNELS_CUDA_ROWS_H
#define LLOYD_KERNELS_CUDA_ROWS_H

#include "kernels/cuda/state.h"

/* The lengths of rows [at, at + count) of a slot, for cosine. */
lloyd_status lloyd_cuda_lengths(cuda_kernels *cuda, int slot, int64_t at, int64_t count);
/* gathered[count * D], in device memory, = these rows of the slot as kernels see them. */
lloyd_status lloyd_cuda_gather(const cuda_kernels *cuda, int slot, const int64_t *rows,
                               int64_t count, float *gathered);
/* kernels.h */
lloyd_status lloyd_cuda_set_grid(lloyd_kernels *kernels, const lloyd_grid *grid);
lloyd_status lloyd_cuda_rows(lloyd_kernels *kernels, int slot, const int64_t *rows, int64_t count,
                             float *out);
lloyd_status lloyd_cuda_take(lloyd_kernels *kernels, int slot, const int64_t *rows, int64_t count,
                             lloyd_kernels *to, int to_slot, int64_t at);

#endif
