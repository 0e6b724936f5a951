/* Which of a row's candidates is its label: docs/numerics.md, section 2.7. Where rows are used as they are, the centroids' second digits
 * rule out nearly all others, for two bytes a column and no conversion. dist() decides among those that are left, from 4 bytes a
 * column in double.
 */
#include "kernels/cuda/int8/decide.h"

#include "kernels/cuda/assign/filter.h"
#include "kernels/cuda/assign/nearest.cuh"
#include "kernels/cuda/int8/dot.cuh"
#include "kernels/cuda/int8/prepare.h"

namespace
{

enum { LANES = CUDA_GROUP_LANES, GROUPS = 32 / LANES };
/* Of both kernels, whose warps have the same parts of the lists. Latencies limit both: many loads of a warp at a time take registers. */
enum { THREADS = 256, WARPS = THREADS / 32, BLOCKS = 2, AHEAD = 4 };
/* Pairs of a row and a candidate: that an 8-lane group multiplies at a time, that a warp does, and that it has room for. Every row
 * has fewer candidates than there is room for. */
enum { FLIGHT = 4, STEP = GROUPS * FLIGHT, PAIRS = 256 };

/* A place in the lists. */
struct listed {
    int32_t row;
    int count, start;
};

/* The part of a segment that a warp has: places [at, end) of the lists, and there `base` into the candidates. */
struct part {
    int64_t base;
    int at, end;

    __device__ part(const int8_lists &lists, int segments)
    {
        const int segment = blockIdx.x % segments, number = threadIdx.x / 32;
        const int warp = blockIdx.x / segments * WARPS + number, warps = BLOCKS * WARPS;
        const int rows = lists.rows_of[segment]; /* times `warps` it is far below 2^31 */
        const int first = segment * lists.segment_rows;
        base = (int64_t)first * FLASH_CANDIDATES;
        at = first + rows * warp / warps;
        end = first + rows * (warp + 1) / warps;
    }
    /* This lane's of the next 32; without candidates from the end on. */
    __device__ listed read(const int8_lists &lists) const
    {
        const int own = at + threadIdx.x % 32;
        if (own >= end) return {0, 0, 0};
        return {lists.row[own], max(lists.found[own], 0), lists.start[own]};
    }
};

/* Writes rows to the front of a part, in place of those that the warp has read, and one without candidates behind them. */
struct writer {
    int at, end;

    __device__ explicit writer(const part &p) : at(p.at), end(p.end)
    {
    }
    /* Those of the lanes that have one; by whole warps. */
    __device__ void add(const int8_lists &lists, bool has_one, const listed &own)
    {
        const unsigned votes = __ballot_sync(0xffffffffu, has_one);
        if (has_one) {
            const int to = at + __popc(votes & ((1u << threadIdx.x % 32) - 1));
            lists.row[to] = own.row;
            lists.found[to] = own.count;
            lists.start[to] = own.start;
        }
        at += __popc(votes);
    }
    __device__ void finish(const int8_lists &lists) const
    {
        if (threadIdx.x % 32 == 0 && at < end) lists.found[at] = 0;
    }
};

/* Adds what a warp's lanes have moved. */
__device__ inline void count_moved(unsigned moved, unsigned long long *counters)
{
    moved = __reduce_add_sync(0xffffffffu, moved);
    if (threadIdx.x % 32 == 0 && moved > 0)
        atomicAdd(&counters[LLOYD_COUNT_MOVED], (unsigned long long)moved);
}

/* --- refinement --- */

struct refinement {
    const uint8_t *codes;   /* of the slot */
    const int8_row *bounds; /* of its rows */
    const int8_t *digits;
    const double *own_bias;
    const int8_units *units;
    int32_t *labels;
    unsigned long long *counters;
    int8_lists lists;
    int segments;
    int stride; /* bytes of a row of codes */
    double reach;
};

/* Adds up sum[] over the four lanes of a half of an 8-lane group; lane c gets sum[c]. */
__device__ inline int sum_of_lane(const int sum[FLIGHT], int c)
{
    const bool upper = c & 2, odd = c & 1;
    int first = upper ? sum[2] : sum[0], second = upper ? sum[3] : sum[1];
    first += __shfl_xor_sync(0xffffffffu, upper ? sum[0] : sum[2], 2);
    second += __shfl_xor_sync(0xffffffffu, upper ? sum[1] : sum[3], 2);
    return (odd ? second : first) + __shfl_xor_sync(0xffffffffu, odd ? first : second, 1);
}

/* The products with both digits, in units of the first, of the pairs of STEP, of which an 8-lane group has FLIGHT: lanes c and c + 4
 * know pair c, and get its product. By whole warps. */
template <bool UNSIGNED>
__device__ inline double product(const refinement &r, int32_t row, int32_t k)
{
    const int own_lane = threadIdx.x % LANES, c = own_lane % FLIGHT, pieces = r.stride / INT8_PIECE;
    const bool upper = own_lane >= FLIGHT;
    int32_t row_of[FLIGHT], k_of[FLIGHT];
    int high[FLIGHT] = {}, low[FLIGHT] = {}, sum[FLIGHT];
#pragma unroll
    for (int i = 0; i < FLIGHT; i++) {
        row_of[i] = __shfl_sync(0xffffffffu, row, i, LANES);
        k_of[i] = __shfl_sync(0xffffffffu, k, i, LANES);
    }
#pragma unroll 1
    for (int piece = own_lane; piece < pieces; piece += LANES) {
        uint4 x[FLIGHT], first[FLIGHT], second[FLIGHT];
#pragma unroll
        for (int i = 0; i < FLIGHT; i++) {
            const uint4 *digits = (const uint4 *)(r.digits + (int64_t)k_of[i] * (2 * r.stride));
            x[i] = ((const uint4 *)(r.codes + (int64_t)row_of[i] * r.stride))[piece];
            first[i] = digits[piece];
            second[i] = digits[pieces + piece];
        }
#pragma unroll
        for (int i = 0; i < FLIGHT; i++) {
            high[i] = int8_dot(x[i], first[i], high[i], UNSIGNED);
            low[i] = int8_dot(x[i], second[i], low[i], UNSIGNED);
        }
    }
    /* from here on the lower half has the first digits, the upper half the second ones */
#pragma unroll
    for (int i = 0; i < FLIGHT; i++) {
        const int sent = __shfl_xor_sync(0xffffffffu, upper ? high[i] : low[i], FLIGHT);
        sum[i] = (upper ? low[i] : high[i]) + sent;
    }
    const int own = sum_of_lane(sum, c), other = __shfl_xor_sync(0xffffffffu, own, FLIGHT);
    const int first = upper ? other : own, second = upper ? own : other;
    return fma((double)second, 1 / (double)INT8_FINE, (double)first);
}

/* Rows that a warp has at a time, one in each lane, and their pairs, row after row. */
struct chunk {
    listed own; /* of a lane; rows that do not belong to the chunk have no candidates */
    int before; /* pairs of the lanes below; PAIRS if the row does not belong to it */
    int rows, pairs;

    /* Rows without candidates have one pair, which is not looked at: no two rows begin at the same. */
    __device__ chunk(const int8_lists &lists, const part &p) : own(p.read(lists))
    {
        const int lane = threadIdx.x % 32;
        const bool exists = p.at + lane < p.end;
        const int count = exists ? max(own.count, 1) : 0;
        int through = count;
#pragma unroll
        for (int distance = 1; distance < 32; distance *= 2) {
            const int other = __shfl_up_sync(0xffffffffu, through, distance);
            if (lane >= distance) through += other;
        }
        const bool belongs = exists && through <= PAIRS;
        rows = __popc(__ballot_sync(0xffffffffu, belongs));
        pairs = __reduce_max_sync(0xffffffffu, belongs ? through : 0);
        before = belongs ? through - count : PAIRS;
        if (!belongs) own.count = 0;
    }
};

struct pair {
    int32_t row, k;
    float z;
};

/* The pairs of the rows of a chunk, STEP at a time: lanes c and c + 4 of an 8-lane group get the same, pair c of the group. */
struct pair_reader {
    int source; /* where a row's candidates are, from a pair's number; negative for a row without candidates */
    int from = 0, begun = 0; /* pairs and rows that were read */

    __device__ explicit pair_reader(const chunk &c)
        : source(c.own.count > 0 ? c.own.start - c.before : -2 * PAIRS)
    {
    }
    __device__ static int place()
    {
        const int lane = threadIdx.x % 32;
        return lane / LANES * FLIGHT + lane % FLIGHT;
    }
    __device__ pair next(const chunk &c, const int32_t *candidate, const int32_t *order, float z)
    {
        const int begins = c.before - from, number = from + place();
        const unsigned starts =
            __reduce_or_sync(0xffffffffu, begins >= 0 && begins < STEP ? 1u << begins : 0);
        const int holder = begun + __popc(starts & ((2u << place()) - 1)) - 1;
        const int at = __shfl_sync(0xffffffffu, source, holder) + number;
        pair p;
        p.row = __shfl_sync(0xffffffffu, c.own.row, holder);
        p.z = __shfl_sync(0xffffffffu, z, holder);
        p.k = number < c.pairs && at >= 0 ? order[candidate[at]] : 0;
        begun += __popc(starts);
        from += STEP;
        return p;
    }
};

/* half[] = Z less the score with both digits, of every pair: half of the squared distance, but for what lloyd_bound_radius() allows. */
template <bool UNSIGNED>
__device__ inline void score_pairs(const refinement &r, double unit, const chunk &c,
                                   const int32_t *candidate, float z, float *half)
{
    pair_reader reader(c);
    pair next = reader.next(c, candidate, r.lists.order, z);
    for (int from = 0; from < c.pairs; from += STEP) {
        const pair now = next;
        next = reader.next(c, candidate, r.lists.order, z); /* long before it is needed */
        const double own_bias = r.own_bias[now.k];
        const double score = fma(product<UNSIGNED>(r, now.row, now.k), unit, own_bias);
        if (threadIdx.x % LANES < FLIGHT)
            half[from + reader.place()] = lloyd_bound_half(now.z, score);
    }
}

/* The label of the rows of which the second digits leave one candidate; only the others, and their candidates that are left, stay in
 * the lists. */
template <bool UNSIGNED> __global__ void __launch_bounds__(THREADS, BLOCKS) refine(refinement r)
{
    __shared__ float halves[WARPS][PAIRS];
    cuda_await();
    const double unit = (double)r.units->row * int8_centroid_unit(*r.units); /* of a score */
    float *half = halves[threadIdx.x / 32];
    unsigned moved = 0;
    part p(r.lists, r.segments);
    writer kept(p);
    while (p.at < p.end) {
        const chunk c(r.lists, p);
        listed own = c.own;
        if (own.count > 0) {
            const uint8_t *code = r.codes + (int64_t)own.row * r.stride;
#pragma unroll 1
            for (int byte = 0; byte < r.stride; byte += 128)
                asm volatile("prefetch.global.L2 [%0];" ::"l"(code + byte));
        }
        score_pairs<UNSIGNED>(r, unit, c, r.lists.candidate + p.base, r.bounds[own.row].x, half);
        __syncwarp();
        const int32_t previous = r.labels[own.row];
        const int8_row bounds = r.bounds[own.row];
        const float *of_row = half + c.before;
        int32_t *candidate = r.lists.candidate + p.base + own.start;
        float best = INFINITY;
        int best_at = 0, left = 0;
        for (int i = 0; i < own.count; i++) {
            if (of_row[i] < best) best = of_row[i], best_at = i;
        }
        const float most = lloyd_bound_limit(r.units, r.reach, bounds.x, bounds.y, best);
        for (int i = 0; i < own.count; i++) left += !(of_row[i] > most);
        if (left == 1) {
            const int32_t label = r.lists.order[candidate[best_at]];
            if (label != previous) {
                r.labels[own.row] = label;
                moved++;
            }
        } else if (left < own.count) {
#pragma unroll 1
            for (int i = 0, to = 0; to < left; i++) {
                if (!(of_row[i] > most)) candidate[to++] = candidate[i];
            }
        }
        __syncwarp();
        own.count = left;
        kept.add(r.lists, left > 1, own);
        p.at += c.rows;
    }
    kept.finish(r.lists);
    count_moved(moved, r.counters);
}

template <bool UNSIGNED> lloyd_status launch_refinement(cuda_kernels *cuda, const refinement &r)
{
    return cuda_launch_after(cuda->stream, cuda->gpu.capability, refine<UNSIGNED>,
                             BLOCKS * r.segments, THREADS, 0, "comparing candidates", r);
}

/* --- dist() --- */

/* The nearest of the candidates. An 8-lane group takes a row at a time. */
template <lloyd_type T, bool VECTOR>
__global__ void __launch_bounds__(THREADS, BLOCKS)
    decide(cuda_decision d, int8_lists lists, int segments, bool refined, prune_tightening bounds)
{
    cuda_await();
    const int lane = threadIdx.x % 32, group = lane / LANES;
    unsigned moved = 0;
    bool ended = false;
    part p(lists, segments);
    for (; p.at < p.end && !ended; p.at += 32) {
        const listed own = p.read(lists);
        unsigned left = __ballot_sync(0xffffffffu, own.count > 0);
        if (refined) left &= ~(left + 1); /* those before the first without candidates */
        ended = refined && ~left != 0;
        while (left != 0) {
            unsigned mine = left; /* from this group's row on */
            for (int i = 0; i < GROUPS; i++) {
                if (i < group) mine &= mine - 1;
                left &= left - 1;
            }
            const int holder = mine != 0 ? __ffs((int)mine) - 1 : 0;
            const int32_t row = __shfl_sync(0xffffffffu, own.row, holder);
            const int start = __shfl_sync(0xffffffffu, own.start, holder);
            int count = __shfl_sync(0xffffffffu, own.count, holder);
            if (mine == 0) count = 0;
            const int32_t *candidate = lists.candidate + p.base + start;
            cuda_nearest found =
                cuda_compare<T, VECTOR, AHEAD>(d.rows, d.centroids,
                                               {row, candidate, 0, count, CUDA_GROUP_ROWS,
                                                lists.order},
                                               [&](int64_t c, double distance) {
                                                   if (bounds.bounds && c > 0)
                                                       prune_lower(bounds, row, candidate[c],
                                                                   sqrt(distance));
                                               });
            found.join(1);
            if (lane % LANES == 0 && count > 0 && d.labels[row] != found.result()) {
                d.labels[row] = found.result();
                moved++;
            }
        }
    }
    count_moved(moved, d.counters);
}

} // namespace

lloyd_status lloyd_cuda_int8_decide(cuda_kernels *cuda, int slot, const cuda_decision &d,
                                    const int8_lists &lists, const prune_tightening &bounds)
{
    const cuda_int8 *f = &cuda->filter->int8;
    refinement r = {};
    r.codes = lloyd_cuda_int8_codes(cuda, slot);
    r.bounds = f->rows + cuda->slots[slot].first;
    r.digits = f->digits;
    r.own_bias = f->own_bias;
    r.units = f->units;
    r.labels = d.labels;
    r.counters = d.counters;
    r.lists = lists;
    r.segments = cuda->gpu.multiprocessors;
    r.stride = (int)lloyd_cuda_int8_stride(cuda->base.config.dim);
    r.reach = lloyd_cuda_int8_reach(cuda);
    const bool refined = lloyd_cuda_int8_exact(&cuda->base.config);
    if (refined && lloyd_cuda_int8_unsigned(&cuda->base.config))
        LLOYD_TRY(launch_refinement<true>(cuda, r));
    else if (refined)
        LLOYD_TRY(launch_refinement<false>(cuda, r));
    const bool fours = cuda_reads_fours(d.rows, d.centroids);
    lloyd_status status = LLOYD_OK;
    cuda_for_type(d.rows.type, [&](auto type) {
        constexpr lloyd_type T = decltype(type)::value;
        status = cuda_launch_after(cuda->stream, cuda->gpu.capability,
                                   fours ? decide<T, true> : decide<T, false>, BLOCKS * r.segments,
                                   THREADS, 0, "deciding among candidates", d, r.lists, r.segments,
                                   refined, bounds);
    });
    return status;
}
