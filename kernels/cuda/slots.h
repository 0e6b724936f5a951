/* Rows on their way into the slots. */
#ifndef LLOYD_KERNELS_CUDA_SLOTS_H
#define LLOYD_KERNELS_CUDA_SLOTS_H

#include "kernels/cuda/state.h"

/* Rows from pageable memory pass through two pinned buffers of so many bytes. */
constexpr int64_t CUDA_STAGING_BYTES = 16 << 20;

/* Copies into device memory, in the order of the stream. `from` is free again on return. */
lloyd_status lloyd_cuda_copy_in(cuda_kernels *cuda, void *to, const void *from, int64_t bytes);
/* From device memory to wherever the caller wants it, when the work before on the stream is done. */
lloyd_status lloyd_cuda_copy_out(const cuda_kernels *cuda, void *to, const void *from,
                                 int64_t bytes);
void lloyd_cuda_free_slot(cuda_kernels *cuda, cuda_slot *slot);
void lloyd_cuda_free_staging(cuda_kernels *cuda);

/* kernels.h */
lloyd_status lloyd_cuda_load(lloyd_kernels *kernels, int slot, int64_t first, int64_t count,
                             const void *rows);
lloyd_status lloyd_cuda_fill(lloyd_kernels *kernels, int slot, int64_t at, int64_t count,
                             const void *rows);
lloyd_status lloyd_cuda_load_start(lloyd_kernels *kernels, int slot, int64_t first, int64_t count,
                                   const void *rows, lloyd_load_need need);
lloyd_status lloyd_cuda_load_finish(lloyd_kernels *kernels, int slot);
lloyd_status lloyd_cuda_loaded(lloyd_kernels *kernels, int slot);

#endif
