/* Rows that lie in files exactly as they are in memory, or as bytes that a reader unpacks:
 * contiguous datasets of HDF5, its external files, raw formats. Several threads read large pieces
 * straight into the caller's memory, which fills a page cache or a disk's queue. Private to io/. */
#ifndef LLOYD_IO_EXTENTS_H
#define LLOYD_IO_EXTENTS_H

#include "base/status.h"
#include "io/scratch.h"

#include <stdint.h>

/* Bytes of rows that lie together in a file. */
typedef struct lloyd_extent {
    char *path;
    int64_t offset, bytes;
} lloyd_extent;

/* Where rows lie; all pointers are borrowed. */
typedef struct lloyd_extents_of {
    const char *where; /* what the rows are called in messages, "FILE:/DATASET" */
    const lloyd_extent *items;
    int count;         /* in the order of the rows; later ones may be empty */
    int descriptor;    /* of the file of items[0], open already; -1: files are opened by name */
    int64_t row_bytes; /* to tell the row of a byte in messages */
} lloyd_extents_of;

typedef struct lloyd_extents lloyd_extents;

/* unbuffered 1: bypasses the page cache (O_DIRECT) where the file system can. of->descriptor may be
 * closed before this is. */
lloyd_status lloyd_extents_open(const lloyd_extents_of *of, int unbuffered,
                                lloyd_extents **extents);
void lloyd_extents_close(lloyd_extents *extents); /* NULL is allowed */

/* out[0 .. bytes) = the bytes from `first` on, counted from the first extent's. LLOYD_BAD_INPUT if
 * a file is shorter than it was, LLOYD_FAILED if the system cannot read it; the message names the
 * first row it missed. */
lloyd_status lloyd_extents_read(lloyd_extents *extents, lloyd_scratch *scratch, int64_t first,
                                int64_t bytes, char *out);

/* out = rows by their increasing numbers, less `base`, several at a time by several threads; what lies
 * between near ones is read as well. */
lloyd_status lloyd_extents_pick(lloyd_extents *extents, lloyd_scratch *scratch,
                                const int64_t *numbers, int64_t base, int64_t count, char *out);

/* Bytes of a thread's buffer in lloyd_extents_pick(). */
int64_t lloyd_extents_pick_memory(int64_t row_bytes);

/* The same in the calling thread alone, of the one extent of an open file that is buffered. */
lloyd_status lloyd_extents_copy(const lloyd_extents *extents, int64_t first, int64_t bytes,
                                char *out);

/* Bytes of a thread's buffer in lloyd_extents_read(). */
int64_t lloyd_extents_memory(int unbuffered);

#endif
