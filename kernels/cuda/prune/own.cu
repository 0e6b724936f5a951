/* The distance of each row to the centroid that it has, and what follows from it: the threshold of a score, and what a bound must be
 * above. docs/numerics.md, sections 2.7 and 2.8.
 *
 * Where rows are used as they are, both digits of a centroid give it almost exactly, for three bytes a column. Other rows are not their
 * codes, and the distance would be off by what rounding them leaves: dist() itself is worth its time there, once for each movement of their
 * centroids.
 */
#include "kernels/cuda/prune/own.h"

#include "kernels/cuda/int8/dot.cuh"
#include "kernels/cuda/int8/prepare.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_distance.cuh"

namespace
{

enum { THREADS = 256, BLOCKS = 4 };

/* Whether row i of the launch is in the slot. */
__device__ inline bool is_there(const prune_own &o, int64_t i)
{
    if (!o.needed) return true;
    const int64_t bit = o.needed_at + i;
    return o.needed[bit / 8] >> (bit % 8) & 1;
}

/* Of a row that is not there, no group fails. */
__device__ inline void leave_out(const prune_own &o, int64_t i)
{
    o.p.reach[o.p.first + i - o.p.part * o.p.tile_rows] = 0;
    o.p.hits[i] = 0;
}

/* Notes what follows from an upper bound of the distance of row i to its centroid k. */
__device__ inline void take_row(const prune_own &o, const int8_units &units, int64_t i, int32_t k,
                                double radius)
{
    const prune_params &p = o.p;
    const int8_row known = p.f.rows[i];
    prune_row row;
    row.own = o.place[k];
    row.threshold = lloyd_bound_threshold_at(&units, p.digits, p.f.reach, known.x, known.y, radius);
    lloyd_bound_score(&units, p.digits, p.f.reach, known.x, known.y, &row.z, &row.spread);
    const int64_t local = p.first + i;
    const float exact_reach = lloyd_group_reach(radius, p.per_unit);
    if (o.far) o.far[local] = lloyd_group_far(exact_reach, o.path[k]);
    uint16_t reach = lloyd_group_whole(exact_reach);
    if (reach > PRUNE_FARTHEST) { /* every group fails, now and then */
        reach = PRUNE_FARTHEST;
        row.z = -INFINITY;
        for (int group = 0; group < p.groups; group++) *prune_bounds_of(p, local, group) = 0;
    }
    o.row[i] = row;
    p.reach[local - p.part * p.tile_rows] = reach;
    p.hits[i] = 0;
    int32_t *bounded = &o.bounded[local];
    const int32_t before = *bounded;
    if (before == k) return;
    /* the centroid that it had is in its group again */
    if (before >= 0) *prune_bounds_of(p, local, o.place[before] / p.group_centroids) = 0;
    *bounded = k;
}

/* By both digits of the centroids. A warp takes 32 rows, one of each lane, of which four lanes share eight at a time. */
template <bool UNSIGNED>
__global__ void __launch_bounds__(THREADS, BLOCKS)
    look_at_codes(const __grid_constant__ prune_own o)
{
    cuda_await();
    const prune_params &p = o.p;
    const int lane = threadIdx.x % 32, part = lane % 4;
    const int8_units units = *p.f.units;
    const double unit = (double)units.row * int8_centroid_unit(units),
                 fine = lloyd_bound_fine(&units);
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x - lane; first < p.f.count;
         first += step) {
        const int64_t i = first + lane;
        const bool real = i < p.f.count, exists = real && is_there(o, i);
        if (real && !exists) leave_out(o, i);
        const unsigned there = __ballot_sync(0xffffffffu, exists);
        const int32_t k = exists ? o.labels[i] : 0;
        int all_high = 0, all_low = 0;
#pragma unroll 2
        for (int pass = 0; pass < 4; pass++) {
            if (!(there >> (8 * pass) & 0xff)) continue;
            const int holder = 8 * pass + lane / 4;
            const int64_t row = min(first + holder, (int64_t)p.f.count - 1);
            const int64_t label = __shfl_sync(0xffffffffu, k, holder);
            const uint4 *code = (const uint4 *)(p.f.codes + row * p.f.stride);
            const uint4 *digit = (const uint4 *)(p.f.digits + label * 2 * p.f.stride);
            int high = 0, low = 0;
#pragma unroll 2
            for (int piece = part; piece < p.f.pieces; piece += 4) {
                const uint4 x = code[piece];
                high = int8_dot(x, digit[piece], high, UNSIGNED);
                low = int8_dot(x, digit[p.f.pieces + piece], low, UNSIGNED);
            }
            high += __shfl_xor_sync(0xffffffffu, high, 1);
            low += __shfl_xor_sync(0xffffffffu, low, 1);
            high += __shfl_xor_sync(0xffffffffu, high, 2);
            low += __shfl_xor_sync(0xffffffffu, low, 2);
            high = __shfl_sync(0xffffffffu, high, 4 * (lane % 8));
            low = __shfl_sync(0xffffffffu, low, 4 * (lane % 8));
            if (lane / 8 == pass) all_high = high, all_low = low;
        }
        if (!exists) continue;
        const int8_row row = p.f.rows[i];
        const double score = lloyd_bound_own_score(all_high, all_low, unit, p.f.own_bias[k]);
        const double rounding = lloyd_bound_rounding(&units, p.f.reach, row.x, row.y);
        take_row(o, units, i, k,
                 lloyd_bound_radius(fmax((double)row.x - score, 0.0), (double)row.y, fine,
                                    rounding));
    }
}

/* --- by dist() --- */

/* Lists the rows that have another centroid than the one they were measured to, or one that has moved since. */
__global__ void __launch_bounds__(THREADS) list_stale(const __grid_constant__ prune_own o)
{
    cuda_await();
    const int lane = threadIdx.x % 32;
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x, local = o.p.first + i;
    bool stale = false;
    if (i < o.p.f.count && is_there(o, i)) {
        const int32_t k = o.labels[i];
        stale = o.bounded[local] != k || o.measured_at[local] < o.moved_at[k];
    }
    const unsigned votes = __ballot_sync(0xffffffffu, stale);
    if (!votes) return;
    unsigned at = 0;
    if (lane == 0) at = atomicAdd(o.stale, __popc(votes));
    at = __shfl_sync(0xffffffffu, at, 0) + __popc(votes & ((1u << lane) - 1));
    if (stale) o.p.hits[at] = (int32_t)i;
}

/* Measures these rows. */
template <lloyd_type T, bool VECTOR>
__global__ void __launch_bounds__(CUDA_DIST_THREADS)
    measure(const __grid_constant__ prune_own o, const float *centroids)
{
    cuda_await();
    const cuda_lane_group place;
    const int64_t count = *o.stale;
    for (int64_t begin = place.first; begin < count; begin += place.stride) {
        int64_t i[CUDA_GROUP_ROWS];
        cuda_centroid centroid[CUDA_GROUP_ROWS];
#pragma unroll
        for (int r = 0; r < CUDA_GROUP_ROWS; r++) {
            i[r] = o.p.hits[min(place.row(begin, r), count - 1)];
            centroid[r].at = centroids + o.labels[i[r]] * o.rows.dim;
        }
        const double distance = cuda_group_dist<T, VECTOR>(o.rows, i, centroid, place.g);
        if (place.takes(begin, count)) {
            const int64_t own = place.g == 0 ? i[0] : i[1];
            o.distance[o.p.first + own] = distance;
        }
    }
}

__global__ void __launch_bounds__(THREADS) take_distances(const __grid_constant__ prune_own o)
{
    cuda_await();
    const int8_units units = *o.p.f.units;
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x, local = o.p.first + i;
    if (i >= o.p.f.count) return;
    if (!is_there(o, i)) {
        leave_out(o, i);
        return;
    }
    o.measured_at[local] = o.version;
    take_row(o, units, i, o.labels[i], sqrt(o.distance[local]) * (1 + PRUNE_SLACK));
}

lloyd_status look_by_dist(cuda_kernels *cuda, const prune_own &own, const char *what)
{
    static_assert(CUDA_GROUP_ROWS == 2, "measure() tells two rows apart");
    const int64_t blocks = cuda_divide_up(own.p.f.count, THREADS);
    const bool fours = cuda_reads_fours(own.rows, cuda->centroids);
    lloyd_status status = LLOYD_OK;
    CUDA_TRY(cudaMemsetAsync(own.stale, 0, sizeof *own.stale, cuda->stream), what);
    LLOYD_TRY(cuda_launch_after(cuda->stream, cuda->gpu.capability, list_stale, blocks, THREADS, 0,
                                what, own));
    cuda_for_type(own.rows.type, [&](auto type) {
        constexpr lloyd_type T = decltype(type)::value;
        const auto kernel = fours ? measure<T, true> : measure<T, false>;
        status = cuda_launch_after(cuda->stream, cuda->gpu.capability, kernel,
                                   cuda_dist_grid(cuda, kernel, 0, own.p.f.count),
                                   CUDA_DIST_THREADS, 0, what, own, (const float *)cuda->centroids);
    });
    LLOYD_TRY(status);
    return cuda_launch_after(cuda->stream, cuda->gpu.capability, take_distances, blocks, THREADS, 0,
                             what, own);
}

} // namespace

lloyd_status lloyd_cuda_prune_look(cuda_kernels *cuda, const prune_own &own)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    const char *what = "measuring the distances of rows";
    if (!lloyd_cuda_int8_exact(config)) return look_by_dist(cuda, own, what);
    const int64_t blocks = std::min<int64_t>(cuda_divide_up(own.p.f.count, THREADS),
                                             BLOCKS * (int64_t)cuda->gpu.multiprocessors);
    return cuda_launch_after(cuda->stream, cuda->gpu.capability,
                             lloyd_cuda_int8_unsigned(config) ? look_at_codes<true>
                                                              : look_at_codes<false>,
                             blocks, THREADS, 0, what, own);
}
