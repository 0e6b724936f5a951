/* What pruning needs to know of a row first: how far its own centroid is. */
#ifndef LLOYD_KERNELS_CUDA_PRUNE_OWN_H
#define LLOYD_KERNELS_CUDA_PRUNE_OWN_H

#include "kernels/cuda/prune/prune.cuh"
#include "kernels/cuda/state.h"

struct prune_own {
    prune_params p;
    const int32_t *labels; /* of the launch's rows */
    const int32_t *place;  /* [set] of a centroid in `order` */
    int32_t *bounded; /* [n_local] the label that a row's bounds leave out; -1: there are none */
    prune_row *row;   /* [count] to be filled */
    cuda_rows rows;   /* of the launch */
    /* where rows are not used as they are (prune.h): */
    double *distance;
    uint32_t version;
    const uint32_t *moved_at;
    uint32_t *measured_at;
    unsigned *stale;
    /* where chunks come and go (prune.h), else NULL: */
    float *far;
    const double *path;
    const uint8_t *needed; /* bits of the slot's rows: those that are there; NULL: all are */
    int64_t needed_at;     /* the bit of the first row of the launch */
};

/* Enqueues it. Rows have labels. */
lloyd_status lloyd_cuda_prune_look(cuda_kernels *cuda, const prune_own &own);

#endif
