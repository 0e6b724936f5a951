/* Exact sums: numbers in digits, their totals in several 64-bit words, and what follows from these,
 * rounded once (sections 3 to 5 of the contract, docs/numerics.md). For host and device.
 *
 * A total is words[0 .. count): the sum of words[t] 2^(top - bits (t + 1)). Words may have any sign
 * and need not be smaller than a digit: they are sums of digits.
 */
#ifndef LLOYD_KERNELS_EXACT_H
#define LLOYD_KERNELS_EXACT_H

#include "kernels/numerics.h"

enum {
    /* Digits of an element: float32 spans 277 bits and a product of two 554, and digits have at least
     * 22 bits (up to 2^40 rows). */
    LLOYD_MOST_DIGITS = 32,
    /* Digits of a total of distances: w dist() is a multiple of 2^-447, and below 2^450. */
    LLOYD_MOST_TOTAL = 52,
    LLOYD_SQUARE_DIGITS = 6,
    LLOYD_LEAST_BITS = 22
};

typedef struct lloyd_total {
    const int64_t *words;
    int count, bits, top;
} lloyd_total;

/* --- digits --- */

/* value rounded to a multiple of 2^unit, ties to even. */
LLOYD_HD double lloyd_kept(double value, int unit)
{
    return lloyd_mul(rint(lloyd_mul(value, lloyd_exp2(-unit))), lloyd_exp2(unit));
}

/* Digit t of value, rounded towards zero at its end: `bits` bits above 2^low, or, if `first`, all that
 * there are. low = top - bits (t + 1). */
LLOYD_HD int64_t lloyd_digit(double value, int low, int bits, int first)
{
    uint64_t word;
    memcpy(&word, &value, sizeof word);
    int exponent = (int)(word >> 52 & 0x7ff);
    uint64_t significand = word & (((uint64_t)1 << 52) - 1);
    if (exponent > 0)
        significand |= (uint64_t)1 << 52;
    else
        exponent = 1;
    int shift = exponent - 1075 - low; /* of the significand's last bit from the digit's */
    uint64_t mask = first ? ~(uint64_t)0 : ((uint64_t)1 << bits) - 1, digit = 0;
    if (shift >= 0) {
        if (shift < 62) digit = (significand & mask >> shift) << shift;
    } else if (shift > -64) {
        digit = significand >> -shift & mask;
    }
    return word >> 63 ? -(int64_t)digit : (int64_t)digit;
}

/* An element of at most two digits: high = its first digit (rounded towards zero), low = the second
 * (to nearest, ties to even, as nothing comes after it). scale = 2^(bits - top), base = 2^bits. */
typedef struct lloyd_pair {
    int32_t high, low;
} lloyd_pair;

LLOYD_HD lloyd_pair lloyd_pair_of(double value, double scale, double base)
{
    double scaled = lloyd_mul(value, scale);
    lloyd_pair pair;
    pair.high = (int32_t)scaled;
    pair.low = lloyd_rint(lloyd_mul(lloyd_add(scaled, -(double)pair.high), base));
    return pair;
}

/* --- double-double arithmetic: an unevaluated sum of two doubles. Joldes, Muller and Popescu, Tight
 * and rigorous error bounds for basic building blocks of double-word arithmetic, 2017. --- */

typedef struct lloyd_dd {
    double high, low;
} lloyd_dd;

LLOYD_HD double lloyd_fma(double a, double b, double c)
{
#if defined(__CUDA_ARCH__)
    return __fma_rn(a, b, c);
#else
    return fma(a, b, c);
#endif
}

/* a + b, exactly. */
LLOYD_HD lloyd_dd lloyd_two_sum(double a, double b)
{
    double sum = lloyd_add(a, b), b_part = lloyd_add(sum, -a);
    double error = lloyd_add(lloyd_add(a, -lloyd_add(sum, -b_part)), lloyd_add(b, -b_part));
    lloyd_dd exact = {sum, error};
    return exact;
}

/* The same where |a| >= |b| or a is 0. */
LLOYD_HD lloyd_dd lloyd_fast_two_sum(double a, double b)
{
    double sum = lloyd_add(a, b);
    lloyd_dd exact = {sum, lloyd_add(b, -lloyd_add(sum, -a))};
    return exact;
}

/* Algorithm 6, AccurateDWPlusDW. */
LLOYD_HD lloyd_dd lloyd_dd_add(lloyd_dd x, lloyd_dd y)
{
    lloyd_dd s = lloyd_two_sum(x.high, y.high), t = lloyd_two_sum(x.low, y.low);
    lloyd_dd v = lloyd_fast_two_sum(s.high, lloyd_add(s.low, t.high));
    return lloyd_fast_two_sum(v.high, lloyd_add(t.low, v.low));
}

/* Algorithm 9, DWTimesFP3. */
LLOYD_HD lloyd_dd lloyd_dd_mul(lloyd_dd x, double y)
{
    double product = lloyd_mul(x.high, y), error = lloyd_fma(x.high, y, -product);
    return lloyd_fast_two_sum(product, lloyd_fma(x.low, y, error));
}

/* p[0] = the sum of all, in the dist() order; count is a power of two. */
LLOYD_HD lloyd_dd lloyd_dd_tree(lloyd_dd *p, int count)
{
    for (int half = count / 2; half > 0; half /= 2) {
        for (int l = 0; l < half; l++) p[l] = lloyd_dd_add(p[l], p[l + half]);
    }
    return p[0];
}

/* An integer, times a power of two. |value| <= 2^62. */
LLOYD_HD lloyd_dd lloyd_dd_word(int64_t value, int exponent)
{
    double high = (double)value, unit = lloyd_exp2(exponent);
    lloyd_dd dd = {lloyd_mul(high, unit), lloyd_mul((double)(value - (int64_t)high), unit)};
    return dd;
}

/* words[0] has any size, the others become 0 <= word < 2^bits. */
LLOYD_HD void lloyd_carry(int64_t *words, int count, int bits)
{
    for (int t = count - 1; t > 0; t--) {
        int64_t carry = words[t] >> bits;
        words[t] -= carry * ((int64_t)1 << bits);
        words[t - 1] += carry;
    }
}

/* A total as a double-double: exact for up to two words, else to 2^-104 of itself. */
LLOYD_HD lloyd_dd lloyd_dd_total(lloyd_total s)
{
    if (s.count == 1) return lloyd_dd_word(s.words[0], s.top - s.bits);
    if (s.count == 2) {
        int64_t carry = s.words[1] >> s.bits, first = s.words[0] + carry;
        double base = lloyd_exp2(s.bits), unit = lloyd_exp2(s.top - 2 * s.bits);
        double second = (double)(s.words[1] - carry * ((int64_t)1 << s.bits));
        double high = (double)first, rest = (double)(first - (int64_t)high);
        lloyd_dd pair = lloyd_fast_two_sum(lloyd_mul(high, base), lloyd_fma(rest, base, second));
        lloyd_dd scaled = {lloyd_mul(pair.high, unit), lloyd_mul(pair.low, unit)};
        return scaled;
    }
    int64_t carried[LLOYD_MOST_DIGITS] = {0};
    for (int t = 0; t < s.count; t++) carried[t] = s.words[t];
    lloyd_carry(carried, s.count, s.bits);
    lloyd_dd sum = lloyd_dd_word(carried[0], s.top - s.bits);
    for (int t = 1; t < s.count; t++)
        sum = lloyd_dd_add(sum, lloyd_dd_word(carried[t], s.top - s.bits * (t + 1)));
    return sum;
}

/* A term of the inertia: c (n c - 2 s), for one column of one cluster. */
LLOYD_HD lloyd_dd lloyd_inertia_term(float centroid, lloyd_dd mass, lloyd_dd sum)
{
    double c = (double)centroid;
    lloyd_dd twice = {-2 * sum.high, -2 * sum.low};
    return lloyd_dd_mul(lloyd_dd_add(lloyd_dd_mul(mass, c), twice), c);
}

/* Adds product * x, where product is x or w x, to the words of a sum of squares: both doubles of the
 * exact product, each digit by digit. */
LLOYD_HD void lloyd_add_square(double product, float x, int top, int bits, int64_t *words)
{
    double high = lloyd_mul(product, (double)x), low = lloyd_fma(product, (double)x, -high);
    for (int t = 0; t < LLOYD_SQUARE_DIGITS; t++) {
        int unit = top - bits * (t + 1);
        words[t] += lloyd_digit(high, unit, bits, t == 0) + lloyd_digit(low, unit, bits, 0);
    }
}

/* --- exact comparison --- */

/* What is hardly ever called, and not to be in everybody's way. */
#if defined(__CUDACC__)
#define LLOYD_FAR static __host__ __device__ __noinline__
#else
#define LLOYD_FAR static inline
#endif

/* A number as limbs of 32 bits above 2^base, each in a word with room for carries. */
enum { LLOYD_LIMBS = 28 };

/* += negative ? -value 2^exponent : value 2^exponent, exponent >= base. */
LLOYD_HD void lloyd_add_limbs(int64_t *limbs, int base, uint64_t value, int exponent, int negative)
{
    int at = (exponent - base) / 32, shift = (exponent - base) % 32;
    uint64_t low = (value & 0xffffffffu) << shift, high = (value >> 32) << shift;
    int64_t piece[3] = {(int64_t)(low & 0xffffffffu), (int64_t)((low >> 32) + (high & 0xffffffffu)),
                        (int64_t)(high >> 32)};
    for (int i = 0; i < 3; i++) limbs[at + i] += negative ? -piece[i] : piece[i];
}

/* The sign of total - boundary * divisor, exactly, in limbs. boundary: finite, not 0, of at most 25
 * bits. */
LLOYD_FAR int lloyd_compare_limbs(lloyd_total total, double boundary, lloyd_total divisor)
{
    int64_t limbs[LLOYD_LIMBS];
    for (int i = 0; i < LLOYD_LIMBS; i++) limbs[i] = 0;
    int lowest = lloyd_lowest(boundary), unit = total.top - total.bits * total.count;
    int product_unit = lowest + divisor.top - divisor.bits * divisor.count;
    int base = unit < product_unit ? unit : product_unit;
    for (int t = 0; t < total.count; t++) {
        int64_t word = total.words[t];
        lloyd_add_limbs(limbs, base, word < 0 ? -(uint64_t)word : (uint64_t)word,
                        total.top - total.bits * (t + 1), word < 0);
    }
    uint64_t significand = (uint64_t)(fabs(boundary) * lloyd_exp2(-lowest));
    for (int t = 0; t < divisor.count; t++) {
        int64_t word = divisor.words[t];
        uint64_t magnitude = word < 0 ? -(uint64_t)word : (uint64_t)word;
        int exponent = lowest + divisor.top - divisor.bits * (t + 1);
        int negative = (word < 0) == (boundary < 0); /* it is subtracted */
        lloyd_add_limbs(limbs, base, (magnitude & 0xffffffffu) * significand, exponent, negative);
        lloyd_add_limbs(limbs, base, (magnitude >> 32) * significand, exponent + 32, negative);
    }
    int64_t carry = 0, any = 0;
    for (int i = 0; i < LLOYD_LIMBS; i++) {
        int64_t limb = limbs[i] + carry;
        carry = limb >> 32;
        any |= limb & 0xffffffff;
    }
    if (carry < 0) return -1;
    return carry > 0 || any != 0;
}

/* The same for a total of up to two words and a divisor of one, where total and boundary * divisor are
 * about as large: then 128 bits hold both, in units of the lower last bit. (Means of two or four rows
 * often are boundaries.) */
LLOYD_HD int lloyd_compare_short(lloyd_total total, double boundary, lloyd_total divisor)
{
    int lowest = lloyd_lowest(boundary);
    int shift = total.top - total.bits * total.count - (lowest + divisor.top - divisor.bits);
    __int128 sum = total.words[0];
    if (total.count == 2) sum = sum * ((int64_t)1 << total.bits) + total.words[1];
    __int128 product = (__int128)(int64_t)(boundary * lloyd_exp2(-lowest)) * divisor.words[0];
    if (shift > 0)
        sum = (__int128)((unsigned __int128)sum << shift);
    else
        product = (__int128)((unsigned __int128)product << -shift);
    return (sum > product) - (sum < product);
}

LLOYD_HD int lloyd_compare_quotient(lloyd_total total, double boundary, lloyd_total divisor)
{
    if (total.count <= 2 && divisor.count == 1)
        return lloyd_compare_short(total, boundary, divisor);
    return lloyd_compare_limbs(total, boundary, divisor);
}

/* --- means --- */

/* total / divisor, rounded once to float32, where that lies between the neighbours low < high. */
LLOYD_HD float lloyd_exact_mean(lloyd_total total, lloyd_total divisor, float low, float high)
{
    /* beyond the largest float32: where rounding to nearest begins to overflow */
    const double end = 0x1.ffffffp127;
    double boundary = isinf(high) ? end : isinf(low) ? -end : ((double)low + (double)high) / 2;
    int sign = lloyd_compare_quotient(total, boundary, divisor);
    if (sign != 0) return sign > 0 ? high : low;
    uint32_t bits;
    memcpy(&bits, &low, sizeof bits);
    return bits & 1 ? high : low;
}

/* A total to 2^-52 of itself. */
LLOYD_HD double lloyd_rough(lloyd_total s)
{
    if (s.count == 1) return lloyd_mul((double)s.words[0], lloyd_exp2(s.top - s.bits));
    if (s.count > 2) return lloyd_dd_total(s).high;
    int64_t carry = s.words[1] >> s.bits, low = s.words[1] - carry * ((int64_t)1 << s.bits);
    double sum = lloyd_fma((double)(s.words[0] + carry), lloyd_exp2(s.bits), (double)low);
    return lloyd_mul(sum, lloyd_exp2(s.top - 2 * s.bits));
}

/* A centroid's element: total / divisor, correctly rounded to float32. The divisor is above 0, and
 * inverse = 1 / lloyd_rough(divisor). The quotient by it is right to 2^-50 of itself (two roundings of
 * the total, two of the inverse, one of the product), which settles the rounding to float32 unless a
 * boundary is nearer. */
LLOYD_HD float lloyd_mean(lloyd_total total, lloyd_total divisor, double inverse)
{
    double quotient = lloyd_mul(lloyd_rough(total), inverse);
    float a = (float)lloyd_mul(quotient, 1 - 0x1p-50), b = (float)lloyd_mul(quotient, 1 + 0x1p-50);
    float mean = a;
    if (a != b) mean = lloyd_exact_mean(total, divisor, a < b ? a : b, a < b ? b : a);
    return lloyd_addf(mean, 0.0f); /* zero is +0 */
}

#endif
