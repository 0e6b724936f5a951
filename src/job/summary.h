/* What a person reads after a fit or a prediction: what was clustered, how the inertia fell, how large the clusters
 * are, what to do next.
 *
 * The figures travel in lloyd_fit_result, fixed in size, so that a program which calls lloyd_fit()
 * has them too and has nothing to free.
 */
#ifndef LLOYD_SUMMARY_H
#define LLOYD_SUMMARY_H

#include "io/writers/model.h"
#include "lloyd/lloyd.h"

#include <stdio.h>

/* Fills in what follows from the history and the counts: iterations, first_inertia, curve,
 * curve_points, iteration_seconds, resumed_seconds, smallest, median, largest, empty_clusters,
 * size_bins. inertia and seconds [iterations], of which the first result->resumed_iterations were
 * not done by this call; counts [k], k >= 1. */
lloyd_status lloyd_summary_describe(const double *inertia, const double *seconds,
                                    int64_t iterations, const int64_t *counts, int64_t k,
                                    lloyd_fit_result *result);

/* How many distinct rows there are, where a result shows that they are fewer than k; else 0. An inertia
 * of exactly 0 says that every row equals its centroid, and equal rows have one label: each cluster
 * that is not empty is a distinct row. This holds for l2 without a limit of sizes, where every row has a
 * weight above 0. */
int64_t lloyd_summary_distinct(double inertia, int64_t k, int64_t empty);

/* The same of a model in a file. */
int64_t lloyd_summary_model_distinct(const lloyd_model *model, int64_t empty);

/* "only 10 distinct rows, 90 clusters are empty" */
const char *lloyd_summary_shortage(int64_t distinct, int64_t empty, char *text, size_t bytes);

/* What --max-size has done, of n rows: "1,234 rows (0.6 %) were moved to keep clusters at 293 rows or less;
 * inertia 1.2 % higher" */
typedef struct lloyd_summary_sizes {
    int64_t n, largest_allowed, moved_rows;
    double before, inertia;
} lloyd_summary_sizes;

const char *lloyd_summary_moved(const lloyd_summary_sizes *sizes, char *text, size_t bytes);

/* Prints the summary. `ranks`: how many took part. fancy: 1 where the reader's terminal shows block
 * characters of Unicode. */
void lloyd_summary_print(FILE *out, const lloyd_fit_options *options,
                         const lloyd_fit_result *result, int ranks, int fancy);

/* The same of a prediction. */
void lloyd_summary_print_prediction(FILE *out, const lloyd_predict_options *options,
                                    const lloyd_predict_result *result, int ranks);

/* One line about a selection. */
void lloyd_summary_print_selection(FILE *out, const lloyd_select_options *options,
                                   const lloyd_select_result *result);

/* What a split has made. */
void lloyd_summary_print_split(FILE *out, const lloyd_split_options *options,
                               const lloyd_split_result *result, int ranks);

#endif
