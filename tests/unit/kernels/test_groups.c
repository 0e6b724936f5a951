/* Groups of centroids: a permutation whatever the input, the same for any number of threads, and near each other. */
#include "kernels/dist.h"
#include "kernels/groups.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 3000, MOST_DIM = 70 };

static float c[MOST * MOST_DIM];
static int32_t order[MOST], other[MOST];
static uint64_t state = 88172645463325252U;

static uint32_t draw(void)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 20);
}

static float normal(void)
{
    float sum = 0;
    for (int i = 0; i < 12; i++) sum += (float)draw() * 0x1p-32F;
    return sum - 6;
}

static void check(int count, int dim, int group)
{
    char seen[MOST] = {0};
    assert_int_equal(lloyd_group_centroids(c, count, dim, group, 1, order), LLOYD_OK);
    for (int i = 0; i < count; i++) {
        assert_in_range(order[i], 0, count - 1);
        assert_false(seen[order[i]]++);
    }
    for (int threads = 2; threads < 4; threads++) {
        assert_int_equal(lloyd_group_centroids(c, count, dim, group, threads, other), LLOYD_OK);
        assert_memory_equal(order, other, (size_t)count * sizeof *order);
    }
}

static void test_permutation(void **unused)
{
    (void)unused;
    const int counts[] = {1, 2, 31, 32, 33, 100, MOST}, dims[] = {1, 33, MOST_DIM},
              groups[] = {1, 2, 32, 48, 64, 5000};
    for (int i = 0; i < MOST * MOST_DIM; i++) c[i] = normal();
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
        for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
            for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
                check(counts[n], dims[d], groups[g]);
}

/* Nothing can be told apart, or numbers are as large or small as they can be. */
static void test_extremes(void **unused)
{
    (void)unused;
    const float values[] = {0, 3e38F, 1e-45F, -0.0F};
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        for (int i = 0; i < MOST * 5; i++) c[i] = values[v];
        check(MOST, 5, 32);
        for (int i = 0; i < MOST * 5; i++) c[i] = draw() % 2 ? values[v] : -values[v];
        check(MOST, 5, 32);
    }
}

/* Clusters of exactly a group, far apart: each group is one of them. */
static void test_clusters(void **unused)
{
    (void)unused;
    enum { GROUP = 16, CLUSTERS = 64, DIM = 8, COUNT = GROUP * CLUSTERS };
    for (int k = 0; k < COUNT; k++) /* member k / CLUSTERS of cluster k % CLUSTERS */
        for (int j = 0; j < DIM; j++)
            c[k * DIM + j] = (float)(100 * (k % CLUSTERS >> j & 1) * (j + 1)) + normal();
    check(COUNT, DIM, GROUP);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(order[i] % CLUSTERS, order[i / GROUP * GROUP] % CLUSTERS);
}

static double spread(int count, int dim, int group)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += sqrt(lloyd_dist(c + order[i] * dim, c + order[i / group * group] * dim, dim));
    return sum / count;
}

/* Uniform in few dimensions: groups are as small as their share of the space. */
static void test_uniform(void **unused)
{
    (void)unused;
    const int dim = 2, count = 2048, group = 32;
    for (int i = 0; i < count * dim; i++) c[i] = (float)draw() * 0x1p-32F;
    check(count, dim, group);
    assert_true(spread(count, dim, group) < 0.1);
    for (int i = 0; i < count; i++) order[i] = i;
    assert_true(spread(count, dim, group) > 0.4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_permutation),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_clusters),
        cmocka_unit_test(test_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
