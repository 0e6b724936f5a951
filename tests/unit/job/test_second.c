/* The second-nearest centroid of each row, against dist() to all: ranges in ranges, more rows than are assigned at a time,
 * equal centroids.
 */
#include "job/results/second.h"

#include "kernels/cpu/cpu.h"
#include "kernels/dist.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* A rows x dim matrix of small whole numbers, so that distances are often equal. */
static float *draw(int64_t rows, int64_t dim, int values, unsigned seed)
{
    float *x = malloc((size_t)(rows * dim) * sizeof *x);
    for (int64_t i = 0; i < rows * dim; i++) {
        seed = seed * 1664525U + 1013904223U;
        x[i] = (float)((int)(seed >> 16) % values);
    }
    return x;
}

static lloyd_kernels *kernels_for(const float *x, int64_t n, int64_t dim, int64_t k,
                                  const float *centroids)
{
    lloyd_kernels *kernels;
    const lloyd_kernels_config config = {.n_local = n,
                                         .dim = dim,
                                         .k = k,
                                         .chunk_rows = n,
                                         .slots = 1,
                                         .type = LLOYD_F32,
                                         .threads = 2};
    assert_int_equal(lloyd_kernels_cpu(&config, &kernels), LLOYD_OK);
    assert_int_equal(kernels->load(kernels, 0, 0, n, x), LLOYD_OK);
    assert_int_equal(kernels->set_centroids(kernels, k, centroids), LLOYD_OK);
    assert_int_equal(kernels->forget_labels(kernels), LLOYD_OK);
    assert_int_equal(kernels->assign(kernels, 0), LLOYD_OK);
    return kernels;
}

/* far: added to all centroids but the first. */
static void check(int64_t n, int64_t dim, int64_t k, int values, float far)
{
    float *x = draw(n, dim, values, 1), *centroids = draw(k, dim, values, 2);
    int32_t *labels = malloc((size_t)n * sizeof *labels),
            *nearest = malloc((size_t)n * sizeof *nearest);
    double *distances = malloc((size_t)n * sizeof *distances),
           *all = malloc((size_t)k * sizeof *all);
    for (int64_t i = dim; i < k * dim; i++) centroids[i] += far;
    lloyd_kernels *kernels = kernels_for(x, n, dim, k, centroids);
    lloyd_second *second = NULL;
    assert_int_equal(kernels->labels(kernels, 0, n, labels), LLOYD_OK);
    assert_int_equal(lloyd_second_open(kernels, centroids, k, &second), LLOYD_OK);
    assert_int_equal(lloyd_second_find(second, 0, 0, n, labels, nearest, distances), LLOYD_OK);
    for (int64_t i = 0; i < n; i++) {
        int32_t right = -1;
        lloyd_dist_all(x + i * dim, 1, centroids, k, dim, 1, all);
        for (int32_t c = 0; c < k; c++)
            if (c != labels[i] && (right < 0 || all[c] < all[right])) right = c;
        assert_int_equal(nearest[i], right);
        assert_true(right < 0 ? isnan(distances[i]) : distances[i] == all[right]);
    }
    lloyd_second_close(second);
    kernels->destroy(kernels);
    free(x), free(centroids), free(labels), free(nearest), free(distances), free(all);
}

/* Around the number of centroids that are compared one by one, and that of one range in another. */
static void test_sizes(void **unused)
{
    (void)unused;
    const int64_t sizes[] = {1, 2, 3, 31, 32, 33, 47, 512, 513, 1000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        check(500, 5, sizes[s], 4, 0);
        check(1, 7, sizes[s], 100, 0);
    }
}

/* Of 3,000 columns, 1,398 rows are assigned at a time. */
static void test_batches(void **unused)
{
    (void)unused;
    check(1500, 3000, 2, 9, 0);
    check(1500, 3000, 40, 9, 50); /* all rows have one label */
}

/* Nothing is taken that the plan does not know: as many bytes as there are arrays. */
static void test_plan(void **unused)
{
    (void)unused;
    const lloyd_kernels_config config = {.n_local = 1000000,
                                         .dim = 32,
                                         .k = 5000,
                                         .chunk_rows = 1000000,
                                         .slots = 4,
                                         .type = LLOYD_U8,
                                         .cosine = 1,
                                         .threads = 3};
    const lloyd_kernels_config others = lloyd_second_config(&config);
    assert_int_equal(others.chunk_rows, 131072);
    assert_int_equal(others.n_local, 131072);
    assert_int_equal(others.type, LLOYD_F32);
    assert_int_equal(others.cosine, 0);
    assert_int_equal(others.threads, 3);
    int64_t batch = 131072, bytes = lloyd_second_bytes(&config, 5000);
    assert_int_equal(bytes, 5000 * 32 * 4 + 5001 * 8 + 1000000 * 8 + batch * (32 * 4 + 4 + 8 + 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
