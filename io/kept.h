/* Rows of a dataset that are kept, by their numbers, of which a process knows its share: they are
 * renumbered without holes. Pure arithmetic. */
#ifndef LLOYD_IO_KEPT_H
#define LLOYD_IO_KEPT_H

#include <stdint.h>

typedef struct lloyd_kept {
    int64_t *numbers;     /* [count] in the dataset, increasing; NULL: all rows are kept */
    int64_t first, count; /* of the rows that are kept, these are [first, first + count) */
    int64_t total;        /* rows that are kept, by all processes */
} lloyd_kept;

/* How many of `count` numbers, from numbers[0] on, follow each other without a gap. */
int64_t lloyd_kept_run(const int64_t *numbers, int64_t count);

/* How many of them are worth reading together, with what lies between them: no gap is of more than `gap`
 * rows, and from the first to the last there are at most `most` rows. At least 1. */
int64_t lloyd_kept_span(const int64_t *numbers, int64_t count, int64_t gap, int64_t most);

#endif
