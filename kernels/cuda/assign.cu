/* Assignment on the GPU: filter, certificate, verify (docs/numerics.md, section 2.5).
 *
 * The fused kernels (flash_assign_*.cu) label the rows whose label is proven and list the others;
 * the same kernel then finds, for the listed rows only, every centroid within the bound; dist()
 * decides among those. Nothing returns to the host in between. What the filter needs to know about
 * rows (their norms) is computed once per load, about centroids (operands and bounds) once per
 * iteration.
 *
 * The filter's origin and scale come from a sample of the first rows seen. Any would be right; these
 * keep the operands small: the mean of each column, and a power of two that brings the longest
 * ordinary row to about 2000.
 */
#include "kernels/cuda/dist.cuh"
#include "kernels/cuda/flash_launch.h"
#include "kernels/cuda/flash_shape.h"

#include <algorithm>
#include <cub/device/device_radix_sort.cuh>

/* The centroids sorted by length, and what the kernel without a slab knows of them. */
struct cuda_sifting {
    float *length, *sorted_length; /* [capacity] */
    int32_t *number, *order;       /* [capacity] */
    float *bias;                   /* [capacity] */
    float4 *most;                  /* [capacity / TILE] */
    void *sorter;
    size_t sorter_bytes;
    int64_t capacity;
};

struct cuda_filter {
    lloyd_flash_shape shape; /* for the current set */
    bool ready;              /* origin and sigma are chosen */
    int offset_steps;        /* that `offset` was computed for, 0: none */
    const float *prepared;   /* the centroids that image and bound belong to, NULL: none */
    float *origin;           /* [D] */
    flash_units *units;      /* [1] */
    double nearest;   /* mean square of the distance of rows to their centroids, 0: not known */
    int64_t verified; /* rows without a certificate in the last iteration, -1: not known */
    float *offset;    /* [steps*16] of the shape */
    __half2 *norms;   /* [n_local] */
    bool *described;  /* [chunks], on the host: the chunk's norms are there */
    uint8_t *image;
    int64_t image_bytes;
    float2 *bound; /* [bound_count] */
    int64_t bound_count;
    cuda_sifting *sifting; /* NULL until a set needs it */
    flash_lists lists;     /* with two sets of counters */
    int turn;              /* the set that the next block of rows takes, which is zero */
    uint8_t *scratch;
    int64_t scratch_bytes;
};

namespace
{

enum { SAMPLE = 1024, THREADS = 256, WARPS = THREADS / 32, MOST_STEPS = 15000, SIFTED_TILE = 128 };
/* Blocks of decide() and decide_all() on a multiprocessor, and how far these load ahead: latencies
 * bind both, the first with long rows in few registers, the second with few rows. */
enum { DECIDING = 2, DECIDING_AHEAD = 4, DECIDING_ALL = 4, DECIDING_ALL_AHEAD = 2 };
constexpr double DIRECT_WORK = 1 << 24; /* elements to compare, at most, without a second step */

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

/* --- centroids --- */

/* Where the operands go. `order`: which centroid comes where, NULL: as they are. `bias`: in place of
 * a slab, or NULL. */
struct image_shape {
    int64_t set, padded, dim;
    int steps, width, group;
    uint8_t *image;
    float2 *bound;
    const int32_t *order;
    float *bias;
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
struct centroid_facts {
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

/* The operand of a centroid, put where it belongs, and the facts. `shrink`: what C is multiplied by,
 * 1 for a near one; `whole`: rows are multiples of sigma. A warp per centroid. */
__device__ centroid_facts describe_centroid(const image_shape &s, int64_t at, const float *centroid,
                                            bool real, const float *origin,
                                            const flash_units &units, bool whole, double shrink)
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
__device__ void put_slab(const image_shape &s, int64_t at, const centroid_facts &facts)
{
    const __half zero = __ushort_as_half(0);
    int lane = threadIdx.x % 32;
    double piece = facts.bias / (double)FLASH_UNIT;
    __half high = __double2half(piece), middle = __double2half(piece - (double)__half2float(high));
    __half low = __double2half(piece - (double)__half2float(high) - (double)__half2float(middle));
    if (lane >= FLASH_STEP) return;
    put(s, at, s.steps, lane,
        lane == 0   ? high
        : lane == 1 ? middle
        : lane == 2 ? low
        : lane == 3 ? facts.for_norm
        : lane == 4 ? facts.for_rest
                    : zero);
}

/* Operands, biases and bounds. A warp per centroid, filler included. */
__global__ void prepare(image_shape s, const float *centroids, const float *origin,
                        flash_units *units_at, double nearest, cuda_inertia inertia, bool exact)
{
    cuda_await();
    if (inertia.terms) nearest = inertia.terms[0] / inertia.terms[1];
    flash_units units = {units_at->sigma, units_at->square, false, false, 0, 0};
    choose_bound(&units, nearest, exact);
    if (blockIdx.x == 0 && threadIdx.x == 0) { /* nobody reads these here */
        units_at->local = units.local;
        units_at->rows_local = units.rows_local;
        units_at->lambda = units.lambda;
        units_at->gain = units.gain;
    }
    int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (at >= s.padded) return;
    bool real = at < s.set;
    const float *centroid = centroids + (real && s.order ? s.order[at] : at) * s.dim;
    centroid_facts facts = describe_centroid(s, at, centroid, real, origin, units, exact, 1);
    if (!facts.near) { /* drawn towards the origin: regular rows are nearer to it there */
        facts = describe_centroid(s, at, centroid, real, origin, units, exact,
                                  (double)FLASH_FAR / sqrt(facts.square));
    }
    if (!s.bias) put_slab(s, at, facts);
    if (lane > 0) return;
    /* 2^-10: the roundings made here */
    if (s.bias) s.bias[at] = (float)ceil(facts.bias + 0x1p-10);
    const bool bounded = real && s.steps <= MOST_STEPS;
    s.bound[at] = make_float2(flash_bound(facts.for_norm, facts.for_rest),
                              bounded ? __double2float_ru(facts.spread * (1 + 0x1p-20)) : INFINITY);
}

/* --- centroids sorted by length --- */

/* A warp per centroid. */
__global__ void measure_centroids(int64_t set, int64_t dim, const float *centroids,
                                  const float *origin, float *length, int32_t *number)
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
    length[k] = square;
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

/* --- deciding by dist() --- */

struct decision {
    cuda_rows rows;
    const float *centroids;
    int64_t set;
    int32_t *labels;
    unsigned long long *counters; /* moved, verified */
    flash_lists lists;
    bool direct;           /* flash_params' */
    int *counters_of_next; /* of the next block's lists */
};

/* The nearest of some centroids: the smallest of those at the least distance. */
struct nearest {
    double least = INFINITY;
    int32_t label = INT32_MAX;

    __device__ void add(double distance, int32_t k)
    {
        if (distance < least || (distance == least && k < label)) {
            least = distance;
            label = k;
        }
    }
    __device__ void join(int bit) /* with the lane whose number differs in `bit` */
    {
        double distance = __shfl_xor_sync(0xffffffffu, least, bit);
        int32_t k = __shfl_xor_sync(0xffffffffu, label, bit);
        add(distance, k);
    }
    /* Where nothing is nearer than infinity, the definition takes the first. */
    __device__ int32_t result() const
    {
        return least < INFINITY ? label : 0;
    }
};

/* What an octet compares: row i with centroids list[c], or c itself without a list, for c = begin,
 * begin + 1 (CUDA_OCTET_ROWS), and from there `stride` on, below `end`. */
struct comparison {
    int64_t i;
    const int32_t *list;
    int64_t begin, end, stride;
};

/* The nearest of them, in lanes 0 and 1 of the octet what each has found. By whole warps; octets may
 * have different rows, and nothing to compare. */
template <lloyd_type T, bool VECTOR, int AHEAD>
__device__ nearest compare(const decision &d, const comparison &own)
{
    const int g = threadIdx.x % CUDA_OCTET;
    const int64_t same[CUDA_OCTET_ROWS] = {own.i, own.i};
    const int64_t left = own.end - own.begin;
    const unsigned passes = left > 0 ? (unsigned)((left - 1) / own.stride + 1) : 0,
                   most = __reduce_max_sync(0xffffffffu, passes);
    nearest found;
    int64_t c = own.begin;
#pragma unroll 1
    for (unsigned pass = 0; pass < most; pass++, c += own.stride) {
        cuda_centroid centroid[CUDA_OCTET_ROWS];
        int32_t number[CUDA_OCTET_ROWS];
#pragma unroll
        for (int r = 0; r < CUDA_OCTET_ROWS; r++) {
            number[r] = c + r >= own.end ? 0 : own.list ? own.list[c + r] : (int32_t)(c + r);
            centroid[r].at = d.centroids + number[r] * d.rows.dim;
        }
        double distance = cuda_octet_dist<T, VECTOR, AHEAD>(d.rows, same, centroid, g);
        if (g < CUDA_OCTET_ROWS && c + g < own.end) found.add(distance, number[g ? 1 : 0]);
    }
    return found;
}

/* A few centroids, all of them compared. A warp per row. */
template <lloyd_type T> __global__ void label_few(decision d)
{
    int lane = threadIdx.x % 32;
    unsigned moved = 0;
    for (int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; i < d.rows.count;
         i += (int64_t)gridDim.x * WARPS) {
        double least = INFINITY;
        int32_t label = 0;
        for (int64_t k = 0; k < d.set; k++) {
            double distance = cuda_warp_dist<T>(d.rows, i, d.centroids + k * d.rows.dim, lane);
            if (distance < least) {
                least = distance;
                label = (int32_t)k;
            }
        }
        if (lane == 0 && d.labels[i] != label) {
            d.labels[i] = label;
            moved++;
        }
    }
    if (lane == 0 && moved > 0) atomicAdd(&d.counters[0], (unsigned long long)moved);
}

/* Listed and complete rows: the nearest of the candidates. A warp takes OCTETS rows at a time, and an
 * octet each of them, or all octets one after the other where that takes fewer passes: where there
 * are few rows, or rows with many candidates. */
template <lloyd_type T, bool VECTOR>
__global__ void __launch_bounds__(THREADS, DECIDING) decide(decision d)
{
    enum { OCTETS = 32 / CUDA_OCTET };
    cuda_await();
    const int lane = threadIdx.x % 32, octet = lane / CUDA_OCTET;
    const bool leads = lane % CUDA_OCTET == 0;
    const int warps = gridDim.x * WARPS;
    const int listed = d.lists.counters[FLASH_LISTED], listed_room = flash_room(d.lists);
    const int rows = listed + d.lists.counters[FLASH_COMPLETE];
    unsigned moved = 0;
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        atomicAdd(&d.counters[1], (unsigned long long)rows + d.lists.counters[FLASH_IRREGULAR]);
    }
    for (int first = blockIdx.x * WARPS + threadIdx.x / 32; first < rows; first += OCTETS * warps) {
        const int i = first + octet * warps;
        const int at = i < listed ? i : d.lists.capacity - 1 - (i - listed);
        const int room = i < listed ? listed_room : FLASH_CANDIDATES;
        int count = 0, row = 0;
        if (i < rows) {
            count = d.lists.found[at];
            row = d.lists.row[at];
            if (count < 1 || count > room) {
                count = 0;
                if (leads) {
                    int place = atomicAdd(&d.lists.counters[FLASH_CROWDED], 1);
                    d.lists.undecided[d.lists.capacity - 1 - place] = row;
                }
            }
        }
        const int64_t list = (int64_t)at * room;
        const unsigned apart =
            __reduce_max_sync(0xffffffffu,
                              (unsigned)(count + CUDA_OCTET_ROWS - 1) / CUDA_OCTET_ROWS);
        const unsigned together =
            __reduce_add_sync(0xffffffffu,
                              leads ? (unsigned)(count + CUDA_WARP_ROWS - 1) / CUDA_WARP_ROWS : 0);
        const bool share = together < apart;
        int32_t label = 0;
        for (int turn = 0; turn < (share ? OCTETS : 1); turn++) {
            const int from = CUDA_OCTET * (share ? turn : octet);
            if (share && __shfl_sync(0xffffffffu, count, from) == 0) continue;
            nearest found =
                compare<T, VECTOR, DECIDING_AHEAD>(d, {__shfl_sync(0xffffffffu, row, from),
                                                       d.lists.candidate +
                                                           __shfl_sync(0xffffffffu, list, from),
                                                       share ? octet * CUDA_OCTET_ROWS : 0,
                                                       __shfl_sync(0xffffffffu, count, from),
                                                       share ? CUDA_WARP_ROWS : CUDA_OCTET_ROWS});
            found.join(1);
            for (int bit = CUDA_OCTET; share && bit < 32; bit *= 2) found.join(bit);
            if (!share || turn == octet) label = found.result();
        }
        if (leads && count > 0 && d.labels[row] != label) {
            d.labels[row] = label;
            moved++;
        }
    }
    moved = __reduce_add_sync(0xffffffffu, moved);
    if (lane == 0 && moved > 0) atomicAdd(&d.counters[0], (unsigned long long)moved);
}

/* Irregular and crowded rows: the nearest of all centroids. A block per row. The last kernel of a block
 * of rows, which sets the other counters to zero. */
template <lloyd_type T, bool VECTOR>
__global__ void __launch_bounds__(THREADS, DECIDING_ALL) decide_all(decision d)
{
    __shared__ double least_of[WARPS];
    __shared__ int32_t label_of[WARPS];
    cuda_await();
    int warp = threadIdx.x / 32;
    int irregular = d.lists.counters[FLASH_IRREGULAR], crowded = d.lists.counters[FLASH_CROWDED];
    if (blockIdx.x == 0) {
        if (threadIdx.x < FLASH_COUNTERS) d.counters_of_next[threadIdx.x] = 0;
        if (d.direct && threadIdx.x == 0) atomicAdd(&d.counters[1], (unsigned long long)irregular);
    }
    for (int at = blockIdx.x; at < irregular + crowded; at += gridDim.x) {
        int64_t i =
            d.lists.undecided[at < irregular ? at : d.lists.capacity - 1 - (at - irregular)];
        nearest found =
            compare<T, VECTOR, DECIDING_ALL_AHEAD>(d, {i, nullptr,
                                                       (threadIdx.x / CUDA_OCTET) * CUDA_OCTET_ROWS,
                                                       d.set, WARPS * CUDA_WARP_ROWS});
        for (int bit = 1; bit < 32; bit *= 2) found.join(bit);
        if (threadIdx.x % 32 == 0) {
            least_of[warp] = found.least;
            label_of[warp] = found.label;
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            for (int w = 1; w < WARPS; w++) found.add(least_of[w], label_of[w]);
            if (d.labels[i] != found.result()) {
                d.labels[i] = found.result();
                atomicAdd(&d.counters[0], 1ull);
            }
        }
        __syncthreads();
    }
}

/* --- host side --- */

int64_t block_rows(const lloyd_kernels_config *config)
{
    int64_t most = std::min(config->n_local, config->chunk_rows);
    return std::max<int64_t>(1, std::min<int64_t>(FLASH_BLOCK_ROWS, most));
}

int64_t padded_set(const lloyd_flash_shape &shape, int64_t set)
{
    return cuda_divide_up(set, shape.width) * shape.width;
}

lloyd_status alloc_filter(cuda_kernels *cuda)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    cuda_filter *f;
    LLOYD_TRY(lloyd_alloc(&f, 1, sizeof *f, "the filter"));
    cuda->filter = f;
    int64_t block = block_rows(config),
            places = cuda_divide_up(config->dim, FLASH_STEP) * FLASH_STEP;
    const char *what = "the filter's lists";
    LLOYD_TRY(
        lloyd_cuda_alloc(cuda, &f->origin, config->dim, sizeof(float), "the filter's origin"));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->units, 1, sizeof *f->units, "the filter's units"));
    /* kernels in registers round the steps up, by a half at most */
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->offset, 2 * places, sizeof(float), "the filter's origin"));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->norms, config->n_local, sizeof(__half2), "norms of rows"));
    LLOYD_TRY(lloyd_alloc(&f->described,
                          cuda_divide_up(config->n_local, std::max<int64_t>(1, config->chunk_rows)),
                          sizeof *f->described, "norms of rows"));
    f->lists.capacity = (int)block;
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->lists.counters, 2 * FLASH_COUNTERS, sizeof(int), what));
    CUDA_TRY(cudaMemsetAsync(f->lists.counters, 0, 2 * FLASH_COUNTERS * sizeof(int), cuda->stream),
             what);
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->lists.row, block, sizeof(int32_t), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->lists.threshold, block, sizeof(float), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->lists.found, block, sizeof(int32_t), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->lists.candidate, block * FLASH_CANDIDATES, sizeof(int32_t),
                               what));
    return lloyd_cuda_alloc(cuda, &f->lists.undecided, block, sizeof(int32_t), what);
}

/* Room for the image of `set` centroids. */
lloyd_status reserve_image(cuda_kernels *cuda)
{
    cuda_filter *f = cuda->filter;
    int64_t padded = padded_set(f->shape, cuda->set);
    int64_t bytes = padded * (f->shape.steps + 1) * FLASH_STEP * 2;
    if (f->image_bytes < bytes) {
        lloyd_cuda_free(cuda, f->image, f->image_bytes, 1);
        f->image = nullptr, f->image_bytes = 0;
        LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->image, bytes, 1, "operands of the centroids"));
        f->image_bytes = bytes;
    }
    if (f->bound_count < padded) {
        lloyd_cuda_free(cuda, f->bound, f->bound_count, sizeof(float2));
        f->bound = nullptr, f->bound_count = 0;
        LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->bound, padded, sizeof(float2), "bounds of centroids"));
        f->bound_count = padded;
    }
    int64_t scratch = f->shape.path == LLOYD_FLASH_WIDE
                          ? lloyd_flash_wide_scratch(f->shape.steps, cuda->gpu.multiprocessors)
                          : 0;
    if (f->scratch_bytes < scratch) {
        lloyd_cuda_free(cuda, f->scratch, f->scratch_bytes, 1);
        f->scratch = nullptr, f->scratch_bytes = 0;
        LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->scratch, scratch, 1, "operands of rows"));
        f->scratch_bytes = scratch;
    }
    return LLOYD_OK;
}

/* CUB's space for sorting `set` lengths. */
cudaError_t measure_sorter(int64_t set, size_t *bytes)
{
    return cub::DeviceRadixSort::SortPairs(nullptr, *bytes, (const float *)nullptr,
                                           (float *)nullptr, (const int32_t *)nullptr,
                                           (int32_t *)nullptr, (int)set);
}

void free_sifting(cuda_kernels *cuda)
{
    cuda_sifting *sifting = cuda->filter->sifting;
    if (!sifting) return;
    lloyd_cuda_free(cuda, sifting->length, sifting->capacity, sizeof(float));
    lloyd_cuda_free(cuda, sifting->sorted_length, sifting->capacity, sizeof(float));
    lloyd_cuda_free(cuda, sifting->number, sifting->capacity, sizeof(int32_t));
    lloyd_cuda_free(cuda, sifting->order, sifting->capacity, sizeof(int32_t));
    lloyd_cuda_free(cuda, sifting->bias, sifting->capacity, sizeof(float));
    lloyd_cuda_free(cuda, sifting->most, sifting->capacity / SIFTED_TILE, sizeof(float4));
    lloyd_cuda_free(cuda, sifting->sorter, (int64_t)sifting->sorter_bytes, 1);
    lloyd_free(sifting);
    cuda->filter->sifting = nullptr;
}

/* Room for sorting the current set. */
lloyd_status reserve_sifting(cuda_kernels *cuda)
{
    const char *what = "the sorted centroids";
    int64_t padded = padded_set(cuda->filter->shape, cuda->set);
    cuda_sifting *sifting = cuda->filter->sifting;
    if (sifting && sifting->capacity >= padded) return LLOYD_OK;
    free_sifting(cuda);
    LLOYD_TRY(lloyd_alloc(&sifting, 1, sizeof *sifting, what));
    cuda->filter->sifting = sifting;
    sifting->capacity = padded;
    CUDA_TRY(measure_sorter(padded, &sifting->sorter_bytes), what);
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &sifting->length, padded, sizeof(float), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &sifting->sorted_length, padded, sizeof(float), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &sifting->number, padded, sizeof(int32_t), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &sifting->order, padded, sizeof(int32_t), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &sifting->bias, padded, sizeof(float), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &sifting->most, padded / SIFTED_TILE, sizeof(float4), what));
    return lloyd_cuda_alloc(cuda, &sifting->sorter, (int64_t)sifting->sorter_bytes, 1, what);
}

/* Origin and scale from the rows of this slot. */
lloyd_status choose_units(cuda_kernels *cuda, const cuda_rows &rows)
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

lloyd_status set_filter_offsets(cuda_kernels *cuda)
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

int persistent_blocks(const cuda_kernels *cuda, int64_t warps_of_work)
{
    int64_t blocks = cuda_divide_up(warps_of_work, WARPS);
    return (int)std::max<int64_t>(1, std::min<int64_t>(blocks, 16 * cuda->gpu.multiprocessors));
}

lloyd_status describe_rows(cuda_kernels *cuda, const cuda_rows &rows, __half2 *norms)
{
    cuda_filter *f = cuda->filter;
    cuda_for_type(rows.type, [&](auto type) {
        describe<type.value>
            <<<persistent_blocks(cuda, rows.count), THREADS, 0, cuda->stream>>>(rows, f->origin,
                                                                                f->units, f->offset,
                                                                                norms);
    });
    CUDA_LAUNCHED("computing the norms of rows");
    return LLOYD_OK;
}

/* Which centroid comes where, shortest first. */
lloyd_status sort_centroids(cuda_kernels *cuda, const float *centroids)
{
    const cuda_filter *f = cuda->filter;
    cuda_sifting *sifting = f->sifting;
    measure_centroids<<<(unsigned)cuda_divide_up(cuda->set, WARPS), THREADS, 0,
                        cuda->stream>>>(cuda->set, cuda->base.config.dim, centroids, f->origin,
                                        sifting->length, sifting->number);
    CUDA_LAUNCHED("measuring the centroids");
    CUDA_TRY(cub::DeviceRadixSort::SortPairs(sifting->sorter, sifting->sorter_bytes,
                                             sifting->length, sifting->sorted_length,
                                             sifting->number, sifting->order, (int)cuda->set, 0, 32,
                                             cuda->stream),
             "sorting the centroids");
    return LLOYD_OK;
}

/* inertia: as for lloyd_cuda_prepare(). */
lloyd_status prepare_image(cuda_kernels *cuda, const float *centroids, const cuda_inertia &inertia)
{
    cuda_filter *f = cuda->filter;
    const lloyd_flash_shape &shape = f->shape;
    f->prepared = nullptr;
    image_shape s = {};
    s.set = cuda->set;
    s.padded = padded_set(shape, cuda->set);
    s.dim = cuda->base.config.dim;
    s.steps = shape.steps;
    s.width = shape.width;
    if (shape.path != LLOYD_FLASH_WIDE) s.group = flash_group(cuda->base.config.type, shape.vector);
    s.image = f->image;
    s.bound = f->bound;
    if (shape.sift) {
        LLOYD_TRY(sort_centroids(cuda, centroids));
        s.order = f->sifting->order;
        s.bias = f->sifting->bias;
    }
    const lloyd_kernels_config *config = &cuda->base.config;
    const bool exact = !config->cosine && (config->type == LLOYD_U8 || config->type == LLOYD_I8);
    LLOYD_TRY(cuda_launch_after(cuda->stream, cuda->gpu.capability, prepare,
                                cuda_divide_up(s.padded, WARPS), THREADS, 0,
                                "preparing the centroids", s, centroids, f->origin, f->units,
                                f->nearest, inertia, exact));
    if (shape.sift) {
        find_most<<<(unsigned)cuda_divide_up(s.padded / s.width, WARPS), THREADS, 0,
                    cuda->stream>>>(s, f->sifting->most);
    }
    CUDA_LAUNCHED("preparing the centroids");
    f->prepared = centroids;
    return LLOYD_OK;
}

/* The norms of the slot's rows. They stay when the rows go: what is loaded again is the same. */
lloyd_status describe_slot(cuda_kernels *cuda, const cuda_slot &slot, const cuda_rows &rows)
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

/* Everything the fused kernels need, as far as it is not there yet. */
lloyd_status get_ready(cuda_kernels *cuda, int slot_number, const cuda_rows &rows)
{
    cuda_filter *f = cuda->filter;
    cuda_slot *slot = &cuda->slots[slot_number];
    if (!f->ready) LLOYD_TRY(choose_units(cuda, rows));
    if (f->prepared != cuda->centroids) {
        LLOYD_TRY(set_filter_offsets(cuda));
        LLOYD_TRY(prepare_image(cuda, cuda->centroids, {}));
    }
    if (!slot->described) {
        LLOYD_TRY(describe_slot(cuda, *slot, rows));
        slot->described = true;
    }
    return LLOYD_OK;
}

lloyd_status run_flash(cuda_kernels *cuda, const flash_params &p, bool verify)
{
    const lloyd_flash_shape &shape = cuda->filter->shape;
    if (shape.path == LLOYD_FLASH_SM90)
        return lloyd_flash_sm90(p, verify, cuda->gpu.multiprocessors, cuda->stream);
    if (shape.path == LLOYD_FLASH_RESIDENT)
        return lloyd_flash_resident_sm90(p, verify, cuda->gpu.multiprocessors, cuda->stream);
    if (shape.path == LLOYD_FLASH_WIDE)
        return lloyd_flash_wide_sm90(p, verify, cuda->gpu.multiprocessors, cuda->stream);
    return lloyd_flash_sm80(p, verify, cuda->gpu.multiprocessors, cuda->stream);
}

/* Events around the filter and what follows it, for benchmarks. */
struct stopwatch {
    cudaEvent_t mark[3];
    float ms[2];
};

lloyd_status mark(cuda_kernels *cuda, stopwatch *watch, int which)
{
    if (!watch) return LLOYD_OK;
    CUDA_TRY(cudaEventRecord(watch->mark[which], cuda->stream), "timing the assignment");
    if (which < 2) return LLOYD_OK;
    CUDA_TRY(cudaEventSynchronize(watch->mark[2]), "timing the assignment");
    for (int i = 0; i < 2; i++) {
        float ms = 0;
        CUDA_TRY(cudaEventElapsedTime(&ms, watch->mark[i], watch->mark[i + 1]),
                 "timing the assignment");
        watch->ms[i] += ms;
    }
    return LLOYD_OK;
}

/* Rows [begin, begin + count) of the slot. */
lloyd_status label_block(cuda_kernels *cuda, const flash_params &p, const decision &d, bool timed,
                         stopwatch *watch)
{
    LLOYD_TRY(mark(cuda, watch, 0));
    LLOYD_TRY(run_flash(cuda, p, false));
    LLOYD_TRY(mark(cuda, watch, 1));
    if (timed) LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_ASSIGN));
    if (!p.direct) LLOYD_TRY(run_flash(cuda, p, true));
    const bool quads = cuda_quads(d.rows, d.centroids);
    const int blocks = (int)std::min<int64_t>(cuda_divide_up(p.count, WARPS),
                                              DECIDING * cuda->gpu.multiprocessors);
    const int blocks_for_all = std::min(p.count, DECIDING_ALL * cuda->gpu.multiprocessors);
    const char *what = "verifying rows";
    lloyd_status status = LLOYD_OK;
    cuda_for_type(p.rows.type, [&](auto type) {
        constexpr lloyd_type T = decltype(type)::value;
        auto some = quads ? decide<T, true> : decide<T, false>;
        auto all = quads ? decide_all<T, true> : decide_all<T, false>;
        if (!p.direct)
            status = cuda_launch_after(cuda->stream, cuda->gpu.capability, some, blocks, THREADS, 0,
                                       what, d);
        if (status != LLOYD_OK) return;
        status = cuda_launch_after(cuda->stream, cuda->gpu.capability, all, blocks_for_all, THREADS,
                                   0, what, d);
    });
    LLOYD_TRY(status);
    if (timed) LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_VERIFY));
    return mark(cuda, watch, 2);
}

/* Whether comparing rows without a certificate with all centroids is less work than starting the two
 * kernels of the second step is. */
bool few_to_verify(const cuda_kernels *cuda)
{
    const cuda_filter *f = cuda->filter;
    return f->verified >= 0 && !lloyd_cuda_pretends(cuda, CUDA_BOTH_STEPS) &&
           (double)f->verified * (double)cuda->set * (double)cuda->base.config.dim <= DIRECT_WORK;
}

/* timed: an assignment of an iteration, which the kernels' clock is to know. */
lloyd_status label_slot(cuda_kernels *cuda, int slot_number, int64_t *counters, bool timed,
                        stopwatch *watch)
{
    cuda_filter *f = cuda->filter;
    const cuda_slot *slot = &cuda->slots[slot_number];
    const cuda_rows rows = lloyd_cuda_slot_rows(cuda, slot_number);
    if (rows.count == 0) return LLOYD_OK;
    decision d = {rows,
                  cuda->centroids,
                  cuda->set,
                  cuda->labels + slot->first,
                  reinterpret_cast<unsigned long long *>(counters),
                  f->lists,
                  few_to_verify(cuda),
                  nullptr};
    if (f->shape.path == LLOYD_FLASH_FEW) {
        cuda_for_type(rows.type, [&](auto type) {
            label_few<type.value>
                <<<persistent_blocks(cuda, rows.count), THREADS, 0, cuda->stream>>>(d);
        });
        CUDA_LAUNCHED("assigning rows");
        return timed ? lloyd_cuda_mark(cuda, LLOYD_WORK_ASSIGN) : LLOYD_OK;
    }
    LLOYD_TRY(get_ready(cuda, slot_number, rows));
    flash_params p = {};
    p.rows = rows;
    p.steps = f->shape.steps;
    p.vector = f->shape.vector;
    p.image = f->image;
    p.tiles = (int)(padded_set(f->shape, cuda->set) / f->shape.width);
    p.bound = f->bound;
    p.units = f->units;
    p.offset = f->offset;
    p.norms = f->norms + slot->first;
    p.labels = cuda->labels + slot->first;
    p.moved = reinterpret_cast<unsigned long long *>(counters);
    p.lists = f->lists;
    if (f->shape.sift) {
        p.order = f->sifting->order;
        p.bias = f->sifting->bias;
        p.most = f->sifting->most;
    }
    p.direct = d.direct;
    p.shift = 64;
    p.scratch = f->scratch;
    for (p.begin = 0; p.begin < rows.count; p.begin += f->lists.capacity) {
        p.count = (int)std::min<int64_t>(f->lists.capacity, rows.count - p.begin);
        p.lists.counters = d.lists.counters = f->lists.counters + f->turn * FLASH_COUNTERS;
        f->turn = 1 - f->turn;
        d.counters_of_next = f->lists.counters + f->turn * FLASH_COUNTERS;
        LLOYD_TRY(label_block(cuda, p, d, timed, watch));
    }
    return LLOYD_OK;
}

lloyd_status reserve_set(cuda_kernels *cuda, int64_t count)
{
    int64_t dim = cuda->base.config.dim;
    if (count <= cuda->set_capacity) return LLOYD_OK;
    lloyd_cuda_free(cuda, cuda->centroids, cuda->set_capacity * dim, sizeof(float));
    cuda->centroids = nullptr, cuda->set_capacity = 0;
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &cuda->centroids, count * dim, sizeof(float), "centroids"));
    cuda->set_capacity = count;
    return LLOYD_OK;
}

} // namespace

lloyd_status lloyd_cuda_set_centroids(lloyd_kernels *kernels, int64_t count, const float *centroids)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t dim = kernels->config.dim;
    if (!cuda->filter) LLOYD_TRY(alloc_filter(cuda));
    LLOYD_TRY(reserve_set(cuda, count));
    cuda->set = count;
    cuda->filter->prepared = nullptr;
    if (!lloyd_cuda_pretends(cuda, CUDA_KNOWN)) lloyd_cuda_expect(cuda, 0, -1);
    lloyd_cuda_means_stale(cuda);
    lloyd_flash_shape *shape = &cuda->filter->shape;
    *shape =
        lloyd_flash_choose(count, dim, kernels->config.type,
                           cuda->pretended > CUDA_OTHERS ? cuda->pretended : cuda->gpu.capability);
    if (lloyd_cuda_pretends(cuda, CUDA_STREAMED) && shape->path == LLOYD_FLASH_RESIDENT)
        shape->path = LLOYD_FLASH_SM90;
    if (lloyd_cuda_pretends(cuda, CUDA_OTHER_SIFT) && shape->path == LLOYD_FLASH_SM90)
        shape->sift = !shape->sift;
    if (shape->path != LLOYD_FLASH_FEW) LLOYD_TRY(reserve_image(cuda));
    if (shape->sift) LLOYD_TRY(reserve_sifting(cuda));
    CUDA_TRY(cudaMemcpyAsync(cuda->centroids, centroids, (size_t)(count * dim) * sizeof(float),
                             cudaMemcpyHostToDevice, cuda->stream),
             "copying centroids to the GPU");
    return lloyd_cuda_prepare(cuda, cuda->centroids, {});
}

lloyd_status lloyd_cuda_prepare(cuda_kernels *cuda, const float *centroids,
                                const cuda_inertia &inertia)
{
    cuda_filter *f = cuda->filter;
    if (!f) return LLOYD_OK;
    f->prepared = nullptr;
    if (!f->ready || f->shape.path == LLOYD_FLASH_FEW) return LLOYD_OK;
    LLOYD_TRY(set_filter_offsets(cuda));
    return prepare_image(cuda, centroids, inertia);
}

lloyd_status lloyd_cuda_nearest(cuda_kernels *cuda, int slot, int64_t *counters)
{
    return label_slot(cuda, slot, counters, false, nullptr);
}

lloyd_status lloyd_cuda_assign(lloyd_kernels *kernels, int slot)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_ROWS));
    return label_slot(cuda, slot, cuda->sums + cuda->layout.counters_at, true, nullptr);
}

lloyd_status lloyd_cuda_assign_phases(cuda_kernels *cuda, int slot, float ms[2])
{
    int64_t *counters = cuda->sums + cuda->layout.counters_at;
    stopwatch watch = {};
    for (cudaEvent_t &event : watch.mark)
        CUDA_TRY(cudaEventCreate(&event), "timing the assignment");
    lloyd_status status = label_slot(cuda, slot, counters, false, &watch);
    for (int i = 0; i < 2; i++) ms[i] = watch.ms[i];
    for (cudaEvent_t &event : watch.mark) (void)cudaEventDestroy(event);
    return status;
}

void lloyd_cuda_expect(cuda_kernels *cuda, double nearest, int64_t verified)
{
    if (!cuda->filter) return;
    if (nearest >= 0) cuda->filter->nearest = nearest;
    cuda->filter->verified = verified;
}

void lloyd_cuda_pretend(lloyd_kernels *kernels, int pretended)
{
    lloyd_cuda(kernels)->pretended = pretended;
}

void lloyd_cuda_filter_free(cuda_kernels *cuda)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    cuda_filter *f = cuda->filter;
    if (!f) return;
    int64_t block = block_rows(config),
            places = cuda_divide_up(config->dim, FLASH_STEP) * FLASH_STEP;
    lloyd_cuda_free(cuda, f->origin, config->dim, sizeof(float));
    lloyd_cuda_free(cuda, f->units, 1, sizeof *f->units);
    lloyd_cuda_free(cuda, f->offset, 2 * places, sizeof(float));
    lloyd_cuda_free(cuda, f->norms, config->n_local, sizeof(__half2));
    lloyd_free(f->described);
    lloyd_cuda_free(cuda, f->lists.counters, 2 * FLASH_COUNTERS, sizeof(int));
    lloyd_cuda_free(cuda, f->lists.row, block, sizeof(int32_t));
    lloyd_cuda_free(cuda, f->lists.threshold, block, sizeof(float));
    lloyd_cuda_free(cuda, f->lists.found, block, sizeof(int32_t));
    lloyd_cuda_free(cuda, f->lists.candidate, block * FLASH_CANDIDATES, sizeof(int32_t));
    lloyd_cuda_free(cuda, f->lists.undecided, block, sizeof(int32_t));
    lloyd_cuda_free(cuda, f->image, f->image_bytes, 1);
    lloyd_cuda_free(cuda, f->bound, f->bound_count, sizeof(float2));
    lloyd_cuda_free(cuda, f->scratch, f->scratch_bytes, 1);
    free_sifting(cuda);
    lloyd_free(f);
    cuda->filter = nullptr;
}

int64_t lloyd_cuda_filter_bytes(const lloyd_kernels_config *config, int64_t set)
{
    const cuda_gpu gpu = lloyd_cuda_planned_gpu();
    const lloyd_flash_shape shape =
        lloyd_flash_choose(std::max(set, config->k), config->dim, config->type, gpu.capability);
    int64_t padded = padded_set(shape, std::max(set, config->k));
    int64_t places = cuda_divide_up(config->dim, FLASH_STEP) * FLASH_STEP;
    int64_t scratch = shape.path == LLOYD_FLASH_WIDE
                          ? lloyd_flash_wide_scratch(shape.steps, gpu.multiprocessors)
                          : 0;
    size_t sorter = 0;
    int64_t sifting = 0;
    if (shape.sift && measure_sorter(padded, &sorter) == cudaSuccess)
        sifting = padded * 20 + padded / SIFTED_TILE * (int64_t)sizeof(float4) + (int64_t)sorter;
    return config->dim * 4 + (int64_t)sizeof(flash_units) + 2 * FLASH_COUNTERS * 4 +
           2 * places * 4 + config->n_local * 4 +
           block_rows(config) * (4 * 4 + FLASH_CANDIDATES * 4) +
           padded * ((shape.steps + 1) * FLASH_STEP * 2 + 8) + scratch + sifting +
           std::max(set, config->k) * config->dim * 4;
}
