/* The filter's origin and scale, and the norms of rows in these units.
 *
 * Origin and scale come from a sample of the first rows seen. Any would be right; these
 * keep the operands small: the mean of each column, and a power of two that brings the longest
 * ordinary row to about 2000.
 */
#include "kernels/cuda/assign/filter.h"

#include <algorithm>

namespace
{

enum { SAMPLE = 1024, THREADS = 256, WARPS = THREADS / 32 };

__device__ int64_t sample_row(int64_t count, int i)
{
    return count <= SAMPLE ? i : (int64_t)((double)i * ((double)count / SAMPLE));
}

__device__ int sample_count(int64_t count)
{
    return count < SAMPLE ? (int)count : SAMPLE;
}

/* --- origin and scale --- */

/* A column's origin in the type of the data, so that a stored element minus it is often exact; 0
 * where centring would gain nothing. */
template <lloyd_type T> __device__ float round_origin(double mean, double spread)
{
    if (T == LLOYD_U8 || T == LLOYD_I8) return (float)rint(mean);
    if (fabs(mean) < 0.25 * spread) return 0;
    if (T == LLOYD_F16) return __half2float(__double2half(mean));
    if (T == LLOYD_BF16) return __bfloat162float(__double2bfloat16(mean));
    return (float)mean;
}

/* A warp per column. */
template <lloyd_type T> __global__ void choose_origin(cuda_rows rows, float *origin)
{
    int64_t column = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32, count = sample_count(rows.count);
    if (column >= rows.dim) return;
    double sum = 0, squares = 0;
    for (int i = lane; i < count; i += 32) {
        double x = (double)cuda_value<T>(rows, sample_row(rows.count, i), column);
        sum += x;
        squares += x * x;
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        sum += __shfl_xor_sync(0xffffffffu, sum, distance);
        squares += __shfl_xor_sync(0xffffffffu, squares, distance);
    }
    if (lane > 0) return;
    double mean = sum / count, variance = squares / count - mean * mean;
    origin[column] = round_origin<T>(mean, sqrt(fmax(variance, 0.0)));
}

/* One block of SAMPLE threads: a warp per row, then the longest ordinary row. */
template <lloyd_type T>
__global__ void __launch_bounds__(SAMPLE)
    choose_scale(cuda_rows rows, const float *origin, flash_units *units)
{
    __shared__ double norm[SAMPLE];
    int lane = threadIdx.x % 32, count = sample_count(rows.count);
    norm[threadIdx.x] = 0;
    __syncthreads();
    for (int i = threadIdx.x / 32; i < count; i += SAMPLE / 32) {
        int64_t row = sample_row(rows.count, i);
        double sum = 0;
        for (int64_t j = lane; j < rows.dim; j += 32) {
            double x = (double)cuda_value<T>(rows, row, j) - (double)origin[j];
            sum += x * x;
        }
        for (int distance = 16; distance > 0; distance /= 2)
            sum += __shfl_xor_sync(0xffffffffu, sum, distance);
        if (lane == 0) norm[i] = isfinite(sum) ? sqrt(sum) : 0;
    }
    __syncthreads();
    /* bitonic sort, greatest first */
    for (int size = 2; size <= SAMPLE; size *= 2) {
        for (int stride = size / 2; stride > 0; stride /= 2) {
            int i = threadIdx.x, other = i ^ stride;
            if (other > i && (norm[i] < norm[other]) == ((i & size) == 0)) {
                double swapped = norm[i];
                norm[i] = norm[other];
                norm[other] = swapped;
            }
            __syncthreads();
        }
    }
    if (threadIdx.x > 0) return;
    double longest = fmin(1.1 * norm[0], 1.5 * norm[count / 100]);
    if (longest == 0) longest = norm[0];
    int exponent = 11 - lloyd_exponent(longest); /* longest * 2^exponent in [1024, 2048) */
    if (longest * lloyd_exp2(exponent + 1) <= (double)FLASH_REACH) exponent++;
    double sigma = lloyd_exp2(longest == 0 ? 0 : max(-126, min(126, exponent))), square = 0;
    int ordinary = 0;
    for (int i = 0; i < count; i++) {
        if (norm[i] <= longest) square += norm[i] * sigma * norm[i] * sigma, ordinary++;
    }
    units->sigma = (float)sigma;
    units->square = ordinary > 0 ? (float)(square / ordinary) : 0;
}

__global__ void set_offsets(lloyd_type type, bool cosine, int64_t dim, int places,
                            const float *origin, const flash_units *units, float *offset)
{
    int j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j < places)
        offset[j] = flash_offset(type, cosine, j < dim ? origin[j] : 0.0F, units->sigma);
}

/* --- rows --- */

/* |x^| and |dx| of every row, rounded up; the first infinite for a row that is too long, or whose
 * operand is too far off (with cosine, rows that differ by little more than their own roundings). A
 * warp per row. */
template <lloyd_type T>
__global__ void describe(cuda_rows rows, const float *origin, const flash_units *units,
                         const float *offset, __half2 *norms)
{
    int lane = threadIdx.x % 32;
    float sigma = units->sigma;
    for (int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; i < rows.count;
         i += (int64_t)gridDim.x * WARPS) {
        float scale = flash_row_scale(rows, i, sigma);
        const auto *row =
            reinterpret_cast<const typename cuda_element<T>::type *>(rows.data) + i * rows.dim;
        double square = 0, rest = 0;
        for (int64_t j = lane; j < rows.dim; j += 32) {
            float stored = cuda_element<T>::value(row[j]);
            float x = rows.lengths ? lloyd_normalised(stored, rows.lengths[i]) : stored;
            double operand = (double)__half2float(__float2half_rn(
                flash_operand(flash_lifted<T>(stored, rows.lengths != nullptr), scale, offset[j])));
            double error = (double)sigma * ((double)x - (double)origin[j]) - operand;
            square = fma(operand, operand, square);
            rest = fma(error, error, rest);
        }
        for (int distance = 16; distance > 0; distance /= 2) {
            square += __shfl_xor_sync(0xffffffffu, square, distance);
            rest += __shfl_xor_sync(0xffffffffu, rest, distance);
        }
        if (lane > 0) continue;
        /* 2^-20: the roundings made here */
        __half norm = __float2half_ru(__double2float_ru(sqrt(square) * (1 + 0x1p-20)));
        __half residual = __float2half_ru(__double2float_ru(sqrt(rest) * (1 + 0x1p-20)));
        bool regular = __half2float(norm) <= FLASH_REACH && __half2float(residual) <= FLASH_REST;
        if (!regular) norm = __ushort_as_half(0x7c00);
        norms[i] = __halves2half2(norm, residual);
    }
}

lloyd_status describe_rows(cuda_kernels *cuda, const cuda_rows &rows, __half2 *norms)
{
    cuda_filter *f = cuda->filter;
    cuda_for_type(rows.type, [&](auto type) {
        describe<type.value><<<lloyd_cuda_persistent_blocks(cuda, rows.count, WARPS), THREADS, 0,
                               cuda->stream>>>(rows, f->origin, f->units, f->offset, norms);
    });
    CUDA_LAUNCHED("computing the norms of rows");
    return LLOYD_OK;
}

} // namespace

lloyd_status lloyd_cuda_choose_units(cuda_kernels *cuda, const cuda_rows &rows)
{
    cuda_filter *f = cuda->filter;
    unsigned blocks = (unsigned)cuda_divide_up(rows.dim, WARPS);
    cuda_for_type(rows.type, [&](auto type) {
        choose_origin<type.value><<<blocks, THREADS, 0, cuda->stream>>>(rows, f->origin);
        choose_scale<type.value><<<1, SAMPLE, 0, cuda->stream>>>(rows, f->origin, f->units);
    });
    CUDA_LAUNCHED("choosing the filter's units");
    f->ready = true;
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_filter_offsets(cuda_kernels *cuda)
{
    cuda_filter *f = cuda->filter;
    if (f->offset_steps == f->shape.steps) return LLOYD_OK;
    f->offset_steps = f->shape.steps;
    int places = f->shape.steps * FLASH_STEP;
    set_offsets<<<(unsigned)cuda_divide_up(places, THREADS), THREADS, 0,
                  cuda->stream>>>(cuda->base.config.type, cuda->base.config.cosine,
                                  cuda->base.config.dim, places, f->origin, f->units, f->offset);
    CUDA_LAUNCHED("choosing the filter's units");
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_describe_slot(cuda_kernels *cuda, const cuda_slot &slot,
                                      const cuda_rows &rows)
{
    cuda_filter *f = cuda->filter;
    const int64_t most = cuda->base.config.chunk_rows,
                  left = cuda->base.config.n_local - slot.first;
    const bool whole = slot.first % most == 0 && slot.count == std::min(most, left);
    if (whole && f->described[slot.first / most]) return LLOYD_OK;
    LLOYD_TRY(describe_rows(cuda, rows, f->norms + slot.first));
    if (whole) f->described[slot.first / most] = true;
    return LLOYD_OK;
}
