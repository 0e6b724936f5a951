/* The summary of a fit or a prediction, for a person.
 *
 * Sizes are counted in classes by powers of two of the mean size n/k: a k-means clustering is
 * judged by how far its clusters are from even, and that is the same question at any n and k.
 */
#include "job/summary.h"

#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_size(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

/* The class of a size: 0 below an eighth of the mean, 1 below a quarter, ... 7 from eight times
 * the mean on. */
static int size_bin(int64_t size, double mean)
{
    int bin = 0;
    for (double limit = mean / 8; bin < LLOYD_SIZE_BINS - 1 && (double)size >= limit; limit *= 2)
        bin++;
    return bin;
}

static lloyd_status describe_sizes(const int64_t *counts, int64_t k, lloyd_fit_result *result)
{
    int64_t *sorted = malloc((size_t)k * sizeof *sorted);
    if (sorted == NULL)
        return lloyd_fail(LLOYD_FAILED, "no memory to sort the sizes of %lld clusters",
                          (long long)k);
    double rows = 0;
    memcpy(sorted, counts, (size_t)k * sizeof *sorted);
    qsort(sorted, (size_t)k, sizeof *sorted, by_size);
    for (int64_t i = 0; i < k; i++) rows += (double)counts[i];
    result->smallest = sorted[0];
    result->median = sorted[k / 2];
    result->largest = sorted[k - 1];
    result->empty_clusters = 0;
    memset(result->size_bins, 0, sizeof result->size_bins);
    for (int64_t i = 0; i < k; i++) {
        if (counts[i] == 0)
            result->empty_clusters++;
        else
            result->size_bins[size_bin(counts[i], rows / (double)k)]++;
    }
    free(sorted);
    return LLOYD_OK;
}

lloyd_status lloyd_summary_describe(const double *inertia, const double *seconds,
                                    int64_t iterations, const int64_t *counts, int64_t k,
                                    lloyd_fit_result *result)
{
    int points = iterations < LLOYD_CURVE_POINTS ? (int)iterations : LLOYD_CURVE_POINTS;
    result->iterations = iterations;
    result->first_inertia = iterations > 0 ? inertia[0] : 0;
    result->curve_points = points;
    /* Evenly over the iterations, the first and the last among them. */
    for (int i = 0; i < points; i++)
        result->curve[i] = inertia[points > 1 ? (int64_t)i * (iterations - 1) / (points - 1) : 0];
    int64_t before = result->resumed_iterations;
    double own = 0;
    result->resumed_seconds = 0;
    for (int64_t i = 0; i < iterations; i++)
        *(i < before ? &result->resumed_seconds : &own) += seconds[i];
    result->iteration_seconds = iterations > before ? own / (double)(iterations - before) : 0;
    return describe_sizes(counts, k, result);
}

int64_t lloyd_summary_distinct(double inertia, int64_t k, int64_t empty)
{
    return inertia == 0 && empty > 0 ? k - empty : 0;
}

/* Where the attribute is missing, as in models of 0.2, it may follow from others. A quote within a text of the
 * options would have a backslash before it. */
int64_t lloyd_summary_model_distinct(const lloyd_model *m, int64_t empty)
{
    if (m->distinct > 0 && m->distinct < m->k) return m->distinct;
    int known = *m->version && !m->cosine && m->max_size == 0 &&
                strstr(m->options, "\"weights\":null") != NULL;
    return known ? lloyd_summary_distinct(m->final_inertia, m->k, empty) : 0;
}

const char *lloyd_summary_shortage(int64_t distinct, int64_t empty, char *text, size_t bytes)
{
    char rows[32], clusters[32];
    snprintf(text, bytes, "only %s distinct row%s, %s cluster%s %s empty",
             lloyd_text_count(distinct, rows, sizeof rows), distinct == 1 ? "" : "s",
             lloyd_text_count(empty, clusters, sizeof clusters), empty == 1 ? "" : "s",
             empty == 1 ? "is" : "are");
    return text;
}

/* "0.6 %", of a number that is not 0 */
static const char *percent_of(double percent, char *text, size_t bytes)
{
    snprintf(text, bytes, percent >= 0.1 ? "%.1f %%" : "%.1g %%", percent);
    return text;
}

const char *lloyd_summary_moved(const lloyd_summary_sizes *s, char *text, size_t bytes)
{
    char rows[32], limit[32], share[32], more[64];
    const double higher = 100 * (s->inertia - s->before) / s->before;
    lloyd_text_count(s->largest_allowed, limit, sizeof limit);
    const char *noun = s->largest_allowed == 1 ? "row" : "rows";
    if (s->moved_rows == 0) {
        snprintf(text, bytes, "no row had to be moved to keep clusters at %s %s or less", limit,
                 noun);
        return text;
    }
    if (s->before > 0 && isfinite(higher) && higher > 0)
        snprintf(more, sizeof more, "%s higher", percent_of(higher, share, sizeof share));
    else
        snprintf(more, sizeof more, "%.5g instead of %.5g", s->inertia, s->before);
    snprintf(text, bytes, "%s row%s (%s) %s moved to keep clusters at %s %s or less; inertia %s",
             lloyd_text_count(s->moved_rows, rows, sizeof rows), s->moved_rows == 1 ? "" : "s",
             percent_of(100 * (double)s->moved_rows / (double)s->n, share, sizeof share),
             s->moved_rows == 1 ? "was" : "were", limit, noun, more);
    return text;
}

/* ---- Printing -------------------------------------------------------------------------- */

/* A line of blocks of eight heights, lowest value to highest, with `gap` before
 * each; a blank for 0. */
static void print_blocks(FILE *out, const char *gap, const double *values, int count)
{
    static const char *const block[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    double least = INFINITY, most = -INFINITY;
    for (int i = 0; i < count; i++) {
        least = fmin(least, values[i]);
        most = fmax(most, values[i]);
    }
    for (int i = 0; i < count; i++) {
        double height = most > least ? (values[i] - least) / (most - least) : 0;
        fprintf(out, "%s%s", gap, values[i] > 0 ? block[(int)(height * 7 + 0.5)] : " ");
    }
    fputc('\n', out);
}

/* The first, the last and up to three values between. */
static void print_values(FILE *out, const double *values, int count)
{
    int shown = count < 5 ? count : 5;
    for (int i = 0; i < shown - 1; i++)
        fprintf(out, "%.5g > ", values[i * (count - 1) / (shown - 1)]);
    fprintf(out, "%.5g", values[count - 1]);
    fputc('\n', out);
}

static void print_inertia(FILE *out, const lloyd_fit_result *result, int fancy)
{
    fprintf(out, "  inertia     ");
    if (result->curve_points == 0) {
        fprintf(out, "%.6g\n", result->inertia);
        return;
    }
    double first = result->first_inertia;
    double change = lloyd_text_change(first, result->inertia);
    fprintf(out, "%.6g, at first %.6g", result->inertia, first);
    if (isfinite(change) && result->k < result->n) fprintf(out, " (%+.1f %%)", change);
    fprintf(out, "\n              ");
    print_values(out, result->curve, result->curve_points);
    if (!fancy) return;
    fprintf(out, "              ");
    print_blocks(out, "", result->curve, result->curve_points);
}

static void print_iterations(FILE *out, const lloyd_fit_options *options,
                             const lloyd_fit_result *result)
{
    fprintf(out, "  iterations  %lld", (long long)result->iterations);
    if (result->converged)
        fprintf(out, ", converged%s\n", options->tol > 0 ? "" : ": no label changes any more");
    else if (result->iterations > 0)
        fprintf(out, ", stopped by --max-iters before it converged\n");
    else
        fputc('\n', out);
}

static void print_sizes(FILE *out, const lloyd_fit_result *result, int fancy)
{
    static const char *const range[LLOYD_SIZE_BINS] = {"< 1/8", "1/8-1/4", "1/4-1/2", "1/2-1",
                                                       "1-2",   "2-4",     "4-8",     ">= 8"};
    char a[96], b[32], c[32];
    fprintf(out, "  sizes       smallest %s, median %s, largest %s rows; ",
            lloyd_text_count(result->smallest, a, sizeof a),
            lloyd_text_count(result->median, b, sizeof b),
            lloyd_text_count(result->largest, c, sizeof c));
    if (result->empty_clusters > 0)
        fprintf(out, "%s empty\n", lloyd_text_count(result->empty_clusters, a, sizeof a));
    else
        fprintf(out, "none empty\n");
    if (result->distinct_rows > 0)
        fprintf(out, "              %s\n",
                lloyd_summary_shortage(result->distinct_rows, result->empty_clusters, a, sizeof a));
    if (result->k < 2) return;
    fprintf(out, "              clusters by cluster size / mean size:\n      ");
    for (int i = 0; i < LLOYD_SIZE_BINS; i++) fprintf(out, "%9s", range[i]);
    fprintf(out, "\n      ");
    for (int i = 0; i < LLOYD_SIZE_BINS; i++)
        fprintf(out, "%9s", lloyd_text_count(result->size_bins[i], a, sizeof a));
    fputc('\n', out);
    if (!fancy) return;
    double heights[LLOYD_SIZE_BINS];
    for (int i = 0; i < LLOYD_SIZE_BINS; i++) heights[i] = (double)result->size_bins[i];
    fprintf(out, "      ");
    print_blocks(out, "        ", heights, LLOYD_SIZE_BINS);
}

static void print_moved(FILE *out, const lloyd_fit_result *result)
{
    char text[256];
    const lloyd_summary_sizes sizes = {result->n, result->largest_allowed, result->moved_rows,
                                       result->inertia_before, result->inertia};
    if (result->largest_allowed > 0)
        fprintf(out, "  max size    %s\n", lloyd_summary_moved(&sizes, text, sizeof text));
}

/* The total is that of this call. What was done before a resumed fit is in the history too, perhaps by
 * other machines. */
static void print_time(FILE *out, const lloyd_fit_result *result)
{
    char each[32], all[32];
    int64_t before = result->resumed_iterations, own = result->iterations - before;
    fprintf(out, "  time        %s %s", lloyd_text_seconds(result->seconds, all, sizeof all),
            result->resumed ? "since it was resumed" : "in all");
    if (own > 0)
        fprintf(out, ", %s per iteration",
                lloyd_text_seconds(result->iteration_seconds, each, sizeof each));
    if (before > 0 && own == 1) fprintf(out, " (iteration %lld)", (long long)result->iterations);
    if (before > 0 && own > 1)
        fprintf(out, " (iterations %lld to %lld)", (long long)before + 1,
                (long long)result->iterations);
    fputc('\n', out);
    if (before > 0)
        fprintf(out, "              before that %s in iterations 1 to %lld, %s per iteration\n",
                lloyd_text_seconds(result->resumed_seconds, all, sizeof all), (long long)before,
                lloyd_text_seconds(result->resumed_seconds / (double)before, each, sizeof each));
}

static void print_input(FILE *out, const char *const *inputs, int count, int files, int ranks)
{
    fprintf(out, "  input       %s%s", count > 0 ? inputs[0] : "", count > 1 ? " ..." : "");
    if (files > 1) fprintf(out, " (%d files)", files);
    fprintf(out, "\n  ranks       %d\n", ranks);
}

static void print_skipped(FILE *out, int64_t skipped)
{
    char text[32];
    if (skipped > 0)
        fprintf(out, "  skipped     %s bad row%s, with the label -1\n",
                lloyd_text_count(skipped, text, sizeof text), skipped == 1 ? "" : "s");
}

static void print_clustering(FILE *out, const lloyd_fit_options *options,
                             const lloyd_fit_result *result, int ranks)
{
    char n[32], k[32], of[32] = "", all[32];
    if (result->stored > result->n + result->skipped)
        snprintf(of, sizeof of, " of %s", lloyd_text_count(result->stored, all, sizeof all));
    fprintf(out, "\nClustered %s%s rows x %lld columns%s%s into %s clusters\n",
            lloyd_text_count(result->n, n, sizeof n), of, (long long)result->d,
            result->type != NULL ? " of " : "", result->type != NULL ? result->type : "",
            lloyd_text_count(result->k, k, sizeof k));
    print_input(out, options->inputs, options->input_count, result->files, ranks);
    print_skipped(out, result->skipped);
    fprintf(out, "  seeding     %s, seed %llu", options->init, (unsigned long long)options->seed);
    if (options->n_init > 1) fprintf(out, ", the best of %lld runs", (long long)options->n_init);
    fputc('\n', out);
}

void lloyd_summary_print(FILE *out, const lloyd_fit_options *options,
                         const lloyd_fit_result *result, int ranks, int fancy)
{
    print_clustering(out, options, result, ranks);
    print_inertia(out, result, fancy);
    print_iterations(out, options, result);
    print_sizes(out, result, fancy);
    print_moved(out, result);
    print_time(out, result);
    fprintf(out, "  model       %s\n", options->output);
}

void lloyd_summary_print_prediction(FILE *out, const lloyd_predict_options *options,
                                    const lloyd_predict_result *result, int ranks)
{
    char n[32], k[32], time[32];
    fprintf(out, "Labelled %s rows x %lld columns of %s by %s centroids\n",
            lloyd_text_count(result->n, n, sizeof n), (long long)result->d, result->type,
            lloyd_text_count(result->k, k, sizeof k));
    print_input(out, options->inputs, options->input_count, result->files, ranks);
    print_skipped(out, result->skipped);
    fprintf(out, "  model       %s\n", options->model);
    fprintf(out, "  time        %s\n", lloyd_text_seconds(result->seconds, time, sizeof time));
    fprintf(out, "  labels      %s\n", options->output);
}

void lloyd_summary_print_selection(FILE *out, const lloyd_select_options *options,
                                   const lloyd_select_result *result)
{
    char selected[32], rows[32], dropped[32], touched[32], clusters[32];
    fprintf(out, "%s: %s of %s rows, from %s of %s clusters", options->output,
            lloyd_text_count(result->selected, selected, sizeof selected),
            lloyd_text_count(result->members, rows, sizeof rows),
            lloyd_text_count(result->touched, touched, sizeof touched),
            lloyd_text_count(result->clusters, clusters, sizeof clusters));
    if (options->near_duplicates > 0)
        fprintf(out, "; %s near-duplicates left out",
                lloyd_text_count(result->members - result->available, dropped, sizeof dropped));
    fprintf(out, "\n");
}

void lloyd_summary_print_split(FILE *out, const lloyd_split_options *options,
                               const lloyd_split_result *result, int ranks)
{
    char n[32], k[32], clusters[32], time[32], inertia[32];
    const double change = lloyd_text_change(result->parent_inertia, result->inertia);
    fprintf(out, "Split %s clusters of %s rows x %lld columns of %s into %s\n",
            lloyd_text_count(result->clusters, clusters, sizeof clusters),
            lloyd_text_count(result->n, n, sizeof n), (long long)result->d, result->type,
            lloyd_text_count(result->k, k, sizeof k));
    print_input(out, options->inputs, options->input_count, result->files, ranks);
    print_skipped(out, result->skipped);
    fprintf(out, "  model       %s\n", options->model);
    if (result->converged == result->clusters)
        fprintf(out, "  converged   all, in at most %lld iterations\n",
                (long long)result->most_iterations);
    else
        fprintf(out,
                "  converged   %s of %s clusters in %lld iterations; --max-iters allows more\n",
                lloyd_text_count(result->converged, n, sizeof n), clusters,
                (long long)result->most_iterations);
    fprintf(out, "  inertia     %s", lloyd_text_real(result->inertia, 4, inertia, sizeof inertia));
    if (isfinite(change)) fprintf(out, " (%.1f %% below that of the model)", -change);
    fprintf(out, "\n");
    if (result->resumed > 0)
        fprintf(out, "  resumed     %s of %s clusters are from %s\n",
                lloyd_text_count(result->resumed, n, sizeof n), clusters, options->checkpoint);
    if (result->empty > 0)
        fprintf(out, "  empty       %s of %s sub-clusters\n",
                lloyd_text_count(result->empty, n, sizeof n), k);
    fprintf(out, "  time        %s\n", lloyd_text_seconds(result->seconds, time, sizeof time));
    fprintf(out, "  output      %s\n", options->output);
}
