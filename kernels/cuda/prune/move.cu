/* See move.h; docs/numerics.md, section 2.8. */
#include "kernels/cuda/prune/move.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/prune_bound.h"

namespace
{

enum { THREADS = 256, WARPS = THREADS / 32 };

/* A warp per place. */
__global__ void find_moves(const float *centroids, float *before, int64_t set, int64_t dim,
                           const int32_t *order, int group_centroids, unsigned long long *moved,
                           uint32_t version, uint32_t *moved_at, double *path, double per_unit)
{
    cuda_await();
    const int lane = threadIdx.x % 32;
    for (int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; at < set;
         at += (int64_t)gridDim.x * WARPS) {
        const int64_t row = order[at] * dim;
        double square = 0;
        for (int64_t j = lane; j < dim; j += 32) {
            const float now = centroids[row + j];
            const double t = (double)now - (double)before[row + j];
            square = fma(t, t, square);
            before[row + j] = now;
        }
        for (int bit = 16; bit > 0; bit /= 2) square += __shfl_xor_sync(0xffffffffu, square, bit);
        if (lane > 0 || !(square > 0)) continue;
        moved_at[order[at]] = version;
        if (path) path[order[at]] = lloyd_group_drift(path[order[at]], square, per_unit);
        atomicMax(&moved[at / group_centroids], (unsigned long long)__double_as_longlong(square));
    }
}

/* shift[groups]: whether any group has one. */
__global__ void add_moves(int groups, double per_unit, unsigned long long *moved, double *drift,
                          int32_t *whole_drift, int32_t *shift)
{
    cuda_await();
    const int g = blockIdx.x * THREADS + threadIdx.x;
    if (g >= groups) return;
    double d = lloyd_group_drift(drift[g], __longlong_as_double((long long)moved[g]), per_unit);
    uint16_t less = 0;
    if (d > PRUNE_MOST_DRIFT) {
        d = lloyd_group_rebase(d, &less);
        shift[groups] = 1;
    }
    moved[g] = 0;
    shift[g] = less;
    drift[g] = d;
    whole_drift[g] = lloyd_group_whole(lloyd_bound_up(d));
}

__global__ void shift_bounds(int64_t tiles, int tile_rows, int groups, const int32_t *shift,
                             uint16_t *bounds)
{
    cuda_await();
    if (!shift[groups]) return;
    for (int64_t part = blockIdx.x; part < tiles * groups; part += gridDim.x) {
        const int less = shift[part % groups];
        for (int r = threadIdx.x; less && r < tile_rows; r += THREADS)
            bounds[part * tile_rows + r] =
                lloyd_group_shifted(bounds[part * tile_rows + r], (uint16_t)less);
    }
}

} // namespace

lloyd_status lloyd_cuda_prune_move(cuda_kernels *cuda, cuda_prune *s)
{
    const int64_t dim = cuda->base.config.dim, most = 4 * (int64_t)cuda->gpu.multiprocessors;
    const char *what = "measuring how far centroids have moved";
    const int capability = cuda->gpu.capability;
    CUDA_TRY(cudaMemsetAsync(&s->shift.data[s->groups], 0, sizeof(int32_t), cuda->stream), what);
    LLOYD_TRY(cuda_launch_after(cuda->stream, capability, find_moves,
                                std::min(cuda_divide_up(cuda->set, WARPS), most), THREADS, 0, what,
                                (const float *)cuda->centroids, s->before.data, cuda->set, dim,
                                (const int32_t *)s->order, s->group_centroids, s->moved.data,
                                ++s->version, s->moved_at.data, s->path.data, s->per_unit));
    LLOYD_TRY(cuda_launch_after(cuda->stream, capability, add_moves,
                                cuda_divide_up(s->groups, THREADS), THREADS, 0, what, s->groups,
                                s->per_unit, s->moved.data, s->drift.data, s->whole_drift.data,
                                s->shift.data));
    return cuda_launch_after(cuda->stream, capability, shift_bounds, most, THREADS, 0, what,
                             lloyd_cuda_prune_tiles(cuda, s), s->tile_rows, s->groups,
                             (const int32_t *)s->shift, s->bounds.data);
}
