/* The shape and the shared memory of a block of the 8-bit filter, and the warps of it that compute thresholds. */
#ifndef LLOYD_KERNELS_CUDA_INT8_BLOCK_CUH
#define LLOYD_KERNELS_CUDA_INT8_BLOCK_CUH

#include "kernels/cuda/int8/dot.cuh"
#include "kernels/cuda/int8/int8.cuh"
#include "kernels/cuda/sm90/int8.cuh"

namespace int8_kernel
{

constexpr int WARPGROUP = 128, CODES = INT8_GROUP * INT8_CHUNK, STEP_BYTES = INT8_TILE * INT8_STEP;
constexpr int THRESHOLD_WARPS = 3, PASS = 32; /* rows that one of them works on at a time */
constexpr int BLOCKS = INT8_TILE / INT8_BLOCK;

/* The shape of a block. CHUNKS: of a row, at most. BUFFERS: of rows, for each warpgroup. STEPS: of a stage. LAST: of the last stage of a
 * tile. NOTES: candidates of a row that each of its four threads has room for. TURNS: the warpgroups ping-pong. */
template <int CHUNKS_, int GROUPS_, int BUFFERS_, int STAGES_, int STEPS_, int LAST_, int NOTES_,
          bool TURNS_>
struct shape {
    static constexpr int CHUNKS = CHUNKS_, GROUPS = GROUPS_, BUFFERS = BUFFERS_, STAGES = STAGES_;
    static constexpr int STEPS = STEPS_, LAST = LAST_, NOTES = NOTES_;
    static constexpr bool TURNS = TURNS_, IN_REGISTERS = CHUNKS == 1;
    static constexpr int ROWS = GROUPS * INT8_GROUP, THREADS = (GROUPS + 1) * WARPGROUP;
    static constexpr int STAGE = STEPS * STEP_BYTES;
    /* Tiles whose biases are needed: those in the ring, and the one before, since a warpgroup that has done its products of a tile is
     * through with the scores of the one before. */
    static constexpr int LEAST_STAGES = CHUNKS <= 4   ? CHUNKS
                                        : CHUNKS == 6 ? 5
                                        : CHUNKS == 8 ? 7
                                                      : 18;
    static constexpr int TILES = (STAGES + LEAST_STAGES - 1) / LEAST_STAGES + 1;
    /* Registers of a thread that multiplies and of the others, which share those that the block has from its start: the most of a
     * thread in multiples of 8. */
    static constexpr int REGISTERS = 65536 / THREADS / 8 * 8;
    static constexpr int MATH = GROUPS == 4 ? 104 : GROUPS == 3 ? 144 : 208;
    static constexpr int OTHER = (GROUPS + 1) * REGISTERS - GROUPS * MATH;
};

struct row_start {
    int32_t threshold, previous;
};

template <class S> struct group_control {
    uint64_t codes_copied[S::BUFFERS];
    uint64_t started[2], taken[2]; /* thresholds of a tile of rows: there; read */
    row_start start[2][INT8_GROUP];
    int32_t note[INT8_GROUP][4][S::NOTES];
};

template <class S> struct control {
    uint64_t full[S::STAGES], empty[S::STAGES];
    int listed, noted; /* places taken of the block's segment, and in its part of the candidates */
    int candidates, open; /* of rows that are not left open; rows that are */
    group_control<S> group[S::GROUPS];
    int8_tile tile[S::TILES];
};

template <class S> struct memory {
    uint8_t *codes, *stages;
    control<S> *c;
    __device__ explicit memory(uint8_t *shared)
        : codes(shared), stages(shared + S::GROUPS * S::BUFFERS * S::CHUNKS * CODES),
          c((control<S> *)(stages + S::STAGES * S::STAGE))
    {
    }
    static constexpr int BYTES =
        S::GROUPS * S::BUFFERS * S::CHUNKS * CODES + S::STAGES * S::STAGE + (int)sizeof(control<S>);
    static_assert(BYTES + 1024 <= 227 * 1024, "more shared memory than a block has");
    __device__ uint8_t *codes_of(int group, int buffer) const
    {
        return codes + (group * S::BUFFERS + buffer) * S::CHUNKS * CODES;
    }
};

/* Tiles of rows, of which a block takes every gridDim.x-th. */
template <class S> __device__ int row_tiles(const int8_params &p)
{
    return (p.count + S::ROWS - 1) / S::ROWS;
}

template <class S> __device__ int stages_of_tile(const int8_params &p)
{
    return (p.steps + S::STEPS - 1) / S::STEPS;
}

/* --- thresholds, three warps --- */

/* What a lane knows of a row before its threshold is computed. */
struct row_ahead {
    int32_t previous,
        guess; /* its label, -1: none; and the centroid to whose distance it is compared */
    bool exists;
};

__device__ inline row_ahead look_ahead(const int8_params &p, int64_t row)
{
    const bool exists = row < p.count;
    const int32_t label = exists ? p.labels[p.begin + row] : -1;
    const bool valid = label >= 0 && label < p.set;
    return {valid ? label : -1, valid ? label : 0, exists};
}

/* The products of PASS rows, from `first` on, with both digits of the centroids that they have; a warp, whose lanes have one row each,
 * but of whose lanes four share two rows while they multiply. */
template <bool UNSIGNED>
__device__ inline void multiply_own(const int8_params &p, int64_t first, const row_ahead &ahead,
                                    int *high, int *low)
{
    const int lane = threadIdx.x % 32, part = lane % 4;
#pragma unroll 1
    for (int half = 0; half < 2; half++) {
        const uint4 *code[2], *digit[2];
        int sum[2][2] = {};
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int i = 16 * half + 8 * h + lane / 4;
            const int64_t row = first + i < p.count ? first + i : 0;
            const int64_t k = __shfl_sync(0xffffffffu, ahead.guess, i);
            code[h] = (const uint4 *)(p.codes + row * p.stride);
            digit[h] = (const uint4 *)(p.digits + k * 2 * p.pieces * INT8_PIECE);
        }
#pragma unroll 2
        for (int piece = part; piece < p.pieces; piece += 4) {
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const uint4 x = code[h][piece];
                sum[h][0] = int8_dot(x, digit[h][piece], sum[h][0], UNSIGNED);
                sum[h][1] = int8_dot(x, digit[h][p.pieces + piece], sum[h][1], UNSIGNED);
            }
        }
#pragma unroll
        for (int h = 0; h < 2; h++) {
            int total[2];
#pragma unroll
            for (int d = 0; d < 2; d++) {
                int x = sum[h][d];
                x += __shfl_xor_sync(0xffffffffu, x, 1);
                x += __shfl_xor_sync(0xffffffffu, x, 2);
                total[d] = __shfl_sync(0xffffffffu, x, 4 * (lane % 8));
            }
            if (lane / 8 == 2 * half + h) *high = total[0], *low = total[1];
        }
    }
}

template <class S, bool UNSIGNED>
__device__ void compute_thresholds(const int8_params &p, const memory<S> &m, int warp)
{
    constexpr int PASSES = S::ROWS / PASS, OF_GROUP = INT8_GROUP / PASS;
    const int8_units units = *p.units;
    const double unit = (double)units.row * int8_centroid_unit(units);
    const int lane = threadIdx.x % 32, mine = row_tiles<S>(p) - blockIdx.x;
    const int all = mine > 0 ? (mine + gridDim.x - 1) / gridDim.x * PASSES : 0;
    /* pass by pass of all the block's tiles; the next one's labels are asked for in time */
    const auto first_of = [&](int pass) {
        const int64_t item = blockIdx.x + (int64_t)(pass / PASSES) * gridDim.x;
        return item * S::ROWS + pass % PASSES * PASS;
    };
    row_ahead next = {-1, 0, false};
    if (warp < all) next = look_ahead(p, first_of(warp) + lane);
    for (int pass = warp; pass < all; pass += THRESHOLD_WARPS) {
        const row_ahead ahead = next;
        const int64_t first = first_of(pass);
        const int8_row row = ahead.exists ? p.rows[first + lane] : make_float2(0, 0);
        const double own_bias = p.own_bias[ahead.guess];
        if (pass + THRESHOLD_WARPS < all)
            next = look_ahead(p, first_of(pass + THRESHOLD_WARPS) + lane);
        int high = 0, low = 0;
        multiply_own<UNSIGNED>(p, first, ahead, &high, &low);
        const double score = lloyd_bound_own_score(high, low, unit, own_bias);
        const int32_t threshold =
            ahead.exists ? int8_threshold(p, units, row, score) : (int32_t)INT8_FARTHEST;
        const int n = pass / PASSES, buffer = n & 1, at = pass % PASSES;
        group_control<S> &group = m.c->group[at / OF_GROUP];
        sm90_wait(&group.taken[buffer], (n >> 1 & 1) ^ 1);
        group.start[buffer][at % OF_GROUP * PASS + lane] = {threshold, ahead.previous};
        sm90_arrive(&group.started[buffer]);
    }
}

} // namespace int8_kernel

#endif
