/* Rows that the 8-bit filter leaves open. */
#ifndef LLOYD_KERNELS_CUDA_INT8_OPEN_H
#define LLOYD_KERNELS_CUDA_INT8_OPEN_H

#include "kernels/cuda/assign/certificate.cuh"
#include "kernels/cuda/assign/exact.h"
#include "kernels/cuda/int8/int8.cuh"

/* Lists those of the lists, with thresholds, for the fallback pass of the 16-bit filter with the parameters `p`. */
lloyd_status lloyd_cuda_int8_list_open(cuda_kernels *cuda, const flash_params &p,
                                       const cuda_decision &d, const int8_lists &lists);

#endif
