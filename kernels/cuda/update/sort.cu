/* Row numbers in the order of their labels, for the sums (sorted.cu).
 *
 * Few rows or few clusters by counting: one kernel counts every label, and its last block makes of
 * the counts where each cluster begins; another kernel takes a piece of the rows per block, counts
 * them in shared memory, reserves that many places of each cluster and writes row numbers there.
 * Rows of a cluster come in the order in which blocks happen to reserve, which integer sums do not
 * see. Where there are many rows, a block first brings its own into order, so that it writes them in
 * runs: single words all over memory took longer than the sort. Labels are read twice and written
 * once; CUB's radix sort, for all else, reads and writes labels and row numbers once for every eight
 * bits, and takes four short kernels for few rows.
 */
#include "kernels/cuda/update/sort.h"

#include "kernels/cuda/assign/assign.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sort/block_scan.cuh"
#include "kernels/cuda/sort/radix_sort.h"
#include "kernels/cuda/update/shared.h"

#include <algorithm>

struct cuda_sorter {
    int64_t capacity;                   /* rows sorted at a time */
    cuda_array<uint32_t> labels, order; /* [capacity] sorted, and row numbers in that order */
    bool counted;

    /* by counting: */
    cuda_array<uint32_t> counts; /* [K] 0 between sorts */
    cuda_array<uint32_t> begins; /* [K] where the next rows of a cluster go */
    cuda_array<uint32_t> ended;  /* [1] blocks that have counted; 0 between sorts */

    /* by CUB: */
    cuda_array<int32_t> numbers; /* [capacity] 0, 1, 2, ... */
    cuda_array<char> temporary;
};

namespace
{

enum {
    SORTED_ROWS = 32 << 20, /* rows sorted at a time, at most: 20 bytes of memory each */
    COUNT_THREADS = 1024,
    SCANNED = 8,                       /* clusters of a thread of the last block */
    COUNTED = COUNT_THREADS * SCANNED, /* 32 KiB of counters in shared memory */
    PLACE_THREADS = 512,
    RESERVED = 4, /* reservations of a thread on their way at a time */
    /* beyond this many rows, blocks order theirs, for up to so many clusters: */
    FEW_ROWS = 512 << 10,
    ORDERED = 2 * PLACE_THREADS,
    EACH_ORDERED = 16, /* rows of a thread */
    ORDERED_ROWS = PLACE_THREADS * EACH_ORDERED
};

__device__ inline void clear_counters(uint32_t *counters, int clusters)
{
    for (int k = (int)threadIdx.x; k < clusters; k += (int)blockDim.x) counters[k] = 0;
    __syncthreads();
}

/* begins[k] = the rows of clusters below k. Leaves the counts zero. By one block. */
__device__ void scan_counts(uint32_t *counts, uint32_t *begins, int clusters)
{
    __shared__ block_space<uint32_t, COUNT_THREADS> space;
    uint32_t value[SCANNED], own = 0;
    int first = (int)threadIdx.x * SCANNED;
#pragma unroll
    for (int i = 0; i < SCANNED; i++) {
        value[i] = first + i < clusters ? __ldcg(&counts[first + i]) : 0;
        own += value[i];
    }
    uint32_t begin = scan_block(space, own);
#pragma unroll
    for (int i = 0; i < SCANNED; i++) {
        if (first + i < clusters) {
            begins[first + i] = begin;
            counts[first + i] = 0;
        }
        begin += value[i];
    }
}

__global__ void __launch_bounds__(COUNT_THREADS)
    count_labels(const uint32_t *labels, int rows, int clusters, uint32_t *counts, uint32_t *begins,
                 uint32_t *ended)
{
    extern __shared__ uint32_t counters[]; /* [clusters] */
    cuda_await();
    clear_counters(counters, clusters);
    /* 64 bits: the last step may lead beyond 2^31 */
#pragma unroll 4
    for (int64_t i = (int64_t)blockIdx.x * COUNT_THREADS + threadIdx.x; i < rows;
         i += (int64_t)gridDim.x * COUNT_THREADS)
        atomicAdd(&counters[labels[i]], 1);
    __syncthreads();
    for (int k = (int)threadIdx.x; k < clusters; k += COUNT_THREADS) {
        if (counters[k] > 0) atomicAdd(&counts[k], counters[k]);
    }
    if (!cuda_ends_last(ended)) return;
    scan_counts(counts, begins, clusters);
    if (threadIdx.x == 0) *ended = 0;
}

/* EACH rows per thread. */
template <int EACH>
__global__ void __launch_bounds__(PLACE_THREADS)
    place_rows(const uint32_t *labels, int rows, int clusters, uint32_t *begins,
               uint32_t *sorted_labels, uint32_t *order)
{
    extern __shared__ uint32_t counters[]; /* [clusters], then where the block's rows go */
    uint32_t label[EACH], rank[EACH];
    int64_t first = (int64_t)blockIdx.x * (PLACE_THREADS * EACH) + threadIdx.x;
    cuda_await();
    clear_counters(counters, clusters);
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        int64_t row = first + i * PLACE_THREADS;
        label[i] = row < rows ? labels[row] : 0;
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        if (first + i * PLACE_THREADS < rows) rank[i] = atomicAdd(&counters[label[i]], 1);
    }
    __syncthreads();
    for (int k = (int)threadIdx.x; k < clusters; k += RESERVED * PLACE_THREADS) {
        uint32_t place[RESERVED];
#pragma unroll
        for (int i = 0; i < RESERVED; i++) {
            int cluster = k + i * PLACE_THREADS;
            uint32_t count = cluster < clusters ? counters[cluster] : 0;
            if (count > 0) place[i] = atomicAdd(&begins[cluster], count);
        }
#pragma unroll
        for (int i = 0; i < RESERVED; i++) {
            int cluster = k + i * PLACE_THREADS;
            if (cluster < clusters && counters[cluster] > 0) counters[cluster] = place[i];
        }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        int64_t row = first + i * PLACE_THREADS;
        if (row >= rows) break;
        uint32_t at = counters[label[i]] + rank[i];
        sorted_labels[at] = label[i];
        order[at] = (uint32_t)row;
    }
}

/* The same for many rows and up to ORDERED clusters. */
__global__ void __launch_bounds__(PLACE_THREADS)
    order_rows(const uint32_t *labels, int rows, uint32_t *begins, uint32_t *sorted_labels,
               uint32_t *order)
{
    __shared__ block_space<uint32_t, PLACE_THREADS> space;
    __shared__ uint32_t counters[ORDERED]; /* then where a cluster begins in the block's order */
    __shared__ uint32_t beyond[ORDERED];   /* from there to its place in the order of all */
    __shared__ uint32_t ordered[ORDERED_ROWS]; /* label and number in the block */
    uint32_t label[EACH_ORDERED], rank[EACH_ORDERED];
    const int t = (int)threadIdx.x;
    const int64_t first = (int64_t)blockIdx.x * ORDERED_ROWS;
    const int64_t left = rows - first;
    const int here = left < ORDERED_ROWS ? (int)left : ORDERED_ROWS;
    cuda_await();
    clear_counters(counters, ORDERED);
#pragma unroll
    for (int i = 0; i < EACH_ORDERED; i++) {
        int row = t + i * PLACE_THREADS;
        label[i] = row < here ? labels[first + row] : 0;
    }
#pragma unroll
    for (int i = 0; i < EACH_ORDERED; i++) {
        if (t + i * PLACE_THREADS < here) rank[i] = atomicAdd(&counters[label[i]], 1);
    }
    __syncthreads();
    const uint32_t count[2] = {counters[2 * t], counters[2 * t + 1]};
    uint32_t place[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (count[i] > 0) place[i] = atomicAdd(&begins[2 * t + i], count[i]);
    }
    uint32_t local = scan_block(space, count[0] + count[1]);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        counters[2 * t + i] = local;
        beyond[2 * t + i] = place[i] - local;
        local += count[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < EACH_ORDERED; i++) {
        int row = t + i * PLACE_THREADS;
        if (row < here)
            ordered[counters[label[i]] + rank[i]] = label[i] * ORDERED_ROWS + (uint32_t)row;
    }
    __syncthreads();
    for (int i = t; i < here; i += PLACE_THREADS) {
        uint32_t cluster = ordered[i] / ORDERED_ROWS, row = ordered[i] % ORDERED_ROWS;
        uint32_t at = beyond[cluster] + (uint32_t)i;
        sorted_labels[at] = cluster;
        order[at] = (uint32_t)first + row;
    }
}

__global__ void count_up(int32_t *numbers, int64_t count)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) numbers[i] = (int32_t)i;
}

/* --- host side --- */

bool is_counted(int64_t clusters, int64_t rows)
{
    return clusters <= ORDERED || (clusters <= COUNTED && rows <= FEW_ROWS);
}

int label_bits(int64_t k)
{
    int bits = 0;
    while (((int64_t)1 << bits) < k) bits++;
    return bits;
}

/* Where there is no GPU to ask for: CUB takes a second copy of labels and numbers if it goes over them more than once (8 bits at a time),
 * and up to 512 bytes per 1024 rows of counters. */
int64_t radix_bytes(int64_t rows, int64_t clusters)
{
    const int64_t bytes = lloyd_cuda_radix_sort_bytes(rows, label_bits(clusters));
    return bytes >= 0 ? bytes : 2 * rows * (int64_t)sizeof(uint32_t) + rows / 2 + (1 << 20);
}

void list_sorter(cuda_buffers &buffer, cuda_sorter *s, int64_t clusters)
{
    const char *what = "rows sorted by label";
    const int64_t rows = s->capacity;
    buffer(s->labels, rows, what);
    buffer(s->order, rows, what);
    buffer.optional(s->counted, s->begins, clusters, what);
    buffer.optional(s->counted, s->counts, clusters, what);
    buffer.optional(s->counted, s->ended, 1, what);
    buffer.optional(!s->counted, s->numbers, rows, what);
    buffer.optional(!s->counted, s->temporary, s->counted ? 0 : radix_bytes(rows, clusters), what);
}

/* What does not change from sort to sort. */
lloyd_status fill_sorter(cuda_kernels *cuda, const cuda_sorter *s)
{
    const char *what = "rows sorted by label";
    if (!s->counted) {
        count_up<<<(unsigned)cuda_divide_up(s->capacity, 256), 256, 0, cuda->stream>>>(s->numbers,
                                                                                       s->capacity);
        return lloyd_cuda_check(cudaGetLastError(), what);
    }
    CUDA_TRY(cudaMemsetAsync(s->counts, 0, (size_t)s->counts.count * sizeof(uint32_t),
                             cuda->stream),
             what);
    return lloyd_cuda_check(cudaMemsetAsync(s->ended, 0, sizeof(uint32_t), cuda->stream), what);
}

/* Enough blocks for the machine, and enough rows for each that its counters pay. */
int64_t counting_blocks(const cuda_kernels *cuda, int64_t rows)
{
    int64_t each = COUNT_THREADS, most = 2 * (int64_t)cuda->gpu.multiprocessors;
    if (cuda->base.config.k / 2 > each) each = cuda->base.config.k / 2;
    return std::min(cuda_divide_up(rows, each), most);
}

template <int EACH>
lloyd_status launch_placing(const cuda_kernels *cuda, const uint32_t *labels, int64_t rows)
{
    const cuda_sorter *sorter = cuda->sorter;
    int clusters = (int)cuda->base.config.k;
    return cuda_launch_after(cuda->stream, cuda->gpu.capability, place_rows<EACH>,
                             cuda_divide_up(rows, PLACE_THREADS * EACH), PLACE_THREADS,
                             (size_t)clusters * sizeof(uint32_t), "sorting rows by label", labels,
                             (int)rows, clusters, sorter->begins, sorter->labels, sorter->order);
}

lloyd_status sort_by_counting(const cuda_kernels *cuda, const uint32_t *labels, int64_t rows)
{
    const cuda_sorter *sorter = cuda->sorter;
    int clusters = (int)cuda->base.config.k;
    LLOYD_TRY(cuda_launch_after(cuda->stream, cuda->gpu.capability, count_labels,
                                counting_blocks(cuda, rows), COUNT_THREADS,
                                (size_t)clusters * sizeof(uint32_t), "counting labels", labels,
                                (int)rows, clusters, sorter->counts, sorter->begins,
                                sorter->ended));
    if (rows <= 2 * (int64_t)cuda->gpu.multiprocessors * PLACE_THREADS)
        return launch_placing<1>(cuda, labels, rows);
    if (rows <= FEW_ROWS) return launch_placing<4>(cuda, labels, rows);
    return cuda_launch_after(cuda->stream, cuda->gpu.capability, order_rows,
                             cuda_divide_up(rows, ORDERED_ROWS), PLACE_THREADS, 0,
                             "sorting rows by label", labels, (int)rows, sorter->begins,
                             sorter->labels, sorter->order);
}

cuda_sorter planned_sorter(const lloyd_kernels_config *config)
{
    cuda_sorter sorter = {};
    sorter.capacity = lloyd_cuda_sorted_rows(config);
    sorter.counted = is_counted(config->k, sorter.capacity);
    return sorter;
}

lloyd_status prepare_sorter(cuda_kernels *cuda)
{
    if (cuda->sorter) return LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(&cuda->sorter, 1, sizeof *cuda->sorter, "sorting state"));
    *cuda->sorter = planned_sorter(&cuda->base.config);
    if (cuda->overrides.other_sort) cuda->sorter->counted = false;
    cuda_buffers reserve = cuda_buffers::reserve(cuda);
    list_sorter(reserve, cuda->sorter, cuda->base.config.k);
    lloyd_status status = reserve.status();
    if (status == LLOYD_OK) status = fill_sorter(cuda, cuda->sorter);
    if (status != LLOYD_OK) lloyd_cuda_sorter_free(cuda);
    return status;
}

} // namespace

/* --- the interface --- */

int64_t lloyd_cuda_sorted_rows(const lloyd_kernels_config *config)
{
    int64_t rows = config->chunk_rows < config->n_local ? config->chunk_rows : config->n_local;
    if (rows < 1) rows = 1;
    if (rows > SORTED_ROWS) return SORTED_ROWS;
    return rows;
}

lloyd_status lloyd_cuda_sort(cuda_kernels *cuda, const int32_t *labels, int64_t count,
                             cuda_sorted *sorted)
{
    LLOYD_TRY(prepare_sorter(cuda));
    cuda_sorter *sorter = cuda->sorter;
    *sorted = {sorter->labels, sorter->order};
    if (sorter->counted)
        return sort_by_counting(cuda, reinterpret_cast<const uint32_t *>(labels), count);
    const cuda_radix_pairs<uint32_t> pairs = {reinterpret_cast<const uint32_t *>(labels),
                                              sorter->labels, sorter->numbers,
                                              reinterpret_cast<int32_t *>(sorter->order.data)};
    return lloyd_cuda_radix_sort(pairs, count, label_bits(cuda->base.config.k), sorter->temporary,
                                 cuda->stream, "sorting rows by label");
}

void lloyd_cuda_sorter_free(cuda_kernels *cuda)
{
    if (!cuda->sorter) return;
    cuda_buffers release = cuda_buffers::release(cuda);
    list_sorter(release, cuda->sorter, cuda->base.config.k);
    lloyd_free(cuda->sorter);
    cuda->sorter = nullptr;
}

int64_t lloyd_cuda_sorter_bytes(const lloyd_kernels_config *config)
{
    if (lloyd_cuda_plans_to_share(config, lloyd_cuda_planned_gpu().shared_bytes)) return 0;
    cuda_sorter sorter = planned_sorter(config);
    cuda_buffers count = cuda_buffers::count();
    list_sorter(count, &sorter, config->k);
    return count.bytes();
}
