/* See radix_sort.h. The headers of CUB's sort alone take nvcc ten seconds, so no other file of the library includes them. For the same
 * reason keys are unsigned integers only; their order is also that of the bits of floats that are not negative. */
#include "kernels/cuda/sort/radix_sort.h"

#define NVTX_DISABLE /* ranges for profilers, whose header takes a second of these ten */
#include <cub/device/device_radix_sort.cuh>

namespace
{

/* Both calls, with space == NULL, only say how much of it they want. */

cudaError_t sort_up(const cuda_radix_pairs<uint32_t> &p, int64_t count, int bits, void *space,
                    size_t *bytes, cudaStream_t stream)
{
    return cub::DeviceRadixSort::SortPairs(space, *bytes, p.keys, p.sorted_keys, p.numbers,
                                           p.sorted_numbers, (int)count, 0, bits, stream);
}

cudaError_t sort_down(const cuda_radix_pairs<unsigned long long> &p, int64_t count, void *space,
                      size_t *bytes, cudaStream_t stream)
{
    return cub::DeviceRadixSort::SortPairsDescending(space, *bytes, p.keys, p.sorted_keys,
                                                     p.numbers, p.sorted_numbers, (int)count, 0, 64,
                                                     stream);
}

int64_t answer(cudaError_t code, size_t bytes)
{
    if (code == cudaSuccess) return (int64_t)bytes;
    (void)cudaGetLastError();
    return -1;
}

} // namespace

lloyd_status lloyd_cuda_radix_sort(const cuda_radix_pairs<uint32_t> &pairs, int64_t count, int bits,
                                   const cuda_array<char> &space, cudaStream_t stream,
                                   const char *what)
{
    size_t bytes = (size_t)space.count;
    return lloyd_cuda_check(sort_up(pairs, count, bits, space.data, &bytes, stream), what);
}

lloyd_status lloyd_cuda_radix_sort_down(const cuda_radix_pairs<unsigned long long> &pairs,
                                        int64_t count, const cuda_array<char> &space,
                                        cudaStream_t stream, const char *what)
{
    size_t bytes = (size_t)space.count;
    return lloyd_cuda_check(sort_down(pairs, count, space.data, &bytes, stream), what);
}

int64_t lloyd_cuda_radix_sort_bytes(int64_t count, int bits)
{
    size_t bytes = 0;
    const cudaError_t code = sort_up({}, count, bits, nullptr, &bytes, nullptr);
    return answer(code, bytes);
}

int64_t lloyd_cuda_radix_sort_down_bytes(int64_t count)
{
    size_t bytes = 0;
    const cudaError_t code = sort_down({}, count, nullptr, &bytes, nullptr);
    return answer(code, bytes);
}
