/* The pass before the first iteration, and the exact total after the last: everything of the
 * contract's sections 3 and 5 that is done once per run. */
#include "problem.h"

#include "bad_rows.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "kernels/numerics.h"

#include <math.h>
#include <stdio.h>

/* --- the first pass --- */

static lloyd_status measure_rows(lloyd_problem *p, lloyd_range *range)
{
    for (int64_t chunk = 0; chunk < p->shard->chunks && range->bad_row < 0; chunk++) {
        int slot;
        LLOYD_TRY(lloyd_shard_load(p->shard, chunk, &slot));
        LLOYD_TRY(p->kernels->measure(p->kernels, slot, range));
    }
    return LLOYD_OK;
}

/* Says where a row of this rank is: in which file, or in whose memory. */
static void name_row(const lloyd_problem *p, int64_t row, char *text, size_t bytes)
{
    const lloyd_shard *shard = p->shard;
    if (shard->rows)
        lloyd_rows_where(shard->rows, shard->first + row, text, bytes);
    else
        snprintf(text, bytes, "row %lld of rank %d", (long long)row, p->comm->rank);
}

/* "the first of 12 such rows", of the bad rows of all ranks; of rows in memory nobody has counted them. */
static void count_others(const lloyd_bad_rows *bad, char *text, size_t bytes)
{
    int64_t all = bad->not_finite + bad->zero;
    *text = '\0';
    if (all == 1) snprintf(text, bytes, ", the only such row");
    if (all > 1 && (bad->zero == 0 || bad->not_finite == 0))
        snprintf(text, bytes, ", the first of %lld such rows", (long long)all);
    else if (all > 1)
        snprintf(text, bytes,
                 ", the first of %lld bad rows: %lld hold NaN or infinity, %lld are all zeros",
                 (long long)all, (long long)bad->not_finite, (long long)bad->zero);
}

static lloyd_status explain_defect(const lloyd_problem *p, const lloyd_range *range,
                                   const lloyd_bad_rows *bad)
{
    char where[1024], others[128];
    name_row(p, range->bad_row, where, sizeof where);
    count_others(bad, others, sizeof others);
    int zero = range->defect == LLOYD_ZERO_ROW;
    return lloyd_fail(LLOYD_BAD_INPUT, "%s (row %lld of the dataset) %s%s; remove such rows%s%s",
                      where, (long long)(p->shard->first + range->bad_row),
                      zero ? "is all zeros and has no direction" : "holds NaN or infinity", others,
                      p->shard->rows ? ", leave them out with --skip-bad-rows" : "",
                      zero ? ", or use --metric l2" : ", or replace their values");
}

lloyd_status lloyd_problem_report_defect(lloyd_problem *p, const lloyd_range *range)
{
    double mine = range->bad_row < 0 ? -INFINITY : -(double)(p->shard->first + range->bad_row),
           first = mine;
    const lloyd_shard *shard = p->shard;
    lloyd_bad_rows bad = {0};
    LLOYD_TRY(p->comm->max(p->comm, &first, 1));
    if (isinf(first)) return LLOYD_OK;
    if (shard->rows)
        LLOYD_TRY(lloyd_bad_rows_count(p->comm, shard->rows, shard->first, shard->count,
                                       p->kernels->config.cosine, &bad));
    return p->comm->agree(p->comm, first == mine ? explain_defect(p, range, &bad) : LLOYD_OK);
}

/* p->min and p->max over all ranks. */
static lloyd_status share_range(lloyd_problem *p, double *values)
{
    for (int64_t j = 0; j < p->d; j++) {
        values[j] = -(double)p->min[j];
        values[p->d + j] = (double)p->max[j];
    }
    LLOYD_TRY(p->comm->max(p->comm, values, 2 * p->d));
    for (int64_t j = 0; j < p->d; j++) {
        /* + 0: of the two zeros, the one that does not depend on who had which */
        p->min[j] = (float)-values[j] + 0.0F;
        p->max[j] = (float)values[p->d + j] + 0.0F;
    }
    return LLOYD_OK;
}

static int largest_exponent(double a, double b)
{
    int ea = lloyd_exponent(a), eb = lloyd_exponent(b);
    if (a == 0) return eb;
    return b == 0 || ea > eb ? ea : eb;
}

static void choose_grid(lloyd_problem *p)
{
    p->grid.bits = lloyd_bits(p->n, LLOYD_ELEMENT_BITS);
    for (int64_t j = 0; j < p->d; j++) {
        float shift = lloyd_shift(p->min[j], p->max[j]);
        p->grid.shift[j] = shift;
        p->grid.exponent[j] = largest_exponent((double)lloyd_centred(p->min[j], shift),
                                               (double)lloyd_centred(p->max[j], shift));
        p->grid.weighted_exponent[j] = p->grid.exponent[j];
    }
}

static lloyd_status measure_products(lloyd_problem *p, double *products)
{
    for (int64_t chunk = 0; chunk < p->shard->chunks; chunk++) {
        int slot;
        LLOYD_TRY(lloyd_shard_load(p->shard, chunk, &slot));
        LLOYD_TRY(p->kernels->measure_weighted(p->kernels, slot, products));
    }
    return LLOYD_OK;
}

static lloyd_status choose_weighted_grid(lloyd_problem *p, double *products)
{
    for (int64_t j = 0; j < p->d; j++) products[j] = 0;
    LLOYD_TRY(p->comm->agree(p->comm, measure_products(p, products)));
    LLOYD_TRY(p->comm->max(p->comm, products, p->d));
    for (int64_t j = 0; j < p->d; j++) p->grid.weighted_exponent[j] = lloyd_exponent(products[j]);
    p->grid.weight_exponent = lloyd_exponent(p->max_weight);
    return LLOYD_OK;
}

/* --- weights --- */

/* *lightest = the reciprocal of the lightest weight that is not zero. */
static lloyd_status check_weights(lloyd_problem *p, double *lightest)
{
    const lloyd_shard *shard = p->shard;
    p->max_weight = shard->weights ? 0 : 1;
    for (int64_t i = 0; shard->weights && i < shard->count; i++) {
        if (!(shard->weights[i] >= 0) || isinf(shard->weights[i])) {
            char where[1024];
            name_row(p, i, where, sizeof where);
            return lloyd_fail(LLOYD_BAD_INPUT,
                              "%s has the weight %g; weights must be finite and not negative",
                              where, (double)shard->weights[i]);
        }
        p->max_weight = fmax(p->max_weight, (double)shard->weights[i]);
        if (shard->weights[i] > 0) *lightest = fmax(*lightest, 1 / (double)shard->weights[i]);
    }
    return LLOYD_OK;
}

static lloyd_status share_weights(lloyd_problem *p)
{
    double lightest = 0;
    LLOYD_TRY(p->comm->agree(p->comm, check_weights(p, &lightest)));
    LLOYD_TRY(p->comm->max(p->comm, &p->max_weight, 1));
    LLOYD_TRY(p->comm->max(p->comm, &lightest, 1));
    if (p->max_weight * lightest > 0x1p20) {
        lloyd_note("the weights span a factor of %.3g; clusters of light rows only are imprecise "
                   "beyond a million",
                   p->max_weight * lightest);
    }
    lloyd_status status = LLOYD_OK;
    if (p->max_weight == 0 && p->comm->rank == 0) {
        status = lloyd_fail(LLOYD_BAD_INPUT, "all weights are zero; at least one row must count");
    }
    return p->comm->agree(p->comm, status);
}

/* --- Q --- */

static lloyd_status square_rows(lloyd_problem *p, int64_t *limbs)
{
    for (int64_t chunk = 0; chunk < p->shard->chunks; chunk++) {
        int slot;
        LLOYD_TRY(lloyd_shard_load(p->shard, chunk, &slot));
        LLOYD_TRY(p->kernels->squares(p->kernels, slot, limbs));
    }
    return LLOYD_OK;
}

static lloyd_status sum_squares(lloyd_problem *p, int64_t *limbs)
{
    for (int64_t j = 0; j < 3 * p->d; j++) limbs[j] = 0;
    LLOYD_TRY(p->comm->agree(p->comm, square_rows(p, limbs)));
    LLOYD_TRY(lloyd_comm_sum_host(p->comm, limbs, 3 * p->d));
    p->squares = 0;
    for (int64_t j = 0; j < p->d; j++) {
        __int128 sum = lloyd_limbs(&limbs[3 * j]);
        int exponent = p->grid.weighted_exponent[j] + p->grid.exponent[j] - 2 * p->grid.bits;
        p->squares = lloyd_add(p->squares, lloyd_mul((double)sum, lloyd_exp2(exponent)));
        p->statistics = lloyd_hash(p->statistics, &p->min[j], sizeof p->min[j]);
        p->statistics = lloyd_hash(p->statistics, &p->max[j], sizeof p->max[j]);
        p->statistics = lloyd_hash(p->statistics, &sum, sizeof sum);
    }
    p->statistics = lloyd_hash(p->statistics, &p->max_weight, sizeof p->max_weight);
    return LLOYD_OK;
}

/* --- all of it --- */

static lloyd_status alloc_problem(lloyd_problem *p, double **scratch)
{
    LLOYD_TRY(lloyd_alloc(&p->min, p->d, sizeof *p->min, "column minima"));
    LLOYD_TRY(lloyd_alloc(&p->max, p->d, sizeof *p->max, "column maxima"));
    LLOYD_TRY(lloyd_alloc(&p->grid.shift, p->d, sizeof(float), "fixed-point grid"));
    LLOYD_TRY(lloyd_alloc(&p->grid.exponent, p->d, sizeof(int), "fixed-point grid"));
    LLOYD_TRY(lloyd_alloc(&p->grid.weighted_exponent, p->d, sizeof(int), "fixed-point grid"));
    return lloyd_alloc(scratch, 3 * p->d, sizeof(double), "column sums");
}

static lloyd_status measure(lloyd_problem *p, double *scratch)
{
    lloyd_range range = {.min = p->min, .max = p->max, .bad_row = -1};
    for (int64_t j = 0; j < p->d; j++) {
        p->min[j] = INFINITY;
        p->max[j] = -INFINITY;
    }
    LLOYD_TRY(share_weights(p));
    LLOYD_TRY(p->comm->agree(p->comm, measure_rows(p, &range)));
    LLOYD_TRY(lloyd_problem_report_defect(p, &range));
    LLOYD_TRY(share_range(p, scratch));
    choose_grid(p);
    LLOYD_TRY(p->comm->agree(p->comm, p->kernels->set_grid(p->kernels, &p->grid)));
    if (p->shard->weights) {
        LLOYD_TRY(choose_weighted_grid(p, scratch));
        LLOYD_TRY(p->comm->agree(p->comm, p->kernels->set_grid(p->kernels, &p->grid)));
    }
    return sum_squares(p, (int64_t *)scratch);
}

lloyd_status lloyd_problem_measure(lloyd_problem *p)
{
    double *scratch = NULL;
    lloyd_status status = p->comm->agree(p->comm, alloc_problem(p, &scratch));
    if (status == LLOYD_OK) status = measure(p, scratch);
    lloyd_free(scratch);
    return status;
}

void lloyd_problem_clear(lloyd_problem *p)
{
    lloyd_free(p->min);
    lloyd_free(p->max);
    lloyd_free(p->grid.shift);
    lloyd_free(p->grid.exponent);
    lloyd_free(p->grid.weighted_exponent);
}

/* --- the final inertia --- */

static lloyd_status greatest_distance(lloyd_problem *p, double *greatest)
{
    for (int64_t chunk = 0; chunk < p->shard->chunks; chunk++) {
        int slot;
        LLOYD_TRY(lloyd_shard_load(p->shard, chunk, &slot));
        LLOYD_TRY(p->kernels->greatest_distance(p->kernels, slot, greatest));
    }
    return LLOYD_OK;
}

static lloyd_status total_distance(lloyd_problem *p, int exponent, int64_t total[2])
{
    for (int64_t chunk = 0; chunk < p->shard->chunks; chunk++) {
        int slot;
        LLOYD_TRY(lloyd_shard_load(p->shard, chunk, &slot));
        LLOYD_TRY(p->kernels->total_distance(p->kernels, slot, exponent, p->grid.bits, total));
    }
    return LLOYD_OK;
}

lloyd_status lloyd_problem_inertia(lloyd_problem *p, double *value)
{
    int64_t total[2] = {0, 0};
    double greatest = 0;
    LLOYD_TRY(p->comm->agree(p->comm, greatest_distance(p, &greatest)));
    LLOYD_TRY(p->comm->max(p->comm, &greatest, 1));
    int exponent = lloyd_exponent(greatest);
    LLOYD_TRY(p->comm->agree(p->comm, total_distance(p, exponent, total)));
    LLOYD_TRY(lloyd_comm_sum_host(p->comm, total, 2));
    __int128 sum = ((__int128)total[0] << p->grid.bits) + total[1];
    *value = lloyd_mul((double)sum, lloyd_exp2(exponent - 2 * p->grid.bits));
    return LLOYD_OK;
}
