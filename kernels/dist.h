/* The contract's distance (section 1 of docs/numerics.md) on the host. */
#ifndef LLOYD_KERNELS_DIST_H
#define LLOYD_KERNELS_DIST_H

#include <stdint.h>

/* dist() of x[dim] and c[dim]. */
double lloyd_dist(const float *x, const float *c, int64_t dim);

/* out[i * k + j] = dist() of row i of x[count * dim] and centroid j of c[k * dim]. */
void lloyd_dist_all(const float *x, int64_t count, const float *c, int64_t k, int64_t dim,
                    int threads, double *out);

/* 1: dist() is surely above `distance`, itself a dist() or infinity; found in float32. 0: it may be. */
int lloyd_is_farther(const float *x, const float *c, int64_t dim, double distance);

/* dist() or a little more; found in float32. */
double lloyd_dist_up(const float *x, const float *c, int64_t dim);

/* The squared length of x[dim], summed as dist() is. */
double lloyd_square(const float *x, int64_t dim);

#endif
