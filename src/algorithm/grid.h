/* The passes before the first iteration: rows that cannot be clustered, and the grid of the sums. */
#ifndef LLOYD_GRID_H
#define LLOYD_GRID_H

#include "algorithm/problem.h"

/* Two passes over all rows (with weights three): names the first row that cannot be clustered
 * (LLOYD_BAD_INPUT), finds the grid and Q, and gives the grid to the kernels. Collective. Arrays
 * are freed by lloyd_problem_clear(). Contract, section 3. */
lloyd_status lloyd_problem_measure(lloyd_problem *problem);
/* After it: 1 if no column of these rows, nor of a part of them, has an element that the grid cuts, so that sums lose nothing. */
int lloyd_problem_cuts_nothing(const lloyd_problem *problem);
void lloyd_problem_clear(lloyd_problem *problem);

/* If a rank's range has a defect, all ranks fail; the one with the first such row of the whole
 * dataset names it. Collective. */
lloyd_status lloyd_problem_report_defect(lloyd_problem *problem, const lloyd_range *range);

#endif
