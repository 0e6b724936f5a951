/* The rows that pruning leaves with several candidates. */
#ifndef LLOYD_KERNELS_CUDA_PRUNE_CANDIDATES_H
#define LLOYD_KERNELS_CUDA_PRUNE_CANDIDATES_H

#include "kernels/cuda/prune/prune.cuh"

/* Fills p.f.lists with them, after the comparison, which has noted their candidates. */
lloyd_status lloyd_cuda_prune_list_rows(const cuda_gpu &gpu, const prune_params &p,
                                        cudaStream_t stream);

#endif
