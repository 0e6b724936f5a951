/* The rows of a rank as members of their clusters: their labels, their distances, and their numbers in the
 * dataset. */
#ifndef LLOYD_MEMBER_ROWS_H
#define LLOYD_MEMBER_ROWS_H

#include "io/rows.h"
#include "job/results/order.h"
#include "kernels/kernels.h"

#include <stdint.h>

typedef struct lloyd_member_rows {
    int64_t first, count;    /* rows [first, first + count) of the dataset without those left out */
    const double *distances; /* [count] to the centroids of their labels */
    const int32_t *labels;   /* [count]; NULL: those of the kernels */
    lloyd_kernels *kernels;  /* used where labels is NULL */
    const lloyd_rows *files; /* which number the rows; NULL: none is left out */
    int threads;
} lloyd_member_rows;

/* Rows that are looked at together, and where they go. */
enum { LLOYD_MEMBER_BATCH = 1 << 16 };
enum { LLOYD_MEMBER_BATCH_BYTES = LLOYD_MEMBER_BATCH * (sizeof(lloyd_placed) + sizeof(int32_t)) };

typedef struct lloyd_member_batch {
    lloyd_placed *placed; /* [LLOYD_MEMBER_BATCH] */
    int32_t *labels;      /* [LLOYD_MEMBER_BATCH] */
} lloyd_member_batch;

lloyd_status lloyd_member_batch_open(lloyd_member_batch *batch);
void lloyd_member_batch_close(lloyd_member_batch *batch);

/* batch->placed[0 .. count) = local rows [at, at + count), with their numbers in the dataset; count is at
 * most LLOYD_MEMBER_BATCH. */
lloyd_status lloyd_member_batch_read(lloyd_member_batch *batch, const lloyd_member_rows *rows,
                                     int64_t at, int64_t count);

#endif
