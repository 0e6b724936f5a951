/* Exact sums of the rows of every cluster. */
#ifndef LLOYD_KERNELS_CUDA_UPDATE_UPDATE_H
#define LLOYD_KERNELS_CUDA_UPDATE_UPDATE_H

#include "kernels/cuda/state.h"

lloyd_status lloyd_cuda_begin(lloyd_kernels *kernels);
lloyd_status lloyd_cuda_accumulate(lloyd_kernels *kernels, int slot);
lloyd_status lloyd_cuda_sums(lloyd_kernels *kernels, lloyd_buffer *sums);

/* To be called by all that look at cuda->totals: makes them those of the rows of this rank, unless they have been
 * since the last accumulate(). */
lloyd_status lloyd_cuda_take_totals(cuda_kernels *cuda);

/* --- for the ways of summing --- */

/* How digits are computed: sums.cuh. */
enum class cuda_arithmetic { INTEGER, FLOAT, PAIR, DEFINITION };

/* For the grid, the rows and the weights as they are. */
cuda_arithmetic lloyd_cuda_arithmetic(const cuda_kernels *cuda);

/* Rows to be summed, and how: what both kernels take. Row i is data[i row_bytes, + row_bytes), of
 * `dim` elements; lengths[i] (null: not cosine) and weights[i] (null: all 1) are its own. Adds first
 * digits to sums[cluster][dim]; second ones of column j to second_sums[cluster][seconds] at second[j],
 * unless that is -1; masses to masses[cluster], and their second digits `clusters` words further if
 * second_mass. All device memory, of the instance. */
struct cuda_summands {
    const char *data;
    const double *lengths;
    const float *weights;
    uint32_t row_bytes;
    int dim, bits, seconds, clusters;
    const double *scale;   /* [dim] 2^(b - M) */
    const int32_t *second; /* [dim] */
    double mass_scale;     /* 2^(b - M_w) */
    bool second_mass;
    int64_t *sums, *second_sums, *masses;
};

/* Sets *s for the rows of a slot from its row `at` on. */
void lloyd_cuda_summands(const cuda_kernels *cuda, int slot, int64_t at, cuda_summands *s);

#endif
