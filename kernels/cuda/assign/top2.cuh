/* The best and second-best scores of a row, of all products or of those that matter. */
#ifndef LLOYD_KERNELS_CUDA_ASSIGN_TOP2_CUH
#define LLOYD_KERNELS_CUDA_ASSIGN_TOP2_CUH

#include "kernels/cuda/assign/certificate.cuh"

/* --- top-2 --- */

/* Best and second-best of one row as one thread has seen them: scores with the column's number in the
 * low six bits; and where the best one is. */
struct flash_top2 {
    unsigned best, second;
    int tile;
};

/* The centroid of a score. */
template <int WIDTH> __device__ inline int32_t flash_place(unsigned packed, int tile, int t)
{
    int column = (int)(packed & 63);
    return tile * WIDTH + column / 2 * 8 + 2 * t + column % 2;
}

/* What a thread has seen of one tile, of its two rows. */
struct flash_tile_top2 {
    unsigned best[2], second[2];
};

/* The scores of WIDTH centroids of a tile: w = bits * 64 + column of this thread, of which there were
 * `columns` before. `accumulator` holds, per 8 centroids, two of row 0 and two of row 1.
 *
 * First the best w, then the greatest of all differences w - best, as unsigned numbers: that of the best is 0, the
 * others wrap around and keep their order. No two w are equal, as columns differ, so this is the second-best. A
 * maximum of three, and a sum with a maximum, are one instruction each on compute capability 9.0: with the
 * multiply-add 2.5 for a score. */
template <int WIDTH>
__device__ inline void flash_keep_columns(const float *accumulator, unsigned score_factor,
                                          int columns, flash_tile_top2 &seen)
{
    constexpr int COUNT = WIDTH / 4; /* of a thread and a row */
#pragma unroll
    for (int h = 0; h < 2; h++) {
        unsigned w[COUNT], best = seen.best[h];
#pragma unroll
        for (int j = 0; j < COUNT; j++) {
            const float score = accumulator[4 * (j / 2) + 2 * h + j % 2];
            w[j] = __float_as_uint(score) * score_factor + (columns + j);
        }
#pragma unroll
        for (int j = 0; j < COUNT; j += 2) best = __vimax3_u32(best, w[j], w[j + 1]);
        /* two chains of maxima: one is too long to wait for */
        unsigned even = __viaddmax_u32(seen.best[h], 0 - best, seen.second[h] - best), odd = 0;
#pragma unroll
        for (int j = 0; j < COUNT; j += 2) {
            even = __viaddmax_u32(w[j], 0 - best, even);
            odd = __viaddmax_u32(w[j + 1], 0 - best, odd);
        }
        seen.best[h] = best;
        seen.second[h] = max(even, odd) + best;
    }
}

/* What was seen of a tile, into what is known of all. */
__device__ inline void flash_keep_tile(const flash_tile_top2 &seen, int tile, flash_top2 top[2])
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        top[h].second = max(max(top[h].second, seen.second[h]), min(top[h].best, seen.best[h]));
        if (seen.best[h] > top[h].best) {
            top[h].best = seen.best[h];
            top[h].tile = tile;
        }
    }
}

/* A whole tile at once. */
template <int WIDTH>
__device__ inline void flash_keep_top2(const float *accumulator, unsigned score_factor, int tile,
                                       flash_top2 top[2])
{
    flash_tile_top2 seen = {};
    flash_keep_columns<WIDTH>(accumulator, score_factor, 0, seen);
    flash_keep_tile(seen, tile, top);
}

/* What a thread knows of its two rows to tell which products matter, without bound columns. */
struct flash_pruner {
    __half2 norms[2];
    float error[2];   /* the greatest bound of the tile */
    unsigned best[2]; /* of the row so far, as in flash_top2 */
    float least[2];   /* scores below it do not matter; 0: not known yet */
    int product[2];   /* the bits of the product that makes it; INT_MIN: every product may */
    bool local;       /* flash_units' */
};

/* Before the products of a tile. */
__device__ inline void flash_begin_pruning(const flash_params &p, int tile, flash_pruner &pruner)
{
    const float4 most = __ldg(&p.most[tile]);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        pruner.error[h] = flash_error(pruner.norms[h], most.y, most.z);
        float product = __fsub_rd(__fsub_rd(pruner.least[h], most.x), pruner.error[h]);
        /* as integers, floats below zero are in the reverse order */
        pruner.product[h] = product <= 0 ? INT_MIN : __float_as_int(product);
    }
}

/* Of the eight products of a thread in 32 columns and one of its rows (at accumulator[4i] and the
 * one after it, i < 4), does any matter? Below zero, the greatest is not found; then none does. */
__device__ inline bool flash_matters(const float *accumulator, int product)
{
    int greatest = INT_MIN;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        greatest = max(greatest, max(__float_as_int(accumulator[4 * i]),
                                     __float_as_int(accumulator[4 * i + 1])));
    }
    return greatest >= product;
}

/* The score that a product makes. */
__device__ inline float flash_score(float product, float error, float bias)
{
    return __fadd_ru(bias, __fadd_ru(product, error));
}

/* Of a tile's biases, those of the two columns of a thread in the 8 columns from `column` on. */
__device__ inline float2 flash_biases(const float *biases, int column, int t)
{
    return *reinterpret_cast<const float2 *>(biases + column + 2 * t);
}

/* As flash_keep_top2(), of the products that matter. `biases` of the tile, in shared memory. All
 * threads of a warp. */
template <int WIDTH>
__device__ inline void flash_prune_top2(const flash_params &p, const float *accumulator,
                                        const float *biases, int tile, int t, flash_top2 top[2],
                                        flash_pruner &pruner)
{
    const unsigned all = 0xffffffffu;
    bool changed = false;
#pragma unroll
    for (int block = 0; block < WIDTH / 32; block++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const float *products = accumulator + 16 * block + 2 * h;
            if (!flash_matters(products, pruner.product[h])) continue;
            changed = true;
            unsigned best = 0;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float2 bias = flash_biases(biases, 32 * block + 8 * i, t);
                float first = flash_score(products[4 * i], pruner.error[h], bias.x);
                float other = flash_score(products[4 * i + 1], pruner.error[h], bias.y);
                unsigned a = __float_as_uint(first) * p.score_factor + (8 * block + 2 * i);
                unsigned b = __float_as_uint(other) * p.score_factor + (8 * block + 2 * i + 1);
                unsigned winner = max(a, b), loser = min(a, b);
                top[h].second = max(max(top[h].second, loser), min(max(top[h].best, best), winner));
                best = max(best, winner);
            }
            if (best > top[h].best) {
                top[h].best = best;
                top[h].tile = tile;
            }
        }
    }
    if (!__any_sync(all, changed)) return;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        unsigned best = top[h].best, second = top[h].second;
#pragma unroll
        for (int distance = 1; distance < 4; distance *= 2) {
            unsigned best2 = __shfl_xor_sync(all, best, distance);
            unsigned second2 = __shfl_xor_sync(all, second, distance);
            second = max(max(second, second2), min(best, best2));
            best = max(best, best2);
        }
        pruner.least[h] = fmaxf(pruner.least[h], flash_value(second));
        /* What is far enough below a new best for a certificate does not matter either; what that is
         * takes long to tell where it depends on distances. */
        if (!pruner.local && best > pruner.best[h]) {
            float slack = __fmaf_ru(2.0F, pruner.error[h], FLASH_SUM_SLACK + 1);
            pruner.least[h] = fmaxf(pruner.least[h], __fsub_rd(flash_value(best), slack));
            pruner.best[h] = best;
        }
    }
}

/* At the end: nothing that was left out scores more than the least that mattered. */
__device__ inline void flash_end_pruning(const flash_params &p, const flash_pruner &pruner,
                                         flash_top2 top[2])
{
#pragma unroll
    for (int h = 0; h < 2; h++)
        top[h].second = max(top[h].second, __float_as_uint(pruner.least[h]) * p.score_factor);
}

#endif
