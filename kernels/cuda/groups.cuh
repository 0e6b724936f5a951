/* Groups of rows on the device: which one a row, and a tile of centroids, is of. */
#ifndef LLOYD_KERNELS_CUDA_GROUPS_CUH
#define LLOYD_KERNELS_CUDA_GROUPS_CUH

#include <cstdint>

/* A group. */
struct cuda_group {
    int64_t first, rows;      /* its rows, local */
    int32_t begin, centroids; /* of the set */
    int32_t tile;             /* its first one in the image: no tile has centroids of two groups */
};

struct cuda_range {
    int64_t begin, end;
};

struct cuda_group_table {
    const cuda_group *group; /* [count] NULL: there are none */
    int count;
    unsigned long long *moved; /* [count] changed labels */

    /* The last one for which before(group) does not hold. */
    template <class Before> __device__ int find(Before before) const
    {
        int low = 0, high = count - 1;
        while (low < high) {
            const int middle = (low + high + 1) / 2;
            if (before(group[middle]))
                high = middle - 1;
            else
                low = middle;
        }
        return low;
    }
    /* The group of a row; 0 without groups. */
    __device__ int of(int64_t row) const
    {
        return group ? find([=](const cuda_group &g) { return row < g.first; }) : 0;
    }
    __device__ int of_tile(int64_t tile) const
    {
        return find([=](const cuda_group &g) { return tile < g.tile; });
    }
    /* Those of group g; without groups all of the set. */
    __device__ cuda_range centroids(int g, int64_t set) const
    {
        if (!group) return {0, set};
        return {group[g].begin, (int64_t)group[g].begin + group[g].centroids};
    }
};

#endif
