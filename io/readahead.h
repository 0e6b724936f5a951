/* Reading ahead: a thread reads ranges of rows into buffers before they are needed, so that reading
 * and computing overlap.
 *
 *     lloyd_readahead_queue() ...             the ranges to come, as many as are known
 *     lloyd_readahead_take(), work, lloyd_readahead_release()         for each, in the same order
 *
 * One thread calls these functions. All other functions of io/ may be called at the same time:
 * another read of the same rows waits for the one in flight, and HDF5 has its own lock.
 */
#ifndef LLOYD_IO_READAHEAD_H
#define LLOYD_IO_READAHEAD_H

#include "base/status.h"
#include "io/rows.h"

#include <stdint.h>

typedef struct lloyd_readahead lloyd_readahead;

/* Starts the thread. `count` buffers, each large enough for every range that will be queued; they
 * are the caller's, who may have pinned them, and must stay until lloyd_readahead_close(), as must
 * `rows`. On failure *readahead is NULL. */
lloyd_status lloyd_readahead_open(lloyd_rows *rows, void *const *buffers, int count,
                                  lloyd_readahead **readahead);

/* Queues rows [first, first+count) to be read into the next free buffer, in the order queued. Does
 * not wait. */
lloyd_status lloyd_readahead_queue(lloyd_readahead *readahead, int64_t first, int64_t count);

/* Waits for the oldest queued range. *rows points to its rows, in buffer *buffer, until that is
 * released. If reading failed, this fails with the message of the reading thread, and holds no
 * buffer; later ranges are read nevertheless. */
lloyd_status lloyd_readahead_take(lloyd_readahead *readahead, int *buffer, const void **rows);

/* Releases a buffer, in any order. */
void lloyd_readahead_release(lloyd_readahead *readahead, int buffer);

/* Drops the queue, waits for the read in flight, and ends the thread. NULL is allowed. */
void lloyd_readahead_close(lloyd_readahead *readahead);

#endif
