/* The second-nearest centroid of each row: the nearest of all but the label, by dist(), ties to the smaller index.
 *
 * The kernels find the nearest of one set for all rows, and here each row leaves another centroid out. So the
 * centroids are cut into some ranges, and rows whose label is in a range are assigned to all others; then the
 * same within the range, and so on, until so few are left that dist() to each costs less. The first assignment
 * is to nearly all centroids, the next ones to a small part of them. */
#ifndef LLOYD_SECOND_H
#define LLOYD_SECOND_H

#include "kernels/kernels.h"

#include <stdint.h>

typedef struct lloyd_second lloyd_second;

/* For rows in slots of these kernels, which stay as they are. centroids: [k * dim], borrowed as the kernels are.
 * Close it before them, also after a failure. */
lloyd_status lloyd_second_open(lloyd_kernels *kernels, const float *centroids, int64_t k,
                               lloyd_second **second);
void lloyd_second_close(lloyd_second *second); /* NULL is allowed */

/* What it takes beside kernels of this configuration: bytes on the host, and further kernels for k centroids at a
 * time, with their rows where kernels copy. */
int64_t lloyd_second_bytes(const lloyd_kernels_config *config, int64_t k);
lloyd_kernels_config lloyd_second_config(const lloyd_kernels_config *config);

/* Of rows [first, first + count), which are in the slot and have these labels: nearest[i] and distances[i], or -1
 * and NaN where there is one centroid only. */
lloyd_status lloyd_second_find(lloyd_second *second, int slot, int64_t first, int64_t count,
                               const int32_t *labels, int32_t *nearest, double *distances);

#endif
