/* GPUs: how many there are, what they are, and how much memory they have.
 *
 * The UUID of a GPU is hashed to the 64 bits that fit the sums by which ranks compare it: 2^-64 is the chance that two GPUs pass for one.
 */
extern "C" {
#include "kernels/cuda/identity.h"
}
#include "kernels/cuda/device.h"
#include "kernels/cuda/memory.h"

#include <cstdio>

cudaError_t lloyd_cuda_look_at(int device, cuda_gpu *gpu)
{
    int major = 0, minor = 0;
    const struct {
        cudaDeviceAttr which;
        int *value;
    } wanted[] = {{cudaDevAttrComputeCapabilityMajor, &major},
                  {cudaDevAttrComputeCapabilityMinor, &minor},
                  {cudaDevAttrMultiProcessorCount, &gpu->multiprocessors},
                  {cudaDevAttrMaxSharedMemoryPerBlockOptin, &gpu->shared_bytes}};
    for (const auto &w : wanted) {
        cudaError_t code = cudaDeviceGetAttribute(w.value, w.which, device);
        if (code != cudaSuccess) return code;
    }
    gpu->capability = 10 * major + minor;
    return cudaSuccess;
}

cuda_gpu lloyd_cuda_planned_gpu(void)
{
    const cuda_gpu h200 = {132, 90, 227 << 10};
    cuda_gpu gpu;
    int device;
    if (cudaGetDevice(&device) == cudaSuccess && lloyd_cuda_look_at(device, &gpu) == cudaSuccess)
        return gpu;
    (void)cudaGetLastError();
    return h200;
}

extern "C" lloyd_status lloyd_cuda_devices(int *count)
{
    *count = 0;
    cudaError_t code = cudaGetDeviceCount(count);
    if (code == cudaErrorNoDevice || code == cudaErrorInsufficientDriver ||
        code == cudaErrorStubLibrary) {
        (void)cudaGetLastError();
        *count = 0;
        return LLOYD_OK;
    }
    return lloyd_cuda_check(code, "counting GPUs");
}

extern "C" lloyd_status lloyd_cuda_memory(int device, int64_t *free_bytes, int64_t *total_bytes)
{
    size_t left, total;
    CUDA_TRY(cudaSetDevice(device), "selecting the GPU");
    CUDA_TRY(cudaMemGetInfo(&left, &total), "asking for the GPU's memory");
    *free_bytes = (int64_t)left;
    *total_bytes = (int64_t)total;
    return LLOYD_OK;
}

/* --- identity --- */

/* FNV-1a. */
static uint64_t hash_bytes(const char *bytes, size_t count)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ static_cast<unsigned char>(bytes[i])) * 0x100000001b3;
    return hash;
}

extern "C" lloyd_status lloyd_cuda_identity(int device, uint64_t *hash, char *name, size_t bytes)
{
    cudaDeviceProp properties;
    CUDA_TRY(cudaGetDeviceProperties(&properties, device), "looking at the GPU of this rank");
    *hash = hash_bytes(properties.uuid.bytes, sizeof properties.uuid.bytes);
    if (*hash == 0) *hash = 1;
    snprintf(name, bytes, "%s", properties.name);
    return LLOYD_OK;
}
