/* The fit of one cluster's rows, by this rank alone. */
#ifndef LLOYD_SPLIT_SMALL_H
#define LLOYD_SPLIT_SMALL_H

#include "base/types.h"
#include "comm/comm.h"
#include "lloyd/lloyd.h"
#include "rows/layout.h"

#include <stdint.h>

/* Rows in memory, borrowed. */
typedef struct lloyd_small_rows {
    const void *data;     /* [count * d] */
    const float *weights; /* [count], or NULL */
    int64_t count, d;
    lloyd_type type;
} lloyd_small_rows;

/* What comes of them, in memory of the caller. */
typedef struct lloyd_small_result {
    float *centroids;  /* [k * d] */
    int64_t *counts;   /* [k] zeros when it begins */
    int32_t *labels;   /* [count] */
    double *distances; /* [count], or NULL: not wanted */
    double inertia;
    int64_t iterations;
    int converged;
} lloyd_small_result;

/* As lloyd_fit() over a file with these rows. self: this rank alone. Several threads may call it at a time, each with a communicator
 * of its own. */
lloyd_status lloyd_small_fit(lloyd_comm *self, const lloyd_fit_options *options,
                             const lloyd_small_rows *rows, lloyd_small_result *result);

/* result->centroids are those that such a fit has found: the rest of the result, but for `iterations` and `converged`. */
lloyd_status lloyd_small_assign(lloyd_comm *self, const lloyd_fit_options *options,
                                const lloyd_small_rows *rows, lloyd_small_result *result);

/* Bytes that it takes: of the host's memory, the rows and the results aside, and of the GPU's. */
lloyd_status lloyd_small_bytes(lloyd_comm *self, const lloyd_fit_options *options,
                               const lloyd_small_rows *rows, lloyd_bytes *bytes);

#endif
