/* See image.cuh. */
#include "kernels/cuda/prune/image.cuh"

#include "kernels/cuda/assign/filter.h"
#include "kernels/cuda/int8/prepare.h"
#include "kernels/cuda/launch.cuh"

#include <algorithm>

namespace
{

enum { THREADS = 256, BLOCKS = 16 /* of a multiprocessor, at most */ };
constexpr int WIDE = 512; /* columns from which on a tile has fewer centroids */

struct image {
    const int8_t *digits;
    const int32_t *order;
    uint4 *to;
    int64_t fragments; /* of 32 lanes each */
    int32_t set;
    int pieces, halves;
};

/* Eight codes of the centroid in a place, from a column of the half on; zeros where there is none. */
__device__ inline uint2 codes_of(const image &m, int64_t place, int half, int column)
{
    const int piece = half * PRUNE_PIECES + column / INT8_PIECE;
    if (place >= m.set || piece >= m.pieces) return make_uint2(0, 0);
    return *(const uint2 *)(m.digits +
                            ((int64_t)m.order[place] * 2 * m.pieces + piece) * INT8_PIECE +
                            column % INT8_PIECE);
}

/* A thread per lane of a fragment. */
__global__ void __launch_bounds__(THREADS) make_image(const __grid_constant__ image m)
{
    cuda_await();
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int64_t step = (int64_t)gridDim.x * (THREADS / 32);
    for (int64_t at = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / 32; at < m.fragments;
         at += step) {
        const int half = (int)(at / 2 % m.halves), column = t * INT8_PIECE + (int)(at % 2) * 8;
        const int64_t place = at / (2 * m.halves) * 16 + g;
        const uint2 x = codes_of(m, place, half, column), y = codes_of(m, place + 8, half, column);
        m.to[at * 32 + lane] = make_uint4(x.x, y.x, x.y, y.y);
    }
}

} // namespace

int lloyd_cuda_prune_tile(int64_t dim)
{
    return dim <= WIDE ? 64 : 32;
}

int lloyd_cuda_prune_halves(int64_t dim)
{
    const int64_t halves = cuda_divide_up(dim, PRUNE_HALF);
    static_assert(WIDE == 8 * PRUNE_HALF, "tiles of 64 centroids end there");
    for (int some : {1, 2, 4, 6, 8, 12, 16})
        if (halves <= some) return some;
    return 24;
}

int64_t lloyd_cuda_prune_image_bytes(int64_t set, int64_t dim)
{
    const int64_t tile = lloyd_cuda_prune_tile(dim);
    return cuda_divide_up(set, tile) * tile * lloyd_cuda_prune_halves(dim) * PRUNE_HALF;
}

lloyd_status lloyd_cuda_prune_make_image(cuda_kernels *cuda, cuda_prune *s)
{
    const int64_t dim = cuda->base.config.dim;
    image m = {};
    m.digits = cuda->filter->int8.digits;
    m.order = s->order;
    m.to = (uint4 *)s->image.data;
    m.fragments = lloyd_cuda_prune_image_bytes(cuda->set, dim) / PRUNE_FRAGMENT;
    m.set = (int32_t)cuda->set;
    m.pieces = (int)(lloyd_cuda_int8_stride(dim) / INT8_PIECE);
    m.halves = lloyd_cuda_prune_halves(dim);
    const int64_t blocks = std::min<int64_t>(cuda_divide_up(m.fragments, THREADS / 32),
                                             BLOCKS * (int64_t)cuda->gpu.multiprocessors);
    return cuda_launch_after(cuda->stream, cuda->gpu.capability, make_image, blocks, THREADS, 0,
                             "preparing the centroids for pruning", m);
}
