/* Initial centroids (section 8 of the contract): random rows, and greedy kmeans++ (Arthur and
 * Vassilvitskii 2007, whose program drew several rows for each centroid and took the best). Every draw
 * is a function of (seed, what, centroid number, trial); sampling is by integer masses and their
 * prefix sums in the global order of the rows. So the split of the rows over ranks and chunks
 * leaves no trace.
 */
#include "algorithm/seeding.h"

#include "base/memory.h"
#include "base/philox.h"
#include "kernels/numerics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- a keyed permutation of the row numbers --- */

/* Position `index` of the permutation of [0, n): a Feistel network of eight rounds of Philox on the
 * next power of four, walked until it lands below n. */
int64_t lloyd_permuted(int64_t n, uint64_t seed, int64_t index)
{
    int half = 1;
    while (half < 31 && ((int64_t)1 << (2 * half)) < n) half++;
    uint64_t mask = ((uint64_t)1 << half) - 1, value = (uint64_t)index;
    do {
        uint64_t left = value >> half, right = value & mask;
        for (uint32_t round = 0; round < 8; round++) {
            uint64_t next =
                left ^ (lloyd_philox64(seed, LLOYD_DRAW_PERMUTATION, right, round) & mask);
            left = right;
            right = next;
        }
        value = left << half | right;
    } while (value >= (uint64_t)n);
    return (int64_t)value;
}

lloyd_status lloyd_seed_random(lloyd_problem *p, const lloyd_seeding *s, float *centroids)
{
    int64_t *rows = NULL;
    LLOYD_TRY(lloyd_comm_alloc(p->comm, &rows, p->k, sizeof *rows, "seed rows"));
    for (int64_t i = 0; i < p->k; i++) rows[i] = lloyd_permuted(p->n, s->seed, i);
    lloyd_status status = lloyd_problem_gather(p, rows, p->k, centroids);
    lloyd_free(rows);
    return status;
}

/* --- sampling by mass --- */

lloyd_status lloyd_masses_weigh(lloyd_problem *p, double greatest, lloyd_masses *m)
{
    LLOYD_TRY(p->comm->max(p->comm, &greatest, 1));
    m->exponent = lloyd_exponent(greatest);
    m->bits = lloyd_bits(p->n, LLOYD_MASS_BITS);
    lloyd_status status = p->kernels->seed_total(p->kernels, m->exponent, m->bits, &m->own);
    LLOYD_TRY(p->comm->agree(p->comm, status));
    m->total = m->before = m->own;
    LLOYD_TRY(lloyd_comm_sum_host(p->comm, &m->total, 1));
    return p->comm->exclusive_scan(p->comm, &m->before);
}

lloyd_status lloyd_masses_draw(lloyd_problem *p, const lloyd_masses *m, const uint64_t *random,
                               int count, int64_t *rows)
{
    lloyd_status status = LLOYD_OK;
    for (int i = 0; i < count; i++) {
        int64_t target = (int64_t)(((unsigned __int128)random[i] * (uint64_t)m->total) >> 64);
        rows[i] = 0;
        if (target < m->before || target - m->before >= m->own || status != LLOYD_OK) continue;
        status =
            p->kernels->seed_pick(p->kernels, m->exponent, m->bits, target - m->before, &rows[i]);
        rows[i] += p->shard->first;
    }
    LLOYD_TRY(p->comm->agree(p->comm, status));
    return lloyd_comm_sum_host(p->comm, rows, count);
}

/* A comparison of this rank's rows with centroids of number `base` and more. */
typedef struct comparison {
    lloyd_kernels *kernels;
    int64_t base;
    double greatest; /* mass after it */
} comparison;

static lloyd_status compare_chunk(void *context, lloyd_chunk *chunk)
{
    comparison *c = context;
    return c->kernels->seed_compare(c->kernels, chunk->slot, c->base, &c->greatest);
}

static lloyd_status compare_rows(lloyd_problem *p, comparison *c, int64_t count,
                                 const float *centroids)
{
    LLOYD_TRY(p->kernels->set_centroids(p->kernels, count, centroids));
    return lloyd_shard_each(p->shard, compare_chunk, c);
}

lloyd_status lloyd_masses_compare(lloyd_problem *p, int64_t base, int64_t count,
                                  const float *centroids, lloyd_masses *m)
{
    comparison c = {.kernels = p->kernels, .base = base};
    LLOYD_TRY(p->comm->agree(p->comm, compare_rows(p, &c, count, centroids)));
    return lloyd_masses_weigh(p, c.greatest, m);
}

lloyd_status lloyd_masses_begin(lloyd_problem *p, const lloyd_seeding *s, int64_t *rows,
                                float *vectors, int64_t most, lloyd_masses *m)
{
    LLOYD_TRY(lloyd_masses_weigh(p, p->max_weight, m));
    if (!s->rows) return LLOYD_OK;
    memcpy(rows, s->rows, (size_t)s->count * sizeof *rows);
    LLOYD_TRY(lloyd_problem_gather(p, rows, s->count, vectors));
    for (int64_t at = 0; at < s->count; at += most) {
        int64_t here = s->count - at < most ? s->count - at : most;
        LLOYD_TRY(lloyd_masses_compare(p, at, here, vectors + at * p->d, m));
    }
    return LLOYD_OK;
}

/* --- kmeans++ --- */

static int compare_rows_by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

lloyd_status lloyd_seed_fill_up(const lloyd_problem *p, uint64_t seed, int64_t *rows, int64_t count)
{
    int64_t *taken = NULL, taken_count = count;
    LLOYD_TRY(lloyd_alloc(&taken, count, sizeof *taken, "seed rows"));
    memcpy(taken, rows, (size_t)count * sizeof *taken);
    qsort(taken, (size_t)taken_count, sizeof *taken, compare_rows_by_number);
    for (int64_t i = 0; count < p->k; i++) {
        int64_t row = lloyd_permuted(p->n, seed, i);
        if (!bsearch(&row, taken, (size_t)taken_count, sizeof *taken, compare_rows_by_number))
            rows[count++] = row;
    }
    lloyd_free(taken);
    return LLOYD_OK;
}

/* The rows that are tried for one centroid. */
typedef struct trials {
    int count;
    uint64_t *random;       /* [count] */
    int64_t *rows;          /* [count] global numbers */
    float *vectors;         /* [count * d] */
    int64_t *totals;        /* [count] mass of all rows if it were chosen */
    lloyd_kernels *kernels; /* what a pass needs beside these */
    const lloyd_masses *masses;
} trials;

static lloyd_status open_trials(const lloyd_problem *p, int count, trials *t)
{
    t->count = count;
    LLOYD_TRY(lloyd_alloc(&t->random, count, sizeof *t->random, "trials"));
    LLOYD_TRY(lloyd_alloc(&t->rows, count, sizeof *t->rows, "trials"));
    LLOYD_TRY(lloyd_alloc(&t->vectors, count * p->d, sizeof *t->vectors, "trials"));
    return lloyd_alloc(&t->totals, count, sizeof *t->totals, "trials");
}

static void close_trials(trials *t)
{
    lloyd_free(t->random);
    lloyd_free(t->rows);
    lloyd_free(t->vectors);
    lloyd_free(t->totals);
}

static lloyd_status try_chunk(void *context, lloyd_chunk *chunk)
{
    trials *t = context;
    return t->kernels->seed_try(t->kernels, chunk->slot, t->masses->exponent, t->masses->bits,
                                t->totals);
}

static lloyd_status try_rows(lloyd_problem *p, const lloyd_masses *m, trials *t, int count)
{
    t->kernels = p->kernels;
    t->masses = m;
    memset(t->totals, 0, (size_t)count * sizeof *t->totals);
    LLOYD_TRY(p->kernels->set_centroids(p->kernels, count, t->vectors));
    return lloyd_shard_each(p->shard, try_chunk, t);
}

/* *best = the one of the first `count` that leaves the lowest total. */
static lloyd_status find_best(lloyd_problem *p, const lloyd_masses *m, trials *t, int count,
                              int *best)
{
    *best = 0;
    if (count == 1) return LLOYD_OK;
    LLOYD_TRY(p->comm->agree(p->comm, try_rows(p, m, t, count)));
    LLOYD_TRY(lloyd_comm_sum_host(p->comm, t->totals, count));
    for (int i = 1; i < count; i++)
        if (t->totals[i] < t->totals[*best]) *best = i;
    return LLOYD_OK;
}

void lloyd_seed_tell(const lloyd_seeding *s, lloyd_seed_step step, const lloyd_masses *m)
{
    if (!s->watch) return;
    step.potential = m ? ldexp((double)m->total, m->exponent - m->bits) : NAN;
    s->watch(s->watcher, &step);
}

/* Centroid number i: rows[i] and centroids[i * d]. */
static lloyd_status choose_row(lloyd_problem *p, uint64_t seed, const lloyd_masses *m, trials *t,
                               int64_t i, int64_t *rows, float *centroids)
{
    int best, count = i == 0 ? 1 : t->count;
    for (int trial = 0; trial < count; trial++)
        t->random[trial] = lloyd_philox64(seed, LLOYD_DRAW_KMEANSPP, (uint64_t)i, (uint32_t)trial);
    LLOYD_TRY(lloyd_masses_draw(p, m, t->random, count, t->rows));
    LLOYD_TRY(lloyd_problem_gather(p, t->rows, count, t->vectors));
    LLOYD_TRY(find_best(p, m, t, count, &best));
    rows[i] = t->rows[best];
    memcpy(centroids + i * p->d, t->vectors + best * p->d, (size_t)p->d * sizeof *centroids);
    return LLOYD_OK;
}

static lloyd_status kmeanspp(lloyd_problem *p, const lloyd_seeding *s, trials *t, int64_t *rows,
                             float *centroids)
{
    lloyd_masses m;
    LLOYD_TRY(lloyd_masses_begin(p, s, rows, centroids, p->k, &m));
    for (int64_t i = s->rows ? s->count : 0; i < p->k; i++) {
        if (m.total == 0) {
            LLOYD_TRY(p->comm->agree(p->comm, lloyd_seed_fill_up(p, s->seed, rows, i)));
            return lloyd_problem_gather(p, rows + i, p->k - i, centroids + i * p->d);
        }
        LLOYD_TRY(choose_row(p, s->seed, &m, t, i, rows, centroids));
        if (i + 1 == p->k) break;
        LLOYD_TRY(lloyd_masses_compare(p, i, 1, centroids + i * p->d, &m));
        lloyd_seed_tell(s,
                        (lloyd_seed_step){.what = "centroids",
                                          .done = i + 1,
                                          .all = p->k,
                                          .rows = rows,
                                          .count = i + 1},
                        &m);
    }
    return LLOYD_OK;
}

int lloyd_seed_trials(int64_t k, int wanted)
{
    return wanted > 0 ? wanted : 2 + (int)floor(log((double)k));
}

lloyd_status lloyd_seed_kmeanspp(lloyd_problem *p, const lloyd_seeding *s, float *centroids)
{
    int64_t *rows = NULL;
    trials t = {0};
    lloyd_status status = lloyd_alloc(&rows, p->k, sizeof *rows, "seed rows");
    if (status == LLOYD_OK) status = open_trials(p, lloyd_seed_trials(p->k, s->trials), &t);
    if (status == LLOYD_OK) status = p->kernels->seed_begin(p->kernels);
    status = lloyd_seed_agree(p, status);
    if (status == LLOYD_OK) status = kmeanspp(p, s, &t, rows, centroids);
    (void)p->kernels->seed_end(p->kernels);
    close_trials(&t);
    lloyd_free(rows);
    return status;
}
