/* Sums of the columns that have more than two digits. */
#ifndef LLOYD_KERNELS_CUDA_UPDATE_WIDE_H
#define LLOYD_KERNELS_CUDA_UPDATE_WIDE_H

#include "kernels/cuda/update/sort.h"

/* Adds all digits of the columns that have more than two, and of masses that have. Rows
 * [at, at + count) of the slot, sorted. */
lloyd_status lloyd_cuda_add_wide(cuda_kernels *cuda, int slot, int64_t at, int64_t count,
                                 const cuda_sorted &sorted);

/* The same of the rows of the slot that have moved, which it takes out of the sums of cuda->summed too; that stays as it
 * is. By so many blocks, at least one. */
lloyd_status lloyd_cuda_move_wide(cuda_kernels *cuda, int slot, int64_t blocks);

#endif
