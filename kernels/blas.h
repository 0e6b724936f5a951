/* The threads and the memory that the BLAS takes for itself. */
#ifndef LLOYD_KERNELS_BLAS_H
#define LLOYD_KERNELS_BLAS_H

#include <stdint.h>

/* From now on each call is computed by the thread that makes it. threads: of the OpenMP regions that lloyd makes calls from; 1 where
 * some are made outside of a region: then this thread starts no others any more but where lloyd says how many, as some builds of
 * OpenBLAS would. Any thread may call it. */
void lloyd_blas_use_one_thread(int threads);

/* Whether the BLAS is one that asks for memory for ever where there is none (OpenBLAS). */
int lloyd_blas_is_greedy(void);

/* The address space that it takes when it is loaded, at most. May be called before. */
int64_t lloyd_blas_start(void);

/* Under a limit on address space, lets it take what it wants for so many threads, as far as there is
 * room. Returns the bytes that are missing. */
int64_t lloyd_blas_take(int threads);

#endif
