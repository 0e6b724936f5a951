/* Tries to break the certificate of the CPU kernels: labels on data made to defeat the filter are
 * compared with the definition, written down once more here, plainly. And prints a checksum of
 * everything the kernels computed: the same source compiled for other instruction sets
 * (tests/CMakeLists.txt) must print the same.
 */
#include "grids.h"

#include "base/memory.h"
#include "kernels/cpu/cpu.h"
#include "kernels/numerics.h"
#include "tests/unit/part.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

/* --- numbers --- */

static uint64_t state = 0x9e3779b97f4a7c15;
static uint64_t checksum = 0xcbf29ce484222325;

static uint64_t next_word(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static int below(int limit)
{
    return (int)(next_word() % (uint64_t)limit);
}

static double uniform(void) /* [-1, 1) */
{
    return (double)(int64_t)next_word() * 0x1p-63;
}

static float bell(void)
{
    double sum = 0;
    for (int i = 0; i < 8; i++) sum += uniform();
    return (float)sum;
}

static void mix(const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    for (size_t i = 0; i < bytes; i++) checksum = (checksum ^ byte[i]) * 0x100000001b3;
}

/* --- the definition --- */

static double definition(const float *x, const float *c, int d)
{
    double p[32] = {0};
    for (int j = 0; j < d; j++) {
        double t = (double)x[j] - (double)c[j];
        p[j % 32] = fma(t, t, p[j % 32]);
    }
    for (int half = 16; half > 0; half /= 2) {
        for (int l = 0; l < half; l++) p[l] += p[l + half];
    }
    return p[0];
}

static int32_t defined_label(const float *x, const float *c, int k_count, int d)
{
    int32_t label = 0;
    double least = INFINITY;
    for (int k = 0; k < k_count; k++) {
        double distance = definition(x, c + (int64_t)k * d, d);
        if (distance < least) {
            least = distance;
            label = k;
        }
    }
    return label;
}

/* --- one comparison --- */

typedef struct problem {
    int n, d, k;
    float *x, *c;
} problem;

static problem new_problem(int n, int d, int k)
{
    problem p = {n, d, k, NULL, NULL};
    assert_int_equal(lloyd_alloc(&p.x, (int64_t)n * d, sizeof(float), "test"), LLOYD_OK);
    assert_int_equal(lloyd_alloc(&p.c, (int64_t)k * d, sizeof(float), "test"), LLOYD_OK);
    return p;
}

static void free_problem(problem *p)
{
    lloyd_free(p->x);
    lloyd_free(p->c);
}

/* Of these rows, in float32 or bytes of `type`. */
static lloyd_kernels *new_kernels_of(const problem *p, const void *rows, lloyd_type type,
                                     lloyd_filter filter)
{
    lloyd_kernels *kernels;
    lloyd_kernels_config config = {.n_local = p->n,
                                   .dim = p->d,
                                   .k = p->k,
                                   .chunk_rows = p->n,
                                   .slots = 1,
                                   .type = type,
                                   .threads = 2,
                                   .filter = filter};
    assert_int_equal(lloyd_kernels_cpu(&config, &kernels), LLOYD_OK);
    assert_int_equal(kernels->load(kernels, 0, 0, p->n, rows), LLOYD_OK);
    assert_int_equal(kernels->set_centroids(kernels, p->k, p->c), LLOYD_OK);
    assert_int_equal(kernels->forget_labels(kernels), LLOYD_OK);
    return kernels;
}

static lloyd_kernels *new_kernels(const problem *p)
{
    return new_kernels_of(p, p->x, LLOYD_F32, LLOYD_FILTER_AUTO);
}

/* Rows have no label before, the one that they will get, or that of the centroid before it: in turn. */
static void choose_labels(const problem *p, lloyd_kernels *kernels)
{
    static int turn;
    int shift = turn++ % 3 - 1;
    if (shift < 0) return;
    size_t row = (size_t)p->d * sizeof(float), part = row * (size_t)(p->k - shift);
    float *others;
    assert_int_equal(lloyd_alloc(&others, (int64_t)p->k * p->d, sizeof *others, "test"), LLOYD_OK);
    memcpy(others, p->c + shift * p->d, part);
    memcpy((char *)others + part, p->c, row * (size_t)shift);
    assert_int_equal(kernels->set_centroids(kernels, p->k, others), LLOYD_OK);
    assert_int_equal(kernels->assign(kernels, 0), LLOYD_OK);
    assert_int_equal(kernels->set_centroids(kernels, p->k, p->c), LLOYD_OK);
    lloyd_free(others);
}

/* The counters of an iteration. */
static void check_counters(const problem *p, const int64_t *counters, lloyd_filter filter)
{
    int64_t int8 = counters[LLOYD_COUNT_INT8], decided = counters[LLOYD_COUNT_INT8_FALLBACK];
    assert_true(counters[LLOYD_COUNT_MOVED] <= p->n);
    assert_true(decided <= counters[LLOYD_COUNT_FALLBACK] &&
                counters[LLOYD_COUNT_FALLBACK] <= p->n - int8 + decided);
    assert_true(decided <= int8 && int8 <= (filter == LLOYD_FILTER_FLOAT ? 0 : p->n));
    assert_true(counters[LLOYD_COUNT_CANDIDATES] >= 2 * decided &&
                counters[LLOYD_COUNT_CANDIDATES] <= LLOYD_INT8_CANDIDATES * decided);
}

/* Assigns, compares every label with `expected`, and gives the share of fallback rows. */
static double check_filter(const problem *p, const char *what, const void *rows, lloyd_type type,
                           lloyd_filter filter, const int32_t *expected)
{
    lloyd_kernels *kernels = new_kernels_of(p, rows, type, filter);
    int32_t *labels;
    assert_int_equal(lloyd_alloc(&labels, p->n, sizeof *labels, "test"), LLOYD_OK);
    choose_labels(p, kernels);
    assert_int_equal(kernels->begin(kernels), LLOYD_OK);
    assert_int_equal(kernels->assign(kernels, 0), LLOYD_OK);
    assert_int_equal(kernels->labels(kernels, 0, p->n, labels), LLOYD_OK);
    for (int i = 0; i < p->n; i++) {
        if (labels[i] != expected[i]) {
            print_error("%s, filter %d, type %s: n %d d %d k %d: row %d has label %d, not %d\n",
                        what, (int)filter, lloyd_type_name(type), p->n, p->d, p->k, i, labels[i],
                        expected[i]);
        }
        assert_int_equal(labels[i], expected[i]);
    }
    const int64_t *counters = sums_of(kernels); /* nothing is summed */
    double share = (double)counters[LLOYD_COUNT_FALLBACK] / p->n;
    check_counters(p, counters, filter);
    lloyd_free(labels);
    kernels->destroy(kernels);
    return share;
}

/* The rows as bytes of that type; NULL where they are not. */
static void *as_bytes(const problem *p, lloyd_type type)
{
    int64_t count = (int64_t)p->n * p->d;
    unsigned char *bytes;
    assert_int_equal(lloyd_alloc(&bytes, count, 1, "test"), LLOYD_OK);
    for (int64_t i = 0; i < count; i++) {
        float x = p->x[i], least = type == LLOYD_U8 ? 0 : -128;
        if (x != rintf(x) || x < least || x > least + 255) {
            lloyd_free(bytes);
            return NULL;
        }
        bytes[i] = type == LLOYD_U8 ? (unsigned char)x : (unsigned char)(signed char)x;
    }
    return bytes;
}

/* All filters, and all types that can hold the rows. Gives the share of fallback rows of the float32 filter. */
static double check_labels(const problem *p, const char *what)
{
    static const lloyd_type bytes_types[] = {LLOYD_U8, LLOYD_I8};
    int32_t *expected;
    assert_int_equal(lloyd_alloc(&expected, p->n, sizeof *expected, "test"), LLOYD_OK);
    for (int i = 0; i < p->n; i++)
        expected[i] = defined_label(p->x + (int64_t)i * p->d, p->c, p->k, p->d);
    double share = check_filter(p, what, p->x, LLOYD_F32, LLOYD_FILTER_FLOAT, expected);
    (void)check_filter(p, what, p->x, LLOYD_F32, LLOYD_FILTER_INT8, expected);
    (void)check_filter(p, what, p->x, LLOYD_F32, LLOYD_FILTER_AUTO, expected);
    for (int t = 0; t < 2; t++) {
        void *bytes = as_bytes(p, bytes_types[t]);
        if (bytes) {
            (void)check_filter(p, what, bytes, bytes_types[t], LLOYD_FILTER_INT8, expected);
            (void)check_filter(p, what, bytes, bytes_types[t], LLOYD_FILTER_FLOAT, expected);
        }
        lloyd_free(bytes);
    }
    mix(expected, (size_t)p->n * sizeof *expected);
    lloyd_free(expected);
    return share;
}

/* --- data --- */

enum { KINDS = 11 };
static const char *const kind_names[KINDS] = {"gauss",  "bisector",     "lattice", "duplicates",
                                              "offset", "outlier",      "columns", "subnormal",
                                              "bytes",  "signed bytes", "clusters"};

/* Nearly the middle between two centroids, moved by a few units in the last place. */
static void bisect(const problem *p, float *x)
{
    const float *a = p->c + (int64_t)below(p->k) * p->d, *b = p->c + (int64_t)below(p->k) * p->d;
    for (int j = 0; j < p->d; j++) x[j] = a[j] / 2 + b[j] / 2;
    for (int i = below(4); i > 0; i--) {
        int j = below(p->d);
        x[j] = nextafterf(x[j], below(2) ? INFINITY : -INFINITY);
    }
}

static float element(int kind, int j, float scale)
{
    switch (kind) {
    case 2: return (float)(below(5) - 2) * scale;
    case 4: return 1000 * scale + bell() * scale * 1e-3F;
    case 6: return ldexpf(bell(), (j * 37) % 120 - 60); /* columns of very different size */
    case 7: return ldexpf(bell(), -148 + below(30));
    case 8: return (float)below(256);
    case 9: return (float)(below(256) - 128);
    default: return bell() * scale;
    }
}

static void fill(problem *p, int kind)
{
    int has_own_scale = kind == 4 || (kind >= 6 && kind <= 9);
    int exponent = has_own_scale ? 0 : below(200) - 100;
    float scale = ldexpf(1, exponent);
    for (int64_t i = 0; i < (int64_t)p->k * p->d; i++)
        p->c[i] = element(kind, (int)(i % p->d), scale);
    for (int64_t i = 0; i < (int64_t)p->n * p->d; i++)
        p->x[i] = element(kind, (int)(i % p->d), scale);
    if (kind == 1) {
        for (int i = 0; i < p->n; i++) bisect(p, p->x + (int64_t)i * p->d);
    }
    if (kind == 3) { /* every centroid twice, rows equal to centroids */
        size_t row = (size_t)p->d * sizeof(float);
        for (int k = 0; k + 1 < p->k; k += 2)
            memcpy(p->c + (int64_t)(k + 1) * p->d, p->c + (int64_t)k * p->d, row);
        for (int i = 0; i < p->n; i += 2)
            memcpy(p->x + (int64_t)i * p->d, p->c + (int64_t)below(p->k) * p->d, row);
    }
    if (kind == 8 ||
        kind == 9) { /* rows near the middle of two centroids, these between the integers */
        for (int i = 0; i < p->n; i += 2) {
            bisect(p, p->x + (int64_t)i * p->d);
            for (int j = 0; j < p->d; j++)
                p->x[(int64_t)i * p->d + j] = rintf(p->x[(int64_t)i * p->d + j]);
        }
        for (int64_t i = 0; i < (int64_t)p->k * p->d; i++) p->c[i] += 0.37F * (float)uniform();
    }
    if (kind ==
        10) { /* rows and centroids around few points, hardly apart on the scale of them all */
        for (int i = 0; i < p->n; i++) {
            const float *near = p->c + (int64_t)below(p->k) * p->d;
            for (int j = 0; j < p->d; j++)
                p->x[(int64_t)i * p->d + j] = near[j] + bell() * scale * 0x1p-7F;
        }
        for (int k = 1; k < p->k; k += 2)
            for (int j = 0; j < p->d; j++)
                p->c[(int64_t)k * p->d + j] =
                    p->c[(int64_t)(k - 1) * p->d + j] + bell() * scale * 0x1p-8F;
    }
    if (kind == 5) {
        p->c[below(p->k * p->d)] = 1e6F * scale;
        p->x[below(p->n * p->d)] = -1e7F * scale;
    }
}

static void test_search(void **unused)
{
    (void)unused;
    static const int dims[] = {1, 2, 3, 17, 31, 32, 33, 96, 100, 128, 129, 255, 256, 257, 384, 700};
    for (int round = 0; round < 330 / PART; round++) {
        int kind = round % KINDS;
        int d = dims[below((int)(sizeof dims / sizeof *dims))];
        problem p = new_problem(1 + below(600), d, 1 + below(d > 128 ? 60 : 400));
        fill(&p, kind);
        check_labels(&p, kind_names[kind]);
        free_problem(&p);
    }
}

/* Against the filter on 8-bit integers, which rounds rows and not these centroids: what it takes from a row's columns
 * all has the same sign, and moves the row over the middle between two centroids, so that the error is as large
 * as the bound allows. Most centroids are 0, and with them the filter's origin. */
static void test_aligned(void **unused)
{
    (void)unused;
    for (int round = 0; round < 40 / PART; round++) {
        problem p = new_problem(300, 5 + 4 * below(50), 60);
        float unit = ldexpf(1, below(60) - 30);
        int side = below(2) ? 1 : -1; /* rounded down, or up */
        for (int i = 0; i < p.n * p.d; i++) {
            float code = i % p.d == 0 ? 127 : (side > 0 ? 100.45F : 100.55F);
            p.x[i] = unit * (code + 1e-3F * (float)uniform());
        }
        for (int i = 0; i < p.k * p.d; i++) {
            int k = i / p.d, j = i % p.d, apart = 4 + k / 2 % 4;
            int middle = side > 0 ? 100 : 101, farther = middle + side * apart,
                nearer = middle - side * apart + (j % 2 ? side : 0);
            float code = j == 0 ? 127 : (float)(k % 2 ? farther : nearer);
            p.c[i] = k < 40 ? 0 : unit * code;
        }
        check_labels(&p, "aligned");
        free_problem(&p);
    }
}

/* Rows and centroids of integers so long that their products and norms do not fit into a float32; pairs of
 * centroids are equally far from their rows, or nearly. */
static void test_long(void **unused)
{
    (void)unused;
    enum { CHANGED = 4 };
    for (int round = 0; round < 10 / PART; round++) {
        problem p = new_problem(60, 3000 + below(4000), 40);
        int changed[20][CHANGED];
        for (int i = 0; i < p.k * p.d; i++) p.c[i] = (float)(below(2) ? 127 : -127);
        for (int pair = 0; pair < p.k / 2; pair++) {
            float *c = p.c + (int64_t)(2 * pair + 1) * p.d;
            memcpy(c, c - p.d, (size_t)p.d * sizeof *c);
            for (int i = 0; i < CHANGED; i++) {
                int j = changed[pair][i] = below(p.d);
                c[j] = copysignf(127 - (float)(1 + below(2)), c[j]);
            }
        }
        for (int i = 0; i < p.n; i++) {
            int pair = below(p.k / 2);
            const float *c = p.c + (int64_t)(2 * pair) * p.d;
            float *x = p.x + (int64_t)i * p.d;
            for (int j = 0; j < p.d; j++) x[j] = copysignf((float)(127 - below(100)), c[j]);
            for (int j = 0; j < CHANGED; j++)
                x[changed[pair][j]] = copysignf(126, c[changed[pair][j]]);
        }
        check_labels(&p, "long");
        free_problem(&p);
    }
}

/* Values next to the largest float32: products overflow, labels must not. */
static void test_overflow(void **unused)
{
    (void)unused;
    for (int round = 0; round < 20 / PART; round++) {
        problem p = new_problem(200, 1 + below(40), 1 + below(40));
        for (int i = 0; i < p.k * p.d; i++) p.c[i] = ldexpf((float)uniform(), below(2) ? 127 : -60);
        for (int i = 0; i < p.n * p.d; i++) p.x[i] = ldexpf((float)uniform(), below(2) ? 127 : -60);
        check_labels(&p, "overflow");
        free_problem(&p);
    }
    for (int exponent = -140; exponent <= 0;
         exponent += 140) { /* rows so huge that all centroids are equally far */
        problem p = new_problem(400, 64, 10);
        for (int i = 0; i < p.k * p.d; i++) p.c[i] = ldexpf((float)uniform(), exponent);
        for (int i = 0; i < p.n * p.d; i++) p.x[i] = ldexpf((float)uniform(), 128);
        check_labels(&p, "huge rows, small centroids");
        free_problem(&p);
    }
}

/* One centroid so far away that, on its scale, the products of the others underflow. */
static void test_underflow(void **unused)
{
    (void)unused;
    for (int round = 0; round < 20 / PART; round++) {
        problem p = new_problem(500, 1 + below(20), 6 + below(40));
        for (int i = 0; i < p.k * p.d; i++) p.c[i] = bell();
        for (int i = 0; i < p.n * p.d; i++) p.x[i] = bell();
        p.c[0] = ldexpf(1, 60 + round);
        check_labels(&p, "underflow");
        free_problem(&p);
    }
}

/* The certificate must also be worth something: few rows of ordinary data may need the fallback pass.
 */
static void test_share(void **unused)
{
    (void)unused;
    problem p = new_problem(4000 / PART, 128, 256);
    for (int i = 0; i < p.k * p.d; i++) p.c[i] = bell();
    for (int i = 0; i < p.n * p.d; i++) p.x[i] = bell();
    assert_true(check_labels(&p, "share") < 0.02);
    p.c[3] += 1e6F; /* one far centroid must not spoil the others' certificates */
    assert_true(check_labels(&p, "share, outlier") < 0.02);
    free_problem(&p);
}

/* The filter on 8-bit integers labels all such rows, has few candidates, and says so. */
static void test_int8(void **unused)
{
    (void)unused;
    problem p = new_problem(4000, 128, 256);
    for (int i = 0; i < p.k * p.d; i++) p.c[i] = bell();
    for (int i = 0; i < p.n * p.d; i++) p.x[i] = p.c[i % (p.k * p.d)] + bell();
    lloyd_kernels *kernels = new_kernels_of(&p, p.x, LLOYD_F32, LLOYD_FILTER_INT8);
    assert_int_equal(kernels->begin(kernels), LLOYD_OK);
    assert_int_equal(kernels->assign(kernels, 0), LLOYD_OK);
    const int64_t *counters = sums_of(kernels);
    assert_int_equal(counters[LLOYD_COUNT_INT8], lloyd_int8_product_best() ? p.n : 0);
    assert_true(counters[LLOYD_COUNT_CANDIDATES] <= 4 * counters[LLOYD_COUNT_INT8_FALLBACK]);
    kernels->destroy(kernels);
    free_problem(&p);
}

/* --- sums --- */

/* Sums, counts, counters and centroids of a random labelling against their definitions, for the
 * checksum as well. */
static void check_sums(int digits)
{
    problem p = new_problem(3001, 37, 11);
    fill(&p, 0);
    float min[37], max[37];
    int low[37];
    lloyd_range range = {.min = min, .max = max, .low = low, .bad_row = -1};
    for (int j = 0; j < p.d; j++) min[j] = INFINITY, max[j] = -INFINITY, low[j] = LLOYD_NO_BITS;
    lloyd_kernels *kernels = new_kernels(&p);
    assert_int_equal(kernels->measure(kernels, 0, &range), LLOYD_OK);
    assert_int_equal(range.bad_row, -1);
    for (int j = 0; j < p.d; j++) {
        int lowest = LLOYD_NO_BITS;
        for (int i = 0; i < p.n; i++) {
            double x = (double)p.x[i * p.d + j];
            int e = 0;
            while (ldexp(x, -e) != rint(ldexp(x, -e))) e--;
            while (x != 0 && ldexp(x, -e - 1) == rint(ldexp(x, -e - 1))) e++;
            if (x != 0 && e < lowest) lowest = e;
        }
        assert_int_equal(low[j], lowest);
    }
    lloyd_grid grid;
    grid_of_digits(&range, p.d, digits, &grid);
    assert_int_equal(kernels->set_grid(kernels, &grid), LLOYD_OK);
    assert_int_equal(kernels->begin(kernels), LLOYD_OK);
    assert_int_equal(kernels->assign(kernels, 0), LLOYD_OK);
    assert_int_equal(kernels->accumulate(kernels, 0), LLOYD_OK);
    __int128 sums[11 * 37] = {0};
    int64_t counts[11] = {0};
    for (int i = 0; i < p.n; i++) {
        int32_t label = defined_label(p.x + (int64_t)i * p.d, p.c, p.k, p.d);
        for (int j = 0; j < p.d; j++) {
            double x = (double)p.x[(int64_t)i * p.d + j];
            sums[label * p.d + j] += (__int128)rint(ldexp(x, 30 * digits - grid.top[j]));
        }
        counts[label]++;
    }
    const int64_t *found = sums_of(kernels);
    lloyd_sum_layout layout = lloyd_layout_of_sums(&grid, p.d, p.k);
    for (int k = 0; k < p.k; k++) {
        assert_int_equal(found[layout.masses_at + k], counts[k]);
        for (int j = 0; j < p.d; j++)
            assert_true(total_of(&grid, &layout, found, k, j) == sums[k * p.d + j]);
    }
    lloyd_found numbers;
    assert_int_equal(kernels->inertia(kernels, (lloyd_dd){0, 0}, &numbers), LLOYD_OK);
    assert_int_equal(numbers.moved, p.n);
    assert_int_equal(kernels->update(kernels), LLOYD_OK);
    assert_int_equal(kernels->get_centroids(kernels, p.c), LLOYD_OK);
    for (int k = 0; k < p.k; k++) {
        for (int j = 0; j < p.d && counts[k] > 0; j++) {
            long double mean = (long double)sums[k * p.d + j] / (long double)counts[k];
            assert_true(p.c[k * p.d + j] == (float)ldexpl(mean, grid.top[j] - 30 * digits));
        }
    }
    mix(&numbers.inertia, sizeof numbers.inertia);
    mix(p.c, (size_t)(p.k * p.d) * sizeof *p.c);
    lloyd_grid_free(&grid);
    kernels->destroy(kernels);
    free_problem(&p);
}

static void test_sums(void **unused)
{
    (void)unused;
    for (int digits = 1; digits <= 4; digits++) check_sums(digits);
}

/* --- the plan --- */

/* Bytes that malloc() has given out; 0 where it does not count them. */
static int64_t given_out(void)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    struct mallinfo2 info = mallinfo2();
    return (int64_t)(info.uordblks + info.hblkhd);
#else
    return 0;
#endif
}

/* What kernels allocate is planned: but for a page for each array, and not much more than it. */
static void check_plan(lloyd_type type)
{
    const int64_t pages = 64 << 12;
    problem p = new_problem(1000, 2048, 400);
    float low[2048] = {0}, high[2048] = {0};
    lloyd_range range = {.min = low, .max = high};
    lloyd_grid grid;
    fill(&p, 0);
    for (int j = 0; j < p.d; j++) high[j] = 1;
    grid_of_digits(&range, p.d, type == LLOYD_U8 ? 1 : 2, &grid);
    int64_t before = given_out();
    lloyd_kernels *kernels = new_kernels_of(&p, p.x, type, LLOYD_FILTER_AUTO);
    assert_int_equal(kernels->set_grid(kernels, &grid), LLOYD_OK);
    int64_t taken = given_out() - before, planned = lloyd_kernels_cpu_bytes(&kernels->config, p.k);
    kernels->destroy(kernels);
    if (taken != 0) {
        assert_true(taken <= planned + pages);
        assert_true(planned <= taken + taken / 4);
        assert_true(given_out() - before < pages);
    }
    lloyd_grid_free(&grid);
    free_problem(&p);
}

static void test_plan(void **unused)
{
    (void)unused;
    check_plan(LLOYD_F32);
    check_plan(LLOYD_U8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_search),    cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_underflow), cmocka_unit_test(test_share),
        cmocka_unit_test(test_int8),      cmocka_unit_test(test_aligned),
        cmocka_unit_test(test_long),      cmocka_unit_test(test_sums),
        cmocka_unit_test(test_plan),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("checksum %016llx\n", (unsigned long long)checksum);
    return failed;
}
