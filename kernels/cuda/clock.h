/* The time that each kind of work takes on the GPU. Nothing happens unless config.timed. */
#ifndef LLOYD_KERNELS_CUDA_CLOCK_H
#define LLOYD_KERNELS_CUDA_CLOCK_H

#include "kernels/cuda/state.h"

enum { CUDA_UNTIMED = -1 };
/* What the stream does between the mark before and this one is `work`, a lloyd_work, or
 * CUDA_UNTIMED. */
lloyd_status lloyd_cuda_mark(cuda_kernels *cuda, int work);
/* Marks that are not read yet, and not forgotten. */
int64_t lloyd_cuda_marks(const cuda_kernels *cuda);
/* Adds the times of the first `marks` of them, which the stream has passed, to base.seconds. */
lloyd_status lloyd_cuda_read_clock(cuda_kernels *cuda, int64_t marks);
void lloyd_cuda_forget_marks(cuda_kernels *cuda);
void lloyd_cuda_clock_free(cuda_kernels *cuda);

#endif
