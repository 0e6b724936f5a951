/* How far a model's rows are from their centroids: of each cluster, and of all rows together. */
#ifndef LLOYD_REPORT_SPREAD_H
#define LLOYD_REPORT_SPREAD_H

#include "io/writers/model.h"

#include <stdint.h>

enum {
    LLOYD_SPREAD_SHIFT =
        12, /* bits of a float32 that the bins do not tell apart: 11 of its fraction are left */
    LLOYD_SPREAD_BINS = 1 << (31 - LLOYD_SPREAD_SHIFT)
};

typedef struct lloyd_spread {
    int known;    /* 1: the model has distances; else all other members are 0 */
    int labelled; /* 1: and says of which cluster the rows are */
    int64_t rows; /* with a distance: all but those that were skipped */
    double sum;   /* of their distances, in the order of the rows */
    float least, most;
    int64_t *bins;    /* [LLOYD_SPREAD_BINS] rows whose distance has these leading bits */
    int64_t *members; /* [k] rows of each cluster; NULL if not labelled */
    double *inertia;  /* [k] sum of their distances */
} lloyd_spread;

/* Reads /distances, and /labels or /members, in blocks, so that memory does not grow with the rows (but for one
 * that has /members only: a fourth of its distances, at most 256 MiB). All zero where the model has no distances.
 * LLOYD_BAD_INPUT where what there is does not fit together. Free it also after a failure. */
lloyd_status lloyd_spread_read(const char *path, const lloyd_model *model, lloyd_spread *spread);
void lloyd_spread_free(lloyd_spread *spread);

/* The bin of a distance, which rises with it. */
int lloyd_spread_bin(float distance);

/* The smallest distance of a bin: infinity from the one of infinite distances on. */
double lloyd_spread_edge(int bin);

/* The least distance that is not below that of a share of all rows (0 < share <= 1), to within one in 4096. */
double lloyd_spread_quantile(const lloyd_spread *spread, double share);

#endif
