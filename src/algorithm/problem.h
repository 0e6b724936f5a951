/* What all parts of a fit share: the ranks, the rows, the kernels, and the grid of the sums that
 * follows from the rows. */
#ifndef LLOYD_PROBLEM_H
#define LLOYD_PROBLEM_H

#include "algorithm/observer.h"
#include "comm/comm.h"
#include "kernels/kernels.h"
#include "rows/shard.h"

#include <stdint.h>

struct lloyd_problem {
    lloyd_comm *comm;
    lloyd_shard *shard;
    lloyd_kernels *kernels;
    int64_t n, d, k;          /* N, D and K: rows of all ranks, columns, clusters */
    lloyd_observer *observer; /* of the iterations; NULL: nobody watches */

    /* grid.c */
    int *low;          /* [d] L of every column, of x or of w x */
    double max_weight; /* the greatest w */
    int weight_low;
    lloyd_grid grid;
    double cut_columns, cut_weights; /* sum of delta of all columns, and that of the weights */
    lloyd_dd squares;                /* Q of the contract */
    uint64_t statistics;             /* hash of the columns' spans and sums of squares */
};

#endif
