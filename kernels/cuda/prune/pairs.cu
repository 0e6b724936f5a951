/* Compares rows with the groups of centroids that their bounds do not rule out. docs/numerics.md, section 2.8; the design of the kernel is
 * our own.
 *
 * Each warp works by itself. It takes one group of centroids for some thousand neighbouring rows at a time: it reads their bounds of the
 * group, lists the rows that fail, copies a tile of the group's centroids into its own part of shared memory, and multiplies it with the listed
 * rows, 32 at a time (tile.cuh), which are gathered straight into registers, a step ahead. Rows and
 * centroids come from the L2 cache. What a group leaves of a row is its best score, which becomes the new bound, and the places of the
 * centroids that reach the row's threshold, of which there are few.
 */
#include "kernels/cuda/prune/pairs.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/prune/tile.cuh"

namespace
{

using namespace prune_tile;

/* What a warp looks at: bounds of a group, of neighbouring rows. */
struct place {
    int64_t
        begin; /* the first of these rows, of the launch; negative where the launch begins within them */
    uint16_t *bounds; /* of these rows */
    const uint16_t *reach;
    bool whole;       /* all of these rows are of the launch */
    int group, first; /* and the place of the first centroid of a tile of the group */
    bool further;     /* not the first tile of the group */
    double drift;
};

/* Eight bounds, and what they must reach: rows from 8 `lane` on. */
struct scan {
    uint4 bound, reach;
};

__device__ inline scan read_bounds(const place &here, int from)
{
    const int at = from + 8 * (threadIdx.x % 32);
    return {*(const uint4 *)(here.bounds + at), *(const uint4 *)(here.reach + at)};
}

/* Halves that are not zero, for those of the eight rows that fail. `drift`: in both halves, and 1 more. */
struct failing_rows {
    uint32_t pair[4];
};

__device__ inline failing_rows failing_of(const prune_params &p, const place &here, const scan &x,
                                          int from, uint32_t drift)
{
    const uint32_t bound[4] = {x.bound.x, x.bound.y, x.bound.z, x.bound.w};
    const uint32_t reach[4] = {x.reach.x, x.reach.y, x.reach.z, x.reach.w};
    failing_rows f;
#pragma unroll
    for (int i = 0; i < 4; i++) /* a half that is not the bound itself is greater */
        f.pair[i] = __vmaxu2(bound[i], reach[i] + drift) ^ bound[i];
    if (here.whole) return f;
    const int64_t at = here.begin + from + 8 * (threadIdx.x % 32);
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (at + i < 0 || at + i >= p.f.count) f.pair[i / 2] &= i % 2 ? 0xffffu : 0xffff0000u;
    return f;
}

__device__ inline bool row_fails(const failing_rows &f, int i)
{
    return f.pair[i / 2] & (i % 2 ? 0xffff0000u : 0xffffu);
}

/* Adds the failing rows of a scan from row `from` on to the list of `count` rows. Its new length. By a warp. */
__device__ inline int add_failing(const memory &m, const failing_rows &f, int from, int count)
{
    const int lane = threadIdx.x % 32;
    const unsigned below = (1u << lane) - 1;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const unsigned votes = __ballot_sync(0xffffffffu, row_fails(f, i));
        if (row_fails(f, i))
            m.list[count + __popc(votes & below)] = (uint16_t)(from + 8 * lane + i);
        count += __popc(votes);
    }
    return count;
}

/* One bit for each score of a slot of a lane: 1 where it reaches the threshold. */
template <class S>
__device__ inline uint32_t hits_of_slot(const scores<S> &s, int slot, int32_t threshold)
{
    uint32_t hits = 0;
#pragma unroll
    for (int c = 0; c < S::OWN; c++)
        if (s.of(slot, c) >= threshold) hits |= 1u << c;
    return hits;
}

/* The greatest of these scores; the greatest that does not reach the threshold. */
template <class S> __device__ inline int32_t most_of_slot(const scores<S> &s, int slot)
{
    int32_t most = s.of(slot, 0);
#pragma unroll
    for (int c = 1; c < S::OWN; c += 2)
        most = c + 1 < S::OWN ? __vimax3_s32(s.of(slot, c), s.of(slot, c + 1), most)
                              : max(s.of(slot, c), most);
    return most;
}

template <class S>
__device__ inline int32_t most_below(const scores<S> &s, int slot, int32_t threshold)
{
    int32_t most = INT32_MIN;
#pragma unroll
    for (int c = 0; c < S::OWN; c++)
        most = max(most, s.of(slot, c) < threshold ? s.of(slot, c) : INT32_MIN);
    return most;
}

/* The centroids that rows have do not count. `own`: place in the tile of that of the row that a lane finishes. */
template <class S> __device__ inline void leave_out_own(scores<S> &s, int own)
{
    const unsigned votes = __ballot_sync(0xffffffffu, (unsigned)own < S::TILE);
    if (!votes) return;
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++) {
        if (!has_slot(votes, slot)) continue;
        const int of_row = of_slot(own, slot);
        const bool mine = (unsigned)of_row < S::TILE && of_row % 8 == (int)threadIdx.x % 32 / 4;
        const int which = mine ? of_row / 8 : -1;
#pragma unroll
        for (int c = 0; c < S::OWN; c++)
            if (which == c) s.of(slot, c) = EXCLUDED;
    }
}

/* Hands over the `count` hits that a warp has noted, 0 from then on. */
__device__ inline void write_notes(const prune_params &p, const memory &m, int &count)
{
    const int lane = threadIdx.x % 32;
    if (count == 0) return;
    unsigned long long at = 0;
    if (lane == 0) at = atomicAdd(&p.next[1], (unsigned long long)count);
    at = __shfl_sync(0xffffffffu, at, 0);
    __syncwarp();
    for (int i = lane; i < count; i += 32) {
        if (at + i < p.most_hits)
            p.hit[at + i] = m.note[i];
        else
            atomicMax(&p.hits[m.note[i].row], PRUNE_TOO_MANY);
    }
    __syncwarp();
    count = 0;
}

/* Notes the centroids that reach the thresholds of rows; a bit of `votes`: some do, of the row that this lane finishes. `rows`: their list.
 * most[]: of the scores of each slot, if hits follow without them from then on. */
template <class S>
__device__ inline void note_hits(const prune_params &p, const memory &m, const place &here,
                                 const scores<S> &s, const uint16_t *rows, int32_t threshold,
                                 unsigned votes, int32_t most[SLOTS], int &noted)
{
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    uint64_t hits = 0; /* OWN bits of each slot */
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++) {
        if (!has_slot(votes, slot)) continue;
        const int32_t of_row = of_slot(threshold, slot);
        if (!(votes >> (4 * slot + t) & 1)) continue;
        hits |= (uint64_t)hits_of_slot(s, slot, of_row) << S::OWN * slot;
        if (p.hits_follow) most[slot] = most_below(s, slot, of_row);
    }
    __syncwarp();
    while (const unsigned lanes = __ballot_sync(0xffffffffu, hits != 0)) {
        if (noted + __popc(lanes) > NOTES) write_notes(p, m, noted);
        if (hits) {
            const int first = __ffsll((long long)hits) - 1, slot = first / S::OWN;
            const int c = first % S::OWN;
            const int row = rows[slot / 2 * 8 + 2 * t + slot % 2];
            m.note[noted + __popc(lanes & ((1u << lane) - 1))] = {(int32_t)(here.begin + row),
                                                                  here.first + 8 * c + g};
            hits &= hits - 1;
        }
        noted += __popc(lanes);
    }
}

/* What a lane knows of the row that it finishes. */
struct finished {
    int at; /* of the part; rows beyond the end of the list are repeated ones */
    bool exists;
    prune_row row;
};

/* The row of slot lane / 4: greatest_of_lanes() leaves the lane its score. */
__device__ inline finished read_row(const prune_params &p, const memory &m, const place &here,
                                    int from, int count)
{
    const int g = threadIdx.x % 32 / 4, at = from + g / 2 * 8 + 2 * (threadIdx.x % 4) + g % 2;
    finished f;
    f.exists = at < count;
    f.at = m.list[min(at, count - 1)];
    const uint4 x = *(const uint4 *)&p.row[here.begin + f.at];
    f.row = {__uint_as_float(x.x), __uint_as_float(x.y), (int32_t)x.z, (int32_t)x.w};
    return f;
}

/* The end of 32 rows: notes the centroids that reach a threshold, and writes the new bounds. `rows`: their list. */
template <class S>
__device__ inline void finish_rows(const prune_params &p, const memory &m, const place &here,
                                   double unit, scores<S> &s, const uint16_t *rows,
                                   const finished &own, int &noted)
{
    leave_out_own(s, own.row.own - here.first);
    int32_t most[SLOTS];
#pragma unroll
    for (int slot = 0; slot < SLOTS; slot++) most[slot] = most_of_slot(s, slot);
    int32_t best = greatest_of_lanes(most);
    const unsigned votes = __ballot_sync(0xffffffffu, own.exists && best >= own.row.threshold);
    if (votes) {
        note_hits(p, m, here, s, rows, own.row.threshold, votes, most, noted);
        if (p.hits_follow) best = greatest_of_lanes(most);
    }
    if (!own.exists) return;
    const float half = __double2float_rd((double)own.row.z - (double)best * unit);
    const uint16_t bound =
        lloyd_group_bound((double)lloyd_group_least(half, own.row.spread), p.per_unit, here.drift);
    uint16_t *to = here.bounds + own.at;
    *to = here.further ? min(bound, *to) : bound;
}

/* Compares the rows of the list with a tile of centroids. */
template <class S, bool UNSIGNED>
__device__ inline void compare(const prune_params &p, const memory &m, const place &here,
                               double unit, int count, int &noted)
{
    const int g = threadIdx.x % 32 / 4;
    const uint8_t *codes = p.f.codes + here.begin * p.f.stride;
    const uint32_t stride = (uint32_t)p.f.stride;
    uint32_t row[BLOCKS];
    pieces<S> rows;
    finished next;
    const auto load = [&](int from) {
#pragma unroll
        for (int b = 0; b < BLOCKS; b++) row[b] = m.list[min(from + 8 * b + g, count - 1)] * stride;
        load_pieces(p, codes, row, 0, rows);
        next = read_row(p, m, here, from, count);
    };
    load(0);
#pragma unroll 1
    for (int from = 0; from < count; from += ROWS) {
        scores<S> s;
        const finished own = next;
        multiply_row<S, UNSIGNED>(p, m, codes, row, rows, s);
        if (from + ROWS < count) load(from + ROWS); /* while the scores are looked at */
        finish_rows(p, m, here, unit, s, m.list + from, own, noted);
    }
}

/* Compares them with all tiles of a group; the first one is being copied, unless `further`. */
template <class S, bool UNSIGNED>
__device__ inline void compare_with_group(const prune_params &p, const memory &m, place here,
                                          double unit, int count, int &noted)
{
    for (int c = 0; c < p.tiles && here.first < p.f.set; c++) {
        if (c > 0 || here.further) copy_centroids<S>(p, m, here.first);
        here.further = c > 0;
        cuda_copy_wait_all();
        __syncwarp();
        compare<S, UNSIGNED>(p, m, here, unit, count, noted);
        __syncwarp();
        here.first += S::TILE;
    }
}

/* The bounds of group `unit` % groups of the rows of a part. */
__device__ inline place place_of(const prune_params &p, int64_t unit)
{
    place here = {};
    const int64_t part = unit / p.groups;
    here.group = (int)(unit % p.groups);
    here.begin = (p.part + part) * p.tile_rows - p.first;
    here.whole = here.begin >= 0 && here.begin + p.tile_rows <= p.f.count;
    here.bounds = p.bounds + ((p.part + part) * p.groups + here.group) * p.tile_rows;
    here.reach = p.reach + part * p.tile_rows;
    here.first = here.group * p.group_centroids;
    return here;
}

/* Pairs of a tile of rows and a group. */
__device__ inline int64_t units_of(const prune_params &p)
{
    return ((p.first + p.f.count - 1) / p.tile_rows + 1 - p.part) * p.groups;
}

/* Lists the rows that fail, from row `from` on, until the list is full or there are no more. How many, and where it has ended. The first
 * one starts the copy of the group's tile, unless it is `there`. */
template <class S>
__device__ inline int list_failing(const prune_params &p, const memory &m, const place &here,
                                   uint32_t drift, int &from, bool &there)
{
    constexpr int AHEAD = 4;
    const int last = p.tile_rows - PRUNE_SCAN;
    scan ahead[AHEAD];
    int count = 0;
#pragma unroll
    for (int i = 0; i < AHEAD; i++) ahead[i] = read_bounds(here, min(from + i * PRUNE_SCAN, last));
    bool ended = false;
    do {
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            if (ended) break;
            const scan now = ahead[i];
            ahead[i] = read_bounds(here, min(from + AHEAD * PRUNE_SCAN, last));
            count = add_failing(m, failing_of(p, here, now, from, drift), from, count);
            from += PRUNE_SCAN;
            ended = from > last || count > LIST - PRUNE_SCAN;
        }
        if (count > 0 && !there) {
            copy_centroids<S>(p, m, here.first);
            there = true;
        }
    } while (!ended);
    return count;
}

template <class S, bool UNSIGNED>
__global__ void __launch_bounds__(S::WARPS * 32, 1)
    prune_pairs(const __grid_constant__ prune_params p)
{
    extern __shared__ __align__(128) uint8_t shared[];
    const memory m = memory_of_warp<S>(shared);
    const int lane = threadIdx.x % 32;
    cuda_await();
    const int64_t units = units_of(p);
    const double unit = lloyd_bound_unit(p.f.units, p.digits);
    unsigned long long compared = 0;
    int noted = 0;
    for (;;) {
        unsigned long long number = 0;
        if (lane == 0) number = atomicAdd(p.next, 1ull);
        number = __shfl_sync(0xffffffffu, number, 0);
        if (number >= (unsigned long long)units) break;
        place here = place_of(p, (int64_t)number);
        here.drift = p.drift[here.group];
        const uint32_t drift = prune_twice(p.whole_drift[here.group]);
        bool there = false; /* the group's tile is in shared memory, or on its way */
        for (int from = 0; from < p.tile_rows;) {
            const int count = list_failing<S>(p, m, here, drift, from, there);
            if (count == 0) continue;
            __syncwarp();
            compared +=
                (unsigned long long)count * (unsigned)min(p.group_centroids, p.f.set - here.first);
            compare_with_group<S, UNSIGNED>(p, m, here, unit, count, noted);
            there = p.tiles == 1;
        }
    }
    write_notes(p, m, noted);
    if (lane == 0 && compared > 0) atomicAdd(&p.f.counters[LLOYD_COUNT_COMPARED], compared);
}

/* --- counting, without comparing --- */

__global__ void __launch_bounds__(256)
    prune_count(const __grid_constant__ prune_params p, unsigned long long *failing)
{
    cuda_await();
    const int64_t units = units_of(p);
    unsigned own = 0;
    for (int64_t unit = ((int64_t)blockIdx.x * 256 + threadIdx.x) / 32; unit < units;
         unit += (int64_t)gridDim.x * 8) {
        const place here = place_of(p, unit);
        const uint32_t drift = prune_twice(p.whole_drift[here.group]);
        for (int from = 0; from < p.tile_rows; from += PRUNE_SCAN) {
            const failing_rows f = failing_of(p, here, read_bounds(here, from), from, drift);
            for (int i = 0; i < 8; i++) own += row_fails(f, i);
        }
    }
    own = __reduce_add_sync(0xffffffffu, own);
    if (threadIdx.x % 32 == 0 && own > 0) atomicAdd(failing, (unsigned long long)own);
}

template <int TILE, int DIGITS, int HALVES>
lloyd_status launch_shape(const cuda_gpu &gpu, const prune_params &p, bool is_unsigned,
                          cudaStream_t stream)
{
    using S = shape<TILE, DIGITS, HALVES>;
    const char *what = "comparing with groups of centroids";
    const int bytes = S::WARPS * S::BYTES;
    auto kernel = is_unsigned ? prune_pairs<S, true> : prune_pairs<S, false>;
    LLOYD_TRY(lloyd_cuda_allow_shared((const void *)kernel, bytes, what));
    return cuda_launch_after(stream, gpu.capability, kernel, gpu.multiprocessors, 32 * S::WARPS,
                             bytes, what, p);
}

} // namespace

lloyd_status lloyd_cuda_prune_pairs(const cuda_gpu &gpu, const prune_params &p, bool is_unsigned,
                                    cudaStream_t stream)
{
    const int halves = lloyd_cuda_prune_halves(p.f.pieces * INT8_PIECE);
    if (p.digits == 2)
        return halves == 1 ? launch_shape<64, 2, 1>(gpu, p, is_unsigned, stream)
                           : launch_shape<64, 2, 2>(gpu, p, is_unsigned, stream);
    switch (halves) {
    case 1: return launch_shape<64, 1, 1>(gpu, p, is_unsigned, stream);
    case 2: return launch_shape<64, 1, 2>(gpu, p, is_unsigned, stream);
    case 4: return launch_shape<64, 1, 4>(gpu, p, is_unsigned, stream);
    case 6: return launch_shape<64, 1, 6>(gpu, p, is_unsigned, stream);
    case 8: return launch_shape<64, 1, 8>(gpu, p, is_unsigned, stream);
    case 12: return launch_shape<32, 1, 12>(gpu, p, is_unsigned, stream);
    case 16: return launch_shape<32, 1, 16>(gpu, p, is_unsigned, stream);
    default: return launch_shape<32, 1, 24>(gpu, p, is_unsigned, stream);
    }
}

lloyd_status lloyd_cuda_prune_count_pairs(const cuda_gpu &gpu, const prune_params &p,
                                          unsigned long long *failing, cudaStream_t stream)
{
    return cuda_launch_after(stream, gpu.capability, prune_count, 4 * gpu.multiprocessors, 256, 0,
                             "counting groups of centroids", p, failing);
}
