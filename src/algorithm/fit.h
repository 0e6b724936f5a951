/* Lloyd's iteration. */
#ifndef LLOYD_FIT_H
#define LLOYD_FIT_H

#include "algorithm/history.h"
#include "algorithm/problem.h"

/* When to stop, and what to do with empty clusters. */
typedef struct lloyd_rule {
    int64_t max_iters;
    double tol;
    int relocate; /* 1: give empty clusters the farthest rows; 0: they keep their centroids */
} lloyd_rule;

/* From the centroids that the kernels hold to those that Lloyd's algorithm (batch k-means: assignment
 * step, update step) ends with. Where it has
 * converged, the kernels then hold the labels that belong to them, else lloyd_assign() finds these.
 * `history` has the iterations that came before, in a resumed fit. problem->observer watches. Collective.
 * Contract, sections 6 and 7. */
lloyd_status lloyd_iterate(lloyd_problem *problem, const lloyd_rule *rule, int64_t restart,
                           lloyd_history *history);

/* Labels of all rows for the centroids that the kernels hold. Done when it returns. Collective. */
lloyd_status lloyd_assign(lloyd_problem *problem);

#endif
