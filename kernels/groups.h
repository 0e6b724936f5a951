/* Groups of centroids that lie near each other, for bounds that a whole group shares (kernels/prune_bound.h). */
#ifndef LLOYD_KERNELS_GROUPS_H
#define LLOYD_KERNELS_GROUPS_H

#include "base/status.h"

#include <stdint.h>

/* order[0 .. count) = a permutation of 0 .. count-1 of which each `group` >= 1 consecutive places, from the
 * first on, are centroids near each other; the last ones may be fewer. centroids[count * dim] are finite. The
 * same for any number of threads. Fails where there is no memory. */
lloyd_status lloyd_group_centroids(const float *centroids, int64_t count, int64_t dim,
                                   int64_t group, int threads, int32_t *order);

/* Bytes that lloyd_group_centroids() takes while it runs. */
int64_t lloyd_group_bytes(int64_t count, int64_t dim, int64_t group, int threads);

#endif
