/* The state of the filter, and what the files of this folder do for each other. */
#ifndef LLOYD_KERNELS_CUDA_ASSIGN_FILTER_H
#define LLOYD_KERNELS_CUDA_ASSIGN_FILTER_H

#include "kernels/cuda/assign/assign.h"
#include "kernels/cuda/assign/certificate.cuh"
#include "kernels/cuda/assign/registry.h"
#include "kernels/cuda/launch.cuh"

/* The centroids sorted by length, and what a kernel that prunes knows of them. */
struct cuda_pruning {
    cuda_array<float> length, sorted_length; /* [padded set] */
    cuda_array<int32_t> number, order;       /* [padded set] */
    cuda_array<float> bias;                  /* [padded set] */
    cuda_array<float4> most;                 /* [tiles] */
    cuda_array<char> sorter;                 /* CUB's space */
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
};

/* --- between the files of this folder --- */

/* Origin and scale from the rows of this slot. */
lloyd_status lloyd_cuda_choose_units(cuda_kernels *cuda, const cuda_rows &rows);
/* What the origin comes to in units of the filter, for the current shape. */
lloyd_status lloyd_cuda_filter_offsets(cuda_kernels *cuda);
/* The norms of the slot's rows. They stay when the rows go: what is loaded again is the same. */
lloyd_status lloyd_cuda_describe_slot(cuda_kernels *cuda, const cuda_slot &slot,
                                      const cuda_rows &rows);

/* Room for the image of `set` centroids, as they are padded. */
int64_t lloyd_cuda_padded_set(const cuda_assign_config &config, int64_t set);
/* Bytes of CUB's space for sorting `set` lengths. */
int64_t lloyd_cuda_length_sorter_bytes(int64_t set);
/* The operands of the centroids. inertia: as for lloyd_cuda_prepare(). */
lloyd_status lloyd_cuda_prepare_image(cuda_kernels *cuda, const float *centroids,
                                      const cuda_inertia &inertia);

/* What is to be decided by dist(). */
struct cuda_decision {
    cuda_rows rows;
    const float *centroids;
    int64_t set;
    int32_t *labels;
    unsigned long long *counters; /* moved, fallback rows */
    flash_lists lists;
    bool direct;           /* flash_params' */
    int *counters_of_next; /* of the next block's lists */
};

/* All rows, compared with all of a few centroids. */
lloyd_status lloyd_cuda_label_few(cuda_kernels *cuda, const cuda_decision &d);
/* What is in the lists of `count` rows. */
lloyd_status lloyd_cuda_decide(cuda_kernels *cuda, const cuda_decision &d, int count);

static inline int lloyd_cuda_persistent_blocks(const cuda_kernels *cuda, int64_t rows, int warps)
{
    int64_t blocks = cuda_divide_up(rows, warps), most = 16 * (int64_t)cuda->gpu.multiprocessors;
    return (int)(blocks < 1 ? 1 : blocks < most ? blocks : most);
}

#endif
