/* Section 3: what rows are cut to before they are added; and section 8, the sample that decides it. */
#ifndef DIGITS_H
#define DIGITS_H

#include "files.h"

typedef struct grid {
    const float *weight; /* [n], NULL: every row counts 1 */
    int *last;           /* [d] X[i][j] 2^last is what an element becomes: M - bT */
    int weight_last;
} grid;

/* weight: [n] or NULL. The caller frees `last`. */
grid make_grid(const matrix *x, const float *weight);

/* x[i][j] or w[i] x[i][j], exactly */
double number_at(const grid *g, const matrix *x, int64_t i, int64_t j);

/* X 2^last: `value` cut to the digits of its column. A double still, since it has no more bits than before. */
double digits_of(double value, int last);

/* W 2^last of row i, 1 without weights */
double weight_of(const grid *g, int64_t i);

#endif
