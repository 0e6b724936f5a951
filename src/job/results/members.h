/* /members and /offsets: the rows of each cluster, nearest first, as all ranks write them together.
 *
 * The members of all clusters in their order (order.h) are cut into slices of equal length, one for each rank
 * and round. In a round every rank sends the members of the round's slices to the ranks that own these, and
 * each sorts its own and writes it at its place. So a rank holds a slice at a time, whatever the sizes of the
 * clusters are, and the result does not depend on how many slices there are. */
#ifndef LLOYD_MEMBERS_H
#define LLOYD_MEMBERS_H

#include "comm/comm.h"
#include "io/writers/output.h"
#include "job/results/member_rows.h"

#include <stdint.h>

/* What it takes: rounds, and bytes of this rank beside the labels and distances of its rows. */
typedef struct lloyd_members_plan {
    int rounds;
    int64_t bytes;
} lloyd_members_plan;

/* For n rows on so many ranks; a slice takes at most `most` bytes, but for the smallest of use. */
lloyd_members_plan lloyd_members_plan_for(int64_t n, int64_t k, int ranks, int64_t most);

/* Writes the two datasets, which are in the partial file. counts: [k] rows per cluster, of all ranks. rows:
 * those of this rank. *seconds = what it took without writing; NULL: nobody wants to know. Collective. */
lloyd_status lloyd_members_write(lloyd_comm *comm, const lloyd_output *output,
                                 const lloyd_member_rows *rows, const int64_t *counts, int64_t k,
                                 int rounds, double *seconds);

#endif
