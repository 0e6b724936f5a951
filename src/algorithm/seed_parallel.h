/* Initial centroids by kmeans||. */
#ifndef LLOYD_SEED_PARALLEL_H
#define LLOYD_SEED_PARALLEL_H

#include "algorithm/problem.h"
#include "algorithm/seeding.h"

/* centroids[k * d] = the initial centroids by "kmeans-parallel". Collective. Contract, section 8. */
lloyd_status lloyd_seed_kmeans_parallel(lloyd_problem *problem, const lloyd_seeding *seeding,
                                        float *centroids);

/* centroids[k * d] = another choice among the candidates that are kept, which may be those of a sample;
 * *done = 0 where there are none, or not K to choose. Collective. */
lloyd_status lloyd_seed_again(lloyd_problem *problem, const lloyd_seeding *seeding,
                              float *centroids, int *done);
void lloyd_candidates_free(lloyd_candidates *candidates); /* NULL is allowed */
int64_t lloyd_candidates_bytes(int64_t k, int64_t dim);   /* the most that they take */

/* Candidates that the reduction of kmeans-parallel tries for every centroid. */
int lloyd_seed_reduce_trials(int wanted);

/* Rounds of draws, and the oversampling factor of k clusters: l of the paper, the rows that a round is expected to draw. */
enum { LLOYD_SEED_ROUNDS = 3 };
int64_t lloyd_seed_oversampling(int64_t k);

/* The most candidates that a kmeans-parallel of k clusters can draw, in one round and in all. */
int64_t lloyd_seed_round_candidates(int64_t k);
int64_t lloyd_seed_candidates(int64_t k);

/* Memory that kmeans-parallel takes on the host, beside the kernels'. on_gpu: a GPU reduces the candidates. */
int64_t lloyd_seed_parallel_bytes(int64_t k, int64_t dim, int trials, int on_gpu);

#endif
