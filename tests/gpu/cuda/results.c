#include "results.h"

#include "differ.h"
#include "transfers.h"

#include "base/memory.h"
#include "kernels/numerics.h"

#include <math.h>

static double definition(const float *x, const float *c, int64_t d)
{
    double sums[LLOYD_LANES] = {0};
    for (int64_t j = 0; j < d; j++) {
        double t = (double)x[j] - (double)c[j];
        sums[j % LLOYD_LANES] = fma(t, t, sums[j % LLOYD_LANES]);
    }
    return lloyd_tree(sums, LLOYD_LANES);
}

/* Whether a wrong label is farther, or as far and not the smallest. */
static int explain_label(problem *p, int64_t row, int32_t a, int32_t b)
{
    int64_t d = p->c.d, k = p->c.k;
    int slot;
    if (!load(p, CPU, row / p->chunk_rows, &slot)) return 0;
    float *x = new_array(d, sizeof *x), *c = new_array(k * d, sizeof *c);
    lloyd_kernels *cpu = p->side[CPU];
    if (cpu->rows(cpu, slot, &row, 1, x) == LLOYD_OK && cpu->get_centroids(cpu, c) == LLOYD_OK) {
        print_error("        dist() of that row: to %d %a", a, definition(x, c + a * d, d));
        if (b >= 0 && b < k) print_error(", to %d %a", b, definition(x, c + b * d, d));
        print_error("\n");
    }
    lloyd_free(x);
    lloyd_free(c);
    return 0;
}

int compare_labels(problem *p)
{
    int64_t n = p->c.n, first, half = n / 2;
    int32_t *labels = new_array(SIDES * n, sizeof *labels);
    int good = 1;
    for (int s = 0; s < SIDES && good; s++) { /* in two parts: rows need not begin at 0 */
        lloyd_kernels *kernels = p->side[s];
        good = !failed(p, s, kernels->labels(kernels, half, n - half, labels + s * n + half),
                       "labels") &&
               !failed(p, s, kernels->labels(kernels, 0, half, labels + s * n), "labels");
    }
    if (good && !same_to(p, "labels", I32, labels, labels + n, n, 1, &first))
        good = explain_label(p, first, labels[first], labels[n + first]);
    lloyd_free(labels);
    return good;
}

static int compare_counts(problem *p)
{
    int64_t k = p->c.k, *counts = new_array(SIDES * k, sizeof *counts);
    int good = 1;
    for (int64_t i = 0; i < SIDES * k; i++) counts[i] = i % k; /* the function adds */
    for (int s = 0; s < SIDES && good; s++)
        good = !failed(p, s, p->side[s]->count_labels(p->side[s], counts + s * k), "count_labels");
    good = good && same(p, "count_labels", I64, counts, counts + k, k, 1);
    lloyd_free(counts);
    return good;
}

lloyd_status distances_of_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *out)
{
    return kernels->distances(kernels, slot, (double *)out + first);
}

static lloyd_status span_of_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *span)
{
    (void)first;
    return kernels->distance_span(kernels, slot, span);
}

typedef struct exact_total {
    int top, bits, count;
    int64_t words[LLOYD_MOST_TOTAL];
} exact_total;

static lloyd_status total_of_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *result)
{
    exact_total *total = result;
    (void)first;
    return kernels->total_distance(kernels, slot, total->top, total->bits, total->count,
                                   total->words);
}

static int compare_distances(problem *p)
{
    int64_t n = p->c.n;
    double *out = new_array(SIDES * n, sizeof *out);
    lloyd_span span[SIDES];
    exact_total total[SIDES];
    int good = 1;
    for (int s = 0; s < SIDES && good; s++) {
        span[s] = (lloyd_span){LLOYD_NO_TOP, LLOYD_NO_BITS};
        good = pass(p, s, "distances", distances_of_chunk, out + s * n) &&
               pass(p, s, "distance_span", span_of_chunk, &span[s]);
    }
    good = good && same(p, "distances", F64, out, out + n, n, 1) &&
           same(p, "distance_span", I32, &span[CPU], &span[CUDA], 2, 1);
    lloyd_free(out);
    if (!good || span[CPU].top < span[CPU].low) return good;
    int bits = p->grid.bits, count = (span[CPU].top - span[CPU].low + bits - 1) / bits;
    for (int s = 0; s < SIDES && good; s++) {
        total[s] = (exact_total){span[CPU].top, bits, count, {7, 11}};
        good = pass(p, s, "total_distance", total_of_chunk, &total[s]);
    }
    return good && same(p, "total_distance", I64, total[CPU].words, total[CUDA].words, count, 1);
}

static lloyd_status farthest_of_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *result)
{
    far_list *list = result;
    (void)first;
    return kernels->farthest(kernels, slot, list->want, list->rows, &list->count);
}

static int same_lists(problem *p, const far_list list[SIDES])
{
    int64_t counts[SIDES] = {list[CPU].count, list[CUDA].count};
    if (!same_count(p, "farthest: how many", counts)) return 0;
    for (int64_t i = 0; i < counts[CPU]; i++) {
        const lloyd_far_row *a = &list[CPU].rows[i], *b = &list[CUDA].rows[i];
        int64_t rows[SIDES] = {a->row, b->row}, labels[SIDES] = {a->label, b->label};
        if (!same(p, "farthest: distance", F64, &a->distance, &b->distance, 1, 1) ||
            !same_count(p, "farthest: row", rows) || !same_count(p, "farthest: label", labels)) {
            print_error("        at %lld of the %lld farthest\n", (long long)i,
                        (long long)list[CPU].want);
            return 0;
        }
    }
    return 1;
}

int find_farthest(problem *p, int64_t want, far_list list[SIDES])
{
    lloyd_far_row *rows = new_array(SIDES * want, sizeof *rows);
    int good = 1;
    for (int s = 0; s < SIDES; s++) list[s] = (far_list){want, 0, rows + s * want};
    for (int s = 0; s < SIDES && good; s++)
        good = pass(p, s, "farthest", farthest_of_chunk, &list[s]);
    return good && same_lists(p, list);
}

static int compare_farthest(problem *p)
{
    const int64_t wants[] = {1, 37, p->c.n + 3};
    int good = 1;
    for (int i = 0; i < 3 && good; i++) {
        far_list list[SIDES];
        good = find_farthest(p, wants[i], list);
        lloyd_free(list[CPU].rows);
    }
    return good;
}

int compare_results(problem *p)
{
    return compare_counts(p) && compare_distances(p) && compare_farthest(p);
}
