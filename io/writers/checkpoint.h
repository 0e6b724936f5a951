/* The checkpoint file: all that a fit needs to continue as if it had not been stopped
 * (docs/formats.md).
 *
 * It is also a model file, with /centroids and /history: it can be inspected, used for predictions,
 * or given to --init, unless its seeding is not finished. It begins with a seal, a hash of all that
 * follows, so that a damaged checkpoint is refused.
 */
#ifndef LLOYD_IO_CHECKPOINT_H
#define LLOYD_IO_CHECKPOINT_H

#include "base/status.h"
#include "io/writers/image.h"

#include <stdint.h>

/* One start of the algorithm, up to some iteration. */
typedef struct lloyd_saved_run {
    int64_t iterations;        /* T */
    double *inertia, *seconds; /* [T] */
    int64_t *moved;            /* [T] */
    float *centroids;          /* [k*d] */
} lloyd_saved_run;

/* Arrays and texts are owned by whoever filled the struct; lloyd_saved_free() frees what
 * lloyd_saved_read() allocated. */
typedef struct lloyd_saved {
    int64_t n, d, k;
    char *type;    /* of the elements, "uint8" */
    char *inputs;  /* the input files, one per line; for a person */
    char *version; /* of the program that wrote it */
    char *command;
    char *options; /* those that decide the result, one per line: "--seed 7" */
    int64_t max_iters;
    uint64_t data; /* the data's fingerprint */

    int64_t restart;     /* this start, 0, 1, ... */
    lloyd_saved_run run; /* its finished iterations but the last, which began with run.centroids */
    int known;           /* 1: that last iteration gave these two; 0: it was not finished */
    int64_t moved;
    double inertia;

    /* Of a seeding that is not finished, in place of centroids, which are NULL then: the rows that
     * it has drawn, and how many of its steps (rounds or centroids) are done. */
    int64_t drawn; /* 0: it is finished */
    int64_t *rows; /* [drawn] */
    int64_t steps;

    lloyd_saved_run best; /* of the starts so far; its centroids are NULL where there is none */
    double best_inertia;
    int best_converged;
} lloyd_saved;

/* Makes a new checkpoint in memory; the image keeps its bytes for now. `path` is for messages.
 * Takes the lock of HDF5, which lloyd_saved_adopt() releases. */
lloyd_status lloyd_saved_draft(const char *path, const lloyd_saved *saved,
                               lloyd_saved_image *image);

/* Replaces the bytes of the image by the draft, in the time of a copy in memory. After a failure
 * the image is empty. */
lloyd_status lloyd_saved_adopt(const char *path, lloyd_saved_image *image);

/* All at once: draft, adopt and store. */
lloyd_status lloyd_saved_write(const char *path, const lloyd_saved *saved);

/* Reads a checkpoint. LLOYD_BAD_INPUT if it is damaged or not a checkpoint. */
lloyd_status lloyd_saved_read(const char *path, lloyd_saved *saved);
void lloyd_saved_free(lloyd_saved *saved);

/* Whether a file begins like a checkpoint. */
int lloyd_saved_is_one(const char *path);

int lloyd_saved_exists(const char *path);

/* LLOYD_USAGE if the file is not a checkpoint: other files are not replaced. LLOYD_BAD_INPUT if it
 * cannot be read. */
lloyd_status lloyd_saved_check_replaceable(const char *path);

#endif
