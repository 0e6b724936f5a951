/* Outputs: files that appear whole or not at all.
 *
 * A reader never sees half a file: everything is written to a partial file, synced, and renamed
 * when it is complete. Every output of every job has a partial file of its own, created
 * exclusively: of two jobs with one output each writes a whole file, and the last one stays. Small
 * things are written through HDF5 by one rank. Row-shaped things (labels, distances, synthetic
 * rows) are created contiguous and allocated by that rank, which closes the file. Then all ranks
 * write their rows in parallel with pwrite(), at the offset that HDF5 has reported. This needs no
 * parallel HDF5, and the bytes are the same for any number of ranks.
 *
 * The caller's sequence (communication is the caller's: io/ knows none):
 *     rank 0      lloyd_output_open(), lloyd_output_tidy()
 *     every rank  lloyd_output_take(), with rank 0's names
 *     rank 0      lloyd_model_write(), or lloyd_output_create() and lloyd_array_create()
 *                                                                         -> partial file
 *     barrier
 *     every rank  lloyd_array_open(), lloyd_array_write() ..., lloyd_array_close()
 *     barrier
 *     rank 0      lloyd_output_commit()                                       -> PATH
 * or, after any failure, rank 0 calls lloyd_output_discard(). lloyd_output_close() in either case.
 */
#ifndef LLOYD_IO_OUTPUT_H
#define LLOYD_IO_OUTPUT_H

#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

/* An output; all zeros: none. */
typedef struct lloyd_output {
    char *path; /* as it was named, for messages */
    char *
        target; /* the file that is replaced: where `path` is a symbolic link, what that leads to */
    char *part; /* what it is called until it is complete, beside `target` */
} lloyd_output;

/* Names an output, and fails early if it cannot be written: LLOYD_FAILED if its directory does not
 * exist or cannot be written, or if something else than a file is there; LLOYD_USAGE without
 * `force` if a file is there that lloyd has not written. Writes nothing. */
lloyd_status lloyd_output_open(const char *path, int force, lloyd_output *output);

/* The same output on another rank, with the `target` and `part` that rank 0 has determined. */
lloyd_status lloyd_output_take(const char *path, const char *target, const char *part,
                               lloyd_output *output);
void lloyd_output_close(lloyd_output *output); /* frees the names; no file is touched */

/* Looks for partial files of this output that other jobs have left: removes those whose process has
 * certainly ended, and mentions old ones. LLOYD_FAILED without memory. */
lloyd_status lloyd_output_tidy(const lloyd_output *output);

/* Makes the partial file, an HDF5 file that says what it is (`kind`, of io/writers/origin.h), and
 * nothing else yet; then reserves `bytes` of disk space for what will be in it. */
lloyd_status lloyd_output_create(const lloyd_output *output, const char *kind, int64_t bytes);

/* fsync the partial file, rename it to the target, fsync the directory. */
lloyd_status lloyd_output_commit(const lloyd_output *output);

/* The same for a partial file that is synced already. hurry: 1: the directory is not synced
 * either. */
lloyd_status lloyd_output_rename(const lloyd_output *output, int hurry);

/* fsync of the file at `path` and of its directory. */
lloyd_status lloyd_output_sync(const char *path);

/* Removes the partial file if it is there. */
void lloyd_output_discard(const lloyd_output *output);

/* Writes the partial file, a text. */
lloyd_status lloyd_output_text(const lloyd_output *output, const char *text, size_t bytes);

/* *file: a text that others read while it grows, in a new file which at once takes the place of
 * what is at `path`: a job that still writes the old one keeps its own file. NULL, with errno,
 * where none can be made. */
FILE *lloyd_output_stream(const char *path);

/* Gives an object of the partial file ("/" or a dataset) a text attribute. By one rank, while no
 * other has the file open. */
lloyd_status lloyd_output_attribute(const lloyd_output *output, const char *object,
                                    const char *name, const char *text);

#endif
