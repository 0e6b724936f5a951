/* What a split needs to continue after it was stopped: the sub-centroids of the clusters that are finished, in a
 * file that rank 0 writes now and then, when a signal stops the split, and before the results are written.
 *
 * A split that is resumed assigns the rows of these clusters to their sub-centroids once more, in place of fitting
 * them. That gives labels, counts, distances and inertia, bit for bit, so none of these need to be in the file; the
 * inertia is there to be compared.
 *
 * A thread of rank 0, the writer, writes the file, so nobody who computes waits for it. Functions are local unless
 * they say that they are collective. NULL is a split without checkpoints, for which they do nothing.
 */
#ifndef LLOYD_SPLIT_CHECKPOINT_H
#define LLOYD_SPLIT_CHECKPOINT_H

#include "job/split/splitting.h"

/* What has come of a cluster, beside its centroids. */
typedef struct lloyd_split_found {
    int64_t inertia; /* its bits */
    int64_t iterations, converged;
} lloyd_split_found;

/* *checkpoint = NULL without --checkpoint. With --resume and a file there, reads it, and refuses other options than
 * those it was written with, other clusters, and rows of another shape. The clusters of the rows and their shares are
 * known. Collective. */
lloyd_status lloyd_split_checkpoint_open(lloyd_splitting *splitting,
                                         lloyd_split_checkpoint **checkpoint);

/* What the file has of a cluster, NULL: nothing. On all ranks. */
const lloyd_split_found *lloyd_split_checkpoint_known(const lloyd_split_checkpoint *checkpoint,
                                                      int64_t cluster);

/* Clusters that the file has. */
int64_t lloyd_split_checkpoint_resumed(const lloyd_split_checkpoint *checkpoint);

/* There is room for centroids: those of the file go to the ranks of their clusters. Collective. */
lloyd_status lloyd_split_checkpoint_restore(lloyd_split_checkpoint *checkpoint);

/* The sum of the hashes of this rank's rows (parts.h), before anything is kept. LLOYD_BAD_INPUT where the file is of
 * other rows. Collective. */
lloyd_status lloyd_split_checkpoint_check_data(lloyd_split_checkpoint *checkpoint, uint64_t rows);

/* A cluster is finished, and rank 0 has its centroids in their place, where they do not change any more. Elsewhere
 * it does nothing. By any thread. */
void lloyd_split_checkpoint_keep(lloyd_split_checkpoint *checkpoint, int64_t cluster,
                                 const lloyd_split_found *found);

/* A finished cluster did not come out as it was, on some rank: nothing is written any more. By any thread. */
void lloyd_split_checkpoint_distrust(lloyd_split_checkpoint *checkpoint);

/* Before the results are written: what is kept and not yet in the file is written. Where that fails, it is
 * reported. */
void lloyd_split_checkpoint_last(lloyd_split_checkpoint *checkpoint);

/* Before this process ends without lloyd_split_checkpoint_close(): the same on rank 0, with a line that says so. */
void lloyd_split_checkpoint_rescue(lloyd_split_checkpoint *checkpoint);

/* Ends the split with `status`: after a failure, what is kept is written; a stop is explained. Returns the status, or
 * LLOYD_FAILED where it was a stop whose checkpoint could not be written. Collective only after LLOYD_STOPPED. Frees. */
lloyd_status lloyd_split_checkpoint_close(lloyd_split_checkpoint *checkpoint, lloyd_status status);

/* Bytes of the file, about; and of all this on a rank, beside what it takes now. */
int64_t lloyd_split_checkpoint_file_bytes(const lloyd_splitting *splitting);
int64_t lloyd_split_checkpoint_bytes(const lloyd_splitting *splitting);

#endif
