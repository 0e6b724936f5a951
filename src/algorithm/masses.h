/* What kmeans++ and kmeans|| share: rows are drawn with probabilities that are integers, their masses: the
 * squared distance to the nearest centroid, D(x)^2 of Arthur and Vassilvitskii, times the weight. No split
 * of the rows can change the prefix sums of integers in the global order of the rows. */
#ifndef LLOYD_MASSES_H
#define LLOYD_MASSES_H

#include "algorithm/problem.h"
#include "algorithm/seeding.h"

/* The masses of all rows: their exponent, resolution, and totals. */
typedef struct lloyd_masses {
    int exponent, bits;
    int64_t total, before, own; /* of all ranks, of those before this one, of this one */
} lloyd_masses;

/* The masses before the first draw; where a seeding is resumed, rows[] and vectors[] become those that are
 * drawn already, and the masses what they are after them: `most` are compared at a time. Collective. */
lloyd_status lloyd_masses_begin(lloyd_problem *problem, const lloyd_seeding *seeding, int64_t *rows,
                                float *vectors, int64_t most, lloyd_masses *masses);

/* Compares every row with `count` more centroids, the first of which has number `base`, and finds the
 * masses anew. Collective. */
lloyd_status lloyd_masses_compare(lloyd_problem *problem, int64_t base, int64_t count,
                                  const float *centroids, lloyd_masses *masses);

/* rows[0 .. count) = global rows, each drawn with probability mass / total by 64 random bits.
 * Collective. */
lloyd_status lloyd_masses_draw(lloyd_problem *problem, const lloyd_masses *masses,
                               const uint64_t *random, int count, int64_t *rows);

/* Reports to seeding->watch how far this is; the potential (phi of the papers) follows from `masses`, if there are any. */
void lloyd_masses_report(const lloyd_seeding *seeding, lloyd_seed_step step,
                         const lloyd_masses *masses);

#endif
