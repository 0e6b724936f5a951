/* The types that elements are stored in: what an element is, and its float32 value. */
#ifndef LLOYD_KERNELS_CUDA_ELEMENT_CUH
#define LLOYD_KERNELS_CUDA_ELEMENT_CUH

extern "C" {
#include "base/types.h"
}

#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <type_traits>

/* The stored element of each lloyd_type, and its float32 value, exactly. */
template <lloyd_type T> struct cuda_element;
template <> struct cuda_element<LLOYD_F32> {
    using type = float;
    static __device__ float value(float x)
    {
        return x;
    }
};
template <> struct cuda_element<LLOYD_F16> {
    using type = __half;
    static __device__ float value(__half x)
    {
        return __half2float(x);
    }
};
template <> struct cuda_element<LLOYD_BF16> {
    using type = __nv_bfloat16;
    static __device__ float value(__nv_bfloat16 x)
    {
        return __bfloat162float(x);
    }
};
template <> struct cuda_element<LLOYD_U8> {
    using type = uint8_t;
    static __device__ float value(uint8_t x)
    {
        return (float)x;
    }
};
template <> struct cuda_element<LLOYD_I8> {
    using type = int8_t;
    static __device__ float value(int8_t x)
    {
        return (float)x;
    }
};

/* Calls work(std::integral_constant<lloyd_type, T>) for the run-time type. Host code. */
template <class Work> static inline void cuda_for_type(lloyd_type type, Work work)
{
    switch (type) {
    case LLOYD_F32: work(std::integral_constant<lloyd_type, LLOYD_F32>{}); break;
    case LLOYD_F16: work(std::integral_constant<lloyd_type, LLOYD_F16>{}); break;
    case LLOYD_BF16: work(std::integral_constant<lloyd_type, LLOYD_BF16>{}); break;
    case LLOYD_U8: work(std::integral_constant<lloyd_type, LLOYD_U8>{}); break;
    case LLOYD_I8: work(std::integral_constant<lloyd_type, LLOYD_I8>{}); break;
    }
}

#endif
