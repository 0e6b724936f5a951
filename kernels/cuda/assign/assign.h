/* Labels: the nearest centroid of every row. */
#ifndef LLOYD_KERNELS_CUDA_ASSIGN_ASSIGN_H
#define LLOYD_KERNELS_CUDA_ASSIGN_ASSIGN_H

#include "kernels/cuda/state.h"

lloyd_status lloyd_cuda_set_centroids(lloyd_kernels *kernels, int64_t count,
                                      const float *centroids);
lloyd_status lloyd_cuda_set_rows(lloyd_kernels *kernels, int64_t count, const int64_t *rows);
lloyd_status lloyd_cuda_assign(lloyd_kernels *kernels, int slot);
/* Labels the rows of a slot with the nearest member of the set; counters[0] += labels changed,
 * counters[1] += fallback rows (device memory). */
lloyd_status lloyd_cuda_nearest(cuda_kernels *cuda, int slot, int64_t *counters);
/* On the device: terms[0] = the inertia, terms[1] = the mass of all rows. */
struct cuda_inertia {
    const double *terms;
};
/* Prepares the next assignment to `centroids` in GPU memory, which are, or will be by then, the
 * current ones, and have changed. inertia: what the last iteration's came to, where the host does not
 * know it yet. */
lloyd_status lloyd_cuda_prepare(cuda_kernels *cuda, const float *centroids,
                                const cuda_inertia &inertia);
/* What the mean square of the distance of rows to their centroids is about (0: nobody knows; -1: as
 * before), and how many rows of all ranks will have no certificate (-1: nobody knows). The next
 * assignment is fastest if so, and right for any. */
void lloyd_cuda_expect(cuda_kernels *cuda, double nearest, int64_t fallback);
/* As lloyd_cuda_assign(); ms = the times of the filter and of the fallback pass, for benchmarks. Waits. */
lloyd_status lloyd_cuda_assign_phases(cuda_kernels *cuda, int slot, float ms[2]);
void lloyd_cuda_filter_free(cuda_kernels *cuda);
/* Bytes that this allocates for sets of at most `set` centroids, these included. */
int64_t lloyd_cuda_filter_bytes(const lloyd_kernels_config *config, int64_t set);

#endif
