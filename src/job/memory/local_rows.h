/* What callers of the library have in memory: their rows and their centroids, checked, and rows of float64
 * rounded. */
#ifndef LLOYD_LOCAL_ROWS_H
#define LLOYD_LOCAL_ROWS_H

#include "base/types.h"
#include "comm/comm.h"
#include "lloyd/lloyd.h"

typedef struct lloyd_taken_rows {
    const void *data; /* borrowed from the caller, or `rounded` */
    lloyd_type type;
    float *rounded; /* the rows, if they are float64; else NULL */
} lloyd_taken_rows;

/* LLOYD_USAGE where the rows of this rank cannot be. lloyd_free(taken->rounded) in any case. Not
 * collective. */
lloyd_status lloyd_local_rows_take(const lloyd_comm *comm, const lloyd_local_rows *rows,
                                   lloyd_taken_rows *taken);

/* LLOYD_USAGE where the backend is no GPU, but the caller has memory there (on_gpu). Not collective. */
lloyd_status lloyd_local_rows_check_place(const lloyd_comm *comm, int cuda, int on_gpu);

/* *shared = the centroids [k x dim] of rank 0 (ignored on others), on all ranks; lloyd_free() it in any
 * case. what: "initial centroid", for the message. LLOYD_BAD_INPUT where one is not finite. Collective. */
lloyd_status lloyd_local_centroids_share(lloyd_comm *comm, const float *centroids, int64_t k,
                                         int64_t dim, const char *what, float **shared);

#endif
