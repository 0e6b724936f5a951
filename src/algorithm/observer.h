/* Who watches a fit: saves it, shows it, takes its time. It changes nothing that the algorithm computes, and
 * the algorithm knows no clock, no file and no screen.
 */
#ifndef LLOYD_OBSERVER_H
#define LLOYD_OBSERVER_H

#include "base/status.h"

#include <stdint.h>

/* What an iteration consists of, on one rank. */
typedef enum lloyd_part {
    LLOYD_PART_ROWS,   /* waiting for rows that do not stay where they are used */
    LLOYD_PART_ASSIGN, /* the filter and its certificate */
    LLOYD_PART_VERIFY, /* rows without a certificate */
    LLOYD_PART_UPDATE, /* sums of clusters, inertia, new centroids */
    LLOYD_PART_IDLE,   /* waiting for slower ranks */
    LLOYD_PART_SUM,    /* the all-reduce */
    LLOYD_PARTS,
    LLOYD_PART_NONE = LLOYD_PARTS /* what is none of these */
} lloyd_part;

#define LLOYD_PART_NAMES                                                                           \
    {                                                                                              \
        "rows", "assign", "verify", "update", "idle", "sum"                                        \
    }

/* An iteration. */
typedef struct lloyd_step {
    int64_t restart;   /* 0, 1, ... */
    int64_t iteration; /* 1, 2, ... of this restart */
    double inertia;
    int64_t moved;    /* rows whose label changed, over all ranks */
    int64_t verified; /* rows whose label needed the second step, over all ranks */
    int64_t empty;    /* empty clusters */
    double seconds;
} lloyd_step;

typedef struct lloyd_problem lloyd_problem; /* problem.h */
typedef struct lloyd_history lloyd_history; /* history.h */

/* One on every rank. */
typedef struct lloyd_observer lloyd_observer;

struct lloyd_observer {
    /* An iteration begins. */
    void (*begin)(lloyd_observer *self);
    /* What was done since begin() or the last call of this function was this part of it. */
    void (*part)(lloyd_observer *self, lloyd_part part);
    /* The iteration has found this; `history` has those before it, and the kernels the centroids that it
     * began with. May put what it found at first in place of what a repeated one has found. Not LLOYD_OK:
     * the fit ends. Collective. */
    lloyd_status (*found)(lloyd_observer *self, lloyd_problem *problem,
                          const lloyd_history *history, lloyd_step *step);
    /* It is done; sets step->seconds. */
    void (*done)(lloyd_observer *self, lloyd_step *step);
};

static inline void lloyd_observe_part(lloyd_observer *observer, lloyd_part part)
{
    if (observer) observer->part(observer, part);
}

#endif
