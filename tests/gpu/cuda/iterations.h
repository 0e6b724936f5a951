/* Lloyd's iterations. */
#ifndef ITERATIONS_H
#define ITERATIONS_H

#include "problem.h"

/* chunk_work, without a result. */
lloyd_status assign_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *unused);
lloyd_status accumulate_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *unused);

/* *empty = the number of empty clusters. */
int compare_inertia(problem *p, int64_t *empty);

/* Number p->iteration. centroids: [2*k*d], those that come out. */
int compare_iteration(problem *p, float *centroids);

/* Iterations, and at the end the labels of the last centroids, as a fit does. */
int compare_iterations(problem *p);

#endif
