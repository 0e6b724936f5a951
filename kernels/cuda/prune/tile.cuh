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
constexpr int NOTES = 128;                  /* hits that are noted before they are written */
/* The score of the centroid that a row has: below any threshold, by no more than 31 bits hold. */
constexpr int32_t EXCLUDED = INT8_ALL - (1 << 28);

/* Centroids of a tile, and PRUNE_HALFs of a row, of which PART are multiplied at a time. */
template <int TILE_, int HALVES_> struct shape {
    static constexpr int TILE = TILE_, HALVES = HALVES_, PART = HALVES <= 2 ? HALVES : 2;
    static constexpr int CHUNKS = HALVES / PART, OWN = TILE / 8; /* a lane's products with a row */
    static constexpr int IMAGE = TILE * HALVES * PRUNE_HALF;
    static constexpr int BYTES = IMAGE + TILE * (int)sizeof(int2) + LIST * (int)sizeof(uint16_t) +
                                 NOTES * (int)sizeof(prune_hit);
    static constexpr int SHARED = 227 * 1024, MOST_WARPS = 12;
    /* as many on each of the four parts of a multiprocessor */
    static constexpr int WARPS =
        (SHARED / BYTES < MOST_WARPS ? SHARED / BYTES : MOST_WARPS) / 4 * 4;
};

/* The shared memory of a warp. */
struct memory {
    uint8_t *image;
    int4 *bias; /* of 16 centroids eight times what the products of one lane are added to */
    uint16_t *list;
    prune_hit *note;
};

template <class S> __device__ inline memory memory_of_warp(uint8_t *shared)
{
    memory m;
    m.image = shared + threadIdx.x / 32 * S::BYTES;
    m.bias = (int4 *)(m.image + S::IMAGE);
    m.list = (uint16_t *)(m.bias + S::TILE / 2);
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
    for (int n = lane; n < S::TILE; n += 32) {
        const int at = place + n;
        const int32_t bias = at < p.f.set ? p.bias[p.f.order[at]] : INT8_FILLER;
        ((int2 *)&m.bias[n / 16 * 8 + n % 8])[n % 16 / 8] = make_int2(bias, bias);
    }
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

/* sum = the products of 16 centroids with 8 rows in 32 columns, and `from`, which may be `sum`. */
template <bool UNSIGNED>
__device__ inline void multiply(int32_t sum[4], const int32_t from[4], const uint4 &centroids,
                                uint32_t row0, uint32_t row1)
{
    if constexpr (UNSIGNED)
        asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.u8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
            "{%10,%11,%12,%13};"
            : "=r"(sum[0]), "=r"(sum[1]), "=r"(sum[2]), "=r"(sum[3])
            : "r"(centroids.x), "r"(centroids.y), "r"(centroids.z), "r"(centroids.w), "r"(row0),
              "r"(row1), "r"(from[0]), "r"(from[1]), "r"(from[2]), "r"(from[3]));
    else
        asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
            "{%10,%11,%12,%13};"
            : "=r"(sum[0]), "=r"(sum[1]), "=r"(sum[2]), "=r"(sum[3])
            : "r"(centroids.x), "r"(centroids.y), "r"(centroids.z), "r"(centroids.w), "r"(row0),
              "r"(row1), "r"(from[0]), "r"(from[1]), "r"(from[2]), "r"(from[3]));
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

/* Adds the products of a chunk; of the first one, to the biases. */
template <class S, bool UNSIGNED, bool FIRST>
__device__ inline void multiply_chunk(const memory &m, const pieces<S> &rows, int chunk,
                                      scores<S> &s)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < S::TILE / 16; j++) {
        int4 bias;
        if (FIRST) bias = m.bias[8 * j + lane / 4];
        const int32_t first[4] = {bias.x, bias.y, bias.z, bias.w};
#pragma unroll
        for (int step = 0; step < 2 * S::PART; step++) {
            const uint4 centroids =
                *(const uint4 *)(m.image +
                                 ((j * S::HALVES + chunk * S::PART) * 2 + step) * PRUNE_FRAGMENT +
                                 lane * INT8_PIECE);
#pragma unroll
            for (int b = 0; b < BLOCKS; b++) {
                const uint4 row = rows.x[b][step / 2];
                int32_t *sum = s.x[j][b];
                multiply<UNSIGNED>(sum, FIRST && step == 0 ? first : sum, centroids,
                                   step % 2 ? row.z : row.x, step % 2 ? row.w : row.y);
            }
        }
    }
}

/* The scores of whole rows, whose first chunk is in `rows`. */
template <class S, bool UNSIGNED>
__device__ inline void multiply_row(const prune_params &p, const memory &m, const uint8_t *codes,
                                    const uint32_t row[BLOCKS], pieces<S> &rows, scores<S> &s)
{
    pieces<S> ahead;
    if constexpr (S::CHUNKS > 1) load_pieces(p, codes, row, 1, ahead);
    multiply_chunk<S, UNSIGNED, true>(m, rows, 0, s);
#pragma unroll 1
    for (int chunk = 1; chunk < S::CHUNKS; chunk++) {
        rows = ahead;
        if (chunk + 1 < S::CHUNKS) load_pieces(p, codes, row, chunk + 1, ahead);
        multiply_chunk<S, UNSIGNED, false>(m, rows, chunk, s);
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
