/* Where the rows of a job come from: from files, or from memory that the caller has filled. */
#ifndef LLOYD_ROW_SOURCE_H
#define LLOYD_ROW_SOURCE_H

#include "base/status.h"
#include "base/types.h"
#include "comm/comm.h"
#include "io/rows.h"
#include "io/writers/model.h"
#include "job/agreement.h"

#include <stdint.h>

typedef struct lloyd_row_source {
    int64_t n, d;         /* of all ranks */
    int64_t first, count; /* global rows [first, first + count) of this rank */
    lloyd_type type;
    int rounded;     /* 1: the files hold float64 */
    int weighted;    /* 1: each row has a weight */
    int64_t skipped; /* bad rows that are left out, not among the n */

    lloyd_rows *rows; /* the files they are read from; NULL: they are in memory */

    /* in memory, borrowed */
    const void *data;     /* [count * d] of `type` */
    const float *weights; /* [count]; NULL where not weighted, and only there */
} lloyd_row_source;

/* Rows of files, in the balanced split over the ranks. `rows` is borrowed. */
lloyd_status lloyd_row_source_files(const lloyd_comm *comm, lloyd_rows *rows, int weighted,
                                    lloyd_row_source *source);

/* Adds what files there are, and what is in them. */
void lloyd_row_source_agreement(const lloyd_rows *rows, lloyd_agreement *agreement);

/* Adds a model of that name. */
void lloyd_row_source_agreement_of_model(const char *name, const lloyd_model *model,
                                         lloyd_agreement *agreement);

/* Rows in memory: each rank has its own, and their order is that of the ranks. data: [count * d];
 * weights: [count] or NULL; count >= 0, 1 <= d < 2^31, the same on all ranks. LLOYD_USAGE where the
 * ranks differ in d, in the type, or in whether there are weights; LLOYD_BAD_INPUT where there are no
 * rows at all. Collective. */
lloyd_status lloyd_row_source_memory(lloyd_comm *comm, const void *data, const float *weights,
                                     int64_t count, int64_t d, lloyd_type type,
                                     lloyd_row_source *source);

#endif
