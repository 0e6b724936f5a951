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

/* The least float that is not below x. */
LLOYD_HD float lloyd_bound_up(double x)
{
#if defined(__CUDA_ARCH__)
    return __double2float_ru(x);
#else
    const float near = (float)x;
    return (double)near < x ? nextafterf(near, INFINITY) : near;
#endif
}

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

/* The largest e such that value is a multiple of 2^e, for finite value other than 0. */
LLOYD_HD int lloyd_lowest(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    int exponent = (int)(bits >> 52 & 0x7ff);
    uint64_t significand = bits & (((uint64_t)1 << 52) - 1);
    if (exponent > 0)
        significand |= (uint64_t)1 << 52;
    else
        exponent = 1;
#if defined(__CUDA_ARCH__)
    int zeros = __ffsll((long long)significand) - 1;
#else
    int zeros = __builtin_ctzll(significand);
#endif
    return exponent - 1075 + zeros;
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

/* Bits of fixed-point numbers of which the sum over n rows stays inside 63 bits; at most `most`. */
LLOYD_HD int lloyd_bits(int64_t n, int most)
{
    int log2n = 0;
    while (log2n < 62 && ((int64_t)1 << log2n) < n) log2n++;
    return 62 - log2n < most ? 62 - log2n : most;
}

/* Bits of a digit of elements, and of masses (a double holds no more). */
enum { LLOYD_ELEMENT_BITS = 30, LLOYD_MASS_BITS = 53 };

/* Bits of the mass of a candidate where there are n: sums are below 2^53, so that doubles hold them. */
LLOYD_HD int lloyd_reduce_bits(int64_t n)
{
    return lloyd_bits(n, 62) - (62 - LLOYD_MASS_BITS);
}

/* The number of choice i in leaf number `leaf` of a reduction, among all draws. */
LLOYD_HD uint64_t lloyd_reduce_draw(int64_t leaf, int64_t i)
{
    return ((uint64_t)leaf << 16) + (uint64_t)i;
}

/* What a row of this weight counts for among the candidates of seeding: rint(w 2^(b - M_w));
 * scale = 2^(b - M_w). */
LLOYD_HD int32_t lloyd_weight_digit(float weight, double scale)
{
    return lloyd_rint(lloyd_mul((double)weight, scale));
}

/* Whether a row of this weight has a mass; scale = 2^(b T_w - M_w). */
LLOYD_HD int lloyd_weight_counts(float weight, double scale)
{
    return rint(lloyd_mul((double)weight, scale)) != 0;
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

/* A D^2-sampling mass, floor(mass * 2^(bits - exponent)), 0 <= mass < 2^exponent. */
LLOYD_HD int64_t lloyd_fixed_mass(double mass, int exponent, int bits)
{
    return (int64_t)floor(lloyd_mul(mass, lloyd_exp2(bits - exponent)));
}

#endif
