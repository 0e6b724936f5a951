/* How far the choice of the initial centroids is; for whoever shows, logs or saves it. */
#ifndef LLOYD_SEED_STEP_H
#define LLOYD_SEED_STEP_H

#include <stdint.h>

typedef struct lloyd_seed_step {
    const char *what;   /* what is counted: "centroids", "rounds" or "leaves", a constant */
    int64_t done, all;  /* of them */
    int64_t candidates; /* of kmeans-parallel, so far */
    double potential;   /* sum of w dist() to the nearest of those drawn so far; of leaves NAN */
    /* [count] that are drawn: with them and `done`, another run can resume the seeding. Of leaves NULL. */
    const int64_t *rows;
    int64_t count;
} lloyd_seed_step;

#endif
