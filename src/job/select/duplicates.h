/* Near-duplicates: in each cluster, the rows whose direction is nearly that of one visited before that stays, or of any one
 * visited before.
 *
 * As many clusters as there is memory for are looked at together: their rows are read in the order of the dataset. Of a
 * cluster that is larger, a block of rows is thinned out, all rows after it that are left are read and compared with
 * those of the block that stay, and so on with the next block of rows that are left. Where rows are compared with all before
 * them, it is all rows of a block, and the next block has all rows too. The result does not depend on what a block is. */
#ifndef LLOYD_SELECT_DUPLICATES_H
#define LLOYD_SELECT_DUPLICATES_H

#include "base/status.h"
#include "io/clusters.h"
#include "io/rows.h"
#include "job/select/visit.h"

#include <stdint.h>

typedef struct lloyd_duplicates {
    const lloyd_clusters *clusters;
    lloyd_rows *rows; /* of the dataset */
    double threshold; /* of the cosine similarity: above 0, below 1 */
    lloyd_visit visit;
    int with_all; /* a row is compared with 1: all rows visited before it; 0: those of them that stay */
    uint64_t seed;
    int threads;
    int64_t memory;   /* bytes that this may take, with what the reader takes */
    const char *mode; /* of what is shown */
} lloyd_duplicates;

/* The cluster from which on rank `rank` of `size` has its share, which is about an equal part of the work; rank = size: k. */
int64_t lloyd_duplicates_first(const lloyd_clusters *clusters, int rank, int size);

/* kept: bits.h, a bit for each member, all 0 for those of clusters [first, end): 1 for those that stay. LLOYD_FAILED where the
 * memory is too little, LLOYD_BAD_INPUT where a row holds NaN or infinity. */
lloyd_status lloyd_duplicates_find(const lloyd_duplicates *d, int64_t first, int64_t end,
                                   uint64_t *kept);

#endif
