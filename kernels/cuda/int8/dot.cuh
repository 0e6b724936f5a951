/* Products of 16 codes on the ordinary cores. */
#ifndef LLOYD_KERNELS_CUDA_INT8_DOT_CUH
#define LLOYD_KERNELS_CUDA_INT8_DOT_CUH

#include <cuda_runtime.h>

/* sum + the product of 16 codes of a row, which may be unsigned, and 16 of a centroid; exact. */
__device__ inline int int8_dot(uint4 a, uint4 b, int sum, bool is_unsigned)
{
    if (is_unsigned) {
        /* the mixed form of dp4a has its unsigned factor first */
        asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a.x), "r"(b.x));
        asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a.y), "r"(b.y));
        asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a.z), "r"(b.z));
        asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a.w), "r"(b.w));
        return sum;
    }
    sum = __dp4a((int)a.x, (int)b.x, sum);
    sum = __dp4a((int)a.y, (int)b.y, sum);
    sum = __dp4a((int)a.z, (int)b.z, sum);
    return __dp4a((int)a.w, (int)b.w, sum);
}

#endif
