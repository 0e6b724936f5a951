#include "data.h"

#include "values.h"

#include "base/memory.h"
#include "kernels/numerics.h"

#include <math.h>

static float tiny_value(lloyd_type type)
{
    if (!is_float(type)) return (float)below(2);
    return bell() * (type == LLOYD_F16 ? 1e-6F : 1e-38F);
}

static float huge_value(lloyd_type type)
{
    if (!is_float(type)) return below(2) ? 1000 : -1000; /* clamped to the ends of the range */
    return bell() * (type == LLOYD_F16 ? 1e4F : 1e37F);
}

static float offset_value(lloyd_type type)
{
    switch (type) {
    case LLOYD_F32: return 1000 + bell() * 1e-3F;
    case LLOYD_F16: return 1000 + bell() * 2;
    case LLOYD_BF16: return 1000 + bell() * 16;
    case LLOYD_U8: return (float)(200 + below(3));
    case LLOYD_I8: break;
    }
    return (float)(-100 - below(3));
}

static float column_value(lloyd_type type, int64_t j)
{
    int column = (int)(j * 37 % 120);
    if (!is_float(type)) return (float)below(1 + column);
    return ldexpf(bell(), type == LLOYD_F16 ? column % 24 - 14 : column - 60);
}

static float subnormal_value(lloyd_type type)
{
    switch (type) {
    case LLOYD_F32: return ldexpf(bell(), -148 + (int)below(30));
    case LLOYD_F16: return ldexpf(bell(), -24 + (int)below(12));
    case LLOYD_BF16: return ldexpf(bell(), -132 + (int)below(14));
    case LLOYD_U8:
    case LLOYD_I8: break;
    }
    return (float)below(3);
}

static float spread_value(lloyd_type type)
{
    if (!is_float(type)) return (float)below(200);
    if (type == LLOYD_F16) return ldexpf(bell(), (int)below(26) - 13);
    return ldexpf(bell(), below(16) ? 0 : (int)below(180) - 90);
}

static float ordinary_value(lloyd_type type)
{
    if (type == LLOYD_U8) return 128 + 30 * bell();
    if (type == LLOYD_I8) return 30 * bell();
    return below(64) ? bell() : -0.0F;
}

/* An element of column j before it is rounded to its type. */
static float value_of(const test_case *c, int64_t j)
{
    switch (c->kind) {
    case LATTICE: return (float)(below(5) - (c->type == LLOYD_U8 ? 0 : 2));
    case SIFT: return (float)(below(4) ? below(40) : below(c->type == LLOYD_I8 ? 128 : 256));
    case TINY: return tiny_value(c->type);
    case HUGE_VALUES: return huge_value(c->type);
    case OFFSET: return offset_value(c->type);
    case COLUMNS: return column_value(c->type, j);
    case SUBNORMAL: return subnormal_value(c->type);
    case SPREAD: return spread_value(c->type);
    case ZEROS: return 0;
    case BISECTOR: /* even, so that the middle of two is an element of every type */
        if (c->type != LLOYD_F32) return (float)(2 * below(60));
        return bell();
    case GAUSS:
    case DUPLICATES:
    case OUTLIER:
    case SHARED:
    case FAR:
    case CONE:
    case ALIGNED:
    case LOSSY: break;
    }
    return ordinary_value(c->type);
}

static void copy_row(problem *p, int64_t to, int64_t from)
{
    memcpy(element_at(p, to, 0), element_at(p, from, 0),
           (size_t)p->c.d * lloyd_type_size(p->c.type));
}

/* The middle between two centroids, and a few elements moved to a neighbouring number. */
static void store_bisector(problem *p, int64_t i)
{
    int64_t d = p->c.d;
    const float *a = p->centroids + below(p->c.k) * d, *b = p->centroids + below(p->c.k) * d;
    for (int64_t j = 0; j < d; j++) store(p, i, j, a[j] / 2 + b[j] / 2);
    for (int64_t moves = below(4); is_float(p->c.type) && moves > 0; moves--) {
        char *at = element_at(p, i, below(d)); /* the last bit of a number, little-endian */
        *at = (char)(*at ^ 1);
    }
}

static void draw_rows(problem *p)
{
    const test_case *c = &p->c;
    int64_t distinct = c->kind == DUPLICATES ? 1 + c->n / 8 : c->n;
    for (int64_t i = 0; i < c->n; i++) {
        if (c->kind == BISECTOR)
            store_bisector(p, i);
        else if (i >= distinct)
            copy_row(p, i, below(distinct));
        else
            for (int64_t j = 0; j < c->d; j++) store(p, i, j, value_of(c, j));
    }
    for (int64_t i = 0; c->kind == OUTLIER && i <= c->n / 100; i++)
        store(p, below(c->n), below(c->d), -1e7F);
}

/* A row of zeros has no direction. */
static void mend_zero_rows(problem *p)
{
    for (int64_t i = 0; i < p->c.n; i++) {
        int zero = 1;
        for (int64_t j = 0; j < p->c.d && zero; j++) zero = stored(p, i, j) == 0;
        if (zero) store(p, i, i % p->c.d, 1);
    }
}

/* Half of them rows, half of them fresh; not so many rows that each is chosen several times. */
static void draw_centroids(problem *p)
{
    const test_case *c = &p->c;
    for (int64_t k = 0; k < c->k; k++) {
        int copied = c->kind != BISECTOR && (k < c->n / 4 || c->kind == DUPLICATES) && below(2);
        int64_t row = copied ? below(c->n) : -1;
        float shift = c->kind == LATTICE && below(2) ? 0.5F : 0;
        float *centroid = p->centroids + k * c->d;
        for (int64_t j = 0; j < c->d; j++)
            centroid[j] = row < 0 ? value_of(c, j) + shift : stored(p, row, j);
        if (c->kind == DUPLICATES && k > 0 && below(2))
            memcpy(centroid, p->centroids + below(k) * c->d, (size_t)c->d * sizeof *centroid);
    }
    for (int64_t i = 0; c->kind == OUTLIER && i <= c->k / 50; i++)
        p->centroids[below(c->k * c->d)] = 1e6F;
    if (c->kind == ZEROS) {
        for (int64_t i = 0; i < c->k / 2 * c->d; i++)
            p->centroids[c->k * c->d - 1 - i] = bell() * 1e-3F;
    }
}

static double squares_of(const float *x, int64_t d)
{
    double sums[LLOYD_LANES] = {0};
    for (int64_t j = 0; j < d; j++)
        sums[j % LLOYD_LANES] = fma((double)x[j], (double)x[j], sums[j % LLOYD_LANES]);
    return lloyd_tree(sums, LLOYD_LANES);
}

static void normalise_centroids(problem *p)
{
    for (int64_t k = 0; k < p->c.k; k++) {
        float *centroid = p->centroids + k * p->c.d;
        double square = squares_of(centroid, p->c.d);
        for (int64_t j = 0; square > 0 && j < p->c.d; j++)
            centroid[j] = lloyd_normalised(centroid[j], sqrt(square));
    }
}

static void draw_weights(problem *p)
{
    if (p->c.weighting == UNWEIGHTED) return;
    p->weights = new_array(p->c.n, sizeof *p->weights);
    for (int64_t i = 0; i < p->c.n; i++) {
        float weight = (float)below(3000) * 1e-3F;
        p->weights[i] = p->c.weighting == WIDE ? ldexpf(weight, (int)below(60) - 50) : weight;
        if (i % 17 == 3) p->weights[i] = 0;
    }
    if (p->c.n > 0) p->weights[p->c.n - 1] = 1.5F;
}

/* --- as hard as can be --- */

/* The last row is none of the sample that the filter's scale is made from. Its operand is off by more
 * than scores have room for. */
static void draw_cone(problem *p)
{
    static const float last[] = {1.00573123F, 1.00573111F, 8.50163762e-09F},
                       first[] = {0.707106769F, 0.707106769F, -4.10364009e-08F};
    for (int64_t i = 0; i < CONE_ROWS; i++) {
        float height = (float)(((double)i - 511.5) / 511.5 * 7e-8);
        const float row[] = {1, 1, height}, *from = i < CONE_ROWS - 1 ? row : last;
        for (int64_t j = 0; j < CONE_COLUMNS; j++) store(p, i, j, from[j]);
    }
    memcpy(p->centroids, first, sizeof first);
    for (int k = 1; k < CONE_CENTROIDS; k++) {
        float *centroid = p->centroids + k * CONE_COLUMNS, apart = (float)(k + 1) * 0x1p-24F;
        centroid[0] = first[0] + apart, centroid[1] = first[1] - apart, centroid[2] = 0;
    }
}

/* A row and its two centroids (float32), of a pattern of signs: mirrored, for the other sign. */
typedef struct aligned_pair {
    double row[ALIGNED_COLUMNS], nearer[ALIGNED_COLUMNS], farther[ALIGNED_COLUMNS];
} aligned_pair;

/* All elements are +-95, where float16 has steps of 1/16, and centroids 30 apart from them. The
 * roundings of the operands, of nearly half a step, lie along the difference of row and centroid, so
 * that the product makes the nearer centroid the farther one, by as much as roundings can. `exact`:
 * the farther one has no roundings. With float32 rows, these have some as well. */
static void draw_aligned_pair(lloyd_type type, int exact, aligned_pair *pair)
{
    const double apart = 30, rounding = 0.031, step = 0.0625,
                 of_row = type == LLOYD_F32 ? rounding : 0;
    for (int j = 0; j < ALIGNED_COLUMNS; j++) {
        const double x = below(2) ? 95 : -95, sign = below(2) ? 1 : -1;
        const double other = type == LLOYD_F32 || below(2) ? -sign : sign;
        pair->row[j] = x - of_row * sign;
        pair->nearer[j] = x - apart * sign + rounding * sign;
        if (exact)
            pair->farther[j] = x - (apart - step) * other;
        else
            pair->farther[j] =
                x - (apart - step - (of_row > 0 ? step : 0)) * other - rounding * other;
    }
    /* the last column decides */
    const int last = ALIGNED_COLUMNS - 1;
    const double inwards = pair->row[last] > 0 ? -1 : 1;
    pair->nearer[last] = pair->row[last];
    pair->farther[last] = pair->row[last] + (exact ? 12.25 : of_row > 0 ? 3 : 2) * inwards;
}

/* A row per pair; what is left of the rows, an even number, is as near to a centroid as can be. */
static void draw_aligned(problem *p)
{
    const test_case *c = &p->c;
    const float middle = c->type == LLOYD_U8 ? 128 : 0;
    aligned_pair pair = {{0}, {0}, {0}};
    for (int i = 0; i < 2 * ALIGNED_PAIRS; i++) {
        const double sign = i % 2 ? -1 : 1;
        if (i % 2 == 0) draw_aligned_pair(c->type, c->type != LLOYD_F32 && i % 4 == 0, &pair);
        for (int j = 0; j < ALIGNED_COLUMNS; j++) {
            store(p, i, j, middle + (float)(sign * pair.row[j]));
            p->centroids[2 * i * ALIGNED_COLUMNS + j] = middle + (float)(sign * pair.nearer[j]);
            p->centroids[(2 * i + 1) * ALIGNED_COLUMNS + j] =
                middle + (float)(sign * pair.farther[j]);
        }
    }
    for (int64_t i = 2 * ALIGNED_PAIRS; i < c->n; i++) {
        float *centroid = p->centroids + (4 * ALIGNED_PAIRS + i % 2) * ALIGNED_COLUMNS;
        for (int j = 0; j < ALIGNED_COLUMNS; j++) {
            store(p, i, j, middle + (float)(i % 2 ? -pair.row[j] : pair.row[j]));
            centroid[j] = stored(p, i, j);
        }
    }
}

/* Elements are +-33, which neither the filter's origin nor its scale change by anything but a power of
 * two. Of each row and its negative, one centroid is off by 1/32 in a column of every step: a tensor
 * core's sum, cut after each, has then lost nearly its last bit 256 times, which is 40 units of a
 * score. The other, off by 1 in eight columns, loses nothing; it is the farther one, by 4 units. */
static void draw_lossy(problem *p)
{
    const float middle = p->c.type == LLOYD_U8 ? 128 : 0;
    for (int64_t i = 0; i < LOSSY_ROWS; i++) {
        float *nearer = p->centroids + 2 * i * LOSSY_COLUMNS, *farther = nearer + LOSSY_COLUMNS;
        for (int64_t j = 0; j < LOSSY_COLUMNS; j++) {
            float sign = below(2) ? 1 : -1;
            if (i % 2) sign = stored(p, i - 1, j) > middle ? -1 : 1;
            store(p, i, j, middle + 33 * sign);
            nearer[j] = middle + sign * (j % LOSSY_STEP ? 33 : 33 - 0x1p-5F);
            farther[j] = middle + sign * (j < 8 ? 34 : 33);
        }
    }
}

/* Of four centroids, one is a row drawn out to as much as six times its length, the next about as far
 * from this row, and two are rows with noise. */
static void draw_far(problem *p)
{
    const test_case *c = &p->c;
    const float middle = c->type == LLOYD_U8 ? 128 : 0;
    int64_t row = 0;
    float factor = 1;
    for (int64_t k = 0; k < c->k; k++) {
        float *centroid = p->centroids + k * c->d;
        double length = 0, square = 0;
        if (k % 4 != 1) row = below(c->n);
        if (k % 4 == 0) factor = 1 + 0.001F * (float)below(5000);
        for (int64_t j = 0; j < c->d; j++) {
            const float x = stored(p, row, j) - middle;
            centroid[j] = k % 4 == 0 ? factor * x : bell();
            length += (double)x * x;
            square += (double)centroid[j] * centroid[j];
        }
        const float apart = (factor - 1) * (0.5F + 0.001F * (float)below(600));
        const float share =
            square > 0 ? (float)sqrt(length / square) * (k % 4 == 1 ? apart : 0.1F) : 0;
        for (int64_t j = 0; j < c->d; j++)
            centroid[j] =
                k % 4 == 0 ? middle + centroid[j] : stored(p, row, j) + share * centroid[j];
    }
}

/* Which centroid is nearest, one pass cannot tell of most rows; of some, that only few come into
 * question. */
static void draw_shared(problem *p)
{
    const test_case *c = &p->c;
    int64_t clusters = c->k / 3 + 1;
    float *centres = new_array(clusters * c->d, sizeof *centres);
    float apart = is_float(c->type) ? 10 : 80, noise = is_float(c->type) ? 0.02F : 4;
    for (int64_t i = 0; i < clusters * c->d; i++)
        centres[i] = (c->type == LLOYD_U8 ? 128 : 0) + apart * ((float)below(2001) * 1e-3F - 1);
    for (int64_t i = 0; i < c->n; i++) {
        const float *centre = centres + below(clusters) * c->d;
        for (int64_t j = 0; j < c->d; j++) store(p, i, j, centre[j] + noise * bell());
    }
    for (int64_t k = 0; k < c->k; k++) {
        const float *centre = centres + below(clusters) * c->d;
        for (int64_t j = 0; j < c->d; j++) p->centroids[k * c->d + j] = centre[j] + noise * bell();
    }
    lloyd_free(centres);
}

/* --- all of it --- */

void draw(problem *p)
{
    const test_case *c = &p->c;
    p->rows = new_array(c->n * c->d, lloyd_type_size(c->type));
    p->centroids = new_array(c->k * c->d, sizeof *p->centroids);
    if (c->kind == CONE) { /* whose centroids are of unit length, but for their roundings */
        draw_cone(p);
        return;
    }
    if (c->kind == ALIGNED || c->kind == LOSSY) {
        c->kind == LOSSY ? draw_lossy(p) : draw_aligned(p);
        return;
    }
    if (c->kind == BISECTOR) draw_centroids(p);
    if (c->kind == SHARED)
        draw_shared(p);
    else
        draw_rows(p);
    if (c->cosine) mend_zero_rows(p);
    if (c->kind == FAR)
        draw_far(p);
    else if (c->kind != BISECTOR && c->kind != SHARED)
        draw_centroids(p);
    if (c->cosine) normalise_centroids(p);
    draw_weights(p);
}
