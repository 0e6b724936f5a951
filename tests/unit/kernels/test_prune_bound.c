/* The arithmetic of pruning (docs/numerics.md, section 2.8). Each function against long double, which has 11 bits more; then whole
 * runs, in which rows keep bounds while centroids move: no bound may ever claim more than is true, and a group that passes may not
 * hold the label of the definition. The runs are made to bring bounds as near to the truth as they can be.
 */
#include "kernels/dist.h"
#include "kernels/prune_bound.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DIM = 3, ROWS = 40, GROUP = 4, GROUPS = 5, SET = GROUP * GROUPS };

static uint64_t state = 0x9e3779b97f4a7c15U;

static uint32_t draw(void)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 20);
}

static int below(int n)
{
    return (int)(draw() % (uint32_t)n);
}

/* In [0, 1). */
static double uniform(void)
{
    return (double)draw() * 0x1p-32 + (double)draw() * 0x1p-64;
}

/* Of any size from 2^-least to 2^most. */
static double of_any_size(int least, int most)
{
    return (1 + uniform()) * lloyd_exp2(least + below(most - least));
}

/* --- the functions --- */

/* As large as what they stand for, and hardly larger. */
static void test_roundings(void **unused)
{
    (void)unused;
    for (int i = 0; i < 300000; i++) {
        double per_unit = of_any_size(-100, 100),
               drift = below(3) ? of_any_size(-30, 17) : below(100000);
        double least = of_any_size(-12, 17) / per_unit;
        /* also where the truth is a whole number, or next to one */
        if (below(4) == 0)
            per_unit = lloyd_exp2(below(100) - 50), least = (double)below(70000) / per_unit;
        if (below(8) == 0) least = nextafter(least, 0);
        long double truth = (long double)least * per_unit + drift;
        uint16_t bound = lloyd_group_bound(least, per_unit, drift);
        assert_true((long double)bound <= truth);
        assert_true((long double)bound > truth - 1.01L - 1e-6L * truth || bound == PRUNE_MOST);
        float reach = lloyd_group_reach(least, per_unit);
        assert_true((long double)reach >= (long double)least * per_unit);
        assert_true((long double)reach <= (long double)least * per_unit * (1 + 1e-6L));
        double after = lloyd_group_drift(drift, least * least, per_unit);
        assert_true((long double)after - drift >= (long double)least * per_unit);
        assert_true((long double)after - drift <=
                    (long double)least * per_unit * (1 + 1e-7L) + drift * 1e-11L);
        assert_true(lloyd_group_drift(drift, 0, per_unit) == drift);
    }
}

/* The bound of a row from that of its centroid: what is left of it, and no more. */
static void test_first_bounds(void **unused)
{
    (void)unused;
    for (int i = 0; i < 300000; i++) {
        uint16_t apart = (uint16_t)below(65536), reach = (uint16_t)below(below(2) ? 65536 : 100);
        double drift = below(3) ? of_any_size(-30, 17) : (double)below(65536);
        long double truth = (long double)apart - reach + drift;
        uint16_t bound = lloyd_group_begun(apart, reach, drift);
        assert_true(bound == 0 || (long double)bound <= truth);
        assert_true((long double)bound > truth - 1 || bound == PRUNE_MOST || apart <= reach);
    }
}

/* What is kept of a reach and added to a longer path is never less than the two of them, also where hardly anything is left of the reach. */
static void test_far(void **unused)
{
    (void)unused;
    for (int i = 0; i < 300000; i++) {
        float reach = below(4) ? lloyd_bound_up(of_any_size(-30, 16)) : (float)below(65536);
        double path = below(3) ? of_any_size(-30, 60) : (double)below(1 << 30);
        double later = path + (below(4) ? of_any_size(-40, 20) : 0);
        float after = lloyd_group_reach_of_far(lloyd_group_far(reach, path), later);
        long double truth = (long double)reach + ((long double)later - path);
        assert_true((long double)after >= truth * (1 - 0x1p-52L));
        assert_true((long double)after <= truth * (1 + 1e-6L) + (long double)path * 1e-6L);
    }
}

/* Every movement counts in full, after any number of others. */
static void test_long_drift(void **unused)
{
    (void)unused;
    for (int run = 0; run < 20; run++) {
        double drift = 0, per_unit = of_any_size(-3, 3), step = of_any_size(-40, -5);
        long double truth = 0;
        for (int t = 0; t < 100000; t++) {
            drift = lloyd_group_drift(drift, step * step, per_unit);
            truth += sqrtl((long double)step * step) * per_unit;
        }
        assert_true((long double)drift >= truth);
        assert_true((long double)drift <= truth * (1 + 1e-6L));
    }
}

/* A group passes only if the bound is above the exact sum, in either way to compare; and it does if that is clear. */
static void test_comparison(void **unused)
{
    (void)unused;
    int64_t passed = 0;
    for (int i = 0; i < 300000; i++) {
        uint16_t bound = (uint16_t)below(65536);
        /* sums at, just below and just above the bound */
        double drift = uniform() * (double)bound * (below(8) ? 1 : 1.5);
        float reach = lloyd_bound_up(
            fmax((double)bound - drift + (double)(below(5) - 2) * (below(2) ? 1 : 0x1p-14), 0));
        float up = lloyd_bound_up(drift);
        if (below(4) == 0)
            reach = (float)below(65536), up = (float)(bound > (int)reach ? bound - (int)reach : 0);
        long double sum = (long double)reach + up;
        int passes = !lloyd_group_fails(bound, reach, up);
        uint16_t whole_reach = lloyd_group_whole(reach), whole_drift = lloyd_group_whole(up);
        int whole = whole_reach + whole_drift;
        int passes_whole = bound > (whole < PRUNE_MOST ? whole : PRUNE_MOST);
        assert_true(!passes || (long double)bound > sum);
        assert_true(!passes_whole || (long double)bound > sum);
        assert_true(passes || (long double)bound < sum + 0.01L);
        assert_true(passes_whole || (long double)bound < sum + 2.01L);
        passed += passes;
    }
    assert_true(passed > 30000);
}

/* What is not finite, or out of range, lets no group pass. */
static void test_extremes(void **unused)
{
    (void)unused;
    assert_int_equal(lloyd_group_bound(INFINITY, 1, 0), PRUNE_MOST);
    assert_int_equal(lloyd_group_bound(1e300, 1e5, 0), PRUNE_MOST);
    assert_int_equal(lloyd_group_bound(NAN, 1, 0.5), 0);
    assert_int_equal(lloyd_group_bound(-5, 1, 7.5), 7);
    assert_int_equal(lloyd_group_bound(0, 1, 0), 0);
    assert_true(lloyd_group_fails(PRUNE_MOST, INFINITY, 0));
    assert_true(lloyd_group_fails(PRUNE_MOST, 0, INFINITY));
    assert_true(lloyd_group_fails(PRUNE_MOST, NAN, 0));
    assert_true(lloyd_group_fails(0, 0, 0));
    assert_int_equal(lloyd_group_whole(INFINITY), PRUNE_MOST);
    assert_int_equal(lloyd_group_whole(NAN), PRUNE_MOST);
    assert_int_equal(lloyd_group_whole(0.25F), 1);
    assert_int_equal(lloyd_group_whole(65534.5F), PRUNE_MOST);
    uint16_t shift;
    assert_true(lloyd_group_rebase(1e9, &shift) == 0 && shift == PRUNE_MOST);
    assert_true(lloyd_group_rebase(INFINITY, &shift) == 0 && shift == PRUNE_MOST);
    assert_int_equal(lloyd_group_shifted(PRUNE_MOST, PRUNE_MOST), 0);
    assert_true(lloyd_group_least(INFINITY, 1) == 0 && lloyd_group_least(1, INFINITY) == 0);
    assert_true(lloyd_group_least(NAN, 1) == 0 && lloyd_group_least(1, NAN) == 0 &&
                lloyd_group_least(-1, 0) == 0);
    assert_true(lloyd_group_least(1e38F, 1e20F) == 0 && lloyd_group_least(1e-44F, 1e-22F) == 0);
}

static void test_rebase(void **unused)
{
    (void)unused;
    for (int i = 0; i < 200000; i++) {
        double drift =
            below(2) ? of_any_size(-10, 17) : (double)below(70000) + (double)below(2) * 0.75;
        uint16_t shift, bound = (uint16_t)below(65536);
        double after = lloyd_group_rebase(drift, &shift);
        long double claim = fmaxl((long double)bound - drift, 0),
                    later = (long double)lloyd_group_shifted(bound, shift) - after;
        assert_true(after >= 0 && after < 1);
        assert_true(later <= claim);
        assert_true(drift >= PRUNE_MOST || bound <= drift || later == claim);
    }
}

/* r^2 / 2 + F r >= half must imply r >= least. */
static void test_least(void **unused)
{
    (void)unused;
    for (int i = 0; i < 300000; i++) {
        float spread = below(8) ? (float)of_any_size(-40, 40) : 0,
              half = (float)of_any_size(-45, 80);
        long double least = lloyd_group_least(half, spread);
        long double root = sqrtl((long double)spread * spread + 2.0L * half) - spread;
        assert_true(least <= root);
        assert_true(least >= root - 4e-6L * (root + spread));
    }
}

/* --- runs --- */

typedef struct run {
    double per_unit, drift[GROUPS];
    float x[ROWS][DIM], c[SET][DIM];
    int label[ROWS];
    uint16_t bound[ROWS][GROUPS];
    double path[SET]; /* of centroids */
    float far[ROWS];
    int looked_at[ROWS]; /* the label that `far` is of, -1: none */
    int64_t passed, pairs, begun, left_out;
} run;

static run r;

/* The exact distance, rounded up or down. */
static double distance(const float *x, const float *c, double direction)
{
    long double square = 0;
    for (int j = 0; j < DIM; j++) square += ((long double)x[j] - c[j]) * ((long double)x[j] - c[j]);
    return nextafter((double)sqrtl(square), direction);
}

static int nearest(const float *x)
{
    int label = 0;
    for (int k = 1; k < SET; k++)
        if (lloyd_dist(x, r.c[k], DIM) < lloyd_dist(x, r.c[label], DIM)) label = k;
    return label;
}

static void check_claims(int i)
{
    for (int k = 0; k < SET; k++) {
        int g = k / GROUP;
        long double truth = (long double)distance(r.x[i], r.c[k], INFINITY) * r.per_unit;
        if (k != r.label[i])
            assert_true((long double)r.bound[i][g] - r.drift[g] <= truth * (1 + 1e-18L));
    }
}

/* The least distance to the centroids of a group but the label, or 0: the bound of one that was compared. */
static uint16_t refreshed(int i, int g, int label)
{
    double least = INFINITY;
    for (int k = g * GROUP; k < (g + 1) * GROUP; k++)
        if (k != label) least = fmin(least, distance(r.x[i], r.c[k], 0));
    return lloyd_group_bound(least, r.per_unit, r.drift[g]);
}

/* Raises the bounds of a row to what the distances of its centroid to the others say. */
static void begin(int i, float reach)
{
    const float *own = r.c[r.label[i]];
    for (int g = 0; g < GROUPS; g++) {
        double least = INFINITY;
        for (int k = g * GROUP; k < (g + 1) * GROUP; k++)
            if (k != r.label[i]) least = fmin(least, distance(own, r.c[k], 0));
        uint16_t bound = lloyd_group_begun(lloyd_group_bound(least, r.per_unit, 0),
                                           lloyd_group_whole(reach), r.drift[g]);
        if (bound > r.bound[i][g]) r.bound[i][g] = bound, r.begun++;
    }
}

/* Whether all groups pass with what the row's own distance can be at most, which is not computed. */
static int may_be_left_out(int i)
{
    int k = r.label[i];
    if (r.looked_at[i] != k) return 0;
    float reach = lloyd_group_reach_of_far(r.far[i], r.path[k]);
    assert_true((double)reach >= distance(r.x[i], r.c[k], 0) * r.per_unit * (1 + 0x1p-29));
    for (int g = 0; g < GROUPS; g++)
        if (lloyd_group_fails(r.bound[i][g], reach, lloyd_bound_up(r.drift[g]))) return 0;
    return 1;
}

static void assign(int i)
{
    int label = nearest(r.x[i]), before = r.label[i];
    if (may_be_left_out(i)) {
        assert_int_equal(label, before);
        r.left_out++;
        return;
    }
    double own = sqrt(lloyd_dist(r.x[i], r.c[before], DIM));
    float reach = lloyd_group_reach(own, r.per_unit);
    int fails[GROUPS];
    r.far[i] = lloyd_group_far(reach, r.path[before]);
    r.looked_at[i] = before;
    check_claims(i);
    if (below(3) == 0) begin(i, reach);
    check_claims(i);
    for (int g = 0; g < GROUPS; g++) {
        fails[g] = lloyd_group_fails(r.bound[i][g], reach, lloyd_bound_up(r.drift[g]));
        r.passed += !fails[g];
        r.pairs++;
        for (int k = g * GROUP; k < (g + 1) * GROUP && !fails[g]; k++)
            assert_true(k == before ||
                        lloyd_dist(r.x[i], r.c[k], DIM) > lloyd_dist(r.x[i], r.c[before], DIM));
    }
    assert_true(label == before || fails[label / GROUP]);
    r.label[i] = label;
    for (int g = 0; g < GROUPS; g++)
        if (fails[g]) r.bound[i][g] = refreshed(i, g, label);
    if (label != before) { /* it was no one's business while it was the label */
        int g = before / GROUP;
        uint16_t bound =
            lloyd_group_bound(distance(r.x[i], r.c[before], 0), r.per_unit, r.drift[g]);
        if (bound < r.bound[i][g]) r.bound[i][g] = bound;
    }
    check_claims(i);
}

static void move(int k, const float *to)
{
    memcpy(r.c[k], to, sizeof r.c[k]);
}

static void iterate(void (*update)(int t), int iterations)
{
    float before[SET][DIM];
    memset(r.bound, 0, sizeof r.bound);
    memset(r.drift, 0, sizeof r.drift);
    memset(r.path, 0, sizeof r.path);
    r.passed = r.pairs = r.begun = r.left_out = 0;
    for (int i = 0; i < ROWS; i++) r.label[i] = nearest(r.x[i]), r.looked_at[i] = -1;
    for (int t = 0; t < iterations; t++) {
        for (int i = 0; i < ROWS; i++) assign(i);
        memcpy(before, r.c, sizeof before);
        update(t);
        for (int k = 0; k < SET; k++)
            r.path[k] =
                lloyd_group_drift(r.path[k], lloyd_dist(before[k], r.c[k], DIM), r.per_unit);
        for (int g = 0; g < GROUPS; g++) {
            double most = 0;
            for (int k = g * GROUP; k < (g + 1) * GROUP; k++)
                most = fmax(most, lloyd_dist(before[k], r.c[k], DIM));
            r.drift[g] = lloyd_group_drift(r.drift[g], most, r.per_unit);
            if (r.drift[g] < 50) continue; /* sooner than need be */
            uint16_t shift;
            r.drift[g] = lloyd_group_rebase(r.drift[g], &shift);
            for (int i = 0; i < ROWS; i++)
                r.bound[i][g] = lloyd_group_shifted(r.bound[i][g], shift);
        }
    }
}

/* Means of the rows, with a push now and then. */
static void to_means(int t)
{
    for (int k = 0; k < SET; k++) {
        double sum[DIM] = {0};
        int n = 0;
        float c[DIM];
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < DIM && r.label[i] == k; j++)
                sum[j] += (double)r.x[i][j], n += j == 0;
        for (int j = 0; j < DIM; j++) c[j] = n ? (float)(sum[j] / n) : r.c[k][j];
        if (t % 7 == 3 && below(6) == 0)
            for (int j = 0; j < DIM; j++) c[j] += (float)(uniform() - 0.5);
        move(k, c);
    }
}

static void test_means(void **unused)
{
    (void)unused;
    int64_t left_out = 0;
    for (int many = 0; many < 300; many++) {
        double size = of_any_size(-20, 20);
        for (int i = 0; i < ROWS; i++)
            for (int j = 0; j < DIM; j++) r.x[i][j] = (float)(size * uniform());
        for (int k = 0; k < SET; k++) memcpy(r.c[k], r.x[below(ROWS)], sizeof r.c[k]);
        r.per_unit = 4096 / size * of_any_size(-4, 4);
        iterate(to_means, 30);
        assert_true(r.passed > r.pairs / 20 && r.begun > 0);
        left_out += r.left_out;
    }
    assert_true(left_out > (int64_t)300 * 30 * ROWS / 20);
}

/* Everything on a line: rows at 0, centroids at whole numbers, which walk to and fro by whole numbers. Units are such that nothing
 * is rounded: every bound is what it claims, and ties are as frequent as they can be. */
static void walk(int t)
{
    (void)t;
    for (int k = 0; k < SET; k++) {
        float c[DIM] = {r.c[k][0]};
        c[0] += (float)(below(5) - 2);
        move(k, c);
    }
}

static void test_line(void **unused)
{
    (void)unused;
    for (int many = 0; many < 300; many++) {
        memset(&r, 0, sizeof r);
        for (int i = 0; i < ROWS; i++) r.x[i][0] = (float)(i % 4);
        for (int k = 0; k < SET; k++) r.c[k][0] = (float)(below(40) - 20);
        r.per_unit = below(2) ? 1 : 0.25;
        iterate(walk, 60);
    }
}

/* One centroid comes straight at the rows, as fast as the bound allows, and ends as far from them as their own. */
static void approach(int t)
{
    float c[DIM] = {0};
    c[0] = (float)(64 - t - 1) * 0.1F;
    move(SET - 1, c);
}

static void test_approach(void **unused)
{
    (void)unused;
    for (int many = 0; many < 200; many++) {
        memset(&r, 0, sizeof r);
        for (int k = 0; k < SET; k++) r.c[k][0] = 100;
        r.c[0][0] = -(float)below(64) * 0.1F;
        r.c[SET - 1][0] = 6.4F;
        r.per_unit = of_any_size(-2, 12);
        iterate(approach, 64);
        assert_true(r.passed > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roundings),  cmocka_unit_test(test_long_drift),
        cmocka_unit_test(test_comparison), cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_rebase),     cmocka_unit_test(test_least),
        cmocka_unit_test(test_means),      cmocka_unit_test(test_line),
        cmocka_unit_test(test_approach),   cmocka_unit_test(test_first_bounds),
        cmocka_unit_test(test_far),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
