/* Initial centroids (section 8 of the contract): random rows, and greedy kmeans++ (Arthur and
 * Vassilvitskii 2007; greedy: their program drew several rows for each centroid, the local trials, and
 * kept the one that lowers the potential phi most). Every draw
 * is a function of (seed, what, centroid number, trial); sampling is by integer masses and their
 * prefix sums in the global order of the rows. So the split of the rows over ranks and chunks
 * leaves no trace.
 */
#include "algorithm/seed.h"

#include "algorithm/gather.h"
#include "algorithm/masses.h"
#include "algorithm/permutation.h"
#include "base/memory.h"
#include "base/philox.h"

#include <math.h>
#include <string.h>

lloyd_status lloyd_seed_random(lloyd_problem *p, const lloyd_seeding *s, float *centroids)
{
    int64_t *rows = NULL;
    LLOYD_TRY(lloyd_comm_alloc(p->comm, &rows, p->k, sizeof *rows, "seed rows"));
    for (int64_t i = 0; i < p->k; i++) rows[i] = lloyd_permuted(p->n, s->seed, i);
    lloyd_status status = lloyd_problem_gather(p, rows, p->k, centroids);
    lloyd_free(rows);
    return status;
}

/* --- kmeans++ --- */

/* The rows that are tried for one centroid. */
typedef struct trials {
    int count;
    uint64_t *random; /* [count] */
    int64_t *rows;    /* [count] global numbers */
    float *vectors;   /* [count * d] */
    int64_t *totals;  /* [count] mass of all rows if it were chosen */
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

/* A pass that finds the totals of some trials. */
typedef struct attempt {
    lloyd_kernels *kernels;
    int exponent, bits; /* of the masses */
    int64_t *totals;
} attempt;

static lloyd_status try_chunk(void *context, lloyd_chunk *chunk)
{
    attempt *a = context;
    return a->kernels->seed_try(a->kernels, chunk->slot, a->exponent, a->bits, a->totals);
}

static lloyd_status try_rows(lloyd_problem *p, const lloyd_masses *m, trials *t, int count)
{
    attempt a = {p->kernels, m->exponent, m->bits, t->totals};
    memset(t->totals, 0, (size_t)count * sizeof *t->totals);
    LLOYD_TRY(p->kernels->set_centroids(p->kernels, count, t->vectors));
    return lloyd_shard_each(p->shard, try_chunk, &a);
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
            LLOYD_TRY(p->comm->agree(p->comm, lloyd_permuted_fill_up(p, s->seed, rows, i)));
            return lloyd_problem_gather(p, rows + i, p->k - i, centroids + i * p->d);
        }
        LLOYD_TRY(choose_row(p, s->seed, &m, t, i, rows, centroids));
        if (i + 1 == p->k) break;
        LLOYD_TRY(lloyd_masses_compare(p, i, 1, centroids + i * p->d, &m));
        lloyd_masses_report(s,
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
