/* The bound of the 8-bit filter on GPUs (docs/numerics.md, section 2.7), without a GPU: rows and centroids are rounded as the kernels do
 * it, by the same functions, and products are plain sums. The label of the definition must reach the threshold that follows from any
 * centroid, and so must this centroid; and few others may, or the filter would be of no use. Longer than 600 lines, as all tests share the
 * filter that is rebuilt here.
 */
#include "base/types.h"
#include "kernels/dist.h"
#include "kernels/int8_bound.h"
#include "kernels/prune_bound.h"
#include "tests/unit/part.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_COLUMNS = 1536, MOST_SET = 64, MOST_ROWS = 256 };

/* --- problems --- */

typedef struct problem {
    lloyd_type type;
    int cosine, dim, set, rows;
    float f;        /* 0: as the filter chooses it */
    int own_origin; /* `origin` is given */
    float origin[MOST_COLUMNS];
    float x[MOST_ROWS * MOST_COLUMNS], c[MOST_SET * MOST_COLUMNS];
} problem;

/* What the filter has of the centroids. */
typedef struct operands {
    int8_units units;
    int exact;
    double reach;
    int first[MOST_SET * MOST_COLUMNS], second[MOST_SET * MOST_COLUMNS];
    int32_t bias[MOST_SET], fine_bias[MOST_SET];
    double own_bias[MOST_SET];
} operands;

/* What was seen of all rows of all problems so far. */
typedef struct seen {
    int64_t rows, candidates;
    int64_t left; /* of the candidates, by the second digits */
    int64_t all;  /* rows of which every centroid is a candidate */
    int64_t fine_rows,
        fine; /* rows of few columns, and their candidates by scores with both digits */
    int64_t tight,
        distances; /* lower bounds of distances above nine tenths of them; all but those of 0 */
} seen;

static problem p;
static operands s;
static uint64_t state;

static uint32_t draw(void)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 20);
}

static int below(int n)
{
    return (int)(draw() % (uint32_t)n);
}

/* Between -1 and 1; and about normal. */
static double uniform(void)
{
    return (double)draw() * 0x1p-31 - 1;
}

static double normal(void)
{
    return (uniform() + uniform() + uniform() + uniform()) * 0.87;
}

/* --- the filter --- */

static void choose_origin(void)
{
    double square = 0;
    for (int j = 0; j < p.dim; j++) {
        float least = INFINITY, most = -INFINITY;
        for (int k = 0; k < p.set; k++) {
            least = fminf(least, p.c[k * p.dim + j]);
            most = fmaxf(most, p.c[k * p.dim + j]);
        }
        if (!p.own_origin) {
            float middle = 0.5F * least + 0.5F * most;
            p.origin[j] = s.exact ? rintf(middle) : middle;
        }
        square = fma((double)p.origin[j], (double)p.origin[j], square);
    }
    s.units.origin_length = s.exact ? lloyd_bound_up(sqrt(square) * 1.001) : 0;
}

static void choose_unit(void)
{
    double sum = 0;
    int counted = 0;
    for (int i = 0; i < p.rows; i++) {
        float most = 0;
        for (int j = 0; j < p.dim; j++) most = fmaxf(most, fabsf(p.x[i * p.dim + j] - p.origin[j]));
        if (most > 0 && most < INFINITY) sum += log2((double)most), counted++;
    }
    const double typical = counted > 0 ? exp2(sum / counted) : 1;
    s.units.row = s.exact ? 1 : p.f > 0 ? p.f : (float)(typical * 1.25 / INT8_CODE);
}

static void encode(void)
{
    for (int i = 0; i < p.set * p.dim; i++)
        s.units.greatest = fmaxf(s.units.greatest, fabsf(p.c[i] - p.origin[i % p.dim]));
    const double f = (double)s.units.row, g = lloyd_bound_centroid_unit(&s.units);
    for (int k = 0; k < p.set; k++) {
        lloyd_bound_centroid sums = {0};
        for (int j = 0; j < p.dim; j++) {
            double first = 0, second = 0, m = (double)p.origin[j];
            if (lloyd_bound_serves(f, g))
                lloyd_bound_add_column(&sums, (double)p.c[k * p.dim + j] - m, m, s.exact, g, &first,
                                       &second);
            s.first[k * p.dim + j] = (int)first;
            s.second[k * p.dim + j] = (int)second;
            assert_true(fabs(first) <= INT8_CODE && fabs(second) <= INT8_CODE);
        }
        if (!lloyd_bound_bias(&sums, f, g, &s.bias[k])) s.units.unusable = 1;
        assert_true(abs(s.bias[k]) < INT8_FARTHEST);
        s.own_bias[k] = lloyd_bound_own_bias(&sums);
        if (!lloyd_bound_fine_bias(s.own_bias[k], f, g, &s.fine_bias[k])) s.units.fine_unusable = 1;
        assert_true(abs(s.fine_bias[k]) < INT8_FINE_FARTHEST);
        s.units.square = fmaxf(s.units.square, lloyd_bound_up(sums.square));
        s.units.residual = fmaxf(s.units.residual, lloyd_bound_up(sums.rest));
        s.units.fine = fmaxf(s.units.fine, lloyd_bound_up(sums.rest_fine));
    }
}

static int32_t product(const int *codes, const int *digits)
{
    int64_t sum = 0;
    for (int j = 0; j < p.dim; j++) sum += (int64_t)codes[j] * digits[j];
    assert_true(llabs(sum) < (int64_t)1 << 26);
    return (int32_t)sum;
}

/* The score of centroid b with both digits. */
static double own_score(const int *codes, int b)
{
    const double unit = (double)s.units.row * lloyd_bound_centroid_unit(&s.units);
    return lloyd_bound_own_score(product(codes, s.first + b * p.dim),
                                 product(codes, s.second + b * p.dim), unit, s.own_bias[b]);
}

/* Candidates of row i that the second digits leave, if all centroids were candidates. */
static int check_refinement(int i, int label, const int *codes, float z, float rest)
{
    float half[MOST_SET] = {0}, least = INFINITY;
    int left = 0;
    for (int k = 0; k < p.set; k++) {
        half[k] = lloyd_bound_half(z, own_score(codes, k));
        least = fminf(least, half[k]);
    }
    for (int a = 0; a < p.set; a++) {
        const float limit = lloyd_bound_limit(&s.units, s.reach, z, rest, half[a]);
        if (half[label] > limit || half[a] > limit)
            print_error(
                "type %d, cosine %d, D %d, K %d: row %d, label %d, beyond the limit of %d\n",
                (int)p.type, p.cosine, p.dim, p.set, i, label, a);
        assert_true(half[label] <= limit && half[a] <= limit);
    }
    const float limit = lloyd_bound_limit(&s.units, s.reach, z, rest, least);
    for (int k = 0; k < p.set; k++) left += half[k] <= limit;
    return left;
}

/* The score of centroid k in units, with one digit or with both. */
static int32_t score_of(const int *codes, int k, int digits)
{
    const int64_t high = product(codes, s.first + k * p.dim);
    if (digits == 1) return (int32_t)high + s.bias[k];
    int64_t all = INT8_FINE * high + s.fine_bias[k]; /* as kernels add it up */
    for (int j = 0; j <= p.dim; j++) {
        assert_true(all > INT8_FINE_ALL && all < -(int64_t)INT8_FINE_ALL);
        if (j < p.dim) all += (int64_t)codes[j] * s.second[k * p.dim + j];
    }
    return (int32_t)all;
}

static int32_t threshold_from(const int *codes, int b, int digits, float z, float rest)
{
    const double score = own_score(codes, b);
    if (digits == 1) return lloyd_bound_threshold(&s.units, s.reach, z, rest, score);
    const double radius =
        lloyd_bound_radius(fmax((double)z - score, 0.0), (double)rest, lloyd_bound_fine(&s.units),
                           lloyd_bound_rounding(&s.units, s.reach, z, rest));
    return lloyd_bound_threshold_at(&s.units, digits, s.reach, z, rest, radius);
}

/* Candidates of row i, compared to centroid b by scores with so many digits. */
static int check_threshold_of(int digits, int i, int b, int label, const int *codes, float z,
                              float rest)
{
    const int32_t threshold = threshold_from(codes, b, digits, z, rest);
    int candidates = 0, missed = -1;
    if (digits == 1)
        assert_true(threshold >= INT8_ALL && threshold <= INT8_FARTHEST && threshold > INT8_FILLER);
    assert_true(threshold > INT8_FINE_FILLER);
    for (int k = 0; k < p.set; k++) {
        if (score_of(codes, k, digits) >= threshold)
            candidates++;
        else if (k == label || k == b)
            missed = k;
    }
    if (missed >= 0)
        print_error(
            "type %d, cosine %d, D %d, K %d, f %g, %d digits: row %d, label %d, compared to "
            "%d: %d is below the threshold\n",
            (int)p.type, p.cosine, p.dim, p.set, (double)s.units.row, digits, i, label, b, missed);
    assert_int_equal(missed, -1);
    return candidates;
}

static int most_digits(void)
{
    return p.dim <= INT8_FINE_COLUMNS ? 2 : 1;
}

/* The same with one digit; and with both, where sums have room for them. */
static int check_threshold(int i, int b, int label, const int *codes, float z, float rest,
                           seen *total)
{
    const int candidates = check_threshold_of(1, i, b, label, codes, z, rest);
    if (most_digits() < 2) return candidates;
    const int fine = check_threshold_of(2, i, b, label, codes, z, rest);
    if (b == label) total->fine_rows++, total->fine += fine;
    return candidates;
}

/* What pruning takes for the least distance of row i to a centroid with its score. */
static void check_distances(int digits, int i, const double *squares, const int *codes, float z,
                            float rest, seen *total)
{
    const double unit = lloyd_bound_unit(&s.units, digits);
    float of_row, spread;
    lloyd_bound_score(&s.units, digits, s.reach, z, rest, &of_row, &spread);
    for (int k = 0; k < p.set; k++) {
        const int32_t score = score_of(codes, k, digits);
        const float half = -lloyd_bound_up((double)score * unit - (double)of_row);
        const double least = (double)lloyd_group_least(half, spread);
        const double distance = sqrt(squares[k]) * (1 + 0x1p-40); /* dist() is rounded */
        if (least > distance)
            print_error(
                "type %d, cosine %d, D %d, K %d, %d digits: row %d is at %.17g from %d, not "
                "%.17g or more\n",
                (int)p.type, p.cosine, p.dim, p.set, digits, i, distance, k, least);
        assert_true(least <= distance);
        total->distances += distance > 0;
        total->tight += distance > 0 && least > 0.9 * distance;
    }
}

static void check(seen *total)
{
    static int codes[MOST_COLUMNS];
    memset(&s.units, 0, sizeof s.units);
    s.exact = !p.cosine && (p.type == LLOYD_U8 || p.type == LLOYD_I8);
    s.reach = 255 * sqrt((double)p.dim);
    choose_origin();
    choose_unit();
    encode();
    const double f = (double)s.units.row, inverse = 1 / f;
    for (int i = 0; i < p.rows; i++) {
        const float *row = p.x + i * p.dim;
        lloyd_bound_row sums = {0};
        float z, rest;
        for (int j = 0; j < p.dim; j++) {
            const double x = (double)row[j] - (double)p.origin[j];
            if (s.exact) {
                lloyd_bound_add_exact(&sums, x);
                codes[j] = (int)row[j];
            } else {
                const double code = lloyd_bound_add(&sums, x, f, inverse);
                assert_true(fabs(code) <= INT8_CODE);
                codes[j] = (int)code;
            }
        }
        lloyd_bound_finish_row(&sums, &z, &rest);
        int label = 0;
        double nearest = INFINITY, squares[MOST_SET] = {0};
        for (int k = 0; k < p.set; k++) {
            const double distance = squares[k] = lloyd_dist(row, p.c + k * p.dim, p.dim);
            if (distance < nearest) nearest = distance, label = k;
        }
        const int candidates = check_threshold(i, label, label, codes, z, rest, total);
        check_threshold(i, below(p.set), label, codes, z, rest, total);
        for (int b = 0; b < 3 && b < p.set; b++)
            check_threshold(i, b, label, codes, z, rest, total);
        for (int digits = 1; digits <= most_digits(); digits++)
            check_distances(digits, i, squares, codes, z, rest, total);
        total->rows++;
        total->left += check_refinement(i, label, codes, z, rest);
        total->candidates += candidates;
        total->all += candidates == p.set;
    }
}

/* --- any problems --- */

/* x as an element of the type: the nearest one, about. */
static float stored(lloyd_type type, double x)
{
    int e;
    if (type == LLOYD_U8) return rintf((float)fmax(0, fmin(x, 255)));
    if (type == LLOYD_I8) return rintf((float)fmax(-128, fmin(x, 127)));
    if (type == LLOYD_F32 || x == 0) return (float)fmax(-3e38, fmin(x, 3e38));
    const int bits = type == LLOYD_F16 ? 11 : 8, least = type == LLOYD_F16 ? -24 : -133;
    if (type == LLOYD_F16) x = fmax(-65504, fmin(x, 65504));
    x = fmax(-3e38, fmin(x, 3e38));
    (void)frexp(x, &e);
    const int unit = e - bits > least ? e - bits : least;
    return (float)ldexp(rint(ldexp(x, -unit)), unit);
}

static void normalise(float *x, int count)
{
    for (int i = 0; i < count; i++) {
        float *row = x + (size_t)i * (size_t)p.dim;
        const double square = lloyd_square(row, p.dim);
        if (square == 0) row[0] = 1;
        const double length = square == 0 ? 1 : sqrt(square);
        for (int j = 0; j < p.dim; j++) row[j] = lloyd_normalised(row[j], length);
    }
}

static void random_problem(void)
{
    static const int dims[] = {1, 2, 3, 5, 8, 16, 17, 31, 64, 100, 128, 300};
    static const double scales[] = {1, 1, 1, 1e-3, 1e3, 1e-9, 1e9, 1e-30, 1e30};
    static const double outliers[] = {10, 1e3, 1e6, 1e20};
    memset(&p, 0, sizeof p);
    p.type = (lloyd_type)below(LLOYD_I8 + 1);
    p.dim = dims[below(sizeof dims / sizeof *dims)];
    p.set = 2 + below(7);
    p.rows = 24;
    p.cosine = below(5) == 0;
    const int bytes = p.type == LLOYD_U8 || p.type == LLOYD_I8;
    const double scale = bytes ? 60 : scales[below(sizeof scales / sizeof *scales)];
    const double offset = bytes ? (p.type == LLOYD_U8 ? 128 : 0)
                                : (below(3) ? 0 : 1e6 * scale * (below(2) ? 1 : 1e-3));
    const double spread = below(3) ? 0.1 : 1e-4;
    const int lattice = below(4) == 0; /* many ties */
    for (int i = 0; i < p.set * p.dim; i++) {
        const double x = lattice ? (double)below(4) - 2 : normal();
        p.c[i] = lattice ? (float)(offset + scale * x / 2) : (float)(offset + scale * x);
    }
    if (below(3) == 0) { /* an outlying centroid */
        const double factor = outliers[below(4)];
        for (int j = 0; j < p.dim; j++) p.c[j] = (float)fmin((double)p.c[j] * factor, 1e38);
    }
    if (below(3) == 0) memcpy(p.c, p.c + (p.set - 1) * p.dim, sizeof(float) * (size_t)p.dim);
    if (p.cosine) normalise(p.c, p.set);
    for (int i = 0; i < p.rows; i++) {
        const float *a = p.c + below(p.set) * p.dim, *b = p.c + below(p.set) * p.dim;
        const int kind = below(8);
        const double factor = kind == 7 ? outliers[below(4)] : 1;
        for (int j = 0; j < p.dim; j++) {
            double x = (double)a[j];
            if (kind < 3) x += scale * spread * normal();
            if (kind == 3 || kind == 4) x = x / 2 + (double)b[j] / 2; /* on a bisector, */
            if (kind == 4) x = (double)nextafterf((float)x, uniform() < 0 ? -INFINITY : INFINITY);
            if (kind == 5) x = lattice ? offset + scale * (double)(below(8) - 4) / 4 : 0;
            if (kind == 7) x += scale * factor * uniform();
            p.x[i * p.dim + j] = stored(p.type, x);
        }
    }
    if (p.cosine) normalise(p.x, p.rows);
    if (below(4) == 0) p.f = (float)(scale * exp2(-6 + 6 * uniform()));
    if (below(4) == 0) p.own_origin = 1; /* 0 */
}

static void test_random(void **unused)
{
    (void)unused;
    seen total = {0};
    state = 0x9e3779b97f4a7c15;
    for (int i = 0; i < 4000 / PART; i++) {
        random_problem();
        check(&total);
    }
    /* most problems are not out of range */
    assert_true(total.all < total.rows / 2);
}

/* --- on the edge --- */

/* A row on the bisector of two centroids, with all roundings in one direction: those of the row, of the farther centroid's second digit,
 * of the nearer one's first, each as great as it can be or zero. In every column the same, but for the sign, so that no inequality
 * between a product and lengths leaves anything. */
static void edge_problem(void)
{
    static const double most[] = {0, 0.4999, -0.4999};
    memset(&p, 0, sizeof p);
    p.type = below(2) ? LLOYD_F32 : LLOYD_U8;
    p.dim = below(8) == 0 ? MOST_COLUMNS : 1 + below(300);
    p.set = 3;
    p.rows = 1;
    p.own_origin = 1;
    p.f = (float)ldexp(1, below(20) - 10);
    const int bytes = p.type == LLOYD_U8, cut = !bytes && below(3) == 0;
    const double left = most[below(3)], near_left = most[below(3)], far_left = most[below(3)];
    const int near = 2 + below(124), second = below(201) - 100;
    const int apart = below(3) ? 1 + below(3) : 1 + below(120);
    const int far = near > apart && below(2) ? near - apart
                    : near + apart > 126     ? 126
                                             : near + apart;
    double x = bytes ? 1 + below(255)
               : cut ? (128 + exp2(8 + 8 * uniform()))
                     : 1 + below(127) + left;
    if (!bytes) x *= (double)p.f;
    /* x is in the middle of the two */
    const double near_code = near + near_left, far_code = far + (second + far_left) / INT8_FINE;
    const double g = 2 * x / (near_code + far_code);
    const double nearer = below(2) ? 1 - 1e-6 : 1;
    for (int j = 0; j < p.dim; j++) {
        const double sign = bytes || below(2) ? 1 : -1;
        p.x[j] = (float)(sign * x);
        p.c[j] = (float)(sign * (x + (g * near_code - x) * nearer));
        p.c[p.dim + j] = (float)(sign * g * far_code);
        p.c[2 * p.dim + j] = (float)(sign * g * INT8_CODE); /* so that g is the unit */
    }
}

static void test_edge(void **unused)
{
    (void)unused;
    seen total = {0};
    state = 0xd1b54a32d192ed03;
    for (int i = 0; i < 60000 / PART; i++) {
        edge_problem();
        check(&total);
    }
}

/* Centroids that are rows, in their own unit, as for first bounds. */
static void test_centroids_as_rows(void **unused)
{
    (void)unused;
    seen total = {0};
    state = 0x9e3779b97f4a7c15;
    for (int i = 0; i < 300; i++) {
        memset(&p, 0, sizeof p);
        p.type = LLOYD_F32;
        p.dim = 1 + below(INT8_FINE_COLUMNS);
        p.set = p.rows = 16;
        p.own_origin = 1;
        const double scale = exp2(10 * uniform());
        float greatest = 0;
        for (int j = 0; j < p.dim; j++) p.origin[j] = (float)(scale * uniform());
        for (int j = 0; j < p.set * p.dim; j++) {
            p.c[j] = p.x[j] = (float)(scale * normal());
            greatest = fmaxf(greatest, fabsf(p.c[j] - p.origin[j % p.dim]));
        }
        p.f = (float)((double)greatest / INT8_CODE);
        check(&total);
    }
}

/* Bytes and digits as great as they can be, of either sign: sums with both digits have 31 bits. */
static void test_greatest_sums(void **unused)
{
    (void)unused;
    seen total = {0};
    state = 0xbf58476d1ce4e5b9;
    for (int i = 0; i < 200; i++) {
        memset(&p, 0, sizeof p);
        p.type = i % 2 ? LLOYD_U8 : LLOYD_I8;
        p.dim = INT8_FINE_COLUMNS;
        p.set = 8;
        p.rows = 4;
        const float least = i % 2 ? 0 : -128, most = i % 2 ? 255 : 127;
        for (int k = 0; k < p.set; k++)
            for (int j = 0; j < p.dim; j++) {
                const float inner = (float)(below(1 << 10)) / (1 << 8);
                p.c[k * p.dim + j] = k % 2 ? most - inner : least + inner;
            }
        for (int k = 0; k < p.rows; k++)
            for (int j = 0; j < p.dim; j++)
                p.x[k * p.dim + j] = k % 2 ? most - (float)below(2) : least + (float)below(2);
        check(&total);
        assert_false(s.units.fine_unusable);
    }
}

/* --- out of range --- */

/* Centroids of bytes with a bias that is too great, or not. */
static void test_far_centroids(void **unused)
{
    (void)unused;
    seen total = {0};
    state = 0x2545f4914f6cdd1d;
    for (int i = 0; i < 500; i++) {
        memset(&p, 0, sizeof p);
        p.type = below(2) ? LLOYD_U8 : LLOYD_I8;
        p.dim = 1 + below(64);
        p.set = 4;
        p.rows = 8;
        const double far = exp2(12 + 12 * uniform()) * (below(2) ? 1 : -1);
        for (int j = 0; j < p.set * p.dim; j++)
            p.c[j] = (float)(j < p.dim ? far : 60 + 60 * uniform());
        for (int j = 0; j < p.rows * p.dim; j++) p.x[j] = (float)below(128);
        check(&total);
    }
}

/* What nothing can be proved of: Z beyond float32, lengths that are no numbers, centroids that do not fit. */
static void test_out_of_range(void **unused)
{
    (void)unused;
    static const lloyd_bound_row far = {.square = 0x1p300, .rest = 0x1p300, .cross = 0x1p300};
    int8_units units = {.row = 1, .greatest = INT8_CODE, .square = 1};
    lloyd_bound_centroid sums = {.square = 0x1p31};
    float z, rest;
    int32_t bias;
    lloyd_bound_finish_row(&far, &z, &rest);
    assert_true(z == 0 && isinf(rest));
    assert_int_equal(lloyd_bound_threshold(&units, 1, 0, INFINITY, 0), INT8_ALL);
    assert_int_equal(lloyd_bound_threshold(&units, 1, 0, NAN, 0), INT8_ALL);
    assert_int_equal(lloyd_bound_threshold(&units, 1, 0, 3e38F, 0), INT8_ALL);
    assert_true(lloyd_bound_threshold(&units, 1, 0, 0, 0) > INT8_ALL);
    units.unusable = 1;
    assert_int_equal(lloyd_bound_threshold(&units, 1, 0, 0, 0), INT8_ALL);
    assert_false(lloyd_bound_bias(&sums, 1, 1, &bias));
    assert_int_equal(bias, 0);
    sums.square = 2;
    assert_true(lloyd_bound_bias(&sums, 1, 1, &bias));
    assert_false(lloyd_bound_bias(&sums, 0x1p-41, 1, &bias));
    assert_false(lloyd_bound_bias(&sums, 1, 0x1p41, &bias));
    assert_false(lloyd_bound_bias(&sums, 1, 0, &bias));
    units = (int8_units){.row = 1, .greatest = INT8_CODE, .square = 1, .fine_unusable = 1};
    assert_true(lloyd_bound_threshold_at(&units, 1, 1, 0, 0, 0) > INT8_ALL);
    assert_int_equal(lloyd_bound_threshold_at(&units, 2, 1, 0, 0, 0), INT8_FINE_ALL);
    lloyd_bound_score(&units, 2, 1, 1, 0, &z, &rest);
    assert_true(z == -INFINITY && rest == 0);
    lloyd_bound_score(&units, 1, 1, 1, 0, &z, &rest);
    assert_true(z > -INFINITY);
    units.fine_unusable = 0;
    assert_true(lloyd_bound_threshold_at(&units, 2, 1, 0, 0, 0) > INT8_FINE_ALL);
    assert_int_equal(lloyd_bound_threshold_at(&units, 2, 1, 3e30F, 0, 0), -INT8_FINE_ALL);
    assert_true(lloyd_bound_fine_bias(1, 1, 1, &bias));
    assert_int_equal(bias, INT8_FINE + 1);
    assert_false(lloyd_bound_fine_bias((double)INT8_FINE_FARTHEST / INT8_FINE, 1, 1, &bias));
    assert_false(lloyd_bound_fine_bias(1, 1, 0, &bias));
}

/* --- nothing is rounded --- */

/* Bytes and centroids that are their own codes: scores are distances, and the label's is exactly at the threshold but for what roundings
 * are granted. */
static void test_exact(void **unused)
{
    (void)unused;
    seen total = {0};
    state = 0xda942042e4dd58b5;
    for (int i = 0; i < 1000; i++) {
        memset(&p, 0, sizeof p);
        p.type = LLOYD_U8;
        p.dim = 1 + below(300);
        p.set = 4;
        p.rows = 8;
        p.own_origin = 1;
        for (int j = 0; j < p.dim; j++) p.origin[j] = 128;
        for (int j = 0; j < p.set * p.dim; j++) p.c[j] = (float)(1 + below(255));
        p.c[0] = 1; /* so that the unit is 1 */
        for (int k = 0; k < p.rows; k++) {
            const float *a = p.c + below(p.set) * p.dim, *b = p.c + below(p.set) * p.dim;
            for (int j = 0; j < p.dim; j++)
                p.x[k * p.dim + j] = floorf((a[j] + b[j]) / 2) + (float)(below(8) == 0);
        }
        check(&total);
    }
    assert_true(total.all < total.rows / 2);
}

/* --- use --- */

/* Rows around centroids that are hardly farther from each other than from their rows: the thresholds are not lower than they need be. */
static void test_useful(void **unused)
{
    (void)unused;
    static const double expected[] = {2.434, 2.320, 2.688, 1.074, 1.098};
    static const double expected_left[] = {2.117, 2.105, 2.418, 1.004, 1.004};
    static const double expected_fine[] = {2.133, 2.123, 2.372, 1.004, 1.004};
    state = 0x853c49e6748fea9b;
    for (int type = 0; type <= LLOYD_I8; type++) {
        seen total = {0};
        memset(&p, 0, sizeof p);
        p.type = (lloyd_type)type;
        p.dim = 128;
        p.set = MOST_SET;
        p.rows = MOST_ROWS;
        const double offset = type == LLOYD_U8 ? 128 : 0;
        for (int j = 0; j < p.set * p.dim; j++) p.c[j] = (float)(offset + 8 * normal());
        for (int i = 0; i < p.rows; i++) {
            const int k = below(p.set);
            for (int j = 0; j < p.dim; j++)
                p.x[i * p.dim + j] = stored(p.type, (double)p.c[k * p.dim + j] + 30 * normal());
        }
        check(&total);
        const double mean = (double)total.candidates / (double)total.rows;
        const double left = (double)total.left / (double)total.rows;
        const double fine = (double)total.fine / (double)total.fine_rows;
        printf("type %d: %.3f candidates of a row, %.3f left, %.3f with both digits\n", type, mean,
               left, fine);
        assert_true(fine - 1 < 1.05 * (expected_fine[type] - 1));
        assert_true(mean - 1 < 1.05 * (expected[type] - 1));
        assert_true(left - 1 < 1.05 * (expected_left[type] - 1));
        assert_true(100 * total.tight > 99 * total.distances);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_edge),
        cmocka_unit_test(test_far_centroids),
        cmocka_unit_test(test_out_of_range),
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_useful),
        cmocka_unit_test(test_centroids_as_rows),
        cmocka_unit_test(test_greatest_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
