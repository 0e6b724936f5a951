/* The model file: what a fit writes and a prediction reads (docs/formats.md). Labels say in the
 * same form what made them. */
#ifndef LLOYD_IO_MODEL_H
#define LLOYD_IO_MODEL_H

#include "base/status.h"
#include "io/writers/output.h"
#include "io/writers/row_outputs.h"

#include <stdint.h>

/* A clustering, as it is stored. Arrays are owned by whoever filled the struct; lloyd_model_free()
 * frees what lloyd_model_read() allocated. */
typedef struct lloyd_model {
    int64_t n, d, k;
    int64_t skipped;      /* bad rows, which are not among the n, but among the labels */
    int64_t stored;       /* rows of the inputs, of which a subset was fitted; 0: all were */
    char *subset;         /* what said which, "--sample 1000"; NULL or "": nothing */
    float *centroids;     /* [k*d] */
    int64_t *counts;      /* [k] rows per cluster */
    int64_t iterations;   /* T */
    double *inertia;      /* [T] /history/inertia */
    int64_t *moved;       /* [T] /history/moved: labels changed */
    double *seconds;      /* [T] /history/seconds */
    double final_inertia; /* attribute inertia: of the returned labels and centroids */
    int converged;        /* 1: stopped because no label changed or tol was reached */
    int64_t distinct;     /* distinct_rows, where it is known that they are fewer than k; else 0 */
    double max_size;      /* --max-size; 0: none, and nothing in the next three */
    int64_t largest_allowed,
        moved_rows; /* rows of a cluster; rows not in that of the nearest centroid */
    double
        inertia_before; /* final_inertia with all rows in the clusters of the nearest centroids */
    uint64_t seed;
    int ranks;
    int cosine;       /* metric: 0 l2, 1 cosine (centroids are unit vectors) */
    char *parent;     /* the file of the model whose clusters were split; NULL or "": none were */
    int64_t parent_k; /* its clusters */
    int32_t *
        parents; /* [k] /parents: the cluster of it that each is from, or NULL; lloyd_model_read() leaves it so */
    char *version; /* of the program that wrote it */
    char *command; /* the command line */
    char *options; /* one line of JSON: every option with the value used */
    char *backend; /* "cpu", "cuda" */
    char **inputs; /* [input_count] files, in order */
    int input_count;
} lloyd_model;

/* Bytes of a model's arrays, those of its rows included; rows: NULL: none. shape: of these; NULL: that of the
 * model. */
int64_t lloyd_model_bytes(const lloyd_model *model, const lloyd_row_outputs *rows,
                          const lloyd_row_shape *shape);

/* Makes the partial file and writes the model to it through HDF5. It also creates the datasets of `rows`
 * (NULL: none) of that shape (as above), contiguous, allocated and not yet written (fill them with lloyd_array_*). Datasets and attributes:
 * docs/formats.md. */
lloyd_status lloyd_model_write(const lloyd_output *output, const lloyd_model *model,
                               const lloyd_row_outputs *rows, const lloyd_row_shape *shape);

/* Reads /centroids (required: float32 or convertible, two-dimensional, finite) and, where present,
 * everything else, so that a plain HDF5 file with only /centroids is a model too: then counts,
 * inertia, moved and seconds are NULL, iterations is 0, texts are "". Errors: LLOYD_BAD_INPUT. */
lloyd_status lloyd_model_read(const char *path, lloyd_model *model);

/* The same without the centroids, of which it looks at the shape only: model->centroids is NULL. */
lloyd_status lloyd_model_read_about(const char *path, lloyd_model *model);
void lloyd_model_free(lloyd_model *model);

/* Says in "PATH.part", a file of labels, what made it, as a model does: of `about`, n, d, k,
 * version, backend, cosine, ranks and inputs; and the file of the model. By one rank, while no
 * other has the file open. */
lloyd_status lloyd_labels_describe(const lloyd_output *output, const lloyd_model *about,
                                   const char *model);

/* The same of a file of labels, and *model (free with free()): "" and 0 where it does not say. Free
 * `about` with lloyd_model_free(). */
lloyd_status lloyd_labels_read_about(const char *path, lloyd_model *about, char **model);

#endif
