/* Writing: models, labels and matrices of rows.
 *
 * A reader never sees half a file: everything is written to a part file, synced and renamed when
 * complete. Every output of every job has a part file of its own, made exclusively, so that two jobs
 * with one output each write a whole file, of which the last one stays. Small things are written
 * through HDF5 by one rank. Row-shaped things (labels, distances, synthetic rows) are created
 * contiguous and allocated at once by that rank, which closes the file; then all ranks write their
 * rows with pwrite() at the offset HDF5 reported, in parallel, without parallel HDF5, and the bytes
 * are the same for any number of ranks.
 *
 * The caller's sequence (communication is the caller's: io/ knows none):
 *     rank 0      lloyd_output_open(), lloyd_output_tidy()
 *     every rank  lloyd_output_take(), with rank 0's names
 *     rank 0      lloyd_model_write(), or lloyd_output_create() and lloyd_array_create()  -> part file
 *     barrier
 *     every rank  lloyd_array_open(), lloyd_array_write() ..., lloyd_array_close()
 *     barrier
 *     rank 0      lloyd_output_commit()                                                   -> PATH
 * or, after any failure, rank 0 calls lloyd_output_discard(). lloyd_output_close() in either case.
 */
#ifndef LLOYD_IO_OUTPUT_H
#define LLOYD_IO_OUTPUT_H

#include "base/status.h"
#include "base/types.h"

#include <stdint.h>
#include <stdio.h>

/* An output; all zeros: none. */
typedef struct lloyd_output {
    char *path; /* as it was named, for messages */
    char *
        target; /* the file that is replaced: where `path` is a symbolic link, what that leads to */
    char *part; /* what it is called until it is complete, beside `target` */
} lloyd_output;

/* Names an output, and fails early where it cannot become one: LLOYD_FAILED if its directory does not
 * exist or cannot be written, or if something else than a file is there; LLOYD_USAGE without `force`
 * if a file is there that lloyd has not written. Writes nothing. */
lloyd_status lloyd_output_open(const char *path, int force, lloyd_output *output);

/* The same output in another process, which has found out `target` and `part`. */
lloyd_status lloyd_output_take(const char *path, const char *target, const char *part,
                               lloyd_output *output);
void lloyd_output_close(lloyd_output *output); /* frees the names; no file is touched */

/* Looks for part files of this output that other jobs have left: removes those whose process has
 * certainly ended, and mentions old ones. LLOYD_FAILED without memory. */
lloyd_status lloyd_output_tidy(const lloyd_output *output);

/* Makes the part file, an HDF5 file that says what it is (`kind`, of io/origin.h), and nothing else
 * yet; then `bytes` are taken of the file system for what will be in it. */
lloyd_status lloyd_output_create(const lloyd_output *output, const char *kind, int64_t bytes);

/* fsync the part file, rename it to the target, fsync the directory. */
lloyd_status lloyd_output_commit(const lloyd_output *output);

/* The same for a part file that is synced already. hurry: 1: the directory is not synced either. */
lloyd_status lloyd_output_rename(const lloyd_output *output, int hurry);

/* fsync of the file at `path` and of its directory. */
lloyd_status lloyd_output_sync(const char *path);

/* Removes the part file if it is there. */
void lloyd_output_discard(const lloyd_output *output);

/* Writes the part file, a text. */
lloyd_status lloyd_output_text(const lloyd_output *output, const char *text, size_t bytes);

/* *file: a text that others read while it grows, in a new file which at once takes the place of
 * what is at `path`: a job that still writes the old one keeps its own file. NULL, with errno,
 * where none can be made. */
FILE *lloyd_output_stream(const char *path);

/* A clustering, as it is stored. Arrays are owned by whoever filled the struct; lloyd_model_free()
 * frees what lloyd_model_read() allocated. */
typedef struct lloyd_model {
    int64_t n, d, k;
    int64_t skipped;      /* bad rows, which are not among the n, but among the labels */
    float *centroids;     /* [k*d] */
    int64_t *counts;      /* [k] rows per cluster */
    int64_t iterations;   /* T */
    double *inertia;      /* [T] /history/inertia */
    int64_t *moved;       /* [T] /history/moved: labels changed */
    double *seconds;      /* [T] /history/seconds */
    double final_inertia; /* attribute inertia: of the returned labels and centroids */
    int converged;        /* 1: stopped because no label changed or tol was reached */
    uint64_t seed;
    int ranks;
    int cosine;    /* metric: 0 l2, 1 cosine (centroids are unit vectors) */
    char *version; /* of the program that wrote it */
    char *command; /* the command line */
    char *options; /* one line of JSON: every option with the value used */
    char *backend; /* "cpu", "cuda" */
    char **inputs; /* [input_count] files, in order */
    int input_count;
} lloyd_model;

/* Bytes of a model's arrays, those of its labels included if `labels`. */
int64_t lloyd_model_bytes(const lloyd_model *model, int labels);

/* Makes the part file and writes the model to it through HDF5. With labels != 0 it also creates
 * /labels int32 [n + skipped], contiguous, allocated and not yet written (fill it with lloyd_array_*). Datasets
 * and attributes: docs/formats.md. */
lloyd_status lloyd_model_write(const lloyd_output *output, const lloyd_model *model, int labels);

/* Reads /centroids (required: float32 or convertible, two-dimensional, finite) and, where present,
 * everything else, so that a plain HDF5 file with only /centroids is a model too: then counts,
 * inertia, moved and seconds are NULL, iterations is 0, texts are "". Errors: LLOYD_BAD_INPUT. */
lloyd_status lloyd_model_read(const char *path, lloyd_model *model);

/* The same without the centroids, of which it looks at the shape only: model->centroids is NULL. */
lloyd_status lloyd_model_read_about(const char *path, lloyd_model *model);
void lloyd_model_free(lloyd_model *model);

/* Says in "PATH.part", a file of labels, what made it, as a model does: of `about`, n, d, k, version,
 * backend, cosine, ranks and inputs; and the file of the model. By one rank, while no other
 * has the file open. */
lloyd_status lloyd_labels_describe(const lloyd_output *output, const lloyd_model *about,
                                   const char *model);

/* The same of a file of labels, and *model (free with free()): "" and 0 where it does not say. Free
 * `about` with lloyd_model_free(). */
lloyd_status lloyd_labels_read_about(const char *path, lloyd_model *about, char **model);

/* One dataset of an output file while its rows are written. */
typedef struct lloyd_array lloyd_array;

typedef enum lloyd_array_type {
    LLOYD_ARRAY_I32, /* labels */
    LLOYD_ARRAY_F32, /* distances, rows */
    LLOYD_ARRAY_F16,
    LLOYD_ARRAY_BF16,
    LLOYD_ARRAY_U8,
    LLOYD_ARRAY_I8
} lloyd_array_type;

/* Creates dataset `name` in the part file, which is there: contiguous, allocated, not filled, [rows]
 * if columns is 0, else [rows, columns]. */
lloyd_status lloyd_array_create(const lloyd_output *output, const char *name, lloyd_array_type type,
                                int64_t rows, int64_t columns);

/* Opens dataset `name` of the part file for writing rows from this process. */
lloyd_status lloyd_array_open(const lloyd_output *output, const char *name, lloyd_array **array);

/* Writes rows [first, first+count), native byte order. Safe beside other processes that write other
 * rows. */
lloyd_status lloyd_array_write(lloyd_array *array, int64_t first, int64_t count, const void *data);
lloyd_status
lloyd_array_close(lloyd_array *array); /* reports errors that writing deferred; NULL is allowed */

/* Gives an object of the part file ("/" or a dataset) a text attribute. By one rank, while no other
 * has the file open. */
lloyd_status lloyd_output_attribute(const lloyd_output *output, const char *object,
                                    const char *name, const char *text);

/* `lloyd wrap`: an HDF5 file whose dataset /train points into RAW.{fbin,u8bin,i8bin,npy} (external
 * storage, no copy). Checks the header against the file's size. Returns the shape and type for a
 * message. */
lloyd_status lloyd_wrap(const char *raw, const lloyd_output *output, int64_t *rows,
                        int64_t *columns, const char **type);

#endif
