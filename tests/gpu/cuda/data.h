/* Rows, weights and centroids of a case, by the kind of its data. */
#ifndef DATA_H
#define DATA_H

#include "problem.h"

/* The shapes of CONE, ALIGNED and LOSSY, which are as hard as can be for what the CUDA kernels prove about labels. */
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

/* Allocates and fills p->rows, p->centroids and, where the case has weights, p->weights. */
void draw(problem *p);

#endif
