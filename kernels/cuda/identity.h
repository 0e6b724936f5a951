/* Which GPU a device number stands for: numbers are per process, and two of them may be one GPU. */
#ifndef LLOYD_KERNELS_CUDA_IDENTITY_H
#define LLOYD_KERNELS_CUDA_IDENTITY_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* *hash: of the UUID of the GPU (of the MIG instance, where it is divided), never 0. name[0 ..
 * bytes): as the vendor calls it, "NVIDIA H200". Does not start work on the device. */
lloyd_status lloyd_cuda_identity(int device, uint64_t *hash, char *name, size_t bytes);

#endif
