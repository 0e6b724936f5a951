/* Data made to be as hard as can be for what the CUDA kernels prove about labels. */
#ifndef HARD_DATA_H
#define HARD_DATA_H

#include "problem.h"

/* The shapes that the functions below fill. */
enum {
    CONE_ROWS = 1025,
    CONE_COLUMNS = 3,
    CONE_CENTROIDS = 5,
    ALIGNED_COLUMNS = 80,
    ALIGNED_PAIRS = 16,
    ALIGNED_CENTROIDS = 4 * ALIGNED_PAIRS + 2,
    LOSSY_COLUMNS = 4096,
    LOSSY_ROWS = 16,
    LOSSY_STEP = 16 /* a k-step of the tensor cores */
};

/* Rows and centroids of p->c.kind CONE, ALIGNED, LOSSY and SHARED. */
void draw_cone(problem *p);
void draw_aligned(problem *p);
void draw_lossy(problem *p);
void draw_shared(problem *p);

/* Centroids of FAR, of rows that are there already. */
void draw_far(problem *p);

#endif
