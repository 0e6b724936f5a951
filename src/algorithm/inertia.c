/* The inertia of an iteration, and the exact one at the end (section 5 of the contract). */
#include "algorithm/inertia.h"

#include "base/status.h"

#include <math.h>

/* --- the exact total --- */

/* A total that is not negative, rounded once to double. */
static double round_total(const int64_t *words, int count, int bits, int top)
{
    enum { LIMBS = 36 };
    int64_t limbs[LIMBS] = {0};
    int base = top - bits * count - 64; /* two limbs below all, to be looked at */
    for (int t = 0; t < count; t++)
        lloyd_add_limbs(limbs, base, (uint64_t)words[t], top - bits * (t + 1), 0);
    for (int i = 0; i + 1 < LIMBS; i++) {
        limbs[i + 1] += limbs[i] >> 32;
        limbs[i] &= 0xffffffff;
    }
    int highest = LIMBS - 1;
    while (highest > 2 && limbs[highest] == 0) highest--;
    unsigned __int128 head = 0;
    for (int i = highest; i > highest - 3; i--) head = head << 32 | (uint64_t)limbs[i];
    int rest = 0;
    for (int i = 0; i <= highest - 3; i++) rest |= limbs[i] != 0;
    /* the conversion rounds to nearest; one more bit says whether anything is behind */
    double value = (double)(head << 1 | (unsigned)rest);
    return lloyd_mul(value, lloyd_exp2(base + 32 * (highest - 2) - 1));
}

typedef struct distances {
    lloyd_problem *problem;
    const double *known;             /* [rows of this rank]; NULL: those of the kernels' labels */
    lloyd_span span;                 /* of the first pass */
    int top, count;                  /* of the digits of the second pass, */
    int64_t total[LLOYD_MOST_TOTAL]; /* and their sums */
} distances;

static lloyd_status span_chunk(void *context, lloyd_chunk *chunk)
{
    distances *s = context;
    lloyd_kernels *kernels = s->problem->kernels;
    return kernels->distance_span(kernels, chunk->slot, &s->span);
}

static lloyd_status total_chunk(void *context, lloyd_chunk *chunk)
{
    distances *s = context;
    lloyd_kernels *kernels = s->problem->kernels;
    return kernels->total_distance(kernels, chunk->slot, s->top, s->problem->grid.bits, s->count,
                                   s->total);
}

/* w dist() of local row i, which is known. */
static double term(const distances *s, int64_t i)
{
    const float *weights = s->problem->shard->weights;
    return weights ? lloyd_mul((double)weights[i], s->known[i]) : s->known[i];
}

static void span_known(distances *s)
{
    int top = s->span.top, low = s->span.low;
#pragma omp parallel for num_threads(s->problem->kernels->config.threads) reduction(max            \
                                                                                    : top)         \
    reduction(min                                                                                  \
              : low)
    for (int64_t i = 0; i < s->problem->shard->count; i++) {
        double distance = term(s, i);
        if (distance == 0) continue;
        int highest = lloyd_exponent(distance), lowest = lloyd_lowest(distance);
        top = highest > top ? highest : top;
        low = lowest < low ? lowest : low;
    }
    s->span = (lloyd_span){top, low};
}

static void total_known(distances *s)
{
    const int bits = s->problem->grid.bits;
#pragma omp parallel num_threads(s->problem->kernels->config.threads)
    {
        int64_t own[LLOYD_MOST_TOTAL] = {0};
#pragma omp for
        for (int64_t i = 0; i < s->problem->shard->count; i++) {
            double distance = term(s, i);
            for (int t = 0; t < s->count; t++)
                own[t] += lloyd_digit(distance, s->top - bits * (t + 1), bits, t == 0);
        }
#pragma omp critical(lloyd_total_known)
        for (int t = 0; t < s->count; t++) s->total[t] += own[t];
    }
}

static lloyd_status find_span(distances *s)
{
    if (!s->known) return lloyd_shard_each(s->problem->shard, span_chunk, s);
    span_known(s);
    return LLOYD_OK;
}

static lloyd_status find_total(distances *s)
{
    if (!s->known) return lloyd_shard_each(s->problem->shard, total_chunk, s);
    total_known(s);
    return LLOYD_OK;
}

lloyd_status lloyd_problem_inertia_of(lloyd_problem *p, const double *known, double *value)
{
    distances s = {.problem = p, .known = known, .span = {LLOYD_NO_TOP, LLOYD_NO_BITS}};
    *value = 0;
    LLOYD_TRY(p->comm->agree(p->comm, find_span(&s)));
    double ends[] = {(double)s.span.top, -(double)s.span.low};
    LLOYD_TRY(p->comm->max(p->comm, ends, 2));
    int top = (int)ends[0], low = (int)-ends[1];
    if (top < low) return LLOYD_OK; /* all distances are zero */
    int bits = p->grid.bits, count = (top - low + bits - 1) / bits;
    s.top = top, s.count = count;
    LLOYD_TRY(p->comm->agree(p->comm, find_total(&s)));
    LLOYD_TRY(lloyd_comm_sum_host(p->comm, s.total, count));
    *value = round_total(s.total, count, bits, top);
    return LLOYD_OK;
}

lloyd_status lloyd_problem_inertia(lloyd_problem *p, double *value)
{
    return lloyd_problem_inertia_of(p, NULL, value);
}

/* --- of an iteration --- */

/* Whether C of the contract is right to a relative 2^-41. */
static int is_right(const lloyd_problem *p, const lloyd_found *found)
{
    double g = found->largest, c = found->inertia;
    double cut = (double)p->n * (2 * g * p->cut_columns + g * g * (double)p->d * p->cut_weights);
    double error = 0x1p-84 * (p->squares.high + fabs(c)) + cut;
    return error <= 0x1p-41 * c;
}

lloyd_status lloyd_problem_found(lloyd_problem *p, lloyd_found *found)
{
    lloyd_status status = p->kernels->inertia(p->kernels, p->squares, found);
    lloyd_observe_time(p->observer, LLOYD_TIME_UPDATE);
    LLOYD_TRY(p->comm->agree(p->comm, status));
    lloyd_observe_time(p->observer, LLOYD_TIME_IDLE);
    if (is_right(p, found)) return LLOYD_OK;
    LLOYD_TRY(lloyd_problem_inertia(p, &found->inertia));
    lloyd_observe_time(p->observer, LLOYD_TIME_UPDATE);
    return LLOYD_OK;
}
