/* Rows of a slot by label. */
#ifndef LLOYD_KERNELS_CUDA_UPDATE_SORT_H
#define LLOYD_KERNELS_CUDA_UPDATE_SORT_H

#include "kernels/cuda/state.h"

/* Rows in the order of their labels; the arrays belong to cuda->sorter. */
struct cuda_sorted {
    const uint32_t *labels; /* [count] */
    const uint32_t *order;  /* [count] row numbers */
};
/* How many rows can be sorted at a time. */
int64_t lloyd_cuda_sorted_rows(const lloyd_kernels_config *config);
/* *sorted = the rows of labels[0, count), count <= sorted_rows(), numbered from 0; on the stream.
 * Every label is in [0, K). Rows of equal label are in any order. */
lloyd_status lloyd_cuda_sort(cuda_kernels *cuda, const int32_t *labels, int64_t count,
                             cuda_sorted *sorted);
void lloyd_cuda_sorter_free(cuda_kernels *cuda);
/* Bytes that this allocates: none where nothing is sorted. */
int64_t lloyd_cuda_sorter_bytes(const lloyd_kernels_config *config);

#endif
