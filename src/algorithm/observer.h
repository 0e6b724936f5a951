/* Who watches a fit: saves it, shows it, takes its time. It changes nothing that the algorithm computes, and
 * the algorithm knows no clock, no file and no screen.
 */
#ifndef LLOYD_OBSERVER_H
#define LLOYD_OBSERVER_H

#include "base/status.h"

#include <stdint.h>

/* What the time of an iteration is spent on, on one rank. */
typedef enum lloyd_time_share {
    LLOYD_TIME_ROWS,     /* waiting for rows that do not stay where they are used */
    LLOYD_TIME_ASSIGN,   /* the filter and its certificate */
    LLOYD_TIME_FALLBACK, /* the fallback pass: rows without a certificate */
    LLOYD_TIME_UPDATE,   /* sums of clusters, inertia, new centroids */
    LLOYD_TIME_IDLE,     /* waiting for slower ranks */
    LLOYD_TIME_SUM,      /* the all-reduce */
    LLOYD_TIME_SHARES,
    LLOYD_TIME_NONE = LLOYD_TIME_SHARES /* anything else */
} lloyd_time_share;

#define LLOYD_TIME_SHARE_NAMES                                                                     \
    {                                                                                              \
        "rows", "assign", "verify", "update", "idle", "sum"                                        \
    }

/* An iteration. */
typedef struct lloyd_iteration {
    int64_t restart;       /* 0, 1, ... */
    int64_t iteration;     /* 1, 2, ... of this restart */
    double inertia;        /* sum of w dist() of all rows: the k-means objective, SSE */
    int64_t moved;         /* rows whose label changed, over all ranks */
    int64_t fallback_rows; /* rows whose label was decided in double precision, over all ranks */
    /* of all rows, those labelled by the filter on 8-bit integers; of these, the ones decided in double
     * precision, and the centroids that were candidates for them */
    int64_t int8_rows, int8_fallback_rows, int8_candidates;
    /* of all rows, those labelled with the help of bounds (kernels/prune_bound.h), and how many centroids these
     * were compared with, together */
    int64_t pruned_rows, compared;
    int64_t left_out; /* rows that kept their labels without being loaded */
    int64_t empty;    /* empty clusters */
    double seconds;
    int ends; /* 1: the fit ends with it, as if the rule allowed no more */
} lloyd_iteration;

typedef struct lloyd_problem lloyd_problem; /* problem.h */
typedef struct lloyd_history lloyd_history; /* history.h */

/* One on every rank. */
typedef struct lloyd_observer lloyd_observer;

struct lloyd_observer {
    /* An iteration begins. */
    void (*begin)(lloyd_observer *self);
    /* What was done since begin() or the last call of this function was this share of it. */
    void (*spent)(lloyd_observer *self, lloyd_time_share share);
    /* The iteration has found this; `history` has those before it, and the kernels the centroids that it
     * began with. May put what it found at first in place of what a repeated one has found. Not LLOYD_OK:
     * the fit ends. Collective. */
    lloyd_status (*found)(lloyd_observer *self, lloyd_problem *problem,
                          const lloyd_history *history, lloyd_iteration *i);
    /* It is done; sets i->seconds, and i->ends the same on all ranks. Not LLOYD_OK: the fit ends.
     * Collective. */
    lloyd_status (*done)(lloyd_observer *self, lloyd_iteration *i);
};

static inline void lloyd_observe_time(lloyd_observer *observer, lloyd_time_share share)
{
    if (observer) observer->spent(observer, share);
}

#endif
