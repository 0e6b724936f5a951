/* Operands of the 8-bit filter: codes of rows, once per load, and of centroids, once per iteration. docs/numerics.md, section 2.7. */
#include "kernels/cuda/int8/kernel.h"
#include "kernels/cuda/int8/prepare.h"

#include "kernels/cuda/assign/filter.h"
#include "kernels/cuda/sort/radix_sort.h"

#include <algorithm>
#include <cstddef>

namespace
{

enum { THREADS = 256, WARPS = THREADS / 32, SAMPLE = 1024, SLICES = 64 };
enum { BLOCKS = INT8_TILE / INT8_BLOCK };
/* Iterations between two sorts of the centroids, at most. */
constexpr int SELDOM = 15;

/* With more, less of long rows is cut off; with less, the unit is finer, which serves the other rows better. */
constexpr float ROOM_FOR_LONG = 1.25F;

/* Floats as integers in the same order, and back. */
__device__ inline int ordered(float x)
{
    const int bits = __float_as_int(x);
    return bits < 0 ? bits ^ 0x7fffffff : bits;
}

__device__ inline float unordered(int x)
{
    return __int_as_float(x < 0 ? x ^ 0x7fffffff : x);
}

/* --- once per run --- */

__global__ void begin_range(int64_t dim, int *range)
{
    const int64_t j = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (j >= dim) return;
    range[j] = INT32_MAX;
    range[dim + j] = INT32_MIN;
}

__global__ void widen_range(const float *centroids, int64_t set, int64_t dim, int *range)
{
    const int64_t j = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (j >= dim) return;
    int least = INT32_MAX, most = INT32_MIN;
    for (int64_t k = blockIdx.y; k < set; k += gridDim.y) {
        const int x = ordered(centroids[k * dim + j]);
        least = min(least, x);
        most = max(most, x);
    }
    atomicMin(&range[j], least);
    atomicMax(&range[dim + j], most);
}

/* The middle of the centroids' range in each column, an integer where rows are used as they are, so that Z is exact. One block. */
__global__ void choose_origin(int64_t dim, const int *range, bool exact, float *origin,
                              int8_units *units)
{
    __shared__ float square;
    if (threadIdx.x == 0) square = 0;
    __syncthreads();
    float own = 0;
    for (int64_t j = threadIdx.x; j < dim; j += THREADS) {
        float middle = 0.5F * unordered(range[j]) + 0.5F * unordered(range[dim + j]);
        if (exact) middle = rintf(middle);
        origin[j] = middle;
        own = __fmaf_ru(middle, middle, own);
    }
    if (exact) atomicAdd(&square, own);
    __syncthreads();
    if (threadIdx.x > 0) return;
    *units = {};
    units->row = 1;
    units->origin_length =
        __fmul_ru(__fsqrt_ru(square), 1.001F); /* rounded up: sums of THREADS floats */
}

/* The rows' unit: what covers the geometric mean of the greatest elements of a sample of rows, and a little more; rows that are
 * far longer do not count. One block. */
template <lloyd_type T>
__global__ void __launch_bounds__(SAMPLE)
    choose_unit(cuda_rows rows, const float *origin, int8_units *units)
{
    __shared__ float sum;
    __shared__ int counted;
    const int lane = threadIdx.x % 32;
    const int count = rows.count < SAMPLE ? (int)rows.count : SAMPLE;
    if (threadIdx.x == 0) sum = 0, counted = 0;
    __syncthreads();
    for (int i = threadIdx.x / 32; i < count; i += SAMPLE / 32) {
        const int64_t row = (int64_t)((double)i * ((double)rows.count / count));
        float most = 0;
        for (int64_t j = lane; j < rows.dim; j += 32)
            most = fmaxf(most, fabsf(cuda_value<T>(rows, row, j) - origin[j]));
        for (int bit = 16; bit > 0; bit /= 2)
            most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, bit));
        if (lane > 0 || !(most > 0) || !(most < INFINITY)) continue;
        atomicAdd(&sum, log2f(most));
        atomicAdd(&counted, 1);
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    const float typical = counted > 0 ? exp2f(sum / (float)counted) : 1;
    units->row = typical * ROOM_FOR_LONG / INT8_CODE;
}

/* --- rows --- */

/* Z and |dx| of every row, and its codes unless CODES is false. A warp per row. */
template <lloyd_type T, bool CODES>
__global__ void describe(cuda_rows rows, const float *origin, const int8_units *units,
                         int8_row *out, int8_t *codes, int64_t stride)
{
    const int lane = threadIdx.x % 32;
    const double f = units->row, inverse = 1 / f;
    for (int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; i < rows.count;
         i += (int64_t)gridDim.x * WARPS) {
        lloyd_bound_row sums = {};
        for (int64_t j = lane; j < stride; j += 32) {
            double code = 0;
            if (j < rows.dim) {
                const double x = (double)cuda_value<T>(rows, i, j) - (double)origin[j];
                if (CODES)
                    code = lloyd_bound_add(&sums, x, f, inverse);
                else
                    lloyd_bound_add_exact(&sums, x);
            }
            if (CODES) codes[i * stride + j] = (int8_t)code;
        }
        for (int bit = 16; bit > 0; bit /= 2) {
            sums.square += __shfl_xor_sync(0xffffffffu, sums.square, bit);
            sums.rest += __shfl_xor_sync(0xffffffffu, sums.rest, bit);
            sums.cross += __shfl_xor_sync(0xffffffffu, sums.cross, bit);
        }
        if (lane > 0) continue;
        int8_row row;
        lloyd_bound_finish_row(&sums, &row.x, &row.y);
        out[i] = row;
    }
}

/* Rows that are their own codes, at multiples of INT8_PIECE bytes. */
__global__ void copy_codes(const uint8_t *rows, int64_t count, int64_t dim, uint8_t *codes,
                           int64_t stride)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x; at < count * stride;
         at += step) {
        const int64_t i = at / stride, j = at % stride;
        codes[at] = j < dim ? rows[i * dim + j] : 0;
    }
}

/* --- centroids --- */

/* What centroids are sorted by: where their biases will be, about. A warp per centroid. */
__global__ void find_keys(const float *centroids, int64_t set, int64_t dim, const float *origin,
                          bool exact, uint32_t *key, int32_t *number)
{
    const int lane = threadIdx.x % 32;
    const int64_t k = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (k >= set) return;
    float square = 0;
    for (int64_t j = lane; j < dim; j += 32) {
        const float c = centroids[k * dim + j] - (exact ? 0 : origin[j]);
        square += c * c;
    }
    for (int bit = 16; bit > 0; bit /= 2) square += __shfl_xor_sync(0xffffffffu, square, bit);
    if (lane > 0) return;
    key[k] = __float_as_uint(square);
    number[k] = (int32_t)k;
}

/* Also forgets the greatest biases of the centroids before. */
__global__ void find_greatest(const float *centroids, int64_t set, int64_t dim, const float *origin,
                              int8_units *units, int8_tile *tile, int tiles)
{
    cuda_await();
    const int lane = threadIdx.x % 32;
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < tiles * BLOCKS; i += gridDim.x * THREADS)
        tile[i / BLOCKS].most[i % BLOCKS] = INT8_FILLER;
    float most = 0;
    for (int64_t k = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; k < set;
         k += (int64_t)gridDim.x * WARPS) {
        for (int64_t j = lane; j < dim; j += 32)
            most = fmaxf(most, fabsf(__fsub_rn(centroids[k * dim + j], origin[j])));
    }
    const unsigned bits = __reduce_max_sync(0xffffffffu, __float_as_uint(most));
    if (lane == 0) atomicMax((unsigned *)&units->greatest, bits);
}

struct operands {
    int64_t set, padded, dim;
    int steps;
    int64_t stride;
    bool exact;
    const int32_t *order; /* which centroid comes where */
    uint8_t *image;
    int8_tile *tile;
    int8_t *digits;
    double *own_bias;
    int32_t *bias; /* by centroid */
};

/* Where the code of a column is in the image: 8 rows of 16 bytes together, as for 16-bit operands. */
__device__ inline int64_t image_offset(int64_t k, int64_t j, int steps)
{
    const int64_t tile = k / INT8_TILE;
    const int row = (int)(k % INT8_TILE), step = (int)(j / INT8_STEP), place = (int)(j % INT8_STEP);
    return tile * steps * (INT8_TILE * INT8_STEP) +
           (((int64_t)step * (INT8_TILE / 8) + row / 8) * 2 + place / 16) * 128 + row % 8 * 16 +
           place % 16;
}

__device__ inline double warp_sum(double x)
{
    for (int bit = 16; bit > 0; bit /= 2) x += __shfl_xor_sync(0xffffffffu, x, bit);
    return x;
}

__device__ inline void raise(float *most, double x)
{
    atomicMax((unsigned *)most, __float_as_uint(lloyd_bound_up(x)));
}

/* A warp per centroid, filler included. */
__global__ void encode(operands s, const float *centroids, const float *origin, int8_units *units)
{
    cuda_await();
    const int lane = threadIdx.x % 32;
    const int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (at >= s.padded) return;
    const bool real = at < s.set;
    const int64_t k = real ? s.order[at] : 0;
    const double f = units->row, g = int8_centroid_unit(*units);
    const bool served = lloyd_bound_serves(f, g);
    lloyd_bound_centroid sums = {};
    for (int64_t j = lane; j < (int64_t)s.steps * INT8_STEP; j += 32) {
        double first = 0, second = 0;
        if (real && served && j < s.dim) {
            const double m = origin[j], c = (double)centroids[k * s.dim + j] - m;
            lloyd_bound_add_column(&sums, c, m, s.exact, g, &first, &second);
        }
        s.image[image_offset(at, j, s.steps)] = (uint8_t)(int8_t)first;
        if (real && j < s.stride) {
            s.digits[2 * k * s.stride + j] = (int8_t)first;
            s.digits[(2 * k + 1) * s.stride + j] = (int8_t)second;
        }
    }
    for (double *sum : {&sums.square, &sums.along, &sums.along_fine, &sums.rest, &sums.rest_fine,
                        &sums.shift, &sums.shift_fine})
        *sum = warp_sum(*sum);
    if (lane > 0) return;
    int8_tile *tile = &s.tile[at / INT8_TILE];
    const int place = (int)(at % INT8_TILE);
    if (!real) {
        tile->bias[place] = INT8_FILLER;
        return;
    }
    const bool fits = lloyd_bound_bias(&sums, f, g, &tile->bias[place]);
    atomicMax(&tile->most[place / INT8_BLOCK], tile->bias[place]);
    s.bias[k] = tile->bias[place];
    s.own_bias[k] = lloyd_bound_own_bias(&sums);
    if (!fits) units->unusable = 1;
    raise(&units->square, sums.square);
    raise(&units->residual, sums.rest);
    raise(&units->fine, sums.rest_fine);
}

lloyd_status choose_units(cuda_kernels *cuda, cuda_int8 *f, const cuda_rows &rows)
{
    const int64_t dim = rows.dim;
    const bool exact = lloyd_cuda_int8_exact(&cuda->base.config);
    const dim3 slices((unsigned)cuda_divide_up(dim, THREADS), SLICES);
    begin_range<<<slices.x, THREADS, 0, cuda->stream>>>(dim, f->range);
    widen_range<<<slices, THREADS, 0, cuda->stream>>>(cuda->centroids, cuda->set, dim, f->range);
    choose_origin<<<1, THREADS, 0, cuda->stream>>>(dim, f->range, exact, f->origin, f->units);
    if (!exact) {
        cuda_for_type(rows.type, [&](auto type) {
            choose_unit<type.value><<<1, SAMPLE, 0, cuda->stream>>>(rows, f->origin, f->units);
        });
    }
    CUDA_LAUNCHED("choosing the 8-bit filter's units");
    return LLOYD_OK;
}

/* Any order is right; one that is a little old serves almost as well. */
lloyd_status sort_centroids(cuda_kernels *cuda, const cuda_int8 *f)
{
    find_keys<<<(unsigned)cuda_divide_up(cuda->set, WARPS), THREADS, 0,
                cuda->stream>>>(cuda->centroids, cuda->set, cuda->base.config.dim, f->origin,
                                lloyd_cuda_int8_exact(&cuda->base.config), f->key, f->number);
    CUDA_LAUNCHED("sorting the centroids");
    return lloyd_cuda_radix_sort({f->key, f->sorted_key, f->number, f->order}, cuda->set, 32,
                                 f->sorter, cuda->stream, "sorting the centroids");
}

lloyd_status encode_centroids(cuda_kernels *cuda, cuda_int8 *f)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    operands s = {};
    s.set = cuda->set;
    s.padded = cuda_divide_up(s.set, INT8_TILE) * INT8_TILE;
    s.dim = config->dim;
    s.steps = lloyd_cuda_int8_steps(s.dim);
    s.stride = lloyd_cuda_int8_stride(s.dim);
    s.exact = lloyd_cuda_int8_exact(config);
    s.image = f->image;
    s.order = f->order;
    s.tile = f->tile;
    s.digits = f->digits;
    s.own_bias = f->own_bias;
    s.bias = f->bias;
    const char *what = "preparing the centroids for the 8-bit filter";
    CUDA_TRY(cudaMemsetAsync(&f->units.data->greatest, 0,
                             sizeof(int8_units) - offsetof(int8_units, greatest), cuda->stream),
             what);
    if (f->since_sorted == f->sorted_for) {
        LLOYD_TRY(sort_centroids(cuda, f));
        f->sorted_for = std::min(2 * f->sorted_for + 1, SELDOM);
        f->since_sorted = 0;
    } else {
        f->since_sorted++;
    }
    const int64_t blocks =
        std::min<int64_t>(cuda_divide_up(s.set, WARPS), 4 * (int64_t)cuda->gpu.multiprocessors);
    LLOYD_TRY(cuda_launch_after(cuda->stream, cuda->gpu.capability, find_greatest, blocks, THREADS,
                                0, what, (const float *)cuda->centroids, s.set, s.dim,
                                (const float *)f->origin, f->units.data, f->tile.data,
                                (int)(s.padded / INT8_TILE)));
    return cuda_launch_after(cuda->stream, cuda->gpu.capability, encode,
                             cuda_divide_up(s.padded, WARPS), THREADS, 0, what, s,
                             (const float *)cuda->centroids, (const float *)f->origin,
                             f->units.data);
}

/* Rows that are used as they are. */
lloyd_status describe_exact_rows(cuda_kernels *cuda, const cuda_int8 *f, const cuda_rows &rows,
                                 int64_t first, uint8_t *codes)
{
    const int blocks = lloyd_cuda_persistent_blocks(cuda, rows.count, WARPS);
    cuda_for_type(rows.type, [&](auto type) {
        describe<type.value, false><<<blocks, THREADS, 0, cuda->stream>>>(rows, f->origin, f->units,
                                                                          f->rows + first, nullptr,
                                                                          rows.dim);
    });
    if (codes) {
        copy_codes<<<blocks, THREADS, 0, cuda->stream>>>((const uint8_t *)rows.data, rows.count,
                                                         rows.dim, codes,
                                                         lloyd_cuda_int8_stride(rows.dim));
    }
    CUDA_LAUNCHED("preparing rows for the 8-bit filter");
    return LLOYD_OK;
}

} // namespace

lloyd_status lloyd_cuda_int8_describe(cuda_kernels *cuda, const cuda_rows &rows,
                                      const int8_units *units, int8_row *out, uint8_t *codes)
{
    const int blocks = lloyd_cuda_persistent_blocks(cuda, rows.count, WARPS);
    cuda_for_type(rows.type, [&](auto type) {
        describe<type.value, true>
            <<<blocks, THREADS, 0, cuda->stream>>>(rows, cuda->filter->int8.origin, units, out,
                                                   (int8_t *)codes,
                                                   lloyd_cuda_int8_stride(rows.dim));
    });
    CUDA_LAUNCHED("preparing rows for the 8-bit filter");
    return LLOYD_OK;
}

int64_t lloyd_cuda_int8_stride(int64_t dim)
{
    return cuda_divide_up(dim, INT8_PIECE) * INT8_PIECE;
}

bool lloyd_cuda_int8_exact(const lloyd_kernels_config *config)
{
    return !config->cosine && (config->type == LLOYD_U8 || config->type == LLOYD_I8);
}

bool lloyd_cuda_int8_unsigned(const lloyd_kernels_config *config)
{
    return lloyd_cuda_int8_exact(config) && config->type == LLOYD_U8;
}

bool lloyd_cuda_int8_in_place(const lloyd_kernels_config *config)
{
    return lloyd_cuda_int8_exact(config) && config->dim % INT8_PIECE == 0;
}

bool lloyd_cuda_int8_by_row(const lloyd_kernels_config *config)
{
    const int64_t most = std::max<int64_t>(1, config->chunk_rows);
    return config->slots == cuda_divide_up(config->n_local, most);
}

uint8_t *lloyd_cuda_int8_codes(cuda_kernels *cuda, int slot)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    if (lloyd_cuda_int8_in_place(config)) return (uint8_t *)cuda->slots[slot].rows.data;
    const int64_t first =
        lloyd_cuda_int8_by_row(config) ? cuda->slots[slot].first : slot * config->chunk_rows;
    return cuda->filter->int8.codes + first * lloyd_cuda_int8_stride(config->dim);
}

lloyd_status lloyd_cuda_int8_prepare(cuda_kernels *cuda, int slot_number)
{
    cuda_int8 *f = &cuda->filter->int8;
    cuda_slot *slot = &cuda->slots[slot_number];
    const lloyd_kernels_config *config = &cuda->base.config;
    const cuda_rows rows = lloyd_cuda_slot_rows(cuda, slot_number);
    if (!f->ready) {
        LLOYD_TRY(choose_units(cuda, f, rows));
        f->ready = true;
        f->prepared = nullptr;
    }
    if (f->prepared != cuda->centroids) {
        LLOYD_TRY(encode_centroids(cuda, f));
        f->prepared = cuda->centroids;
    }
    if (slot->encoded) return LLOYD_OK;
    const bool in_place = lloyd_cuda_int8_in_place(config);
    const int64_t left = config->n_local - slot->first;
    const bool whole =
        slot->first % config->chunk_rows == 0 && slot->count == std::min(config->chunk_rows, left);
    bool *described = whole ? &f->described[slot->first / config->chunk_rows] : nullptr;
    if (!in_place || !described || !*described) {
        uint8_t *codes = in_place ? nullptr : lloyd_cuda_int8_codes(cuda, slot_number);
        LLOYD_TRY(
            lloyd_cuda_int8_exact(config)
                ? describe_exact_rows(cuda, f, rows, slot->first, codes)
                : lloyd_cuda_int8_describe(cuda, rows, f->units, f->rows + slot->first, codes));
    }
    if (described) *described = true;
    slot->encoded = true;
    return LLOYD_OK;
}
