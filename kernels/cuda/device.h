/* The GPU itself, apart from what runs on it, in C. */
#ifndef LLOYD_KERNELS_CUDA_DEVICE_H
#define LLOYD_KERNELS_CUDA_DEVICE_H

#include "kernels/device.h"

extern const lloyd_device lloyd_device_cuda;

/* What kernels are chosen by. */
typedef struct cuda_gpu {
    int multiprocessors; /* to have blocks for */
    int capability;      /* 90 for compute capability 9.0 */
    int shared_bytes;    /* shared memory that a block can have */
} cuda_gpu;

/* Makes `device` the current one of this thread. To select it anew takes long where other threads are at work, so it is not done
 * where it is selected. */
lloyd_status lloyd_cuda_select(int device);

/* What GPU number `device` is. */
lloyd_status lloyd_cuda_look_at(int device, cuda_gpu *gpu);

/* The current device, for a plan made before there are kernels; an H200 where it does not
 * tell. */
cuda_gpu lloyd_cuda_planned_gpu(void);

#endif
