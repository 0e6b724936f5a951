/* The arithmetic of the numerical contract (docs/numerics.md), once, for host and device.
 *
 * Everything whose result must be equal bit for bit on every machine is written here as scalar
 * functions; the kernels vectorise around them without changing a single rounding. The build
 * forbids contraction of a*b+c into an fma (-ffp-contract=off), and on the device the operations
 * below are spelled with intrinsics that are never fused.
 */
#ifndef LLOYD_KERNELS_NUMERICS_H
#define LLOYD_KERNELS_NUMERICS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__CUDACC__)
#define LLOYD_HD static __host__ __device__ inline
#else
#define LLOYD_HD static inline
#endif

#if defined(__CUDA_ARCH__)
LLOYD_HD double lloyd_add(double a, double b)
{
    return __dadd_rn(a, b);
}
LLOYD_HD double lloyd_mul(double a, double b)
{
    return __dmul_rn(a, b);
}
LLOYD_HD float lloyd_addf(float a, float b)
{
    return __fadd_rn(a, b);
}
#else
LLOYD_HD double lloyd_add(double a, double b)
{
    return a + b;
}
LLOYD_HD double lloyd_mul(double a, double b)
{
    return a * b;
}
LLOYD_HD float lloyd_addf(float a, float b)
{
    return a + b;
}
#endif

/* Partial sums of dist() and of everything else that is summed in "the dist() order". */
enum { LLOYD_LANES = 32 };

/* 2^exponent in double, for any exponent in [-1022, 1023]. */
LLOYD_HD double lloyd_exp2(int exponent)
{
    uint64_t bits = (uint64_t)(exponent + 1023) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The smallest e with |value| < 2^e, for finite value; 0 for 0. */
LLOYD_HD int lloyd_exponent(double value)
{
    int e = 0;
    if (value != 0) (void)frexp(value, &e);
    return e;
}

/* The middle of a column. */
LLOYD_HD float lloyd_shift(float min, float max)
{
    return lloyd_addf(min * 0.5f, max * 0.5f);
}

/* Nearest integer, ties to even, of |value| <= 2^30. Adding 1.5 * 2^52 moves the point to the last
 * bit, so the one rounding of the addition is the rounding wanted, and the low word of the sum is
 * the integer. */
LLOYD_HD int32_t lloyd_rint(double value)
{
    double sum = lloyd_add(value, 0x1.8p52);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    return (int32_t)(uint32_t)bits;
}

/* The centred element y = x - s. */
LLOYD_HD float lloyd_centred(float x, float shift)
{
    return lloyd_addf(x, -shift);
}

/* The fixed-point element q = rint(y * scale), scale = 2^(b - e). */
LLOYD_HD int32_t lloyd_fixed(float y, double scale)
{
    return lloyd_rint(lloyd_mul((double)y, scale));
}

/* The same with a weight: rint(w * y * scale). The product of two float32 is exact in double. */
LLOYD_HD int32_t lloyd_fixed_weighted(float y, float weight, double scale)
{
    return lloyd_rint(lloyd_mul(lloyd_mul((double)weight, (double)y), scale));
}

/* Bits of fixed-point numbers of which the sum over n rows stays inside 63 bits; at most `most`. */
LLOYD_HD int lloyd_bits(int64_t n, int most)
{
    int log2n = 0;
    while (log2n < 62 && ((int64_t)1 << log2n) < n) log2n++;
    return 62 - log2n < most ? 62 - log2n : most;
}

/* What elements of rows are given, and what masses are given (a double holds no more). */
enum { LLOYD_ELEMENT_BITS = 30, LLOYD_MASS_BITS = 53 };

/* A centroid element from the exact sum of a column over a cluster; unit = 2^(e[j] - b), or 2^(e[j]
 * - ew) with weights. */
LLOYD_HD float lloyd_mean(int64_t sum, int64_t count, double unit, float shift)
{
    return (float)lloyd_add(lloyd_mul((double)sum / (double)count, unit), (double)shift);
}

/* One term of the inertia, n d^2 - 2 d S, as d (n d - 2 S): mass and sum are already scaled to
 * units of the data. */
LLOYD_HD double lloyd_inertia_term(float centroid, float shift, double mass, double sum)
{
    double d = lloyd_add((double)centroid, -(double)shift);
    return lloyd_mul(d, lloyd_add(lloyd_mul(mass, d), -lloyd_mul(2.0, sum)));
}

/* The sum of a column's squares, from its three limbs of 32 bits, which may not have been carried. */
static inline __int128 lloyd_limbs(const int64_t limbs[3])
{
    return ((__int128)limbs[2] << 64) + ((__int128)limbs[1] << 32) + limbs[0];
}

/* Adds up partial sums in the dist() order: p[l] += p[l + count/2], halving down to p[0]. count is
 * a power of two. */
LLOYD_HD double lloyd_tree(double *p, int count)
{
    for (int half = count / 2; half > 0; half /= 2) {
        for (int l = 0; l < half; l++) p[l] = lloyd_add(p[l], p[l + half]);
    }
    return p[0];
}

/* A row's length for the cosine metric is sqrt() of its squares in the dist() order; an element is
 * divided by it in double. */
LLOYD_HD float lloyd_normalised(float x, double length)
{
    return (float)((double)x / length);
}

/* A distance in fixed point, floor(distance * 2^(2b - exponent)) split into high and low words of b
 * bits: the sum of either over all rows stays inside 63 bits. 0 <= distance < 2^exponent. */
LLOYD_HD void lloyd_fixed_distance(double distance, int exponent, int bits, int64_t *high,
                                   int64_t *low)
{
    double scaled = lloyd_mul(distance, lloyd_exp2(bits - exponent));
    double whole = floor(scaled);
    *high = (int64_t)whole;
    *low = (int64_t)floor(lloyd_mul(lloyd_add(scaled, -whole), lloyd_exp2(bits)));
}

/* A D^2-sampling mass, floor(mass * 2^(bits - exponent)), 0 <= mass < 2^exponent. */
LLOYD_HD int64_t lloyd_fixed_mass(double mass, int exponent, int bits)
{
    return (int64_t)floor(lloyd_mul(mass, lloyd_exp2(bits - exponent)));
}

#endif
