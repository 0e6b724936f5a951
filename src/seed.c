/* Initial centroids (section 8 of the contract): random rows, kmeans++ (Arthur and Vassilvitskii
 * 2007) and kmeans|| (Bahmani et al. 2012, "Scalable K-Means++"). Every draw is a function of
 * (seed, what, global row or centroid number, round); sampling is by integer masses and their
 * prefix sums in the global order of the rows. So the split of the rows over ranks and chunks
 * leaves no trace.
 */
#include "problem.h"

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

lloyd_status lloyd_seed_random(lloyd_problem *p, uint64_t seed, float *centroids)
{
    int64_t *rows = NULL;
    LLOYD_TRY(lloyd_comm_alloc(p->comm, &rows, p->k, sizeof *rows, "seed rows"));
    for (int64_t i = 0; i < p->k; i++) rows[i] = lloyd_permuted(p->n, seed, i);
    lloyd_status status = lloyd_problem_gather(p, rows, p->k, centroids);
    lloyd_free(rows);
    return status;
}

/* --- sampling by mass --- */

/* The masses of all rows: their exponent, resolution, and totals. */
typedef struct masses {
    int exponent, bits;
    int64_t total, before, own; /* of all ranks, of those before this one, of this one */
} masses;

/* `greatest`: no mass of this rank is above it. */
static lloyd_status weigh(lloyd_problem *p, double greatest, masses *m)
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

/* *row = a global row, drawn with probability mass / total by 64 random bits. */
static lloyd_status draw_row(lloyd_problem *p, const masses *m, uint64_t random, int64_t *row)
{
    int64_t target = (int64_t)(((unsigned __int128)random * (uint64_t)m->total) >> 64) - m->before;
    lloyd_status status = LLOYD_OK;
    *row = 0;
    if (target >= 0 && target < m->own) {
        status = p->kernels->seed_pick(p->kernels, m->exponent, m->bits, target, row);
        *row += p->shard->first;
    }
    LLOYD_TRY(p->comm->agree(p->comm, status));
    return lloyd_comm_sum_host(p->comm, row, 1);
}

/* Lets every row look at `count` more centroids; *greatest = this rank's greatest mass then. */
static lloyd_status compare_rows(lloyd_problem *p, int64_t base, int64_t count,
                                 const float *centroids, double *greatest)
{
    *greatest = 0;
    LLOYD_TRY(p->kernels->set_centroids(p->kernels, count, centroids));
    for (int64_t chunk = 0; chunk < p->shard->chunks; chunk++) {
        int slot;
        LLOYD_TRY(lloyd_shard_load(p->shard, chunk, &slot));
        LLOYD_TRY(p->kernels->seed_compare(p->kernels, slot, base, greatest));
    }
    return LLOYD_OK;
}

static lloyd_status compare_and_weigh(lloyd_problem *p, int64_t base, int64_t count,
                                      const float *centroids, masses *m)
{
    double greatest;
    LLOYD_TRY(p->comm->agree(p->comm, compare_rows(p, base, count, centroids, &greatest)));
    return weigh(p, greatest, m);
}

/* --- kmeans++ --- */

static int compare_rows_by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Every row lies on a centroid already: fills rows[count .. k) from the permutation, leaving out
 * rows that are taken. */
static lloyd_status fill_up(const lloyd_problem *p, uint64_t seed, int64_t *rows, int64_t count)
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

/* rows[k] and centroids[k * d]. `what`: the kind of draw. */
static lloyd_status kmeanspp(lloyd_problem *p, uint64_t seed, uint32_t what, int64_t *rows,
                             float *centroids)
{
    masses m;
    LLOYD_TRY(weigh(p, p->max_weight, &m));
    for (int64_t i = 0; i < p->k; i++) {
        if (m.total == 0) {
            LLOYD_TRY(p->comm->agree(p->comm, fill_up(p, seed, rows, i)));
            return lloyd_problem_gather(p, rows + i, p->k - i, centroids + i * p->d);
        }
        LLOYD_TRY(draw_row(p, &m, lloyd_philox64(seed, what, (uint64_t)i, 0), &rows[i]));
        LLOYD_TRY(lloyd_problem_gather(p, &rows[i], 1, centroids + i * p->d));
        if (i + 1 < p->k) LLOYD_TRY(compare_and_weigh(p, i, 1, centroids + i * p->d, &m));
    }
    return LLOYD_OK;
}

static lloyd_status seed_kmeanspp(lloyd_problem *p, uint64_t seed, uint32_t what, float *centroids)
{
    int64_t *rows = NULL;
    lloyd_status status = lloyd_alloc(&rows, p->k, sizeof *rows, "seed rows");
    if (status == LLOYD_OK) status = p->kernels->seed_begin(p->kernels);
    status = p->comm->agree(p->comm, status);
    if (status == LLOYD_OK) status = kmeanspp(p, seed, what, rows, centroids);
    (void)p->kernels->seed_end(p->kernels);
    lloyd_free(rows);
    return status;
}

lloyd_status lloyd_seed_kmeanspp(lloyd_problem *p, uint64_t seed, float *centroids)
{
    return seed_kmeanspp(p, seed, LLOYD_DRAW_KMEANSPP, centroids);
}

/* --- kmeans|| --- */

enum { ROUNDS = 5, OVERSAMPLING = 2 }; /* about OVERSAMPLING * k rows are drawn in each round */

int64_t lloyd_seed_round_candidates(int64_t k)
{
    double expected =
        OVERSAMPLING *
        (double)k; /* of independent draws: eight standard deviations more never come */
    return (int64_t)(expected + 8 * sqrt(expected)) + 64;
}

int64_t lloyd_seed_candidates(int64_t k)
{
    return 1 + ROUNDS * lloyd_seed_round_candidates(k);
}

typedef struct candidates {
    int64_t count;
    int64_t *rows;  /* global numbers */
    float *vectors; /* [count * d] */
    float *weights; /* mass of the rows nearest to each */
    int64_t *masses;
    int64_t *drawn; /* [one round] this rank's rows of a round */
} candidates;

/* Puts this rank's rows at their place among those of all ranks, cut off at the room of one round.
 */
static lloyd_status add_round(lloyd_problem *p, candidates *c, int64_t drawn, int64_t *added)
{
    int64_t room = lloyd_seed_round_candidates(p->k), before = drawn, total = drawn;
    LLOYD_TRY(p->comm->exclusive_scan(p->comm, &before));
    LLOYD_TRY(lloyd_comm_sum_host(p->comm, &total, 1));
    *added = total < room ? total : room;
    int64_t *rows = c->rows + c->count;
    memset(rows, 0, (size_t)*added * sizeof *rows);
    for (int64_t i = 0; i < drawn && before + i < *added; i++)
        rows[before + i] = p->shard->first + c->drawn[i];
    LLOYD_TRY(lloyd_comm_sum_host(p->comm, rows, *added));
    return lloyd_problem_gather(p, rows, *added, c->vectors + c->count * p->d);
}

static lloyd_status draw_candidates(lloyd_problem *p, uint64_t seed, candidates *c)
{
    masses m;
    LLOYD_TRY(weigh(p, p->max_weight, &m));
    LLOYD_TRY(draw_row(p, &m, lloyd_philox64(seed, LLOYD_DRAW_KMEANSPP, 0, 0), &c->rows[0]));
    LLOYD_TRY(lloyd_problem_gather(p, c->rows, 1, c->vectors));
    c->count = 1;
    LLOYD_TRY(compare_and_weigh(p, 0, 1, c->vectors, &m));
    for (int round = 0; round < ROUNDS && m.total > 0; round++) {
        int64_t drawn, added;
        lloyd_status status =
            p->kernels->seed_sample(p->kernels, m.exponent, m.bits, m.total, OVERSAMPLING * p->k,
                                    seed, round, p->shard->first, lloyd_seed_round_candidates(p->k),
                                    c->drawn, &drawn);
        LLOYD_TRY(p->comm->agree(p->comm, status));
        LLOYD_TRY(add_round(p, c, drawn, &added));
        if (added > 0)
            LLOYD_TRY(compare_and_weigh(p, c->count, added, c->vectors + c->count * p->d, &m));
        c->count += added;
    }
    LLOYD_TRY(p->comm->agree(p->comm, p->kernels->seed_masses(p->kernels, c->masses)));
    return lloyd_comm_sum_host(p->comm, c->masses, c->count);
}

/* k of the candidates by a weighted kmeans++, every rank working on its share of them. */
static lloyd_status reduce_candidates(lloyd_problem *p, uint64_t seed, candidates *c,
                                      float *centroids)
{
    lloyd_problem sub = {.comm = p->comm, .n = c->count, .d = p->d, .k = p->k};
    int64_t first = lloyd_shard_first(c->count, p->comm->rank, p->comm->size);
    int64_t end = lloyd_shard_first(c->count, p->comm->rank + 1, p->comm->size);
    for (int64_t i = 0; i < c->count; i++) {
        c->weights[i] = (float)c->masses[i];
        sub.max_weight = fmax(sub.max_weight, (double)c->weights[i]);
    }
    lloyd_status status =
        lloyd_shard_over(c->vectors + first * p->d, c->weights + first, first,
                         lloyd_layout_fixed(end - first, p->d * (int64_t)sizeof(float), 0),
                         &sub.shard);
    if (status == LLOYD_OK) {
        lloyd_kernels_config config = {.n_local = end - first,
                                       .dim = p->d,
                                       .k = 1,
                                       .chunk_rows = end > first ? end - first : 1,
                                       .slots = 1,
                                       .type = LLOYD_F32,
                                       .weights = c->weights + first,
                                       .threads = p->kernels->config.threads};
        status = p->kernels->create(p->kernels, &config, &sub.kernels);
    }
    if (status == LLOYD_OK) status = lloyd_shard_attach(sub.shard, sub.kernels);
    status = p->comm->agree(p->comm, status);
    if (status == LLOYD_OK) status = seed_kmeanspp(&sub, seed, LLOYD_DRAW_REDUCE, centroids);
    if (sub.kernels) sub.kernels->destroy(sub.kernels);
    lloyd_shard_close(sub.shard);
    return status;
}

/* Fewer candidates than clusters: the data has hardly more distinct rows. All of them, and then any
 * rows. */
static lloyd_status take_candidates(lloyd_problem *p, uint64_t seed, const candidates *c,
                                    float *centroids)
{
    int64_t *rows = NULL;
    lloyd_status status = lloyd_alloc(&rows, p->k, sizeof *rows, "seed rows");
    if (status == LLOYD_OK) {
        memcpy(rows, c->rows, (size_t)c->count * sizeof *rows);
        status = fill_up(p, seed, rows, c->count);
    }
    status = p->comm->agree(p->comm, status);
    if (status == LLOYD_OK) status = lloyd_problem_gather(p, rows, p->k, centroids);
    lloyd_free(rows);
    return status;
}

static lloyd_status alloc_candidates(const lloyd_problem *p, candidates *c)
{
    int64_t most = lloyd_seed_candidates(p->k);
    LLOYD_TRY(lloyd_alloc(&c->rows, most, sizeof *c->rows, "seed candidates"));
    LLOYD_TRY(lloyd_alloc(&c->vectors, most * p->d, sizeof *c->vectors, "seed candidates"));
    LLOYD_TRY(lloyd_alloc(&c->weights, most, sizeof *c->weights, "seed candidates"));
    LLOYD_TRY(lloyd_alloc(&c->masses, most, sizeof *c->masses, "seed candidates"));
    LLOYD_TRY(lloyd_alloc(&c->drawn, lloyd_seed_round_candidates(p->k), sizeof *c->drawn,
                          "seed candidates"));
    return p->kernels->seed_begin(p->kernels);
}

lloyd_status lloyd_seed_kmeans_parallel(lloyd_problem *p, uint64_t seed, float *centroids)
{
    candidates c = {0};
    lloyd_status status = p->comm->agree(p->comm, alloc_candidates(p, &c));
    if (status == LLOYD_OK) status = draw_candidates(p, seed, &c);
    (void)p->kernels->seed_end(p->kernels);
    if (status == LLOYD_OK) {
        status = c.count > p->k ? reduce_candidates(p, seed, &c, centroids)
                                : take_candidates(p, seed, &c, centroids);
    }
    lloyd_free(c.rows);
    lloyd_free(c.vectors);
    lloyd_free(c.weights);
    lloyd_free(c.masses);
    lloyd_free(c.drawn);
    return status;
}
