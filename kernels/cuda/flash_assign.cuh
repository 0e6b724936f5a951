/* What the fused kernels share: the operands of the filter, how rows become fragments, the
 * certificate, and the lists of rows without one. docs/numerics.md, section 2.5, proves the bound.
 *
 * A score is one tensor-core product of operands that carry their own error bound. Beside its
 * columns, an operand has one more step of 16 columns, the slab: there the point holds 1024, 1024,
 * 1024, |x^| and |dx|, and the centroid M - |C|^2/2 in three float16 pieces (over 1024), |dC| +
 * what sums lose, and |c^| + |dC|. So what comes out of the tensor cores is M + (an upper bound of the
 * score of exactly this pair), with no further arithmetic. Scales are such that M + score always
 * lies in [2^17, 2^24), where the low 26 bits of a float are in the order of the numbers: six bits
 * more take the number of the column, and top-2 is integer maxima and minima.
 *
 * With many centroids hardly any score matters, and a step that serves all of them is dear. Then
 * there is no slab: centroids are sorted by length, so that those of a tile have much the same bias
 * and bounds, and a row compares bare products with what the greatest of these leave of its best
 * score so far. Only the few products above that become scores, by additions rounded upwards.
 *
 * A row without a certificate needs a second pass only if nobody knows which centroids come near its
 * best one. Each of the four threads that share a row knows its own best score, with the centroid,
 * and its second-best; where all second-best ones are too low to matter, the four best are all
 * candidates that there are: the row is complete. So it is with three of four rows that lie between
 * two centroids. Only kernels that spend much time on a row look.
 */
#ifndef LLOYD_KERNELS_CUDA_FLASH_ASSIGN_CUH
#define LLOYD_KERNELS_CUDA_FLASH_ASSIGN_CUH

#include "kernels/cuda/device.cuh"

/* Units of the filter: rows up to REACH long, with operands off by up to REST, are regular;
 * centroids beyond FAR (more than REACH + REST) are far. The longer rows are, the less the last bit
 * of a score weighs. */
constexpr float FLASH_REACH = 2400.0F;
constexpr float FLASH_REST = 16.0F;
constexpr float FLASH_FAR = 3072.0F;
constexpr float FLASH_ORIGIN = 13369344.0F; /* M = 12.75 * 2^20 */
constexpr float FLASH_LEAST = 786432.0F;    /* less than any centroid's score, */
constexpr float FLASH_FLOOR = 262144.0F; /* and more than filler's, which this is without bounds */
constexpr float FLASH_UNIT = 1024.0F;    /* what the slab multiplies biases by */
/* Each of the two scores of a comparison is off by less than 6 units of the slab's own sum: six
 * addends cut at the last bit of a number below 2^24. One more pays for dist(). */
constexpr float FLASH_GRID_SLACK = 13.0F;
/* The same without a slab: a bias and two additions, rounded upwards. */
constexpr float FLASH_SUM_SLACK = 4.0F;
/* The threshold of a row that is none: NaN, which nothing reaches. */
#define FLASH_NEVER __int_as_float(0x7fffffff)
constexpr int FLASH_STEP = 16;            /* columns of one matrix instruction */
constexpr int FLASH_CANDIDATES = 8;       /* room per row, if all rows were listed; */
constexpr int FLASH_MOST = 64;            /* fewer rows share it, up to so many each */
constexpr int FLASH_BLOCK_ROWS = 4 << 20; /* rows labelled at a time: bounds the lists */

/* Rows without a certificate. */
struct flash_lists {
    int *counters;      /* [4] listed, irregular, crowded, complete */
    int32_t *row;       /* [block] listed rows, of the slot */
    float *threshold;   /* [block] what a nearer centroid's score reaches */
    int32_t *found;     /* [block] number of candidates */
    int32_t *candidate; /* [block * FLASH_CANDIDATES] flash_room() of each row; a row with more is
                           compared with all centroids. From the back, as in row and found, and
                           FLASH_CANDIDATES each: of complete rows, whose candidates are known */
    int32_t *undecided; /* [block] irregular rows from the front, crowded ones from the back */
    int capacity;       /* block */
};
enum { FLASH_LISTED, FLASH_IRREGULAR, FLASH_CROWDED, FLASH_COMPLETE, FLASH_COUNTERS };

/* The filter's units, and how the bound deals with the roundings of operands (docs/numerics.md, 2.5).
 */
struct flash_units {
    float sigma;        /* the scale */
    float square;       /* mean square of |X| of ordinary rows */
    bool local;         /* dC counts with the distance of a row to the centroid, not its length */
    bool rows_local;    /* and so does dx */
    float lambda, gain; /* where `local`: a centroid's bias has gain |dC|^2 in it */
};

struct flash_params {
    cuda_rows rows; /* of the slot */
    int64_t begin;  /* rows [begin, begin + count) of the slot */
    int count;
    int steps;            /* of a row's columns, without the slab */
    bool vector;          /* rows can be read 16 bytes at a time */
    const uint8_t *image; /* the centroids' operands, tile by tile */
    int tiles;
    const float2 *bound; /* [K] flash_bound(), and |dC| where `local`, else 0; infinite where the
                            centroid can never be proved nearest */
    /* without a slab (else NULL), of the centroids as they are sorted: */
    const int32_t *order; /* [K] which one it is */
    const float *bias;    /* [tiles * width] M - |C|^2/2, rounded up to an integer */
    const float4 *most;   /* [tiles] greatest bias, greatest bounds */
    const flash_units *units;
    const float *offset;  /* [steps*16] -sigma * origin (flash_offset) */
    const __half2 *norms; /* [slot rows] |x^| and |dx|, rounded up; infinite: irregular */
    int32_t *labels;      /* of the slot */
    unsigned long long *moved;
    flash_lists lists;
    bool direct;      /* there is no second step: all rows without a certificate are undecided */
    unsigned shift;   /* 64, unknown to the compiler: it must stay one multiply-add */
    uint8_t *scratch; /* the wide kernel's operands of rows, per block */
};

/* --- columns --- */

/* A thread reads consecutive columns of a row, 16 bytes at a time, and takes them as they come: the
 * columns are permuted, for points and centroids alike, inside groups of `group` steps (0: not at
 * all). Column that sits at place p (0..15) of step s. */
__host__ __device__ constexpr int flash_column(int step, int place, int steps, int group)
{
    if (group == 0) return FLASH_STEP * step + place;
    int base = step / group * group;
    while (base + group > steps) {
        group /= 2;
        base = step / group * group;
    }
    return FLASH_STEP * base + 4 * group * (place % 8 / 2) + 4 * (step - base) + place / 8 * 2 +
           place % 2;
}

/* Steps that a thread's 16 bytes cover. */
__host__ __device__ constexpr int flash_group(lloyd_type type, bool vector)
{
    return !vector ? 1 : type == LLOYD_F32 ? 1 : type == LLOYD_F16 || type == LLOYD_BF16 ? 2 : 4;
}

/* Bytes of the operand image of a tile of `width` centroids, `steps` with the slab if there is one.
 * The image is what the matrix instructions read from shared memory, so that a tile is one plain
 * copy: per step, per 8 centroids, two core matrices (8 rows of 16 bytes), no swizzle. */
__host__ __device__ constexpr int64_t flash_tile_bytes(int64_t steps, int width)
{
    return steps * width * FLASH_STEP * 2;
}

__host__ __device__ constexpr int64_t flash_image_offset(int64_t centroid, int step, int place,
                                                         int steps, int width)
{
    int64_t tile = centroid / width;
    int row = (int)(centroid % width);
    return tile * flash_tile_bytes(steps, width) +
           (((int64_t)step * (width / 8) + row / 8) * 2 + place / 8) * 128 + row % 8 * 16 +
           place % 8 * 2;
}

/* --- the operand of an element: one fma and one rounding to float16, the same wherever it is
 * needed --- */

/* Bytes become floats by being written below 2^23: the constant goes into the offset, except where
 * rows have scales of their own. */
__host__ __device__ constexpr float flash_lift(lloyd_type type)
{
    return type == LLOYD_U8 ? 8388608.0F : type == LLOYD_I8 ? 8388736.0F : 0.0F;
}

__device__ inline float flash_offset(lloyd_type type, bool cosine, float origin, float sigma)
{
    return -sigma * ((cosine ? 0.0F : flash_lift(type)) + origin);
}

__device__ inline float flash_row_scale(const cuda_rows &rows, int64_t i, float sigma)
{
    return rows.lengths ? __fdiv_rn(sigma, __double2float_rn(rows.lengths[i])) : sigma;
}

/* The four elements of 32 bits of bytes, lifted. */
template <lloyd_type T> __device__ inline void flash_bytes(uint32_t word, float out[4])
{
    if (T == LLOYD_I8) word ^= 0x80808080u;
    for (int i = 0; i < 4; i++)
        out[i] = __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7440 + i));
}

/* Four consecutive elements from 4, 2 or 1 words; bytes are lifted, unless `cosine`. */
template <lloyd_type T>
__device__ inline void flash_quad(const uint32_t *words, bool cosine, float out[4])
{
    if constexpr (T == LLOYD_F32) {
        for (int i = 0; i < 4; i++) out[i] = __uint_as_float(words[i]);
    } else if constexpr (T == LLOYD_F16) {
        for (int i = 0; i < 2; i++) {
            float2 pair = __half22float2(*reinterpret_cast<const __half2 *>(&words[i]));
            out[2 * i] = pair.x, out[2 * i + 1] = pair.y;
        }
    } else if constexpr (T == LLOYD_BF16) {
        for (int i = 0; i < 2; i++) {
            out[2 * i] = __uint_as_float(words[i] << 16);
            out[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
        }
    } else {
        flash_bytes<T>(words[0], out);
        for (int i = 0; cosine && i < 4; i++) out[i] -= flash_lift(T); /* exact */
    }
}

template <lloyd_type T> __device__ inline float flash_lifted(float x, bool cosine)
{
    return cosine ? x : x + flash_lift(T); /* exact: bytes below 2^23 */
}

__device__ inline float flash_operand(float lifted, float scale, float offset)
{
    return __fmaf_rn(lifted, scale, offset);
}

__device__ inline uint32_t flash_pack(float low, float high)
{
    __half2 pair = __floats2half2_rn(low, high);
    return *reinterpret_cast<uint32_t *>(&pair);
}

/* Calls work(step, column, steps) for every piece in which a thread reads its columns of a row that
 * starts at a multiple of 16 bytes: `steps` steps from `step` on, which lie together in the row from
 * `column` on. All but t and the column are constants once the loop is unrolled. */
template <int STEPS, int GROUP, class Work>
__device__ inline void flash_for_chunks(int t, Work work)
{
#pragma unroll
    for (int base = 0; base < STEPS; base++) {
        int first = flash_column(base, 0, STEPS, GROUP); /* of thread 0 */
        int group = (flash_column(base, 2, STEPS, GROUP) - first) / 4;
        if (first % (FLASH_STEP * group) != 0) continue; /* not the first step of its group */
        work(base, first + 4 * group * t, group);
    }
}

/* Bytes of an element. */
__host__ __device__ constexpr int flash_size(lloyd_type type)
{
    return type == LLOYD_F32 ? 4 : type == LLOYD_F16 || type == LLOYD_BF16 ? 2 : 1;
}

/* `words` (4, 2 or 1) words to raw[step][0], raw[step][1], ... */
template <int SIZE>
__device__ inline void flash_take_words(const void *at, bool there, int words, int step,
                                        uint32_t (*raw)[SIZE])
{
    if (words == 4) {
        uint4 v = there ? *reinterpret_cast<const uint4 *>(at) : uint4{0, 0, 0, 0};
        uint32_t list[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int w = 0; w < 4; w++) raw[step + w / SIZE][w % SIZE] = list[w];
    } else if (words == 2) {
        uint2 v = there ? *reinterpret_cast<const uint2 *>(at) : uint2{0, 0};
        raw[step][0] = v.x;
        raw[step + 1 / SIZE][1 % SIZE] = v.y;
    } else {
        raw[step][0] = there ? *reinterpret_cast<const uint32_t *>(at) : 0;
    }
}

/* One row's share of a thread's A fragments (m16n8k16 and wgmma agree on them) from its elements as
 * they are stored: places 2t, 2t+1 and 2t+8, 2t+9 of every step go to fragment[step][half] and
 * fragment[step][half + 2]. `offset` is in shared memory. */
template <int STEPS, lloyd_type T, bool VECTOR>
__device__ inline void flash_convert_row(const uint32_t (*raw)[flash_size(T)], bool cosine,
                                         float scale, const float *offset, int t, int half,
                                         uint32_t (*fragment)[4])
{
    constexpr int GROUP = flash_group(T, VECTOR);
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        float x[4];
        flash_quad<T>(raw[step], cosine, x);
        int first = flash_column(step, 0, STEPS, GROUP);
        int group = (flash_column(step, 2, STEPS, GROUP) - first) / 4;
        float4 o = *reinterpret_cast<const float4 *>(offset + first + 4 * group * t);
        fragment[step][half] =
            flash_pack(flash_operand(x[0], scale, o.x), flash_operand(x[1], scale, o.y));
        fragment[step][half + 2] =
            flash_pack(flash_operand(x[2], scale, o.z), flash_operand(x[3], scale, o.w));
    }
}

/* The same of a row in global memory. One that does not exist is read as zeros, whatever operand
 * that gives. */
template <int STEPS, lloyd_type T, bool VECTOR>
__device__ inline void flash_load_row(const cuda_rows &rows, int64_t i, bool exists, float scale,
                                      const float *offset, int t, int half, uint32_t (*fragment)[4])
{
    constexpr int GROUP = flash_group(T, VECTOR), SIZE = flash_size(T);
    const char *row = rows.data + i * rows.dim * SIZE;
    uint32_t raw[STEPS][SIZE];
    /* all loads first */
    flash_for_chunks<STEPS, GROUP>(t, [&](int base, int column, int group) {
        if constexpr (VECTOR) {
            flash_take_words<SIZE>(row + (int64_t)column * SIZE, exists && column < rows.dim,
                                   group * SIZE, base, raw);
        } else {
            using element = typename cuda_element<T>::type;
            const element *at = reinterpret_cast<const element *>(row) + column;
            element quad[4];
#pragma unroll
            for (int e = 0; e < 4; e++)
                quad[e] = exists && column + e < rows.dim ? at[e] : element(0.0F);
#pragma unroll
            for (int w = 0; w < SIZE; w++)
                raw[base][w] = reinterpret_cast<const uint32_t *>(quad)[w];
        }
    });
    flash_convert_row<STEPS, T, VECTOR>(raw, rows.lengths != nullptr, scale, offset, t, half,
                                        fragment);
}

/* The point's side of the slab: places 2t and 2t+1 for its two rows; places 8..15 are zeros. */
__device__ inline void flash_slab_fragment(const __half2 norms[2], int t, uint32_t slab[2])
{
    const __half unit = __float2half_rn(FLASH_UNIT), zero = __float2half_rn(0.0F);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        __half2 pair = t == 0   ? __halves2half2(unit, unit)
                       : t == 1 ? __halves2half2(unit, __low2half(norms[h]))
                       : t == 2 ? __halves2half2(__high2half(norms[h]), zero)
                                : __halves2half2(zero, zero);
        slab[h] = *reinterpret_cast<uint32_t *>(&pair);
    }
}

/* --- top-2 --- */

/* Best and second-best of one row as one thread has seen them: scores with the column's number in the
 * low six bits; and where the best one is. */
struct flash_top2 {
    unsigned best, second;
    int tile;
};

/* The score itself: what a float's bits lose when they are multiplied by 64 is known of numbers from
 * 2^17 on, but below 2^25. */
__device__ inline float flash_value(unsigned packed)
{
    return __uint_as_float(0x48000000u | packed >> 6);
}

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

/* The scores of WIDTH centroids of a tile, two by two: w = bits * 64 + column of this thread, of which
 * there were `columns` before. `accumulator` holds, per 8 centroids, two of row 0 and two of row 1. */
template <int WIDTH>
__device__ inline void flash_keep_columns(const float *accumulator, unsigned shift, int columns,
                                          flash_tile_top2 &seen)
{
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int column = columns + 2 * j;
            unsigned a = __float_as_uint(accumulator[4 * j + 2 * h]) * shift + column;
            unsigned b = __float_as_uint(accumulator[4 * j + 2 * h + 1]) * shift + (column + 1);
            unsigned winner = max(a, b), loser = min(a, b);
            seen.second[h] = max(max(seen.second[h], loser), min(seen.best[h], winner));
            seen.best[h] = max(seen.best[h], winner);
        }
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
__device__ inline void flash_keep_top2(const float *accumulator, unsigned shift, int tile,
                                       flash_top2 top[2])
{
    flash_tile_top2 seen = {};
    flash_keep_columns<WIDTH>(accumulator, shift, 0, seen);
    flash_keep_tile(seen, tile, top);
}

/* What a thread knows of its two rows to tell which products matter, without a slab. */
struct flash_sieve {
    __half2 norms[2];
    float error[2];   /* the greatest bound of the tile */
    unsigned best[2]; /* of the row so far, as in flash_top2 */
    float least[2];   /* scores below it do not matter; 0: not known yet */
    int product[2];   /* the bits of the product that makes it; INT_MIN: every product may */
    bool local;       /* flash_units' */
};

/* What an operand's own errors come to, at most: of a row with these norms, and a centroid's two
 * bounds. */
__device__ inline float flash_error(__half2 norms, float for_norm, float for_rest)
{
    return __fmaf_ru(__low2float(norms), for_norm, __fmul_ru(__high2float(norms), for_rest));
}

/* The two numbers of a centroid that flash_error() wants, as one word. */
__device__ inline float flash_bound(__half for_norm, __half for_rest)
{
    __half2 pair = __halves2half2(for_norm, for_rest);
    return *reinterpret_cast<float *>(&pair);
}

__device__ inline float2 flash_bounds(float word)
{
    return __half22float2(*reinterpret_cast<const __half2 *>(&word));
}

/* By how much a row's best score must exceed another to prove that its centroid is nearer: `score`
 * of a centroid with `spread` |dC| (infinite: it never can); `errors`: flash_error() of the two. */
__device__ inline float flash_slack(const flash_units &units, __half2 norms, float score,
                                    float errors, float spread, float grid)
{
    if (!units.local) return __fadd_ru(__fadd_ru(errors, spread), grid);
    const float rest = __high2float(norms), length = __fadd_ru(__low2float(norms), rest);
    const float common = units.rows_local ? __fmul_ru(rest, length) : 0; /* |dx . X| */
    const float rounding = units.rows_local ? __fadd_ru(spread, rest) : spread;
    const float bias = __fmul_ru(__fmul_ru(spread, spread), units.gain);
    const float own = __fadd_ru(bias, errors);
    /* Half of the square of the distance, but for the errors. A low score less M may be rounded, by
     * 1/2: times lambda, that is paid for by what the grid's slack leaves. */
    float half = __fadd_ru(__fsub_ru(__fmul_ru(__fmul_ru(length, length), 0.5F),
                                     __fsub_rn(score, FLASH_ORIGIN)),
                           common);
    half = fmaxf(half, 0);
    const float square = __fmul_ru(2, __fadd_ru(__fadd_ru(half, own), 6));
    const float radius = __fadd_ru(rounding, __fsqrt_ru(__fmaf_ru(rounding, rounding, square)));
    float slack = __fmul_ru(__fadd_ru(1, units.lambda), __fmaf_ru(radius, rounding, own));
    slack = __fadd_ru(slack, __fmul_ru(units.lambda, half));
    if (units.rows_local) slack = __fmaf_ru(__fmul_ru(rest, rest), units.gain, slack);
    return __fadd_ru(slack, grid + 1); /* 1: the factor before the winner's own 6 */
}

/* Before the products of a tile. */
__device__ inline void flash_set_sieve(const flash_params &p, int tile, flash_sieve &sieve)
{
    const float4 most = __ldg(&p.most[tile]);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        sieve.error[h] = flash_error(sieve.norms[h], most.y, most.z);
        float product = __fsub_rd(__fsub_rd(sieve.least[h], most.x), sieve.error[h]);
        /* as integers, floats below zero are in the reverse order */
        sieve.product[h] = product <= 0 ? INT_MIN : __float_as_int(product);
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
__device__ inline void flash_sift_top2(const flash_params &p, const float *accumulator,
                                       const float *biases, int tile, int t, flash_top2 top[2],
                                       flash_sieve &sieve)
{
    const unsigned all = 0xffffffffu;
    bool changed = false;
#pragma unroll
    for (int block = 0; block < WIDTH / 32; block++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const float *products = accumulator + 16 * block + 2 * h;
            if (!flash_matters(products, sieve.product[h])) continue;
            changed = true;
            unsigned best = 0;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float2 bias = flash_biases(biases, 32 * block + 8 * i, t);
                float first = flash_score(products[4 * i], sieve.error[h], bias.x);
                float other = flash_score(products[4 * i + 1], sieve.error[h], bias.y);
                unsigned a = __float_as_uint(first) * p.shift + (8 * block + 2 * i);
                unsigned b = __float_as_uint(other) * p.shift + (8 * block + 2 * i + 1);
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
        sieve.least[h] = fmaxf(sieve.least[h], flash_value(second));
        /* What is far enough below a new best for a certificate does not matter either; what that is
         * takes long to tell where it depends on distances. */
        if (!sieve.local && best > sieve.best[h]) {
            float slack = __fmaf_ru(2.0F, sieve.error[h], FLASH_SUM_SLACK + 1);
            sieve.least[h] = fmaxf(sieve.least[h], __fsub_rd(flash_value(best), slack));
            sieve.best[h] = best;
        }
    }
}

/* At the end: nothing that was left out scores more than the least that mattered. */
__device__ inline void flash_add_sieve(const flash_params &p, const flash_sieve &sieve,
                                       flash_top2 top[2])
{
#pragma unroll
    for (int h = 0; h < 2; h++)
        top[h].second = max(top[h].second, __float_as_uint(sieve.least[h]) * p.shift);
}

/* What became of a row in the first step. */
struct flash_verdict {
    int32_t label;
    float threshold; /* of a row without certificate; NaN: to be compared with all centroids */
    bool certified;
};

/* `index`: the winner's place. Without a slab its score holds the greatest bound of its tile. */
template <int WIDTH>
__device__ inline flash_verdict flash_judge(const flash_params &p, unsigned best, unsigned second,
                                            int32_t index, __half2 norms)
{
    const float2 bound = p.bound[index], own = flash_bounds(bound.x);
    const float error = flash_error(norms, own.x, own.y), score = flash_value(best);
    float errors = __fmul_ru(2, error), grid = FLASH_GRID_SLACK;
    if (p.order) {
        const float4 most = p.most[index / WIDTH];
        errors = __fadd_ru(error, flash_error(norms, most.y, most.z));
        grid = FLASH_SUM_SLACK;
        index = p.order[index];
    }
    const float slack = flash_slack(*p.units, norms, score, errors, bound.y, grid);
    flash_verdict verdict = {index, __fsub_rd(score, slack), score - flash_value(second) > slack};
    /* above the filler of the last tile */
    if (p.direct || !(verdict.threshold > FLASH_LEAST)) verdict.threshold = FLASH_NEVER;
    return verdict;
}

/* The row that a thread of a quad ends: threads 0 and 1 one each. */
__device__ inline bool flash_owns(int t, const int32_t row[2])
{
    return t < 2 && (t ? row[1] : row[0]) >= 0;
}

/* Appends rows without a certificate to the list in global memory. All threads of a warp; `listed`
 * and what follows: of the row that the thread owns. */
struct flash_global_list {
    const flash_params &p;

    /* A place for each of the rows in `votes` that counter `which` counts. */
    __device__ int reserve(int which, unsigned votes, int lane) const
    {
        int base = 0;
        if (lane == 0 && votes) base = atomicAdd(&p.lists.counters[which], __popc(votes));
        base = __shfl_sync(0xffffffffu, base, 0);
        return base + __popc(votes & ((1u << lane) - 1));
    }

    template <int WIDTH>
    __device__ void add(bool listed, int32_t row, float threshold, int lane,
                        const flash_top2 *) const
    {
        const unsigned votes = __ballot_sync(0xffffffffu, listed);
        if (!votes) return;
        int at = reserve(FLASH_LISTED, votes, lane);
        if (!listed) return;
        p.lists.row[at] = row;
        p.lists.threshold[at] = threshold;
        p.lists.found[at] = 0;
    }
};

/* The same, and complete rows apart, with their candidates: a few more instructions per row, which
 * pay where a row takes many products. Not for centroids that were sorted (p.order). */
struct flash_knowing_list {
    flash_global_list list;

    /* Whether no thread of the quad has seen a score that matters but its best, of the row that it
     * owns. */
    __device__ bool complete(bool listed, float threshold, int t, const flash_top2 top[2]) const
    {
        unsigned rest[2];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            rest[h] = top[h].second;
#pragma unroll
            for (int distance = 1; distance < 4; distance *= 2)
                rest[h] = max(rest[h], __shfl_xor_sync(0xffffffffu, rest[h], distance));
        }
        return listed && flash_value(t ? rest[1] : rest[0]) < threshold;
    }

    template <int WIDTH>
    __device__ void add(bool listed, int32_t row, float threshold, int lane,
                        const flash_top2 top[2]) const
    {
        const unsigned all = 0xffffffffu;
        const int t = lane % 4, quad = lane - t;
        if (!__any_sync(all, listed)) return;
        const bool known = complete(listed, threshold, t, top);
        list.add<WIDTH>(listed && !known, row, threshold, lane, top);
        const unsigned votes = __ballot_sync(all, known);
        if (!votes) return;
        const flash_lists &lists = list.p.lists;
        const int at = lists.capacity - 1 - list.reserve(FLASH_COMPLETE, votes, lane);
        int count = 0;
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const bool wanted = __shfl_sync(all, (int)known, quad + h);
            const float least = __shfl_sync(all, threshold, quad + h);
            const int64_t slot = __shfl_sync(all, at, quad + h);
            const bool reached = wanted && flash_value(top[h].best) >= least;
            const unsigned mates = __ballot_sync(all, reached) >> quad & 15;
            if (t == h) count = __popc(mates);
            if (reached)
                lists.candidate[slot * FLASH_CANDIDATES + __popc(mates & ((1u << t) - 1))] =
                    flash_place<WIDTH>(top[h].best, top[h].tile, t);
        }
        if (!known) return;
        lists.row[at] = row;
        lists.found[at] = count;
    }
};

/* Ends the two rows of each quad of threads: the four threads' findings together, the certificate,
 * and the label or an entry in a list. All threads of a warp; row: of the slot, -1 for none;
 * `previous`: the label so far of the row that the thread owns. Adds changed labels to `moved`. */
template <int WIDTH, class List>
__device__ inline void flash_settle(const flash_params &p, const flash_top2 top[2],
                                    const int32_t row[2], const __half2 norms[2], int32_t previous,
                                    int lane, unsigned &moved, const List &list)
{
    const unsigned all = 0xffffffffu;
    const int t = lane % 4;
    unsigned best[2], second[2];
    int32_t index[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        best[h] = top[h].best;
        second[h] = top[h].second;
        index[h] = flash_place<WIDTH>(top[h].best, top[h].tile, t);
#pragma unroll
        for (int distance = 1; distance < 4; distance *= 2) {
            unsigned other_best = __shfl_xor_sync(all, best[h], distance);
            unsigned other_second = __shfl_xor_sync(all, second[h], distance);
            int32_t other = __shfl_xor_sync(all, index[h], distance);
            second[h] = max(max(second[h], other_second), min(best[h], other_best));
            if (other_best > best[h]) {
                best[h] = other_best;
                index[h] = other;
            }
        }
    }
    const int32_t mine = t ? row[1] : row[0];
    flash_verdict verdict = {0, 0, true};
    if (flash_owns(t, row)) {
        verdict = flash_judge<WIDTH>(p, t ? best[1] : best[0], t ? second[1] : second[0],
                                     t ? index[1] : index[0], t ? norms[1] : norms[0]);
        if (verdict.certified && previous != verdict.label) {
            p.labels[mine] = verdict.label;
            moved++;
        }
    }
    const bool listed = !verdict.certified && verdict.threshold == verdict.threshold;
    if (!verdict.certified && !listed)
        p.lists.undecided[atomicAdd(&p.lists.counters[FLASH_IRREGULAR], 1)] = mine;
    list.template add<WIDTH>(listed, mine, verdict.threshold, lane, top);
}

/* --- verify --- */

/* Candidates that a listed row has room for. */
__device__ inline int flash_room(const flash_lists &lists)
{
    int64_t room = (int64_t)FLASH_CANDIDATES * (lists.capacity - lists.counters[FLASH_COMPLETE]);
    int listed = lists.counters[FLASH_LISTED];
    return listed > 0 && room < (int64_t)FLASH_MOST * listed ? (int)(room / listed) : FLASH_MOST;
}

/* Few rows are left to verify: the centroid tiles are split as well. The number of parts that
 * spreads `tiles` row tiles best over `blocks`, where a row tile costs as much as FLASH_START
 * centroid tiles before its first one. */
constexpr int FLASH_START = 2, FLASH_PARTS = 16;

__device__ inline int flash_parts(int tiles, int centroid_tiles, int blocks)
{
    int best = 1;
    int64_t least = INT64_MAX;
    for (int parts = 1; parts <= FLASH_PARTS && parts <= centroid_tiles; parts++) {
        int64_t rounds = ((int64_t)tiles * parts + blocks - 1) / blocks;
        int64_t cost = rounds * ((centroid_tiles + parts - 1) / parts + FLASH_START);
        if (cost < least) least = cost, best = parts;
    }
    return best;
}

/* What there is to do: item by item, a tile of rows (item / parts) and the centroid tiles
 * [first, last) of its part. */
struct flash_work {
    int items, parts;
    int count; /* rows, of the slot or of the list */
    int room;  /* flash_room() */
    __device__ flash_work(const flash_params &p, int rows_of_tile, int workers, bool verify)
    {
        count = verify ? p.lists.counters[FLASH_LISTED] : p.count;
        int tiles = (count + rows_of_tile - 1) / rows_of_tile;
        parts = verify ? flash_parts(tiles, p.tiles, workers) : 1;
        items = tiles * parts;
        room = verify ? flash_room(p.lists) : 0;
    }
    __device__ int first(const flash_params &p, int item) const
    {
        return (int)((int64_t)p.tiles * (item % parts) / parts);
    }
    __device__ int last(const flash_params &p, int item) const
    {
        return (int)((int64_t)p.tiles * (item % parts + 1) / parts);
    }
};

__device__ inline void flash_add_candidate(const flash_params &p, int room, int at,
                                           int32_t centroid)
{
    int place = atomicAdd(&p.lists.found[at], 1);
    if (place < room) p.lists.candidate[(int64_t)at * room + place] = centroid;
}

/* The centroids of a tile whose scores reach the thresholds of two listed rows (`at`: their places
 * in the list) become candidates. */
template <int WIDTH>
__device__ inline void flash_keep_candidates(const flash_params &p, int room,
                                             const float *accumulator, int tile, int t,
                                             const float threshold[2], const int at[2])
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float greatest = 0;
#pragma unroll
        for (int j = 0; j < WIDTH / 8; j++) {
            greatest =
                fmaxf(greatest, fmaxf(accumulator[4 * j + 2 * h], accumulator[4 * j + 2 * h + 1]));
        }
        if (!(greatest >= threshold[h])) continue; /* NaN: no row */
        unsigned reached[2] = {0, 0};
#pragma unroll
        for (int j = 0; j < WIDTH / 8; j++) {
#pragma unroll
            for (int b = 0; b < 2; b++) {
                int column = 2 * j + b;
                if (accumulator[4 * j + 2 * h + b] >= threshold[h])
                    reached[column / 32] |= 1u << column % 32;
            }
        }
        for (int word = 0; word < 2; word++) {
            while (reached[word]) {
                int column = 32 * word + __ffs((int)reached[word]) - 1;
                reached[word] &= reached[word] - 1;
                flash_add_candidate(p, room, at[h],
                                    tile * WIDTH + column / 2 * 8 + 2 * t + column % 2);
            }
        }
    }
}

/* The same without a slab; the thresholds are sieve.least, `biases` those of the tile. */
template <int WIDTH>
__device__ inline void flash_sift_candidates(const flash_params &p, int room,
                                             const float *accumulator, const float *biases,
                                             int tile, int t, const flash_sieve &sieve,
                                             const int at[2])
{
#pragma unroll
    for (int block = 0; block < WIDTH / 32; block++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const float *products = accumulator + 16 * block + 2 * h;
            if (!flash_matters(products, sieve.product[h])) continue;
            unsigned reached = 0;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float2 bias = flash_biases(biases, 32 * block + 8 * i, t);
                if (flash_score(products[4 * i], sieve.error[h], bias.x) >= sieve.least[h])
                    reached |= 1u << 2 * i;
                if (flash_score(products[4 * i + 1], sieve.error[h], bias.y) >= sieve.least[h])
                    reached |= 2u << 2 * i;
            }
            while (reached) {
                int column = __ffs((int)reached) - 1;
                reached &= reached - 1;
                int place = tile * WIDTH + 32 * block + column / 2 * 8 + 2 * t + column % 2;
                flash_add_candidate(p, room, at[h], p.order[place]);
            }
        }
    }
}

#endif
