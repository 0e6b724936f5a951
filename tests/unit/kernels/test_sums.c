/* Sums that are kept from iteration to iteration: after every one they are compared with the sums by definition, and bit
 * for bit with those of kernels that have summed nothing before. In between there is all that a job may do: rows in chunks,
 * loaded again and again or not; empty clusters that take rows; sums that change as other ranks add theirs; labels that are
 * forgotten, or found for other centroids without being summed; another grid.
 */
#include "grids.h"

#include "base/memory.h"
#include "kernels/cpu/cpu.h"
#include "kernels/numerics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ITERATIONS = 14, ELSEWHERE = 4, OTHER_GRID = 9, FAR = 3 };

typedef enum columns {
    WHOLE_NUMBERS, /* one digit */
    REAL_NUMBERS,  /* two */
    ANY_NUMBERS    /* one, two, and more */
} columns;

typedef enum weighting { UNWEIGHTED, WHOLE_WEIGHTS, REAL_WEIGHTS, WIDE_WEIGHTS } weighting;

typedef struct test_case {
    lloyd_type type;
    int n, d, k;
    columns columns;
    weighting weighting;
    int cosine;
    int chunks, streamed; /* streamed: in one slot */
    int threads;
} test_case;

typedef struct fit {
    test_case c;
    void *rows;     /* [n*d] as stored */
    float *weights; /* [n] or NULL */
    float *values;  /* [n*d] rows as kernels see them */
    float *first;   /* [k*d] initial centroids */
    int32_t *labels;
    int64_t chunk_rows;
    lloyd_kernels_config config;
    lloyd_kernels *kernels;
    lloyd_grid grid;
    int few; /* iterations of few moved rows */
} fit;

static void *new_array(int64_t count, size_t size)
{
    void *array;
    assert_int_equal(lloyd_alloc(&array, count, size, "test"), LLOYD_OK);
    return array;
}

static int below(int limit)
{
    static uint64_t state = 0x9e3779b97f4a7c15;
    state = state * 6364136223846793005 + 1442695040888963407;
    return (int)((state >> 33) % (uint64_t)limit);
}

/* --- data --- */

/* Rows around as many points as there are clusters, but too near to each other for a quick end. */
static float element(const test_case *c, int i, int j)
{
    int point = (i * 7 + i / 3 * j) % c->k;
    int whole = 90 + (point * 37 + j * point * 11) % 90 + below(75);
    if (c->columns == WHOLE_NUMBERS || (c->columns == ANY_NUMBERS && j % 3 == 0))
        return (float)whole;
    float real = (float)whole + (float)below(1 << 20) * 0x1p-18F - 120;
    return c->columns == ANY_NUMBERS && j % 3 == 1 ? ldexpf(real, -20 * (i % 3)) : real;
}

static float weight(weighting w, int i)
{
    if (w == WHOLE_WEIGHTS) return (float)below(4);
    float real = (float)(1 + below(1 << 23)) * 0x1p-22F;
    return w == REAL_WEIGHTS ? real : ldexpf(real, -20 * (i % 3));
}

static void draw(fit *f)
{
    const test_case *c = &f->c;
    size_t size = lloyd_type_size(c->type);
    f->rows = new_array((int64_t)c->n * c->d, size);
    f->weights = c->weighting == UNWEIGHTED ? NULL : new_array(c->n, sizeof *f->weights);
    for (int i = 0; i < c->n; i++) {
        for (int j = 0; j < c->d; j++) {
            float x = element(c, i, j);
            unsigned char byte = (unsigned char)x;
            char *to = (char *)f->rows + (size_t)(i * c->d + j) * size;
            if (c->type == LLOYD_U8)
                memcpy(to, &byte, 1);
            else
                memcpy(to, &x, sizeof x);
        }
        if (f->weights) f->weights[i] = weight(c->weighting, i);
    }
}

static double weight_of(const fit *f, int64_t i)
{
    return f->weights ? (double)f->weights[i] : 1;
}

static double number(const fit *f, int64_t i, int j)
{
    return weight_of(f, i) * (double)f->values[i * f->c.d + j];
}

/* --- the grid --- */

/* Widens span to `value`. */
static void widen(lloyd_span *span, double value)
{
    if (value == 0) return;
    int top = lloyd_exponent(value), low = lloyd_lowest(value);
    if (top > span->top) span->top = top;
    if (low < span->low) span->low = low;
}

static int digits_of_span(lloyd_span span, int bits)
{
    double cut;
    int digits = lloyd_grid_digits(bits, span.top, span.low, span.low + 24, &cut);
    assert_true(digits <= 4 && cut == 0);
    return digits;
}

static void set_grid(fit *f, int bits)
{
    const lloyd_span none = {LLOYD_NO_TOP, LLOYD_NO_BITS};
    lloyd_grid *grid = &f->grid;
    lloyd_span masses = none;
    lloyd_grid_free(grid);
    *grid = (lloyd_grid){.bits = bits, .weight_top = bits, .weight_digits = 1};
    assert_int_equal(lloyd_grid_alloc(grid, f->c.d), LLOYD_OK);
    for (int j = 0; j < f->c.d; j++) {
        lloyd_span span = none;
        for (int i = 0; i < f->c.n; i++) widen(&span, number(f, i, j));
        grid->top[j] = span.top;
        grid->square_top[j] = 2 * span.top;
        grid->digits[j] = digits_of_span(span, bits);
    }
    for (int i = 0; f->weights && i < f->c.n; i++) widen(&masses, weight_of(f, i));
    if (f->weights) {
        grid->weight_top = masses.top;
        grid->weight_digits = digits_of_span(masses, bits);
    }
    lloyd_grid_number(grid, f->c.d);
    assert_int_equal(f->kernels->set_grid(f->kernels, grid), LLOYD_OK);
}

/* --- kernels --- */

static void load(const fit *f, lloyd_kernels *kernels, int slot, int64_t first, int64_t count)
{
    size_t bytes = (size_t)(first * f->c.d) * lloyd_type_size(f->c.type);
    const char *rows = (const char *)f->rows + bytes;
    assert_int_equal(kernels->load(kernels, slot, first, count, rows), LLOYD_OK);
}

/* The slot with chunk number `chunk`. */
static int slot_of(const fit *f, int chunk)
{
    int64_t first = chunk * f->chunk_rows, left = f->c.n - first;
    int slot = f->c.streamed ? 0 : f->c.chunks - 1 - chunk;
    load(f, f->kernels, slot, first, left < f->chunk_rows ? left : f->chunk_rows);
    return slot;
}

static void open_kernels(fit *f)
{
    const test_case *c = &f->c;
    f->chunk_rows = (c->n + c->chunks - 1) / c->chunks;
    f->config = (lloyd_kernels_config){.n_local = c->n,
                                       .dim = c->d,
                                       .k = c->k,
                                       .chunk_rows = f->chunk_rows,
                                       .slots = c->streamed ? 1 : c->chunks,
                                       .type = c->type,
                                       .cosine = c->cosine,
                                       .weights = f->weights,
                                       .threads = c->threads};
    assert_int_equal(lloyd_kernels_cpu(&f->config, &f->kernels), LLOYD_OK);
    f->values = new_array((int64_t)c->n * c->d, sizeof *f->values);
    f->labels = new_array(c->n, sizeof *f->labels);
    for (int64_t i = 0; i < c->n; i++) {
        int slot = slot_of(f, (int)(i / f->chunk_rows));
        assert_int_equal(f->kernels->rows(f->kernels, slot, &i, 1, f->values + i * c->d), LLOYD_OK);
    }
}

/* Centroids are rows; some are so far away that they have none. */
static void choose_centroids(fit *f)
{
    const test_case *c = &f->c;
    f->first = new_array((int64_t)c->k * c->d, sizeof *f->first);
    for (int k = 0; k < c->k; k++) {
        for (int j = 0; j < c->d; j++) {
            float x = f->values[(int64_t)(k * (c->n / c->k)) * c->d + j];
            f->first[k * c->d + j] = k < FAR ? -x * (float)(1000 + k) : x;
        }
    }
}

static fit new_fit(const test_case *c)
{
    fit f = {.c = *c};
    draw(&f);
    open_kernels(&f);
    choose_centroids(&f);
    return f;
}

static void free_fit(fit *f)
{
    f->kernels->destroy(f->kernels);
    lloyd_grid_free(&f->grid);
    lloyd_free(f->rows);
    lloyd_free(f->weights);
    lloyd_free(f->values);
    lloyd_free(f->first);
    lloyd_free(f->labels);
}

/* --- comparisons --- */

static void check_definition(const fit *f, const lloyd_sum_layout *l, const int64_t *found)
{
    const lloyd_grid *grid = &f->grid;
    int d = f->c.d, k_count = f->c.k;
    __int128 *sums = new_array((int64_t)k_count * (d + 1), sizeof *sums);
    for (int i = 0; i < f->c.n; i++) {
        __int128 *of = sums + (int64_t)f->labels[i] * (d + 1);
        for (int j = 0; j < d; j++)
            of[j] +=
                (__int128)rint(ldexp(number(f, i, j), grid->bits * grid->digits[j] - grid->top[j]));
        of[d] += (__int128)rint(
            ldexp(weight_of(f, i), grid->bits * grid->weight_digits - grid->weight_top));
    }
    for (int k = 0; k < k_count; k++) {
        const __int128 *of = sums + (int64_t)k * (d + 1);
        __int128 mass = 0;
        for (int t = 0; t < l->weight_digits; t++)
            mass = mass * ((__int128)1 << l->bits) + found[l->masses_at + t * l->clusters + k];
        assert_true(mass == of[d]);
        for (int j = 0; j < d; j++) assert_true(total_of(grid, l, found, k, j) == of[j]);
    }
    lloyd_free(sums);
}

static void check_from_scratch(const fit *f, const lloyd_sum_layout *l, const int64_t *found)
{
    lloyd_kernels_config config = f->config;
    lloyd_kernels *fresh;
    float *centroids = new_array((int64_t)f->c.k * f->c.d, sizeof *centroids);
    config.chunk_rows = config.n_local;
    config.slots = config.threads = 1;
    assert_int_equal(lloyd_kernels_cpu(&config, &fresh), LLOYD_OK);
    load(f, fresh, 0, 0, f->c.n);
    assert_int_equal(f->kernels->get_centroids(f->kernels, centroids), LLOYD_OK);
    assert_int_equal(fresh->set_grid(fresh, &f->grid), LLOYD_OK);
    assert_int_equal(fresh->set_centroids(fresh, f->c.k, centroids), LLOYD_OK);
    assert_int_equal(fresh->begin(fresh), LLOYD_OK);
    assert_int_equal(fresh->assign(fresh, 0), LLOYD_OK);
    assert_int_equal(fresh->accumulate(fresh, 0), LLOYD_OK);
    assert_memory_equal(found, sums_of(fresh), (size_t)l->counters_at * sizeof *found);
    fresh->destroy(fresh);
    lloyd_free(centroids);
}

/* --- what a job does --- */

static void pass(fit *f, int summed)
{
    assert_int_equal(f->kernels->begin(f->kernels), LLOYD_OK);
    for (int c = 0; c < f->c.chunks; c++) {
        int slot = slot_of(f, c);
        assert_int_equal(f->kernels->assign(f->kernels, slot), LLOYD_OK);
        if (summed) assert_int_equal(f->kernels->accumulate(f->kernels, slot), LLOYD_OK);
    }
    assert_int_equal(f->kernels->labels(f->kernels, 0, f->c.n, f->labels), LLOYD_OK);
}

/* The empty clusters take rows. */
static void relocate(const fit *f, const lloyd_sum_layout *l, int64_t empty)
{
    const lloyd_grid *grid = &f->grid;
    int64_t count = lloyd_row_words(l), *words = new_array(count, sizeof *words);
    int32_t *clusters = new_array(empty, sizeof *clusters);
    assert_int_equal(f->kernels->empty_clusters(f->kernels, empty, clusters), LLOYD_OK);
    for (int64_t e = 0; e < empty; e++) {
        int64_t row = 5 + 11 * e;
        memset(words, 0, (size_t)count * sizeof *words);
        for (int j = 0; j < f->c.d; j++) {
            int64_t digit[LLOYD_MOST_DIGITS] = {0};
            lloyd_digits_of(number(f, row, j), grid->top[j], grid->bits, grid->digits[j], digit);
            words[j] = digit[0];
            if (grid->digits[j] > 1) words[l->dim + grid->second[j]] = digit[1];
            for (int t = 2; t < grid->digits[j]; t++)
                words[l->dim + l->seconds + (t - 2) * l->wide + grid->wide_number[j]] = digit[t];
        }
        lloyd_digits_of(weight_of(f, row), grid->weight_top, grid->bits, grid->weight_digits,
                        words + count - grid->weight_digits);
        assert_int_equal(f->kernels->relocate(f->kernels, f->labels[row], clusters[e], words),
                         LLOYD_OK);
    }
    lloyd_free(clusters);
    lloyd_free(words);
}

static void iterate(fit *f)
{
    lloyd_sum_layout l = lloyd_layout_of_sums(&f->grid, f->c.d, f->c.k);
    lloyd_found found;
    pass(f, 1);
    int64_t *sums = sums_of(f->kernels);
    check_definition(f, &l, sums);
    check_from_scratch(f, &l, sums);
    for (int64_t i = 0; i < l.words; i++) sums[i] *= 2; /* another rank has the same rows */
    assert_ptr_equal(sums_of(f->kernels), sums);
    assert_int_equal(f->kernels->inertia(f->kernels, (lloyd_dd){0, 0}, &found), LLOYD_OK);
    f->few += found.moved > 0 && found.moved / 2 < f->c.n / 8;
    if (found.empty > 0) relocate(f, &l, found.empty);
    assert_int_equal(f->kernels->update(f->kernels), LLOYD_OK);
}

/* Labels of all rows for other centroids. */
static void assign_elsewhere(fit *f)
{
    float *centroids = new_array((int64_t)f->c.k * f->c.d, sizeof *centroids);
    assert_int_equal(f->kernels->get_centroids(f->kernels, centroids), LLOYD_OK);
    assert_int_equal(f->kernels->set_centroids(f->kernels, f->c.k, f->first), LLOYD_OK);
    pass(f, 0);
    assert_int_equal(f->kernels->set_centroids(f->kernels, f->c.k, centroids), LLOYD_OK);
    lloyd_free(centroids);
}

static void run(const test_case *c)
{
    fit f = new_fit(c);
    for (int start = 0; start < 2; start++) {
        set_grid(&f, 30);
        assert_int_equal(f.kernels->set_centroids(f.kernels, c->k, f.first), LLOYD_OK);
        assert_int_equal(f.kernels->forget_labels(f.kernels), LLOYD_OK);
        for (int t = 0; t < ITERATIONS; t++) {
            if (t == ELSEWHERE) assign_elsewhere(&f);
            if (t == OTHER_GRID) set_grid(&f, 28);
            iterate(&f);
        }
    }
    assert_true(f.few >= ITERATIONS / 2);
    free_fit(&f);
}

static void test_types(void **unused)
{
    (void)unused;
    run(&(test_case){LLOYD_U8, 2003, 17, 23, WHOLE_NUMBERS, UNWEIGHTED, 0, 1, 0, 2});
    run(&(test_case){LLOYD_F32, 2003, 17, 23, WHOLE_NUMBERS, UNWEIGHTED, 0, 1, 0, 2});
    run(&(test_case){LLOYD_F32, 1501, 33, 19, REAL_NUMBERS, UNWEIGHTED, 0, 1, 0, 3});
    run(&(test_case){LLOYD_F32, 1501, 20, 40, ANY_NUMBERS, UNWEIGHTED, 0, 1, 0, 2});
}

static void test_weights(void **unused)
{
    (void)unused;
    run(&(test_case){LLOYD_U8, 1501, 17, 23, WHOLE_NUMBERS, WHOLE_WEIGHTS, 0, 1, 0, 2});
    run(&(test_case){LLOYD_F32, 1501, 12, 23, REAL_NUMBERS, REAL_WEIGHTS, 0, 1, 0, 2});
    run(&(test_case){LLOYD_F32, 1501, 12, 23, ANY_NUMBERS, WHOLE_WEIGHTS, 0, 1, 0, 1});
    run(&(test_case){LLOYD_U8, 1501, 12, 23, WHOLE_NUMBERS, WIDE_WEIGHTS, 0, 1, 0, 2});
}

static void test_cosine(void **unused)
{
    (void)unused;
    run(&(test_case){LLOYD_U8, 1501, 17, 23, WHOLE_NUMBERS, UNWEIGHTED, 1, 1, 0, 2});
    run(&(test_case){LLOYD_F32, 1501, 9, 23, REAL_NUMBERS, WHOLE_WEIGHTS, 1, 3, 1, 2});
}

static void test_chunks(void **unused)
{
    (void)unused;
    run(&(test_case){LLOYD_F32, 2003, 20, 23, ANY_NUMBERS, UNWEIGHTED, 0, 5, 0, 2});
    run(&(test_case){LLOYD_F32, 2003, 20, 23, REAL_NUMBERS, UNWEIGHTED, 0, 4, 1, 2});
    run(&(test_case){LLOYD_U8, 20011, 8, 7, WHOLE_NUMBERS, REAL_WEIGHTS, 0, 2, 1, 4});
}

/* Ranks may have no rows: their sums are zero whatever those of the others were. */
static void test_no_rows(void **unused)
{
    (void)unused;
    int64_t zero[4] = {0};
    int top[1] = {1}, digits[1] = {1}, square_top[1] = {2};
    int32_t none[1] = {-1}, first[1] = {0};
    lloyd_grid grid = {.bits = 30,
                       .top = top,
                       .digits = digits,
                       .square_top = square_top,
                       .weight_top = 30,
                       .weight_digits = 1,
                       .most_digits = 1,
                       .second = none,
                       .wide_number = none,
                       .wide_column = first};
    lloyd_kernels_config config = {.dim = 1, .k = 2, .chunk_rows = 1, .slots = 1, .threads = 2};
    float centroids[2] = {0, 1};
    lloyd_kernels *kernels;
    lloyd_found found;
    assert_int_equal(lloyd_kernels_cpu(&config, &kernels), LLOYD_OK);
    assert_int_equal(kernels->set_centroids(kernels, 2, centroids), LLOYD_OK);
    assert_int_equal(kernels->set_grid(kernels, &grid), LLOYD_OK);
    assert_int_equal(kernels->forget_labels(kernels), LLOYD_OK);
    for (int t = 0; t < 3; t++) {
        assert_int_equal(kernels->begin(kernels), LLOYD_OK);
        int64_t *sums = sums_of(kernels);
        assert_memory_equal(sums, zero, sizeof zero);
        for (int i = 0; i < 4; i++) sums[i] = 5 << 20; /* of another rank */
        assert_int_equal(kernels->inertia(kernels, (lloyd_dd){0, 0}, &found), LLOYD_OK);
        assert_int_equal(kernels->update(kernels), LLOYD_OK);
    }
    kernels->destroy(kernels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),   cmocka_unit_test(test_weights),
        cmocka_unit_test(test_cosine),  cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_no_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
