/* The sub-centroids on their way between ranks: those of finished clusters to rank 0, which keeps them for
 * the model and the checkpoint, and those of a checkpoint from there to the ranks whose clusters they are of. */
#ifndef LLOYD_SPLIT_CENTROIDS_H
#define LLOYD_SPLIT_CENTROIDS_H

#include "job/split/splitting.h"

/* Brings those that ranks have and rank 0 has not to rank 0, whose checkpoint keeps them. Collective. */
lloyd_status lloyd_split_collect(lloyd_splitting *splitting);

/* Takes those of the checkpoint from rank 0 to the ranks of their clusters. Collective. */
lloyd_status lloyd_split_hand_out(lloyd_splitting *splitting);

/* Bytes of it on a rank, apart from the centroids. */
int64_t lloyd_split_collect_bytes(const lloyd_splitting *splitting);

#endif
