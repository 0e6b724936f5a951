/* Compares rows with the groups of centroids that their bounds do not rule out. docs/numerics.md, section 2.8; the design of the kernel is
 * our own.
 *
 * Each warp works by itself. It takes one group of centroids for some thousand neighbouring rows at a time: it reads their bounds of the
 * group, lists the rows that fail, copies a tile of the group's centroids into its own part of shared memory, and multiplies the
 * listed rows with it, 32 at a time, by mma.sync. Rows are gathered straight into registers, a step ahead: as the order of columns does not matter to a
 * sum of integers, a lane takes 16 neighbouring codes of a row as two columns' worth of fragments, and the same of a centroid. Rows and
 * centroids come from the L2 cache. What a group leaves of a row is its best score, which becomes the new bound, and the places of the
 * centroids that reach the row's threshold, of which there are few.
 */
#include "kernels/cuda/prune/pairs.h"

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/launch.cuh"

#include <algorithm>

namespace
{

constexpr int MOST_WARPS = 12, ROWS = 32, QUADS = ROWS / 8; /* rows that a lane has at a time */
constexpr int HALF = 64, HALF_PIECES = HALF / INT8_PIECE; /* columns that four lanes load at once */
constexpr int LIST = 1024; /* rows that are listed before they are compared */
constexpr int NOTES = 128; /* hits that are noted before they are written */
/* The score of the centroid that a row has: below any threshold, by no more than 31 bits hold. */
constexpr int32_t EXCLUDED = INT8_ALL - (1 << 28);

/* Centroids of a tile, and HALFs of a row, of which PART are multiplied at a time. */
template <int TILE_, int HALVES_> struct shape {
    static constexpr int TILE = TILE_, HALVES = HALVES_, PART = HALVES <= 2 ? 1 : 2;
    static constexpr int CHUNKS = HALVES / PART, ROW_BYTES = HALVES * HALF;
    static constexpr int PIECES = HALVES * HALF_PIECES;
    static constexpr int BYTES = TILE * ROW_BYTES + TILE * (int)sizeof(int32_t) +
                                 LIST * (int)sizeof(uint16_t) + NOTES * (int)sizeof(prune_hit);
    static constexpr int SHARED = 227 * 1024;
    /* as many on each of the four parts of a multiprocessor */
    static constexpr int WARPS =
        (SHARED / BYTES < MOST_WARPS ? SHARED / BYTES : MOST_WARPS) / 4 * 4;

    /* A piece of a centroid in shared memory: two neighbours are in different halves of the banks. */
    __device__ static int piece_offset(int n, int piece)
    {
        return n * ROW_BYTES + (HALVES == 1 ? piece : piece ^ (n & 1) << 2) * INT8_PIECE;
    }
};

/* The shared memory of a warp. */
struct memory {
    uint8_t *centroids;
    int32_t *bias;
    uint16_t *list;
    prune_hit *note;
};

template <class S> __device__ inline memory memory_of_warp(uint8_t *shared)
{
    memory m;
    m.centroids = shared + threadIdx.x / 32 * S::BYTES;
    m.bias = (int32_t *)(m.centroids + S::TILE * S::ROW_BYTES);
    m.list = (uint16_t *)(m.bias + S::TILE);
    m.note = (prune_hit *)(m.list + LIST);
    return m;
}

/* Starts to copy the centroids from `place` on. By a warp. */
template <class S>
__device__ inline void copy_centroids(const prune_params &p, const memory &m, int place)
{
    constexpr int LANES = S::PIECES < 32 ? S::PIECES : 32, AT_ONCE = 32 / LANES; /* centroids */
    const int lane = threadIdx.x % 32;
    int32_t k[S::TILE / 32];
#pragma unroll
    for (int i = 0; i < S::TILE / 32; i++) {
        const int at = place + 32 * i + lane;
        k[i] = at < p.f.set ? p.f.order[at] : -1;
        m.bias[32 * i + lane] = k[i] < 0 ? INT8_FILLER : p.bias[k[i]];
    }
#pragma unroll 4
    for (int n0 = 0; n0 < S::TILE; n0 += AT_ONCE) {
        const int n = n0 + lane / LANES;
        int32_t own = __shfl_sync(0xffffffffu, k[0], n % 32);
        if (S::TILE > 32) {
            const int32_t other = __shfl_sync(0xffffffffu, k[S::TILE / 32 - 1], n % 32);
            own = n < 32 ? own : other;
        }
        if (lane >= LANES * AT_ONCE) continue;
        for (int piece = lane % LANES; piece < S::PIECES; piece += LANES) {
            const bool there = own >= 0 && piece < p.f.pieces;
            const uint8_t *from = (const uint8_t *)p.f.digits +
                                  (there ? (int64_t)own * 2 * p.f.stride + piece * INT8_PIECE : 0);
            cuda_copy_async_or_zero<INT8_PIECE>(m.centroids + S::piece_offset(n, piece), from,
                                                there);
        }
    }
    cuda_copy_commit();
}

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

/* One bit for each of the eight rows that fail. `drift`: in both halves, and 1 more. */
__device__ inline unsigned failing_of(const prune_params &p, const place &here, const scan &x,
                                      int from, uint32_t drift)
{
    const uint32_t bound[4] = {x.bound.x, x.bound.y, x.bound.z, x.bound.w};
    const uint32_t reach[4] = {x.reach.x, x.reach.y, x.reach.z, x.reach.w};
    unsigned fails = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        /* a half that is not the bound itself is greater */
        const uint32_t left = __vmaxu2(bound[i], reach[i] + drift) ^ bound[i];
        if (left & 0xffff) fails |= 1u << 2 * i;
        if (left >> 16) fails |= 2u << 2 * i;
    }
    if (!here.whole) {
        const int64_t at = here.begin + from + 8 * (threadIdx.x % 32);
        for (int i = 0; i < 8; i++)
            if (at + i < 0 || at + i >= p.f.count) fails &= ~(1u << i);
    }
    return fails;
}

/* Adds the failing rows of a scan from row `from` on to the list of `count` rows. Its new length. By a warp. */
__device__ inline int add_failing(const memory &m, unsigned fails, int from, int count)
{
    const int lane = threadIdx.x % 32;
    if (!__any_sync(0xffffffffu, fails != 0)) return count;
    const int own = __popc(fails);
    int through = own;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
        const int other = __shfl_up_sync(0xffffffffu, through, distance);
        if (lane >= distance) through += other;
    }
    int to = count + through - own;
    while (fails) {
        m.list[to++] = (uint16_t)(from + 8 * lane + __ffs((int)fails) - 1);
        fails &= fails - 1;
    }
    return count + __shfl_sync(0xffffffffu, through, 31);
}

/* Pieces of a lane's rows: of each HALF, piece t. */
template <class S> struct pieces {
    uint4 x[QUADS][S::PART];
};

template <class S>
__device__ inline void load_pieces(const prune_params &p, const uint8_t *codes,
                                   const uint32_t row[QUADS], int chunk, pieces<S> &a)
{
    const int first = chunk * S::PART * HALF_PIECES + threadIdx.x % 4;
    const bool whole = p.f.pieces == S::PIECES;
#pragma unroll
    for (int q = 0; q < QUADS; q++) {
#pragma unroll
        for (int half = 0; half < S::PART; half++) {
            const int piece = first + HALF_PIECES * half;
            a.x[q][half] = whole || piece < p.f.pieces
                               ? __ldg((const uint4 *)(codes + row[q] + piece * INT8_PIECE))
                               : make_uint4(0, 0, 0, 0);
        }
    }
}

/* sum = the products of 16 rows with 8 centroids in 32 columns, and `from`, which may be `sum`. */
template <bool UNSIGNED>
__device__ inline void multiply(int32_t sum[4], const int32_t from[4], uint32_t a0, uint32_t a1,
                                uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1)
{
    if constexpr (UNSIGNED)
        asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
            "{%10,%11,%12,%13};"
            : "=r"(sum[0]), "=r"(sum[1]), "=r"(sum[2]), "=r"(sum[3])
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1), "r"(from[0]), "r"(from[1]),
              "r"(from[2]), "r"(from[3]));
    else
        asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
            "{%10,%11,%12,%13};"
            : "=r"(sum[0]), "=r"(sum[1]), "=r"(sum[2]), "=r"(sum[3])
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1), "r"(from[0]), "r"(from[1]),
              "r"(from[2]), "r"(from[3]));
}

/* The scores of a lane: of row 8 q + g of the 32 and centroids 8 j + 2 t and the next, at [j][q / 2][q % 2 * 2] and the next. */
template <class S> struct scores {
    int32_t x[S::TILE / 8][2][4];
};

/* Adds the products of a chunk; of the first one, to the biases. */
template <class S, bool UNSIGNED, bool FIRST>
__device__ inline void multiply_chunk(const memory &m, const pieces<S> &a, int chunk, scores<S> &s)
{
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const int first = chunk * S::PART * HALF_PIECES + t;
#pragma unroll
    for (int j = 0; j < S::TILE / 8; j++) {
        int32_t bias[4];
        if (FIRST) {
            const int2 two = *(const int2 *)(m.bias + 8 * j + 2 * t);
            bias[0] = bias[2] = two.x;
            bias[1] = bias[3] = two.y;
        }
#pragma unroll
        for (int half = 0; half < S::PART; half++) {
            const uint4 b = *(const uint4 *)(m.centroids + 8 * j * S::ROW_BYTES +
                                             S::piece_offset(g, first + HALF_PIECES * half));
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const uint4 x = a.x[2 * i][half], y = a.x[2 * i + 1][half];
                int32_t *sum = s.x[j][i];
                multiply<UNSIGNED>(sum, FIRST && half == 0 ? bias : sum, x.x, y.x, x.y, y.y, b.x,
                                   b.y);
                multiply<UNSIGNED>(sum, sum, x.z, y.z, x.w, y.w, b.z, b.w);
            }
        }
    }
}

/* What a lane knows of its rows. */
struct known {
    int32_t threshold[QUADS], own[QUADS]; /* the second: a place */
    float2 bound;                         /* of row t of the four: z and spread */
};

__device__ inline known read_rows(const prune_params &p, const place &here, const int at[QUADS])
{
    known rows;
    const int t = threadIdx.x % 4;
#pragma unroll
    for (int q = 0; q < QUADS; q++) {
        const int2 x = *(const int2 *)&p.row[here.begin + at[q]].threshold;
        rows.threshold[q] = x.x, rows.own[q] = x.y;
    }
    const int mine = t < 2 ? (t ? at[1] : at[0]) : (t == 2 ? at[2] : at[3]);
    rows.bound = *(const float2 *)&p.row[here.begin + mine];
    return rows;
}

/* One bit for each of the scores of row q of a lane, the first one highest: 1 where it reaches the threshold. */
template <class S>
__device__ inline uint32_t hits_of_row(const scores<S> &s, int q, int32_t threshold)
{
    uint32_t misses = 0; /* the signs of what is left of the scores */
#pragma unroll
    for (int j = 0; j < S::TILE / 8; j++) {
        const int32_t *x = s.x[j][q / 2] + q % 2 * 2;
        misses = __funnelshift_l((unsigned)(x[0] - threshold), misses, 1);
        misses = __funnelshift_l((unsigned)(x[1] - threshold), misses, 1);
    }
    return ~misses & ((1u << S::TILE / 4) - 1);
}

/* The greatest of these scores that does not reach the threshold. */
template <class S>
__device__ inline int32_t most_below(const scores<S> &s, int q, int32_t threshold)
{
    int32_t most = INT32_MIN;
#pragma unroll
    for (int j = 0; j < S::TILE / 8; j++) {
        const int32_t *x = s.x[j][q / 2] + q % 2 * 2;
        most = __vimax3_s32(x[0] < threshold ? x[0] : INT32_MIN,
                            x[1] < threshold ? x[1] : INT32_MIN, most);
    }
    return most;
}

/* The centroid that row q has does not count. */
template <class S> __device__ inline void leave_out_own(scores<S> &s, int q, int own)
{
    const bool mine = (unsigned)own < S::TILE && (own & 7) / 2 == threadIdx.x % 4;
    if (!__any_sync(0xffffffffu, mine)) return;
    const int which = mine ? own / 8 * 2 + own % 2 : -1;
#pragma unroll
    for (int j = 0; j < S::TILE / 8; j++) {
        int32_t *x = s.x[j][q / 2] + q % 2 * 2;
        if (which == 2 * j) x[0] = EXCLUDED;
        if (which == 2 * j + 1) x[1] = EXCLUDED;
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

/* Notes the centroids that reach the thresholds of a lane's rows; bit q of `rows`: some do, of row q. most[q]: of the scores of row q, if
 * hits follow without them from then on. */
template <class S>
__device__ inline void note_hits(const prune_params &p, const memory &m, const place &here,
                                 const scores<S> &s, const int at[QUADS], const known &known_rows,
                                 unsigned rows, int32_t most[QUADS], int &noted)
{
    constexpr int BITS = S::TILE / 4;
    const int lane = threadIdx.x % 32, t = lane % 4;
    const unsigned any = __reduce_or_sync(0xffffffffu, rows);
    if (!any) return;
    uint64_t hits = 0; /* BITS bits of each row */
#pragma unroll
    for (int q = 0; q < QUADS; q++) {
        if (!(any & 1u << q)) continue;
        const uint32_t own = hits_of_row(s, q, known_rows.threshold[q]);
        if (rows & 1u << q) hits |= (uint64_t)own << BITS * q;
        if (p.hits_follow) most[q] = most_below(s, q, known_rows.threshold[q]);
    }
    while (const unsigned votes = __ballot_sync(0xffffffffu, hits != 0)) {
        if (noted + __popc(votes) > NOTES) write_notes(p, m, noted);
        if (hits) {
            const int first = __ffsll((long long)hits) - 1, q = first / BITS;
            const int bit = BITS - 1 - first % BITS;
            const int row = q < 2 ? (q ? at[1] : at[0]) : (q == 2 ? at[2] : at[3]);
            m.note[noted + __popc(votes & ((1u << lane) - 1))] = {(int32_t)(here.begin + row),
                                                                  here.first + bit / 2 * 8 + 2 * t +
                                                                      bit % 2};
            hits &= hits - 1;
        }
        noted += __popc(votes);
    }
}

/* The end of 32 rows: notes the centroids that reach a threshold, and writes the new bounds. `at`: the lane's rows, of which those from
 * `left` on are repeated ones. */
template <class S>
__device__ inline void finish_rows(const prune_params &p, const memory &m, const place &here,
                                   double unit, scores<S> &s, const int at[QUADS],
                                   const known &rows, int left, int &noted)
{
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    int32_t most[QUADS];
#pragma unroll
    for (int q = 0; q < QUADS; q++) {
        leave_out_own(s, q, rows.own[q] - here.first);
        most[q] = INT32_MIN;
#pragma unroll
        for (int j = 0; j < S::TILE / 8; j++) {
            const int32_t *x = s.x[j][q / 2] + q % 2 * 2;
            most[q] = __vimax3_s32(x[0], x[1], most[q]);
        }
    }
    unsigned reached = 0;
#pragma unroll
    for (int q = 0; q < QUADS; q++)
        reached |= (unsigned)(most[q] >= rows.threshold[q] && g + 8 * q < left) << q;
    note_hits(p, m, here, s, at, rows, reached, most, noted);
#pragma unroll
    for (int q = 0; q < QUADS; q++) {
        most[q] = max(most[q], __shfl_xor_sync(0xffffffffu, most[q], 1));
        most[q] = max(most[q], __shfl_xor_sync(0xffffffffu, most[q], 2));
    }
    if (g + 8 * t >= left) return;
    const int32_t best = t < 2 ? (t ? most[1] : most[0]) : (t == 2 ? most[2] : most[3]);
    const int mine = t < 2 ? (t ? at[1] : at[0]) : (t == 2 ? at[2] : at[3]);
    const float half = __double2float_rd((double)rows.bound.x - (double)best * unit);
    const uint16_t bound =
        lloyd_group_bound((double)lloyd_group_least(half, rows.bound.y), p.per_unit, here.drift);
    uint16_t *to = here.bounds + mine;
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
    int at[QUADS], next_at[QUADS];
    uint32_t row[QUADS];
    pieces<S> ahead;
    const auto look_up = [&](int from) {
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
            next_at[q] = m.list[min(from + 8 * q + g, count - 1)];
            row[q] = next_at[q] * stride;
        }
    };
    look_up(0);
    load_pieces(p, codes, row, 0, ahead);
#pragma unroll 1
    for (int from = 0; from < count; from += ROWS) {
        scores<S> s;
#pragma unroll
        for (int q = 0; q < QUADS; q++) at[q] = next_at[q];
        const known rows = read_rows(p, here, at);
        const auto load_next = [&](int chunk) { /* after this one */
                                                if (chunk + 1 < S::CHUNKS) {
                                                    load_pieces(p, codes, row, chunk + 1, ahead);
                                                } else if (from + ROWS < count) {
                                                    look_up(from + ROWS);
                                                    load_pieces(p, codes, row, 0, ahead);
                                                }
        };
        pieces<S> now = ahead;
        load_next(0);
        multiply_chunk<S, UNSIGNED, true>(m, now, 0, s);
#pragma unroll 1
        for (int chunk = 1; chunk < S::CHUNKS; chunk++) {
            now = ahead;
            load_next(chunk);
            multiply_chunk<S, UNSIGNED, false>(m, now, chunk, s);
        }
        finish_rows(p, m, here, unit, s, at, rows, count - from, noted);
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

__device__ inline uint32_t twice(int drift)
{
    return (uint32_t)(drift + 1) * 0x10001u;
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
    const double unit = (double)p.f.units->row * int8_centroid_unit(*p.f.units); /* of a score */
    unsigned long long compared = 0;
    int noted = 0;
    for (;;) {
        unsigned long long number = 0;
        if (lane == 0) number = atomicAdd(p.next, 1ull);
        number = __shfl_sync(0xffffffffu, number, 0);
        if (number >= (unsigned long long)units) break;
        place here = place_of(p, (int64_t)number);
        here.drift = p.drift[here.group];
        const uint32_t drift = twice(p.whole_drift[here.group]);
        int count = 0;
        bool there = false; /* the group's tile is in shared memory, or on its way */
        scan next = read_bounds(here, 0), later = read_bounds(here, PRUNE_SCAN % p.tile_rows);
#pragma unroll 1
        for (int from = 0; from < p.tile_rows; from += PRUNE_SCAN) {
            const scan now = next;
            const bool last = from + PRUNE_SCAN >= p.tile_rows;
            next = later;
            if (from + 2 * PRUNE_SCAN < p.tile_rows)
                later = read_bounds(here, from + 2 * PRUNE_SCAN);
            count = add_failing(m, failing_of(p, here, now, from, drift), from, count);
            if (count > 0 && !there) copy_centroids<S>(p, m, here.first);
            there = there || count > 0;
            if (count == 0 || (!last && count <= LIST - PRUNE_SCAN)) continue;
            __syncwarp();
            compared += (unsigned)count * (unsigned)min(p.group_centroids, p.f.set - here.first);
            compare_with_group<S, UNSIGNED>(p, m, here, unit, count, noted);
            there = p.tiles == 1;
            count = 0;
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
        const uint32_t drift = twice(p.whole_drift[here.group]);
        for (int from = 0; from < p.tile_rows; from += PRUNE_SCAN)
            own += __popc(failing_of(p, here, read_bounds(here, from), from, drift));
    }
    own = __reduce_add_sync(0xffffffffu, own);
    if (threadIdx.x % 32 == 0 && own > 0) atomicAdd(failing, (unsigned long long)own);
}

template <int TILE, int HALVES>
lloyd_status launch_shape(const cuda_gpu &gpu, const prune_params &p, bool is_unsigned,
                          cudaStream_t stream)
{
    using S = shape<TILE, HALVES>;
    const char *what = "comparing with groups of centroids";
    const int bytes = S::WARPS * S::BYTES;
    auto kernel = is_unsigned ? prune_pairs<S, true> : prune_pairs<S, false>;
    LLOYD_TRY(lloyd_cuda_allow_shared((const void *)kernel, bytes, what));
    return cuda_launch_after(stream, gpu.capability, kernel, gpu.multiprocessors, 32 * S::WARPS,
                             bytes, what, p);
}

constexpr int WIDE = 512; /* columns from which on a tile has fewer centroids */

} // namespace

int lloyd_cuda_prune_tile(int64_t dim)
{
    return dim <= WIDE ? 64 : 32;
}

lloyd_status lloyd_cuda_prune_pairs(const cuda_gpu &gpu, const prune_params &p, bool is_unsigned,
                                    cudaStream_t stream)
{
    const int halves = (int)cuda_divide_up(p.f.pieces, HALF_PIECES);
    static_assert(WIDE == 8 * HALF, "tiles of 64 centroids end there");
    if (halves <= 1) return launch_shape<64, 1>(gpu, p, is_unsigned, stream);
    if (halves <= 2) return launch_shape<64, 2>(gpu, p, is_unsigned, stream);
    if (halves <= 4) return launch_shape<64, 4>(gpu, p, is_unsigned, stream);
    if (halves <= 6) return launch_shape<64, 6>(gpu, p, is_unsigned, stream);
    if (halves <= 8) return launch_shape<64, 8>(gpu, p, is_unsigned, stream);
    if (halves <= 12) return launch_shape<32, 12>(gpu, p, is_unsigned, stream);
    if (halves <= 16) return launch_shape<32, 16>(gpu, p, is_unsigned, stream);
    return launch_shape<32, 24>(gpu, p, is_unsigned, stream);
}

lloyd_status lloyd_cuda_prune_count_pairs(const cuda_gpu &gpu, const prune_params &p,
                                          unsigned long long *failing, cudaStream_t stream)
{
    return cuda_launch_after(stream, gpu.capability, prune_count, 4 * gpu.multiprocessors, 256, 0,
                             "counting groups of centroids", p, failing);
}
