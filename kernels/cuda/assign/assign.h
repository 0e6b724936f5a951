/* Labels: the nearest centroid of every row. */
#ifndef LLOYD_KERNELS_CUDA_ASSIGN_ASSIGN_H
#define LLOYD_KERNELS_CUDA_ASSIGN_ASSIGN_H

#include "kernels/cuda/cuda.h"

lloyd_status lloyd_cuda_set_centroids(lloyd_kernels *kernels, int64_t count,
                                      const float *centroids);
lloyd_status lloyd_cuda_assign(lloyd_kernels *kernels, int slot);
/* Labels the rows of a slot with the nearest member of the set; counters[0] += labels changed,
 * counters[1] += rows verified (device memory). */
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
 * before), and how many rows of all ranks will need the second step (-1: nobody knows). The next
 * assignment is fastest if so, and right for any. */
void lloyd_cuda_expect(cuda_kernels *cuda, double nearest, int64_t verified);
/* As lloyd_cuda_assign(); ms = the times of the filter and of verification, for benchmarks. Waits. */
lloyd_status lloyd_cuda_assign_phases(cuda_kernels *cuda, int slot, float ms[2]);
/* From the next set_centroids() on, works as on a GPU of this compute capability (at most its own);
 * or, for tests and benchmarks, a sum of these, 0: as chosen. CUDA_STREAMED: centroids are streamed even
 * where they fit the shared memory. CUDA_OTHER_SIFT: low products are sifted out where they would not
 * be, and the reverse. CUDA_OTHER_SORT: few clusters are not counted but sorted as many are.
 * CUDA_SORTED: rows are sorted where they would be summed in shared memory.
 * CUDA_BOTH_STEPS: a few rows without a certificate are verified as many are. CUDA_KNOWN: what is known
 * of distances outlives set_centroids(). */
enum {
    CUDA_STREAMED = 1,
    CUDA_OTHER_SIFT = 2,
    CUDA_OTHER_SORT = 4,
    CUDA_BOTH_STEPS = 8,
    CUDA_KNOWN = 16,
    CUDA_SORTED = 32,
    CUDA_OTHERS = 63
};
static inline bool lloyd_cuda_pretends(const cuda_kernels *cuda, int which)
{
    return cuda->pretended <= CUDA_OTHERS && (cuda->pretended & which) != 0;
}
/* Shared memory that a block can have, also where an older GPU is pretended. */
static inline int lloyd_cuda_shared_bytes(const cuda_kernels *cuda)
{
    return cuda->pretended > CUDA_OTHERS ? 99 << 10 : cuda->gpu.shared_bytes;
}
extern "C" void lloyd_cuda_pretend(lloyd_kernels *kernels, int pretended);
void lloyd_cuda_filter_free(cuda_kernels *cuda);
/* Bytes that this allocates for sets of at most `set` centroids, these included. */
int64_t lloyd_cuda_filter_bytes(const lloyd_kernels_config *config, int64_t set);

#endif
