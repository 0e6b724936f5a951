/* The last step of kmeans||: K of its candidates, which weigh what the rows nearest to them do, by
 * greedy k-means++ (section 8 of docs/numerics.md). Where there are very many candidates, they are cut into
 * leaves that are close together, on the host; the choices in the leaves are the host's, or a GPU's
 * (kernels.h, reduce()).
 *
 * Masses are fixed-point numbers of which every sum is below 2^53, so no order and no shortcut changes a
 * bit.
 */
#ifndef LLOYD_KERNELS_REDUCE_H
#define LLOYD_KERNELS_REDUCE_H

#include "base/status.h"

#include <stdint.h>

/* The most candidates of a leaf: the work of one grows with their square, and a cut through clusters costs
 * quality. */
enum {
    LLOYD_LEAF_MOST = 32768,
    LLOYD_LEAVES_AT_ONCE = 8 /* of a GPU, at most, unless more are asked for */
};

typedef struct lloyd_reduction {
    int64_t count, dim;
    const float *points;   /* [count * dim], or NULL: */
    const int64_t *rows;   /* [count] they are these rows of slot 0, for kernels with groups */
    const double *weights; /* [count], finite and >= 0 */
    int64_t k;             /* how many are wanted in all, 1 <= k <= count */
    int trials;            /* >= 1, for every one but the first of a leaf */
    int threads;
    int at_once;  /* leaves that a GPU reduces at a time, at most; 0: LLOYD_LEAVES_AT_ONCE */
    int64_t room; /* bytes that a GPU may spend on it, see lloyd_cuda_reduce_bytes() */
} lloyd_reduction;

/* What is chosen in a leaf, in the order of choice. */
typedef struct lloyd_choice {
    double gain; /* by which it lowered the leaf's potential; no gain is above the one before it */
    int64_t point; /* its number, -1: none */
} lloyd_choice;

typedef struct lloyd_leaf {
    int64_t number;         /* of all leaves of the reduction, for its draws */
    uint64_t seed;          /* of these draws */
    int64_t count, most;    /* its points, and lloyd_reduce_most() of them */
    const int64_t *members; /* [count] numbers of points, increasing */
    lloyd_choice *choices;  /* [most]; the rest becomes -1 where no mass is left */
} lloyd_leaf;

/* Leaves in which `count` points are cut. */
int64_t lloyd_reduce_leaves(int64_t count);

/* order[0 .. count) = the points leaf by leaf, those of a leaf in increasing order; leaf l begins at
 * begin[l], and begin[leaves] = count. */
lloyd_status lloyd_reduce_cut(const lloyd_reduction *reduction, int64_t *order, int64_t *begin);

/* The most that is chosen in a leaf of `count` of the reduction's points. */
int64_t lloyd_reduce_most(const lloyd_reduction *reduction, int64_t count);

/* Chooses in a leaf, on the host. */
lloyd_status lloyd_reduce_leaf(const lloyd_reduction *reduction, const lloyd_leaf *leaf);

/* Host memory that all of this takes for at most `count` points, beside the arrays of its callers. on_gpu: leaves are chosen in on a GPU,
 * so that the host only cuts them and copies one at a time. */
int64_t lloyd_reduce_bytes(int64_t count, int64_t dim, int trials, int on_gpu);

#endif
