/* How a checkpoint gets to its file: from memory to the bytes of a file (an image), and these to the disk,
 * by the fit or, when a signal arrives in the middle of a pass, by a thread of its own, the guard.
 */
#ifndef LLOYD_CHECKPOINT_SAVE_H
#define LLOYD_CHECKPOINT_SAVE_H

#include "job/checkpoint/state.h"

/* Makes the image of what is kept, if it is not there already. */
lloyd_status lloyd_checkpoint_draft(lloyd_checkpoint *checkpoint);

/* 1 if something is kept that the file does not have. */
int lloyd_checkpoint_is_unsaved(lloyd_checkpoint *checkpoint);

/* Makes the image and writes it. */
lloyd_status lloyd_checkpoint_save(lloyd_checkpoint *checkpoint, lloyd_progress *progress);

/* The same; a failure is a warning. A fit that computes well is not ended because a checkpoint cannot
 * be written: the one before is still there, and the next may succeed. */
void lloyd_checkpoint_try_to_save(lloyd_checkpoint *checkpoint, lloyd_progress *progress);

/* 1 if --checkpoint-every asks for a file now. */
int lloyd_checkpoint_is_time(const lloyd_checkpoint *checkpoint);

/* The guard, of rank 0; elsewhere they do nothing. */
void lloyd_checkpoint_start_guard(lloyd_checkpoint *checkpoint);
void lloyd_checkpoint_end_guard(lloyd_checkpoint *checkpoint);

#endif
