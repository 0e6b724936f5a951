#include "io/scratch.h"

#include <stdlib.h>
#include <string.h>

lloyd_status lloyd_scratch_open(lloyd_scratch *scratch)
{
    memset(scratch, 0, sizeof *scratch);
    scratch->threads = lloyd_pool_size();
    return lloyd_pool_open(scratch->threads, &scratch->pool);
}

void lloyd_scratch_close(lloyd_scratch *scratch)
{
    lloyd_pool_close(scratch->pool);
    for (int i = 0; i < LLOYD_POOL_MOST; i++) free(scratch->buffers[i].memory);
    memset(scratch, 0, sizeof *scratch);
}

lloyd_status lloyd_scratch_buffer(lloyd_scratch *scratch, int worker, int64_t bytes, char **buffer)
{
    if (scratch->buffers[worker].bytes < bytes) {
        void *memory = NULL;
        free(scratch->buffers[worker].memory);
        scratch->buffers[worker].memory = NULL;
        scratch->buffers[worker].bytes = 0;
        if (posix_memalign(&memory, LLOYD_SCRATCH_ALIGNMENT, (size_t)bytes) != 0) {
            return lloyd_fail(LLOYD_FAILED, "cannot allocate %.3f MB for a thread that reads",
                              (double)bytes / 1e6);
        }
        scratch->buffers[worker].memory = memory;
        scratch->buffers[worker].bytes = bytes;
    }
    *buffer = scratch->buffers[worker].memory;
    return LLOYD_OK;
}
