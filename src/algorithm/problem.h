/* What all parts of a fit share: the ranks, the rows, the kernels, and the grid of the sums that
 * follows from the rows. */
#ifndef LLOYD_PROBLEM_H
#define LLOYD_PROBLEM_H

#include "algorithm/observer.h"
#include "algorithm/seed_step.h"
#include "comm/comm.h"
#include "kernels/kernels.h"
#include "rows/shard.h"

#include <stdint.h>

struct lloyd_problem {
    lloyd_comm *comm;
    lloyd_shard *shard;
    lloyd_kernels *kernels;
    int64_t n, d, k;
    lloyd_observer *observer; /* of the iterations; NULL: nobody watches */

    /* grid.c */
    int *low; /* [d] L of every column, of x or of w x */
    double max_weight;
    int weight_low;
    lloyd_grid grid;
    double cut_columns, cut_weights; /* sum of delta of all columns, and that of the weights */
    lloyd_dd squares;                /* Q of the contract */
    uint64_t statistics;             /* hash of the columns' spans and sums of squares */
};

/* Two passes over all rows (with weights three): names the first row that cannot be clustered
 * (LLOYD_BAD_INPUT), finds the grid and Q, and gives the grid to the kernels. Collective. Arrays
 * are freed by lloyd_problem_clear(). Contract, section 3. */
lloyd_status lloyd_problem_measure(lloyd_problem *problem);
void lloyd_problem_clear(lloyd_problem *problem);

/* If a rank's range has a defect, all ranks fail; the one with the first such row of the whole
 * dataset names it. Collective. */
lloyd_status lloyd_problem_report_defect(lloyd_problem *problem, const lloyd_range *range);

/* *value = the exact sum of w dist() over all rows, for the current labels and centroids, rounded
 * once. Two passes. Collective. Contract, section 5. */
lloyd_status lloyd_problem_inertia(lloyd_problem *problem, double *value);

/* What follows from the sums of an iteration: its inertia (for which the rows are looked at once more
 * where most of it has cancelled) and the counters. Collective. Contract, section 5. */
lloyd_status lloyd_problem_found(lloyd_problem *problem, lloyd_found *found);

/* Row number `index` of the keyed permutation of [0, n). Contract, section 8. */
int64_t lloyd_permuted(int64_t n, uint64_t seed, int64_t index);

/* out[count * d] = the rows with these global numbers, on all ranks. Collective. */
lloyd_status lloyd_problem_gather(lloyd_problem *problem, const int64_t *rows, int64_t count,
                                  float *out);

/* Rows of this rank, by increasing local numbers, as the kernels see them: into out[count * d], or, where the
 * kernels copy, into the slots of the kernels of `to`, whose rows they become. */
lloyd_status lloyd_problem_take(lloyd_problem *problem, const int64_t *rows, int64_t count,
                                float *out, lloyd_shard *to);

/* Memory that gathering or taking `count` rows takes beside `out`. */
int64_t lloyd_gather_bytes(int64_t count, int64_t dim);

/* Gives the m empty clusters the m rows farthest from their own centroids. Changes the sums only.
 * Collective. Contract, section 9 (scikit-learn's rule). */
lloyd_status lloyd_problem_relocate(lloyd_problem *problem, int64_t empty);

/* Candidates of kmeans-parallel, from which several starts can choose. */
typedef struct lloyd_candidates lloyd_candidates;

typedef struct lloyd_seeding {
    uint64_t seed;
    uint64_t start; /* the seed of the choices among the candidates of kmeans-parallel */
    int trials; /* rows (or candidates) that are tried for every centroid, 0: the usual number */
    void (*watch)(void *watcher, const lloyd_seed_step *step); /* on every rank; NULL: nobody */
    void *watcher;
    const int64_t
        *rows; /* [count] of a step of the same seeding, which is resumed after it, or NULL */
    int64_t count, done;
    int64_t room; /* bytes that a GPU may spend on the reduction of candidates */
    lloyd_candidates *
        *kept; /* keeps those of kmeans-parallel for further starts; NULL: there are none */
} lloyd_seeding;

/* centroids[k * d] = the initial centroids by "random", "kmeans++" or "kmeans-parallel".
 * Collective. Contract, section 8. */
lloyd_status lloyd_seed_random(lloyd_problem *problem, const lloyd_seeding *seeding,
                               float *centroids);
lloyd_status lloyd_seed_kmeanspp(lloyd_problem *problem, const lloyd_seeding *seeding,
                                 float *centroids);
lloyd_status lloyd_seed_kmeans_parallel(lloyd_problem *problem, const lloyd_seeding *seeding,
                                        float *centroids);

/* centroids[k * d] = another choice among the candidates that are kept, which may be those of a sample;
 * *done = 0 where there are none, or not K to choose. Collective. */
lloyd_status lloyd_seed_again(lloyd_problem *problem, const lloyd_seeding *seeding,
                              float *centroids, int *done);
void lloyd_candidates_free(lloyd_candidates *candidates); /* NULL is allowed */
int64_t lloyd_candidates_bytes(int64_t k, int64_t dim);   /* the most that they take */

/* The same, of `sample` rows of the keyed permutation, 1 <= sample < n, as if these were all; `method`
 * is one of the functions above. Collective. Contract, section 8. */
typedef lloyd_status (*lloyd_seed_method)(lloyd_problem *problem, const lloyd_seeding *seeding,
                                          float *centroids);
lloyd_status lloyd_seed_sampled(lloyd_problem *problem, const lloyd_seeding *seeding,
                                int64_t sample, lloyd_seed_method method, float *centroids);

/* The most rows of a sample that a rank with `count` of n rows has; more never come. */
int64_t lloyd_seed_sample_most(int64_t n, int64_t count, int64_t sample);

/* Memory on the host of a sample of `rows` of a rank's `count` rows; copies: the kernels have a copy. */
int64_t lloyd_seed_sample_bytes(int copies, int64_t count, int64_t rows, int64_t dim);

/* Rows that kmeans++ tries for every centroid, if so many are asked for; 0: the usual number. */
int lloyd_seed_trials(int64_t k, int wanted);

/* Candidates that the reduction of kmeans-parallel tries for every centroid. */
int lloyd_seed_reduce_trials(int wanted);

/* The most candidates that a kmeans-parallel of k clusters can draw, in one round and in all. */
int64_t lloyd_seed_round_candidates(int64_t k);
int64_t lloyd_seed_candidates(int64_t k);

/* Memory that kmeans-parallel takes on the host, beside the kernels'. */
int64_t lloyd_seed_parallel_bytes(int64_t k, int64_t dim, int trials);

#endif
