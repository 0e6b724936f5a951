/* Threads for reading without HDF5, and a buffer for each. Private to io/. */
#ifndef LLOYD_IO_SCRATCH_H
#define LLOYD_IO_SCRATCH_H

#include "base/status.h"
#include "base/threads.h"

#include <stdint.h>

enum { LLOYD_SCRATCH_ALIGNMENT = 4096 }; /* of buffers and offsets that bypass the page cache */

typedef struct lloyd_scratch {
    int threads;
    lloyd_pool *pool;
    struct {
        char *memory;
        int64_t bytes;
    } buffers[LLOYD_POOL_MOST];
} lloyd_scratch;

lloyd_status lloyd_scratch_open(lloyd_scratch *scratch);
void lloyd_scratch_close(lloyd_scratch *scratch);

/* *buffer = at least `bytes` for that worker, aligned to LLOYD_SCRATCH_ALIGNMENT, with undefined
 * content; valid until the next call for the worker. */
lloyd_status lloyd_scratch_buffer(lloyd_scratch *scratch, int worker, int64_t bytes, char **buffer);

#endif
