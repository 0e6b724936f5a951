/* What becomes of empty clusters. */
#ifndef LLOYD_RELOCATE_H
#define LLOYD_RELOCATE_H

#include "algorithm/problem.h"

/* Gives the m empty clusters the m rows farthest from their own centroids. Changes the sums only.
 * Collective. Contract, section 9 (scikit-learn's rule). */
lloyd_status lloyd_problem_relocate(lloyd_problem *problem, int64_t empty);

/* words[lloyd_row_words(layout)], zeros when it begins, = row[d] in digits, as lloyd_kernels.relocate() takes it; of the words of columns
 * that have fewer digits than others none is written. */
void lloyd_problem_row_digits(const lloyd_problem *problem, const lloyd_sum_layout *layout,
                              const float *row, float weight, int64_t *words);

#endif
