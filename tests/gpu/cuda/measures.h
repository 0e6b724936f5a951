/* What is asked of rows before the first iteration. */
#ifndef MEASURES_H
#define MEASURES_H

#include "problem.h"

/* chunk_work; range: lloyd_range. */
lloyd_status measure_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *range);

/* Ranges of columns, the grid that follows from them, which both sides get, and the squares' sums. */
int compare_measures(problem *p);

#endif
