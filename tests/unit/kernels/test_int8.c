/* The filter on 8-bit integers. Its products, all that this processor supports, against plain sums: random codes, the extremes,
 * any number of columns; and the rows whose scores reach a threshold. What it knows of a row that was rounded, where
 * float32 sees least of it.
 */
#include "kernels/cpu/int8.h"

#include "base/memory.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = LLOYD_INT8_ROWS, CENTROIDS = LLOYD_INT8_CENTROIDS, COLUMNS = LLOYD_INT8_COLUMNS };

/* Codes of one tile: x[row][dim] in 0 ... 255, c[centroid][dim] in -127 ... 127. */
typedef struct codes {
    int dim;
    int *x, *c;
} codes;

static void *packed(const codes *t, int words, int of_rows)
{
    int count = of_rows ? ROWS : CENTROIDS;
    unsigned char *memory = calloc((size_t)words * (size_t)count, 4);
    assert_non_null(memory);
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < t->dim; j++) {
            int code = of_rows ? t->x[i * t->dim + j] : t->c[i * t->dim + j];
            int word = of_rows ? j / COLUMNS * ROWS + i : i * words + j / COLUMNS;
            memory[4 * word + j % COLUMNS] = (unsigned char)code;
        }
    }
    return memory;
}

static void check_scores(const lloyd_int8_product *product, const codes *t)
{
    int words = (t->dim + COLUMNS - 1) / COLUMNS;
    void *rows = packed(t, words, 1);
    void *centroids = packed(t, words, 0);
    int32_t correction[CENTROIDS];
    float bias[CENTROIDS], factor[ROWS], threshold[ROWS];
    static float scores[CENTROIDS * ROWS];
    uint64_t hits[CENTROIDS];
    for (int k = 0; k < CENTROIDS; k++)
        correction[k] = rand() % 1000 - 500, bias[k] = (float)(rand() % 777) / 3;
    for (int i = 0; i < ROWS; i++)
        factor[i] = (float)(1 + rand() % 100) / 7, threshold[i] = (float)(rand() % 1000);
    const lloyd_int8_tile tile = {centroids, correction, bias};
    product->scores(rows, factor, &tile, words, scores);
    product->hits(scores, threshold, hits);
    for (int k = 0; k < CENTROIDS; k++) {
        for (int i = 0; i < ROWS; i++) {
            int64_t sum = correction[k];
            for (int j = 0; j < t->dim; j++)
                sum += (int64_t)t->x[i * t->dim + j] * t->c[k * t->dim + j];
            float expected = fmaf((float)sum, factor[i], -bias[k]);
            if (scores[k * ROWS + i] != expected)
                print_error("%s: D %d, row %d, centroid %d: %g, not %g\n", product->name, t->dim, i,
                            k, (double)scores[k * ROWS + i], (double)expected);
            assert_true(scores[k * ROWS + i] == expected);
            assert_int_equal(hits[k] >> i & 1, expected >= threshold[i]);
        }
    }
    free(rows);
    free(centroids);
}

static void check_all(codes *t)
{
    int count;
    const lloyd_int8_product *products = lloyd_int8_products(&count);
    for (int i = 0; i < count; i++)
        if (products[i].is_supported()) check_scores(&products[i], t);
    free(t->x);
    free(t->c);
}

static codes new_codes(int dim)
{
    codes t = {dim, malloc(sizeof(int) * ROWS * (size_t)dim),
               malloc(sizeof(int) * CENTROIDS * (size_t)dim)};
    assert_non_null(t.x);
    assert_non_null(t.c);
    return t;
}

static void test_random(void **unused)
{
    (void)unused;
    static const int dims[] = {1, 2, 3, 4, 5, 7, 8, 31, 64, 127, 130, 400};
    for (int d = 0; d < (int)(sizeof dims / sizeof *dims); d++) {
        codes t = new_codes(dims[d]);
        for (int i = 0; i < ROWS * t.dim; i++) t.x[i] = rand() % 256;
        for (int i = 0; i < CENTROIDS * t.dim; i++) t.c[i] = rand() % 255 - 127;
        check_all(&t);
    }
}

/* The sums are as large as they can be: nothing saturates and nothing wraps. */
static void test_extremes(void **unused)
{
    (void)unused;
    for (int sign = -1; sign <= 1; sign += 2) {
        codes t = new_codes(LLOYD_INT8_MOST_COLUMNS);
        for (int i = 0; i < ROWS * t.dim; i++) t.x[i] = 255;
        for (int i = 0; i < CENTROIDS * t.dim; i++) t.c[i] = 127 * sign;
        check_all(&t);
    }
}

/* --- bounds --- */

/* A product that nobody calls. */
static const lloyd_int8_product any_product = {.cost = 1};

/* A set of one centroid, which is so near m that hardly anything but the row counts; m has `centre` in all
 * columns but the first, where it is 0. */
typedef struct bounded {
    lloyd_int8_set set;
    lloyd_int8_scratch scratch;
    float *row, *centre;
} bounded;

static bounded *new_bounded(int dim, float centre)
{
    bounded *b;
    float *centroid;
    cpu_buffers buffers = {.work = CPU_BUFFERS_RESERVE};
    assert_int_equal(lloyd_alloc(&b, 1, sizeof *b, "test"), LLOYD_OK);
    assert_int_equal(lloyd_alloc(&b->row, dim, sizeof *b->row, "test"), LLOYD_OK);
    assert_int_equal(lloyd_alloc(&b->centre, dim, sizeof *b->centre, "test"), LLOYD_OK);
    assert_int_equal(lloyd_alloc(&centroid, dim, sizeof *centroid, "test"), LLOYD_OK);
    for (int j = 1; j < dim; j++) b->centre[j] = centroid[j] = centre;
    centroid[0] = 0x1p-32F;
    lloyd_int8_open(&b->set, &any_product, LLOYD_F32, 0, dim, 1);
    lloyd_int8_list_scratch(&buffers, &b->set, &b->scratch);
    assert_int_equal(buffers.status, LLOYD_OK);
    assert_int_equal(lloyd_int8_prepare(&b->set, centroid, 1, b->centre), LLOYD_OK);
    lloyd_free(centroid);
    return b;
}

/* The bounds hold for the row: of |X - x^|, and of what is Z but for roundings. */
static void check_bounds(bounded *b)
{
    long double residual = 0, operand = 0;
    lloyd_int8_take(&b->set, &b->scratch, 0, b->row);
    for (int j = 0; j < b->set.dim; j++) {
        long double x = (long double)b->row[j] - (long double)b->centre[j];
        long double code = b->scratch.codes[j]; /* in the unit 1 */
        residual += (x - code) * (x - code);
        operand += code * code;
    }
    long double bound = b->scratch.row[0].spread - b->set.residual;
    assert_true(residual > 0 && bound * bound >= residual);
    assert_true(fabsl((operand - residual) / 2 - (long double)b->scratch.row[0].distance) <=
                (long double)b->scratch.row[0].rounding);
}

static void free_bounded(bounded *b)
{
    cpu_buffers buffers = {.work = CPU_BUFFERS_RELEASE};
    lloyd_int8_list_scratch(&buffers, &b->set, &b->scratch);
    lloyd_int8_list_set(&buffers, &b->set, 0);
    lloyd_free(b->row);
    lloyd_free(b->centre);
    lloyd_free(b);
}

/* x - m is x in float32. */
static void test_lost_centre(void **unused)
{
    (void)unused;
    bounded *b = new_bounded(64, -3e-6F);
    b->row[0] = 127;
    for (int j = 1; j < 64; j++) b->row[j] = 100.49F;
    check_bounds(b);
    free_bounded(b);
}

/* Most of a row's residuals vanish beside larger ones when they are added in float32. */
static void test_lost_residuals(void **unused)
{
    (void)unused;
    bounded *b = new_bounded(LLOYD_INT8_MOST_COLUMNS, 0);
    for (int j = 0; j < LLOYD_INT8_MOST_COLUMNS; j++) b->row[j] = j < 16 ? 0.49F : 0x1p-14F;
    b->row[0] = 127;
    check_bounds(b);
    free_bounded(b);
}

/* Without any, this file tests nothing, and the kernels use the filter in float32. */
static void test_names(void **unused)
{
    (void)unused;
    int count, supported = 0;
    const lloyd_int8_product *products = lloyd_int8_products(&count);
    for (int i = 0; i < count; i++) supported += products[i].is_supported();
    const lloyd_int8_product *best = lloyd_int8_product_best();
    printf("supported here: %d of %d, taken: %s\n", supported, count, best ? best->name : "none");
    assert_true(!best || best->is_supported());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),          cmocka_unit_test(test_random),
        cmocka_unit_test(test_extremes),       cmocka_unit_test(test_lost_centre),
        cmocka_unit_test(test_lost_residuals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
