/* The members of all clusters, in their order, cut into slices of equal length: which row each slice begins
 * with, without sorting anything. So it is known beforehand what a rank that sorts a slice needs, whatever
 * the sizes of the clusters are.
 *
 * The clusters that slices begin in follow from the counts. Where one begins within a cluster, its first member
 * is found by its digits: all ranks count how many members there are for each value of the first byte of
 * their distances, which decides this byte of the one that is wanted; and so on, byte by byte, through the
 * distance and then the row, until nothing of what is left comes before it. */
#ifndef LLOYD_SLICES_H
#define LLOYD_SLICES_H

#include "comm/comm.h"
#include "job/results/member_rows.h"

#include <stdint.h>

typedef struct lloyd_slices {
    int count;
    int64_t n;
    lloyd_placed *
        first; /* [count] slice s holds the members from first[s] on that are before first[s + 1] */
} lloyd_slices;

/* offsets: [k + 1] where each cluster begins, and n. Collective; free with lloyd_slices_free(), also after a
 * failure. */
lloyd_status lloyd_slices_find(lloyd_comm *comm, const lloyd_member_rows *rows,
                               const int64_t *offsets, int64_t k, int count,
                               lloyd_member_batch *batch, lloyd_slices *slices);
void lloyd_slices_free(lloyd_slices *slices);

/* Bytes that finding and holding so many slices takes. */
int64_t lloyd_slices_bytes(int count);

/* The place of the first member of a slice among all; for slice = count, n. */
int64_t lloyd_slices_begin(const lloyd_slices *slices, int64_t slice);

/* The slice that holds a member. */
int lloyd_slices_of(const lloyd_slices *slices, const lloyd_placed *member);

/* The cluster that holds place `place` < n. */
int64_t lloyd_cluster_at(const int64_t *offsets, int64_t k, int64_t place);

#endif
