/* What seeding knows of every row, and its mass. */
#ifndef LLOYD_KERNELS_CUDA_SEED_SEEDS_CUH
#define LLOYD_KERNELS_CUDA_SEED_SEEDS_CUH

#include "kernels/cuda/row_distance.cuh"

#include "base/philox.h"

/* What the rows of a slot know of the centroids so far. */
struct cuda_seeds {
    double *distance;     /* [count] */
    int32_t *nearest;     /* [count] */
    const float *weights; /* [count], NULL without */
};

__device__ inline double cuda_row_mass(const cuda_seeds &s, int64_t i, double distance)
{
    double weight = s.weights ? (double)s.weights[i] : 1;
    return isinf(distance) ? weight : lloyd_mul(weight, distance);
}

/* Whether row `number` is taken in a round of kmeans||: floor(u total / 2^64) < oversampling * mass, whose product has up to 128 bits, with
 * u = the first 64 bits of lloyd_philox64(seed, LLOYD_DRAW_KMEANSPAR, number, round). */
__device__ inline bool cuda_takes_row(uint64_t seed, uint32_t round, uint64_t number,
                                      uint64_t total, uint64_t oversampling, uint64_t mass)
{
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t counter = {
        {LLOYD_DRAW_KMEANSPAR, (uint32_t)number, (uint32_t)(number >> 32), round}};
    const philox4x32_ctr_t random = philox4x32(counter, key);
    const uint64_t point = __umul64hi((uint64_t)random.v[1] << 32 | random.v[0], total);
    return __umul64hi(mass, oversampling) != 0 || point < mass * oversampling;
}

/* Of the rows from local row `first` on. */
static inline cuda_seeds cuda_seeds_from(const cuda_kernels *cuda, int64_t first)
{
    return {cuda->nearest_distance + first, cuda->nearest + first,
            cuda->weights ? cuda->weights + first : nullptr};
}

#endif
