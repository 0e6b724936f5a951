/* The threads and the memory that the BLAS takes for itself. */
#ifndef LLOYD_KERNELS_BLAS_H
#define LLOYD_KERNELS_BLAS_H

#include <stdint.h>

/* From now on each call is computed by the thread that makes it: lloyd calls the BLAS from OpenMP threads. */
void lloyd_blas_use_one_thread(void);

/* Whether the BLAS is one that asks for memory for ever where there is none (OpenBLAS). */
int lloyd_blas_is_greedy(void);

/* The address space that it takes when it is loaded, at most. May be called before. */
int64_t lloyd_blas_start(void);

/* Under a limit on address space, lets it take what it wants for so many threads, as far as there is
 * room. Returns the bytes that are missing. */
int64_t lloyd_blas_take(int threads);

#endif
