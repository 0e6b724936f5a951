/* Initial centroids chosen from a sample of the rows. */
#ifndef LLOYD_SEED_SAMPLE_H
#define LLOYD_SEED_SAMPLE_H

#include "algorithm/problem.h"
#include "algorithm/seeding.h"

/* centroids[k * d] = the initial centroids that a method chooses from `sample` rows of the keyed permutation, 1 <= sample < n, as if these were all; `method`
 * is a function of seed.h or seed_parallel.h. Collective. Contract, section 8. */
typedef lloyd_status (*lloyd_seed_method)(lloyd_problem *problem, const lloyd_seeding *seeding,
                                          float *centroids);
lloyd_status lloyd_seed_sampled(lloyd_problem *problem, const lloyd_seeding *seeding,
                                int64_t sample, lloyd_seed_method method, float *centroids);

/* The most rows of a sample that a rank with `count` of n rows has; more never come. */
int64_t lloyd_seed_sample_most(int64_t n, int64_t count, int64_t sample);

/* Memory on the host of a sample of `rows` of a rank's `count` rows; copies: the kernels have a copy. */
int64_t lloyd_seed_sample_bytes(int copies, int64_t count, int64_t rows, int64_t dim);

#endif
