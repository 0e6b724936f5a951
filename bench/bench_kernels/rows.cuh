/* The rows of the benchmark: Gaussian, of a file, or a mixture; the same in every run. */
#ifndef ROWS_CUH
#define ROWS_CUH

#include "bench.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace benchmarks
{

/* Element `at` of rows as stored. */
__host__ __device__ inline float element(const void *data, lloyd_type type, int64_t at)
{
    switch (type) {
    case LLOYD_F16: return __half2float(static_cast<const __half *>(data)[at]);
    case LLOYD_BF16: return __bfloat162float(static_cast<const __nv_bfloat16 *>(data)[at]);
    case LLOYD_U8: return (float)static_cast<const uint8_t *>(data)[at];
    case LLOYD_I8: return (float)static_cast<const int8_t *>(data)[at];
    default: return static_cast<const float *>(data)[at];
    }
}

/* 64 random bits for each value of a counter. */
__host__ __device__ inline uint64_t mixed(uint64_t counter)
{
    /* splitmix64: Steele, Lea, Flood, Fast splittable pseudorandom number generators, 2014 */
    uint64_t x = (counter + 1) * 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

/* data[N*D] on the device = the rows that the options ask for. *originals: all rows but the first so many are
 * copies of others with noise. */
lloyd_status make_rows(const options &o, const shape &s, lloyd_type type, char *data,
                       int64_t *originals);

/* data[count] = numbers of a Gaussian distribution. Asynchronous, on the default stream. */
void fill_with_gaussian(void *data, lloyd_type type, int64_t count);

} // namespace benchmarks

#endif
