/* What kmeans++ and kmeans|| share: rows that are drawn by their masses, which are integers whose prefix
 * sums in the global order of the rows no split of them can change. */
#ifndef LLOYD_SEEDING_H
#define LLOYD_SEEDING_H

#include "algorithm/problem.h"

/* The masses of all rows: their exponent, resolution, and totals. */
typedef struct lloyd_masses {
    int exponent, bits;
    int64_t total, before, own; /* of all ranks, of those before this one, of this one */
} lloyd_masses;

/* OK if all ranks are, of which this one has this status. Collective. */
static inline lloyd_status lloyd_seed_agree(const lloyd_problem *problem, lloyd_status status)
{
    lloyd_status agreed = problem->comm->agree(problem->comm, status);
    return status == LLOYD_OK ? agreed : status;
}

/* The masses as they are; no mass of this rank is above `greatest`. Collective. */
lloyd_status lloyd_masses_weigh(lloyd_problem *problem, double greatest, lloyd_masses *masses);

/* The masses before the first draw; where a seeding is resumed, rows[] and vectors[] become those that are
 * drawn already, and the masses what they are after them: `most` are compared at a time. Collective. */
lloyd_status lloyd_masses_begin(lloyd_problem *problem, const lloyd_seeding *seeding, int64_t *rows,
                                float *vectors, int64_t most, lloyd_masses *masses);

/* Lets every row look at `count` more centroids, the first of which has number `base`, and weighs the
 * rows then. Collective. */
lloyd_status lloyd_masses_compare(lloyd_problem *problem, int64_t base, int64_t count,
                                  const float *centroids, lloyd_masses *masses);

/* rows[0 .. count) = global rows, each drawn with probability mass / total by 64 random bits.
 * Collective. */
lloyd_status lloyd_masses_draw(lloyd_problem *problem, const lloyd_masses *masses,
                               const uint64_t *random, int count, int64_t *rows);

/* Tells whoever watches how far this is; the potential follows from `masses`, if there are any. */
void lloyd_seed_tell(const lloyd_seeding *seeding, lloyd_seed_step step,
                     const lloyd_masses *masses);

/* rows[count .. k) from the permutation, leaving out those of rows[0 .. count). */
lloyd_status lloyd_seed_fill_up(const lloyd_problem *problem, uint64_t seed, int64_t *rows,
                                int64_t count);

#endif
