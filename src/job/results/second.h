/* The second-nearest centroid of each row: the nearest of all but the label, by dist(), ties to the smaller index.
 *
 * The kernels find the nearest of a set, the same one for all rows, and here each row leaves another one out. So
 * centroids are numbered in a base of about the square root of K or less, and each digit of each place
 * gives a set: the centroids that have it there. A row is assigned to all sets; those that its label is not in
 * count, and every other centroid is in one of them, since it differs from the label in some digit. One place
 * costs as much as one assignment to all centroids. */
#ifndef LLOYD_SECOND_H
#define LLOYD_SECOND_H

#include "kernels/kernels.h"

#include <stdint.h>

typedef struct lloyd_second lloyd_second;

/* For chunks of at most `chunk_rows` rows. centroids: [k * dim], borrowed. Close it also after a failure. */
lloyd_status lloyd_second_open(const float *centroids, int64_t k, int64_t dim, int64_t chunk_rows,
                               lloyd_second **second);
void lloyd_second_close(lloyd_second *second); /* NULL is allowed */

/* Bytes that it takes. */
int64_t lloyd_second_bytes(int64_t k, int64_t dim, int64_t chunk_rows);

/* Of rows [first, first + count), which are in the slot and have these labels: nearest[i] and distances[i], or -1
 * and NaN where there is one centroid only. Afterwards the kernels have all centroids, but labels of no use for
 * these rows. */
lloyd_status lloyd_second_find(lloyd_second *second, lloyd_kernels *kernels, int slot,
                               int64_t first, int64_t count, const int32_t *labels,
                               int32_t *nearest, double *distances);

#endif
