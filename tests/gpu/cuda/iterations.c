#include "iterations.h"

#include "case.h"
#include "differ.h"
#include "results.h"
#include "transfers.h"

#include "base/memory.h"
#include "kernels/numerics.h"

#include <cuda_runtime_api.h>

lloyd_status assign_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *unused)
{
    (void)first, (void)unused;
    return kernels->assign(kernels, slot);
}

lloyd_status accumulate_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *unused)
{
    (void)first, (void)unused;
    return kernels->accumulate(kernels, slot);
}

/* The words of sums(), wherever they are. */
static lloyd_status fetch_sums(lloyd_kernels *kernels, int64_t *out, int64_t words)
{
    lloyd_buffer sums;
    LLOYD_TRY(kernels->sums(kernels, &sums));
    size_t bytes = (size_t)words * sizeof *out;
    if (sums.place == LLOYD_HOST) {
        memcpy(out, sums.data, bytes);
        return LLOYD_OK;
    }
    cudaError_t error = cudaStreamSynchronize((cudaStream_t)sums.stream);
    if (error == cudaSuccess) error = cudaMemcpy(out, sums.data, bytes, cudaMemcpyDeviceToHost);
    if (error == cudaSuccess) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "copying the sums: %s", cudaGetErrorString(error));
}

static int compare_sums(problem *p, const char *what)
{
    int64_t k = p->c.k, d = p->c.d;
    lloyd_sum_layout l = lloyd_layout_of_sums(&p->grid, d, k);
    int64_t *sums = new_array(SIDES * l.words, sizeof *sums);
    const int64_t *other = sums + l.words;
    int good = 1;
    for (int s = 0; s < SIDES && good; s++) {
        good = !failed(p, s, fetch_sums(p->side[s], sums + s * l.words, l.words), "sums");
        if (good) p->fallback_rows[s] = sums[s * l.words + l.counters_at + LLOYD_COUNT_FALLBACK];
    }
    good = good && same(p, what, I64, sums, other, k * d, d) &&
           same(p, "second digits", I64, sums + l.seconds_at, other + l.seconds_at, k * l.seconds,
                l.seconds) &&
           same(p, "more digits", I64, sums + l.wide_at, other + l.wide_at, l.masses_at - l.wide_at,
                l.wide) &&
           same(p, "masses", I64, sums + l.masses_at, other + l.masses_at,
                l.counters_at - l.masses_at, k) &&
           same(p, "labels changed", I64, sums + l.counters_at, other + l.counters_at, 1, 1);
    lloyd_free(sums);
    return good;
}

int compare_inertia(problem *p, int64_t *empty)
{
    lloyd_found found[SIDES];
    for (int s = 0; s < SIDES; s++)
        TRY(p, s, "inertia", p->side[s]->inertia(p->side[s], p->squares, &found[s]));
    int64_t moved[SIDES] = {found[CPU].moved, found[CUDA].moved};
    int64_t empties[SIDES] = {found[CPU].empty, found[CUDA].empty};
    *empty = empties[CPU];
    return same(p, "inertia", F64, &found[CPU].inertia, &found[CUDA].inertia, 1, 1) &&
           same(p, "inertia: largest", F64, &found[CPU].largest, &found[CUDA].largest, 1, 1) &&
           same_count(p, "inertia: moved", moved) && same_count(p, "inertia: empty", empties);
}

/* words = a row in digits, as relocate() takes it. */
static int digits_of_row(problem *p, int64_t row, float *x, int64_t *words)
{
    const lloyd_grid *grid = &p->grid;
    lloyd_sum_layout l = lloyd_layout_of_sums(grid, p->c.d, p->c.k);
    int64_t digit[LLOYD_MOST_DIGITS] = {0}, count = lloyd_row_words(&l);
    double weight = p->weights ? (double)p->weights[row] : 1;
    int slot;
    if (!load(p, CPU, row / p->chunk_rows, &slot)) return 0;
    TRY(p, CPU, "rows", p->side[CPU]->rows(p->side[CPU], slot, &row, 1, x));
    memset(words, 0, (size_t)count * sizeof *words);
    for (int64_t j = 0; j < p->c.d; j++) {
        lloyd_digits_of(weight * (double)x[j], grid->top[j], grid->bits, grid->digits[j], digit);
        words[j] = digit[0];
        if (grid->digits[j] > 1) words[l.dim + grid->second[j]] = digit[1];
        for (int t = 2; t < grid->digits[j]; t++)
            words[l.dim + l.seconds + (t - 2) * l.wide + grid->wide_number[j]] = digit[t];
    }
    lloyd_digits_of(weight, grid->weight_top, grid->bits, grid->weight_digits,
                    words + count - grid->weight_digits);
    return 1;
}

static int move_rows(problem *p, const far_list *list, const int32_t *clusters, float *x,
                     int64_t *move)
{
    for (int64_t i = 0; i < list->count; i++) {
        if (!digits_of_row(p, list->rows[i].row, x, move)) return 0;
        for (int s = 0; s < SIDES; s++)
            TRY(p, s, "relocate",
                p->side[s]->relocate(p->side[s], list->rows[i].label, clusters[i], move));
    }
    return compare_sums(p, "sums after relocate");
}

static int compare_relocation(problem *p, int64_t empty)
{
    enum { MOST = 50 };
    int64_t want = empty < MOST ? empty : MOST;
    int32_t *clusters = new_array(SIDES * empty, sizeof *clusters);
    float *x = new_array(p->c.d, sizeof *x);
    lloyd_sum_layout l = lloyd_layout_of_sums(&p->grid, p->c.d, p->c.k);
    int64_t *move = new_array(lloyd_row_words(&l), sizeof *move);
    far_list list[SIDES];
    int good = find_farthest(p, want, list);
    for (int s = 0; s < SIDES && good; s++) {
        lloyd_kernels *kernels = p->side[s];
        good = !failed(p, s, kernels->empty_clusters(kernels, empty, clusters + s * empty),
                       "empty_clusters");
    }
    good = good && same(p, "empty_clusters", I32, clusters, clusters + empty, empty, 1) &&
           move_rows(p, &list[CPU], clusters, x, move);
    lloyd_free(list[CPU].rows);
    lloyd_free(clusters);
    lloyd_free(x);
    lloyd_free(move);
    return good;
}

/* A pass that may leave out rows which keep their labels. */
static int label_pass(problem *p, int side, const char *what, chunk_work work)
{
    p->need = LLOYD_ROWS_TO_LABEL;
    int good = pass(p, side, what, work, NULL);
    p->need = LLOYD_ALL_ROWS;
    return good;
}

int compare_iteration(problem *p, float *centroids)
{
    int64_t empty;
    for (int s = 0; s < SIDES; s++) {
        TRY(p, s, "begin", p->side[s]->begin(p->side[s]));
        if (!label_pass(p, s, "assign", assign_chunk)) return 0;
    }
    if (!compare_labels(p)) return 0;
    if (p->iteration == 1 && !compare_results(p)) return 0;
    for (int s = 0; s < SIDES; s++) {
        if (!label_pass(p, s, "accumulate", accumulate_chunk)) return 0;
    }
    if (!compare_sums(p, "sums") || !compare_inertia(p, &empty)) return 0;
    if (empty > 0 && p->iteration != 2 && !compare_relocation(p, empty)) return 0;
    for (int s = 0; s < SIDES; s++) TRY(p, s, "update", p->side[s]->update(p->side[s]));
    return compare_centroids(p, p->c.k, centroids);
}

int compare_iterations(problem *p)
{
    int good = set_centroids(p, p->c.k, p->centroids);
    float *centroids = new_array(SIDES * p->c.k * p->c.d, sizeof *centroids);
    good = good && compare_centroids(p, p->c.k, centroids);
    for (int s = 0; s < SIDES && good; s++)
        good = !failed(p, s, p->side[s]->forget_labels(p->side[s]), "forget_labels");
    int iterations = options.small ? 2 : 4;
    for (p->iteration = 1; p->iteration <= iterations && good; p->iteration++)
        good = compare_iteration(p, centroids);
    for (int s = 0; s < SIDES && good; s++) good = pass(p, s, "assign", assign_chunk, NULL);
    good = good && compare_labels(p) && compare_results(p);
    p->iteration = 0;
    lloyd_free(centroids);
    return good;
}
