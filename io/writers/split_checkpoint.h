/* The checkpoint file of a split: what has come of the clusters that are finished (docs/formats.md). The
 * labels of their rows are not in it: the nearest sub-centroids give them again. Sealed and written as the
 * checkpoint of a fit is (checkpoint.h, image.h). */
#ifndef LLOYD_IO_SPLIT_CHECKPOINT_H
#define LLOYD_IO_SPLIT_CHECKPOINT_H

#include "base/status.h"
#include "io/writers/image.h"

#include <stdint.h>

/* Arrays and texts are owned by whoever filled the struct; lloyd_saved_split_free() frees what
 * lloyd_saved_split_read() allocated. */
typedef struct lloyd_saved_split {
    int64_t n, d, k; /* rows, columns, clusters */
    int64_t filled;  /* clusters that have rows */
    char *type;      /* of the elements, "uint8" */
    char *inputs;    /* the input files, one per line; for a person */
    char *version;   /* of the program that wrote it */
    char *command;
    char *options;           /* those that decide the result, one per line: "--seed 7" */
    uint64_t clusters, data; /* fingerprints: of the clusters of the rows, and of the rows */

    int64_t done;        /* finished clusters */
    int64_t *cluster;    /* [done] which they are, in increasing order */
    double *inertia;     /* [done] of the fits of these */
    int64_t *iterations; /* [done] */
    int64_t *converged;  /* [done] 0 or 1 */
    int64_t parts;       /* sub-clusters of all these */
    float *centroids;    /* [parts * d] read: of one cluster after the other; to be written: NULL */
} lloyd_saved_split;

/* Where the centroids are that are written: fill() copies the next `count` of them to room[count * d]. */
typedef struct lloyd_saved_centroids {
    void (*fill)(void *context, int64_t count, float *room);
    void *context;
} lloyd_saved_centroids;

/* The bytes of the file, in the image. `path` is for messages. After a failure the image is empty. */
lloyd_status lloyd_saved_split_draw(const char *path, const lloyd_saved_split *saved,
                                    const lloyd_saved_centroids *centroids,
                                    lloyd_saved_image *image);

/* LLOYD_BAD_INPUT if it is damaged or not a checkpoint, LLOYD_USAGE if it is that of a fit. */
lloyd_status lloyd_saved_split_read(const char *path, lloyd_saved_split *saved);
void lloyd_saved_split_free(lloyd_saved_split *saved);

/* Whether a checkpoint is that of a split. LLOYD_BAD_INPUT if it is damaged. */
lloyd_status lloyd_saved_split_is_one(const char *path, int *is_one);

#endif
