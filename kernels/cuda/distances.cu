/* Distances of rows to their own centroids: as a result, as an exact total, and to find rows for
 * empty clusters; and rows per label. The twin of kernels/cpu/distances.c.
 *
 * One kernel computes the distances (row_distance.cuh) and hands each to a sink; the sinks below are what
 * differs. Totals are integers and maxima are of bits, so the order of the atomics leaves no trace.
 * Scratch is taken when needed and given back.
 */
#include "kernels/cuda/distances.h"

#include "kernels/cuda/row_distance.cuh"
#include "kernels/cuda/slots.h"
#include "kernels/cuda/sort/radix_sort.h"

#include <algorithm>

namespace
{

constexpr int64_t BLOCK_ROWS = 1 << 20; /* rows whose distances are in scratch at a time */
constexpr int64_t WINDOW = 1 << 20;     /* bins of a histogram that are counted at a time */
constexpr int64_t SHARED_BINS = 4096;   /* up to here a histogram fits shared memory */
constexpr int HISTOGRAM_THREADS = 256;
constexpr int64_t HISTOGRAM_ROWS = 4096; /* at least so many for a block before there are more */

/* --- sinks --- */

struct store {
    double *out;

    __device__ void row(int64_t i, double distance)
    {
        out[i] = distance;
    }
    __device__ void finish()
    {
    }
};

__device__ double weighted(const float *weights, int64_t i, double distance)
{
    return weights ? lloyd_mul((double)weights[i], distance) : distance;
}

/* The exponent of the largest number, and the lowest bit of any, of those that are not 0. */
struct span {
    const float *weights;
    int *ends; /* top, -low */
    int top = LLOYD_NO_TOP, low = LLOYD_NO_BITS;

    __device__ void row(int64_t i, double distance)
    {
        double value = weighted(weights, i, distance);
        if (value == 0) return;
        /* exponents of doubles that are not subnormal: a product of float32 and a square is none */
        top = max(top, (int)((__double_as_longlong(value) >> 52) & 0x7ff) - 1022);
        low = min(low, lloyd_lowest(value));
    }
    __device__ void finish()
    {
        const int most = __reduce_max_sync(0xffffffffu, top);
        const int least = __reduce_min_sync(0xffffffffu, low);
        if (threadIdx.x % 32 == 0) {
            atomicMax(&ends[0], most);
            atomicMax(&ends[1], -least);
        }
    }
};

/* Digits [first, first + COUNT) of all numbers. */
constexpr int TOTAL_DIGITS = 4;

struct total {
    const float *weights;
    int top, bits, first;
    unsigned long long *sums;
    int64_t own[TOTAL_DIGITS] = {};

    __device__ void row(int64_t i, double distance)
    {
        double value = weighted(weights, i, distance);
#pragma unroll
        for (int t = 0; t < TOTAL_DIGITS; t++)
            own[t] += lloyd_digit(value, top - bits * (first + t + 1), bits, first + t == 0);
    }
    __device__ void finish()
    {
#pragma unroll
        for (int t = 0; t < TOTAL_DIGITS; t++)
            cuda_warp_add((unsigned long long)own[t], &sums[first + t]);
    }
};

/* Keys to sort by: 1 + the distance's bits; 0 for a row without mass, which is not to be taken. */
struct key {
    const float *weights;
    double least_mass;
    unsigned long long *keys;
    int32_t *rows;
    unsigned long long *most;
    unsigned long long found = 0;

    __device__ void row(int64_t i, double distance)
    {
        bool massless = weights && !lloyd_weight_counts(weights[i], least_mass);
        unsigned long long value = massless ? 0 : 1 + cuda_ordered_bits(distance);
        keys[i] = value;
        rows[i] = (int32_t)i;
        if (value > found) found = value;
    }
    __device__ void finish()
    {
        cuda_warp_max(found, most);
    }
};

/* --- kernels --- */

/* counts[id - first] += mass of every row whose id is in [first, first + bins). */
struct binning {
    const int32_t *ids;   /* [rows] */
    const float *weights; /* [rows], NULL: every row counts 1 */
    double mass_scale;
    int64_t rows, first, bins;
    unsigned long long *counts;

    __device__ bool bin(int64_t row, int64_t *at) const
    {
        *at = ids[row] - first;
        return *at >= 0 && *at < bins;
    }
    __device__ uint32_t mass(int64_t row) const
    {
        return weights ? (uint32_t)lloyd_weight_digit(weights[row], mass_scale) : 1;
    }
};

/* Every block has its own counters: a low and a high word each, because 32 bits are what shared
 * memory adds atomically at full speed. Masses have 30 bits: an addition carries at most once. */
__global__ void count_in_shared(binning b)
{
    extern __shared__ uint32_t words[];
    uint32_t *low = words, *high = words + b.bins;
    for (int64_t at = threadIdx.x; at < 2 * b.bins; at += blockDim.x) words[at] = 0;
    __syncthreads();
    int64_t stride = (int64_t)gridDim.x * blockDim.x;
    for (int64_t row = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; row < b.rows;
         row += stride) {
        int64_t at;
        if (!b.bin(row, &at)) continue;
        uint32_t mass = b.mass(row), before = atomicAdd(&low[at], mass);
        if (before + mass < before) atomicAdd(&high[at], 1u);
    }
    __syncthreads();
    for (int64_t at = threadIdx.x; at < b.bins; at += blockDim.x) {
        unsigned long long sum = (unsigned long long)high[at] << 32 | low[at];
        if (sum != 0) atomicAdd(&b.counts[at], sum);
    }
}

__global__ void count_in_global(binning b)
{
    int64_t stride = (int64_t)gridDim.x * blockDim.x;
    for (int64_t row = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; row < b.rows;
         row += stride) {
        int64_t at;
        if (b.bin(row, &at)) atomicAdd(&b.counts[at], (unsigned long long)b.mass(row));
    }
}

__global__ void gather_labels(const int32_t *labels, const int32_t *rows, int64_t count,
                              int32_t *out)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) out[i] = labels[rows[i]];
}

} // namespace

/* ---------------------------------------------------------------------------------------------- */

/* A block of rows with its keys, in device memory, before and after sorting; and the front of the
 * sorted block on the host. */
struct far_block {
    int64_t rows, taken; /* at most so many of it */
    cuda_array<unsigned long long> keys, sorted_keys;
    cuda_array<int32_t> order,
        sorted_order; /* row numbers in the block; `order` then takes labels */
    cuda_array<char> sorter;
    unsigned long long *host_keys; /* [taken] */
    int32_t *host_order, *host_labels;
};

/* Where there is no GPU to ask: as much again as a pair, and a little. */
static int64_t far_sorter_bytes(int64_t rows)
{
    const int64_t bytes = lloyd_cuda_radix_sort_down_bytes(rows);
    return bytes >= 0 ? bytes : rows * 12 + (1 << 20);
}

static void list_far(cuda_buffers &buffer, far_block *f)
{
    const char *what = "sorting rows by distance";
    buffer(f->keys, f->rows, what);
    buffer(f->sorted_keys, f->rows, what);
    buffer(f->order, f->rows, what);
    buffer(f->sorted_order, f->rows, what);
    buffer(f->sorter, far_sorter_bytes(f->rows), what);
}

static void list_distances(cuda_buffers &buffer, cuda_array<double> &distances, int64_t rows)
{
    buffer(distances, rows, "distances");
}

static void list_histogram(cuda_buffers &buffer, cuda_array<unsigned long long> &counts,
                           int64_t bins)
{
    buffer(counts, bins, "a histogram");
}

/* No two of them are there at a time. */
int64_t lloyd_cuda_distances_bytes(const lloyd_kernels_config *config)
{
    const int64_t block = std::min({config->n_local, config->chunk_rows, BLOCK_ROWS});
    far_block far = {};
    far.rows = block;
    cuda_array<double> distances = {};
    cuda_array<unsigned long long> counts = {};
    cuda_buffers count[3] = {cuda_buffers::count(), cuda_buffers::count(), cuda_buffers::count()};
    list_far(count[0], &far);
    list_distances(count[1], distances, block);
    list_histogram(count[2], counts, WINDOW);
    return std::max({count[0].bytes(), count[1].bytes(), count[2].bytes()});
}

/* --- distances as a result --- */

static lloyd_status copy_distances(cuda_kernels *cuda, int slot, int64_t block, double *scratch,
                                   double *out)
{
    cuda_rows rows = lloyd_cuda_slot_rows(cuda, slot);
    const int32_t *labels = cuda->labels + cuda->slots[slot].first;
    for (int64_t begin = 0; begin < rows.count; begin += block) {
        int64_t count = rows.count - begin < block ? rows.count - begin : block;
        LLOYD_TRY(cuda_each_own_distance(cuda, cuda_part(rows, begin, count), labels + begin,
                                         store{scratch}));
        LLOYD_TRY(lloyd_cuda_copy_out(cuda, out + begin, scratch, count * (int64_t)sizeof *out));
    }
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_distances(lloyd_kernels *kernels, int slot, double *out)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t count = cuda->slots[slot].count, block = count < BLOCK_ROWS ? count : BLOCK_ROWS;
    if (count == 0) return LLOYD_OK;
    cuda_array<double> scratch = {};
    cuda_buffers reserve = cuda_buffers::reserve(cuda), release = cuda_buffers::release(cuda);
    list_distances(reserve, scratch, block);
    LLOYD_TRY(reserve.status());
    lloyd_status status = copy_distances(cuda, slot, block, scratch, out);
    list_distances(release, scratch, 0);
    return status;
}

/* --- the greatest, and the exact total --- */

/* The device numbers that `count` sums or maxima are collected in, set to zero. */
static lloyd_status zeros(cuda_kernels *cuda, int count, unsigned long long **numbers)
{
    *numbers = reinterpret_cast<unsigned long long *>(cuda->results.data);
    CUDA_TRY(cudaMemsetAsync(*numbers, 0, (size_t)count * sizeof **numbers, cuda->stream),
             "clearing sums of distances");
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_distance_span(lloyd_kernels *kernels, int slot, lloyd_span *span_so_far)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    cuda_rows rows = lloyd_cuda_slot_rows(cuda, slot);
    if (rows.count == 0) return LLOYD_OK;
    int *ends = reinterpret_cast<int *>(cuda->results.data), found[2];
    CUDA_TRY(cudaMemsetAsync(ends, 0x80, sizeof found, cuda->stream), "clearing a span"); /* < 0 */
    LLOYD_TRY(cuda_each_own_distance(cuda, rows, cuda->labels + cuda->slots[slot].first,
                                     span{rows.weights, ends}));
    LLOYD_TRY(lloyd_cuda_fetch(cuda, found, ends, sizeof found));
    if (found[0] > span_so_far->top) span_so_far->top = found[0];
    if (-found[1] < span_so_far->low) span_so_far->low = -found[1];
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_total_distance(lloyd_kernels *kernels, int slot, int top, int bits,
                                       int count, int64_t *sums)
{
    constexpr int ROOM = LLOYD_MOST_TOTAL + TOTAL_DIGITS;
    static_assert(ROOM * sizeof(int64_t) <= CUDA_PINNED, "totals have room among the results");
    cuda_kernels *cuda = lloyd_cuda(kernels);
    cuda_rows rows = lloyd_cuda_slot_rows(cuda, slot);
    if (rows.count == 0) return LLOYD_OK;
    unsigned long long *device_sums;
    int64_t found[LLOYD_MOST_TOTAL];
    LLOYD_TRY(zeros(cuda, ROOM, &device_sums));
    for (int first = 0; first < count; first += TOTAL_DIGITS) {
        LLOYD_TRY(cuda_each_own_distance(cuda, rows, cuda->labels + cuda->slots[slot].first,
                                         total{rows.weights, top, bits, first, device_sums}));
    }
    LLOYD_TRY(lloyd_cuda_fetch(cuda, found, device_sums, (size_t)count * sizeof *found));
    for (int t = 0; t < count; t++) sums[t] += found[t];
    return LLOYD_OK;
}

/* --- rows per label --- */

/* Counts one window of bins into b->counts (device memory) and adds them to counts[0 .. bins). */
static lloyd_status count_window(cuda_kernels *cuda, const binning &b, int64_t *host,
                                 int64_t *counts)
{
    size_t bytes = (size_t)b.bins * sizeof *host;
    int64_t blocks = cuda_divide_up(b.rows, HISTOGRAM_ROWS);
    if (blocks > cuda->gpu.multiprocessors * 8) blocks = cuda->gpu.multiprocessors * 8;
    CUDA_TRY(cudaMemsetAsync(b.counts, 0, bytes, cuda->stream), "clearing a histogram");
    if (b.bins <= SHARED_BINS)
        count_in_shared<<<(unsigned)blocks, HISTOGRAM_THREADS, bytes, cuda->stream>>>(b);
    else
        count_in_global<<<(unsigned)blocks, HISTOGRAM_THREADS, 0, cuda->stream>>>(b);
    CUDA_LAUNCHED("counting rows");
    LLOYD_TRY(lloyd_cuda_copy_out(cuda, host, b.counts, (int64_t)bytes));
    for (int64_t i = 0; i < b.bins; i++) counts[i] += host[i];
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_histogram(cuda_kernels *cuda, const int32_t *ids, const float *weights,
                                  int64_t bins, int64_t *counts)
{
    int64_t rows = cuda->base.config.n_local, window = bins < WINDOW ? bins : WINDOW;
    if (rows == 0 || bins == 0) return LLOYD_OK;
    cuda_array<unsigned long long> scratch = {};
    int64_t *host = nullptr;
    cuda_buffers reserve = cuda_buffers::reserve(cuda), release = cuda_buffers::release(cuda);
    list_histogram(reserve, scratch, window);
    LLOYD_TRY(reserve.status());
    lloyd_status status = lloyd_alloc(&host, window, sizeof *host, "a histogram");
    for (int64_t first = 0; first < bins && status == LLOYD_OK; first += window) {
        int64_t here = bins - first < window ? bins - first : window;
        binning b = {ids, weights, cuda->mass_scale, rows, first, here, scratch};
        status = count_window(cuda, b, host, counts + first);
    }
    lloyd_free(host);
    list_histogram(release, scratch, 0);
    return status;
}

lloyd_status lloyd_cuda_count_labels(lloyd_kernels *kernels, int64_t *counts)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    return lloyd_cuda_histogram(cuda, cuda->labels, nullptr, kernels->config.k, counts);
}

/* --- rows for empty clusters --- */

static lloyd_status alloc_far(cuda_kernels *cuda, far_block *f)
{
    const char *what = "sorting rows by distance";
    cuda_buffers reserve = cuda_buffers::reserve(cuda);
    list_far(reserve, f);
    LLOYD_TRY(reserve.status());
    LLOYD_TRY(lloyd_alloc(&f->host_keys, f->taken, sizeof *f->host_keys, what));
    LLOYD_TRY(lloyd_alloc(&f->host_order, f->taken, sizeof *f->host_order, what));
    return lloyd_alloc(&f->host_labels, f->taken, sizeof *f->host_labels, what);
}

static void free_far(cuda_kernels *cuda, far_block *f)
{
    cuda_buffers release = cuda_buffers::release(cuda);
    list_far(release, f);
    lloyd_free(f->host_keys);
    lloyd_free(f->host_order);
    lloyd_free(f->host_labels);
}

/* Whether a is taken before b: the larger distance, then the lower row. */
static bool before(const lloyd_far_row &a, const lloyd_far_row &b)
{
    return a.distance != b.distance ? a.distance > b.distance : a.row < b.row;
}

static double key_distance(unsigned long long key)
{
    unsigned long long bits = key - 1;
    double distance;
    memcpy(&distance, &bits, sizeof distance);
    return distance;
}

static lloyd_far_row far_row(const far_block &f, int64_t first, int64_t i)
{
    return {key_distance(f.host_keys[i]), first + f.host_order[i], f.host_labels[i]};
}

/* Merges the front of the sorted block, whose first row is `first`, into the sorted list: first how
 * many of each are taken, then in place from the back. */
static void merge(const far_block &f, int64_t first, int64_t found, int64_t want,
                  lloyd_far_row *list, int64_t *count)
{
    int64_t length = *count + found < want ? *count + found : want, i = 0, j = 0;
    while (i + j < length) {
        if (j == found || (i < *count && before(list[i], far_row(f, first, j))))
            i++;
        else
            j++;
    }
    *count = length;
    while (j > 0) {
        lloyd_far_row row = far_row(f, first, j - 1);
        if (i > 0 && before(row, list[i - 1])) {
            list[i + j - 1] = list[i - 1];
            i--;
        } else {
            list[i + j - 1] = row;
            j--;
        }
    }
}

/* Sorts the block and brings its first *found rows to the host: those that have mass, at most
 * f->taken. The sort is stable: of equal distances the lower row comes first. */
static lloyd_status sort_block(cuda_kernels *cuda, far_block *f, int64_t rows,
                               const int32_t *labels, int64_t *found)
{
    const char *what = "sorting rows by distance";
    int64_t front = rows < f->taken ? rows : f->taken;
    LLOYD_TRY(lloyd_cuda_radix_sort_down({f->keys, f->sorted_keys, f->order, f->sorted_order}, rows,
                                         f->sorter, cuda->stream, what));
    gather_labels<<<(unsigned)cuda_divide_up(front, 256), 256, 0, cuda->stream>>>(labels,
                                                                                  f->sorted_order,
                                                                                  front, f->order);
    CUDA_LAUNCHED(what);
    LLOYD_TRY(lloyd_cuda_copy_out(cuda, f->host_keys, f->sorted_keys,
                                  front * (int64_t)sizeof *f->host_keys));
    LLOYD_TRY(lloyd_cuda_copy_out(cuda, f->host_order, f->sorted_order,
                                  front * (int64_t)sizeof *f->host_order));
    LLOYD_TRY(lloyd_cuda_copy_out(cuda, f->host_labels, f->order,
                                  front * (int64_t)sizeof *f->host_labels));
    *found = 0;
    while (*found < front && f->host_keys[*found] != 0) ++*found;
    return LLOYD_OK;
}

/* Offers rows [begin, begin + count) of the slot to the list. Most blocks have no row that gets in,
 * as their greatest distance shows, and need no sort. */
static lloyd_status offer_block(cuda_kernels *cuda, int slot, far_block *f, int64_t begin,
                                int64_t count, int64_t want, lloyd_far_row *list, int64_t *listed)
{
    int64_t first = cuda->slots[slot].first + begin, found;
    cuda_rows rows = cuda_part(lloyd_cuda_slot_rows(cuda, slot), begin, count);
    unsigned long long *most, most_here;
    LLOYD_TRY(zeros(cuda, 1, &most));
    LLOYD_TRY(cuda_each_own_distance(cuda, rows, cuda->labels + first,
                                     key{rows.weights, cuda->least_mass, f->keys, f->order, most}));
    LLOYD_TRY(lloyd_cuda_fetch(cuda, &most_here, most, sizeof most_here));
    if (most_here == 0) return LLOYD_OK;
    lloyd_far_row best = {key_distance(most_here), first, 0};
    if (*listed == want && !before(best, list[want - 1])) return LLOYD_OK;
    LLOYD_TRY(sort_block(cuda, f, count, cuda->labels + first, &found));
    merge(*f, first, found, want, list, listed);
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_farthest(lloyd_kernels *kernels, int slot, int64_t want,
                                 lloyd_far_row *list, int64_t *count)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t rows = cuda->slots[slot].count;
    if (want == 0 || rows == 0) return LLOYD_OK;
    far_block f = {};
    f.rows = rows < BLOCK_ROWS ? rows : BLOCK_ROWS;
    f.taken = f.rows < want ? f.rows : want;
    lloyd_status status = alloc_far(cuda, &f);
    for (int64_t begin = 0; begin < rows && status == LLOYD_OK; begin += f.rows) {
        int64_t here = rows - begin < f.rows ? rows - begin : f.rows;
        status = offer_block(cuda, slot, &f, begin, here, want, list, count);
    }
    free_far(cuda, &f);
    return status;
}
