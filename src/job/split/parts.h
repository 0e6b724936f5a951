/* The rows of the clusters that this rank splits in a round, each cluster's one after the other: brought from the files by
 * whichever ranks read them, and what is found of them taken back there.
 *
 * Each rank reads its share of the dataset, as a fit does, and sends each row to the rank whose turn its cluster is. A row
 * travels in pieces where it is long. */
#ifndef LLOYD_SPLIT_PARTS_H
#define LLOYD_SPLIT_PARTS_H

#include "comm/comm.h"
#include "job/row_source.h"

#include <stdint.h>

/* What a rank knows of its share of the rows. */
typedef struct lloyd_split_source {
    const lloyd_row_source *rows;
    const int32_t *clusters; /* [count] of each row */
    int32_t *labels;   /* [count] results: the sub-cluster, and the distance to its centroid */
    double *distances; /* [count], or NULL: not wanted */
    uint64_t *
        hash; /* the sum of the hashes of the rows and their weights, found in the first round; or NULL */
} lloyd_split_source;

typedef struct lloyd_parts {
    lloyd_comm *comm;
    const lloyd_split_source *source;
    const int64_t *turn; /* [k] of clusters, as in deal.h */
    int64_t round;

    int64_t count;     /* clusters of this rank in this round that have rows */
    int64_t *clusters; /* [count] */
    int64_t *begin;    /* [count + 1] where the rows of each begin, and how many there are */

    char *data;        /* [rows of them] in increasing order within a cluster */
    float *weights;    /* or NULL */
    int64_t *numbers;  /* of the rows in the dataset without those left out */
    int32_t *labels;   /* for the caller to fill */
    double *distances; /* the same, or NULL */
} lloyd_parts;

/* Brings the rows. rows: [k] of each cluster. The caller sets nothing; free it with lloyd_parts_free(), also after a failure.
 * Collective. */
lloyd_status lloyd_parts_bring(lloyd_comm *comm, const lloyd_split_source *source,
                               const int64_t *rows, int64_t k, const int64_t *turn, int64_t round,
                               lloyd_parts *parts);

/* Takes labels and distances back into the source's arrays, on all ranks. Collective. */
lloyd_status lloyd_parts_return(const lloyd_parts *parts);

void lloyd_parts_free(lloyd_parts *parts);

/* Bytes of a row here, beside what the row itself takes; and of what is needed to move rows, apart from them. */
int64_t lloyd_parts_row_bytes(int weighted, int distances);
int64_t lloyd_parts_bytes(int ranks, int64_t k, int64_t most, int64_t row_bytes);

#endif
