/* What the filter knows of the centroids: operands, biases and bounds, once per iteration. docs/numerics.md, section 2.5. */
#include "kernels/cuda/assign/filter.h"

#include <cub/device/device_radix_sort.cuh>

namespace
{

enum { THREADS = 256, WARPS = THREADS / 32, MOST_STEPS = 15000 };

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

} // namespace

int64_t lloyd_cuda_padded_set(const lloyd_flash_shape &shape, int64_t set)
{
    return cuda_divide_up(set, shape.width) * shape.width;
}

cudaError_t lloyd_cuda_measure_sorter(int64_t set, size_t *bytes)
{
    return cub::DeviceRadixSort::SortPairs(nullptr, *bytes, (const float *)nullptr,
                                           (float *)nullptr, (const int32_t *)nullptr,
                                           (int32_t *)nullptr, (int)set);
}

lloyd_status lloyd_cuda_prepare_image(cuda_kernels *cuda, const float *centroids,
                                      const cuda_inertia &inertia)
{
    cuda_filter *f = cuda->filter;
    const lloyd_flash_shape &shape = f->shape;
    f->prepared = nullptr;
    image_shape s = {};
    s.set = cuda->set;
    s.padded = lloyd_cuda_padded_set(shape, cuda->set);
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
