/* Grids of sums, and what is in the sums of kernels. */
#ifndef GRIDS_H
#define GRIDS_H

#include "kernels/kernels.h"

/* A grid of the given number of digits for each of `d` columns, from the measured range. The caller frees it by
 * lloyd_grid_free(). */
void grid_of_digits(const lloyd_range *range, int d, int digits, lloyd_grid *grid);

/* sums() of CPU kernels. */
int64_t *sums_of(lloyd_kernels *kernels);

/* The sum of column j over cluster k, in units of the last digit: up to four digits. */
__int128 total_of(const lloyd_grid *grid, const lloyd_sum_layout *layout, const int64_t *sums,
                  int64_t k, int64_t j);

#endif
