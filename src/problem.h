/* What all parts of a fit share: the ranks, the rows, the kernels, and the fixed-point grid that
 * follows from the rows. */
#ifndef LLOYD_PROBLEM_H
#define LLOYD_PROBLEM_H

#include "comm/comm.h"
#include "kernels/kernels.h"
#include "parts.h"
#include "shard.h"

#include <stdint.h>

typedef struct lloyd_problem {
    lloyd_comm *comm;
    lloyd_shard *shard;
    lloyd_kernels *kernels;
    int64_t n, d, k;
    lloyd_parts
        parts; /* of all iterations, by this rank's clock; where the kernels are synchronous */

    /* grid.c */
    float *min, *max; /* [d] of all rows */
    double max_weight;
    lloyd_grid grid;
    double squares;      /* Q of the contract */
    uint64_t statistics; /* hash of the columns' minima, maxima and sums of squares */
} lloyd_problem;

/* One pass over all rows: names the first row that cannot be clustered (LLOYD_BAD_INPUT), finds
 * column minima and maxima, the grid and Q, and gives the grid to the kernels. Collective. Arrays
 * are freed by lloyd_problem_clear(). Contract, section 3. */
lloyd_status lloyd_problem_measure(lloyd_problem *problem);
void lloyd_problem_clear(lloyd_problem *problem);

/* If a rank's range has a defect, all ranks fail; the one with the first such row of the whole
 * dataset names it. Collective. */
lloyd_status lloyd_problem_report_defect(lloyd_problem *problem, const lloyd_range *range);

/* *value = the exact sum of w dist() over all rows, for the current labels and centroids.
 * Collective. Contract, section 5. */
lloyd_status lloyd_problem_inertia(lloyd_problem *problem, double *value);

/* out[count * d] = the rows with these global numbers, on all ranks. Collective. */
lloyd_status lloyd_problem_gather(lloyd_problem *problem, const int64_t *rows, int64_t count,
                                  float *out);

/* Memory that gathering `count` rows takes beside `out`. */
int64_t lloyd_gather_bytes(int64_t count, int64_t dim);

/* Gives the m empty clusters the m rows farthest from their own centroids. Changes the sums only.
 * Collective. Contract, section 9 (scikit-learn's rule). */
lloyd_status lloyd_problem_relocate(lloyd_problem *problem, int64_t empty);

/* centroids[k * d] = the initial centroids by "random", "kmeans++" or "kmeans-parallel".
 * Collective. Contract, section 8. */
lloyd_status lloyd_seed_random(lloyd_problem *problem, uint64_t seed, float *centroids);
lloyd_status lloyd_seed_kmeanspp(lloyd_problem *problem, uint64_t seed, float *centroids);
lloyd_status lloyd_seed_kmeans_parallel(lloyd_problem *problem, uint64_t seed, float *centroids);

/* The most candidates that a kmeans-parallel of k clusters can draw, in one round and in all. */
int64_t lloyd_seed_round_candidates(int64_t k);
int64_t lloyd_seed_candidates(int64_t k);

#endif
