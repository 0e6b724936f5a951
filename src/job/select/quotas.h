/* How many rows each cluster gives to a sample: as many from each as their sizes allow (numerics, 11). */
#ifndef LLOYD_SELECT_QUOTAS_H
#define LLOYD_SELECT_QUOTAS_H

#include "base/status.h"
#include "io/clusters.h"

#include <stdint.h>

/* quotas[i] = what cluster i gives of a sample of `total` rows, for the clusters items[0 .. count), or [0, count) where items
 * is NULL: min(sizes[i], t) with the greatest t for which that is not too much in all; what is missing then comes
 * from larger clusters, one row each, chosen by the permutation of that key. All rows where total is more. */
void lloyd_quotas_share(const int64_t *sizes, const int64_t *items, int64_t count, int64_t total,
                        uint64_t key, int64_t *quotas);

/* The same for the k clusters of the first level, top down from the last one: the clusters of a level share what the
 * level above gives to their parent, whose size is that of all rows in it. parents[0 .. levels): of the clusters of
 * the first level, the second, and so on; levels may be 0. */
lloyd_status lloyd_quotas_share_levels(const int64_t *sizes, int64_t k,
                                       const lloyd_parents *parents, int levels, int64_t total,
                                       uint64_t seed, int64_t *quotas);

#endif
