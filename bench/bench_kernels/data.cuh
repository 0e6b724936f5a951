/* Rows and centroids of the benchmark, and the kernels that hold them. */
#ifndef DATA_CUH
#define DATA_CUH

#include "bench.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace benchmarks
{

enum { SAMPLE = 4096 }; /* rows whose labels are compared with the definition */

/* Element `at` of rows as stored. */
__device__ inline float element(const void *data, lloyd_type type, int64_t at)
{
    switch (type) {
    case LLOYD_F16: return __half2float(static_cast<const __half *>(data)[at]);
    case LLOYD_BF16: return __bfloat162float(static_cast<const __nv_bfloat16 *>(data)[at]);
    case LLOYD_U8: return (float)static_cast<const uint8_t *>(data)[at];
    case LLOYD_I8: return (float)static_cast<const int8_t *>(data)[at];
    default: return static_cast<const float *>(data)[at];
    }
}

/* data[count] = numbers of a Gaussian distribution, made by a counter-based generator: the same in
 * every run. Asynchronous, on the default stream. */
void fill_with_gaussian(void *data, lloyd_type type, int64_t count);

/* Fills in all of *b but its size and type. */
lloyd_status prepare(bench *b, const options &o);

/* Back to the first centroids, and labels that nobody has. */
lloyd_status restart(const bench &b);

} // namespace benchmarks

#endif
