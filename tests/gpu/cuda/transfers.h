/* Rows and centroids that are copied into the kernels, out of them, and from one to another. */
#ifndef TRANSFERS_H
#define TRANSFERS_H

#include "problem.h"

/* Single rows of every chunk. */
int compare_rows(problem *p);

/* centroids: [count*d] */
int set_centroids(problem *p, int64_t count, const float *centroids);

/* out: [2*count*d] */
int compare_centroids(problem *p, int64_t count, float *out);

#endif
