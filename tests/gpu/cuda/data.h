/* Rows, weights and centroids of a case, by the kind of its data. */
#ifndef DATA_H
#define DATA_H

#include "problem.h"

/* Allocates and fills p->rows, p->centroids and, where the case has weights, p->weights. */
void draw(problem *p);

#endif
