/* See apart.h. The centroids are compared with the groups of centroids as rows are, by the kernel of pairs.cu: what that leaves of a row and a
 * group is the least distance to the others of the group. So the centroids get what rows have: codes, Z and |dx|. Their unit is the one
 * that centroids have as operands.
 */
#include "kernels/cuda/prune/apart.h"

#include "kernels/cuda/assign/filter.h"
#include "kernels/cuda/int8/prepare.h"
#include "kernels/cuda/prune/image.cuh"
#include "kernels/cuda/prune/pairs.h"

#include <algorithm>
#include <climits>

namespace
{

enum {
    THREADS = 256,
    WARPS = THREADS / 32,
    ROWS = 32,       /* of a centroid, at least, for this to be worth it */
    PIECE = 1 << 16, /* centroids that are compared at a time */
    TILE = 1024,     /* neighbouring ones, of the bounds; fewer where there are few: */
    SMALL_TILE = PRUNE_SCAN,
    AT_ONCE = 8 /* groups whose bounds are read together */
};

int tile_rows(int64_t set)
{
    return set < PIECE ? SMALL_TILE : TILE;
}

int64_t piece_rows(int64_t set)
{
    const int64_t tile = tile_rows(set);
    return cuda_divide_up(std::min<int64_t>(set, PIECE), tile) * tile;
}

int pitch_of(int groups)
{
    return (int)cuda_divide_up(groups, AT_ONCE) * AT_ONCE;
}

/* The units of centroids that are rows: one thread. */
__global__ void take_units(const int8_units *of_rows, int8_units *units)
{
    *units = *of_rows;
    units->row = (float)int8_centroid_unit(*of_rows);
    units->origin_length = 0;
    if (!lloyd_bound_serves((double)units->row, int8_centroid_unit(*units))) units->unusable = 1;
}

/* The biases of scores in that unit, of all places, of which there are `places`. A warp for each. */
__global__ void __launch_bounds__(THREADS)
    find_biases(const float *centroids, const float *origin, int64_t set, int64_t dim,
                const int32_t *order, int digits, int64_t places, int8_units *units, int32_t *bias)
{
    const int lane = threadIdx.x % 32;
    const double f = units->row, g = int8_centroid_unit(*units);
    for (int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; at < places;
         at += (int64_t)gridDim.x * WARPS) {
        if (at >= set) {
            if (lane == 0) bias[at] = prune_filler(digits);
            continue;
        }
        const int64_t k = order[at];
        lloyd_bound_centroid sums = {};
        for (int64_t j = lane; j < dim; j += 32) {
            double first, second;
            const double m = origin[j], c = (double)centroids[k * dim + j] - m;
            lloyd_bound_add_column(&sums, c, m, 0, g, &first, &second);
        }
        for (int bit = 16; bit > 0; bit /= 2) {
            sums.square += __shfl_xor_sync(0xffffffffu, sums.square, bit);
            sums.along += __shfl_xor_sync(0xffffffffu, sums.along, bit);
            sums.along_fine += __shfl_xor_sync(0xffffffffu, sums.along_fine, bit);
        }
        if (lane > 0) continue;
        const bool fits = digits == 1
                              ? lloyd_bound_bias(&sums, f, g, &bias[at])
                              : lloyd_bound_fine_bias(lloyd_bound_own_bias(&sums), f, g, &bias[at]);
        if (!fits) units->unusable = 1;
    }
}

/* What is known of a centroid before it is compared: nothing is looked for that reaches a threshold. */
__global__ void __launch_bounds__(THREADS)
    take_rows(const int8_units *units, int digits, double reach, const int8_row *described,
              const int32_t *place, int64_t set, prune_row *rows)
{
    const int64_t k = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (k >= set) return;
    prune_row row;
    row.own = place[k];
    row.threshold = INT_MAX;
    lloyd_bound_score(units, digits, reach, described[k].x, described[k].y, &row.z, &row.spread);
    rows[k] = row;
}

/* table[first + i][g] = piece[tile][g][row]. A block of 32 x 8 threads for 32 centroids and 32 groups. */
__global__ void turn_over(const uint16_t *piece, int tile_rows, int groups, int64_t first,
                          int count, int pitch, uint16_t *table)
{
    __shared__ uint16_t part[32][33];
    const int row0 = (int)blockIdx.x * 32, group0 = (int)blockIdx.y * 32;
    for (int g = threadIdx.y; g < 32 && group0 + g < groups; g += 8) {
        const int row = row0 + threadIdx.x;
        part[g][threadIdx.x] =
            piece[((int64_t)(row / tile_rows) * groups + group0 + g) * tile_rows + row % tile_rows];
    }
    __syncthreads();
    for (int r = threadIdx.y; r < 32 && row0 + r < count; r += 8)
        if (group0 + threadIdx.x < groups)
            table[(first + row0 + r) * pitch + group0 + threadIdx.x] = part[threadIdx.x][r];
}

/* A thread per row, which reads what its centroid has of AT_ONCE groups; neighbours' bounds are neighbours. */
__global__ void __launch_bounds__(THREADS)
    begin_bounds(const __grid_constant__ prune_own o, const uint16_t *table, int pitch)
{
    const prune_params &p = o.p;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < p.f.count;
         i += (int64_t)gridDim.x * THREADS) {
        const int64_t local = p.first + i;
        const uint16_t reach = p.reach[local - p.part * p.tile_rows];
        if (reach >= PRUNE_FARTHEST) continue; /* farther away than that, perhaps */
        const uint4 *apart = (const uint4 *)(table + (int64_t)o.labels[i] * pitch);
        uint16_t *bound = prune_bounds_of(p, local, 0);
        for (int group = 0; group < p.groups; group += AT_ONCE) {
            const uint4 x = *apart++;
            const uint32_t word[AT_ONCE / 2] = {x.x, x.y, x.z, x.w};
#pragma unroll
            for (int n = 0; n < AT_ONCE; n++) {
                if (group + n >= p.groups) break;
                const uint16_t there = (uint16_t)(word[n / 2] >> n % 2 * 16);
                uint16_t *to = bound + (int64_t)(group + n) * p.tile_rows;
                const uint16_t begun = lloyd_group_begun(there, reach, p.drift[group + n]);
                if (begun > 0) *to = max(*to, begun);
            }
        }
    }
}

/* Codes, Z, |dx| and biases of the centroids as rows. */
lloyd_status describe(cuda_kernels *cuda, cuda_prune *s, cuda_apart *a)
{
    const cuda_int8 *f = &cuda->filter->int8;
    const lloyd_kernels_config *config = &cuda->base.config;
    const int64_t set = cuda->set, dim = config->dim, places = lloyd_cuda_prune_places(config, set);
    const int blocks = lloyd_cuda_persistent_blocks(cuda, set, WARPS),
              digits = lloyd_cuda_prune_digits(config);
    const cuda_rows rows =
        {(const char *)cuda->centroids.data, nullptr, nullptr, set, dim, LLOYD_F32};
    take_units<<<1, 1, 0, cuda->stream>>>(f->units, a->units);
    find_biases<<<blocks, THREADS, 0, cuda->stream>>>(cuda->centroids, f->origin, set, dim,
                                                      s->order, digits, places, a->units, a->bias);
    LLOYD_TRY(lloyd_cuda_int8_describe(cuda, rows, a->units, a->described, a->codes));
    take_rows<<<(unsigned)cuda_divide_up(set, THREADS), THREADS, 0,
                cuda->stream>>>(a->units, digits, lloyd_cuda_int8_reach(cuda), a->described,
                                s->place, set, a->row);
    CUDA_LAUNCHED("measuring the distances between centroids");
    return LLOYD_OK;
}

/* The distances of centroids [first, first + count) to the groups. */
lloyd_status find_piece(cuda_kernels *cuda, cuda_prune *s, cuda_apart *a,
                        const prune_params &of_rows, int64_t first, int count)
{
    const char *what = "measuring the distances between centroids";
    const auto clear = [&](auto &array) {
        return lloyd_cuda_check(cudaMemsetAsync(array.data, 0,
                                                (size_t)array.count * sizeof *array.data,
                                                cuda->stream),
                                what);
    };
    LLOYD_TRY(clear(a->piece));
    LLOYD_TRY(clear(a->next));
    prune_params p = of_rows;
    p.f.codes = (const uint8_t *)a->codes.data + first * p.f.stride;
    p.f.count = count;
    p.f.units = a->units;
    p.f.counters = s->uncounted;
    p.first = p.part = 0;
    p.tile_rows = tile_rows(cuda->set);
    p.bias = a->bias;
    p.drift = a->still;
    p.whole_drift = a->still_whole;
    p.bounds = a->piece;
    p.row = a->row + first;
    p.reach = a->reach;
    p.next = a->next;
    p.most_hits = 0;
    p.hits_follow = false;
    LLOYD_TRY(lloyd_cuda_prune_pairs(cuda->gpu, p, false, cuda->stream));
    const dim3 blocks((unsigned)cuda_divide_up(count, 32), (unsigned)cuda_divide_up(s->groups, 32));
    turn_over<<<blocks, dim3(32, 8), 0, cuda->stream>>>(a->piece, p.tile_rows, s->groups, first,
                                                        count, pitch_of(s->groups), a->table);
    CUDA_LAUNCHED(what);
    return LLOYD_OK;
}

lloyd_status find(cuda_kernels *cuda, cuda_prune *s, const prune_params &p)
{
    cuda_apart *a = &s->apart;
    const char *what = "measuring the distances between centroids";
    CUDA_TRY(cudaMemsetAsync(a->still, 0, (size_t)s->groups * sizeof *a->still.data, cuda->stream),
             what);
    CUDA_TRY(cudaMemsetAsync(a->still_whole, 0, (size_t)s->groups * sizeof *a->still_whole.data,
                             cuda->stream),
             what);
    CUDA_TRY(cudaMemsetAsync(a->reach, 0, (size_t)a->reach.count * sizeof *a->reach.data,
                             cuda->stream),
             what);
    LLOYD_TRY(describe(cuda, s, a));
    for (int64_t first = 0; first < cuda->set; first += PIECE) {
        const int64_t count = std::min<int64_t>(PIECE, cuda->set - first);
        LLOYD_TRY(find_piece(cuda, s, a, p, first, (int)count));
    }
    a->found = true;
    return LLOYD_OK;
}

} // namespace

bool lloyd_cuda_apart_serves(const lloyd_kernels_config *config, int64_t set)
{
    return config->n_local >= ROWS * set;
}

void lloyd_cuda_apart_list(cuda_buffers &buffer, cuda_apart *a, const lloyd_kernels_config *config,
                           int64_t set, int groups)
{
    const bool serves = groups > 0 && lloyd_cuda_apart_serves(config, set);
    const char *what = "distances between centroids";
    buffer.optional(serves, a->units, 1, what);
    buffer.optional(serves, a->bias, serves ? lloyd_cuda_prune_places(config, set) : 0, what);
    buffer.optional(serves, a->codes, set * lloyd_cuda_int8_stride(config->dim), what);
    buffer.optional(serves, a->described, set, what);
    buffer.optional(serves, a->row, set, what);
    buffer.optional(serves, a->reach, piece_rows(set), what);
    buffer.optional(serves, a->piece, piece_rows(set) * groups, what);
    buffer.optional(serves, a->still, groups, what);
    buffer.optional(serves, a->still_whole, groups, what);
    buffer.optional(serves, a->next, 2, what);
    buffer.optional(serves, a->table, set * pitch_of(groups), what);
}

lloyd_status lloyd_cuda_apart_begin(cuda_kernels *cuda, const prune_own &own)
{
    cuda_prune *s = &cuda->filter->prune;
    if (!lloyd_cuda_apart_serves(&cuda->base.config, cuda->set)) return LLOYD_OK;
    if (!s->apart.found) LLOYD_TRY(find(cuda, s, own.p));
    begin_bounds<<<lloyd_cuda_persistent_blocks(cuda, own.p.f.count, THREADS), THREADS, 0,
                   cuda->stream>>>(own, s->apart.table, pitch_of(s->groups));
    CUDA_LAUNCHED("finding the first bounds of rows");
    return LLOYD_OK;
}
