/* See needed.h; docs/numerics.md, section 2.8, "Rows that are left out".
 *
 * The upper bound of a row's distance to its centroid grows by as much as that has moved. While the bounds of all groups are above it, the
 * row keeps its label, and neither filter nor sums look at its elements. So a kernel finds the others before a chunk is copied, and one more
 * reads them straight from host memory. How many there are, the host does not ask.
 */
#include "kernels/cuda/prune/needed.h"

#include "kernels/cuda/assign/filter.h"
#include "kernels/cuda/int8/prepare.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/prune/prune.cuh"

#include <algorithm>

namespace
{

enum { THREADS = 256, WARPS = THREADS / 32, BLOCKS = 4 /* of a multiprocessor */, AHEAD = 4 };

/* Of the rows that are compared, so few pairs were compared in the last pass. */
constexpr double MOST_SHARE = 0.5;

/* Rows [first, first + count), local. */
struct find_params {
    int64_t first, count;
    int tile_rows, groups;
    const uint16_t *bounds;
    const int32_t *whole_drift, *labels, *bounded, *summed;
    const float *far;
    const double *path;
    uint8_t *needed;
    unsigned long long *left_out;
};

/* The reach of a row whose own distance is not known anew; more than PRUNE_FARTHEST: it is needed. */
__device__ inline uint32_t reach_of(const find_params &p, int64_t row)
{
    const int32_t k = p.labels[row];
    if (k < 0 || p.bounded[row] != k || p.summed[row] != k) return PRUNE_MOST;
    return lloyd_group_whole(lloyd_group_reach_of_far(p.far[row], p.path[k]));
}

/* A thread takes eight rows. */
__global__ void __launch_bounds__(THREADS) find_needed(const __grid_constant__ find_params p)
{
    const int64_t eight = p.first / 8 + (int64_t)blockIdx.x * THREADS + threadIdx.x;
    const int64_t first = 8 * eight, end = p.first + p.count;
    int left_out = 0;
    if (first < end) {
        uint32_t reach[4] = {0, 0, 0, 0}, fails[4] = {0, 0, 0, 0};
        unsigned needed = 0, real = 0;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (first + i < p.first || first + i >= end) continue;
            real |= 1u << i;
            const uint32_t own = reach_of(p, first + i);
            if (own > PRUNE_FARTHEST)
                needed |= 1u << i;
            else
                reach[i / 2] |= own << (i % 2 * 16);
        }
        const uint16_t *bounds =
            p.bounds + (first / p.tile_rows * p.groups) * p.tile_rows + first % p.tile_rows;
        for (int g = 0; g < p.groups; g++) {
            const uint4 x = *(const uint4 *)(bounds + (int64_t)g * p.tile_rows);
            const uint32_t bound[4] = {x.x, x.y, x.z, x.w}, drift = prune_twice(p.whole_drift[g]);
#pragma unroll
            for (int i = 0; i < 4; i++) fails[i] |= __vmaxu2(bound[i], reach[i] + drift) ^ bound[i];
        }
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (fails[i / 2] & (i % 2 ? 0xffff0000u : 0xffffu)) needed |= 1u << i;
        needed &= real;
        p.needed[eight - p.first / 8] = (uint8_t)needed;
        left_out = __popc(real) - __popc(needed);
    }
    left_out = __reduce_add_sync(0xffffffffu, left_out);
    if (threadIdx.x % 32 == 0 && left_out > 0) atomicAdd(p.left_out, (unsigned long long)left_out);
}

/* Copies rows of `units` units each, a warp the needed ones among 32 of them. `shift`: the first row's place in its byte of bits. */
template <class Unit>
__global__ void __launch_bounds__(THREADS) bring(const Unit *from, Unit *to, int64_t units,
                                                 int64_t count, const uint8_t *needed, int shift)
{
    __shared__ uint8_t place_of[WARPS][32];
    uint8_t *const place = place_of[threadIdx.x / 32];
    const int lane = threadIdx.x % 32;
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x - lane; first < count;
         first += step) {
        const int64_t bit = first + lane + shift;
        const bool own = first + lane < count && needed[bit / 8] >> (bit % 8) & 1;
        const unsigned votes = __ballot_sync(0xffffffffu, own);
        if (own) place[__popc(votes & ((1u << lane) - 1))] = (uint8_t)lane;
        __syncwarp();
        const int64_t all = __popc(votes) * units;
        for (int64_t at = lane; at < all; at += 32 * AHEAD) {
            Unit x[AHEAD];
            int64_t unit[AHEAD];
#pragma unroll
            for (int i = 0; i < AHEAD; i++) {
                const int64_t here = min(at + 32 * i, all - 1);
                unit[i] = (first + place[here / units]) * units + here % units;
                x[i] = from[unit[i]];
            }
#pragma unroll
            for (int i = 0; i < AHEAD; i++)
                if (at + 32 * i < all) to[unit[i]] = x[i];
        }
        __syncwarp();
    }
}

template <class Unit>
lloyd_status launch_bring(cuda_kernels *cuda, const cuda_slot *slot, const char *from,
                          int64_t bytes, const uint8_t *needed)
{
    const int64_t blocks = std::min<int64_t>(cuda_divide_up(slot->count, THREADS),
                                             BLOCKS * (int64_t)cuda->gpu.multiprocessors);
    bring<Unit><<<(unsigned)blocks, THREADS, 0, cuda->copies>>>((const Unit *)from,
                                                                (Unit *)slot->rows.data,
                                                                bytes / (int64_t)sizeof(Unit),
                                                                slot->count, needed,
                                                                (int)(slot->first % 8));
    CUDA_LAUNCHED("copying rows to the GPU");
    return LLOYD_OK;
}

/* In the largest units that rows consist of. */
lloyd_status bring_rows(cuda_kernels *cuda, const cuda_slot *slot, const char *from,
                        const uint8_t *needed)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    const int64_t bytes = config->dim * (int64_t)lloyd_type_size(config->type);
    const int64_t all = bytes | (int64_t)(uintptr_t)from;
    if (all % 16 == 0) return launch_bring<uint4>(cuda, slot, from, bytes, needed);
    if (all % 4 == 0) return launch_bring<uint32_t>(cuda, slot, from, bytes, needed);
    return launch_bring<uint8_t>(cuda, slot, from, bytes, needed);
}

int64_t needed_bytes(const lloyd_kernels_config *config)
{
    return config->chunk_rows / 8 + 2;
}

/* Whether chunks come through slots that are not their own. Where there happen to be as many slots as chunks, that is not seen, and all
 * rows are copied. */
bool chunks_pass(const lloyd_kernels_config *config)
{
    if (config->slots == 0) return config->chunk_rows < config->n_local; /* a plan */
    return !lloyd_cuda_int8_by_row(config);
}

/* Whether this iteration prunes, its first chunk has decided that, and its sums need nothing but the rows that move. */
bool may_leave_out(const cuda_kernels *cuda)
{
    const cuda_prune *s = cuda->filter ? &cuda->filter->prune : nullptr;
    return s && s->needed.count > 0 && s->choice.made && s->choice.on && s->choice.bounded &&
           s->choice.share <= MOST_SHARE && s->prepared == cuda->centroids && cuda->sums_continued;
}

} // namespace

void lloyd_cuda_needed_list(cuda_buffers &buffer, cuda_prune *s, const lloyd_kernels_config *config,
                            int64_t set, bool serves)
{
    const bool wanted = serves && chunks_pass(config);
    const char *known = "what pruning knows of rows";
    /* a plan does not know how many chunks will have one of their own */
    const int64_t slots =
        config->slots > 0
            ? config->slots
            : cuda_divide_up(config->n_local, std::max<int64_t>(1, config->chunk_rows)) + 4;
    buffer.optional(wanted, s->path, set, "groups of centroids");
    buffer.optional(wanted, s->far, config->n_local, known);
    buffer.optional(wanted, s->needed, slots * needed_bytes(config), known);
}

lloyd_status lloyd_cuda_bring_needed(cuda_kernels *cuda, int slot_number, const void *rows,
                                     bool *done)
{
    cuda_slot *slot = &cuda->slots[slot_number];
    void *from = nullptr;
    *done = false;
    if (slot->count == 0 || slot->count > slot->filled || !may_leave_out(cuda)) return LLOYD_OK;
    if (cudaHostGetDevicePointer(&from, const_cast<void *>(rows), 0) != cudaSuccess) {
        (void)cudaGetLastError(); /* the GPU cannot read it */
        return LLOYD_OK;
    }
    cuda_prune *s = &cuda->filter->prune;
    find_params p = {};
    p.first = slot->first, p.count = slot->count;
    p.tile_rows = s->tile_rows, p.groups = s->groups;
    p.bounds = s->bounds;
    p.whole_drift = s->whole_drift;
    p.labels = cuda->labels;
    p.bounded = s->bounded;
    p.summed = cuda->summed;
    p.far = s->far;
    p.path = s->path;
    p.needed = s->needed + slot_number * needed_bytes(&cuda->base.config);
    p.left_out = reinterpret_cast<unsigned long long *>(cuda->sums + cuda->layout.counters_at) +
                 LLOYD_COUNT_LEFT_OUT;
    const int64_t eights = (p.first + p.count - 1) / 8 - p.first / 8 + 1;
    find_needed<<<(unsigned)cuda_divide_up(eights, THREADS), THREADS, 0, cuda->copies>>>(p);
    CUDA_LAUNCHED("finding the rows that may get other labels");
    LLOYD_TRY(bring_rows(cuda, slot, static_cast<const char *>(from), p.needed));
    slot->partial = *done = true;
    return LLOYD_OK;
}

const uint8_t *lloyd_cuda_needed_bits(const cuda_kernels *cuda, int slot)
{
    return cuda->slots[slot].partial
               ? cuda->filter->prune.needed + slot * needed_bytes(&cuda->base.config)
               : nullptr;
}
