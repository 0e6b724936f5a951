/* The rows of this rank: a contiguous range of the dataset, resident in memory or read again from
 * the files in every pass. Kernels that copy rows hold resident ones in their own memory; these
 * pass through a bounded buffer on the host and are nowhere else.
 *
 * A pass over the shard is
 *     for (int64_t chunk = 0; chunk < shard->chunks; chunk++) { lloyd_shard_load(shard, chunk,
 * &slot); ... } and what happens inside sees slots of the kernels only. A resident shard has one
 * chunk per slot and loads each once.
 */
#ifndef LLOYD_SHARD_H
#define LLOYD_SHARD_H

#include "base/status.h"
#include "io/rows.h"
#include "kernels/kernels.h"

#include <stdint.h>

typedef struct lloyd_shard {
    int64_t first, count; /* global rows [first, first + count) */
    int64_t chunk_rows, chunks;
    int resident;
    float *weights; /* [count], or NULL */

    lloyd_rows *rows; /* NULL: the rows were in memory from the start */
    lloyd_kernels *kernels;
    int64_t row_bytes;
    char *memory; /* all rows if resident, else one chunk; or the buffer that rows pass through */
} lloyd_shard;

/* First row of `rank` in the balanced split of n rows over `ranks`. */
int64_t lloyd_shard_first(int64_t n, int rank, int ranks);

/* A shard of rows [first, first + count); reads the weights if `rows` has any (`weighted`). `rows`
 * is borrowed. Give it to kernels with lloyd_shard_attach(); free with lloyd_shard_close(). */
lloyd_status lloyd_shard_open(lloyd_rows *rows, int64_t first, int64_t count, int64_t chunk_rows,
                              int resident, int weighted, lloyd_shard **shard);

/* A shard over rows that are in memory already: data [count * D] float32 and weights [count], both
 * borrowed. */
lloyd_status lloyd_shard_over(float *data, float *weights, int64_t first, int64_t count,
                              int64_t dim, lloyd_shard **shard);

/* Gives the shard to the kernels that compute with it: allocates memory for rows and, if resident,
 * reads them into their slots. Once. */
lloyd_status lloyd_shard_attach(lloyd_shard *shard, lloyd_kernels *kernels);

/* Rows in the buffer that resident rows pass through on their way to kernels that copy them. */
int64_t lloyd_shard_staged_rows(int64_t count, int64_t row_bytes);

/* Brings a chunk into a slot of the kernels. */
lloyd_status lloyd_shard_load(lloyd_shard *shard, int64_t chunk, int *slot);

/* out[0 .. D) = local row `row` as the kernels see it. Between passes only: a streamed shard reads
 * that row alone. */
lloyd_status lloyd_shard_row(lloyd_shard *shard, int64_t row, float *out);

void lloyd_shard_close(lloyd_shard *shard); /* NULL is allowed */

#endif
