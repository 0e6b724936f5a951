/* Rows that cannot be clustered: with NaN or infinity and, where rows are scaled to length 1, of zeros
 * only. They are counted for the message of a failure or, with --skip-bad-rows, left out of the dataset:
 * the result is that of a dataset which never had them, and in the outputs they have a label of -1.
 */
#ifndef LLOYD_BAD_ROWS_H
#define LLOYD_BAD_ROWS_H

#include "comm/comm.h"
#include "io/rows.h"
#include "io/writers/array.h"

#include <stdint.h>

/* The label of a row that is left out. */
enum { LLOYD_SKIPPED = -1 };

typedef struct lloyd_bad_rows {
    int64_t not_finite, zero;
    int64_t either; /* one or the other */
} lloyd_bad_rows;

/* The bad ones among rows [first, first + count) of this rank, of all ranks. Collective. */
lloyd_status lloyd_bad_rows_count(lloyd_comm *comm, lloyd_rows *rows, int64_t first, int64_t count,
                                  int cosine, lloyd_bad_rows *bad);

/* Looks at all rows, each rank at its share: *pairs = the runs of bad ones, (first, count) by their
 * numbers in the dataset, [2 * *count], in order; free with lloyd_free(). Reports as the next. Collective. */
lloyd_status lloyd_bad_rows_find(lloyd_comm *comm, lloyd_rows *rows, int cosine, int64_t **pairs,
                                 int64_t *count);

/* Looks at all rows, each rank at its share, and leaves the bad ones out of `rows`, on all ranks; says
 * how many they are, and which are the first. LLOYD_BAD_INPUT where no row is left. Before the source
 * is made of the rows. Collective. */
lloyd_status lloyd_bad_rows_skip(lloyd_comm *comm, lloyd_rows *rows, int cosine);

/* Writes what belongs to rows [first, first + count), elements of `size` bytes (at most 8), at the
 * places of these rows in the dataset, and *skipped at those of the rows left out in front of them (and
 * after the last row of all). */
lloyd_status lloyd_bad_rows_write(const lloyd_rows *rows, lloyd_array *array, int64_t first,
                                  int64_t count, const void *data, size_t size,
                                  const void *skipped);

#endif
