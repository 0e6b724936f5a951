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
    const int8_t *codes; /* [set][2][pieces * INT8_PIECE] */
    const int32_t *order;
    uint4 *to;
    int64_t fragments; /* of 32 lanes each */
    int32_t set;
    int pieces, halves, digits;
    int sixteens; /* of a tile */
    /* of biases */
    const int32_t *coarse; /* with one digit, by centroid; with both: */
    const double *fine;
    int8_units *units;
    int32_t *bias;
    int64_t places;
};

/* Eight codes of the centroid in a place, from a column of the half on; zeros where there is none. */
__device__ inline uint2 codes_of(const image &m, int64_t place, int digit, int half, int column)
{
    const int piece = half * PRUNE_PIECES + column / INT8_PIECE;
    if (place >= m.set || piece >= m.pieces) return make_uint2(0, 0);
    const int64_t digits = 2 * (int64_t)m.order[place] + digit;
    return *(const uint2 *)(m.codes + (digits * m.pieces + piece) * INT8_PIECE +
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
        const int column = t * INT8_PIECE + (int)(at % 2) * 8, half = (int)(at / 2 % m.halves);
        const int64_t sixteen = at / (2 * m.halves), part = sixteen / m.sixteens;
        const int digit = (int)(part % m.digits);
        const int64_t place = (part / m.digits * m.sixteens + sixteen % m.sixteens) * 16 + g;
        const uint2 x = codes_of(m, place, digit, half, column),
                    y = codes_of(m, place + 8, digit, half, column);
        m.to[at * 32 + lane] = make_uint4(x.x, y.x, x.y, y.y);
    }
}

/* A thread per place. */
__global__ void __launch_bounds__(THREADS) make_biases(const __grid_constant__ image m)
{
    cuda_await();
    const int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (at >= m.places) return;
    int32_t bias = prune_filler(m.digits);
    if (at < m.set && m.digits == 1) bias = m.coarse[m.order[at]];
    if (at < m.set && m.digits == 2 &&
        !lloyd_bound_fine_bias(m.fine[m.order[at]], (double)m.units->row,
                               int8_centroid_unit(*m.units), &bias))
        m.units->fine_unusable = 1;
    m.bias[at] = bias;
}

} // namespace

int lloyd_cuda_prune_group(const lloyd_kernels_config *config, int64_t set)
{
    const int64_t unit = PRUNE_LEAST_GROUP;
    const int64_t wanted = cuda_divide_up(config->prune_group, unit) * unit;
    const int64_t least = cuda_divide_up(set, PRUNE_MOST_GROUPS * unit) * unit;
    return (int)std::max(wanted, least);
}

int lloyd_cuda_prune_digits(const lloyd_kernels_config *config)
{
    const int fine_group = 128; /* in groups of 256 and 2048 one digit took less time */
    const bool fine =
        config->dim <= INT8_FINE_COLUMNS && lloyd_cuda_prune_group(config, config->k) <= fine_group;
    return lloyd_cuda_int8_exact(config) && fine ? 2 : 1;
}

int lloyd_cuda_prune_tile(int64_t dim)
{
    return dim <= WIDE ? 64 : 32;
}

int64_t lloyd_cuda_prune_places(const lloyd_kernels_config *config, int64_t set)
{
    const int64_t tile = lloyd_cuda_prune_tile(config->dim);
    return cuda_divide_up(set, tile) * tile;
}

int lloyd_cuda_prune_halves(int64_t dim)
{
    const int64_t halves = cuda_divide_up(dim, PRUNE_HALF);
    for (int some : {1, 2, 4, 6, 8, 12, 16})
        if (halves <= some) return some;
    return 24;
}

int64_t lloyd_cuda_prune_image_bytes(const lloyd_kernels_config *config, int64_t set)
{
    return lloyd_cuda_prune_places(config, set) * lloyd_cuda_prune_digits(config) *
           lloyd_cuda_prune_halves(config->dim) * PRUNE_HALF;
}

lloyd_status lloyd_cuda_prune_make_image(cuda_kernels *cuda, cuda_prune *s)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    const cuda_int8 *f = &cuda->filter->int8;
    const char *what = "preparing the centroids for pruning";
    image m = {};
    m.codes = f->digits;
    m.order = s->order;
    m.to = (uint4 *)s->image.data;
    m.fragments = lloyd_cuda_prune_image_bytes(config, cuda->set) / PRUNE_FRAGMENT;
    m.set = (int32_t)cuda->set;
    m.pieces = (int)(lloyd_cuda_int8_stride(config->dim) / INT8_PIECE);
    m.halves = lloyd_cuda_prune_halves(config->dim);
    m.digits = lloyd_cuda_prune_digits(config);
    m.sixteens = lloyd_cuda_prune_tile(config->dim) / 16;
    m.coarse = f->bias;
    m.fine = f->own_bias;
    m.units = f->units;
    m.bias = s->bias;
    m.places = lloyd_cuda_prune_places(config, cuda->set);
    const int64_t blocks = std::min<int64_t>(cuda_divide_up(m.fragments, THREADS / 32),
                                             BLOCKS * (int64_t)cuda->gpu.multiprocessors);
    LLOYD_TRY(cuda_launch_after(cuda->stream, cuda->gpu.capability, make_biases,
                                cuda_divide_up(m.places, THREADS), THREADS, 0, what, m));
    return cuda_launch_after(cuda->stream, cuda->gpu.capability, make_image, blocks, THREADS, 0,
                             what, m);
}
