/* The arithmetic of the 8-bit filter on GPUs (docs/numerics.md, section 2.7), for host and device: the proof of a label rests on it, and
 * tests/unit/kernels/test_int8_bound.c tests it without a GPU.
 */
#ifndef LLOYD_KERNELS_INT8_BOUND_H
#define LLOYD_KERNELS_INT8_BOUND_H

#include "kernels/numerics.h"

enum {
    INT8_CODE = 127,            /* the greatest code; the least is -INT8_CODE */
    INT8_FINE = 254,            /* units of a second digit in one of the first */
    INT8_FARTHEST = 1 << 29,    /* biases and thresholds are below it, but for "all" and "none": */
    INT8_ALL = -(1 << 30),      /* a threshold that every centroid reaches, */
    INT8_FILLER = INT8_ALL - 1, /* but this one */
    /* of scores with both digits, in rows of so many columns at most: biases are below, and thresholds between -max and max */
    INT8_FINE_COLUMNS = 128,
    INT8_FINE_FARTHEST = 1 << 30,
    INT8_FINE_ALL = INT32_MIN + 1,
    INT8_FINE_FILLER = INT32_MIN
};

/* Out of this range products of units could underflow or overflow. */
#define INT8_LEAST_UNIT 0x1p-40
#define INT8_GREATEST_UNIT 0x1p40

/* The units of the filter and what the bound needs of all centroids. */
typedef struct int8_units {
    /* of the run */
    float row;           /* f; 1 where rows are used as they are */
    float origin_length; /* |m| there, else 0 */
    /* of the current centroids; found by atomicMax on their bits, as they are not negative */
    float greatest;         /* |C[j]| */
    float square;           /* |C|^2 */
    float residual;         /* |dC|^2 */
    float fine;             /* |dC|^2 of two digits */
    uint32_t unusable;      /* 1: out of range, nothing can be proved */
    uint32_t fine_unusable; /* the same of scores with both digits in units */
} int8_units;

/* g: the unit of the centroids' first digit. */
LLOYD_HD double lloyd_bound_centroid_unit(const int8_units *units)
{
    return (double)units->greatest / (double)INT8_CODE;
}

LLOYD_HD double lloyd_bound_code(double x)
{
    return fmax((double)-INT8_CODE, fmin(rint(x), (double)INT8_CODE));
}

/* --- rows --- */

/* |X|^2, |dx|^2 and X dx of the elements added so far. */
typedef struct lloyd_bound_row {
    double square, rest, cross;
} lloyd_bound_row;

/* Adds an element of a row that is used as it is. */
LLOYD_HD void lloyd_bound_add_exact(lloyd_bound_row *row, double x)
{
    row->square = fma(x, x, row->square);
}

/* Adds an element of any other row, in units of f = 1 / inverse. Its code. */
LLOYD_HD double lloyd_bound_add(lloyd_bound_row *row, double x, double f, double inverse)
{
    const double code = lloyd_bound_code(x * inverse), left = x - f * code;
    row->square = fma(x, x, row->square);
    row->rest = fma(left, left, row->rest);
    row->cross = fma(left, x, row->cross);
    return code;
}

/* Z and |dx|, rounded up; |dx| is infinite where nothing can be proved. */
LLOYD_HD void lloyd_bound_finish_row(const lloyd_bound_row *row, float *z, float *rest)
{
    *z = (float)(row->square / 2 - row->cross);
    *rest = lloyd_bound_up(sqrt(row->rest) * (1 + 0x1p-20));
    if (!(fabsf(*z) < INFINITY)) *z = 0, *rest = INFINITY;
}

/* --- centroids --- */

/* |C|^2, C dC, |dC|^2 and m c^ of the columns added so far; `fine`: with two digits. */
typedef struct lloyd_bound_centroid {
    double square, along, along_fine, rest, rest_fine, shift, shift_fine;
} lloyd_bound_centroid;

LLOYD_HD int lloyd_bound_serves(double f, double g)
{
    return f > INT8_LEAST_UNIT && f < INT8_GREATEST_UNIT && g > INT8_LEAST_UNIT &&
           g < INT8_GREATEST_UNIT;
}

/* Adds a column of a centroid that is c from m there. Its digits. m c^ is needed where rows are used as they are (`exact`). */
LLOYD_HD void lloyd_bound_add_column(lloyd_bound_centroid *sums, double c, double m, int exact,
                                     double g, double *first, double *second)
{
    const double fine = g / (double)INT8_FINE;
    *first = lloyd_bound_code(c / g);
    const double left = c - g * *first;
    *second = lloyd_bound_code(left / fine);
    const double last = left - fine * *second;
    sums->square = fma(c, c, sums->square);
    sums->along = fma(c, left, sums->along);
    sums->along_fine = fma(c, last, sums->along_fine);
    sums->rest = fma(left, left, sums->rest);
    sums->rest_fine = fma(last, last, sums->rest_fine);
    if (exact) {
        sums->shift = fma(m, c - left, sums->shift);
        sums->shift_fine = fma(m, c - last, sums->shift_fine);
    }
}

/* The bias of a centroid's score, in units of a score. 0: it does not fit. */
LLOYD_HD int lloyd_bound_bias(const lloyd_bound_centroid *sums, double f, double g, int32_t *bias)
{
    /* 1 for the roundings made here, as far as they are not in the threshold */
    const double exact = (sums->along - sums->square / 2 - sums->shift) / (f * g);
    const double rounded = lloyd_bound_serves(f, g) ? ceil(exact) + 1 : INFINITY;
    const int fits = fabs(rounded) < (double)INT8_FARTHEST;
    *bias = fits ? (int32_t)rounded : 0;
    return fits;
}

/* The bias of its score with both digits, not in units; and in units of the second digit. 0: it does not fit. */
LLOYD_HD double lloyd_bound_own_bias(const lloyd_bound_centroid *sums)
{
    return sums->along_fine - sums->square / 2 - sums->shift_fine;
}

LLOYD_HD int lloyd_bound_fine_bias(double own_bias, double f, double g, int32_t *bias)
{
    const double exact = own_bias / (f * g) * (double)INT8_FINE;
    const double rounded = lloyd_bound_serves(f, g) ? ceil(exact) + 1 : INFINITY;
    const int fits = fabs(rounded) < (double)INT8_FINE_FARTHEST;
    *bias = fits ? (int32_t)rounded : 0;
    return fits;
}

/* --- thresholds --- */

/* The score, not in units, of a centroid whose digits have these products with a row; `unit`: f g. */
LLOYD_HD double lloyd_bound_own_score(int32_t high, int32_t low, double unit, double own_bias)
{
    return fma((double)high + (double)low * (1 / (double)INT8_FINE), unit, own_bias);
}

/* Added to bounds for the roundings of sums of a few terms, roots and float32. */
#define INT8_UP (1 + 0x1p-20)

/* The greatest |C - c'| of all centroids, c' from both digits. */
LLOYD_HD double lloyd_bound_fine(const int8_units *units)
{
    return sqrt((double)units->fine) * INT8_UP;
}

/* What Z or a score may be off by; rows have |x^| <= `reach` in codes. */
LLOYD_HD double lloyd_bound_rounding(const int8_units *units, double reach, float z, float rest)
{
    const double length = (double)units->row * reach + (double)rest +
                          sqrt((double)units->square) * INT8_UP + (double)units->origin_length;
    return 0x1p-22 * fabs((double)z) + 0x1p-40 * length * length;
}

/* The greatest distance of a row to a centroid for which Z less the score with both digits is `half`. */
LLOYD_HD double lloyd_bound_radius(double half, double rest, double fine, double rounding)
{
    const double spread = rest + fine, all = half + rest * fine + 2 * rounding;
    return (spread + sqrt(fma(spread, spread, 2 * all))) * INT8_UP;
}

/* What a score may be below Z by, where both are known with |dC| <= coarse, but for what depends on the distance. */
LLOYD_HD double lloyd_bound_slack(double rest, double coarse, double rounding)
{
    return rest * coarse + 2 * rounding;
}

/* The greatest |C - c^| of all centroids. */
LLOYD_HD double lloyd_bound_coarse(const int8_units *units)
{
    return sqrt((double)units->residual) * INT8_UP;
}

/* Scores with one digit of the centroids, or with both: their unit, and the greatest |C - c^| of all centroids. */
LLOYD_HD double lloyd_bound_unit(const int8_units *units, int digits)
{
    const double unit = (double)units->row * lloyd_bound_centroid_unit(units);
    return digits == 1 ? unit : unit / (double)INT8_FINE;
}

LLOYD_HD double lloyd_bound_left(const int8_units *units, int digits)
{
    return digits == 1 ? lloyd_bound_coarse(units) : lloyd_bound_fine(units);
}

/* Whether anything can be proved of a row by these scores. */
LLOYD_HD int lloyd_bound_proves(const int8_units *units, int digits, float row_rest)
{
    return !units->unusable && (digits == 1 || !units->fine_unusable) && row_rest < INFINITY;
}

/* The score that a centroid must reach to be nearest, for a row with Z = row_z and |dx| = row_rest (`reach`: |x^| in codes, at most) and
 * one centroid at a distance of `radius` or less. */
LLOYD_HD int32_t lloyd_bound_threshold_at(const int8_units *units, int digits, double reach,
                                          float row_z, float row_rest, double radius)
{
    const double all = digits == 1 ? (double)INT8_ALL : (double)INT8_FINE_ALL;
    const double most = digits == 1 ? (double)INT8_FARTHEST : -(double)INT8_FINE_ALL;
    if (!lloyd_bound_proves(units, digits, row_rest)) return (int32_t)all;
    const double z = (double)row_z, rest = (double)row_rest, left = lloyd_bound_left(units, digits);
    const double rounding = lloyd_bound_rounding(units, reach, row_z, row_rest);
    const double least = z - radius * radius * (0.5 + 0x1p-36) - (rest + left) * radius -
                         lloyd_bound_slack(rest, left, rounding);
    const double units_of_score = floor(least / lloyd_bound_unit(units, digits)) - 1;
    if (!(units_of_score > all)) return (int32_t)all;
    return (int32_t)fmin(units_of_score, most);
}

/* The same for one centroid whose score with both digits, not in units, is `score`. */
LLOYD_HD int32_t lloyd_bound_threshold(const int8_units *units, double reach, float row_z,
                                       float row_rest, double score)
{
    if (units->unusable || !(row_rest < INFINITY)) return INT8_ALL;
    const double rounding = lloyd_bound_rounding(units, reach, row_z, row_rest);
    const double radius = lloyd_bound_radius(fmax((double)row_z - score, 0.0), (double)row_rest,
                                             lloyd_bound_fine(units), rounding);
    return lloyd_bound_threshold_at(units, 1, reach, row_z, row_rest, radius);
}

/* --- distances from scores, for pruning --- */

/* What lloyd_group_least() needs of a row: z, rounded down, less a score is its `half`; spread = F, rounded up. -inf, 0: nothing can be
 * proved. */
LLOYD_HD void lloyd_bound_score(const int8_units *units, int digits, double reach, float row_z,
                                float row_rest, float *z, float *spread)
{
    *z = -INFINITY, *spread = 0;
    if (!lloyd_bound_proves(units, digits, row_rest)) return;
    const double rest = (double)row_rest, left = lloyd_bound_left(units, digits);
    const double rounding = lloyd_bound_rounding(units, reach, row_z, row_rest);
    *z = -lloyd_bound_up(lloyd_bound_slack(rest, left, rounding) - (double)row_z);
    *spread = lloyd_bound_up((rest + left) * INT8_UP);
}

/* --- refinement --- */

/* Half of the squared distance that follows from a score with both digits. */
LLOYD_HD float lloyd_bound_half(float z, double score)
{
    return (float)fmax((double)z - score, 0.0);
}

/* What lloyd_bound_half() of the label is at most, from that of any other centroid. */
LLOYD_HD float lloyd_bound_limit(const int8_units *units, double reach, float z, float row_rest,
                                 float half)
{
    if (units->unusable || !(row_rest < INFINITY)) return INFINITY;
    const double rest = (double)row_rest, fine = lloyd_bound_fine(units);
    const double rounding = lloyd_bound_rounding(units, reach, z, row_rest);
    const double radius = lloyd_bound_radius((double)half, rest, fine, rounding);
    const double apart = 2 * ((rest + fine) * radius + rest * fine) + 4 * rounding;
    return lloyd_bound_up(fma(0x1p-36 * radius, radius, (double)half + apart) * INT8_UP);
}

#endif
