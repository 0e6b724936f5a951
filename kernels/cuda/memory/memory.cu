/* Device memory, counted, and errors of CUDA as messages; see memory.h. */
#include "kernels/cuda/memory/memory.h"

#include "kernels/cuda/memory/keep.h"
#include "kernels/cuda/state.h"

#include <cassert>
#include <cstring>

lloyd_status lloyd_cuda_check(cudaError_t code, const char *what)
{
    if (code == cudaSuccess) return LLOYD_OK;
    (void)cudaGetLastError(); /* or the next launch would report it again */
    return lloyd_fail(LLOYD_FAILED,
                      "on the GPU, %s: %s (%s); --backend cpu gives the same results without a GPU",
                      what, cudaGetErrorString(code), cudaGetErrorName(code));
}

/* *out = `count` elements of `size` bytes, counted in cuda->allocated. */
static lloyd_status allocate(cuda_kernels *cuda, void **out, int64_t count, size_t size,
                             const char *what)
{
    void *memory = nullptr;
    size_t bytes;
    if (count < 0 || __builtin_mul_overflow((size_t)count, size, &bytes) ||
        bytes > (size_t)INT64_MAX) {
        return lloyd_fail(LLOYD_FAILED,
                          "cannot allocate %s: %lld elements of %zu bytes are more than any memory",
                          what, (long long)count, size);
    }
    cudaError_t code = lloyd_cuda_take_memory(cuda->stock, bytes > 0 ? (int64_t)bytes : 1, &memory);
    if (code == cudaErrorMemoryAllocation) {
        size_t left = 0, total = 0;
        (void)cudaGetLastError();
        (void)cudaMemGetInfo(&left, &total);
        return lloyd_fail(
            LLOYD_FAILED,
            "cannot allocate %.3f GB for %s on GPU %d (%.3f of its %.3f GB are free); use more GPUs, or a smaller "
            "--chunk-rows",
            (double)bytes / 1e9, what, cuda->device, (double)left / 1e9, (double)total / 1e9);
    }
    CUDA_TRY(code, what);
    cuda->allocated += (int64_t)bytes;
    if (cuda->allocated > cuda->peak) cuda->peak = cuda->allocated;
    *out = memory;
    return LLOYD_OK;
}

/* Memory that is given back to a stock may be in use again at once, by what is enqueued behind what needs it now: on the stream, but for
 * copies of load_start(). cudaFree() waits for all work. */
static void await_copies(const cuda_kernels *cuda)
{
    if (cuda->copies) (void)cudaStreamSynchronize(cuda->copies);
}

void lloyd_cuda_visit(cuda_buffers &buffers, void **data, int64_t *held, int64_t count, size_t size,
                      const char *what)
{
    cuda_kernels *cuda = buffers.cuda_;
    if (buffers.work_ == cuda_buffers::COUNT) {
        buffers.bytes_ += count * (int64_t)size;
        return;
    }
    bool reserves = buffers.work_ == cuda_buffers::RESERVE;
    if (reserves && (buffers.status_ != LLOYD_OK || (*data && *held >= count))) return;
    if (*data) {
        if (!cuda->ending) await_copies(cuda);
        lloyd_cuda_give_memory(cuda->stock, *data);
        cuda->allocated -= *held * (int64_t)size;
    }
    *data = nullptr, *held = 0;
    if (!reserves) return;
    buffers.status_ = allocate(cuda, data, count, size, what);
    if (buffers.status_ == LLOYD_OK) *held = count;
}

lloyd_status lloyd_cuda_fetch(const cuda_kernels *cuda, void *host, const void *device,
                              size_t bytes)
{
    assert(bytes <= CUDA_PINNED);
    CUDA_TRY(cudaMemcpyAsync(cuda->pinned, device, bytes, cudaMemcpyDeviceToHost, cuda->stream),
             "copying results to the host");
    CUDA_TRY(cudaStreamSynchronize(cuda->stream), "waiting for results");
    memcpy(host, cuda->pinned, bytes);
    return LLOYD_OK;
}
