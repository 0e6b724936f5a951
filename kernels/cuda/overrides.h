/* Choices of the kernels that tests and benchmarks take out of their hands. */
#ifndef LLOYD_KERNELS_CUDA_OVERRIDES_H
#define LLOYD_KERNELS_CUDA_OVERRIDES_H

extern "C" {
#include "kernels/kernels.h"
}
#include "kernels/cuda/assign/registry.h"

struct cuda_overrides {
    cuda_assign_override assign;
    lloyd_filter filter; /* "int8", "float16": in place of the configuration's */
    bool
        fallback_pass; /* also for few rows without a certificate, which are else compared with all centroids */
    bool keep_distances; /* what is known of distances outlives set_centroids() */
    bool other_sort;     /* few clusters are not sorted by counting, but as many are */
    bool sorted_sums;    /* rows are sorted where they would be summed in shared memory */
    bool moved_sums;     /* all iterations but the first look at the rows that have moved only */
    bool prune;          /* every iteration but the first, whatever the configuration says */
    bool
        small_shared; /* blocks have as little shared memory as on GPUs of compute capability 8.6 */
};

/* From the next set_centroids() on: `names` are separated by commas, or none (""). The name of an assignment kernel (registry.cu) takes
 * this kernel where it supports the shape, that of a filter this one; the others are named as the members above, with "-" for "_", and "other-pruning". Fails if
 * there is no such name. */
extern "C" lloyd_status lloyd_cuda_override(lloyd_kernels *kernels, const char *names);

#endif
