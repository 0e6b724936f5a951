/* Into how many sub-clusters each cluster is split. */
#ifndef LLOYD_SPLIT_SHARES_H
#define LLOYD_SPLIT_SHARES_H

#include "base/status.h"

#include <stdint.h>

/* rows: [k] of each cluster. first: [k + 1]; afterwards the sub-clusters of cluster c are first[c] .. first[c + 1] - 1.
 *
 * each > 0: so many, or one for each row where there are fewer rows. Otherwise `total` in all: one for every cluster that
 * has rows, then one more each time for the cluster with the most rows per sub-cluster (ties: the lowest), as D'Hondt's
 * method shares out seats. LLOYD_USAGE where `total` is less than the clusters that have rows, or more than the rows, or
 * where there would be 2^31 sub-clusters or more. */
lloyd_status lloyd_split_shares(const int64_t *rows, int64_t k, int64_t each, int64_t total,
                                int64_t *first);

#endif
