/* What the filter knows before it multiplies: its origin and scale, the norms of rows in these units, and the operands, biases and bounds
 * of the centroids. docs/numerics.md, section 2.5.
 *
 * Origin and scale come from a sample of the first rows seen. Any would be right; these
 * keep the operands small: the mean of each column, and a power of two that brings the longest
 * ordinary row to about 2000. Norms of rows are computed once per load, operands of centroids once per iteration.
 */
#include "kernels/cuda/assign/prepare.h"

#include "kernels/cuda/assign/filter.h"
#include "kernels/cuda/groups.h"
#include "kernels/cuda/row_distance.cuh"
#include "kernels/cuda/sort/radix_sort.h"

#include <algorithm>

namespace
{

enum { SAMPLE = 1024, THREADS = 256, WARPS = THREADS / 32, MOST_STEPS = 15000 };

/* The rows of group number g, or all of them. */
__device__ cuda_rows rows_of(const cuda_rows &rows, const cuda_group_table &groups, int g)
{
    if (!groups.group) return rows;
    return cuda_part(rows, groups.group[g].first, groups.group[g].rows);
}

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

/* A warp per column, and a block row for each group. */
template <lloyd_type T>
__global__ void choose_origin(cuda_rows all, cuda_group_table groups, float *origin)
{
    const cuda_rows rows = rows_of(all, groups, (int)blockIdx.y);
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
    origin[blockIdx.y * rows.dim + column] = round_origin<T>(mean, sqrt(fmax(variance, 0.0)));
}

/* One block of SAMPLE threads for each group: a warp per row, then the longest ordinary row. */
template <lloyd_type T>
__global__ void __launch_bounds__(SAMPLE)
    choose_scale(cuda_rows all, cuda_group_table groups, const float *origin, flash_units *units)
{
    __shared__ double norm[SAMPLE];
    const cuda_rows rows = rows_of(all, groups, (int)blockIdx.x);
    origin += blockIdx.x * rows.dim;
    units += blockIdx.x;
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

/* Of the groups, or of all rows: block number y. */
__global__ void set_offsets(lloyd_type type, bool cosine, int64_t dim, int places,
                            const float *origin, const flash_units *units, float *offset)
{
    const int j = blockIdx.x * blockDim.x + threadIdx.x, g = blockIdx.y;
    if (j < places)
        offset[g * places + j] =
            flash_offset(type, cosine, j < dim ? origin[g * dim + j] : 0.0F, units[g].sigma);
}

/* --- rows --- */

/* Lanes that look at one row together: each has some columns, as joining what they found takes long. */
constexpr int describing_lanes(int64_t dim)
{
    return dim <= 32 ? 4 : dim <= 64 ? 8 : dim <= 128 ? 16 : 32;
}

/* |x^| and |dx| of every row, rounded up; the first infinite for a row that is too long, or whose
 * operand is too far off (with cosine, rows that differ by little more than their own roundings). LANES
 * lanes per row, and a block row for each group, whose offset has `places` elements. */
template <lloyd_type T, int LANES>
__global__ void describe(cuda_rows all, cuda_group_table groups, const float *origin,
                         const flash_units *units, const float *offset, int places, __half2 *norms)
{
    const int g = (int)blockIdx.y;
    const cuda_rows rows = rows_of(all, groups, g);
    origin += g * rows.dim;
    units += g;
    offset += (int64_t)g * places;
    if (groups.group) norms += groups.group[g].first;
    constexpr int ROWS = 32 / LANES; /* of a warp at a time */
    const int lane = threadIdx.x % LANES, own = threadIdx.x % 32 / LANES;
    const float sigma = units->sigma;
    for (int64_t first = ((int64_t)blockIdx.x * WARPS + threadIdx.x / 32) * ROWS;
         first < rows.count; first += (int64_t)gridDim.x * WARPS * ROWS) {
        const bool exists = first + own < rows.count;
        const int64_t i = exists ? first + own : rows.count - 1;
        float scale = flash_row_scale(rows, i, sigma);
        const auto *row =
            reinterpret_cast<const typename cuda_element<T>::type *>(rows.data) + i * rows.dim;
        double square = 0, rest = 0;
#pragma unroll 4
        for (int64_t j = lane; j < rows.dim; j += LANES) {
            float stored = cuda_element<T>::value(row[j]);
            float x = rows.lengths ? lloyd_normalised(stored, rows.lengths[i]) : stored;
            double operand = (double)__half2float(__float2half_rn(
                flash_operand(flash_lifted<T>(stored, rows.lengths != nullptr), scale, offset[j])));
            double error = (double)sigma * ((double)x - (double)origin[j]) - operand;
            square = fma(operand, operand, square);
            rest = fma(error, error, rest);
        }
        for (int distance = LANES / 2; distance > 0; distance /= 2) {
            square += __shfl_xor_sync(0xffffffffu, square, distance);
            rest += __shfl_xor_sync(0xffffffffu, rest, distance);
        }
        if (lane > 0 || !exists) continue;
        /* 2^-20: the roundings made here */
        __half norm = __float2half_ru(__double2float_ru(sqrt(square) * (1 + 0x1p-20)));
        __half residual = __float2half_ru(__double2float_ru(sqrt(rest) * (1 + 0x1p-20)));
        bool regular = __half2float(norm) <= FLASH_REACH && __half2float(residual) <= FLASH_REST;
        if (!regular) norm = __ushort_as_half(0x7c00);
        norms[i] = __halves2half2(norm, residual);
    }
}

/* --- centroids --- */

/* What is at a place of the image: a centroid, or filler. */
struct image_place {
    int group;      /* 0 where there are none */
    int64_t number; /* of the centroid; -1: filler */
    bool first;     /* of its group, or of all */
};

/* Where the operands go. `order`: which centroid comes where, NULL: as they are. `bias`: in place of
 * bound columns, or NULL. */
struct image_shape {
    int64_t set, padded, dim;
    int steps, width, group;
    uint8_t *image;
    float2 *bound;
    const int32_t *order;
    float *bias;
    cuda_group_table groups;

    __device__ image_place place(int64_t at) const
    {
        if (!groups.group) return {0, at >= set ? -1 : order ? order[at] : at, at == 0};
        const int g = groups.of_tile(at / width);
        const int64_t in_group = at - (int64_t)groups.group[g].tile * width;
        const bool real = in_group < groups.group[g].centroids;
        return {g, real ? groups.group[g].begin + in_group : -1, in_group == 0};
    }
};

__device__ void put(const image_shape &s, int64_t at, int step, int place, __half x)
{
    int steps = s.steps + (s.bias ? 0 : 1);
    *reinterpret_cast<__half *>(s.image + flash_image_offset(at, step, place, steps, s.width)) = x;
}

__device__ __half half_up(double x)
{
    return __float2half_ru(__double2float_ru(x * (1 + 0x1p-20)));
}

/* How the bound deals with the roundings of operands. `nearest`: the mean square of the distance r of
 * rows to their centroids, not in units; 0: not known. lambda, which may be anything, is best near
 * |dC| / r; operands are off by about 2^-12.3 of their length. */
__device__ void choose_bound(flash_units *units, double nearest, bool exact)
{
    const double least = 0x1p-14, most = 0x1p-5, mean = units->square;
    const double square = nearest * units->sigma * units->sigma;
    units->local = square > 0x1p-20 * mean && square < 0.7 * mean;
    units->rows_local = units->local && !exact && square < 0.5 * mean;
    units->lambda = units->gain = 0;
    if (!units->local) return;
    double lambda =
        2e-4 * sqrt((mean - square) / square) * (units->rows_local ? 2 : 1); /* |C| / r */
    units->lambda = (float)fmax(least, fmin(lambda, most));
    units->gain = __fdiv_ru(units->rows_local ? 1 : 0.5F, units->lambda);
}

/* What of a centroid does not depend on the row, in units of the filter. */
struct centroid_metadata {
    bool near;
    double square;             /* |C|^2 */
    double bias;               /* of a score */
    __half for_norm, for_rest; /* flash_error()'s */
    double spread;             /* |dC| where units.local, else 0 */
};

/* What the tensor cores' sums of a centroid's products lose. All columns of the operand are shown to
 * it, in the order of the sum, two steps at a time: one to lanes 0 to 15, one to the others. */
struct sum_model {
    float before = 0, lengths = 0; /* |c^|^2 up to here; the sum of |c^| up to each step */
    uint64_t bits = 0;             /* all that any column has, from 2^-24 on */

    __device__ void add(float operand, bool exists)
    {
        float step = __fmul_ru(operand, operand);
        for (int distance = 8; distance > 0; distance /= 2)
            step = __fadd_ru(step, __shfl_xor_sync(0xffffffffu, step, distance));
        const float other = __shfl_xor_sync(0xffffffffu, step, 16);
        const float both = __fadd_ru(before, __fadd_ru(step, other));
        const float here = threadIdx.x % 32 < 16 ? __fadd_ru(before, step) : both;
        if (exists) lengths = __fadd_ru(lengths, __fsqrt_ru(here));
        before = both;
        bits |= (uint64_t)__double2ll_rn(fabs((double)operand) * 0x1p24); /* exact */
    }
    /* The same in all lanes. */
    __device__ void reduce()
    {
        lengths = __fadd_ru(lengths, __shfl_xor_sync(0xffffffffu, lengths, 16));
        for (int distance = 16; distance > 0; distance /= 2)
            bits |= __shfl_xor_sync(0xffffffffu, bits, distance);
    }
    /* The loss, at most, over |x^|. `length`: |c^|; `whole`: the operands of rows are multiples of
     * sigma. Then nothing is lost if no product has a bit below the last one of a 24-bit number
     * that is not above |x^||c^|. */
    __device__ double loss(int steps, double length, bool whole, double sigma) const
    {
        const double unit = 20 * 0x1p-23;
        const double least = sigma * 0x1p-24 * (double)(bits & (0 - bits));
        if (whole && (double)FLASH_REACH * length * 0x1p-23 <= least) return 0;
        return unit * (double)lengths * (1 + 2 * unit * steps);
    }
};

/* The operand of a centroid, put where it belongs, and the metadata. `shrink`: what C is multiplied by,
 * 1 for a near one; `whole`: rows are multiples of sigma. A warp per centroid. */
__device__ centroid_metadata describe_centroid(const image_shape &s, int64_t at,
                                               const float *centroid, bool real,
                                               const float *origin, const flash_units &units,
                                               bool whole, double shrink)
{
    const int lane = threadIdx.x % 32;
    double square = 0, operand_square = 0, rest = 0, along = 0;
    sum_model model;
    for (int first = 0; first < s.steps; first += 2) {
        const int step = first + lane / FLASH_STEP, place = lane % FLASH_STEP;
        const bool exists = step < s.steps;
        const int j = exists ? flash_column(step, place, s.steps, s.group) : 0;
        double c = 0;
        if (real && exists && j < s.dim)
            c = shrink * ((double)units.sigma * ((double)centroid[j] - (double)origin[j]));
        const __half rounded = __double2half(c);
        const double operand = (double)__half2float(rounded);
        if (exists) put(s, at, step, place, rounded);
        square = fma(c, c, square);
        operand_square = fma(operand, operand, operand_square);
        rest = fma(c - operand, c - operand, rest);
        along = fma(c, c - operand, along);
        model.add(__half2float(rounded), exists);
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        square += __shfl_xor_sync(0xffffffffu, square, distance);
        operand_square += __shfl_xor_sync(0xffffffffu, operand_square, distance);
        rest += __shfl_xor_sync(0xffffffffu, rest, distance);
        along += __shfl_xor_sync(0xffffffffu, along, distance);
    }
    model.reduce();
    double length = sqrt(operand_square), spread = sqrt(rest), half = square / 2;
    double for_norm = model.loss(s.steps, length, whole, units.sigma);
    double for_rest = units.rows_local ? spread : length;
    if (units.local) {
        half -= along + (double)units.gain * rest;
    } else {
        for_norm += spread;
        for_rest += spread;
        spread = 0;
    }
    const bool near = square <= (double)FLASH_FAR * (double)FLASH_FAR;
    return {near,
            square,
            real ? (double)FLASH_ORIGIN - half : (double)FLASH_FLOOR,
            half_up(for_norm),
            half_up(for_rest),
            near && shrink == 1 ? spread : (double)INFINITY};
}

/* The bias in three pieces, and the bounds. */
__device__ void put_bound_columns(const image_shape &s, int64_t at,
                                  const centroid_metadata &metadata)
{
    const __half zero = __ushort_as_half(0);
    int lane = threadIdx.x % 32;
    double piece = metadata.bias / (double)FLASH_UNIT;
    __half high = __double2half(piece), middle = __double2half(piece - (double)__half2float(high));
    __half low = __double2half(piece - (double)__half2float(high) - (double)__half2float(middle));
    if (lane >= FLASH_STEP) return;
    put(s, at, s.steps, lane,
        lane == 0   ? high
        : lane == 1 ? middle
        : lane == 2 ? low
        : lane == 3 ? metadata.for_norm
        : lane == 4 ? metadata.for_rest
                    : zero);
}

/* Operands, biases and bounds. A warp per centroid, filler included. */
__global__ void prepare(image_shape s, const float *centroids, const float *origin,
                        flash_units *units_at, double nearest, cuda_inertia inertia, bool exact)
{
    cuda_await();
    int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (at >= s.padded) return;
    const image_place place = s.place(at);
    origin += place.group * s.dim;
    units_at += place.group;
    if (inertia.terms) nearest = inertia.terms[0] / inertia.terms[1];
    flash_units units = {units_at->sigma, units_at->square, false, false, 0, 0};
    choose_bound(&units, nearest, exact);
    if (place.first && lane == 0) { /* nobody reads these here */
        units_at->local = units.local;
        units_at->rows_local = units.rows_local;
        units_at->lambda = units.lambda;
        units_at->gain = units.gain;
    }
    const bool real = place.number >= 0;
    const float *centroid = centroids + (real ? place.number : 0) * s.dim;
    centroid_metadata metadata = describe_centroid(s, at, centroid, real, origin, units, exact, 1);
    if (!metadata.near) { /* drawn towards the origin: regular rows are nearer to it there */
        metadata = describe_centroid(s, at, centroid, real, origin, units, exact,
                                     (double)FLASH_FAR / sqrt(metadata.square));
    }
    if (!s.bias) put_bound_columns(s, at, metadata);
    if (lane > 0) return;
    /* 2^-10: the roundings made here */
    if (s.bias) s.bias[at] = (float)ceil(metadata.bias + 0x1p-10);
    const bool bounded = real && s.steps <= MOST_STEPS;
    s.bound[at] =
        make_float2(flash_bound(metadata.for_norm, metadata.for_rest),
                    bounded ? __double2float_ru(metadata.spread * (1 + 0x1p-20)) : INFINITY);
}

/* --- centroids sorted by length --- */

/* A warp per centroid. */
__global__ void measure_centroids(int64_t set, int64_t dim, const float *centroids,
                                  const float *origin, uint32_t *length, int32_t *number)
{
    int64_t k = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (k >= set) return;
    float square = 0;
    for (int64_t j = lane; j < dim; j += 32) {
        float c = centroids[k * dim + j] - origin[j];
        square += c * c;
    }
    for (int distance = 16; distance > 0; distance /= 2)
        square += __shfl_xor_sync(0xffffffffu, square, distance);
    if (lane > 0) return;
    length[k] = __float_as_uint(square);
    number[k] = (int32_t)k;
}

/* The greatest bias and bounds of the centroids of a tile. A warp per tile. */
__global__ void find_most(const image_shape s, float4 *most)
{
    int64_t tile = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (tile * s.width >= s.padded) return;
    float bias = FLASH_FLOOR, norm = 0, rest = 0;
    for (int64_t at = tile * s.width + lane; at < (tile + 1) * s.width; at += 32) {
        const float2 bound = flash_bounds(s.bound[at].x);
        bias = fmaxf(bias, s.bias[at]);
        norm = fmaxf(norm, bound.x);
        rest = fmaxf(rest, bound.y);
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        bias = fmaxf(bias, __shfl_xor_sync(0xffffffffu, bias, distance));
        norm = fmaxf(norm, __shfl_xor_sync(0xffffffffu, norm, distance));
        rest = fmaxf(rest, __shfl_xor_sync(0xffffffffu, rest, distance));
    }
    if (lane == 0) most[tile] = make_float4(bias, norm, rest, 0);
}

/* Which centroid comes where, shortest first. */
lloyd_status sort_centroids(cuda_kernels *cuda, const float *centroids)
{
    const cuda_filter *f = cuda->filter;
    const cuda_pruning &p = f->pruning;
    measure_centroids<<<(unsigned)cuda_divide_up(cuda->set, WARPS), THREADS, 0,
                        cuda->stream>>>(cuda->set, cuda->base.config.dim, centroids, f->origin,
                                        p.length, p.number);
    CUDA_LAUNCHED("measuring the centroids");
    return lloyd_cuda_radix_sort({p.length, p.sorted_length, p.number, p.order}, cuda->set, 32,
                                 p.sorter, cuda->stream, "sorting the centroids");
}

/* --- host side --- */

lloyd_status describe_rows(cuda_kernels *cuda, const cuda_rows &rows, __half2 *norms)
{
    cuda_filter *f = cuda->filter;
    const int64_t groups = lloyd_cuda_group_count(cuda),
                  most = lloyd_cuda_most_rows(cuda, rows.count);
    cuda_for_type(rows.type, [&](auto type) {
        const auto launch = [&](auto lanes) {
            const int at_a_time = THREADS / lanes.value; /* rows of a block */
            const int blocks = lloyd_cuda_persistent_blocks(cuda, most, at_a_time);
            describe<type.value, lanes.value>
                <<<dim3((unsigned)blocks, (unsigned)groups), THREADS, 0,
                   cuda->stream>>>(rows, lloyd_cuda_group_table(cuda), f->origin, f->units,
                                   f->offset, f->offset_steps * FLASH_STEP, norms);
        };
        switch (describing_lanes(rows.dim)) {
        case 4: launch(std::integral_constant<int, 4>()); break;
        case 8: launch(std::integral_constant<int, 8>()); break;
        case 16: launch(std::integral_constant<int, 16>()); break;
        default: launch(std::integral_constant<int, 32>()); break;
        }
    });
    CUDA_LAUNCHED("computing the norms of rows");
    return LLOYD_OK;
}

} // namespace

lloyd_status lloyd_cuda_choose_units(cuda_kernels *cuda, const cuda_rows &rows)
{
    cuda_filter *f = cuda->filter;
    const unsigned blocks = (unsigned)cuda_divide_up(rows.dim, WARPS),
                   groups = (unsigned)lloyd_cuda_group_count(cuda);
    const cuda_group_table table = lloyd_cuda_group_table(cuda);
    cuda_for_type(rows.type, [&](auto type) {
        constexpr lloyd_type T = decltype(type)::value;
        choose_origin<T>
            <<<dim3(blocks, groups), THREADS, 0, cuda->stream>>>(rows, table, f->origin);
        choose_scale<T><<<groups, SAMPLE, 0, cuda->stream>>>(rows, table, f->origin, f->units);
    });
    CUDA_LAUNCHED("choosing the filter's units");
    f->ready = true;
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_filter_offsets(cuda_kernels *cuda)
{
    cuda_filter *f = cuda->filter;
    if (f->offset_steps == f->config.steps) return LLOYD_OK;
    f->offset_steps = f->config.steps;
    int places = f->config.steps * FLASH_STEP;
    const dim3 blocks((unsigned)cuda_divide_up(places, THREADS),
                      (unsigned)lloyd_cuda_group_count(cuda));
    set_offsets<<<blocks, THREADS, 0, cuda->stream>>>(cuda->base.config.type,
                                                      cuda->base.config.cosine,
                                                      cuda->base.config.dim, places, f->origin,
                                                      f->units, f->offset);
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

int64_t lloyd_cuda_padded_set(const cuda_assign_config &config, int64_t set)
{
    return cuda_divide_up(set, config.width) * config.width;
}

int64_t lloyd_cuda_length_sorter_bytes(int64_t set)
{
    const int64_t bytes = lloyd_cuda_radix_sort_bytes(set, 32);
    return bytes >= 0 ? bytes : 0; /* no GPU: nothing will be sorted on it */
}

lloyd_status lloyd_cuda_prepare_image(cuda_kernels *cuda, const float *centroids,
                                      const cuda_inertia &inertia)
{
    cuda_filter *f = cuda->filter;
    const lloyd_kernels_config *config = &cuda->base.config;
    f->prepared = nullptr;
    image_shape s = {};
    s.set = cuda->set;
    s.padded = lloyd_cuda_places(cuda, cuda->set, f->config.width);
    s.groups = lloyd_cuda_group_table(cuda);
    s.dim = config->dim;
    s.steps = f->config.steps;
    s.width = f->config.width;
    s.group = f->config.group;
    s.image = f->image;
    s.bound = f->bound;
    if (f->config.prune) {
        LLOYD_TRY(sort_centroids(cuda, centroids));
        s.order = f->pruning.order;
        s.bias = f->pruning.bias;
    }
    const bool exact = !config->cosine && (config->type == LLOYD_U8 || config->type == LLOYD_I8);
    LLOYD_TRY(cuda_launch_after(cuda->stream, cuda->gpu.capability, prepare,
                                cuda_divide_up(s.padded, WARPS), THREADS, 0,
                                "preparing the centroids", s, centroids, f->origin, f->units,
                                f->nearest, inertia, exact));
    if (f->config.prune) {
        find_most<<<(unsigned)cuda_divide_up(s.padded / s.width, WARPS), THREADS, 0,
                    cuda->stream>>>(s, f->pruning.most);
    }
    CUDA_LAUNCHED("preparing the centroids");
    f->prepared = centroids;
    return LLOYD_OK;
}
