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
 * ordinary row to about 1000.
 */
#include "kernels/cuda/flash_launch.h"
#include "kernels/cuda/flash_shape.h"

#include <algorithm>

struct cuda_filter {
    lloyd_flash_shape shape; /* for the current set */
    bool ready;              /* origin and sigma are chosen */
    int offset_steps;        /* that `offset` was computed for, 0: none */
    bool prepared;           /* image and bound belong to the centroids */
    float *origin;           /* [D] */
    float *sigma;            /* [1] */
    float *offset;           /* [steps*16] of the shape */
    __half2 *norms;          /* [n_local] */
    uint8_t *image;
    int64_t image_bytes;
    float2 *bound; /* [bound_count] */
    int64_t bound_count;
    flash_lists lists;
    uint8_t *scratch;
    int64_t scratch_bytes;
};

namespace
{

enum { SAMPLE = 1024, THREADS = 256, WARPS = THREADS / 32, MOST_STEPS = 1 << 16 };

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
__global__ void choose_scale(cuda_rows rows, const float *origin, float *sigma)
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
    int exponent = 10 - lloyd_exponent(longest); /* longest * 2^exponent in [512, 1024) */
    *sigma = (float)lloyd_exp2(longest == 0 ? 0 : max(-126, min(126, exponent)));
}

__global__ void set_offsets(lloyd_type type, bool cosine, int64_t dim, int places,
                            const float *origin, const float *sigma, float *offset)
{
    int j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j < places) offset[j] = flash_offset(type, cosine, j < dim ? origin[j] : 0.0F, *sigma);
}

/* --- rows --- */

/* |x^| and |dx| of every row, rounded up; infinite for a row that is too long. A warp per row. */
template <lloyd_type T>
__global__ void describe(cuda_rows rows, const float *origin, const float *sigma_at,
                         const float *offset, __half2 *norms)
{
    int lane = threadIdx.x % 32;
    float sigma = *sigma_at;
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
        if (!(__half2float(norm) <= FLASH_REACH)) norm = __ushort_as_half(0x7c00);
        norms[i] = __halves2half2(norm, residual);
    }
}

/* --- centroids --- */

struct image_shape {
    int64_t set, padded, dim;
    int steps, width, group;
};

__device__ void put(uint8_t *image, const image_shape &s, int64_t k, int step, int place, __half x)
{
    *reinterpret_cast<__half *>(image + flash_image_offset(k, step, place, s.steps, s.width)) = x;
}

__device__ __half half_up(double x)
{
    return __float2half_ru(__double2float_ru(x * (1 + 0x1p-20)));
}

/* Operands, biases and bounds. A warp per centroid, filler included. */
__global__ void prepare(image_shape s, const float *centroids, const float *origin,
                        const float *sigma_at, uint8_t *image, float2 *bound)
{
    int64_t k = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (k >= s.padded) return;
    const __half zero = __ushort_as_half(0);
    const float *centroid = centroids + k * s.dim;
    double sigma = (double)*sigma_at, square = 0, operand_square = 0, rest = 0;
    bool real = k < s.set;
    for (int64_t j = lane; real && j < s.dim; j += 32) {
        double c = sigma * ((double)centroid[j] - (double)origin[j]);
        double operand = (double)__half2float(__double2half(c));
        square = fma(c, c, square);
        operand_square = fma(operand, operand, operand_square);
        rest = fma(c - operand, c - operand, rest);
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        square += __shfl_xor_sync(0xffffffffu, square, distance);
        operand_square += __shfl_xor_sync(0xffffffffu, operand_square, distance);
        rest += __shfl_xor_sync(0xffffffffu, rest, distance);
    }
    bool near = real && square <= (double)FLASH_FAR * (double)FLASH_FAR;
    for (int at = lane; at < s.steps * FLASH_STEP; at += 32) {
        int step = at / FLASH_STEP, place = at % FLASH_STEP;
        int j = flash_column(step, place, s.steps, s.group);
        double c = near && j < s.dim ? sigma * ((double)centroid[j] - (double)origin[j]) : 0;
        put(image, s, k, step, place, __double2half(c));
    }
    if (lane >= FLASH_STEP) return;
    /* No row up to REACH long scores more than -(FAR^2/2 - REACH FAR) at a far centroid. */
    double far_half = (double)FLASH_FAR * ((double)FLASH_FAR / 2 - (double)FLASH_REACH) * 0.96;
    double bias = near   ? (double)FLASH_ORIGIN - square / 2
                  : real ? (double)FLASH_ORIGIN - far_half
                         : (double)FLASH_FLOOR;
    double alpha = s.steps * 20 * 0x1p-23, length = sqrt(operand_square), error = sqrt(rest);
    double piece = bias / (double)FLASH_REACH;
    __half high = __double2half(piece), middle = __double2half(piece - (double)__half2float(high));
    __half low = __double2half(piece - (double)__half2float(high) - (double)__half2float(middle));
    __half for_norm = near ? half_up(error + alpha * length) : zero;
    __half for_rest = near ? half_up(length + error) : zero;
    put(image, s, k, s.steps, lane,
        lane == 0   ? high
        : lane == 1 ? middle
        : lane == 2 ? low
        : lane == 3 ? for_norm
        : lane == 4 ? for_rest
                    : zero);
    if (lane == 0) {
        bool bounded = near && s.steps <= MOST_STEPS;
        bound[k] = bounded ? make_float2(__half2float(for_norm), __half2float(for_rest))
                           : make_float2(INFINITY, INFINITY);
    }
}

/* --- deciding by dist() --- */

struct decision {
    cuda_rows rows;
    const float *centroids;
    int64_t set;
    int32_t *labels;
    unsigned long long *counters; /* moved, verified */
    flash_lists lists;
};

/* lane 0 of a warp, or one thread of a block. */
__device__ void settle_label(const decision &d, int64_t i, int32_t label)
{
    if (d.labels[i] == label) return;
    d.labels[i] = label;
    atomicAdd(&d.counters[0], 1ull);
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

/* Listed rows: the nearest of the candidates. A warp per row. */
template <lloyd_type T> __global__ void decide(decision d)
{
    int lane = threadIdx.x % 32, listed = d.lists.counters[FLASH_LISTED];
    unsigned moved = 0;
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        atomicAdd(&d.counters[1], (unsigned long long)listed + d.lists.counters[FLASH_IRREGULAR]);
    }
    for (int at = blockIdx.x * WARPS + threadIdx.x / 32; at < listed; at += gridDim.x * WARPS) {
        int found = d.lists.found[at];
        int64_t i = d.lists.row[at];
        if (found < 1 || found > FLASH_CANDIDATES) {
            if (lane == 0) {
                int place = atomicAdd(&d.lists.counters[FLASH_CROWDED], 1);
                d.lists.undecided[d.lists.capacity - 1 - place] = (int32_t)i;
            }
            continue;
        }
        double least = INFINITY;
        int32_t label = 0;
        for (int c = 0; c < found; c++) {
            int32_t k = d.lists.candidate[(int64_t)at * FLASH_CANDIDATES + c];
            double distance =
                cuda_warp_dist<T>(d.rows, i, d.centroids + (int64_t)k * d.rows.dim, lane);
            if (distance < least || (distance == least && k < label)) {
                least = distance;
                label = k;
            }
        }
        if (lane == 0 && d.labels[i] != label) {
            d.labels[i] = label;
            moved++;
        }
    }
    if (lane == 0 && moved > 0) atomicAdd(&d.counters[0], (unsigned long long)moved);
}

/* Irregular and crowded rows: the nearest of all centroids. A block per row. */
template <lloyd_type T> __global__ void decide_all(decision d)
{
    __shared__ double least_of[WARPS];
    __shared__ int32_t label_of[WARPS];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int irregular = d.lists.counters[FLASH_IRREGULAR], crowded = d.lists.counters[FLASH_CROWDED];
    for (int at = blockIdx.x; at < irregular + crowded; at += gridDim.x) {
        int64_t i =
            d.lists.undecided[at < irregular ? at : d.lists.capacity - 1 - (at - irregular)];
        double least = INFINITY;
        int32_t label = INT32_MAX;
        for (int64_t k = warp; k < d.set; k += WARPS) {
            double distance = cuda_warp_dist<T>(d.rows, i, d.centroids + k * d.rows.dim, lane);
            if (distance < least) {
                least = distance;
                label = (int32_t)k;
            }
        }
        if (lane == 0) {
            least_of[warp] = least;
            label_of[warp] = label;
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            for (int w = 1; w < WARPS; w++) {
                if (least_of[w] < least || (least_of[w] == least && label_of[w] < label)) {
                    least = least_of[w];
                    label = label_of[w];
                }
            }
            /* nothing below infinity: the definition's first */
            settle_label(d, i, label == INT32_MAX ? 0 : label);
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
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->sigma, 1, sizeof(float), "the filter's scale"));
    /* kernels in registers round the steps up, by a half at most */
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->offset, 2 * places, sizeof(float), "the filter's origin"));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->norms, config->n_local, sizeof(__half2), "norms of rows"));
    f->lists.capacity = (int)block;
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->lists.counters, FLASH_COUNTERS, sizeof(int), what));
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
                          ? lloyd_flash_wide_scratch(f->shape.steps, cuda->multiprocessors)
                          : 0;
    if (f->scratch_bytes < scratch) {
        LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->scratch, scratch, 1, "operands of rows"));
        f->scratch_bytes = scratch;
    }
    return LLOYD_OK;
}

/* Origin and scale from the rows of this slot. */
lloyd_status choose_units(cuda_kernels *cuda, const cuda_rows &rows)
{
    cuda_filter *f = cuda->filter;
    unsigned blocks = (unsigned)cuda_divide_up(rows.dim, WARPS);
    cuda_for_type(rows.type, [&](auto type) {
        choose_origin<type.value><<<blocks, THREADS, 0, cuda->stream>>>(rows, f->origin);
        choose_scale<type.value><<<1, SAMPLE, 0, cuda->stream>>>(rows, f->origin, f->sigma);
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
                                  cuda->base.config.dim, places, f->origin, f->sigma, f->offset);
    CUDA_LAUNCHED("choosing the filter's units");
    return LLOYD_OK;
}

int persistent_blocks(const cuda_kernels *cuda, int64_t warps_of_work)
{
    int64_t blocks = cuda_divide_up(warps_of_work, WARPS);
    return (int)std::max<int64_t>(1, std::min<int64_t>(blocks, 16 * cuda->multiprocessors));
}

lloyd_status describe_rows(cuda_kernels *cuda, const cuda_rows &rows, __half2 *norms)
{
    cuda_filter *f = cuda->filter;
    cuda_for_type(rows.type, [&](auto type) {
        describe<type.value>
            <<<persistent_blocks(cuda, rows.count), THREADS, 0, cuda->stream>>>(rows, f->origin,
                                                                                f->sigma, f->offset,
                                                                                norms);
    });
    CUDA_LAUNCHED("computing the norms of rows");
    return LLOYD_OK;
}

lloyd_status prepare_image(cuda_kernels *cuda)
{
    cuda_filter *f = cuda->filter;
    const lloyd_flash_shape &shape = f->shape;
    image_shape s = {cuda->set,
                     padded_set(shape, cuda->set),
                     cuda->base.config.dim,
                     shape.steps,
                     shape.width,
                     shape.path == LLOYD_FLASH_WIDE
                         ? 0
                         : flash_group(cuda->base.config.type, shape.vector)};
    prepare<<<(unsigned)cuda_divide_up(s.padded, WARPS), THREADS, 0,
              cuda->stream>>>(s, cuda->centroids, f->origin, f->sigma, f->image, f->bound);
    CUDA_LAUNCHED("preparing the centroids");
    f->prepared = true;
    return LLOYD_OK;
}

/* Everything the fused kernels need, as far as it is not there yet. */
lloyd_status get_ready(cuda_kernels *cuda, int slot_number, const cuda_rows &rows)
{
    cuda_filter *f = cuda->filter;
    cuda_slot *slot = &cuda->slots[slot_number];
    if (!f->ready) LLOYD_TRY(choose_units(cuda, rows));
    if (!f->prepared) {
        LLOYD_TRY(set_filter_offsets(cuda));
        LLOYD_TRY(prepare_image(cuda));
    }
    if (!slot->described) {
        LLOYD_TRY(describe_rows(cuda, rows, f->norms + slot->first));
        slot->described = true;
    }
    return LLOYD_OK;
}

lloyd_status run_flash(cuda_kernels *cuda, const flash_params &p, bool verify)
{
    const lloyd_flash_shape &shape = cuda->filter->shape;
    if (shape.path == LLOYD_FLASH_SM90)
        return lloyd_flash_sm90(p, verify, cuda->multiprocessors, cuda->stream);
    if (shape.path == LLOYD_FLASH_RESIDENT)
        return lloyd_flash_resident_sm90(p, verify, cuda->multiprocessors, cuda->stream);
    if (shape.path == LLOYD_FLASH_WIDE)
        return lloyd_flash_wide_sm90(p, verify, cuda->multiprocessors, cuda->stream);
    return lloyd_flash_sm80(p, verify, cuda->multiprocessors, cuda->stream);
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
lloyd_status label_block(cuda_kernels *cuda, const flash_params &p, const decision &d,
                         stopwatch *watch)
{
    CUDA_TRY(cudaMemsetAsync(p.lists.counters, 0, FLASH_COUNTERS * sizeof(int), cuda->stream),
             "assigning rows");
    LLOYD_TRY(mark(cuda, watch, 0));
    LLOYD_TRY(run_flash(cuda, p, false));
    LLOYD_TRY(mark(cuda, watch, 1));
    LLOYD_TRY(run_flash(cuda, p, true));
    cuda_for_type(p.rows.type, [&](auto type) {
        decide<type.value><<<persistent_blocks(cuda, p.count), THREADS, 0, cuda->stream>>>(d);
        decide_all<type.value>
            <<<(unsigned)std::min(p.count, 8 * cuda->multiprocessors), THREADS, 0, cuda->stream>>>(
                d);
    });
    CUDA_LAUNCHED("verifying rows");
    return mark(cuda, watch, 2);
}

lloyd_status label_slot(cuda_kernels *cuda, int slot_number, int64_t *counters, stopwatch *watch)
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
                  f->lists};
    if (f->shape.path == LLOYD_FLASH_FEW) {
        cuda_for_type(rows.type, [&](auto type) {
            label_few<type.value>
                <<<persistent_blocks(cuda, rows.count), THREADS, 0, cuda->stream>>>(d);
        });
        CUDA_LAUNCHED("assigning rows");
        return LLOYD_OK;
    }
    LLOYD_TRY(get_ready(cuda, slot_number, rows));
    flash_params p = {};
    p.rows = rows;
    p.steps = f->shape.steps;
    p.vector = f->shape.vector;
    p.image = f->image;
    p.tiles = (int)(padded_set(f->shape, cuda->set) / f->shape.width);
    p.bound = f->bound;
    p.sigma = f->sigma;
    p.offset = f->offset;
    p.norms = f->norms + slot->first;
    p.labels = cuda->labels + slot->first;
    p.moved = reinterpret_cast<unsigned long long *>(counters);
    p.lists = f->lists;
    p.skip = f->shape.skip;
    p.shift = 64;
    p.scratch = f->scratch;
    for (p.begin = 0; p.begin < rows.count; p.begin += f->lists.capacity) {
        p.count = (int)std::min<int64_t>(f->lists.capacity, rows.count - p.begin);
        LLOYD_TRY(label_block(cuda, p, d, watch));
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
    lloyd_cuda_means_stale(cuda);
    lloyd_flash_shape *shape = &cuda->filter->shape;
    *shape = lloyd_flash_choose(count, dim, kernels->config.type,
                                cuda->pretended > CUDA_OTHERS ? cuda->pretended : cuda->capability);
    bool other = cuda->pretended <= CUDA_OTHERS;
    if (other && cuda->pretended & CUDA_STREAMED && shape->path == LLOYD_FLASH_RESIDENT)
        shape->path = LLOYD_FLASH_SM90;
    if (other && cuda->pretended & CUDA_OTHER_SKIP) shape->skip = !shape->skip;
    if (shape->path != LLOYD_FLASH_FEW) LLOYD_TRY(reserve_image(cuda));
    CUDA_TRY(cudaMemcpyAsync(cuda->centroids, centroids, (size_t)(count * dim) * sizeof(float),
                             cudaMemcpyHostToDevice, cuda->stream),
             "copying centroids to the GPU");
    return lloyd_cuda_prepare(cuda);
}

lloyd_status lloyd_cuda_prepare(cuda_kernels *cuda)
{
    cuda_filter *f = cuda->filter;
    f->prepared = false;
    if (!f->ready || f->shape.path == LLOYD_FLASH_FEW) return LLOYD_OK;
    LLOYD_TRY(set_filter_offsets(cuda));
    return prepare_image(cuda);
}

lloyd_status lloyd_cuda_nearest(cuda_kernels *cuda, int slot, int64_t *counters)
{
    return label_slot(cuda, slot, counters, nullptr);
}

lloyd_status lloyd_cuda_assign(lloyd_kernels *kernels, int slot)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    return lloyd_cuda_nearest(cuda, slot,
                              cuda->sums + kernels->config.k * (kernels->config.dim + 1));
}

lloyd_status lloyd_cuda_assign_phases(cuda_kernels *cuda, int slot, float ms[2])
{
    int64_t *counters = cuda->sums + cuda->base.config.k * (cuda->base.config.dim + 1);
    stopwatch watch = {};
    for (cudaEvent_t &event : watch.mark)
        CUDA_TRY(cudaEventCreate(&event), "timing the assignment");
    lloyd_status status = label_slot(cuda, slot, counters, &watch);
    for (int i = 0; i < 2; i++) ms[i] = watch.ms[i];
    for (cudaEvent_t &event : watch.mark) (void)cudaEventDestroy(event);
    return status;
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
    lloyd_cuda_free(cuda, f->sigma, 1, sizeof(float));
    lloyd_cuda_free(cuda, f->offset, 2 * places, sizeof(float));
    lloyd_cuda_free(cuda, f->norms, config->n_local, sizeof(__half2));
    lloyd_cuda_free(cuda, f->lists.counters, FLASH_COUNTERS, sizeof(int));
    lloyd_cuda_free(cuda, f->lists.row, block, sizeof(int32_t));
    lloyd_cuda_free(cuda, f->lists.threshold, block, sizeof(float));
    lloyd_cuda_free(cuda, f->lists.found, block, sizeof(int32_t));
    lloyd_cuda_free(cuda, f->lists.candidate, block * FLASH_CANDIDATES, sizeof(int32_t));
    lloyd_cuda_free(cuda, f->lists.undecided, block, sizeof(int32_t));
    lloyd_cuda_free(cuda, f->image, f->image_bytes, 1);
    lloyd_cuda_free(cuda, f->bound, f->bound_count, sizeof(float2));
    lloyd_cuda_free(cuda, f->scratch, f->scratch_bytes, 1);
    lloyd_free(f);
    cuda->filter = nullptr;
}

int64_t lloyd_cuda_filter_bytes(const lloyd_kernels_config *config, int64_t set)
{
    const lloyd_flash_shape shape =
        lloyd_flash_choose(std::max(set, config->k), config->dim, config->type, 90);
    int64_t padded = padded_set(shape, std::max(set, config->k));
    int64_t places = cuda_divide_up(config->dim, FLASH_STEP) * FLASH_STEP;
    int64_t scratch =
        shape.path == LLOYD_FLASH_WIDE ? lloyd_flash_wide_scratch(shape.steps, 132) : 0;
    return config->dim * 4 + 2 * places * 4 + config->n_local * 4 +
           block_rows(config) * (4 * 4 + FLASH_CANDIDATES * 4) +
           padded * ((shape.steps + 1) * FLASH_STEP * 2 + 8) + scratch +
           std::max(set, config->k) * config->dim * 4;
}
