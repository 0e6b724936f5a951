/* Which filter is the faster one. */
#ifndef LLOYD_KERNELS_CUDA_INT8_CHOICE_H
#define LLOYD_KERNELS_CUDA_INT8_CHOICE_H

#include "kernels/cuda/state.h"

struct cuda_decision;

/* Whether the 8-bit filter labels rows of an iteration (else: of something else). Chooses once for a set of centroids. */
bool lloyd_cuda_choose_filter(cuda_kernels *cuda, bool iteration);
/* Tries the 8-bit filter on some rows of the slot, if it is time to; their labels are still those of the last iteration. *int8 = true: it
 * labels rows of this iteration. */
lloyd_status lloyd_cuda_try_int8(cuda_kernels *cuda, int slot, const cuda_decision &d, bool *int8);
/* Whether labelling this slot by the chosen filter is to be measured, into choice.labelling. */
bool lloyd_cuda_measures(const cuda_kernels *cuda);
/* What the last iteration has counted, of this rank. The stream has passed it, and what was measured is read. */
lloyd_status lloyd_cuda_counted(cuda_kernels *cuda, const int64_t counters[LLOYD_COUNTERS]);
/* Nanoseconds that an assignment of so many rows takes without pruning, by the faster filter, about. */
double lloyd_cuda_dense_cost(const cuda_kernels *cuda, double rows);
/* What all candidates, and rows that are left open, add to that of the 8-bit filter. */
double lloyd_cuda_candidate_cost(const cuda_kernels *cuda, double candidates, double open);
/* Other centroids, and labels that follow from an iteration or not. */
void lloyd_cuda_choose_anew(cuda_kernels *cuda, bool labelled);

#endif
