/* Which of some centroids is nearest to a row, by dist(): docs/numerics.md, section 2. */
#ifndef LLOYD_KERNELS_CUDA_ASSIGN_NEAREST_CUH
#define LLOYD_KERNELS_CUDA_ASSIGN_NEAREST_CUH

#include "kernels/cuda/row_distance.cuh"

/* The nearest of some centroids: the smallest of those at the least distance. */
struct cuda_nearest {
    double least = INFINITY;
    int32_t label = INT32_MAX;

    __device__ void add(double distance, int32_t k)
    {
        if (distance < least || (distance == least && k < label)) {
            least = distance;
            label = k;
        }
    }
    __device__ void join(int bit) /* with the lane whose number differs in `bit` */
    {
        double distance = __shfl_xor_sync(0xffffffffu, least, bit);
        int32_t k = __shfl_xor_sync(0xffffffffu, label, bit);
        add(distance, k);
    }
    /* Where nothing is nearer than infinity, the definition takes the first. */
    __device__ int32_t result() const
    {
        return least < INFINITY ? label : 0;
    }
};

/* What an 8-lane group compares: row i with centroids list[c], or c itself without a list, for c = begin,
 * begin + 1 (CUDA_GROUP_ROWS), and from there `stride` on, below `end`; with `order`, the list has places in it. */
struct cuda_comparison {
    int64_t i;
    const int32_t *list;
    int64_t begin, end, stride;
    const int32_t *order;
};

/* The nearest of them, in lanes 0 and 1 of the group what each has found. By whole warps; 8-lane groups may
 * have different rows, and nothing to compare. Each c and its distance go to see(c, distance). */
template <lloyd_type T, bool VECTOR, int AHEAD, class See>
__device__ cuda_nearest cuda_compare(const cuda_rows &rows, const float *centroids,
                                     const cuda_comparison &own, const See &see)
{
    const int g = threadIdx.x % CUDA_GROUP_LANES;
    const int64_t same[CUDA_GROUP_ROWS] = {own.i, own.i};
    const int64_t left = own.end - own.begin;
    const unsigned passes = left > 0 ? (unsigned)((left - 1) / own.stride + 1) : 0,
                   most = __reduce_max_sync(0xffffffffu, passes);
    cuda_nearest found;
    int64_t c = own.begin;
#pragma unroll 1
    for (unsigned pass = 0; pass < most; pass++, c += own.stride) {
        cuda_centroid centroid[CUDA_GROUP_ROWS];
        int32_t number[CUDA_GROUP_ROWS];
#pragma unroll
        for (int r = 0; r < CUDA_GROUP_ROWS; r++) {
            number[r] = c + r >= own.end ? 0 : own.list ? own.list[c + r] : (int32_t)(c + r);
            if (own.order && c + r < own.end) number[r] = own.order[number[r]];
            centroid[r].at = centroids + number[r] * rows.dim;
        }
        double distance = cuda_group_dist<T, VECTOR, AHEAD>(rows, same, centroid, g);
        if (g < CUDA_GROUP_ROWS && c + g < own.end) {
            found.add(distance, number[g ? 1 : 0]);
            see(c + g, distance);
        }
    }
    return found;
}

template <lloyd_type T, bool VECTOR, int AHEAD>
__device__ cuda_nearest cuda_compare(const cuda_rows &rows, const float *centroids,
                                     const cuda_comparison &own)
{
    return cuda_compare<T, VECTOR, AHEAD>(rows, centroids, own, [](int64_t, double) {});
}

#endif
