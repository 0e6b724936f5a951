#include "hard_data.h"

#include "values.h"

#include "base/memory.h"

#include <math.h>

/* The last row is none of the sample that the filter's scale is made from. Its operand is off by more
 * than scores have room for. */
void draw_cone(problem *p)
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
void draw_aligned(problem *p)
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
void draw_lossy(problem *p)
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
void draw_far(problem *p)
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
void draw_shared(problem *p)
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
