/* Which rows a cluster admits where more apply to it than it has room for: the nearest ones, of equal distances
 * the lowest ones, over all ranks.
 *
 * The order of a cluster's applicants is that of whole numbers: the bits of the distance, then the row. For every
 * cluster that has too many, the first number that is not admitted is found digit by digit: all ranks count its
 * applicants by the next digit of their numbers, and the sum of the counts decides this digit. All clusters are
 * searched at once, with digits as large as their counts have room for. So a rank sorts nothing, and needs no
 * row of another rank. */
#ifndef LLOYD_ADMISSION_H
#define LLOYD_ADMISSION_H

#include "comm/comm.h"

#include <stdint.h>

/* The rows of this rank. */
typedef struct lloyd_applicants {
    int64_t n;            /* rows of all ranks */
    int64_t first, count; /* rows [first, first + count) of these */
    int32_t *
        clusters; /* [count] the cluster of a row; ~cluster, which is negative: it applies to that */
    const double *distances; /* [count] to the centroid of this cluster; not negative */
} lloyd_applicants;

typedef struct lloyd_admission lloyd_admission;

/* For k clusters. Collective; close it also after a failure. */
lloyd_status lloyd_admission_open(lloyd_comm *comm, int64_t k, lloyd_admission **admission);
void lloyd_admission_close(lloyd_admission *admission); /* NULL is allowed */

/* Admits, of the applicants to each cluster, as many as there is room, the nearest first. room: [k], the same on
 * all ranks: what is left of it afterwards. *rejected = rows of all ranks that still apply, to clusters without
 * room. Collective. */
lloyd_status lloyd_admit(lloyd_admission *admission, const lloyd_applicants *rows, int64_t *room,
                         int64_t *rejected);

/* Bytes that it takes. */
int64_t lloyd_admission_bytes(int64_t k);

#endif
