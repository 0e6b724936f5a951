/* What kernels that come and go take over from each other. To allocate and to free memory of a GPU, to pin memory of the host, or to
 * create a stream takes longer than much of the fit of a few thousand rows, and threads wait for each other there. While a process
 * keeps these (lloyd_device.keep), what kernels give back serves those that are created next, on any of its threads.
 *
 * All functions are of the current device. */
#ifndef LLOYD_KERNELS_CUDA_MEMORY_KEEP_H
#define LLOYD_KERNELS_CUDA_MEMORY_KEEP_H

extern "C" {
#include "base/status.h"
}

#include <cstdint>
#include <cuda_runtime.h>

/* From now on keeps what is given back, or no longer: then what is kept is freed, and all that was taken meanwhile has been given back.
 * One device at a time. */
lloyd_status lloyd_cuda_keep(int device, int on);
bool lloyd_cuda_keeps();

/* Memory of the GPU. When it is given back no work uses it any more. */
cudaError_t lloyd_cuda_take_memory(int64_t bytes, void **memory);
void lloyd_cuda_give_memory(void *memory);

/* Pinned memory of the host. NULL may be given back. */
cudaError_t lloyd_cuda_take_pinned(int64_t bytes, void **memory);
void lloyd_cuda_give_pinned(void *memory);

/* A stream that does not wait for the default one, and an event that takes no time; work on them is done when they are given back. NULL
 * may be given back. */
cudaError_t lloyd_cuda_take_stream(cudaStream_t *stream);
void lloyd_cuda_give_stream(cudaStream_t stream);
cudaError_t lloyd_cuda_take_event(cudaEvent_t *event);
void lloyd_cuda_give_event(cudaEvent_t event);

#endif
