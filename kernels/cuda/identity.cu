/* The name and UUID of a GPU; see identity.h. The UUID is hashed to the 64 bits that fit the sums
 * by which ranks compare it: 2^-64 is the chance that two GPUs pass for one.
 */
extern "C" {
#include "kernels/cuda/identity.h"
}
#include "kernels/cuda/cuda.h"

#include <cstdio>

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
