/* See blas.h. OpenBLAS maps a buffer for every thread that calls it, when it first needs it,
 * and where the limit on address space leaves no room it asks for it again and again, for ever. So
 * under such a limit all buffers are taken before anything else is, each after a look at the room.
 */
#include "kernels/blas.h"

#include "base/memory.h"

#include <omp.h>
#include <pthread.h>
#include <stddef.h>

/* OpenBLAS's own; NULL in another BLAS. */
extern void *blas_memory_alloc(int which) __attribute__((weak));
extern void blas_memory_free(void *buffer) __attribute__((weak));

extern void openblas_set_num_threads(int) __attribute__((weak));
extern int openblas_get_parallel(void) __attribute__((weak)); /* a constant */

enum { MOST = 1024, OF_OPENMP = 2 };

/* Address space that OpenBLAS takes for every thread that calls it: 128 MiB, and some. */
static const int64_t SPACE = (int64_t)136 << 20;

static void use_one_thread(void)
{
    if (openblas_set_num_threads) openblas_set_num_threads(1);
}

/* Once: OpenBLAS frees and allocates buffers there, without a lock. Its builds with OpenMP set the number of OpenMP's threads too, of the
 * thread that calls them. */
void lloyd_blas_use_one_thread(int threads)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const int before = omp_get_max_threads();
    pthread_once(&once, use_one_thread);
    omp_set_num_threads(threads > 1 ? before : 1);
}

int lloyd_blas_is_greedy(void)
{
    return blas_memory_alloc != NULL && blas_memory_free != NULL;
}

int64_t lloyd_blas_start(void)
{
    if (!lloyd_blas_is_greedy()) return 0;
    int of_openmp = openblas_get_parallel && openblas_get_parallel() == OF_OPENMP;
    return (of_openmp ? 2 : 1) * SPACE;
}

int64_t lloyd_blas_take(int threads)
{
    static int known; /* buffers that OpenBLAS has; it keeps them */
    void *buffers[MOST];
    int taken = 0, most = threads < MOST ? threads : MOST;
    if (!lloyd_blas_is_greedy() || lloyd_memory_space(NULL) == INT64_MAX) return 0;
    for (; taken < most; taken++) {
        if (taken >= known && lloyd_memory_space(NULL) < SPACE) break;
        buffers[taken] = blas_memory_alloc(0);
    }
    if (taken > known) known = taken;
    int64_t missing = (threads - taken) * SPACE;
    while (taken > 0) blas_memory_free(buffers[--taken]);
    return missing;
}
