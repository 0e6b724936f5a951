/* See launch.cuh. */
#include "kernels/cuda/launch.cuh"

#include <map>
#include <mutex>
#include <utility>

/* The limit of a kernel belongs to the device, and several threads may launch it with different amounts: it is only ever raised. */
lloyd_status lloyd_cuda_allow_shared(const void *kernel, int bytes, const char *what)
{
    static std::mutex lock;
    static std::map<std::pair<int, const void *>, int> allowed;
    int device;
    CUDA_TRY(cudaGetDevice(&device), what);
    std::lock_guard<std::mutex> guard(lock);
    int &here = allowed[{device, kernel}];
    if (bytes <= here) return LLOYD_OK;
    CUDA_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
             what);
    here = bytes;
    return LLOYD_OK;
}
