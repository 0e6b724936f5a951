/* What is asked of a file beyond its rows or its model: what kind of file it is, its labels and
 * distances. */
#ifndef LLOYD_IO_INSPECT_H
#define LLOYD_IO_INSPECT_H

#include "base/status.h"
#include "io/writers/row_outputs.h"

#include <stdint.h>

typedef enum lloyd_kind {
    LLOYD_KIND_ROWS,  /* vectors */
    LLOYD_KIND_MODEL, /* has /centroids */
    LLOYD_KIND_CHECKPOINT,
    LLOYD_KIND_LABELS, /* has a one-dimensional /labels and nothing two-dimensional */
    LLOYD_KIND_NUMBERS /* of rows: one-dimensional, whole numbers; of HDF5: of 64 bits */
} lloyd_kind;

/* What an input FILE[:DATASET] is; where a dataset is named, vectors or numbers; vectors wherever several files
 * are. */
lloyd_status lloyd_inspect_kind(const char *input, lloyd_kind *kind);

/* total = the length of /labels; labels[0 .. count) = those of rows [first, first+count). count
 * may be 0. */
lloyd_status lloyd_inspect_labels(const char *path, int64_t first, int64_t count, int64_t *total,
                                  int32_t *labels);

/* The same of /distances, as float32. */
lloyd_status lloyd_inspect_distances(const char *path, int64_t first, int64_t count, int64_t *total,
                                     float *distances);

/* What an HDF5 file of numbers says of itself: *method (how lloyd select chose them), *version, *inputs (a line for
 * each); "" where it does not say, NULL of other formats. Free with free(), also after a failure. */
lloyd_status lloyd_inspect_selection(const char *path, char **method, char **version,
                                     char **inputs);

/* Which datasets of rows a model or a file of labels has. LLOYD_BAD_INPUT if it cannot be read. */
lloyd_status lloyd_inspect_row_outputs(const char *path, lloyd_row_outputs *outputs);

#endif
