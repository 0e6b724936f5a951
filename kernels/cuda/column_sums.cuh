/* What a pass over the columns of a slot gathers of one column: extremes, products with weights, squares. A column is begun, is given
 * elements (add) and now and then a pause (flush), and is combined with others (give, take) before it goes to memory (emit).
 */
#ifndef LLOYD_KERNELS_CUDA_COLUMN_SUMS_CUH
#define LLOYD_KERNELS_CUDA_COLUMN_SUMS_CUH

#include "kernels/cuda/rows.cuh"

namespace
{

/* --- vectors of elements --- */

constexpr int QUAD = 4, BYTES = 16;

/* Four stored elements as one load. */
template <lloyd_type T>
using four = std::conditional_t<cuda_element_bytes(T) == 4, uint4,
                                std::conditional_t<cuda_element_bytes(T) == 2, uint2, unsigned>>;

/* --- what is known of one column --- */

constexpr int64_t NO_ROW = INT64_MAX;

/* Floats as unsigned integers of the same order, for atomics. */
__device__ inline unsigned to_key(float x)
{
    unsigned bits = __float_as_uint(x);
    return (bits & 0x80000000u) ? ~bits : bits | 0x80000000u;
}

float from_key(uint32_t key)
{
    uint32_t bits = (key & 0x80000000u) ? key & 0x7fffffffu : ~key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

struct extremes_parameters {
    unsigned *min, *max; /* [D] keys */
    int *low;            /* [D] lowest bits */
    int64_t *bad_row;
};

/* lloyd_lowest() of a float32, LLOYD_NO_BITS of 0. */
__device__ inline int lowest_bit(float x)
{
    unsigned bits = __float_as_uint(x) & 0x7fffffffu, exponent = bits >> 23;
    unsigned significand = (bits & 0x007fffffu) | (exponent > 0 ? 0x00800000u : 0);
    int lowest = __ffs((int)significand) - 1 + (int)max(exponent, 1u) - 150;
    return bits == 0 ? (int)LLOYD_NO_BITS : lowest;
}

/* Minimum, maximum and lowest bit; fminf() and fmaxf() pass NaN over. */
struct extremes {
    using parameters = extremes_parameters;
    static constexpr bool WEIGHTED = false, CHECKED = true;
    struct part {
        float min, max;
        int low;
    } range;

    __device__ void begin(const parameters &, int64_t)
    {
        range = {INFINITY, -INFINITY, LLOYD_NO_BITS};
    }
    __device__ void add(float x, float)
    {
        range.min = fminf(range.min, x);
        range.max = fmaxf(range.max, x);
        range.low = min(range.low, lowest_bit(x));
    }
    __device__ void flush()
    {
    }
    __device__ part give() const
    {
        return range;
    }
    __device__ void take(const part &other)
    {
        range.min = fminf(range.min, other.min);
        range.max = fmaxf(range.max, other.max);
        range.low = min(range.low, other.low);
    }
    __device__ void emit(const parameters &to, int64_t j) const
    {
        atomicMin(&to.min[j], to_key(range.min));
        atomicMax(&to.max[j], to_key(range.max));
        atomicMin(&to.low[j], range.low);
    }
};

struct weighted_parameters {
    unsigned long long *max, *square; /* [D] doubles that are not negative order as their bits do */
    int *low;                         /* [D] */
};

/* The largest |w x| and (w x) x, and the lowest bit of any w x. */
struct weighted_extremes {
    using parameters = weighted_parameters;
    static constexpr bool WEIGHTED = true, CHECKED = false;
    struct part {
        double max, square;
        int low;
    } range;

    __device__ void begin(const parameters &, int64_t)
    {
        range = {0, 0, LLOYD_NO_BITS};
    }
    __device__ void add(float x, float weight)
    {
        double product = lloyd_mul((double)weight, (double)x);
        if (product == 0) return;
        take({fabs(product), lloyd_mul(product, (double)x), lloyd_lowest(product)});
    }
    __device__ void flush()
    {
    }
    __device__ part give() const
    {
        return range;
    }
    __device__ void take(const part &other)
    {
        range.max = fmax(range.max, other.max);
        range.square = fmax(range.square, other.square);
        range.low = min(range.low, other.low);
    }
    __device__ void emit(const parameters &to, int64_t j) const
    {
        atomicMax(&to.max[j], (unsigned long long)__double_as_longlong(range.max));
        atomicMax(&to.square[j], (unsigned long long)__double_as_longlong(range.square));
        atomicMin(&to.low[j], range.low);
    }
};

struct squares_parameters {
    const double *scale;       /* [D] 2^(b - M) */
    const int *top;            /* [D] Z */
    int bits;                  /* b */
    unsigned long long *words; /* [LLOYD_SQUARE_DIGITS D] */
};

/* A sum of products below 2^60: a word holds eight of them before it is split. */
struct product_sum {
    uint64_t recent, low, high;

    __device__ void add(int64_t product)
    {
        recent += (uint64_t)product;
    }
    __device__ void flush()
    {
        low += recent & 0xffffffffu;
        high += recent >> 32;
        recent = 0;
    }
    __device__ void take(const product_sum &other)
    {
        low += other.low;
        high += other.high;
    }
    /* As a multiple of word `at` of a column, of `bits` bits: what is beyond goes to the word before. */
    __device__ void emit(unsigned long long *words, int at, int factor, int bits) const
    {
        uint64_t l = low * factor, h = high * factor, mask = ((uint64_t)1 << bits) - 1;
        atomicAdd(&words[at], (unsigned long long)(l & mask));
        atomicAdd(&words[at - 1], (unsigned long long)((l >> bits) + (h << (32 - bits))));
    }
};

/* Squares of elements of DIGITS digits, 1 or 2, of which none is cut: (first 2^b + second)^2, where no
 * product is negative. */
template <int DIGITS> struct digit_squares {
    using parameters = squares_parameters;
    static constexpr bool WEIGHTED = false, CHECKED = false;
    static constexpr int SUMS = DIGITS == 1 ? 1 : 3;
    struct part {
        product_sum sum[SUMS];
    } all;
    double scale, base;

    __device__ void begin(const parameters &from, int64_t j)
    {
#pragma unroll
        for (int i = 0; i < SUMS; i++) all.sum[i] = {0, 0, 0};
        scale = from.scale[j];
        base = lloyd_exp2(from.bits);
    }
    __device__ void add(float x, float)
    {
        if constexpr (DIGITS == 1) {
            int64_t q = lloyd_rint(lloyd_mul((double)x, scale));
            all.sum[0].add(q * q);
        } else {
            lloyd_pair q = lloyd_pair_of((double)x, scale, base);
            all.sum[0].add((int64_t)q.high * q.high);
            all.sum[1].add((int64_t)q.high * q.low);
            all.sum[2].add((int64_t)q.low * q.low);
        }
    }
    __device__ void flush()
    {
#pragma unroll
        for (int i = 0; i < SUMS; i++) all.sum[i].flush();
    }
    __device__ part give() const
    {
        return all;
    }
    __device__ void take(const part &other)
    {
#pragma unroll
        for (int i = 0; i < SUMS; i++) all.sum[i].take(other.sum[i]);
    }
    __device__ void emit(const parameters &to, int64_t j) const
    {
        unsigned long long *words = to.words + LLOYD_SQUARE_DIGITS * j;
        all.sum[0].emit(words, 1, 1, to.bits);
        if constexpr (DIGITS == 2) {
            all.sum[1].emit(words, 2, 2, to.bits);
            all.sum[2].emit(words, 3, 1, to.bits);
        }
    }
};

/* Squares of anything, digit by digit. */
template <bool WEIGHTS> struct any_squares {
    using parameters = squares_parameters;
    static constexpr bool WEIGHTED = WEIGHTS, CHECKED = false;
    struct part {
        int64_t words[LLOYD_SQUARE_DIGITS];
    } sum;
    int top, bits;

    __device__ void begin(const parameters &from, int64_t j)
    {
#pragma unroll
        for (int t = 0; t < LLOYD_SQUARE_DIGITS; t++) sum.words[t] = 0;
        top = from.top[j];
        bits = from.bits;
    }
    __device__ void add(float x, float weight)
    {
        lloyd_add_square(lloyd_mul((double)weight, (double)x), x, top, bits, sum.words);
    }
    __device__ void flush()
    {
    }
    __device__ part give() const
    {
        return sum;
    }
    __device__ void take(const part &other)
    {
#pragma unroll
        for (int t = 0; t < LLOYD_SQUARE_DIGITS; t++) sum.words[t] += other.words[t];
    }
    __device__ void emit(const parameters &to, int64_t j) const
    {
#pragma unroll
        for (int t = 0; t < LLOYD_SQUARE_DIGITS; t++)
            atomicAdd(&to.words[LLOYD_SQUARE_DIGITS * j + t], (unsigned long long)sum.words[t]);
    }
};

} // namespace

#endif
