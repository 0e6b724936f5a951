/* Rows that are left out of a dataset: the rows that stay are renumbered without holes. Pure
 * arithmetic. */
#ifndef LLOYD_IO_GAPS_H
#define LLOYD_IO_GAPS_H

#include "base/status.h"

#include <stdint.h>

/* Rows [first, first + count) of the dataset are left out. */
typedef struct lloyd_gap {
    int64_t first, count;
    int64_t before; /* rows that stay in front of them */
} lloyd_gap;

typedef struct lloyd_gaps {
    lloyd_gap *items; /* in order; two may touch */
    int64_t count;
    int64_t rows; /* in all of them */
} lloyd_gaps;

/* From pairs (first, count), [2 * count], in order and disjoint. Free with lloyd_gaps_free(). */
lloyd_status lloyd_gaps_make(const int64_t *pairs, int64_t count, lloyd_gaps *gaps);
void lloyd_gaps_free(lloyd_gaps *gaps);

/* The number in the dataset of a row that stays. */
int64_t lloyd_gaps_original(const lloyd_gaps *gaps, int64_t row);

/* How many of `count` rows that stay, from `row` on, follow each other in the dataset. */
int64_t lloyd_gaps_run(const lloyd_gaps *gaps, int64_t row, int64_t count);

#endif
