/* What a fit writes of its rows, beside the model: labels, distances, members of the clusters. */
#ifndef LLOYD_ROW_RESULTS_H
#define LLOYD_ROW_RESULTS_H

#include "algorithm/problem.h"
#include "io/rows.h"
#include "io/writers/output.h"
#include "io/writers/row_outputs.h"

#include <stdint.h>

typedef struct lloyd_row_results {
    lloyd_problem *problem;
    const lloyd_rows *rows; /* their places in the dataset */
    lloyd_row_outputs wanted;
    const int32_t *labels; /* [rows of this rank]; NULL: those of the kernels */
    int rounds;            /* of the members: members.h */
    double *distances;     /* [rows of this rank] to the centroids of their labels, or NULL */
    double
        members_seconds; /* what lloyd_row_results_write() took to group and to sort the members */
} lloyd_row_results;

/* 1 where lloyd_row_results_measure() is needed. */
int lloyd_row_results_need_distances(const lloyd_row_outputs *wanted);

/* Measures the distances, in one pass over the rows; free them with lloyd_free(), also after a failure. Can be
 * stopped. Collective. */
lloyd_status lloyd_row_results_measure(lloyd_row_results *results);

/* Writes what is wanted, whose datasets are in the partial file. counts: [k] rows per cluster, of all ranks.
 * Collective. */
lloyd_status lloyd_row_results_write(lloyd_row_results *results, const lloyd_output *output,
                                     const int64_t *counts);

#endif
