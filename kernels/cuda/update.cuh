/* What both ways of summing rows share: sorted (update.cu) and in shared memory (update_shared.cu).
 *
 * There are three ways to the same integer q, docs/numerics.md section 3:
 *
 * DEFINITION  the functions of numerics.h, in double, for weights, cosine and odd grids.
 *
 * FLOAT       q = rint(y 2^p), y = fl(x - s), p = b - e. Computed is z = fl(x 2^p - s 2^p) with one
 *             fma in float32. The host checks that 2^p and s 2^p are float32 numbers, so z is the
 *             exact 2^p (x - s), rounded once. If |x - s| and |z| are not below 2^-126, rounding to
 *             24 bits commutes with a power of two: z = 2^p y. If |x - s| is below, the difference
 *             of two float32 is a multiple of 2^-149 with at most 23 bits: y is exact, and so is z
 *             unless it is below 2^-126 itself. If z is below 2^-126, so is 2^p y up to a rounding,
 *             and both round to the integer 0. The conversion to int32 rounds to nearest, ties to
 *             even, as the contract does.
 *
 * INTEGER     uint8 and int8. With integer 2s and p >= 1 (the host checks both; the grid of such
 *             data always is so, as |y| <= 127.5 gives e <= 7), y = x - s is an exact multiple of
 *             1/2 and q = (2x - 2s) 2^(p-1) is an integer that rint() leaves alone. Hence
 *             sum q = (2 sum x - n 2s) 2^(p-1): the bytes themselves are summed.
 */
#ifndef LLOYD_KERNELS_CUDA_UPDATE_CUH
#define LLOYD_KERNELS_CUDA_UPDATE_CUH

#include "kernels/cuda/device.cuh"

enum class cuda_arithmetic { INTEGER, FLOAT, DEFINITION };

/* For the grid, the rows and the weights as they are. */
cuda_arithmetic lloyd_cuda_arithmetic(const cuda_kernels *cuda);

/* Rows to be summed, and how: what both kernels take. Row i is data[i row_bytes, + row_bytes), of
 * `dim` elements; lengths[i] (null: not cosine) and weights[i] (null: all 1) are its own. Adds to
 * sums[cluster][dim] and masses[cluster]. All device memory, of the instance. */
struct cuda_summands {
    const char *data;
    const double *lengths;
    const float *weights;
    uint32_t row_bytes;
    int dim;
    const float *shift;     /* [dim] */
    const double *to_fixed; /* [dim] */
    double to_mass;
    int64_t *sums, *masses;
};

/* Sets *s for the rows of a slot from its row `at` on. */
void lloyd_cuda_summands(const cuda_kernels *cuda, int slot, int64_t at, cuda_summands *s);

/* Calls launch(type, arithmetic), both as constants, with what the rows are summed by. */
template <class Launch> lloyd_status cuda_for_arithmetic(const cuda_kernels *cuda, Launch launch)
{
    const cuda_arithmetic chosen = lloyd_cuda_arithmetic(cuda);
    lloyd_status status = LLOYD_OK;
    cuda_for_type(cuda->base.config.type, [&](auto type) {
        constexpr cuda_arithmetic FAST = type == LLOYD_U8 || type == LLOYD_I8
                                             ? cuda_arithmetic::INTEGER
                                             : cuda_arithmetic::FLOAT;
        if (chosen == FAST)
            status = launch(type, std::integral_constant<cuda_arithmetic, FAST>());
        else
            status = launch(type,
                            std::integral_constant<cuda_arithmetic, cuda_arithmetic::DEFINITION>());
    });
    return status;
}

/* update_shared.cu: adds the rows of a slot, at least one, to the sums. Only where
 * lloyd_cuda_shares_sums(). */
lloyd_status lloyd_cuda_add_shared(cuda_kernels *cuda, int slot);

/* The offset and the scale of a column, for cuda_arithmetic::FLOAT: q = rint(x scale + offset). */
__device__ inline float cuda_float_scale(double to_fixed)
{
    return (float)to_fixed;
}
__device__ inline float cuda_float_offset(float shift, double to_fixed)
{
    return -__fmul_rn(shift, (float)to_fixed);
}

/* An element as it is summed by cuda_arithmetic::INTEGER: int8 + 128. */
template <lloyd_type T> __device__ inline uint32_t cuda_summed_bytes(uint32_t bytes)
{
    return T == LLOYD_I8 ? bytes ^ 0x80808080u : bytes;
}

/* The sum of q over `count` rows whose bytes, so summed, come to `sum`. */
template <lloyd_type T>
__device__ inline int64_t cuda_sum_of_bytes(uint32_t sum, int count, float shift, double to_fixed)
{
    int bias = T == LLOYD_I8 ? 256 : 0;
    int exponent = (__double2hiint(to_fixed) >> 20) - 1023;
    int twice = 2 * (int)sum - count * (bias + (int)(2 * shift));
    return (int64_t)twice * ((int64_t)1 << (exponent - 1));
}

/* lloyd_normalised(x, length) from inverse = 1/length, to the bit, mostly without a division. The
 * inverse, the product and the quotient are each within half a unit in the last place, so the
 * product is less than four such units away from the quotient. Rounded to float32 they differ only
 * where a boundary between two float32 numbers, 29 bits below the top of a normal one exactly 2^28,
 * lies between; these, and what is not normal in float32, are divided. */
__device__ inline float cuda_normalised(float x, double length, double inverse)
{
    double product = lloyd_mul((double)x, inverse);
    uint32_t below = (uint32_t)__double2loint(product) & 0x1fffffff;
    bool near = below - (0x10000000u - 4) <= 8;
    if (near || (fabs(product) < 0x1p-125 && x != 0)) return lloyd_normalised(x, length);
    return (float)product;
}

/* q of an element by its definition. `weighted`: else the weight is 1; `cosine`: else length and
 * inverse are not looked at. */
__device__ inline int32_t cuda_defined(float x, bool cosine, double length, double inverse,
                                       float shift, bool weighted, float weight, double to_fixed)
{
    float y = lloyd_centred(cosine ? cuda_normalised(x, length, inverse) : x, shift);
    return weighted ? lloyd_fixed_weighted(y, weight, to_fixed) : lloyd_fixed(y, to_fixed);
}

#endif
