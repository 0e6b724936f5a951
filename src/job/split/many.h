/* The fits of several clusters at a time, by this rank alone, on a GPU. */
#ifndef LLOYD_SPLIT_MANY_H
#define LLOYD_SPLIT_MANY_H

#include "job/split/small.h"

/* Whether lloyd_many_fit() fits clusters of `rows` rows with these options, which differ in k and seed only. */
int lloyd_many_fits(const lloyd_fit_options *options, int64_t rows, int weighted);

/* lloyd_small_fit() of `count` clusters at a time, with the same results bit for bit, by kernels that can (kernels.h, set_groups()): rows[i]
 * follow rows[i - 1] in memory, and are at most LLOYD_GROUPED_ROWS together. done[i] = 0: the cluster was not fitted, and is to be fitted
 * alone; *apart = 1: so are all others with rows like these. */
lloyd_status lloyd_many_fit(lloyd_comm *self, const lloyd_fit_options *options,
                            const lloyd_small_rows *rows, lloyd_small_result *results,
                            int64_t count, unsigned char *done, int *apart);

/* Bytes that it takes for `count` clusters, none with more sub-clusters than options->k, of rows->count rows together. */
lloyd_status lloyd_many_bytes(lloyd_comm *self, const lloyd_fit_options *options,
                              const lloyd_small_rows *rows, int64_t count, lloyd_bytes *bytes);

#endif
