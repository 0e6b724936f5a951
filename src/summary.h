/* What a person reads after a fit or a prediction: what was clustered, how the inertia fell, how large the clusters
 * are, what to do next.
 *
 * The figures travel in lloyd_fit_result, fixed in size, so that a program which calls lloyd_fit()
 * has them too and has nothing to free.
 */
#ifndef LLOYD_SUMMARY_H
#define LLOYD_SUMMARY_H

#include "lloyd.h"

#include <stdio.h>

/* Fills in what follows from the history and the counts: iterations, first_inertia, curve,
 * curve_points, iteration_seconds, smallest, median, largest, empty_clusters, size_bins. inertia
 * and seconds [iterations], counts [k], k >= 1. */
lloyd_status lloyd_summary_describe(const double *inertia, const double *seconds,
                                    int64_t iterations, const int64_t *counts, int64_t k,
                                    lloyd_fit_result *result);

/* Prints the summary. `ranks`: how many took part. fancy: 1 where the reader's terminal shows block
 * characters of Unicode. */
void lloyd_summary_print(FILE *out, const lloyd_fit_options *options,
                         const lloyd_fit_result *result, int ranks, int fancy);

/* The same of a prediction. */
void lloyd_summary_print_prediction(FILE *out, const lloyd_predict_options *options,
                                    const lloyd_predict_result *result, int ranks);

#endif
