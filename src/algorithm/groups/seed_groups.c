/* kmeans|| of several groups of rows at a time: the same rounds as in seed_parallel.c, in all groups at once. Candidates are numbered through
 * all groups, round by round, so that those of a group are in the order in which it would draw them alone. */
#include "algorithm/groups/seed_groups.h"

#include "algorithm/permutation.h"
#include "algorithm/seed_parallel.h"
#include "base/memory.h"
#include "base/philox.h"
#include "base/stop.h"
#include "kernels/numerics.h"
#include "kernels/reduce.h"

#include <string.h>

typedef struct drawing {
    lloyd_grouped *g;
    int64_t most, count;      /* candidates of all groups, fillers among them */
    int64_t *rows;            /* [most] local */
    int32_t *owner;           /* [most] the group of a candidate, -1: filler */
    int64_t *round;           /* [groups + 1] candidates of a round, where those of a group begin */
    lloyd_group_draw *draws;  /* [groups] */
    int64_t *counts, *drawn;  /* [groups] how many, [of a round] and which rows */
    int64_t room;             /* of a round */
    int64_t *masses;          /* [most] rows nearest to a candidate */
    double *weights;          /* the same */
    int64_t *begin, *members; /* [groups + 1], [most] the candidates of each group */
    lloyd_leaf *leaves;       /* [groups] */
    lloyd_choice *choices;    /* [k of all groups] */
} drawing;

static lloyd_status open_drawing(lloyd_grouped *g, drawing *d)
{
    const char *what = "seed candidates of groups";
    const int64_t groups = g->count;
    *d = (drawing){.g = g};
    LLOYD_TRY(lloyd_alloc(&d->draws, groups, sizeof *d->draws, what));
    for (int64_t i = 0; i < groups; i++) {
        const lloyd_group *group = &g->group[i];
        d->draws[i] = (lloyd_group_draw){.oversampling = lloyd_seed_oversampling(group->k),
                                         .seed = group->seed,
                                         .most = lloyd_seed_round_candidates(group->k),
                                         .place = d->room};
        d->room += d->draws[i].most;
    }
    d->most = groups + LLOYD_SEED_ROUNDS * d->room;
    LLOYD_TRY(lloyd_alloc(&d->rows, d->most, sizeof *d->rows, what));
    LLOYD_TRY(lloyd_alloc(&d->owner, d->most, sizeof *d->owner, what));
    LLOYD_TRY(lloyd_alloc(&d->round, groups + 1, sizeof *d->round, what));
    LLOYD_TRY(lloyd_alloc(&d->counts, groups, sizeof *d->counts, what));
    LLOYD_TRY(lloyd_alloc(&d->drawn, d->room, sizeof *d->drawn, what));
    LLOYD_TRY(lloyd_alloc(&d->masses, d->most, sizeof *d->masses, what));
    LLOYD_TRY(lloyd_alloc(&d->weights, d->most, sizeof *d->weights, what));
    LLOYD_TRY(lloyd_alloc(&d->begin, groups + 1, sizeof *d->begin, what));
    LLOYD_TRY(lloyd_alloc(&d->members, d->most, sizeof *d->members, what));
    LLOYD_TRY(lloyd_alloc(&d->leaves, groups, sizeof *d->leaves, what));
    LLOYD_TRY(lloyd_alloc(&d->choices, g->problem->k, sizeof *d->choices, what));
    return g->problem->kernels->seed_begin(g->problem->kernels);
}

static void close_drawing(drawing *d)
{
    lloyd_free(d->rows);
    lloyd_free(d->owner);
    lloyd_free(d->round);
    lloyd_free(d->draws);
    lloyd_free(d->counts);
    lloyd_free(d->drawn);
    lloyd_free(d->masses);
    lloyd_free(d->weights);
    lloyd_free(d->begin);
    lloyd_free(d->members);
    lloyd_free(d->leaves);
    lloyd_free(d->choices);
}

/* --- drawing --- */

static void add(drawing *d, int64_t row, int32_t owner)
{
    d->rows[d->count] = row;
    d->owner[d->count++] = owner;
}

/* Compares the rows of each group with its candidates from number `base` on, which are those of d->round. */
static lloyd_status compare(drawing *d, int64_t base)
{
    const lloyd_grouped *g = d->g;
    lloyd_kernels *kernels = g->problem->kernels;
    const lloyd_groups groups = {g->count, g->rows, d->round, g->active};
    double greatest = 0;
    LLOYD_TRY(lloyd_stop_check());
    LLOYD_TRY(kernels->set_groups(kernels, &groups));
    LLOYD_TRY(kernels->set_rows(kernels, d->count - base, d->rows + base));
    return kernels->seed_compare(kernels, 0, base, &greatest);
}

/* The row at the place u of the running sum of masses, all of which are 1 as yet. */
static int64_t first_row(const lloyd_group *group)
{
    const uint64_t u = lloyd_philox64(group->seed, LLOYD_DRAW_KMEANSPP, 0, 0);
    const int64_t mass =
        lloyd_fixed_mass(1, lloyd_exponent(1), lloyd_bits(group->count, LLOYD_MASS_BITS));
    const uint64_t total = (uint64_t)(mass * group->count);
    return (int64_t)(((unsigned __int128)u * total) >> 64) / mass;
}

static lloyd_status draw_first(drawing *d)
{
    const lloyd_grouped *g = d->g;
    for (int64_t i = 0; i < g->count; i++) {
        add(d, g->rows[i] + first_row(&g->group[i]), (int32_t)i);
        d->round[i + 1] = d->count;
    }
    return compare(d, 0);
}

/* A group that draws none is compared with its first candidate once more, which changes nothing. */
static lloyd_status draw_round(drawing *d, int round)
{
    const lloyd_grouped *g = d->g;
    lloyd_kernels *kernels = g->problem->kernels;
    const int64_t base = d->count;
    int64_t drawn = 0;
    LLOYD_TRY(kernels->groups_sample(kernels, d->draws, round, d->room, d->drawn, d->counts));
    for (int64_t i = 0; i < g->count; i++) {
        for (int64_t c = 0; c < d->counts[i]; c++)
            add(d, d->drawn[d->draws[i].place + c], (int32_t)i);
        if (d->counts[i] == 0) add(d, d->rows[i], -1);
        d->round[i + 1] = d->count - base;
        drawn += d->counts[i];
    }
    if (drawn > 0) return compare(d, base);
    d->count = base;
    return LLOYD_OK;
}

static lloyd_status draw_candidates(drawing *d)
{
    lloyd_kernels *kernels = d->g->problem->kernels;
    LLOYD_TRY(draw_first(d));
    for (int round = 0; round < LLOYD_SEED_ROUNDS; round++) LLOYD_TRY(draw_round(d, round));
    return kernels->seed_masses(kernels, d->masses);
}

/* --- reducing --- */

static void find_members(drawing *d)
{
    const int64_t groups = d->g->count;
    memset(d->begin, 0, (size_t)(groups + 1) * sizeof *d->begin);
    for (int64_t c = 0; c < d->count; c++) {
        d->weights[c] = (double)d->masses[c];
        if (d->owner[c] >= 0) d->begin[d->owner[c] + 1]++;
    }
    for (int64_t i = 0; i < groups; i++) {
        d->begin[i + 1] += d->begin[i];
        d->counts[i] = 0;
    }
    for (int64_t c = 0; c < d->count; c++)
        if (d->owner[c] >= 0) d->members[d->begin[d->owner[c]] + d->counts[d->owner[c]]++] = c;
}

/* A leaf of every group that has more candidates than clusters. Their number. */
static int64_t find_leaves(drawing *d)
{
    const lloyd_grouped *g = d->g;
    int64_t leaves = 0;
    for (int64_t i = 0; i < g->count; i++) {
        if (d->counts[i] <= g->group[i].k) continue;
        d->leaves[leaves++] = (lloyd_leaf){.seed = g->group[i].seed,
                                           .count = d->counts[i],
                                           .most = g->group[i].k,
                                           .members = d->members + d->begin[i],
                                           .choices = d->choices + g->clusters[i]};
    }
    return leaves;
}

static lloyd_status reduce(drawing *d, int64_t room)
{
    const lloyd_problem *p = d->g->problem;
    const lloyd_reduction r = {.count = d->count,
                               .dim = p->d,
                               .rows = d->rows,
                               .weights = d->weights,
                               .k = p->k,
                               .trials = lloyd_seed_reduce_trials(0),
                               .threads = p->kernels->config.threads,
                               .at_once = (int)d->g->count,
                               .room = room};
    const int64_t leaves = find_leaves(d);
    for (int64_t at = 0, done; at < leaves; at += done) {
        LLOYD_TRY(lloyd_stop_check());
        LLOYD_TRY(p->kernels->reduce(p->kernels, &r, d->leaves + at, leaves - at, &done));
    }
    return LLOYD_OK;
}

/* rows[0 .. k) of group i, numbered among its own. */
static lloyd_status take_seeds(const drawing *d, int64_t i, int64_t *rows)
{
    const lloyd_grouped *g = d->g;
    const lloyd_group *group = &g->group[i];
    const lloyd_problem alone = {.n = group->count, .k = group->k};
    const int64_t *members = d->members + d->begin[i];
    const lloyd_choice *choices = d->choices + g->clusters[i];
    const int all = d->counts[i] <= group->k;
    const int64_t most = all ? d->counts[i] : group->k;
    int64_t taken = 0;
    while (taken < most && (all || choices[taken].point >= 0)) {
        const int64_t candidate = all ? members[taken] : choices[taken].point;
        rows[taken++] = d->rows[candidate] - g->rows[i];
    }
    return taken < group->k ? lloyd_permuted_fill_up(&alone, group->seed, rows, taken) : LLOYD_OK;
}

static lloyd_status begin_at_seeds(drawing *d)
{
    lloyd_grouped *g = d->g;
    int64_t *rows = NULL;
    lloyd_status status = lloyd_alloc(&rows, g->problem->k, sizeof *rows, "seed rows");
    for (int64_t i = 0; i < g->count && status == LLOYD_OK; i++) {
        int64_t *own = rows + g->clusters[i];
        status = take_seeds(d, i, own);
        for (int64_t k = 0; k < g->group[i].k; k++) own[k] += g->rows[i];
    }
    if (status == LLOYD_OK) status = lloyd_grouped_begin_at(g, rows);
    lloyd_free(rows);
    return status;
}

lloyd_status lloyd_grouped_seed_parallel(lloyd_grouped *g, int64_t room)
{
    drawing d;
    lloyd_status status = open_drawing(g, &d);
    if (status == LLOYD_OK) status = draw_candidates(&d);
    (void)g->problem->kernels->seed_end(g->problem->kernels);
    if (status == LLOYD_OK) {
        find_members(&d);
        status = reduce(&d, room);
    }
    if (status == LLOYD_OK) status = begin_at_seeds(&d);
    close_drawing(&d);
    return status;
}

int64_t lloyd_grouped_seed_bytes(int64_t k)
{
    const int64_t candidate = 3 * sizeof(int64_t) + sizeof(double) + sizeof(int32_t);
    return lloyd_seed_candidates(k) * candidate +
           lloyd_seed_round_candidates(k) * (int64_t)sizeof(int64_t) +
           k * (int64_t)sizeof(lloyd_choice);
}
