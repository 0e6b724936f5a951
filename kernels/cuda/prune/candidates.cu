/* See candidates.h: hits are counted, then rows get room for theirs, then hits are dealt out. */
#include "kernels/cuda/prune/candidates.h"

#include "kernels/cuda/launch.cuh"

namespace
{

enum { THREADS = 256, BLOCKS = 8 /* of a multiprocessor */ };

__device__ inline unsigned hits_noted(const prune_params &p)
{
    return (unsigned)min(p.next[1], (unsigned long long)p.most_hits);
}

__global__ void __launch_bounds__(THREADS) count_hits(const __grid_constant__ prune_params p)
{
    cuda_await();
    const unsigned count = hits_noted(p);
    for (unsigned at = blockIdx.x * THREADS + threadIdx.x; at < count; at += gridDim.x * THREADS)
        atomicAdd(&p.hits[p.hit[at].row], 1);
}

/* What a warp has counted. */
struct counts {
    unsigned listed, open, candidates;

    __device__ void add(const prune_params &p) const
    {
        const unsigned rows = __reduce_add_sync(0xffffffffu, listed);
        const unsigned left = __reduce_add_sync(0xffffffffu, open);
        const unsigned all = __reduce_add_sync(0xffffffffu, candidates);
        if (threadIdx.x % 32 > 0 || rows == 0) return;
        atomicAdd(&p.f.counters[LLOYD_COUNT_FALLBACK], (unsigned long long)(rows - left));
        atomicAdd(&p.f.counters[LLOYD_COUNT_INT8_FALLBACK], (unsigned long long)(rows - left));
        atomicAdd(&p.f.counters[LLOYD_COUNT_CANDIDATES], (unsigned long long)all);
        if (left > 0) atomicAdd(p.f.open, (int)left);
    }
};

/* Lists the rows that have hits, and turns the number of them into the place of the next one, -1: it is left open. Warps of rows are dealt
 * out to the segments, since neighbours may have many candidates. */
__global__ void __launch_bounds__(THREADS) list_rows(const __grid_constant__ prune_params p)
{
    cuda_await();
    const int lane = threadIdx.x % 32;
    const int most = p.f.lists.segment_rows * FLASH_CANDIDATES; /* candidates of a segment */
    counts own = {0, 0, 0};
    for (int first = (blockIdx.x * THREADS + threadIdx.x) / 32 * 32; first < p.f.count;
         first += gridDim.x * THREADS) {
        const int i = first + lane;
        const int hits = i < p.f.count ? p.hits[i] : 0;
        const unsigned votes = __ballot_sync(0xffffffffu, hits > 0);
        if (!votes) continue;
        const int segment = first / 32 % p.segments;
        const int64_t base = (int64_t)segment * p.f.lists.segment_rows;
        bool open = hits >= PRUNE_TOO_MANY;
        const int room = hits == 0 || open ? 0 : hits + 1;
        int through = room;
        for (int distance = 1; distance < 32; distance *= 2) {
            const int other = __shfl_up_sync(0xffffffffu, through, distance);
            if (lane >= distance) through += other;
        }
        int place = 0, start = 0;
        if (lane == 31) {
            place = atomicAdd(&p.f.lists.rows_of[segment], __popc(votes));
            start = atomicAdd(&p.taken[segment], through);
        }
        place = __shfl_sync(0xffffffffu, place, 31) + __popc(votes & ((1u << lane) - 1));
        start = __shfl_sync(0xffffffffu, start, 31) + through - room;
        if (hits == 0) continue;
        open = open || start + room > most;
        p.f.lists.row[base + place] = (int32_t)(p.f.begin + i);
        p.f.lists.start[base + place] = open ? 0 : start;
        p.f.lists.found[base + place] = open ? 0 : room;
        int32_t next = -1;
        if (!open) {
            p.f.lists.candidate[base * FLASH_CANDIDATES + start] = p.row[i].own;
            next = start + 1;
        }
        p.hits[i] = next;
        /* its candidates lower no bounds */
        for (int group = 0; p.hits_follow && open && group < p.groups; group++)
            *prune_bounds_of(p, p.first + i, group) = 0;
        own.listed++;
        own.open += open;
        own.candidates += room;
    }
    own.add(p);
    if (blockIdx.x == 0 && threadIdx.x == 0)
        atomicAdd(&p.f.counters[LLOYD_COUNT_PRUNED], (unsigned long long)p.f.count);
}

__global__ void __launch_bounds__(THREADS) deal_hits(const __grid_constant__ prune_params p)
{
    cuda_await();
    const unsigned count = hits_noted(p);
    for (unsigned at = blockIdx.x * THREADS + threadIdx.x; at < count; at += gridDim.x * THREADS) {
        const prune_hit hit = p.hit[at];
        if (p.hits[hit.row] < 0) continue; /* it does not change any more */
        const int64_t segment = hit.row / 32 % p.segments;
        const int to = atomicAdd(&p.hits[hit.row], 1);
        p.f.lists.candidate[segment * p.f.lists.segment_rows * FLASH_CANDIDATES + to] = hit.place;
    }
}

} // namespace

lloyd_status lloyd_cuda_prune_list_rows(const cuda_gpu &gpu, const prune_params &p,
                                        cudaStream_t stream)
{
    const char *what = "listing rows with several candidates";
    const int blocks = BLOCKS * gpu.multiprocessors;
    const size_t bytes = (size_t)p.segments * sizeof(int);
    CUDA_TRY(cudaMemsetAsync(p.f.lists.rows_of, 0, bytes, stream), what);
    CUDA_TRY(cudaMemsetAsync(p.taken, 0, bytes, stream), what);
    for (auto kernel : {count_hits, list_rows, deal_hits})
        LLOYD_TRY(cuda_launch_after(stream, gpu.capability, kernel, blocks, THREADS, 0, what, p));
    return LLOYD_OK;
}
