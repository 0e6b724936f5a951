/* Which filter is the faster one. */
#ifndef LLOYD_KERNELS_CUDA_INT8_CHOICE_H
#define LLOYD_KERNELS_CUDA_INT8_CHOICE_H

#include "kernels/cuda/state.h"

/* Whether the 8-bit filter labels rows of an iteration (else: of something else). Chooses once for a set of centroids. */
lloyd_status lloyd_cuda_choose_filter(cuda_kernels *cuda, int slot, bool iteration, bool *int8);
/* What the last iteration has counted, over all ranks, which have so many rows; 0: not known. */
void lloyd_cuda_counted(cuda_kernels *cuda, const int64_t counters[LLOYD_COUNTERS], double rows);
/* Nanoseconds that an assignment of so many rows takes without pruning, by the faster filter, about. */
double lloyd_cuda_dense_cost(const cuda_kernels *cuda, double rows);
/* What all candidates, and rows that are left open, add to that of the 8-bit filter. */
double lloyd_cuda_candidate_cost(const cuda_kernels *cuda, double candidates, double open);
/* Other centroids, and labels that follow from an iteration or not. */
void lloyd_cuda_choose_anew(cuda_kernels *cuda, bool labelled);

#endif
