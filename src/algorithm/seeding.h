/* What a seeding is asked for, and how far it is; for all methods. */
#ifndef LLOYD_SEEDING_H
#define LLOYD_SEEDING_H

#include "algorithm/problem.h"

#include <stdint.h>

/* How far the choice of the initial centroids is; for whoever shows, logs or saves it. */
typedef struct lloyd_seed_step {
    const char *what;   /* what is counted: "centroids", "rounds" or "leaves", a constant */
    int64_t done, all;  /* of them */
    int64_t candidates; /* of kmeans-parallel, so far */
    double
        potential; /* phi of both papers: sum of w dist() to the nearest of those drawn; of leaves NAN */
    /* [count] that are drawn: with them and `done`, another run can resume the seeding. Of leaves NULL. */
    const int64_t *rows;
    int64_t count;
} lloyd_seed_step;

/* Candidates of kmeans-parallel, from which several starts can choose (seed_parallel.h). */
typedef struct lloyd_candidates lloyd_candidates;

typedef struct lloyd_seeding {
    uint64_t seed;
    uint64_t start; /* the seed of the choices among the candidates of kmeans-parallel */
    int trials; /* rows (or candidates) that are tried for every centroid (the local trials of greedy
                 * kmeans++), 0: the usual number */
    void (*watch)(void *watcher, const lloyd_seed_step *step); /* on every rank; NULL: nobody */
    void *watcher;
    const int64_t
        *rows; /* [count] of a step of the same seeding, which is resumed after it, or NULL */
    int64_t count, done;
    int64_t room; /* bytes that a GPU may spend on the reduction of candidates */
    lloyd_candidates *
        *kept; /* keeps those of kmeans-parallel for further starts; NULL: there are none */
} lloyd_seeding;

/* OK if all ranks are, of which this one has this status. Collective. */
static inline lloyd_status lloyd_seed_agree(const lloyd_problem *problem, lloyd_status status)
{
    lloyd_status agreed = problem->comm->agree(problem->comm, status);
    return status == LLOYD_OK ? agreed : status;
}

#endif
