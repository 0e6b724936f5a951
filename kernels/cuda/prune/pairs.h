/* The comparison of rows with groups of centroids, as its host side sees it: pairs.cu. */
#ifndef LLOYD_KERNELS_CUDA_PRUNE_PAIRS_H
#define LLOYD_KERNELS_CUDA_PRUNE_PAIRS_H

#include "kernels/cuda/prune/prune.cuh"

/* Enqueues it. *p.next is 0. */
lloyd_status lloyd_cuda_prune_pairs(const cuda_gpu &gpu, const prune_params &p, bool is_unsigned,
                                    cudaStream_t stream);
/* Only counts how many pairs of a row and a group it would compare, and adds them to *failing. */
lloyd_status lloyd_cuda_prune_count_pairs(const cuda_gpu &gpu, const prune_params &p,
                                          unsigned long long *failing, cudaStream_t stream);

#endif
