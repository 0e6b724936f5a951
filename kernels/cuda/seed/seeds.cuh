/* What seeding knows of every row, and its mass. */
#ifndef LLOYD_KERNELS_CUDA_SEED_SEEDS_CUH
#define LLOYD_KERNELS_CUDA_SEED_SEEDS_CUH

#include "kernels/cuda/row_distance.cuh"

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

/* Of the rows from local row `first` on. */
static inline cuda_seeds cuda_seeds_from(const cuda_kernels *cuda, int64_t first)
{
    return {cuda->nearest_distance + first, cuda->nearest + first,
            cuda->weights ? cuda->weights + first : nullptr};
}

#endif
