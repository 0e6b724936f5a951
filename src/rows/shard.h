/* The rows of this rank: a contiguous range of the dataset, in chunks that live in memory of the
 * kernels, in host memory or in the files (layout.h).
 *
 * A pass over the shard is lloyd_shard_each(), and what it calls sees slots of the kernels only. Chunks
 * that do not stay in a slot pass through a few: while one is worked on, the next are copied, and
 * those after them are read. All passes visit the chunks in the same order, so this continues from
 * the end of one pass to the beginning of the next. Whoever asks for another chunk gets it, but waits
 * for it.
 */
#ifndef LLOYD_SHARD_H
#define LLOYD_SHARD_H

#include "base/status.h"
#include "io/rows.h"
#include "kernels/kernels.h"
#include "rows/layout.h"
#include "rows/pipeline.h"

#include <stdint.h>

typedef struct lloyd_shard {
    int64_t first, count; /* global rows [first, first + count) */
    int64_t chunk_rows, chunks;
    lloyd_layout layout;
    const float *weights; /* [count], or NULL */

    lloyd_rows *rows; /* NULL: the rows were in memory from the start */
    lloyd_kernels *kernels;
    const char *data; /* the rows that stay on the host: fixed ones of CPUs, pinned ones of GPUs; or
                       * all, where they were in memory from the start */
    void *memory;     /* of `data`, if it is ours */
    float *own_weights;       /* of `weights`, if they are ours */
    char *row;                /* one row */
    lloyd_pipeline *pipeline; /* NULL: all chunks are fixed */
} lloyd_shard;

/* First row of `rank` in the balanced split of n rows over `ranks`. */
int64_t lloyd_shard_first(int64_t n, int rank, int ranks);

/* A shard of the layout's rows from global row `first` on; reads the weights if `rows` has any
 * (`weighted`). `rows` is borrowed. Give it to kernels with lloyd_shard_attach(); close it with
 * lloyd_shard_close() before they are destroyed. */
lloyd_status lloyd_shard_open(lloyd_rows *rows, int64_t first, lloyd_layout layout, int weighted,
                              lloyd_shard **shard);

/* A shard over rows that are in memory already: data, as the layout says and all fixed, and weights
 * [rows] or NULL. Both are borrowed and only read. data may be NULL where the kernels copy: then their
 * slots only get room for the rows, which the caller puts there. */
lloyd_status lloyd_shard_over(const void *data, const float *weights, int64_t first,
                              lloyd_layout layout, lloyd_shard **shard);

/* Gives the shard to the kernels that compute with it: allocates memory for rows and reads those
 * that stay in it. Once. */
lloyd_status lloyd_shard_attach(lloyd_shard *shard, lloyd_kernels *kernels);

/* Brings a chunk into a slot of the kernels, which is valid until the next call. LLOYD_STOPPED if a
 * signal has asked to stop: here every pass over the rows can be left. */
lloyd_status lloyd_shard_load(lloyd_shard *shard, int64_t chunk, int *slot);

/* A chunk during a pass: its rows are in a slot of the kernels. */
typedef struct lloyd_chunk {
    int slot;
    int64_t first, count; /* local rows [first, first + count) */
    int ends_pass;        /* 0; set to 1 by the work that needs no further chunk */
} lloyd_chunk;

typedef lloyd_status (*lloyd_chunk_work)(void *context, lloyd_chunk *chunk);

/* A pass over the rows of this rank: loads every chunk in turn, and does the work on it. Ends with the
 * first status that is not LLOYD_OK, of loading or of the work. Not collective. */
lloyd_status lloyd_shard_each(lloyd_shard *shard, lloyd_chunk_work work, void *context);

/* The same, for work that does nothing with a chunk but assign() and accumulate() in the iteration that has begun: rows that keep
 * their labels for certain may be missing in a slot. */
lloyd_status lloyd_shard_label(lloyd_shard *shard, lloyd_chunk_work work, void *context);

/* Whether a chunk has a slot of its own, so that bringing it costs nothing. */
int lloyd_shard_is_fixed(const lloyd_shard *shard, int64_t chunk);

/* out[0 .. D) = local row `row` as the kernels see it. Between passes only. */
lloyd_status lloyd_shard_row(lloyd_shard *shard, int64_t row, float *out);

void lloyd_shard_close(lloyd_shard *shard); /* NULL is allowed */

#endif
