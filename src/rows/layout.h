/* Where the rows of a rank live between two uses. The shard is cut into chunks of equal size, and
 * each has one of three homes:
 *
 *     fixed      in a slot of the kernels of its own: in GPU memory, or on the host where CPUs
 *                compute (which use the rows in place)
 *     pinned       in (pinned) host memory, copied to the GPU in every pass
 *     streamed   in the files, read in every pass
 *
 * The fastest home is filled first. Chunks of different homes alternate as evenly as their
 * numbers allow, so that a pass in the order of the rows keeps files, copies and computing busy
 * from its beginning to its end. Everything here is arithmetic.
 */
#ifndef LLOYD_LAYOUT_H
#define LLOYD_LAYOUT_H

#include <stdint.h>

/* Slots, and buffers for reading, that chunks come and go through: one is worked on, one is on its
 * way, one keeps whoever brings it busy meanwhile. */
enum { LLOYD_AHEAD = 3 };

typedef enum lloyd_home { LLOYD_FIXED, LLOYD_PINNED, LLOYD_STREAMED } lloyd_home;

typedef struct lloyd_layout {
    int64_t rows, row_bytes;
    int copies;         /* 1: the kernels copy rows to memory of their own */
    int64_t chunk_rows; /* of every chunk but the last, >= 1 */
    int64_t chunks;
    int64_t fixed, pinned; /* chunks with these homes; pinned only with copies */
    int once;              /* 1: there is one pass only, and nothing is read for another */
} lloyd_layout;

/* Memory of a rank: on the host, and on its GPU. */
typedef struct lloyd_bytes {
    int64_t host, gpu;
} lloyd_bytes;

/* Bytes that a rank takes beside its rows and their buffers if it works on `chunk_rows` at a time;
 * never less for more rows. */
typedef lloyd_bytes (*lloyd_layout_need)(const void *context, int64_t chunk_rows);

/* All rows fixed, in as few chunks as 31-bit row numbers allow. */
lloyd_layout lloyd_layout_fixed(int64_t rows, int64_t row_bytes, int copies);

/* Chunks of `chunk_rows`, all streamed. */
lloyd_layout lloyd_layout_streamed(int64_t rows, int64_t row_bytes, int copies, int64_t chunk_rows);

/* Fills the homes within `limit`, the fastest first. Where even the smallest chunks need more,
 * *layout streams in these, and 0 is returned. */
int lloyd_layout_choose(int64_t rows, int64_t row_bytes, int copies, lloyd_bytes limit,
                        lloyd_layout_need need, const void *context, lloyd_layout *layout);

/* Chunks that are streamed once: the largest usual ones that fit. */
lloyd_layout lloyd_layout_once(int64_t rows, int64_t row_bytes, int copies, lloyd_bytes limit,
                               lloyd_layout_need need, const void *context);

/* The home of a chunk; *index = how many chunks before it have the same. */
lloyd_home lloyd_layout_home(const lloyd_layout *layout, int64_t chunk, int64_t *index);

/* Rows of a chunk, and of all chunks of a home. */
int64_t lloyd_layout_chunk_rows(const lloyd_layout *layout, int64_t chunk);
int64_t lloyd_layout_rows(const lloyd_layout *layout, lloyd_home home);

/* Slots that pinned and streamed chunks pass through; slots in all: the fixed chunks', these, and if
 * there are any, one for a single row. */
int lloyd_layout_passing_slots(const lloyd_layout *layout);
int lloyd_layout_slots(const lloyd_layout *layout);

/* Buffers that rows from the files pass through, and the rows of each: of a chunk where chunks are
 * streamed, else of what brings fixed rows to the GPU. */
int lloyd_layout_buffers(const lloyd_layout *layout, int64_t *rows);

/* Bytes of a buffer: whole pages. */
int64_t lloyd_layout_buffer_bytes(const lloyd_layout *layout);

/* Memory of the rows and of what they pass through. */
lloyd_bytes lloyd_layout_bytes(const lloyd_layout *layout);

#endif
