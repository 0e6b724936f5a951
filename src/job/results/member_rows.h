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

/* Rows that are looked at together. */
typedef struct lloyd_member_batch {
    int64_t rows;         /* the most */
    lloyd_placed *placed; /* [rows] */
    int32_t *labels;      /* [rows] */
} lloyd_member_batch;

/* Of slices of this many members: a small part of them, where they are large. */
int64_t lloyd_member_batch_rows(int64_t slice);
int64_t lloyd_member_batch_bytes(int64_t rows);
lloyd_status lloyd_member_batch_open(lloyd_member_batch *batch, int64_t rows);
void lloyd_member_batch_close(lloyd_member_batch *batch);

/* batch->placed[0 .. count) = local rows [at, at + count), with their numbers in the dataset; count is at
 * most batch->rows. */
lloyd_status lloyd_member_batch_read(lloyd_member_batch *batch, const lloyd_member_rows *rows,
                                     int64_t at, int64_t count);

#endif
