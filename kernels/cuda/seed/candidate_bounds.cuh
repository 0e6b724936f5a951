/* Candidates on the GPU, leaf by leaf, and lower bounds of the distances of all pairs of a leaf, two bytes each. */
#ifndef LLOYD_KERNELS_CUDA_SEED_CANDIDATE_BOUNDS_CUH
#define LLOYD_KERNELS_CUDA_SEED_CANDIDATE_BOUNDS_CUH

#include "kernels/cuda/rows.cuh"

extern "C" {
#include "kernels/reduce.h"
}

#include <cfloat>

namespace
{

using word = unsigned long long;

/* A leaf, in device memory. */
struct job {
    const float *points;   /* [count * D] */
    const double *weights; /* [count] */
    uint16_t *bounds;      /* [count * pitch] */
    word *before;          /* [count] running sums of masses in each share, with their own */
    word *sums, *greatest; /* [2 * blocks] of the masses in each share */
    word *gains;           /* [3 * trials] */
    uint32_t *barrier;     /* blocks that came to a barrier */
    lloyd_choice *choices; /* [most] results: numbers in the leaf, -1 where no point is left */
    int64_t count, pitch, number, most;
    uint64_t seed;
};

constexpr int TILE = 64; /* points, in both directions */
constexpr int DEEP = 16; /* elements of them in shared memory */
constexpr int SIDE = 4;  /* a thread has SIDE x SIDE pairs */
constexpr int BOUND_THREADS = (TILE / SIDE) * (TILE / SIDE);

constexpr uint16_t NO_PAIR = 0x7f80; /* infinity */

/* A number with 8 bits of significand: the upper half of a float32. */
__device__ float bound_value(uint16_t bound)
{
    return __uint_as_float((uint32_t)bound << 16);
}

/* A bound of dist() below the float32 sum of the same squares. No term is negative, so that sum is above the
 * exact one by at most a factor of (1 + 2^-24)^(D + 2), as long as nothing is subnormal, and dist() below
 * it by D 2^-53 of itself: keep = 1 - (D + 8) 2^-23, or 0, leaves room for both. */
__device__ uint16_t bound_of(float sum, float keep)
{
    float low = fminf(sum, FLT_MAX) * keep;
    return low < 0x1p-100f ? 0 : (uint16_t)(__float_as_uint(low) >> 16);
}

/* Elements [at, at + DEEP) of the TILE points from `first` on, transposed; zeros where there are none. */
__device__ void stage_points(const float *points, int64_t count, int64_t dim, int64_t first,
                             int64_t at, float (*staged)[TILE + SIDE])
{
    for (int e = threadIdx.x; e < TILE * DEEP; e += BOUND_THREADS) {
        int64_t i = first + e / DEEP, j = at + e % DEEP;
        staged[e % DEEP][e / DEEP] = i < count && j < dim ? points[i * dim + j] : 0;
    }
}

struct uint16_quad {
    uint16_t of[SIDE];
};

/* bounds[i * pitch + j] for all i < count, j < pitch of every leaf, where pitch is a multiple of SIDE. Tiles below the
 * diagonal are the others, transposed. */
__global__ void __launch_bounds__(BOUND_THREADS)
    bound_pairs(const job *jobs, int64_t dim, float keep)
{
    __shared__ __align__(16) float x[DEEP][TILE + SIDE], y[DEEP][TILE + SIDE];
    const job &leaf = jobs[blockIdx.z];
    const float *points = leaf.points;
    const int64_t count = leaf.count, pitch = leaf.pitch;
    uint16_t *bounds = leaf.bounds;
    if (blockIdx.x < blockIdx.y || (int64_t)blockIdx.x * TILE >= pitch) return;
    const int64_t row = (int64_t)blockIdx.y * TILE, column = (int64_t)blockIdx.x * TILE;
    const int a = threadIdx.x / (TILE / SIDE) * SIDE, b = threadIdx.x % (TILE / SIDE) * SIDE;
    float sum[SIDE][SIDE] = {};
    for (int64_t at = 0; at < dim; at += DEEP) {
        stage_points(points, count, dim, row, at, x);
        stage_points(points, count, dim, column, at, y);
        __syncthreads();
#pragma unroll
        for (int j = 0; j < DEEP; j++) {
            float4 u = *reinterpret_cast<const float4 *>(&x[j][a]);
            float4 v = *reinterpret_cast<const float4 *>(&y[j][b]);
            const float left[SIDE] = {u.x, u.y, u.z, u.w}, right[SIDE] = {v.x, v.y, v.z, v.w};
#pragma unroll
            for (int s = 0; s < SIDE; s++) {
#pragma unroll
                for (int t = 0; t < SIDE; t++) {
                    float difference = left[s] - right[t];
                    sum[s][t] = __fmaf_rn(difference, difference, sum[s][t]);
                }
            }
        }
        __syncthreads();
    }
    uint16_quad across[SIDE], down[SIDE];
#pragma unroll
    for (int s = 0; s < SIDE; s++) {
#pragma unroll
        for (int t = 0; t < SIDE; t++) {
            bool pair = row + a + s < count && column + b + t < count;
            uint16_t bound = pair ? bound_of(sum[s][t], keep) : NO_PAIR;
            across[s].of[t] = bound;
            down[t].of[s] = bound;
        }
    }
#pragma unroll
    for (int s = 0; s < SIDE; s++) {
        int64_t i = row + a + s, j = column + b + s;
        if (i < count && column + b < pitch)
            *reinterpret_cast<uint16_quad *>(&bounds[i * pitch + column + b]) = across[s];
        if (j < count && row + a < pitch)
            *reinterpret_cast<uint16_quad *>(&bounds[j * pitch + row + a]) = down[s];
    }
}

} // namespace

#endif
