/* The state of the filter. */
#ifndef LLOYD_KERNELS_CUDA_ASSIGN_FILTER_H
#define LLOYD_KERNELS_CUDA_ASSIGN_FILTER_H

#include "kernels/cuda/assign/assign.h"
#include "kernels/cuda/assign/certificate.cuh"
#include "kernels/cuda/assign/registry.h"
#include "kernels/cuda/int8/filter.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/prune/prune.h"

/* The centroids sorted by length, and what a kernel that prunes knows of them. */
struct cuda_pruning {
    cuda_array<uint32_t> length, sorted_length; /* [padded set] squared, the bits of a float */
    cuda_array<int32_t> number, order;          /* [padded set] */
    cuda_array<float> bias;                     /* [padded set] */
    cuda_array<float4> most;                    /* [tiles] */
    cuda_array<char> sorter;                    /* CUB's space */
};

struct cuda_filter {
    cuda_assign_config config; /* for the current set */
    bool ready;                /* origin and sigma are chosen */
    int offset_steps;          /* that `offset` was computed for, 0: none */
    const float *prepared;     /* the centroids that image and bound belong to, NULL: none */
    double nearest;   /* mean square of the distance of rows to their centroids, 0: not known */
    int64_t fallback; /* rows without a certificate in the last iteration, -1: not known */
    bool *described;  /* [chunks], on the host: the chunk's norms are there */
    int counters_at;  /* the set of counters that the next block of rows takes, which is zero */
    int capacity;     /* rows of a block */

    /* of the rows */
    cuda_array<float> origin;                                /* [D] */
    cuda_array<flash_units> units;                           /* [1] */
    cuda_array<float> offset;                                /* [steps*16] of the kernel */
    cuda_array<__half2> norms;                               /* [n_local] */
    cuda_array<int> counters;                                /* [2][FLASH_COUNTERS] */
    cuda_array<int32_t> listed, found, candidate, undecided; /* flash_lists */
    cuda_array<float> threshold;

    /* of the set */
    cuda_array<uint8_t> image;
    cuda_array<float2> bound;
    cuda_array<uint8_t> scratch; /* of the kernel */
    cuda_pruning pruning;        /* nothing until a set needs it */
    cuda_int8 int8;
    cuda_prune prune;
};

/* Blocks whose warps take one row after the other: no more than keep the GPU busy. */
static inline int lloyd_cuda_persistent_blocks(const cuda_kernels *cuda, int64_t rows, int warps)
{
    int64_t blocks = cuda_divide_up(rows, warps), most = 16 * (int64_t)cuda->gpu.multiprocessors;
    return (int)(blocks < 1 ? 1 : blocks < most ? blocks : most);
}

#endif
