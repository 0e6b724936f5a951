/* The inertia of an iteration, and the exact one at the end. */
#ifndef LLOYD_INERTIA_H
#define LLOYD_INERTIA_H

#include "algorithm/problem.h"

/* *value = the exact sum of w dist() over all rows, for the current labels and centroids, rounded
 * once. Two passes. Collective. Contract, section 5. */
lloyd_status lloyd_problem_inertia(lloyd_problem *problem, double *value);

/* The same for distances [rows of this rank] that are known, to the centroids of whatever labels. Collective. */
lloyd_status lloyd_problem_inertia_of(lloyd_problem *problem, const double *known, double *value);

/* What follows from the sums of an iteration: its inertia (for which the rows are looked at once more
 * where most of it has cancelled) and the counters. Collective. Contract, section 5. */
lloyd_status lloyd_problem_found(lloyd_problem *problem, lloyd_found *found);

#endif
