/* kmeans|| (Bahmani et al. 2012, "Scalable K-Means++"; section 8 of the contract): a few rounds, in each
 * of which every row draws for itself whether it becomes a candidate, and then K of the candidates, by
 * what the rows nearest to them weigh. Everything that touches rows is the kernels', and so are the choices
 * among the candidates (kernels/reduce.h), whose leaves the ranks share out.
 */
#include "algorithm/seed_parallel.h"

#include "algorithm/gather.h"
#include "algorithm/masses.h"
#include "algorithm/permutation.h"
#include "base/memory.h"
#include "base/philox.h"
#include "base/stop.h"
#include "kernels/numerics.h"
#include "kernels/reduce.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* TRIALS: for each centroid, when the candidates (C of the paper) are reduced to K. */
enum { ROUNDS = LLOYD_SEED_ROUNDS, TRIALS = 32 };

/* More for each centroid where there are few of them, and more candidates cost nothing; fewer where there are so many that the
 * rounds would take longer than iterations. */
int64_t lloyd_seed_oversampling(int64_t k)
{
    enum { LEAST = 500, SOME = 8192, MANY = 1 << 18 };
    int64_t expected = 2 * k < MANY ? 2 * k : MANY, more = 4 * k < SOME ? 4 * k : SOME;
    if (expected < k) expected = k;
    if (expected < more) expected = more;
    return expected > LEAST ? expected : LEAST;
}

int64_t lloyd_seed_round_candidates(int64_t k)
{
    double expected = (double)lloyd_seed_oversampling(k);
    /* of independent draws: eight standard deviations more never come */
    return (int64_t)(expected + 8 * sqrt(expected)) + 64;
}

int64_t lloyd_seed_candidates(int64_t k)
{
    return 1 + ROUNDS * lloyd_seed_round_candidates(k);
}

int lloyd_seed_reduce_trials(int wanted)
{
    return wanted > 0 ? wanted : TRIALS;
}

struct lloyd_candidates {
    int64_t count;
    int64_t *rows;          /* global numbers */
    float *vectors;         /* [count * d] */
    int64_t *masses;        /* what the rows nearest to each weigh */
    double *weights;        /* the same */
    int64_t *drawn;         /* [one round] this rank's rows of a round */
    int64_t *order, *begin; /* of the leaves, once they are cut */
    int is_cut;
    lloyd_choice *choices;
};

/* --- drawing --- */

/* Puts this rank's rows at their place among those of all ranks, cut off at the room of one round.
 */
static lloyd_status add_round(lloyd_problem *p, lloyd_candidates *c, int64_t drawn, int64_t *added)
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

static lloyd_status draw_first(lloyd_problem *p, const lloyd_seeding *s, lloyd_candidates *c,
                               lloyd_masses *m)
{
    uint64_t random = lloyd_philox64(s->seed, LLOYD_DRAW_KMEANSPP, 0, 0);
    LLOYD_TRY(lloyd_masses_draw(p, m, &random, 1, c->rows));
    LLOYD_TRY(lloyd_problem_gather(p, c->rows, 1, c->vectors));
    c->count = 1;
    return lloyd_masses_compare(p, 0, 1, c->vectors, m);
}

static lloyd_status draw_candidates(lloyd_problem *p, const lloyd_seeding *s, lloyd_candidates *c)
{
    lloyd_masses m;
    int64_t most = lloyd_seed_round_candidates(p->k);
    LLOYD_TRY(lloyd_masses_begin(p, s, c->rows, c->vectors, most, &m));
    c->count = s->rows ? s->count : 0;
    if (c->count == 0) LLOYD_TRY(draw_first(p, s, c, &m));
    for (int round = s->rows ? (int)s->done : 0; round < ROUNDS && m.total > 0; round++) {
        int64_t drawn, added;
        lloyd_status status = p->kernels->seed_sample(p->kernels, m.exponent, m.bits, m.total,
                                                      lloyd_seed_oversampling(p->k), s->seed, round,
                                                      p->shard->first, most, c->drawn, &drawn);
        LLOYD_TRY(p->comm->agree(p->comm, status));
        LLOYD_TRY(add_round(p, c, drawn, &added));
        if (added > 0)
            LLOYD_TRY(lloyd_masses_compare(p, c->count, added, c->vectors + c->count * p->d, &m));
        c->count += added;
        lloyd_masses_report(s,
                            (lloyd_seed_step){.what = "rounds",
                                              .done = round + 1,
                                              .all = ROUNDS,
                                              .candidates = c->count,
                                              .rows = c->rows,
                                              .count = c->count},
                            &m);
    }
    LLOYD_TRY(p->comm->agree(p->comm, p->kernels->seed_masses(p->kernels, c->masses)));
    return lloyd_comm_sum_host(p->comm, c->masses, c->count);
}

/* --- reducing --- */

/* Choices that all leaves make together, at most. */
static int64_t most_choices(int64_t count, int64_t k)
{
    return 2 * k + lloyd_reduce_leaves(count);
}

/* leaves[0 .. *count) = those of this rank, whose choices lie among those of all; *choices = how many these
 * are. */
static void find_leaves(const lloyd_problem *p, const lloyd_reduction *r, const lloyd_candidates *c,
                        uint64_t seed, lloyd_leaf *leaves, int64_t *count, int64_t *choices)
{
    *count = *choices = 0;
    for (int64_t l = 0; l < lloyd_reduce_leaves(c->count); l++) {
        lloyd_leaf leaf = {.number = l,
                           .seed = seed,
                           .count = c->begin[l + 1] - c->begin[l],
                           .members = c->order + c->begin[l],
                           .choices = c->choices + *choices};
        leaf.most = lloyd_reduce_most(r, leaf.count);
        *choices += leaf.most;
        if (l % p->comm->size == p->comm->rank) leaves[(*count)++] = leaf;
    }
}

static lloyd_status choose_in_leaves(lloyd_problem *p, const lloyd_seeding *s,
                                     const lloyd_reduction *r, const lloyd_leaf *leaves,
                                     int64_t count)
{
    const int64_t all = lloyd_reduce_leaves(r->count);
    for (int64_t at = 0, done; at < count; at += done) {
        LLOYD_TRY(lloyd_stop_check());
        LLOYD_TRY(p->kernels->reduce(p->kernels, r, leaves + at, count - at, &done));
        int64_t by_all = (at + done) * p->comm->size; /* the other ranks are about as far */
        lloyd_masses_report(s,
                            (lloyd_seed_step){.what = "leaves",
                                              .done = by_all < all ? by_all : all,
                                              .all = all,
                                              .candidates = r->count},
                            NULL);
    }
    return LLOYD_OK;
}

/* Every leaf is one rank's; a sum of the choices' bits gives them to all. */
static lloyd_status choose(lloyd_problem *p, const lloyd_seeding *s, const lloyd_reduction *r,
                           lloyd_candidates *c, int64_t *count)
{
    int64_t own = 0;
    lloyd_leaf *leaves = NULL;
    memset(c->choices, 0, (size_t)most_choices(c->count, p->k) * sizeof *c->choices);
    lloyd_status status =
        lloyd_alloc(&leaves, lloyd_reduce_leaves(c->count), sizeof *leaves, "seed candidates");
    if (status == LLOYD_OK) {
        find_leaves(p, r, c, s->start, leaves, &own, count);
        status = choose_in_leaves(p, s, r, leaves, own);
    }
    lloyd_free(leaves);
    LLOYD_TRY(p->comm->agree(p->comm, status));
    return lloyd_comm_sum_host(p->comm, (int64_t *)(void *)c->choices,
                               *count * (int64_t)(sizeof *c->choices / sizeof(int64_t)));
}

/* A choice, and which of all leaves' it is. */
typedef struct ranked {
    lloyd_choice choice;
    int64_t number;
} ranked;

/* The largest gains first; of equal ones the lower leaf, then the earlier choice. */
static int compare_ranked(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    int x_none = x->choice.point < 0, y_none = y->choice.point < 0;
    if (x_none != y_none) return x_none - y_none;
    if (!x_none && x->choice.gain != y->choice.gain)
        return x->choice.gain > y->choice.gain ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* rows[] and centroids = the candidates whose choice gained most; *taken = how many there are. */
static lloyd_status take_best(const lloyd_problem *p, const lloyd_candidates *c, int64_t count,
                              int64_t *rows, float *centroids, int64_t *taken)
{
    ranked *sorted = NULL;
    LLOYD_TRY(lloyd_alloc(&sorted, count, sizeof *sorted, "chosen candidates"));
    for (int64_t i = 0; i < count; i++) sorted[i] = (ranked){c->choices[i], i};
    qsort(sorted, (size_t)count, sizeof *sorted, compare_ranked);
    *taken = 0;
    for (int64_t i = 0; i < count && *taken < p->k && sorted[i].choice.point >= 0; i++) {
        int64_t point = sorted[i].choice.point, at = (*taken)++;
        rows[at] = c->rows[point];
        memcpy(centroids + at * p->d, c->vectors + point * p->d, (size_t)p->d * sizeof *centroids);
    }
    lloyd_free(sorted);
    return LLOYD_OK;
}

static lloyd_status reduce_candidates(lloyd_problem *p, const lloyd_seeding *s, lloyd_candidates *c,
                                      int64_t *rows, float *centroids, int64_t *taken)
{
    int64_t choices = 0;
    lloyd_reduction r = {.count = c->count,
                         .dim = p->d,
                         .points = c->vectors,
                         .weights = c->weights,
                         .k = p->k,
                         .trials = lloyd_seed_reduce_trials(s->trials),
                         .threads = p->kernels->config.threads,
                         .room = s->room};
    for (int64_t i = 0; i < c->count; i++) c->weights[i] = (double)c->masses[i];
    if (!c->is_cut) LLOYD_TRY(p->comm->agree(p->comm, lloyd_reduce_cut(&r, c->order, c->begin)));
    c->is_cut = 1;
    LLOYD_TRY(choose(p, s, &r, c, &choices));
    return p->comm->agree(p->comm, take_best(p, c, choices, rows, centroids, taken));
}

/* K or fewer candidates: the data has hardly more distinct rows. All of them. */
static void take_all(const lloyd_problem *p, const lloyd_candidates *c, int64_t *rows,
                     float *centroids, int64_t *taken)
{
    *taken = c->count < p->k ? c->count : p->k;
    memcpy(rows, c->rows, (size_t)*taken * sizeof *rows);
    memcpy(centroids, c->vectors, (size_t)(*taken * p->d) * sizeof *centroids);
}

/* --- both --- */

static lloyd_status alloc_candidates(const lloyd_problem *p, lloyd_candidates *c)
{
    int64_t most = lloyd_seed_candidates(p->k), leaves = lloyd_reduce_leaves(most);
    LLOYD_TRY(lloyd_alloc(&c->rows, most, sizeof *c->rows, "seed candidates"));
    LLOYD_TRY(lloyd_alloc(&c->vectors, most * p->d, sizeof *c->vectors, "seed candidates"));
    LLOYD_TRY(lloyd_alloc(&c->masses, most, sizeof *c->masses, "seed candidates"));
    LLOYD_TRY(lloyd_alloc(&c->weights, most, sizeof *c->weights, "seed candidates"));
    LLOYD_TRY(lloyd_alloc(&c->order, most, sizeof *c->order, "seed candidates"));
    LLOYD_TRY(lloyd_alloc(&c->begin, leaves + 1, sizeof *c->begin, "seed candidates"));
    LLOYD_TRY(
        lloyd_alloc(&c->choices, most_choices(most, p->k), sizeof *c->choices, "seed candidates"));
    LLOYD_TRY(lloyd_alloc(&c->drawn, lloyd_seed_round_candidates(p->k), sizeof *c->drawn,
                          "seed candidates"));
    return p->kernels->seed_begin(p->kernels);
}

void lloyd_candidates_free(lloyd_candidates *c)
{
    if (!c) return;
    lloyd_free(c->rows);
    lloyd_free(c->vectors);
    lloyd_free(c->masses);
    lloyd_free(c->weights);
    lloyd_free(c->order);
    lloyd_free(c->begin);
    lloyd_free(c->choices);
    lloyd_free(c->drawn);
    lloyd_free(c);
}

int64_t lloyd_candidates_bytes(int64_t k, int64_t dim)
{
    int64_t most = lloyd_seed_candidates(k);
    return most * (dim * 4 + 32) + lloyd_seed_round_candidates(k) * 8 +
           most_choices(most, k) * (int64_t)sizeof(lloyd_choice);
}

int64_t lloyd_seed_parallel_bytes(int64_t k, int64_t dim, int trials, int on_gpu)
{
    int64_t most = lloyd_seed_candidates(k), round = lloyd_seed_round_candidates(k);
    int64_t arrays =
        lloyd_candidates_bytes(k, dim) + k * 8 + most_choices(most, k) * (int64_t)sizeof(ranked);
    int64_t gathering = lloyd_gather_bytes(round, dim),
            reducing = lloyd_reduce_bytes(most, dim, lloyd_seed_reduce_trials(trials), on_gpu);
    return arrays + (gathering > reducing ? gathering : reducing);
}

/* rows[] and centroids = K of the candidates, or all there are. */
static lloyd_status take_some(lloyd_problem *p, const lloyd_seeding *s, lloyd_candidates *c,
                              int64_t *rows, float *centroids, int64_t *taken)
{
    if (c->count > p->k) return reduce_candidates(p, s, c, rows, centroids, taken);
    take_all(p, c, rows, centroids, taken);
    return LLOYD_OK;
}

static lloyd_status seed_anew(lloyd_problem *p, const lloyd_seeding *s, lloyd_candidates *c,
                              int64_t *rows, float *centroids)
{
    int64_t taken = 0;
    lloyd_status status = draw_candidates(p, s, c);
    (void)p->kernels->seed_end(p->kernels);
    LLOYD_TRY(status);
    LLOYD_TRY(take_some(p, s, c, rows, centroids, &taken));
    if (taken == p->k) return LLOYD_OK;
    LLOYD_TRY(p->comm->agree(p->comm, lloyd_permuted_fill_up(p, s->seed, rows, taken)));
    return lloyd_problem_gather(p, rows + taken, p->k - taken, centroids + taken * p->d);
}

lloyd_status lloyd_seed_kmeans_parallel(lloyd_problem *p, const lloyd_seeding *s, float *centroids)
{
    lloyd_candidates *c = NULL;
    int64_t *rows = NULL;
    lloyd_status status = lloyd_alloc(&rows, p->k, sizeof *rows, "seed rows");
    if (status == LLOYD_OK) status = lloyd_alloc(&c, 1, sizeof *c, "seed candidates");
    if (status == LLOYD_OK) status = alloc_candidates(p, c);
    status = lloyd_seed_agree(p, status);
    if (status == LLOYD_OK)
        status = seed_anew(p, s, c, rows, centroids);
    else
        (void)p->kernels->seed_end(p->kernels);
    lloyd_free(rows);
    lloyd_candidates *unwanted = c;
    if (status == LLOYD_OK && s->kept) {
        unwanted = *s->kept;
        *s->kept = c;
    }
    lloyd_candidates_free(unwanted);
    return status;
}

lloyd_status lloyd_seed_again(lloyd_problem *p, const lloyd_seeding *s, float *centroids, int *done)
{
    int64_t *rows = NULL, taken = 0;
    *done = 0;
    if (!s->kept || !*s->kept) return LLOYD_OK;
    LLOYD_TRY(lloyd_comm_alloc(p->comm, &rows, p->k, sizeof *rows, "seed rows"));
    lloyd_status status = take_some(p, s, *s->kept, rows, centroids, &taken);
    lloyd_free(rows);
    *done = taken == p->k;
    return status;
}
