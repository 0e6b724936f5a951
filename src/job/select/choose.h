/* Which members of each cluster are selected, and their row numbers. */
#ifndef LLOYD_SELECT_CHOOSE_H
#define LLOYD_SELECT_CHOOSE_H

#include "base/status.h"
#include "io/clusters.h"
#include "lloyd/lloyd.h"

#include <stdint.h>

typedef struct lloyd_choosing {
    const lloyd_select_options *options;
    const lloyd_clusters *clusters;
    const lloyd_parents *parents; /* [levels] */
    int levels;                   /* above the first */
    const uint64_t *kept;         /* bits.h: the members that are left; NULL: all */
} lloyd_choosing;

/* marks: bits.h, for clusters->rows, empty: afterwards the rows that are selected. Sets selected, touched and available of
 * the result. */
lloyd_status lloyd_choose(const lloyd_choosing *choosing, uint64_t *marks,
                          lloyd_select_result *result);

#endif
