/* Section 2 of docs/numerics.md: distances and labels. */
#ifndef ASSIGN_H
#define ASSIGN_H

#include "files.h"

/* dist(x, c) of two rows of d columns. */
double dist(const float *x, const float *c, int64_t d);

/* label[i] = the smallest k that minimises dist(x[i], c[k]); own[i] = that distance. */
void assign(const matrix *x, const matrix *c, int32_t *label, double *own);

/* Cosine: x / sqrt(sum x^2), the sum in the order of dist(), rounded to float32. `what` and `index`
 * name a row that has no direction. */
void normalise(float *row, int64_t d, const char *what, int64_t index);

#endif
