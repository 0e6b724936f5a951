/* Near-duplicates: what thinning out leaves of groups of any size is what comparing pairs by the definition leaves, with either
 * rule, on any number of threads. Rows are of a few directions, so that many pairs are at the threshold or next to it. */
#include "kernels/similar.h"

#include "../part.h"
#include "base/memory.h"
#include "kernels/blas.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_THREADS = 3 };

typedef struct rows {
    int64_t count;
    lloyd_directions d;
    int64_t *places, *kept;
    char *stays; /* by the definition */
} rows;

static void *new_array(int64_t count, size_t size)
{
    void *array;
    assert_int_equal(lloyd_alloc(&array, count, size, "test"), LLOYD_OK);
    return array;
}

static rows new_rows(int64_t count, int64_t dim, const float *values)
{
    rows r = {.count = count, .d = {.dim = dim}};
    r.d.rows = new_array(count * dim, sizeof(float));
    r.d.unit = new_array(count * dim, sizeof(float));
    r.d.squares = new_array(count, sizeof(double));
    r.places = new_array(count, sizeof *r.places);
    r.kept = new_array(count + 1, sizeof *r.kept);
    r.stays = new_array(count, 1);
    memcpy(r.d.rows, values, (size_t)(count * dim) * sizeof *values);
    assert_int_equal(lloyd_directions_measure(&r.d, count, 2), -1);
    return r;
}

static void free_rows(rows *r)
{
    lloyd_free(r->d.rows);
    lloyd_free(r->d.unit);
    lloyd_free(r->d.squares);
    lloyd_free(r->places);
    lloyd_free(r->kept);
    lloyd_free(r->stays);
}

/* Whether row i is similar to one of [first, i) that it is compared with. */
static int is_left_out(const rows *r, int64_t first, int64_t i, double threshold, int with_all)
{
    const int64_t dim = r->d.dim;
    for (int64_t j = first; j < i; j++) {
        if ((with_all || r->stays[j]) &&
            lloyd_is_similar(r->d.rows + i * dim, r->d.squares[i], r->d.rows + j * dim,
                             r->d.squares[j], dim, threshold))
            return 1;
    }
    return 0;
}

static lloyd_similarity similarity(double threshold, int with_all, int threads)
{
    return (lloyd_similarity){.threshold = threshold,
                              .with_all = with_all,
                              .threads = threads,
                              .scratch = new_array((int64_t)threads * LLOYD_SIMILARITY_SCRATCH,
                                                   sizeof(float))};
}

/* Thins out the groups, and compares. Returns how many rows stay. */
static int64_t check_groups(const float *values, int64_t dim, const int64_t *begin, int64_t groups,
                            double threshold, int with_all)
{
    int64_t all = 0;
    for (int threads = 1; threads <= MOST_THREADS; threads += MOST_THREADS - 1) {
        rows r = new_rows(begin[groups], dim, values);
        const lloyd_similarity s = similarity(threshold, with_all, threads);
        all = 0;
        for (int64_t g = 0; g < groups; g++)
            for (int64_t i = begin[g]; i < begin[g + 1]; i++)
                r.stays[i] = (char)!is_left_out(&r, begin[g], i, threshold, with_all);
        lloyd_similarity_thin(&s, &r.d, begin, groups, r.places, r.kept);
        for (int64_t g = 0; g < groups; g++) {
            int64_t found = 0;
            for (int64_t i = begin[g]; i < begin[g + 1]; i++) {
                const int64_t at = begin[g] + found;
                if (!r.stays[i]) continue;
                assert_true(found < r.kept[g]);
                assert_int_equal(r.places[at], i);
                /* Those that rows of other blocks are compared with next. */
                const int64_t there = with_all ? i : at;
                assert_memory_equal(r.d.rows + there * dim, values + i * dim,
                                    (size_t)dim * sizeof *values);
                found++;
            }
            assert_int_equal(found, r.kept[g]);
            all += found;
        }
        lloyd_free(s.scratch);
        free_rows(&r);
    }
    return all;
}

/* ---- Rows ----------------------------------------------------------------------------------- */

static unsigned random_bits(unsigned *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state >> 16;
}

/* Small whole numbers: copies, multiples, rows of zeros, and cosines that are equal. */
static float *lattice(int64_t count, int64_t dim, int limit)
{
    float *values = new_array(count * dim, sizeof *values);
    unsigned state = 7;
    for (int64_t i = 0; i < count * dim; i++) {
        const int value = (int)random_bits(&state) % limit - limit / 2;
        values[i] = (float)value;
    }
    return values;
}

static void test_groups(void **unused)
{
    const int64_t begin[] = {0, 0, 1, 3, 130, 258, 387, 387, 1100}, groups = 8;
    const double thresholds[] = {0.6, 0.8, 0.9, 0.96, 1 - 0x1p-53};
    for (int64_t dim = 3; dim <= 35; dim += 32) {
        float *values = lattice(begin[groups], dim, dim < 10 ? 9 : 2);
        for (int i = 0; i < 5; i++) {
            const double t = dim < 10 ? thresholds[i] : thresholds[i] - 0.1;
            const int64_t with_kept = check_groups(values, dim, begin, groups, t, 0),
                          with_all = check_groups(values, dim, begin, groups, t, 1);
            assert_true(with_all <= with_kept);
            if (dim < 10 && i < 3) assert_true(with_all < with_kept);
        }
        lloyd_free(values);
    }
    (void)unused;
}

/* A group that all threads work on together, after a small one. */
static void test_large_group(void **unused)
{
    const int64_t begin[] = {0, 100, PART > 1 ? 4300 : 5500};
    float *values = lattice(begin[2], 6, 40);
    const int64_t with_kept = check_groups(values, 6, begin, 2, 0.97, 0),
                  with_all = check_groups(values, 6, begin, 2, 0.97, 1);
    assert_true(with_all < with_kept && with_kept < begin[2]);
    lloyd_free(values);
    (void)unused;
}

/* Each row is similar to those beside it only: every second one stays, or the first alone. */
static void test_chain(void **unused)
{
    enum { COUNT = 600 };
    static float values[COUNT * 2];
    const int64_t begin[] = {0, 599, COUNT};
    for (int i = 0; i < COUNT; i++) {
        values[2 * i] = (float)cos(i * 1e-3);
        values[2 * i + 1] = (float)sin(i * 1e-3);
    }
    assert_int_equal(check_groups(values, 2, begin, 2, cos(1.5e-3), 0), 301);
    assert_int_equal(check_groups(values, 2, begin, 2, cos(1.5e-3), 1), 2);
    (void)unused;
}

/* Cosines that are 0.6 exactly are not above 0.6. */
static void test_threshold(void **unused)
{
    const float values[] = {3, 4, 5, 0, 6, 8, 0, 0, 0, 0, 1e-30F, 0};
    const int64_t begin[] = {0, 6};
    for (int with_all = 0; with_all < 2; with_all++) {
        assert_int_equal(check_groups(values, 2, begin, 1, 0.6, with_all), 4);
        assert_int_equal(check_groups(values, 2, begin, 1, nextafter(0.6, 0), with_all), 3);
    }
    (void)unused;
}

/* Rows of another block, compared with the first rows of this one. */
static void test_compare(void **unused)
{
    enum { FIRST = 300, COUNT = 700, DIM = 3 };
    float *values = lattice(COUNT, DIM, 30);
    rows r = new_rows(COUNT, DIM, values);
    const lloyd_similarity s = similarity(0.995, 1, 2);
    const lloyd_directions others = {DIM, r.d.rows + FIRST * DIM, r.d.unit + FIRST * DIM,
                                     r.d.squares + FIRST};
    char dropped[COUNT - FIRST];
    int64_t count = 0;
    lloyd_similarity_compare(&s, &r.d, FIRST, &others, COUNT - FIRST, dropped);
    for (int64_t i = FIRST; i < COUNT; i++) {
        int similar = 0;
        for (int64_t j = 0; j < FIRST && !similar; j++)
            similar = lloyd_is_similar(r.d.rows + i * DIM, r.d.squares[i], r.d.rows + j * DIM,
                                       r.d.squares[j], DIM, 0.995);
        assert_int_equal(dropped[i - FIRST], similar);
        count += similar;
    }
    assert_true(count > 20 && count < COUNT - FIRST - 20);
    lloyd_free(s.scratch);
    free_rows(&r);
    lloyd_free(values);
    (void)unused;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups),  cmocka_unit_test(test_large_group),
        cmocka_unit_test(test_chain),   cmocka_unit_test(test_threshold),
        cmocka_unit_test(test_compare),
    };
    lloyd_blas_use_one_thread(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
