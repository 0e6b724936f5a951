/* float16 and bfloat16 as bits, in integer arithmetic: the same on every machine, whatever its
 * compiler and its rounding mode. For the few places that convert single elements; the kernels have
 * their own vectorised conversions. */
#ifndef LLOYD_BASE_HALF_H
#define LLOYD_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t lloyd_float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float lloyd_bits_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* value >> shift, rounded to nearest, ties to even; 1 <= shift <= 31. */
static inline uint32_t lloyd_shift_even(uint32_t value, unsigned shift)
{
    uint32_t kept = value >> shift, rest = value & ((1U << shift) - 1), half = 1U << (shift - 1);
    return kept + (rest > half || (rest == half && (kept & 1)));
}

/* Nearest bfloat16, ties to even. A carry out of the fraction moves the exponent, up to infinity,
 * as it should. */
static inline uint16_t lloyd_bf16_from_float(float value)
{
    uint32_t bits = lloyd_float_bits(value);
    if ((bits & 0x7fffffffU) > 0x7f800000U)
        return (uint16_t)(bits >> 16 | 0x40U); /* NaN stays NaN */
    return (uint16_t)lloyd_shift_even(bits, 16);
}

static inline float lloyd_bf16_to_float(uint16_t value)
{
    return lloyd_bits_float((uint32_t)value << 16);
}

/* Nearest float16, ties to even, subnormal numbers included; too large a value becomes infinity. */
static inline uint16_t lloyd_f16_from_float(float value)
{
    uint32_t bits = lloyd_float_bits(value), sign = bits >> 16 & 0x8000U,
             magnitude = bits & 0x7fffffffU;
    uint32_t half;
    if (magnitude > 0x7f800000U) {
        half = 0x7e00U;
    } else if (magnitude >= 0x47800000U) { /* 2^16 and above */
        half = 0x7c00U;
    } else if (magnitude >=
               0x38800000U) { /* 2^-14 and above: normal; the exponents' biases differ by 112 */
        half = lloyd_shift_even(magnitude - (112U << 23), 13);
    } else if (magnitude >=
               0x33000000U) { /* 2^-25 and above: the fraction is shifted to units of 2^-24 */
        half = lloyd_shift_even((magnitude & 0x7fffffU) | 0x800000U, 126U - (magnitude >> 23));
    } else {
        half = 0;
    }
    return (uint16_t)(sign | half);
}

static inline float lloyd_f16_to_float(uint16_t value)
{
    uint32_t sign = (uint32_t)(value & 0x8000U) << 16, magnitude = value & 0x7fffU;
    if (magnitude >= 0x7c00U)
        return lloyd_bits_float(sign | 0x7f800000U | (magnitude & 0x3ffU) << 13);
    float absolute =
        lloyd_bits_float(magnitude << 13) * 0x1p112f; /* exact for normal and subnormal numbers */
    return lloyd_bits_float(sign | lloyd_float_bits(absolute));
}

#endif
