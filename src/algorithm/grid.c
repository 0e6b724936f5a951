/* The passes before the first iteration: rows that cannot be clustered, in how many digits every column
 * is summed, and the sum of squares (sections 3 and 5 of the contract). */
#include "algorithm/grid.h"

#include "algorithm/gather.h"
#include "algorithm/permutation.h"
#include "base/hash.h"
#include "base/memory.h"
#include "kernels/numerics.h"
#include "rows/bad_rows.h"

#include <math.h>
#include <stdio.h>

/* --- the first pass --- */

/* The first passes: each fills one of these in. */
typedef struct measuring {
    lloyd_problem *problem;
    lloyd_range *range;            /* of the columns */
    lloyd_product_range *products; /* of the columns of w x */
    int64_t *words;                /* sums of squares in digits */
} measuring;

static lloyd_status measure_chunk(void *context, lloyd_chunk *chunk)
{
    measuring *m = context;
    lloyd_kernels *kernels = m->problem->kernels;
    LLOYD_TRY(kernels->measure(kernels, chunk->slot, m->range));
    chunk->ends_pass = m->range->bad_row >= 0;
    return LLOYD_OK;
}

static lloyd_status measure_rows(lloyd_problem *p, lloyd_range *range)
{
    measuring m = {.problem = p, .range = range};
    return lloyd_shard_each(p->shard, measure_chunk, &m);
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

/* A count of the bad rows of this rank, a batch at a time. */
typedef struct counting {
    lloyd_problem *problem;
    int64_t batch;    /* rows that are looked at together */
    int64_t *numbers; /* [batch] */
    float *values;    /* [batch * d] */
    int64_t bad;
} counting;

/* Adds those of a chunk. Where rows are scaled to length 1, those of zeros only have become NaN. */
static lloyd_status count_in_chunk(void *context, lloyd_chunk *chunk)
{
    counting *c = context;
    lloyd_kernels *kernels = c->problem->kernels;
    const int64_t d = c->problem->d, end = chunk->first + chunk->count;
    for (int64_t at = chunk->first; at < end; at += c->batch) {
        int64_t here = end - at < c->batch ? end - at : c->batch;
        for (int64_t i = 0; i < here; i++) c->numbers[i] = at + i;
        LLOYD_TRY(kernels->rows(kernels, chunk->slot, c->numbers, here, c->values));
        for (int64_t i = 0; i < here; i++) {
            int finite = 1;
            for (int64_t j = i * d; j < (i + 1) * d; j++) finite &= isfinite(c->values[j]) != 0;
            c->bad += !finite;
        }
    }
    return LLOYD_OK;
}

/* The bad rows of all ranks, whose rows were in memory from the start. Collective. */
static lloyd_status count_in_memory(lloyd_problem *p, int64_t *bad)
{
    enum { BATCH_BYTES = 1 << 20 };
    const int64_t row_bytes = p->d * (int64_t)sizeof(float);
    counting c = {.problem = p, .batch = row_bytes < BATCH_BYTES ? BATCH_BYTES / row_bytes : 1};
    lloyd_status status = lloyd_alloc(&c.values, c.batch * p->d, sizeof *c.values, "rows");
    if (status == LLOYD_OK) status = lloyd_alloc(&c.numbers, c.batch, sizeof *c.numbers, "rows");
    if (status == LLOYD_OK) status = lloyd_shard_each(p->shard, count_in_chunk, &c);
    lloyd_free(c.values);
    lloyd_free(c.numbers);
    *bad = c.bad;
    LLOYD_TRY(p->comm->agree(p->comm, status));
    return lloyd_comm_sum_host(p->comm, bad, 1);
}

/* "the first of 12 such rows", of the bad rows of all ranks. */
static void count_others(const lloyd_bad_rows *bad, char *text, size_t bytes)
{
    int64_t all = bad->not_finite + bad->zero + bad->either;
    *text = '\0';
    if (all == 1)
        snprintf(text, bytes, ", the only such row");
    else if (bad->either > 0)
        snprintf(text, bytes, ", the first of %lld bad rows", (long long)all);
    else if (all > 1 && (bad->zero == 0 || bad->not_finite == 0))
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
    int64_t row = p->shard->first + range->bad_row;
    if (p->shard->rows) row = lloyd_rows_original(p->shard->rows, row);
    return lloyd_fail(LLOYD_BAD_INPUT, "%s (row %lld of the dataset) %s%s; remove such rows%s%s",
                      where, (long long)row,
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
    else
        LLOYD_TRY(count_in_memory(p, p->kernels->config.cosine ? &bad.either : &bad.not_finite));
    return p->comm->agree(p->comm, first == mine ? explain_defect(p, range, &bad) : LLOYD_OK);
}

/* Column minima, maxima and lowest bits over all ranks. */
static lloyd_status share_range(lloyd_problem *p, lloyd_range *range, double *values)
{
    int64_t d = p->d;
    for (int64_t j = 0; j < d; j++) {
        values[j] = -(double)range->min[j];
        values[d + j] = (double)range->max[j];
        values[2 * d + j] = -(double)range->low[j];
    }
    LLOYD_TRY(p->comm->max(p->comm, values, 3 * d));
    for (int64_t j = 0; j < d; j++) {
        range->min[j] = (float)-values[j];
        range->max[j] = (float)values[d + j];
        range->low[j] = (int)-values[2 * d + j];
    }
    return LLOYD_OK;
}

static lloyd_status measure_products_chunk(void *context, lloyd_chunk *chunk)
{
    measuring *m = context;
    lloyd_kernels *kernels = m->problem->kernels;
    return kernels->measure_weighted(kernels, chunk->slot, m->products);
}

static lloyd_status measure_products(lloyd_problem *p, lloyd_product_range *products)
{
    measuring m = {.problem = p, .products = products};
    return lloyd_shard_each(p->shard, measure_products_chunk, &m);
}

/* M, L and Z of every column: of x, or of w x. */
static lloyd_status span_columns(lloyd_problem *p, const lloyd_range *range, double *values)
{
    int64_t d = p->d;
    for (int64_t j = 0; j < d; j++) {
        double greatest = fmax(fabs((double)range->min[j]), fabs((double)range->max[j]));
        p->grid.top[j] = lloyd_exponent(greatest);
        p->grid.square_top[j] = 2 * p->grid.top[j];
        p->low[j] = range->low[j];
    }
    if (!p->shard->weights) return LLOYD_OK;
    lloyd_product_range products = {values, values + d, p->low};
    for (int64_t j = 0; j < d; j++) {
        values[j] = values[d + j] = 0;
        p->low[j] = LLOYD_NO_BITS;
    }
    LLOYD_TRY(p->comm->agree(p->comm, measure_products(p, &products)));
    for (int64_t j = 0; j < d; j++) values[2 * d + j] = -(double)p->low[j];
    LLOYD_TRY(p->comm->max(p->comm, values, 3 * d));
    for (int64_t j = 0; j < d; j++) {
        p->grid.top[j] = lloyd_exponent(values[j]);
        p->grid.square_top[j] = lloyd_exponent(values[d + j]);
        p->low[j] = (int)-values[2 * d + j];
    }
    return LLOYD_OK;
}

/* --- digits --- */

enum { SAMPLE = 4096, SMALLEST = 4, BATCH_BYTES = 1 << 20 };

/* B and more of a column. */
static int span_of(int top, int low)
{
    return low == LLOYD_NO_BITS ? 0 : top - low;
}

/* Keeps the SMALLEST values other than 0, in increasing order. */
static void offer(double *smallest, double value)
{
    if (value == 0 || value >= smallest[SMALLEST - 1]) return;
    int i = SMALLEST - 1;
    for (; i > 0 && smallest[i - 1] > value; i--) smallest[i] = smallest[i - 1];
    smallest[i] = value;
}

/* The weights of `count` rows, on all ranks; 1 where there are none. */
static lloyd_status gather_weights(lloyd_problem *p, const int64_t *rows, int64_t count,
                                   double *weights)
{
    const lloyd_shard *shard = p->shard;
    for (int64_t i = 0; i < count; i++) {
        int64_t row = rows[i] - shard->first;
        int own = row >= 0 && row < shard->count;
        weights[i] = !shard->weights ? 1 : own ? (double)shard->weights[row] : 0;
    }
    return shard->weights ? p->comm->max(p->comm, weights, count) : LLOYD_OK;
}

/* Room for a batch of the sample. */
typedef struct sample {
    int64_t *rows;
    double *weights;
    float *values;
    double *smallest; /* [(d + 1) * SMALLEST]; the last are of the weights */
} sample;

static lloyd_status read_sample(lloyd_problem *p, int64_t batch, sample *s)
{
    int64_t count = p->n < SAMPLE ? p->n : SAMPLE;
    for (int64_t i = 0; i < (p->d + 1) * SMALLEST; i++) s->smallest[i] = INFINITY;
    for (int64_t at = 0; at < count; at += batch) {
        int64_t here = count - at < batch ? count - at : batch;
        for (int64_t i = 0; i < here; i++) s->rows[i] = lloyd_permuted(p->n, 0, at + i);
        LLOYD_TRY(gather_weights(p, s->rows, here, s->weights));
        LLOYD_TRY(lloyd_problem_gather(p, s->rows, here, s->values));
        for (int64_t i = 0; i < here; i++) {
            for (int64_t j = 0; j < p->d; j++) {
                double value = fabs(lloyd_mul(s->weights[i], (double)s->values[i * p->d + j]));
                offer(s->smallest + j * SMALLEST, value);
            }
            offer(s->smallest + p->d * SMALLEST, s->weights[i]);
        }
    }
    return LLOYD_OK;
}

/* ordinary[0 .. d] = m of every column and of the weights. Collective. */
static lloyd_status sample_columns(lloyd_problem *p, int *ordinary)
{
    int64_t batch = BATCH_BYTES / (4 * p->d);
    batch = batch < 1 ? 1 : batch < SAMPLE ? batch : SAMPLE;
    const char *what = "a sample of the rows";
    sample s = {0};
    lloyd_status status = lloyd_alloc(&s.rows, batch, sizeof *s.rows, what);
    if (status == LLOYD_OK) status = lloyd_alloc(&s.weights, batch, sizeof *s.weights, what);
    if (status == LLOYD_OK) status = lloyd_alloc(&s.values, batch * p->d, sizeof *s.values, what);
    if (status == LLOYD_OK)
        status = lloyd_alloc(&s.smallest, (p->d + 1) * SMALLEST, sizeof *s.smallest, what);
    status = p->comm->agree(p->comm, status);
    if (status == LLOYD_OK) status = read_sample(p, batch, &s);
    for (int64_t j = 0; status == LLOYD_OK && j <= p->d; j++) {
        const double *smallest = s.smallest + j * SMALLEST;
        double value = isinf(smallest[SMALLEST - 1]) ? smallest[0] : smallest[SMALLEST - 1];
        int low = j < p->d ? p->low[j] : p->weight_low; /* + 24: nothing is to be lost */
        ordinary[j] = isinf(value) ? low + 24 : lloyd_exponent(value);
    }
    lloyd_free(s.rows);
    lloyd_free(s.weights);
    lloyd_free(s.values);
    lloyd_free(s.smallest);
    return status;
}

static int needs_sample(const lloyd_problem *p)
{
    int most = span_of(p->grid.weight_top, p->weight_low);
    for (int64_t j = 0; j < p->d; j++) {
        int span = span_of(p->grid.top[j], p->low[j]);
        most = span > most ? span : most;
    }
    return most > 2 * p->grid.bits;
}

static void choose_digits(lloyd_problem *p, const int *ordinary)
{
    lloyd_grid *grid = &p->grid;
    double cut;
    p->cut_columns = 0;
    for (int64_t j = 0; j < p->d; j++) {
        grid->digits[j] = lloyd_grid_digits(grid->bits, grid->top[j], p->low[j], ordinary[j], &cut);
        p->cut_columns = lloyd_add(p->cut_columns, cut);
    }
    lloyd_grid_number(grid, p->d);
    grid->weight_digits = 1;
    p->cut_weights = 0;
    if (p->shard->weights) {
        grid->weight_digits = lloyd_grid_digits(grid->bits, grid->weight_top, p->weight_low,
                                                ordinary[p->d], &p->cut_weights);
    }
    grid->cut = p->cut_columns > 0 || p->cut_weights > 0;
}

/* The grid from M and L. Collective. */
static lloyd_status choose_grid(lloyd_problem *p)
{
    int *ordinary = NULL;
    LLOYD_TRY(lloyd_comm_alloc(p->comm, &ordinary, p->d + 1, sizeof *ordinary, "digits"));
    lloyd_status status = needs_sample(p) ? sample_columns(p, ordinary) : LLOYD_OK;
    if (status == LLOYD_OK) choose_digits(p, ordinary);
    lloyd_free(ordinary);
    if (status != LLOYD_OK) return status;
    return p->comm->agree(p->comm, p->kernels->set_grid(p->kernels, &p->grid));
}

/* --- weights --- */

static lloyd_status check_weights(lloyd_problem *p)
{
    const lloyd_shard *shard = p->shard;
    p->max_weight = shard->weights ? 0 : 1;
    p->weight_low = LLOYD_NO_BITS;
    for (int64_t i = 0; shard->weights && i < shard->count; i++) {
        double weight = (double)shard->weights[i];
        if (!(weight >= 0) || isinf(weight)) {
            char where[1024];
            name_row(p, i, where, sizeof where);
            return lloyd_fail(LLOYD_BAD_INPUT,
                              "%s has the weight %g; weights must be finite and not negative",
                              where, weight);
        }
        p->max_weight = fmax(p->max_weight, weight);
        if (weight > 0 && lloyd_lowest(weight) < p->weight_low)
            p->weight_low = lloyd_lowest(weight);
    }
    return LLOYD_OK;
}

static lloyd_status share_weights(lloyd_problem *p)
{
    LLOYD_TRY(p->comm->agree(p->comm, check_weights(p)));
    double values[] = {p->max_weight, -(double)p->weight_low};
    LLOYD_TRY(p->comm->max(p->comm, values, 2));
    p->max_weight = values[0];
    p->weight_low = (int)-values[1];
    /* without weights a mass of 1 is the number 1 */
    p->grid.weight_top = p->shard->weights ? lloyd_exponent(p->max_weight) : p->grid.bits;
    lloyd_status status = LLOYD_OK;
    if (p->max_weight == 0 && p->comm->rank == 0) {
        status = lloyd_fail(LLOYD_BAD_INPUT, "all weights are zero; at least one row must count");
    }
    return p->comm->agree(p->comm, status);
}

/* --- Q --- */

static lloyd_status square_chunk(void *context, lloyd_chunk *chunk)
{
    measuring *m = context;
    lloyd_kernels *kernels = m->problem->kernels;
    return kernels->squares(kernels, chunk->slot, m->words);
}

static lloyd_status square_rows(lloyd_problem *p, int64_t *words)
{
    measuring m = {.problem = p, .words = words};
    return lloyd_shard_each(p->shard, square_chunk, &m);
}

static lloyd_status sum_squares(lloyd_problem *p, int64_t *words)
{
    enum { COUNT = LLOYD_SQUARE_DIGITS };
    const lloyd_grid *grid = &p->grid;
    for (int64_t i = 0; i < COUNT * p->d; i++) words[i] = 0;
    LLOYD_TRY(p->comm->agree(p->comm, square_rows(p, words)));
    LLOYD_TRY(lloyd_comm_sum_host(p->comm, words, COUNT * p->d));
    lloyd_dd lanes[LLOYD_LANES] = {{0, 0}};
    for (int64_t j = 0; j < p->d; j++) {
        int64_t *own = words + COUNT * j;
        lloyd_carry(own, COUNT, grid->bits);
        lloyd_total total = {own, COUNT, grid->bits, grid->square_top[j]};
        lanes[j % LLOYD_LANES] = lloyd_dd_add(lanes[j % LLOYD_LANES], lloyd_dd_total(total));
        p->statistics = lloyd_hash(p->statistics, &grid->top[j], sizeof grid->top[j]);
        p->statistics = lloyd_hash(p->statistics, &p->low[j], sizeof p->low[j]);
        p->statistics = lloyd_hash(p->statistics, own, COUNT * sizeof *own);
    }
    p->squares = lloyd_dd_tree(lanes, LLOYD_LANES);
    p->statistics = lloyd_hash(p->statistics, &p->max_weight, sizeof p->max_weight);
    return LLOYD_OK;
}

/* --- all of it --- */

static lloyd_status alloc_problem(lloyd_problem *p, lloyd_range *range, double **scratch)
{
    const char *extremes = "column extremes";
    LLOYD_TRY(lloyd_alloc(&range->min, p->d, sizeof(float), extremes));
    LLOYD_TRY(lloyd_alloc(&range->max, p->d, sizeof(float), extremes));
    LLOYD_TRY(lloyd_alloc(&range->low, p->d, sizeof(int), extremes));
    LLOYD_TRY(lloyd_alloc(&p->low, p->d, sizeof(int), extremes));
    LLOYD_TRY(lloyd_grid_alloc(&p->grid, p->d));
    return lloyd_alloc(scratch, LLOYD_SQUARE_DIGITS * p->d, sizeof(double), "column sums");
}

static lloyd_status choose_bits(lloyd_problem *p)
{
    p->grid.bits = lloyd_bits(p->n, LLOYD_ELEMENT_BITS);
    if (p->grid.bits >= LLOYD_LEAST_BITS) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT, "the dataset has %lld rows; at most 2^40 can be summed",
                      (long long)p->n);
}

static lloyd_status measure(lloyd_problem *p, lloyd_range *range, double *scratch)
{
    for (int64_t j = 0; j < p->d; j++) {
        range->min[j] = INFINITY;
        range->max[j] = -INFINITY;
        range->low[j] = LLOYD_NO_BITS;
    }
    LLOYD_TRY(p->comm->agree(p->comm, choose_bits(p)));
    LLOYD_TRY(share_weights(p));
    LLOYD_TRY(p->comm->agree(p->comm, measure_rows(p, range)));
    LLOYD_TRY(lloyd_problem_report_defect(p, range));
    LLOYD_TRY(share_range(p, range, scratch));
    LLOYD_TRY(span_columns(p, range, scratch));
    LLOYD_TRY(choose_grid(p));
    return sum_squares(p, (int64_t *)scratch);
}

lloyd_status lloyd_problem_measure(lloyd_problem *p)
{
    double *scratch = NULL;
    lloyd_range range = {.bad_row = -1};
    lloyd_status status = p->comm->agree(p->comm, alloc_problem(p, &range, &scratch));
    if (status == LLOYD_OK) status = measure(p, &range, scratch);
    lloyd_free(range.min);
    lloyd_free(range.max);
    lloyd_free(range.low);
    lloyd_free(scratch);
    return status;
}

/* Two digits hold what spans no more; a part of the rows spans no more than all, and its digits have as many bits or more. */
int lloyd_problem_cuts_nothing(const lloyd_problem *p)
{
    return !needs_sample(p);
}

void lloyd_problem_clear(lloyd_problem *p)
{
    lloyd_free(p->low);
    lloyd_grid_free(&p->grid);
}
