/* What becomes of empty clusters. */
#ifndef LLOYD_RELOCATE_H
#define LLOYD_RELOCATE_H

#include "algorithm/problem.h"

/* Gives the m empty clusters the m rows farthest from their own centroids. Changes the sums only.
 * Collective. Contract, section 9 (scikit-learn's rule). */
lloyd_status lloyd_problem_relocate(lloyd_problem *problem, int64_t empty);

#endif
