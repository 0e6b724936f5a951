/* Labels decided by dist(), docs/numerics.md, section 2.4: of rows without a certificate, or of all rows where there are few centroids. */
#include "kernels/cuda/assign/exact.h"

#include "kernels/cuda/assign/fallback.cuh"
#include "kernels/cuda/assign/filter.h"
#include "kernels/cuda/assign/nearest.cuh"

#include <algorithm>

namespace
{

enum { THREADS = 256, WARPS = THREADS / 32 };
/* Blocks of decide() and decide_all() on a multiprocessor, and how far these load ahead: latencies
 * limit both, the first with long rows in few registers, the second with few rows. */
enum { DECIDING = 2, DECIDING_AHEAD = 4, DECIDING_ALL = 4, DECIDING_ALL_AHEAD = 2 };

/* The label of a row: cuda_nearest.result(), of its group. */
__device__ inline void take_label(const cuda_decision &d, int64_t row, int32_t label,
                                  unsigned *moved)
{
    const int g = d.groups.of(row);
    if (label == 0) label = (int32_t)d.groups.centroids(g, d.set).begin;
    if (d.labels[row] == label) return;
    d.labels[row] = label;
    if (d.groups.group)
        atomicAdd(&d.groups.moved[g], 1ull);
    else
        (*moved)++;
}

/* A few centroids, all of them compared. A warp per row. */
template <lloyd_type T> __global__ void label_few(cuda_decision d)
{
    int lane = threadIdx.x % 32;
    unsigned moved = 0;
    for (int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; i < d.rows.count;
         i += (int64_t)gridDim.x * WARPS) {
        const int g = d.groups.of(i);
        const cuda_range range = d.groups.centroids(g, d.set);
        double least = INFINITY;
        int32_t label = (int32_t)range.begin;
        for (int64_t k = range.begin; k < range.end; k++) {
            double distance = cuda_warp_dist<T>(d.rows, i, d.centroids + k * d.rows.dim, lane);
            if (distance < least) {
                least = distance;
                label = (int32_t)k;
            }
        }
        if (lane == 0) take_label(d, i, label, &moved);
    }
    if (lane == 0 && moved > 0) atomicAdd(&d.counters[0], (unsigned long long)moved);
}

/* Listed and complete rows: the nearest of the candidates. A warp takes GROUPS rows at a time, and an
 * 8-lane group each of them, or all groups one after the other where that takes fewer passes: where there
 * are few rows, or rows with many candidates. */
template <lloyd_type T, bool VECTOR>
__global__ void __launch_bounds__(THREADS, DECIDING) decide(cuda_decision d)
{
    enum { GROUPS = 32 / CUDA_GROUP_LANES };
    cuda_await();
    const int lane = threadIdx.x % 32, group = lane / CUDA_GROUP_LANES;
    const bool leads = lane % CUDA_GROUP_LANES == 0;
    const int warps = gridDim.x * WARPS;
    const int listed = d.lists.counters[FLASH_LISTED], listed_room = flash_room(d.lists);
    const int rows = listed + d.lists.counters[FLASH_COMPLETE];
    unsigned moved = 0;
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        atomicAdd(&d.counters[1], (unsigned long long)rows + d.lists.counters[FLASH_IRREGULAR]);
    }
    for (int first = blockIdx.x * WARPS + threadIdx.x / 32; first < rows; first += GROUPS * warps) {
        const int i = first + group * warps;
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
                              (unsigned)(count + CUDA_GROUP_ROWS - 1) / CUDA_GROUP_ROWS);
        const unsigned together =
            __reduce_add_sync(0xffffffffu,
                              leads ? (unsigned)(count + CUDA_WARP_ROWS - 1) / CUDA_WARP_ROWS : 0);
        const bool share = together < apart;
        int32_t label = 0;
        for (int one = 0; one < (share ? GROUPS : 1); one++) {
            const int from = CUDA_GROUP_LANES * (share ? one : group);
            if (share && __shfl_sync(0xffffffffu, count, from) == 0) continue;
            cuda_nearest found =
                cuda_compare<T, VECTOR, DECIDING_AHEAD>(d.rows, d.centroids,
                                                        {__shfl_sync(0xffffffffu, row, from),
                                                         d.lists.candidate +
                                                             __shfl_sync(0xffffffffu, list, from),
                                                         share ? group * CUDA_GROUP_ROWS : 0,
                                                         __shfl_sync(0xffffffffu, count, from),
                                                         share ? CUDA_WARP_ROWS : CUDA_GROUP_ROWS,
                                                         nullptr});
            found.join(1);
            for (int bit = CUDA_GROUP_LANES; share && bit < 32; bit *= 2) found.join(bit);
            if (!share || one == group) label = found.result();
        }
        if (leads && count > 0) take_label(d, row, label, &moved);
    }
    moved = __reduce_add_sync(0xffffffffu, moved);
    if (lane == 0 && moved > 0) atomicAdd(&d.counters[0], (unsigned long long)moved);
}

/* Irregular and crowded rows: the nearest of all centroids. A block per row. The last kernel of a block
 * of rows, which sets the other counters to zero. */
template <lloyd_type T, bool VECTOR>
__global__ void __launch_bounds__(THREADS, DECIDING_ALL) decide_all(cuda_decision d)
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
        const int g = d.groups.of(i);
        const cuda_range range = d.groups.centroids(g, d.set);
        cuda_nearest found =
            cuda_compare<T, VECTOR, DECIDING_ALL_AHEAD>(d.rows, d.centroids,
                                                        {i, nullptr,
                                                         range.begin +
                                                             (threadIdx.x / CUDA_GROUP_LANES) *
                                                                 CUDA_GROUP_ROWS,
                                                         range.end, WARPS * CUDA_WARP_ROWS,
                                                         nullptr});
        for (int bit = 1; bit < 32; bit *= 2) found.join(bit);
        if (threadIdx.x % 32 == 0) {
            least_of[warp] = found.least;
            label_of[warp] = found.label;
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            for (int w = 1; w < WARPS; w++) found.add(least_of[w], label_of[w]);
            const int32_t label = found.least < INFINITY ? found.label : (int32_t)range.begin;
            if (d.labels[i] != label) {
                d.labels[i] = label;
                atomicAdd(d.groups.group ? &d.groups.moved[g] : &d.counters[0], 1ull);
            }
        }
        __syncthreads();
    }
}

} // namespace

lloyd_status lloyd_cuda_label_few(cuda_kernels *cuda, const cuda_decision &d)
{
    cuda_for_type(d.rows.type, [&](auto type) {
        label_few<type.value>
            <<<lloyd_cuda_persistent_blocks(cuda, d.rows.count, WARPS), THREADS, 0, cuda->stream>>>(
                d);
    });
    CUDA_LAUNCHED("assigning rows");
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_decide(cuda_kernels *cuda, const cuda_decision &d, int count)
{
    const bool fours = cuda_reads_fours(d.rows, d.centroids);
    const int blocks =
        (int)std::min<int64_t>(cuda_divide_up(count, WARPS), DECIDING * cuda->gpu.multiprocessors);
    const int blocks_for_all = std::min(count, DECIDING_ALL * cuda->gpu.multiprocessors);
    const char *what = "deciding rows by distance";
    lloyd_status status = LLOYD_OK;
    cuda_for_type(d.rows.type, [&](auto type) {
        constexpr lloyd_type T = decltype(type)::value;
        auto some = fours ? decide<T, true> : decide<T, false>;
        auto all = fours ? decide_all<T, true> : decide_all<T, false>;
        if (!d.direct)
            status = cuda_launch_after(cuda->stream, cuda->gpu.capability, some, blocks, THREADS, 0,
                                       what, d);
        if (status != LLOYD_OK) return;
        status = cuda_launch_after(cuda->stream, cuda->gpu.capability, all, blocks_for_all, THREADS,
                                   0, what, d);
    });
    return status;
}
