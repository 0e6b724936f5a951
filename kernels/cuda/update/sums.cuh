/* What all ways of summing rows share: sorted (sorted.cu), in shared memory (shared.cu), and of those that have
 * moved (moved.cu).
 *
 * There are four ways to the same digits, docs/numerics.md section 3. Columns with more than two digits
 * have a scale of 0 in all of them; they are summed apart (wide.cu).
 *
 * DEFINITION  lloyd_pair_of(), in double, for weights, cosine and columns far from 1.
 *
 * FLOAT       one digit: q = x 2^(b - M) is an integer. The host checks that 2^(b - M) is a float32
 *             number, so the float32 product is exact.
 *
 * PAIR        two digits, of float types. The host checks the same. y = fl(x 2^(b - M)) is exact unless
 *             it is below 2^-126; then both digits are 0, as they are of the exact number. high = y rounded
 *             towards zero and y - high are float32 numbers, and so is the latter times 2^b, of which the
 *             conversion to the nearest integer, ties to even, is the second digit.
 *
 * INTEGER     uint8 and int8: q = x 2^p, where p = b - M is not negative, as M <= 8 and b >= 22. Hence
 *             sum q = (sum x) 2^p: the bytes themselves are summed.
 */
#ifndef LLOYD_KERNELS_CUDA_UPDATE_SUMS_CUH
#define LLOYD_KERNELS_CUDA_UPDATE_SUMS_CUH

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/update/update.h"

__host__ __device__ constexpr bool cuda_has_two_digits(cuda_arithmetic a)
{
    return a == cuda_arithmetic::PAIR || a == cuda_arithmetic::DEFINITION;
}

/* Calls launch(type, arithmetic), both as constants, with what the rows are summed by. */
template <class Launch> lloyd_status cuda_for_arithmetic(const cuda_kernels *cuda, Launch launch)
{
    const cuda_arithmetic chosen = lloyd_cuda_arithmetic(cuda);
    lloyd_status status = LLOYD_OK;
    cuda_for_type(cuda->base.config.type, [&](auto type) {
        constexpr bool BYTES = type == LLOYD_U8 || type == LLOYD_I8;
        constexpr cuda_arithmetic ONE = BYTES ? cuda_arithmetic::INTEGER : cuda_arithmetic::FLOAT;
        constexpr cuda_arithmetic ALL = cuda_arithmetic::DEFINITION;
        if (chosen == ONE) {
            status = launch(type, std::integral_constant<cuda_arithmetic, ONE>());
            return;
        }
        if constexpr (!BYTES) {
            if (chosen == cuda_arithmetic::PAIR) {
                status =
                    launch(type, std::integral_constant<cuda_arithmetic, cuda_arithmetic::PAIR>());
                return;
            }
        }
        status = launch(type, std::integral_constant<cuda_arithmetic, ALL>());
    });
    return status;
}

/* Adds to a word of the sums in global memory. Atomic; as nobody reads the result, it does not wait for memory. */
__device__ inline void cuda_add_word(int64_t *sum, int64_t value)
{
    atomicAdd(reinterpret_cast<unsigned long long *>(sum), (unsigned long long)value);
}

/* Calls move(row, from, to) by whole warps, for every row whose label is not the cluster in whose sums it is: summed[row] =
 * from, labels[row] = to. By all warps of a grid, each for some of the rows. move() may write to summed[row]. */
template <class Move>
__device__ inline void cuda_each_moved(const int32_t *labels, const int32_t *summed, int64_t rows,
                                       Move move)
{
    const int lane = (int)threadIdx.x % 32;
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    int64_t row = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    int to = row < rows ? labels[row] : 0, from = row < rows ? summed[row] : 0;
    /* whole warps come to an end together */
    for (int64_t first = row - lane; first < rows; first += step) {
        row += step;
        const int to_next = row < rows ? labels[row] : 0, from_next = row < rows ? summed[row] : 0;
        for (uint32_t moved = __ballot_sync(0xffffffffu, to != from); moved; moved &= moved - 1) {
            const int source = __ffs((int)moved) - 1;
            move(first + source, __shfl_sync(0xffffffffu, from, source),
                 __shfl_sync(0xffffffffu, to, source));
        }
        to = to_next;
        from = from_next;
    }
}

/* The digits of an element by cuda_arithmetic::PAIR. */
__device__ inline lloyd_pair cuda_pair(float x, float scale, float base)
{
    const float y = __fmul_rn(x, scale);
    lloyd_pair pair;
    pair.high = __float2int_rz(y);
    pair.low = __float2int_rn(__fmul_rn(__fsub_rn(y, __int2float_rn(pair.high)), base));
    return pair;
}

/* An element as it is summed by cuda_arithmetic::INTEGER: int8 + 128. */
template <lloyd_type T> __device__ inline uint32_t cuda_summed_bytes(uint32_t bytes)
{
    return T == LLOYD_I8 ? bytes ^ 0x80808080u : bytes;
}

/* The sum of q over `count` rows whose bytes, so summed, come to `sum`; scale = 2^p. */
template <lloyd_type T>
__device__ inline int64_t cuda_sum_of_bytes(uint32_t sum, int count, double scale)
{
    const int bias = T == LLOYD_I8 ? 128 : 0;
    const int exponent = (__double2hiint(scale) >> 20) - 1023;
    return (int64_t)((int)sum - count * bias) * ((int64_t)1 << exponent);
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

/* The digits of an element by their definition. `cosine`: else length and inverse are not looked at;
 * weight: 1 without weights. */
__device__ inline lloyd_pair cuda_defined(float x, bool cosine, double length, double inverse,
                                          float weight, double scale, double base)
{
    const float value = cosine ? cuda_normalised(x, length, inverse) : x;
    return lloyd_pair_of(lloyd_mul((double)weight, (double)value), scale, base);
}

#endif
