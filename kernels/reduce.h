/* The last step of kmeans||: K of its candidates, which weigh what the rows nearest to them do, by
 * greedy k-means++ (section 8 of docs/numerics.md). On the host, whatever computes the rest. Every
 * candidate is compared with all others at most about once, however many trials there are; where there are
 * very many candidates, they are cut into leaves that are close together.
 *
 * Masses are fixed-point numbers of which every sum is below 2^53, kept in double: their additions are
 * exact, so no order and no shortcut changes a bit.
 */
#ifndef LLOYD_KERNELS_REDUCE_H
#define LLOYD_KERNELS_REDUCE_H

#include "base/status.h"

#include <stdint.h>

/* The most candidates of a leaf: the work of one grows with their square, and a cut through clusters costs
 * quality. */
enum { LLOYD_LEAF_MOST = 32768 };

typedef struct lloyd_reduction {
    int64_t count, dim;
    const float *points;   /* [count * dim] */
    const double *weights; /* [count], finite and >= 0 */
    int64_t k;             /* how many are wanted in all, 1 <= k <= count */
    int trials;            /* >= 1, for every one but the first of a leaf */
    uint64_t seed;
    int threads;
} lloyd_reduction;

/* What is chosen in a leaf, in the order of choice. */
typedef struct lloyd_choice {
    double gain; /* by which it lowered the leaf's potential; no gain is above the one before it */
    int64_t point; /* its number, -1: none */
} lloyd_choice;

/* Leaves in which `count` points are cut. */
int64_t lloyd_reduce_leaves(int64_t count);

/* order[0 .. count) = the points leaf by leaf, those of a leaf in increasing order; leaf l begins at
 * begin[l], and begin[leaves] = count. */
lloyd_status lloyd_reduce_cut(const lloyd_reduction *reduction, int64_t *order, int64_t *begin);

/* The most that is chosen in a leaf of `count` of the reduction's points. */
int64_t lloyd_reduce_most(const lloyd_reduction *reduction, int64_t count);

/* Chooses in leaf number `leaf`, whose points are members[0 .. count): choices[0 .. most), the rest of
 * which is -1 where no mass is left. */
lloyd_status lloyd_reduce_leaf(const lloyd_reduction *reduction, int64_t leaf,
                               const int64_t *members, int64_t count, lloyd_choice *choices);

/* Memory that all of this takes for at most `count` points, beside the arrays of its callers. */
int64_t lloyd_reduce_bytes(int64_t count, int trials);

#endif
