/* Lloyd's iteration. */
#ifndef LLOYD_FIT_H
#define LLOYD_FIT_H

#include "problem.h"
#include "progress.h"

/* When to stop, and what to do with empty clusters. */
typedef struct lloyd_rule {
    int64_t max_iters;
    double tol;
    int relocate; /* 1: give empty clusters the farthest rows; 0: they keep their centroids */
} lloyd_rule;

/* What the iterations left behind: arrays of `iterations` entries, which grow. Starts as zeros;
 * free with lloyd_history_free(). */
typedef struct lloyd_history {
    int64_t iterations, capacity;
    int64_t resumed; /* the first so many are from a checkpoint */
    int converged;
    double *inertia, *seconds;
    int64_t *moved;
} lloyd_history;

typedef struct lloyd_checkpoint lloyd_checkpoint; /* checkpoint.h */

lloyd_status lloyd_history_add(lloyd_history *history, const lloyd_progress_step *step);
/* Adds what `longer`, of the same iterations, has more. */
lloyd_status lloyd_history_extend(lloyd_history *history, const lloyd_history *longer);
void lloyd_history_free(lloyd_history *history);

/* From the centroids that the kernels hold to those that Lloyd's algorithm ends with; the kernels
 * then hold these and the labels that belong to them. `history` has the iterations that came
 * before, in a resumed fit. Collective. `progress` and `checkpoint` may be NULL. Contract,
 * sections 6 and 7. */
lloyd_status lloyd_iterate(lloyd_problem *problem, const lloyd_rule *rule, int64_t restart,
                           lloyd_progress *progress, lloyd_checkpoint *checkpoint,
                           lloyd_history *history);

/* The final assignment, a phase of its own: labels of all rows for the centroids that the kernels
 * hold. Done when it returns. Collective. */
lloyd_status lloyd_assign(lloyd_problem *problem, lloyd_progress *progress);

#endif
