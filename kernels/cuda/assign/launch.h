/* The fused kernels, as assign.cu sees them: each labels (or verifies) the rows that its parameters
 * name. */
#ifndef LLOYD_KERNELS_CUDA_ASSIGN_LAUNCH_H
#define LLOYD_KERNELS_CUDA_ASSIGN_LAUNCH_H

#include "kernels/cuda/assign/certificate.cuh"

/* sm90.cu: Hopper, rows of up to 256 columns (p.steps of 1, 2, 4, 6, 8, 12 or 16). */
lloyd_status lloyd_flash_sm90(const flash_params &p, bool verify, int blocks, cudaStream_t stream);
/* sm90_resident.cu: the same, of up to 128 columns and so few centroids that the image fits
 * the shared memory. */
lloyd_status lloyd_flash_resident_sm90(const flash_params &p, bool verify, int blocks,
                                       cudaStream_t stream);
/* sm90_wide.cu: Hopper, any number of columns; width 256, steps in twos. */
lloyd_status lloyd_flash_wide_sm90(const flash_params &p, bool verify, int blocks,
                                   cudaStream_t stream);
/* Bytes of p.scratch that it takes. */
int64_t lloyd_flash_wide_scratch(int steps, int blocks);
/* sm80.cu: any GPU from compute capability 8.0 on, any number of columns; width 128. */
lloyd_status lloyd_flash_sm80(const flash_params &p, bool verify, int blocks, cudaStream_t stream);

#endif
