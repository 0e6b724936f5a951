/* The CUDA kernels get all rows and all groups; for each group there are CPU kernels of its rows and
 * centroids alone. What comes back has to be the same, labels and candidates numbered through all groups. */
#include "groups.h"

#include "case.h"
#include "differ.h"
#include "measures.h"
#include "seeding.h"
#include "shapes.h"
#include "values.h"

#include "base/memory.h"
#include "kernels/cpu/cpu.h"
#include "kernels/numerics.h"

#include <math.h>

enum {
    MOST_GROUPS = 200,
    FEW = 4, /* centroids: where no group has more, the CUDA kernels have no filter */
    ROUNDS = 2
};

typedef struct groups {
    int64_t count;
    int64_t rows[MOST_GROUPS + 1], centroids[MOST_GROUPS + 1]; /* where those of a group begin */
    int64_t most;                                              /* centroids of a group */
    unsigned char active[MOST_GROUPS];
    lloyd_kernels *alone[MOST_GROUPS];
    lloyd_grid grid[MOST_GROUPS]; /* of its rows alone, or without arrays */
} groups;

static int64_t size_of(const int64_t *begin, int64_t i)
{
    return begin[i + 1] - begin[i];
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Cuts `total` into parts of at least 1 and at most `most`: part `shift` is 1, the one before it has as much of the rest as `largest`
 * and what is left over, and the others anything. */
static void cut(int64_t total, int64_t count, int64_t shift, int64_t largest, int64_t most,
                int64_t *begin)
{
    int64_t size[MOST_GROUPS], left = total - count;
    for (int64_t i = 0; i < count; i++) size[i] = 1;
    for (int64_t i = count - 1; i >= 0; i--) {
        const int64_t room = least(left, most - 1);
        const int64_t more = i == count - 1 ? least(room, largest - 1) : i ? below(room + 1) : 0;
        size[i] += more, left -= more;
    }
    for (int64_t i = count - 1; left > 0; i--) {
        const int64_t more = least(left, most - size[i]);
        size[i] += more, left -= more;
    }
    begin[0] = 0;
    for (int64_t i = 0; i < count; i++) begin[i + 1] = begin[i] + size[(i + count - shift) % count];
}

/* Few centroids of every group, or more than a tile has of one, if there are as many. */
static groups new_groups(const test_case *c, int64_t count)
{
    enum { TILE = 128 };
    const int64_t left = c->k - count, shift = below(count);
    groups g = {.count = count};
    cut(c->n, count, shift, 1 + (c->n - count) / 2, c->n, g.rows);
    const int64_t most = c->k <= FEW * count ? FEW : c->k, share = 3 * left / 4;
    cut(c->k, count, shift, 1 + (share < TILE && left >= TILE ? TILE : share), most, g.centroids);
    for (int64_t i = 0; i < count; i++) {
        const int64_t own = size_of(g.centroids, i);
        g.active[i] = 1;
        g.most = own > g.most ? own : g.most;
    }
    return g;
}

static void close_groups(groups *g)
{
    for (int64_t i = 0; i < g->count; i++) {
        if (g->alone[i]) g->alone[i]->destroy(g->alone[i]);
        lloyd_grid_free(&g->grid[i]);
    }
}

/* As same(), which says in which group the first difference is. begin: where the numbers of each group begin, of rows of `width`. */
static int same_in(problem *p, const groups *g, const char *what, number_kind kind, const void *cpu,
                   const void *cuda, const int64_t *begin, int64_t width)
{
    int64_t first, i = 0;
    if (same_to(p, what, kind, cpu, cuda, begin[g->count] * width, width, &first)) return 1;
    while (first / width >= begin[i + 1]) i++;
    print_error("        in group %lld of %lld, rows %lld to %lld, centroids %lld to %lld%s\n",
                (long long)i, (long long)g->count, (long long)g->rows[i],
                (long long)g->rows[i + 1] - 1, (long long)g->centroids[i],
                (long long)g->centroids[i + 1] - 1, g->active[i] ? "" : ", not active");
    return 0;
}

/* --- the kernels --- */

/* The CUDA kernels are to copy all but `active`. */
static int set_groups(problem *p, const groups *g, const int64_t *centroids)
{
    lloyd_kernels *cuda = p->side[CUDA];
    int64_t copy[2][MOST_GROUPS + 1];
    memcpy(copy[0], g->rows, sizeof copy[0]);
    memcpy(copy[1], centroids, sizeof copy[1]);
    const lloyd_groups given = {g->count, copy[0], copy[1], g->active};
    const lloyd_status status = cuda->set_groups(cuda, &given);
    memset(copy, 0xff, sizeof copy);
    return !failed(p, CUDA, status, "set_groups");
}

/* Those of each group to its kernels, and all of them to the CUDA kernels; or rows of each group, which the CUDA kernels have themselves, in
 * place of them. begin: where those of a group begin. */
static int set_centroids_of(problem *p, const groups *g, const int64_t *begin, float *centroids)
{
    lloyd_kernels *cuda = p->side[CUDA];
    const int64_t all = begin[g->count];
    const int are_rows = (int)below(2);
    int64_t *rows = new_array(all, sizeof *rows);
    if (!set_groups(p, g, begin)) return 0;
    for (int64_t i = 0; i < g->count; i++)
        for (int64_t s = begin[i]; s < begin[i + 1]; s++)
            rows[s] = g->rows[i] + below(size_of(g->rows, i));
    if (are_rows) TRY(p, CPU, "rows", p->side[CPU]->rows(p->side[CPU], 0, rows, all, centroids));
    TRY(p, CUDA, "set_centroids",
        are_rows ? cuda->set_rows(cuda, all, rows) : cuda->set_centroids(cuda, all, centroids));
    lloyd_free(rows);
    for (int64_t i = 0; i < g->count; i++)
        TRY(p, CPU, "set_centroids",
            g->alone[i]->set_centroids(g->alone[i], size_of(begin, i),
                                       centroids + begin[i] * p->c.d));
    return 1;
}

/* A grid of the rows of group i, which cuts nothing: as that of all rows does not. */
static int measure_alone(problem *p, groups *g, int64_t i)
{
    const int64_t d = p->c.d;
    lloyd_grid *grid = &g->grid[i];
    float *ends = new_array(2 * d, sizeof *ends);
    int *low = new_array(d, sizeof *low);
    lloyd_range range = {.min = ends, .max = ends + d, .low = low, .bad_row = -1};
    double cut_off;
    for (int64_t j = 0; j < d; j++) {
        range.min[j] = INFINITY, range.max[j] = -INFINITY;
        low[j] = LLOYD_NO_BITS;
    }
    const int good = !failed(p, CPU, g->alone[i]->measure(g->alone[i], 0, &range), "measure") &&
                     !failed(p, CPU, lloyd_grid_alloc(grid, d), "grid");
    for (int64_t j = 0; j < d && good; j++) {
        if (j == 0) grid->bits = lloyd_bits(size_of(g->rows, i), LLOYD_ELEMENT_BITS);
        grid->top[j] = lloyd_exponent(fmax(fabs((double)range.min[j]), fabs((double)range.max[j])));
        grid->square_top[j] = 2 * grid->top[j];
        grid->digits[j] =
            lloyd_grid_digits(grid->bits, grid->top[j], low[j], grid->top[j], &cut_off);
        assert_true(cut_off == 0);
    }
    if (good) {
        lloyd_grid_number(grid, d);
        grid->weight_top = grid->bits, grid->weight_digits = 1;
    }
    lloyd_free(ends);
    lloyd_free(low);
    return good;
}

/* The rows of each group and their grid: where that of all rows cuts something, the same. */
static int open_alone(problem *p, groups *g)
{
    const int own = !p->grid.cut && p->grid.most_digits <= 2;
    for (int64_t i = 0; i < g->count; i++) {
        const int64_t rows = size_of(g->rows, i);
        const lloyd_kernels_config config = {.n_local = rows,
                                             .dim = p->c.d,
                                             .k = size_of(g->centroids, i),
                                             .chunk_rows = rows,
                                             .slots = 1,
                                             .type = p->c.type,
                                             .cosine = p->c.cosine,
                                             .threads = options.threads};
        TRY(p, CPU, "create", lloyd_kernels_cpu(&config, &g->alone[i]));
        lloyd_kernels *alone = g->alone[i];
        TRY(p, CPU, "load", alone->load(alone, 0, 0, rows, element_at(p, g->rows[i], 0)));
        if (own && !measure_alone(p, g, i)) return 0;
        TRY(p, CPU, "set_grid", alone->set_grid(alone, own ? &g->grid[i] : &p->grid));
    }
    return 1;
}

/* --- seeding --- */

typedef struct seeding {
    int64_t base[ROUNDS + 1];               /* the first candidate of a round, */
    int64_t begin[ROUNDS][MOST_GROUPS + 1]; /* and where those of a group begin in it */
    int64_t own[ROUNDS + 1][MOST_GROUPS];   /* candidates of a group before a round */
    double greatest[MOST_GROUPS];           /* mass of a row */
} seeding;

/* Seeds like the centroids of their groups, some of them twice. */
static float *draw_seeds(const problem *p, const groups *g, const int64_t *begin)
{
    const int64_t d = p->c.d;
    float *seeds = new_array(begin[g->count] * d, sizeof *seeds);
    for (int64_t i = 0; i < g->count; i++) {
        for (int64_t s = begin[i]; s < begin[i + 1]; s++) {
            const int64_t like = g->centroids[i] + below(size_of(g->centroids, i));
            memcpy(seeds + s * d, p->centroids + like * d, (size_t)d * sizeof *seeds);
            if (s % 3 == 0) seeds[s * d + below(d)] += 1;
        }
    }
    return seeds;
}

static int compare_with_seeds(problem *p, const groups *g, seeding *s, int round, float *seeds)
{
    lloyd_kernels *cuda = p->side[CUDA];
    double mass[SIDES] = {0, 0};
    if (!set_centroids_of(p, g, s->begin[round], seeds)) return 0;
    TRY(p, CUDA, "seed_compare", cuda->seed_compare(cuda, 0, s->base[round], &mass[CUDA]));
    for (int64_t i = 0; i < g->count; i++) {
        lloyd_kernels *alone = g->alone[i];
        s->greatest[i] = 0;
        TRY(p, CPU, "seed_compare",
            alone->seed_compare(alone, 0, s->own[round][i], &s->greatest[i]));
        mass[CPU] = fmax(mass[CPU], s->greatest[i]);
    }
    return same(p, "seed_compare of groups: mass", F64, &mass[CPU], &mass[CUDA], 1, 1);
}

/* What group i draws, its rows numbered among all. */
static int sample_alone(problem *p, const groups *g, const seeding *s, int64_t i,
                        const lloyd_group_draw *draw, int round, int64_t *rows, int64_t *count)
{
    lloyd_kernels *alone = g->alone[i];
    const int exponent = lloyd_exponent(s->greatest[i]);
    const int bits = lloyd_bits(size_of(g->rows, i), LLOYD_MASS_BITS);
    int64_t total;
    *count = 0;
    TRY(p, CPU, "seed_total", alone->seed_total(alone, exponent, bits, &total));
    if (total == 0) return 1;
    TRY(p, CPU, "seed_sample",
        alone->seed_sample(alone, exponent, bits, total, draw->oversampling, draw->seed, round, 0,
                           draw->most, rows, count));
    for (int64_t r = 0; r < *count; r++) rows[r] += g->rows[i];
    return 1;
}

/* cut_off: there is no room for all that is drawn. */
static int compare_draws_of(problem *p, const groups *g, const seeding *s, int cut_off)
{
    lloyd_kernels *cuda = p->side[CUDA];
    lloyd_group_draw draws[MOST_GROUPS];
    int64_t room = 0, counts[SIDES][MOST_GROUPS], ends[MOST_GROUPS + 1] = {0};
    const int round = (int)below(5);
    for (int64_t i = 0; i < g->count; i++) {
        draws[i] = (lloyd_group_draw){.oversampling = 1 + below(2 * size_of(g->rows, i)),
                                      .seed = next_word(),
                                      .most = cut_off ? 1 + below(4) : size_of(g->rows, i),
                                      .place = room};
        room += draws[i].most;
        ends[i + 1] = room;
    }
    int64_t *rows = new_array(SIDES * room, sizeof *rows), *drawn = rows + room;
    int good = !failed(p, CUDA, cuda->groups_sample(cuda, draws, round, room, drawn, counts[CUDA]),
                       "groups_sample");
    for (int64_t i = 0; i < g->count && good; i++)
        good = sample_alone(p, g, s, i, &draws[i], round, rows + draws[i].place, &counts[CPU][i]);
    good = good && same(p, "groups_sample: how many", I64, counts[CPU], counts[CUDA], g->count, 1);
    for (int64_t i = 0; i < g->count && good; i++) { /* what is behind them may be anything */
        for (int64_t r = counts[CPU][i]; r < draws[i].most; r++)
            rows[draws[i].place + r] = drawn[draws[i].place + r] = -1;
    }
    good = good && same_in(p, g, "groups_sample: rows", I64, rows, drawn, ends, 1);
    lloyd_free(rows);
    return good;
}

/* Round 0: one candidate of each group, or as many as in the other rounds. */
static int compare_seeding_round(problem *p, const groups *g, seeding *s, int round)
{
    const int one = round == 0 && below(2);
    int64_t *begin = s->begin[round];
    for (int64_t i = 0; i < g->count; i++) {
        const int64_t own = one ? 1 : 1 + below(2 * size_of(g->centroids, i) + 2);
        begin[i + 1] = begin[i] + own;
        s->own[round + 1][i] = s->own[round][i] + own;
    }
    s->base[round + 1] = s->base[round] + begin[g->count];
    float *seeds = draw_seeds(p, g, begin);
    const int good = compare_with_seeds(p, g, s, round, seeds) && compare_draws_of(p, g, s, 0) &&
                     compare_draws_of(p, g, s, 1);
    lloyd_free(seeds);
    return good;
}

/* masses[] of all candidates, from those that group i has counted. */
static void place_masses(const seeding *s, int64_t i, const int64_t *own, int64_t *masses)
{
    for (int round = 0; round < ROUNDS; round++)
        memcpy(masses + s->base[round] + s->begin[round][i], own + s->own[round][i],
               (size_t)size_of(s->begin[round], i) * sizeof *own);
}

static int compare_masses_of(problem *p, const groups *g, const seeding *s)
{
    lloyd_kernels *cuda = p->side[CUDA];
    const int64_t all = s->base[ROUNDS];
    int64_t *masses = new_array((SIDES + 1) * all, sizeof *masses), *own = masses + SIDES * all;
    int good = !failed(p, CUDA, cuda->seed_masses(cuda, masses + all), "seed_masses");
    for (int64_t i = 0; i < g->count && good; i++) {
        memset(own, 0, (size_t)all * sizeof *own);
        good = !failed(p, CPU, g->alone[i]->seed_masses(g->alone[i], own), "seed_masses");
        if (good) place_masses(s, i, own, masses);
    }
    good = good && same(p, "seed_masses of groups", I64, masses, masses + all, all, 1);
    lloyd_free(masses);
    return good;
}

static int compare_seeding_of(problem *p, const groups *g)
{
    lloyd_kernels *cuda = p->side[CUDA];
    seeding s = {.base = {0}};
    int good = !failed(p, CUDA, cuda->seed_begin(cuda), "seed_begin");
    for (int64_t i = 0; i < g->count && good; i++)
        good = !failed(p, CPU, g->alone[i]->seed_begin(g->alone[i]), "seed_begin");
    for (int round = 0; round < ROUNDS && good; round++)
        good = compare_seeding_round(p, g, &s, round);
    good = good && compare_masses_of(p, g, &s);
    for (int64_t i = 0; i < g->count; i++)
        if (failed(p, CPU, g->alone[i]->seed_end(g->alone[i]), "seed_end")) good = 0;
    return !failed(p, CUDA, cuda->seed_end(cuda), "seed_end") && good;
}

/* --- iterations --- */

/* Results of both sides, as the CUDA kernels number them. */
typedef struct results {
    int32_t *labels;    /* [SIDES * n] */
    float *centroids;   /* [SIDES * k * d] */
    double *distances;  /* [SIDES * n] */
    int64_t *moved;     /* [SIDES * groups] */
    lloyd_found *found; /* [SIDES], of the CPU's added up */
} results;

static results new_results(const problem *p, const groups *g)
{
    return (results){.labels = new_array(SIDES * p->c.n, sizeof(int32_t)),
                     .centroids = new_array(SIDES * p->c.k * p->c.d, sizeof(float)),
                     .distances = new_array(SIDES * p->c.n, sizeof(double)),
                     .moved = new_array(SIDES * g->count, sizeof(int64_t)),
                     .found = new_array(SIDES, sizeof(lloyd_found))};
}

static void free_results(results *r)
{
    lloyd_free(r->labels);
    lloyd_free(r->centroids);
    lloyd_free(r->distances);
    lloyd_free(r->moved);
    lloyd_free(r->found);
}

static int take_labels(problem *p, const groups *g, results *r)
{
    lloyd_kernels *cuda = p->side[CUDA];
    TRY(p, CUDA, "labels", cuda->labels(cuda, 0, p->c.n, r->labels + p->c.n));
    for (int64_t i = 0; i < g->count; i++) {
        int32_t *own = r->labels + g->rows[i];
        const int64_t rows = size_of(g->rows, i);
        TRY(p, CPU, "labels", g->alone[i]->labels(g->alone[i], 0, rows, own));
        for (int64_t row = 0; row < rows; row++) own[row] += (int32_t)g->centroids[i];
    }
    return same_in(p, g, "labels of groups", I32, r->labels, r->labels + p->c.n, g->rows, 1);
}

static int take_centroids(problem *p, const groups *g, results *r)
{
    lloyd_kernels *cuda = p->side[CUDA];
    const int64_t d = p->c.d, words = p->c.k * d;
    TRY(p, CUDA, "get_centroids", cuda->get_centroids(cuda, r->centroids + words));
    for (int64_t i = 0; i < g->count; i++)
        TRY(p, CPU, "get_centroids",
            g->alone[i]->get_centroids(g->alone[i], r->centroids + g->centroids[i] * d));
    return same_in(p, g, "centroids of groups", F32, r->centroids, r->centroids + words,
                   g->centroids, d);
}

static int take_distances(problem *p, const groups *g, results *r)
{
    lloyd_kernels *cuda = p->side[CUDA];
    TRY(p, CUDA, "distances", cuda->distances(cuda, 0, r->distances + p->c.n));
    for (int64_t i = 0; i < g->count; i++)
        TRY(p, CPU, "distances", g->alone[i]->distances(g->alone[i], 0, r->distances + g->rows[i]));
    return same_in(p, g, "distances of groups", F64, r->distances, r->distances + p->c.n, g->rows,
                   1);
}

/* The group with the most rows that is not at rest yet: its labels are to stay as they are. -1: there is none, or no filter, without which
 * labels of a group that is not active may change. */
static int64_t choose_frozen(const groups *g)
{
    int64_t most = -1;
    for (int64_t i = 0; i < g->count && g->most > FEW; i++) {
        if (g->active[i] && (most < 0 || size_of(g->rows, i) > size_of(g->rows, most))) most = i;
    }
    return most;
}

/* Groups whose labels did not change are at rest: they are not active any more. */
static void leave_resting(groups *g, const results *r, int64_t frozen)
{
    for (int64_t i = 0; i < g->count; i++)
        if (g->active[i] && r->moved[i] == 0) g->active[i] = 0;
    if (frozen >= 0) g->active[frozen] = 1;
}

/* frozen: it does not assign. */
static int iterate_alone(problem *p, const groups *g, int64_t i, int64_t frozen, results *r)
{
    lloyd_kernels *alone = g->alone[i];
    lloyd_found found, *all = &r->found[CPU];
    lloyd_buffer sums;
    TRY(p, CPU, "begin", alone->begin(alone));
    if (i != frozen) TRY(p, CPU, "assign", alone->assign(alone, 0));
    TRY(p, CPU, "accumulate", alone->accumulate(alone, 0));
    TRY(p, CPU, "sums", alone->sums(alone, &sums));
    TRY(p, CPU, "inertia", alone->inertia(alone, p->squares, &found));
    r->moved[i] = found.moved;
    all->moved += found.moved;
    all->empty += found.empty;
    all->fallback_rows += found.fallback_rows;
    all->largest = fmax(all->largest, found.largest);
    TRY(p, CPU, "update", alone->update(alone));
    return 1;
}

static int iterate_together(problem *p, const groups *g, results *r)
{
    lloyd_kernels *cuda = p->side[CUDA];
    TRY(p, CUDA, "begin", cuda->begin(cuda));
    TRY(p, CUDA, "assign", cuda->assign(cuda, 0));
    TRY(p, CUDA, "accumulate", cuda->accumulate(cuda, 0));
    TRY(p, CUDA, "inertia", cuda->inertia(cuda, p->squares, &r->found[CUDA]));
    TRY(p, CUDA, "groups_moved", cuda->groups_moved(cuda, r->moved + g->count));
    TRY(p, CUDA, "update", cuda->update(cuda));
    return 1;
}

static int compare_iteration_of(problem *p, const groups *g, int64_t frozen, results *r)
{
    const lloyd_found *found = r->found;
    memset(r->found, 0, SIDES * sizeof *r->found);
    if (!iterate_together(p, g, r)) return 0;
    for (int64_t i = 0; i < g->count; i++)
        if (!iterate_alone(p, g, i, frozen, r)) return 0;
    for (int side = 0; side < SIDES; side++) p->fallback_rows[side] = found[side].fallback_rows;
    const int64_t moved[] = {found[CPU].moved, found[CUDA].moved};
    const int64_t empty[] = {found[CPU].empty, found[CUDA].empty};
    return take_labels(p, g, r) &&
           same(p, "groups_moved", I64, r->moved, r->moved + g->count, g->count, 1) &&
           same_count(p, "inertia: moved", moved) && same_count(p, "inertia: empty", empty) &&
           same(p, "inertia: largest", F64, &found[CPU].largest, &found[CUDA].largest, 1, 1) &&
           take_centroids(p, g, r);
}

/* The assignment that a fit ends with, where groups at rest are left out. */
static int compare_last(problem *p, const groups *g, results *r)
{
    lloyd_kernels *cuda = p->side[CUDA];
    TRY(p, CUDA, "begin", cuda->begin(cuda));
    TRY(p, CUDA, "assign", cuda->assign(cuda, 0));
    TRY(p, CUDA, "finish", cuda->finish(cuda));
    for (int64_t i = 0; i < g->count; i++) {
        TRY(p, CPU, "begin", g->alone[i]->begin(g->alone[i]));
        TRY(p, CPU, "assign", g->alone[i]->assign(g->alone[i], 0));
    }
    return take_labels(p, g, r) && take_distances(p, g, r);
}

static int compare_iterations_of(problem *p, groups *g)
{
    enum { FROZEN = 2, ITERATIONS = 5 };
    lloyd_kernels *cuda = p->side[CUDA];
    results r = new_results(p, g);
    int good = set_centroids_of(p, g, g->centroids, p->centroids) &&
               !failed(p, CUDA, cuda->forget_labels(cuda), "forget_labels");
    for (int64_t i = 0; i < g->count && good; i++)
        good = !failed(p, CPU, g->alone[i]->forget_labels(g->alone[i]), "forget_labels");
    for (p->iteration = 1; p->iteration <= ITERATIONS && good; p->iteration++) {
        const int64_t frozen = p->iteration == FROZEN ? choose_frozen(g) : -1;
        if (frozen >= 0) g->active[frozen] = 0;
        good = compare_iteration_of(p, g, frozen, &r);
        leave_resting(g, &r, frozen);
    }
    good = good && compare_last(p, g, &r);
    p->iteration = 0;
    free_results(&r);
    return good;
}

/* --- cases --- */

/* The filter and the pruning that groups have, whatever --override says. */
static void configure(lloyd_kernels *cuda)
{
    cuda->config.filter = LLOYD_FILTER_FLOAT;
    cuda->config.prune = LLOYD_PRUNE_OFF;
    cuda->config.prune_group = 0;
}

static void run(const test_case *c, int64_t count)
{
    char what[32];
    (void)snprintf(what, sizeof what, " (%lld groups of rows)", (long long)count);
    if (!begin_case(c, what)) return;
    double start = seconds();
    groups g = new_groups(c, count);
    problem p = new_problem(c);
    if (new_kernels(&p)) {
        configure(p.side[CUDA]);
        if (compare_measures(&p) && open_alone(&p, &g))
            (void)(compare_seeding_of(&p, &g) && compare_choices_of_rows(&p) &&
                   compare_iterations_of(&p, &g));
    }
    end_case(&p, start);
    close_groups(&g);
    free_problem(&p);
}

typedef struct shape {
    int64_t n, groups, k;
} shape;

/* A case without weights, whose rows are all in one slot. */
static void run_shape(int i, const data_kind *kinds, int kind_count, int64_t d, const shape *s)
{
    test_case c = varied(i, kinds[i % kind_count], s->n, d, s->k);
    c.weighting = UNWEIGHTED;
    c.layout = WHOLE;
    run(&c, s->groups);
}

/* Of real size: centroids that are streamed, with few and with many columns; more of a group than are else compared in the order of
 * their lengths; few of each group; more groups than one launch takes, each with centroids that a multiprocessor has room for. */
static void run_large(void)
{
    static const struct {
        test_case c;
        int64_t groups;
    } cases[] = {
        {{SIFT, LLOYD_U8, 60011, 128, 1300, 0, UNWEIGHTED, WHOLE}, 16},
        {{GAUSS, LLOYD_F16, 30011, 64, 1500, 0, UNWEIGHTED, WHOLE}, 9},
        {{GAUSS, LLOYD_F32, 20011, 200, 1200, 0, UNWEIGHTED, WHOLE}, 3},
        {{GAUSS, LLOYD_BF16, 5003, 768, 600, 1, UNWEIGHTED, WHOLE}, 5},
        {{GAUSS, LLOYD_F32, 3001, 200, 6000, 0, UNWEIGHTED, WHOLE}, 3},
        {{SHARED, LLOYD_F32, 40011, 17, 60, 0, UNWEIGHTED, WHOLE}, 15},
        {{SHARED, LLOYD_I8, 60013, 32, 2000, 1, UNWEIGHTED, WHOLE}, 16},
        {{SIFT, LLOYD_U8, 50021, 96, 1100, 0, UNWEIGHTED, WHOLE}, MOST_GROUPS},
        {{GAUSS, LLOYD_F32, 30013, 61, 1000, 1, UNWEIGHTED, WHOLE}, 140},
        {{SIFT, LLOYD_U8, 50021, 96, 3000, 0, UNWEIGHTED, WHOLE}, 160},
        {{LATTICE, LLOYD_F16, 40009, 384, 2500, 0, UNWEIGHTED, WHOLE}, 150},
    };
    for (int i = 0; i < COUNT_OF(cases); i++) run(&cases[i].c, cases[i].groups);
}

void test_groups(void **unused)
{
    (void)unused;
    static const data_kind kinds[] = {GAUSS,  LATTICE,  DUPLICATES, SIFT,   OFFSET, OUTLIER,  TINY,
                                      SHARED, BISECTOR, COLUMNS,    SPREAD, ZEROS,  SUBNORMAL};
    static const int64_t dims[] = {16, 128, 3, 70, 200, 1, 300};
    static const shape shapes[] = {{1003, 7, 300}, {503, 5, 12}, {2003, 16, 700},
                                   {691, 3, 40},   {97, 16, 60}, {5003, 2, 150}};
    static const shape small[] = {{211, 4, 160}, {101, 5, 13}, {97, 7, 40}};
    /* they have the other filter, without pruning */
    if (strstr(options.override, "int8") || strstr(options.override, "prune")) return;
    for (int i = 0; i < (options.small ? 2 * COUNT_OF(dims) : 0); i++)
        run_shape(i, kinds, COUNT_OF(kinds), dims[i % COUNT_OF(dims)], &small[i % COUNT_OF(small)]);
    for (int i = 0; i < (options.small ? 0 : 2 * TYPES * COUNT_OF(dims)); i++)
        run_shape(i, kinds, COUNT_OF(kinds), dims[i / TYPES % COUNT_OF(dims)],
                  &shapes[i % COUNT_OF(shapes)]);
    if (!options.small) run_large();
    finish_list();
}
