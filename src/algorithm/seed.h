/* Initial centroids: random rows, or kmeans++. */
#ifndef LLOYD_SEED_H
#define LLOYD_SEED_H

#include "algorithm/problem.h"
#include "algorithm/seeding.h"

/* centroids[k * d] = the initial centroids by "random" or "kmeans++".
 * Collective. Contract, section 8. */
lloyd_status lloyd_seed_random(lloyd_problem *problem, const lloyd_seeding *seeding,
                               float *centroids);
lloyd_status lloyd_seed_kmeanspp(lloyd_problem *problem, const lloyd_seeding *seeding,
                                 float *centroids);

/* Rows that kmeans++ tries for every centroid, if so many are asked for; 0: the usual number. */
int lloyd_seed_trials(int64_t k, int wanted);

#endif
