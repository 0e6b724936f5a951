/* Sections 3, 4, 5 and 9: sums, empty clusters, new centroids, inertia. */
#ifndef UPDATE_H
#define UPDATE_H

#include "digits.h"
#include "exact.h"

/* Of every cluster, as real numbers. */
typedef struct sums {
    exact *s; /* [k*d] */
    exact *n; /* [k] */
} sums;

/* All rows, each to the cluster of its label. */
void accumulate(sums *to, const grid *g, const matrix *x, const int32_t *label, int64_t k);

/* The m empty clusters, in increasing k, take the m rows farthest from their own centroids (ties: the lowest row). Rows
 * without weight are not taken; an empty cluster that finds no row stays empty. */
void relocate(sums *of, const grid *g, const matrix *x, const int32_t *label, const double *own,
              int64_t k);

/* Section 4. An empty cluster keeps its centroid, and so does one whose mean is out of range or, with cosine, zero. */
void move_centroids(matrix *c, const sums *of, int cosine);

/* The sum of w dist, each product rounded to double, exact and rounded once. */
double inertia_of(const grid *g, const double *own, int64_t n);

#endif
