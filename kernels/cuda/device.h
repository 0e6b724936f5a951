/* The GPU itself, apart from what runs on it. */
#ifndef LLOYD_KERNELS_CUDA_DEVICE_H
#define LLOYD_KERNELS_CUDA_DEVICE_H

#include <cuda_runtime.h>

/* What kernels are chosen by. */
struct cuda_gpu {
    int multiprocessors;
    int capability;   /* 90 for compute capability 9.0 */
    int shared_bytes; /* shared memory that a block can have */
};

/* What this GPU is. */
cudaError_t lloyd_cuda_look_at(int device, cuda_gpu *gpu);

/* The current device, for a plan made before there are kernels; an H200 where it does not
 * tell. */
cuda_gpu lloyd_cuda_planned_gpu(void);

#endif
