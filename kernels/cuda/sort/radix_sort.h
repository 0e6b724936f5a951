/* CUB's radix sort of numbers in device memory. */
#ifndef LLOYD_KERNELS_CUDA_SORT_RADIX_SORT_H
#define LLOYD_KERNELS_CUDA_SORT_RADIX_SORT_H

#include "kernels/cuda/memory/memory.h"

/* What is sorted, by key, and where it goes, which is elsewhere. Numbers of equal keys stay in order. */
template <class KEY> struct cuda_radix_pairs {
    const KEY *keys;
    KEY *sorted_keys;
    const int32_t *numbers;
    int32_t *sorted_numbers;
};

/* Sorts `count` (< 2^31) pairs by the lowest `bits` bits of their keys, of which none make it a copy. `space`: of the bytes below. */
lloyd_status lloyd_cuda_radix_sort(const cuda_radix_pairs<uint32_t> &pairs, int64_t count, int bits,
                                   const cuda_array<char> &space, cudaStream_t stream,
                                   const char *what);
/* The same for all bits, the greatest key first. */
lloyd_status lloyd_cuda_radix_sort_down(const cuda_radix_pairs<unsigned long long> &pairs,
                                        int64_t count, const cuda_array<char> &space,
                                        cudaStream_t stream, const char *what);

/* Bytes of the space that these take on the current device; -1: there is none to ask. */
int64_t lloyd_cuda_radix_sort_bytes(int64_t count, int bits);
int64_t lloyd_cuda_radix_sort_down_bytes(int64_t count);

#endif
