#include "seeding.h"

#include "case.h"
#include "differ.h"
#include "transfers.h"
#include "values.h"

#include "base/memory.h"
#include "kernels/cuda/seed/reduce.h"
#include "kernels/numerics.h"

#include <math.h>

typedef struct comparison {
    int64_t base;
    double greatest;
} comparison;

static lloyd_status seed_compare_chunk(lloyd_kernels *kernels, int slot, int64_t first,
                                       void *result)
{
    comparison *c = result;
    (void)first;
    return kernels->seed_compare(kernels, slot, c->base, &c->greatest);
}

static int compare_picks(problem *p, int exponent, int bits, int64_t total)
{
    const int64_t targets[] = {0,         total - 1,    total / 2,   total / 3,
                               total / 7, below(total), below(total)};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        int64_t row[SIDES];
        for (int s = 0; s < SIDES; s++)
            TRY(p, s, "seed_pick",
                p->side[s]->seed_pick(p->side[s], exponent, bits, targets[i], &row[s]));
        if (!same_count(p, "seed_pick", row)) return 0;
    }
    return 1;
}

static int compare_sample(problem *p, int exponent, int bits, int64_t total, int64_t capacity)
{
    int64_t *rows = new_array(SIDES * capacity, sizeof *rows), count[SIDES];
    int64_t offset = ((int64_t)1 << 33) + 5, oversampling = 2 * p->c.k;
    uint64_t seed = next_word();
    int good = 1, round = (int)below(5);
    for (int s = 0; s < SIDES && good; s++) {
        lloyd_kernels *kernels = p->side[s];
        good =
            !failed(p, s,
                    kernels->seed_sample(kernels, exponent, bits, total, oversampling, seed, round,
                                         offset, capacity, rows + s * capacity, &count[s]),
                    "seed_sample");
    }
    good = good && same_count(p, "seed_sample: how many", count) &&
           same(p, "seed_sample: rows", I64, rows, rows + capacity, count[CPU], 1);
    lloyd_free(rows);
    return good;
}

/* Everything that is drawn from masses of at most `greatest`. */
static int compare_draws(problem *p, double greatest)
{
    int exponent = lloyd_exponent(greatest);
    int bits = lloyd_bits(p->c.n << (p->c.d % 2 ? 20 : 0), LLOYD_MASS_BITS);
    int64_t total[SIDES];
    for (int s = 0; s < SIDES; s++)
        TRY(p, s, "seed_total", p->side[s]->seed_total(p->side[s], exponent, bits, &total[s]));
    if (!same_count(p, "seed_total", total)) return 0;
    if (total[CPU] == 0) return 1;
    return compare_picks(p, exponent, bits, total[CPU]) &&
           compare_sample(p, exponent, bits, total[CPU], p->c.n) &&
           compare_sample(p, exponent, bits, total[CPU] * 2, 3);
}

typedef struct attempt {
    int exponent, bits;
    int64_t totals[LLOYD_MOST_TRIALS];
} attempt;

static lloyd_status seed_try_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *result)
{
    attempt *a = result;
    (void)first;
    return kernels->seed_try(kernels, slot, a->exponent, a->bits, a->totals);
}

/* What some rows, a few or many, would leave of masses of at most `greatest`. */
static int compare_tries(problem *p, double greatest)
{
    static const int64_t counts[] = {1, 2, 9, 33, LLOYD_MOST_TRIALS};
    int64_t d = p->c.d, count = counts[below(p->c.n * d > 100000 ? 4 : 5)];
    float *tried = new_array(count * d, sizeof *tried);
    attempt a[SIDES];
    for (int64_t i = 0; i < count; i++) {
        memcpy(tried + i * d, p->centroids + below(p->c.k) * d, (size_t)d * sizeof *tried);
        if (i % 3 != 0) tried[i * d + below(d)] -= 1;
    }
    int good = set_centroids(p, count, tried);
    for (int s = 0; s < SIDES && good; s++) {
        a[s] = (attempt){.exponent = lloyd_exponent(greatest),
                         .bits = lloyd_bits(p->c.n, LLOYD_MASS_BITS)};
        good = pass(p, s, "seed_try", seed_try_chunk, &a[s]);
    }
    good = good && same(p, "seed_try", I64, a[CPU].totals, a[CUDA].totals, count, 1);
    lloyd_free(tried);
    return good;
}

/* Compares the rows with `count` centroids more, and draws and tries. */
static int compare_seeds(problem *p, int64_t base, int64_t count, const float *centroids)
{
    comparison c[SIDES] = {{base, 0}, {base, 0}};
    if (!set_centroids(p, count, centroids)) return 0;
    for (int s = 0; s < SIDES; s++) {
        if (!pass(p, s, "seed_compare", seed_compare_chunk, &c[s])) return 0;
    }
    return same(p, "seed_compare: mass", F64, &c[CPU].greatest, &c[CUDA].greatest, 1, 1) &&
           compare_draws(p, c[CPU].greatest) && compare_tries(p, c[CPU].greatest);
}

static int compare_masses(problem *p, int64_t seeds)
{
    int64_t *masses = new_array(SIDES * seeds, sizeof *masses);
    int good = 1;
    for (int s = 0; s < SIDES && good; s++)
        good =
            !failed(p, s, p->side[s]->seed_masses(p->side[s], masses + s * seeds), "seed_masses");
    good = good && same(p, "seed_masses", I64, masses, masses + seeds, seeds, 1);
    lloyd_free(masses);
    return good;
}

/* Seeds: one centroid, a few, and then more than K, as kmeans|| has them. */
static int compare_rounds(problem *p)
{
    enum { MOST = 300 };
    int64_t d = p->c.d, many = 2 * p->c.k + 3 < MOST ? 2 * p->c.k + 3 : MOST, few = 3;
    double greatest = 1;
    for (int64_t i = 0; p->weights && i < p->c.n; i++)
        greatest = fmax(greatest, (double)p->weights[i]);
    float *seeds = new_array((1 + few + many) * d, sizeof *seeds);
    for (int64_t i = 0; i < 1 + few + many; i++) {
        memcpy(seeds + i * d, p->centroids + below(p->c.k) * d, (size_t)d * sizeof *seeds);
        if (i % 3 == 0) seeds[i * d + below(d)] += 1;
    }
    int good = compare_draws(p, greatest) && compare_seeds(p, 0, 1, seeds) &&
               compare_seeds(p, 1, few, seeds + d) &&
               compare_seeds(p, 1 + few, many, seeds + (1 + few) * d) &&
               compare_masses(p, 1 + few + many);
    lloyd_free(seeds);
    return good;
}

int compare_seeding(problem *p)
{
    int good = 1;
    for (int s = 0; s < SIDES && good; s++)
        good = !failed(p, s, p->side[s]->seed_begin(p->side[s]), "seed_begin");
    good = good && compare_rounds(p);
    for (int s = 0; s < SIDES; s++) {
        if (failed(p, s, p->side[s]->seed_end(p->side[s]), "seed_end")) good = 0;
    }
    return good;
}

enum { MOST_LEAVES = 11 };

typedef struct reduction {
    lloyd_reduction r, on_gpu;
    lloyd_leaf leaf[MOST_LEAVES];
    int64_t leaves, all; /* choices of all leaves */
    float *points;
    double *weights;
    int64_t *members;
} reduction;

/* Points like the centroids, many of them twice, and weights of all sizes, 0 among them. */
static void draw_points(const problem *p, int64_t count, float *points, double *weights)
{
    const int64_t d = p->c.d;
    for (int64_t i = 0; i < count; i++) {
        float *x = points + i * d;
        memcpy(x, p->centroids + below(p->c.k) * d, (size_t)d * sizeof *x);
        for (int j = 0; j < 3 && i % 4 != 0; j++) x[below(d)] += (float)(below(9) - 4);
        for (int64_t j = 0; j < d && i % 2 != 0; j++) x[j] *= 1 + 0.25F * bell();
        weights[i] = i % 7 == 0 ? 0 : i % 3 == 0 ? ldexp(1, (int)below(50)) : (double)below(1000);
    }
}

/* Every leaf has one of `leaves` points in turn. */
static reduction new_reduction(problem *p, int64_t count, int64_t leaves, int64_t most, int trials)
{
    reduction n = {.leaves = leaves, .points = new_array(count * p->c.d, sizeof(float))};
    n.weights = new_array(count, sizeof *n.weights);
    n.members = new_array(count, sizeof *n.members);
    draw_points(p, count, n.points, n.weights);
    n.r = (lloyd_reduction){.count = count,
                            .dim = p->c.d,
                            .points = n.points,
                            .weights = n.weights,
                            .k = count,
                            .trials = trials,
                            .threads = options.threads,
                            .room = INT64_MAX};
    n.on_gpu = n.r;
    int64_t at = 0;
    for (int64_t l = 0; l < leaves; l++) {
        lloyd_leaf *leaf = &n.leaf[l];
        *leaf = (lloyd_leaf){.number = 3 * l + below(3),
                             .seed = next_word(),
                             .members = n.members + at};
        for (int64_t i = l; i < count; i += leaves) n.members[at + leaf->count++] = i;
        at += leaf->count;
        leaf->most = most < leaf->count ? most : leaf->count;
        n.all += leaf->most;
    }
    return n;
}

static void free_reduction(reduction *n)
{
    lloyd_free(n->points);
    lloyd_free(n->weights);
    lloyd_free(n->members);
}

/* *calls = how many it took. */
static int choose(problem *p, int s, reduction *n, lloyd_choice *choices, int *calls)
{
    const lloyd_reduction *r = s == CUDA ? &n->on_gpu : &n->r;
    *calls = 0;
    for (int64_t l = 0; l < n->leaves; l++) {
        n->leaf[l].choices = choices;
        choices += n->leaf[l].most;
    }
    for (int64_t at = 0, done = 0; at < n->leaves; at += done, ++*calls) {
        TRY(p, s, "reduce", p->side[s]->reduce(p->side[s], r, n->leaf + at, n->leaves - at, &done));
        assert_true(done > 0 && done <= n->leaves - at);
    }
    return 1;
}

/* The GPU's choices, behind those of the CPU, by so many leaves at a time. */
static int choose_as(problem *p, reduction *n, lloyd_choice *choices, int64_t at_once)
{
    int calls;
    if (!choose(p, CUDA, n, choices + n->all, &calls) ||
        !same(p, "reduce: [choice][gain, point]", I64, choices, choices + n->all, 2 * n->all, 2))
        return 0;
    if (calls == (int)((n->leaves + at_once - 1) / at_once)) return 1;
    p->differences++;
    describe(p, "reduce");
    print_error("%d calls for %lld leaves\n", calls, (long long)n->leaves);
    return 0;
}

int compare_choices(problem *p, int64_t count, int64_t leaves, int64_t most, int trials)
{
    reduction n = new_reduction(p, count, leaves, most, trials);
    lloyd_choice *choices = new_array(SIDES * n.all, sizeof *choices);
    int calls, good = choose(p, CPU, &n, choices, &calls);
    for (int once = 0; once < 2 && good; once++) {
        if (once) n.on_gpu.room = lloyd_cuda_reduce_bytes(n.leaf[0].count, p->c.d, 1);
        good = choose_as(p, &n, choices, once ? 1 : LLOYD_LEAVES_AT_ONCE);
    }
    lloyd_free(choices);
    free_reduction(&n);
    return good;
}

/* The points are rows that the GPU has, and all leaves may be reduced at a time. */
int compare_choices_of_rows(problem *p)
{
    const int64_t leaves = 1 + below(MOST_LEAVES), count = leaves + below(90);
    reduction n = new_reduction(p, count, leaves, 1 + below(20), 1 + (int)below(9));
    lloyd_choice *choices = new_array(SIDES * n.all, sizeof *choices);
    int64_t *rows = new_array(count, sizeof *rows);
    int calls;
    for (int64_t i = 0; i < count; i++) rows[i] = below(p->c.n);
    n.on_gpu.points = NULL;
    n.on_gpu.rows = rows;
    n.on_gpu.at_once = MOST_LEAVES;
    int good =
        !failed(p, CPU, p->side[CPU]->rows(p->side[CPU], 0, rows, count, n.points), "rows") &&
        choose(p, CPU, &n, choices, &calls) && choose_as(p, &n, choices, MOST_LEAVES);
    n.on_gpu.room = 0; /* the host chooses, of the GPU's rows */
    good = good && choose_as(p, &n, choices, 1);
    lloyd_free(choices);
    lloyd_free(rows);
    free_reduction(&n);
    return good;
}

int compare_reduction(problem *p)
{
    static const int trials[] = {1, 2, 31, 32, 33, LLOYD_MOST_TRIALS};
    int64_t leaves = 1 + below(MOST_LEAVES), count = leaves + below(options.small ? 90 : 700);
    int64_t most = 1 + below(options.small ? 4 : 40);
    return compare_choices(p, count, leaves, most, trials[below(6)]);
}
