/* Which rank splits which cluster, and when. What comes of a cluster does not depend on it. */
#ifndef LLOYD_SPLIT_DEAL_H
#define LLOYD_SPLIT_DEAL_H

#include "base/status.h"

#include <stdint.h>

typedef struct lloyd_deal {
    int64_t rounds; /* in each, all rows are read once */
    int64_t *turn;  /* [k] round * ranks + rank */
    int64_t most;   /* rows of a rank in a round, at most */
} lloyd_deal;

/* rows: [k] of each cluster; first: as in shares.h; done: [k] not 0 where a cluster is only assigned once more, NULL: none
 * is; room: rows that a rank can hold, at least those of the largest cluster. The work is spread evenly over the ranks and, of several rounds, over these, as far as the largest clusters
 * allow. Free it with lloyd_free(deal->turn), also after a failure. */
lloyd_status lloyd_split_deal(const int64_t *rows, const int64_t *first, const unsigned char *done,
                              int64_t k, int ranks, int64_t room, lloyd_deal *deal);

/* Bytes that making and holding it takes. */
int64_t lloyd_split_deal_bytes(int64_t k);

#endif
