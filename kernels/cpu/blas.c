/* The memory of the BLAS. OpenBLAS maps a buffer for every thread that calls it, when it first needs it,
 * and where the limit on address space leaves no room it asks for it again and again, for ever. So
 * under such a limit all buffers are taken before anything else is, each after a look at the room.
 */
#include "base/memory.h"
#include "kernels/kernels.h"

/* OpenBLAS's own; NULL in another BLAS. */
extern void *blas_memory_alloc(int which) __attribute__((weak));
extern void blas_memory_free(void *buffer) __attribute__((weak));

extern int openblas_get_parallel(void) __attribute__((weak)); /* a constant */

enum { MOST = 1024, OF_OPENMP = 2 };

int lloyd_cpu_blas_is_greedy(void)
{
    return blas_memory_alloc != NULL && blas_memory_free != NULL;
}

int64_t lloyd_cpu_blas_start(void)
{
    if (!lloyd_cpu_blas_is_greedy()) return 0;
    int of_openmp = openblas_get_parallel && openblas_get_parallel() == OF_OPENMP;
    return (of_openmp ? 2 : 1) * LLOYD_BLAS_SPACE;
}

int64_t lloyd_cpu_blas_take(int threads)
{
    static int known; /* buffers that OpenBLAS has; it keeps them */
    void *buffers[MOST];
    int taken = 0, most = threads < MOST ? threads : MOST;
    if (!lloyd_cpu_blas_is_greedy() || lloyd_memory_space(NULL) == INT64_MAX) return 0;
    for (; taken < most; taken++) {
        if (taken >= known && lloyd_memory_space(NULL) < LLOYD_BLAS_SPACE) break;
        buffers[taken] = blas_memory_alloc(0);
    }
    if (taken > known) known = taken;
    int64_t missing = (threads - taken) * LLOYD_BLAS_SPACE;
    while (taken > 0) blas_memory_free(buffers[--taken]);
    return missing;
}
