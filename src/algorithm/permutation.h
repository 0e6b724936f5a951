/* The rows of the dataset in an order that is random, and the same however they are split. */
#ifndef LLOYD_PERMUTATION_H
#define LLOYD_PERMUTATION_H

#include "algorithm/problem.h"

#include <stdint.h>

/* Row number `index` of the keyed permutation of [0, n). Contract, section 8. */
int64_t lloyd_permuted(int64_t n, uint64_t seed, int64_t index);

/* rows[count .. k) from the permutation, leaving out those of rows[0 .. count). */
lloyd_status lloyd_permuted_fill_up(const lloyd_problem *problem, uint64_t seed, int64_t *rows,
                                    int64_t count);

#endif
