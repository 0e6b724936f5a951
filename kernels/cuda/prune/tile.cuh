/* A tile of centroids in a warp's part of shared memory, rows in its registers, and the products of both by mma.sync.
 *
 * The centroids are the first operand, in shared memory as fragments of the instruction (image.cu). The rows are the second one: of 16 neighbouring
 * codes of a row, which a lane loads at once, the registers are fragments as they are, since the order of columns does not matter to a
 * sum of integers. A lane has the products of eight rows with every eighth centroid.
 */
#ifndef LLOYD_KERNELS_CUDA_PRUNE_TILE_CUH
#define LLOYD_KERNELS_CUDA_PRUNE_TILE_CUH

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/prune/image.cuh"
#include "kernels/cuda/prune/prune.cuh"

namespace prune_tile
{

constexpr int ROWS = 32, BLOCKS = ROWS / 8; /* rows that a warp has at a time */
constexpr int SLOTS = 2 * BLOCKS;           /* of them, those whose products a lane has */
constexpr int LIST = 1024;                  /* rows that are listed before they are compared */
constexpr int NOTES = 64;                   /* hits that are noted before they are written */
constexpr int32_t EXCLUDED =
    INT32_MIN; /* the score of the centroid that a row has: below any threshold */

/* Centroids of a tile, their digits, and PRUNE_HALFs of a row, of which PART are multiplied at a time: all, if there are two digits. */
template <int TILE_, int DIGITS_, int HALVES_> struct shape {
    static constexpr int TILE = TILE_, DIGITS = DIGITS_, HALVES = HALVES_;
    static constexpr int PART = HALVES <= 2 ? HALVES : HALVES == 4 ? 1 : 2, CHUNKS = HALVES / PART;
    static constexpr int OWN = TILE / 8; /* a lane's products with a row */
    static constexpr int DIGIT = TILE * HALVES * PRUNE_HALF, IMAGE = DIGITS * DIGIT;
    static constexpr int BYTES = IMAGE + TILE * (int)sizeof(int32_t) +
                                 LIST * (int)sizeof(uint16_t) + NOTES * (int)sizeof(prune_hit);
    static constexpr int SHARED = 227 * 1024, MOST_WARPS = 12;
    /* as many on each of the four parts of a multiprocessor */
    static constexpr int WARPS =
        (SHARED / BYTES < MOST_WARPS ? SHARED / BYTES : MOST_WARPS) / 4 * 4;
    static_assert(DIGITS == 1 || CHUNKS == 1);
};

/* The shared memory of a warp. */
struct memory {
    uint8_t *image;
    int32_t *bias; /* those of centroids n and n + 8 of 16 are neighbours */
    uint16_t *list;
    prune_hit *note;
};

template <class S> __device__ inline memory memory_of_warp(uint8_t *shared)
{
    memory m;
    m.image = shared + threadIdx.x / 32 * S::BYTES;
    m.bias = (int32_t *)(m.image + S::IMAGE);
    m.list = (uint16_t *)(m.bias + S::TILE);
    m.note = (prune_hit *)(m.list + LIST);
    return m;
}

/* Starts to copy the centroids from `place` on. By a warp. */
template <class S>
__device__ inline void copy_centroids(const prune_params &p, const memory &m, int place)
{
    const int lane = threadIdx.x % 32;
    const uint8_t *from = p.image + (int64_t)(place / S::TILE) * S::IMAGE + lane * INT8_PIECE;
    const uint32_t to = cuda_shared_address(m.image) + lane * INT8_PIECE;
#pragma unroll 8
    for (int at = 0; at < S::IMAGE; at += 32 * INT8_PIECE)
        cuda_copy_async<INT8_PIECE>(to + at, from + at);
    cuda_copy_commit();
#pragma unroll
    for (int n = lane; n < S::TILE; n += 32)
        m.bias[n / 16 * 16 + n % 8 * 2 + n % 16 / 8] = p.bias[place + n];
}

/* Of each HALF of a lane's rows, which are 8 b + lane / 4 of the 32, piece lane % 4. */
template <class S> struct pieces {
    uint4 x[BLOCKS][S::PART];
};

/* Beyond the end of a row the image is zero, so that anything may be there. */
template <class S>
__device__ inline void load_pieces(const prune_params &p, const uint8_t *codes,
                                   const uint32_t row[BLOCKS], int chunk, pieces<S> &rows)
{
    const int first = chunk * S::PART * PRUNE_PIECES + threadIdx.x % 4;
#pragma unroll
    for (int half = 0; half < S::PART; half++) {
        const int piece = min(first + PRUNE_PIECES * half, p.f.pieces - 1);
#pragma unroll
        for (int b = 0; b < BLOCKS; b++)
            rows.x[b][half] = __ldg((const uint4 *)(codes + (row[b] + piece * INT8_PIECE)));
    }
}

/* Adds the products of 16 centroids with 8 rows in 32 columns. */
template <bool UNSIGNED>
__device__ inline void multiply(int32_t sum[4], const uint4 &centroids, uint32_t row0,
                                uint32_t row1)
{
    if constexpr (UNSIGNED)
        asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.u8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
            "{%0,%1,%2,%3};"
            : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
            : "r"(centroids.x), "r"(centroids.y), "r"(centroids.z), "r"(centroids.w), "r"(row0),
              "r"(row1));
    else
        asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
            "{%0,%1,%2,%3};"
            : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
            : "r"(centroids.x), "r"(centroids.y), "r"(centroids.z), "r"(centroids.w), "r"(row0),
              "r"(row1));
}

/* The scores of a lane, g = lane / 4 and t = lane % 4: of centroid 16 j + g and rows 8 b + 2 t and the next at [j][b][0] and [1], of
 * centroid 16 j + 8 + g at [2] and [3]. Slot 2 b + i is row 8 b + 2 t + i. */
template <class S> struct scores {
    int32_t x[S::TILE / 16][BLOCKS][4];

    /* Of a slot and centroid 8 c + g. */
    __device__ int32_t &of(int slot, int c)
    {
        return x[c / 2][slot / 2][slot % 2 + c % 2 * 2];
    }
    __device__ int32_t of(int slot, int c) const
    {
        return x[c / 2][slot / 2][slot % 2 + c % 2 * 2];
    }
};

/* The biases of centroids 16 j + g and 16 j + 8 + g, as a lane needs them. */
__device__ inline int2 biases(const memory &m, int j)
{
    return *(const int2 *)(m.bias + 16 * j + threadIdx.x % 32 / 4 * 2);
}

/* Adds the products of a chunk with a digit of the centroids; FIRST: to what `begin` gives for 16 of them and eight rows. */
template <class S, bool UNSIGNED, bool FIRST, class Begin>
__device__ inline void multiply_chunk(const uint8_t *image, const pieces<S> &rows, int chunk,
                                      const Begin &begin, scores<S> &s)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < S::TILE / 16; j++) {
#pragma unroll
        for (int step = 0; step < 2 * S::PART; step++) {
            const uint4 centroids =
                *(const uint4 *)(image +
                                 ((j * S::HALVES + chunk * S::PART) * 2 + step) * PRUNE_FRAGMENT +
                                 lane * INT8_PIECE);
#pragma unroll
            for (int b = 0; b < BLOCKS; b++) {
                const uint4 row = rows.x[b][step / 2];
                int32_t *sum = s.x[j][b];
                if (FIRST && step == 0) begin(j, sum);
                multiply<UNSIGNED>(sum, centroids, step % 2 ? row.z : row.x,
                                   step % 2 ? row.w : row.y);
            }
        }
    }
}

/* The scores of whole rows, whose first chunk is in `rows`. */
template <class S, bool UNSIGNED>
__device__ inline void multiply_row(const prune_params &p, const memory &m, const uint8_t *codes,
                                    const uint32_t row[BLOCKS], pieces<S> &rows, scores<S> &s)
{
    if constexpr (S::DIGITS == 2) {
        const auto zero = [](int, int32_t sum[4]) { sum[0] = sum[1] = sum[2] = sum[3] = 0; };
        const auto finer = [&](int j, int32_t sum[4]) {
            const int2 bias = biases(m, j);
            for (int i = 0; i < 4; i++) sum[i] = INT8_FINE * sum[i] + (i < 2 ? bias.x : bias.y);
        };
        multiply_chunk<S, UNSIGNED, true>(m.image, rows, 0, zero, s);
        multiply_chunk<S, UNSIGNED, true>(m.image + S::DIGIT, rows, 0, finer, s);
        return;
    }
    const auto bias = [&](int j, int32_t sum[4]) {
        const int2 of = biases(m, j);
        sum[0] = sum[1] = of.x;
        sum[2] = sum[3] = of.y;
    };
    pieces<S> ahead;
    if constexpr (S::CHUNKS > 1) load_pieces(p, codes, row, 1, ahead);
    multiply_chunk<S, UNSIGNED, true>(m.image, rows, 0, bias, s);
#pragma unroll 1
    for (int chunk = 1; chunk < S::CHUNKS; chunk++) {
        rows = ahead;
        if (chunk + 1 < S::CHUNKS) load_pieces(p, codes, row, chunk + 1, ahead);
        multiply_chunk<S, UNSIGNED, false>(m.image, rows, chunk, bias, s);
    }
}

/* The greatest score of each slot of all lanes with the same rows: of slot lane / 4. */
__device__ inline int32_t greatest_of_lanes(const int32_t own[SLOTS])
{
    const int lane = threadIdx.x % 32;
    int32_t most[SLOTS];
#pragma unroll
    for (int s = 0; s < SLOTS; s++) most[s] = own[s];
#pragma unroll
    for (int half = SLOTS / 2; half > 0; half /= 2) {
        const bool upper = lane & 4 * half;
#pragma unroll
        for (int s = 0; s < half; s++) {
            const int32_t kept = upper ? most[s + half] : most[s];
            const int32_t sent = upper ? most[s] : most[s + half];
            most[s] = max(kept, __shfl_xor_sync(0xffffffffu, sent, 4 * half));
        }
    }
    return most[0];
}

/* Whether a lane of `votes` finishes a row of this slot (greatest_of_lanes()). */
__device__ inline bool has_slot(unsigned votes, int slot)
{
    return votes >> 4 * slot & 15;
}

/* What the lane that finishes a lane's row of a slot has. */
template <class T> __device__ inline T of_slot(T own, int slot)
{
    return __shfl_sync(0xffffffffu, own, 4 * slot + threadIdx.x % 4);
}

} // namespace prune_tile

#endif
