/* Labels decided by dist(). */
#ifndef LLOYD_KERNELS_CUDA_ASSIGN_EXACT_H
#define LLOYD_KERNELS_CUDA_ASSIGN_EXACT_H

#include "kernels/cuda/assign/certificate.cuh"
#include "kernels/cuda/groups.cuh"
#include "kernels/cuda/state.h"

/* What is to be decided by dist(). */
struct cuda_decision {
    cuda_rows rows;
    const float *centroids;
    int64_t set;
    int32_t *labels;
    unsigned long long *counters; /* moved, fallback rows */
    flash_lists lists;
    bool direct;             /* flash_params' */
    int *counters_of_next;   /* of the next block's lists */
    cuda_group_table groups; /* counts changed labels */
};

/* All rows, compared with all of a few centroids. */
lloyd_status lloyd_cuda_label_few(cuda_kernels *cuda, const cuda_decision &d);
/* What is in the lists of `count` rows. */
lloyd_status lloyd_cuda_decide(cuda_kernels *cuda, const cuda_decision &d, int count);

#endif
