/* The products of 8-bit integers, all that this processor supports, against plain sums: random codes, the extremes,
 * any number of columns; and the rows whose scores reach a threshold.
 */
#include "kernels/cpu/int8_product.h"

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
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
