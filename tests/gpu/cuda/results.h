/* Labels and what follows from them: counts, distances, the farthest rows. */
#ifndef RESULTS_H
#define RESULTS_H

#include "problem.h"

typedef struct far_list {
    int64_t want, count;
    lloyd_far_row *rows;
} far_list;

/* chunk_work; out: double[n] */
lloyd_status distances_of_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *out);

int compare_labels(problem *p);

/* The `want` farthest rows. The caller frees list[CPU].rows. */
int find_farthest(problem *p, int64_t want, far_list list[SIDES]);

/* All but the labels. */
int compare_results(problem *p);

#endif
