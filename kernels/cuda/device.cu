/* GPUs: how many there are, what they are, and how much memory they have.
 *
 * The UUID of a GPU is hashed to the 64 bits that fit the sums by which ranks compare it: 2^-64 is the chance that two GPUs pass for one.
 */
extern "C" {
#include "base/memory.h"
#include "kernels/cuda/device.h"
}
#include "kernels/cuda/memory/keep.h"
#include "kernels/cuda/memory/memory.h"
#include "kernels/cuda/slots.h"

#include <cstdio>
#include <map>
#include <mutex>
#include <string>
#include <utility>

lloyd_status lloyd_cuda_select(int device)
{
    int current;
    if (cudaGetDevice(&current) == cudaSuccess && current == device) return LLOYD_OK;
    (void)cudaGetLastError();
    return lloyd_cuda_check(cudaSetDevice(device), "selecting the GPU");
}

lloyd_status lloyd_cuda_look_at(int device, cuda_gpu *gpu)
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
        CUDA_TRY(cudaDeviceGetAttribute(w.value, w.which, device), "asking what the GPU is");
    }
    gpu->capability = 10 * major + minor;
    return LLOYD_OK;
}

cuda_gpu lloyd_cuda_planned_gpu(void)
{
    const cuda_gpu h200 = {132, 90, 227 << 10};
    cuda_gpu gpu;
    int device;
    if (cudaGetDevice(&device) == cudaSuccess && lloyd_cuda_look_at(device, &gpu) == LLOYD_OK)
        return gpu;
    (void)cudaGetLastError();
    return h200;
}

static lloyd_status count_devices(int *count)
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

/* While memory is kept, what there was before: to ask takes long where other threads are at work, and what is kept is of use. */
static lloyd_status memory_of(int device, int64_t *free_bytes, int64_t *total_bytes)
{
    static std::mutex lock;
    static std::map<int, std::pair<size_t, size_t>> known;
    std::lock_guard<std::mutex> guard(lock);
    LLOYD_TRY(lloyd_cuda_select(device));
    if (!lloyd_cuda_keeps() || known.find(device) == known.end()) {
        size_t left, total;
        CUDA_TRY(cudaMemGetInfo(&left, &total), "asking for the GPU's memory");
        known[device] = {left, total};
    }
    *free_bytes = (int64_t)known[device].first;
    *total_bytes = (int64_t)known[device].second;
    return LLOYD_OK;
}

static int current(void)
{
    int device;
    if (cudaGetDevice(&device) == cudaSuccess) return device;
    (void)cudaGetLastError();
    return -1;
}

static void make_current(int device)
{
    (void)lloyd_cuda_select(device);
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

/* Asked for once, which takes a millisecond. */
static lloyd_status identify(int device, uint64_t *hash, char *name, size_t bytes)
{
    struct identity {
        uint64_t hash;
        std::string name;
    };
    static std::mutex lock;
    static std::map<int, identity> known;
    std::lock_guard<std::mutex> guard(lock);
    if (known.find(device) == known.end()) {
        cudaDeviceProp properties;
        CUDA_TRY(cudaGetDeviceProperties(&properties, device), "looking at the GPU of this rank");
        const uint64_t of_uuid = hash_bytes(properties.uuid.bytes, sizeof properties.uuid.bytes);
        known[device] = {of_uuid ? of_uuid : 1, properties.name};
    }
    *hash = known[device].hash;
    snprintf(name, bytes, "%s", known[device].name.c_str());
    return LLOYD_OK;
}

/* --- host memory --- */

/* Pinning memory that is there, in huge pages, takes a fraction of the time of cudaMallocHost(). */
static lloyd_status host_alloc(int64_t bytes, const char *what, void **memory)
{
    LLOYD_TRY(lloyd_alloc(memory, bytes, 1, what));
    cudaError_t code = cudaHostRegister(*memory, (size_t)bytes, cudaHostRegisterDefault);
    if (code == cudaSuccess) return LLOYD_OK;
    (void)cudaGetLastError();
    lloyd_free(*memory);
    *memory = nullptr;
    return lloyd_fail(LLOYD_FAILED,
                      "cannot pin %.3f GB of host memory for %s: %s; use a smaller "
                      "--max-host-memory",
                      (double)bytes / 1e9, what, cudaGetErrorString(code));
}

static void host_free(void *memory)
{
    if (!memory) return;
    (void)cudaHostUnregister(memory);
    lloyd_free(memory);
}

const lloyd_device lloyd_device_cuda = {
    .name = "cuda",
    .pinned = 2 * CUDA_STAGING_BYTES,
    .count = count_devices,
    .memory = memory_of,
    .identity = identify,
    .host_alloc = host_alloc,
    .host_free = host_free,
    .current = current,
    .make_current = make_current,
    .keep = lloyd_cuda_keep,
    .kept = CUDA_STOCK_BYTES,
    .kept_on_host = CUDA_STOCK_PINNED,
};
