/* A job of lloyd split, as its parts see it. */
#ifndef LLOYD_SPLIT_SPLITTING_H
#define LLOYD_SPLIT_SPLITTING_H

#include "comm/comm.h"
#include "io/writers/model.h"
#include "io/writers/output.h"
#include "job/backend.h"
#include "job/results/members.h"
#include "job/row_source.h"
#include "job/split/deal.h"
#include "lloyd/lloyd.h"

#include <stdatomic.h>
#include <stdint.h>

/* How far a cluster is. */
enum {
    LLOYD_SPLIT_OPEN,     /* it is not fitted yet */
    LLOYD_SPLIT_FITTED,   /* its rank has the centroids */
    LLOYD_SPLIT_COLLECTED /* rank 0 has them too */
};

typedef struct lloyd_split_checkpoint lloyd_split_checkpoint;

typedef struct lloyd_splitting {
    lloyd_comm *comm, *self; /* `self`: this rank alone, on its own GPU or its share of the cores */
    const lloyd_split_options *options;
    lloyd_model parent; /* without its centroids */
    lloyd_row_source source;
    lloyd_backend backend;
    lloyd_output output;

    int32_t *clusters; /* [source.count] of the rows of this rank's share */
    int64_t *rows;     /* [parent.k] rows of each cluster, of all ranks */
    int64_t *first;    /* [parent.k + 1] its sub-clusters: shares.h */
    int64_t k;         /* sub-clusters of all */
    lloyd_deal deal;
    lloyd_split_checkpoint *checkpoint; /* or NULL */
    lloyd_members_plan members;
    int64_t memory;     /* planned bytes of this rank */
    int spread;         /* small clusters are those that are spread evenly over so many threads, */
    int64_t small_rows; /* of at most so many rows; 0: no cluster is small (fits.h) */
    int at_once;        /* of which so many are fitted at a time, */
    int together;       /* or batches of up to so many of them: many.h */
    int64_t largest, limit; /* from which these follow */

    unsigned char *state; /* [parent.k] of the clusters of this rank, and of a checkpoint's */
    atomic_int
        distrusted; /* 1: a cluster of the checkpoint has not come out as it was, on this rank */

    /* results, of all ranks in the end */
    int32_t *labels;                 /* [source.count] */
    double *distances;               /* [source.count], or NULL */
    int64_t *counts;                 /* [k] */
    int64_t *inertia;                /* [parent.k] the bits of the inertia of each cluster's fit */
    int64_t *iterations, *converged; /* [parent.k] of these fits */
    /* rank 0: [k * d] of all; others: of their own clusters, one after the other */
    float *centroids;
    int64_t *place; /* [parent.k] where those of each own cluster begin in it, in centroids */
    double start;
} lloyd_splitting;

/* 1 if distances are written, or sort what is. */
static inline int lloyd_split_needs_distances(const lloyd_split_options *options)
{
    return options->distances || options->members;
}

/* Of a row as it is stored. */
static inline int64_t lloyd_split_row_bytes(const lloyd_splitting *s)
{
    return s->source.d * (int64_t)lloyd_type_size(s->source.type);
}

/* The rank that splits a cluster. */
static inline int lloyd_split_rank(const lloyd_splitting *s, int64_t cluster)
{
    return (int)(s->deal.turn[cluster] % s->comm->size);
}

#endif
