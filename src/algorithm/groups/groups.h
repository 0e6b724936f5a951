/* Several fits at a time, of rows that follow each other in a shard of one rank: one problem whose kernels compare the rows of each group with
 * the group's own centroids (kernels.h, set_groups()). All passes, sums and means are those of one fit of all rows; what differs from
 * group to group is when it has converged, and its draws. Each group's labels and centroids are those of a fit of its rows alone, bit for bit,
 * as sums lose nothing: lloyd_problem_cuts_nothing().
 */
#ifndef LLOYD_GROUPS_H
#define LLOYD_GROUPS_H

#include "algorithm/fit.h"
#include "algorithm/problem.h"

#include <stdint.h>

/* A group: `k` clusters of `count` rows. */
typedef struct lloyd_group {
    int64_t count, k;
    uint64_t seed;
    /* results */
    int64_t iterations;
    int converged;
    int left; /* 1: it has to be fitted alone, and has no result */
} lloyd_group;

typedef struct lloyd_grouped {
    lloyd_problem *problem; /* k of it: clusters of all groups; its rows are in slot 0 */
    lloyd_group *group;     /* [count] in the order of their rows, which are all there are */
    int64_t count;
    int64_t *rows;            /* [count + 1] where those of a group begin, */
    int64_t *clusters;        /* [count + 1] and its clusters */
    unsigned char *active;    /* [count] */
    int64_t *moved;           /* [count] */
    unsigned char *relocated; /* [count] 1: a cluster got a row at the end of the last iteration */
} lloyd_grouped;

/* `problem` and `group` are borrowed. To be closed whatever the status. */
lloyd_status lloyd_grouped_open(lloyd_problem *problem, lloyd_group *group, int64_t count,
                                lloyd_grouped *grouped);
void lloyd_grouped_close(lloyd_grouped *grouped);

/* Random rows of each group as its first centroids, which the kernels then hold. */
lloyd_status lloyd_grouped_seed_random(lloyd_grouped *grouped);

/* rows[problem->k], local: those rows become the centroids that the kernels hold. */
lloyd_status lloyd_grouped_begin_at(lloyd_grouped *grouped, const int64_t *rows);

/* lloyd_iterate() of each group, with rule->tol = 0, and the final assignment of those that have not converged. */
lloyd_status lloyd_grouped_iterate(lloyd_grouped *grouped, const lloyd_rule *rule);

#endif
