/* What kernels that come and go take over from each other. To allocate and to free memory of a GPU, to pin memory of the host, or to
 * create a stream takes longer than much of the fit of a few thousand rows, and threads wait for each other there. While a process
 * keeps these (lloyd_device.keep), kernels have a stock of them, which serves others when they are destroyed, on any thread. A stock
 * belongs to one cuda_kernels at a time, so threads meet only where kernels are created and destroyed.
 *
 * All functions are of the current device. Where the stock is NULL, what is taken is new, and what is given back goes. */
#ifndef LLOYD_KERNELS_CUDA_MEMORY_KEEP_H
#define LLOYD_KERNELS_CUDA_MEMORY_KEEP_H

extern "C" {
#include "base/status.h"
}

#include <cstdint>
#include <cuda_runtime.h>

struct cuda_stock;

/* Small blocks are cut from slabs of so many bytes: each stock has one of a GPU's memory and one of pinned memory, at least. */
constexpr int64_t CUDA_STOCK_BYTES = 16 << 20, CUDA_STOCK_PINNED = 3 << 20;

/* From now on keeps stocks, or no longer: then all have been given back, and are freed. One device at a time. */
lloyd_status lloyd_cuda_keep(int device, int on);
bool lloyd_cuda_keeps();

/* A stock for new kernels; NULL while none are kept. When it is given back, all that was taken from it has been given back, and no work
 * uses it any more. NULL may be given back. */
cuda_stock *lloyd_cuda_take_stock();
void lloyd_cuda_give_stock(cuda_stock *stock);

/* Memory of the GPU. What work that was enqueued on the kernels' stream does with it comes before what is enqueued there after it has
 * been given back; without a stock, giving it back waits for that work. */
cudaError_t lloyd_cuda_take_memory(cuda_stock *stock, int64_t bytes, void **memory);
void lloyd_cuda_give_memory(cuda_stock *stock, void *memory);

/* Pinned memory of the host, which no work uses any more when it is given back. NULL may be given back. */
cudaError_t lloyd_cuda_take_pinned(cuda_stock *stock, int64_t bytes, void **memory);
void lloyd_cuda_give_pinned(cuda_stock *stock, void *memory);

/* A stream that does not wait for the default one, and an event that takes no time; work on them is done when they are given back. NULL
 * may be given back. */
cudaError_t lloyd_cuda_take_stream(cuda_stock *stock, cudaStream_t *stream);
void lloyd_cuda_give_stream(cuda_stock *stock, cudaStream_t stream);
cudaError_t lloyd_cuda_take_event(cuda_stock *stock, cudaEvent_t *event);
void lloyd_cuda_give_event(cuda_stock *stock, cudaEvent_t event);

#endif
