/* kmeans|| in several groups of rows at a time. */
#ifndef LLOYD_GROUPS_SEED_GROUPS_H
#define LLOYD_GROUPS_SEED_GROUPS_H

#include "algorithm/groups/groups.h"

/* The first centroids of each group, as kmeans-parallel chooses them, which the kernels then hold; no group has more candidates than a
 * leaf. room: bytes of the GPU for the reduction of candidates. */
lloyd_status lloyd_grouped_seed_parallel(lloyd_grouped *grouped, int64_t room);

/* Bytes of the host's memory that it takes for a group of k clusters. */
int64_t lloyd_grouped_seed_bytes(int64_t k);

#endif
