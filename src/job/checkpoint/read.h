/* How a checkpoint comes from its file: read and compared with this fit by rank 0, then shared. */
#ifndef LLOYD_CHECKPOINT_READ_H
#define LLOYD_CHECKPOINT_READ_H

#include "job/checkpoint/state.h"

/* Of rank 0: checks that a file can be written there; with --resume, *saved is what is in the one that
 * is there. LLOYD_USAGE where it was written with other options, LLOYD_BAD_INPUT where it belongs
 * to data of another shape. */
lloyd_status lloyd_checkpoint_read(lloyd_checkpoint *checkpoint, lloyd_saved *saved);

/* All ranks get what rank 0 has read; *found = 0 where it has read nothing. A file that is read by each
 * may not be the same one for all, where a network file system has not heard yet of the latest.
 * Collective. */
lloyd_status lloyd_checkpoint_share(lloyd_checkpoint *checkpoint, lloyd_saved *saved, int *found);

/* The file's arrays become the checkpoint's and those of the best start. */
void lloyd_checkpoint_take(lloyd_checkpoint *checkpoint, lloyd_saved *saved, lloyd_outcome *best);

#endif
