/* Device memory, and what CUDA reports. */
#ifndef LLOYD_KERNELS_CUDA_MEMORY_H
#define LLOYD_KERNELS_CUDA_MEMORY_H

#include "kernels/cuda/cuda.h"

/* LLOYD_FAILED with what CUDA says about `code`; `what` was being done. */
lloyd_status lloyd_cuda_check(cudaError_t code, const char *what);

/* Returns from the calling function if a CUDA call failed. */
#define CUDA_TRY(call, what) LLOYD_TRY(lloyd_cuda_check((call), (what)))
/* After a launch. */
#define CUDA_LAUNCHED(what) CUDA_TRY(cudaGetLastError(), what)

/* *out = `count` elements of `size` bytes of device memory, not initialised, counted in
 * cuda->allocated. A count of 0 gives a valid pointer too. Free with lloyd_cuda_free(). */
lloyd_status lloyd_cuda_alloc(cuda_kernels *cuda, void *out, int64_t count, size_t size,
                              const char *what);
void lloyd_cuda_free(cuda_kernels *cuda, void *memory, int64_t count, size_t size);

/* Copies `bytes` (<= CUDA_PINNED) of device memory to the host and waits. */
lloyd_status lloyd_cuda_fetch(cuda_kernels *cuda, void *host, const void *device, size_t bytes);

#endif
