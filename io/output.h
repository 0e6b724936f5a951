/* Writing: models, labels and matrices of rows.
 *
 * A reader never sees half a file: everything is written to "PATH.part", synced and renamed when
 * complete. Small things are written through HDF5 by one rank. Row-shaped things (labels,
 * distances, synthetic rows) are created contiguous and allocated at once by that rank, which
 * closes the file; then all ranks write their rows with pwrite() at the offset HDF5 reported, in
 * parallel, without parallel HDF5, and the bytes are the same for any number of ranks.
 *
 * The caller's sequence (barriers are the caller's: io/ knows no communication):
 *     every rank  lloyd_output_check()
 *     rank 0      lloyd_model_write() or lloyd_array_create()         -> PATH.part
 *     barrier
 *     every rank  lloyd_array_open(), lloyd_array_write() ..., lloyd_array_close()
 *     barrier
 *     rank 0      lloyd_output_commit()                               -> PATH
 * or, after any failure, rank 0 calls lloyd_output_discard().
 */
#ifndef LLOYD_IO_OUTPUT_H
#define LLOYD_IO_OUTPUT_H

#include "base/status.h"
#include "base/types.h"
#include "io/rows.h"

#include <stdint.h>

/* Fails early where `path` cannot become an output: LLOYD_USAGE if it is one of the files of
 * `inputs` (by device and inode, NULL: no inputs); LLOYD_FAILED if its directory does not exist or
 * cannot be written, or if it is a directory. Writes nothing. */
lloyd_status lloyd_output_check(const char *path, const lloyd_rows *inputs);

/* LLOYD_USAGE if writing `path` would replace the file `input`, which is read beside the rows. */
lloyd_status lloyd_output_check_apart(const char *path, const char *input);

/* LLOYD_USAGE if two outputs, named by these options, are one file or get in each other's way. */
lloyd_status lloyd_output_check_distinct(const char *option, const char *path,
                                         const char *other_option, const char *other);

/* fsync "PATH.part", rename it to PATH, fsync the directory. */
lloyd_status lloyd_output_commit(const char *path);

/* The same for a "PATH.part" that is synced already. hurry: 1: the directory is not synced either. */
lloyd_status lloyd_output_rename(const char *path, int hurry);

/* fsync PATH and its directory. */
lloyd_status lloyd_output_sync(const char *path);

/* Removes "PATH.part" if it is there. */
void lloyd_output_discard(const char *path);

/* Writes "PATH.part", a text. */
lloyd_status lloyd_output_text(const char *path, const char *text, size_t bytes);

/* A clustering, as it is stored. Arrays are owned by whoever filled the struct; lloyd_model_free()
 * frees what lloyd_model_read() allocated. */
typedef struct lloyd_model {
    int64_t n, d, k;
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

/* Writes the model to "PATH.part" through HDF5. With labels != 0 it also creates /labels int32 [n],
 * contiguous, allocated and not yet written (fill it with lloyd_array_*). Datasets and attributes:
 * docs/formats.md. */
lloyd_status lloyd_model_write(const char *path, const lloyd_model *model, int labels);

/* Reads /centroids (required: float32 or convertible, two-dimensional, finite) and, where present,
 * everything else, so that a plain HDF5 file with only /centroids is a model too: then counts,
 * inertia, moved and seconds are NULL, iterations is 0, texts are "". Errors: LLOYD_BAD_INPUT. */
lloyd_status lloyd_model_read(const char *path, lloyd_model *model);

/* The same without the centroids, of which it looks at the shape only: model->centroids is NULL. */
lloyd_status lloyd_model_read_about(const char *path, lloyd_model *model);
void lloyd_model_free(lloyd_model *model);

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

/* Creates dataset `name` in "PATH.part" (the file too, if it is not there yet or `fresh` is 1):
 * contiguous, allocated, not filled, [rows] if columns is 0, else [rows, columns]. */
lloyd_status lloyd_array_create(const char *path, int fresh, const char *name,
                                lloyd_array_type type, int64_t rows, int64_t columns);

/* Opens dataset `name` of "PATH.part" for writing rows from this process. */
lloyd_status lloyd_array_open(const char *path, const char *name, lloyd_array **array);

/* Writes rows [first, first+count), native byte order. Safe beside other processes that write other
 * rows. */
lloyd_status lloyd_array_write(lloyd_array *array, int64_t first, int64_t count, const void *data);
lloyd_status
lloyd_array_close(lloyd_array *array); /* reports errors that writing deferred; NULL is allowed */

/* Gives an object of "PATH.part" ("/" or a dataset) a text attribute. By one rank, while no other
 * has the file open. */
lloyd_status lloyd_output_attribute(const char *path, const char *object, const char *name,
                                    const char *text);

/* `lloyd wrap`: an HDF5 file at `path` whose dataset /train points into RAW.{fbin,u8bin,i8bin,npy}
 * (external storage, no copy). Checks the header against the file's size. Returns the shape and
 * type for a message. */
lloyd_status lloyd_wrap(const char *raw, const char *path, int64_t *rows, int64_t *columns,
                        const char **type);

#endif
