/* Chunks on their way from the files, or from host memory, to the kernels. Three things happen at
 * the same time: the files are read into buffers, rows are copied into slots, and the kernels work
 * on a slot. (CPUs use a buffer in place; there is nothing to copy.)
 *
 * A pass only enqueues work on a GPU, and asks for the next chunk long before that work is done. So it
 * can wait until a streamed chunk is read: meanwhile the GPU is busy with what was enqueued. Pinned chunks need no waiting: as many as there are slots are
 * enqueued ahead, those at the beginning of the next pass included.
 */
#ifndef LLOYD_PIPELINE_H
#define LLOYD_PIPELINE_H

#include "base/status.h"
#include "io/rows.h"
#include "kernels/kernels.h"
#include "rows/layout.h"

#include <stdint.h>

typedef struct lloyd_pipeline lloyd_pipeline;

/* What chunks come from and go to; all of it is borrowed. */
typedef struct lloyd_pipeline_ends {
    lloyd_rows *rows;
    int64_t first; /* global row that chunk 0 begins with */
    const lloyd_layout *layout;
    const char *pinned; /* the rows of the pinned chunks, one after the other */
    lloyd_kernels *kernels;
} lloyd_pipeline_ends;

/* Allocates buffers and starts to read. On failure *pipeline is NULL. Close it before the kernels
 * and the rows. */
lloyd_status lloyd_pipeline_open(const lloyd_pipeline_ends *ends, lloyd_pipeline **pipeline);
void lloyd_pipeline_close(lloyd_pipeline *pipeline); /* NULL is allowed */

/* Reads the fixed chunks into the memory of kernels that copy, each into the slot of its index.
 * Before any other use. */
lloyd_status lloyd_pipeline_fill(lloyd_pipeline *pipeline);

/* Begins to read the streamed chunks ahead. */
lloyd_status lloyd_pipeline_begin(lloyd_pipeline *pipeline);

/* Brings a chunk that is not fixed into a slot, which is valid until the next call. The chunks are
 * expected in their order, from the last to the first; another one is waited for. `need` is the same for all chunks of a pass. */
lloyd_status lloyd_pipeline_load(lloyd_pipeline *pipeline, int64_t chunk, lloyd_load_need need,
                                 int *slot);

/* A pass has reached a fixed chunk. */
lloyd_status lloyd_pipeline_pass(lloyd_pipeline *pipeline, int64_t chunk, lloyd_load_need need);

#endif
