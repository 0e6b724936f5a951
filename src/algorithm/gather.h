/* Rows by their numbers: those that all ranks need, and those of one rank. */
#ifndef LLOYD_GATHER_H
#define LLOYD_GATHER_H

#include "algorithm/problem.h"

#include <stdint.h>

/* out[count * d] = the rows with these global numbers, on all ranks. Collective. */
lloyd_status lloyd_problem_gather(lloyd_problem *problem, const int64_t *rows, int64_t count,
                                  float *out);

/* Rows of this rank, by increasing local numbers, as the kernels see them: into out[count * d], or, where the
 * kernels copy, into the slots of the kernels of `to`, whose rows they become. */
lloyd_status lloyd_problem_take(lloyd_problem *problem, const int64_t *rows, int64_t count,
                                float *out, lloyd_shard *to);

/* Memory that gathering or taking `count` rows takes beside `out`. */
int64_t lloyd_gather_bytes(int64_t count, int64_t dim);

#endif
