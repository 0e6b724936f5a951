/* The distance of each row to the centroid that it has, and what follows from it: the threshold of a score, and what a bound must be
 * above. docs/numerics.md, sections 2.7 and 2.8.
 *
 * Where rows are used as they are, both digits of a centroid give it almost exactly, for three bytes a column. Other rows are not their
 * codes, and the distance would be off by what rounding them leaves: dist() itself is worth its time there.
 */
#include "kernels/cuda/prune/own.h"

#include "kernels/cuda/int8/dot.cuh"
#include "kernels/cuda/int8/prepare.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_distance.cuh"

namespace
{

enum { THREADS = 256, BLOCKS = 4 };

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
    uint16_t reach = lloyd_group_whole(lloyd_group_reach(radius, p.per_unit));
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
        const bool exists = i < p.f.count;
        const int32_t k = exists ? o.labels[i] : 0;
        int all_high = 0, all_low = 0;
#pragma unroll 2
        for (int pass = 0; pass < 4; pass++) {
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

/* By dist(). */
struct keep_distance {
    double *distance; /* [rows] */

    __device__ void row(int64_t i, double own) const
    {
        distance[i] = own;
    }
    __device__ void finish() const
    {
    }
};

__global__ void __launch_bounds__(THREADS) take_distances(const __grid_constant__ prune_own o)
{
    cuda_await();
    const int8_units units = *o.p.f.units;
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < o.p.f.count)
        take_row(o, units, i, o.labels[i], sqrt(o.distance[i]) * (1 + PRUNE_SLACK));
}

} // namespace

lloyd_status lloyd_cuda_prune_look(cuda_kernels *cuda, const prune_own &own)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    const char *what = "measuring the distances of rows";
    if (!lloyd_cuda_int8_exact(config)) {
        LLOYD_TRY(cuda_each_own_distance(cuda, own.rows, own.labels, keep_distance{own.distance}));
        return cuda_launch_after(cuda->stream, cuda->gpu.capability, take_distances,
                                 cuda_divide_up(own.p.f.count, THREADS), THREADS, 0, what, own);
    }
    const int64_t blocks = std::min<int64_t>(cuda_divide_up(own.p.f.count, THREADS),
                                             BLOCKS * (int64_t)cuda->gpu.multiprocessors);
    return cuda_launch_after(cuda->stream, cuda->gpu.capability,
                             lloyd_cuda_int8_unsigned(config) ? look_at_codes<true>
                                                              : look_at_codes<false>,
                             blocks, THREADS, 0, what, own);
}
