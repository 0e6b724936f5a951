/* Device buffers for a transport that works on host memory. staging_cuda.c does it with the CUDA
 * runtime, staging_none.c is its place in a build without CUDA; the build takes one of the two.
 */
#ifndef LLOYD_COMM_STAGING_H
#define LLOYD_COMM_STAGING_H

#include "base/status.h"
#include "base/types.h"

#include <stdint.h>

/* Pinned host memory that device buffers pass through, piece by piece. */
typedef struct lloyd_staging lloyd_staging;

/* Sums values[0 .. count) int64 of host memory over the ranks, in place. */
typedef lloyd_status (*lloyd_staging_sum_host)(void *context, int64_t *values, int64_t count);

/* Returns when the work queued on the buffer's stream is done. */
lloyd_status lloyd_staging_wait(lloyd_buffer buffer);

/* Sums a device buffer of `count` int64 by `sum`, which is called with the same counts on all
 * ranks. *staging is NULL at first; what it then holds is freed by lloyd_staging_free(). */
lloyd_status lloyd_staging_sum(lloyd_staging **staging, lloyd_buffer buffer, int64_t count,
                               lloyd_staging_sum_host sum, void *context);

void lloyd_staging_free(lloyd_staging *staging); /* NULL is allowed */

#endif
