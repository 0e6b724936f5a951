/* The kernel of the 8-bit filter, as its host side sees it: sm90.cu. */
#ifndef LLOYD_KERNELS_CUDA_INT8_KERNEL_H
#define LLOYD_KERNELS_CUDA_INT8_KERNEL_H

#include "kernels/cuda/int8/int8.cuh"

bool lloyd_cuda_int8_supports(const cuda_gpu &gpu, int64_t dim);
/* INT8_STEPs that it is compiled for, and rows of its tiles. */
int lloyd_cuda_int8_steps(int64_t dim);
int lloyd_cuda_int8_tile_rows(int64_t dim);
/* Enqueues it. is_unsigned: codes are 0 to 255. */
lloyd_status lloyd_cuda_int8_launch(const cuda_gpu &gpu, const int8_params &p, bool is_unsigned,
                                    cudaStream_t stream);

#endif
