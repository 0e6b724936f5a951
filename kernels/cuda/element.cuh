/* The types that elements are stored in: what an element is, and its float32 value. */
#ifndef LLOYD_KERNELS_CUDA_ELEMENT_CUH
#define LLOYD_KERNELS_CUDA_ELEMENT_CUH

extern "C" {
#include "base/types.h"
}
#include "kernels/numerics.h"

#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <type_traits>

/* Bytes of an element. */
__host__ __device__ constexpr int cuda_element_bytes(lloyd_type type)
{
    return type == LLOYD_F32 ? 4 : type == LLOYD_F16 || type == LLOYD_BF16 ? 2 : 1;
}

/* The stored element of each lloyd_type, and its float32 value, exactly: of the element itself (value), and of number i of those in a
 * 32-bit word of a row (in_word). */
template <lloyd_type T> struct cuda_element;
template <> struct cuda_element<LLOYD_F32> {
    using type = float;
    static __device__ float value(float x)
    {
        return x;
    }
    static __device__ float in_word(uint32_t word, int)
    {
        return __uint_as_float(word);
    }
};
template <> struct cuda_element<LLOYD_F16> {
    using type = __half;
    static __device__ float value(__half x)
    {
        return __half2float(x);
    }
    static __device__ float in_word(uint32_t word, int i)
    {
        __half2 pair;
        memcpy(&pair, &word, sizeof pair);
        return i ? __high2float(pair) : __low2float(pair);
    }
};
template <> struct cuda_element<LLOYD_BF16> {
    using type = __nv_bfloat16;
    static __device__ float value(__nv_bfloat16 x)
    {
        return __bfloat162float(x);
    }
    static __device__ float in_word(uint32_t word, int i)
    {
        return __uint_as_float(i ? word & 0xffff0000u : word << 16);
    }
};
template <> struct cuda_element<LLOYD_U8> {
    using type = uint8_t;
    static __device__ float value(uint8_t x)
    {
        return (float)x;
    }
    static __device__ float in_word(uint32_t word, int i)
    {
        return (float)(word >> (8 * i) & 0xff);
    }
};
template <> struct cuda_element<LLOYD_I8> {
    using type = int8_t;
    static __device__ float value(int8_t x)
    {
        return (float)x;
    }
    static __device__ float in_word(uint32_t word, int i)
    {
        return (float)(int8_t)(word >> (8 * i));
    }
};

template <lloyd_type T> using cuda_stored = typename cuda_element<T>::type;

/* --- bytes without conversions, which run at a fraction of the speed of additions --- */

/* A uint8 in the lowest bits of 2^23 is that many units above it; an int8 with its sign bit flipped is a uint8 that is 128 greater. */
__host__ __device__ constexpr float cuda_lift(lloyd_type type)
{
    return type == LLOYD_U8 ? 8388608.0F : type == LLOYD_I8 ? 8388736.0F : 0.0F;
}

template <lloyd_type T> __device__ inline uint32_t cuda_unsigned_bytes(uint32_t word)
{
    return T == LLOYD_I8 ? word ^ 0x80808080u : word;
}

/* Byte i of a word of unsigned bytes, above 2^23. */
__device__ inline float cuda_lifted_byte(uint32_t word, int i)
{
    return __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7440 + i));
}

/* The four bytes of a word, each cuda_lift() too great. */
template <lloyd_type T> __device__ inline void cuda_lifted_bytes(uint32_t word, float out[4])
{
    word = cuda_unsigned_bytes<T>(word);
    for (int i = 0; i < 4; i++) out[i] = cuda_lifted_byte(word, i);
}

/* A stored element in double, exactly. Bytes are put into the low word of 2^52, which is then
 * taken off. */
template <lloyd_type T> __device__ inline double cuda_wide(cuda_stored<T> x)
{
    if constexpr (T == LLOYD_U8)
        return lloyd_add(__hiloint2double(0x43300000, (int)x), -0x1p52);
    else if constexpr (T == LLOYD_I8)
        return lloyd_add(__hiloint2double(0x43300000, (int)x + 128), -(0x1p52 + 128));
    else
        return (double)cuda_element<T>::value(x);
}

/* Four consecutive elements from the 4, 2 or 1 words that hold them. */
template <lloyd_type T> __device__ inline void cuda_four_values(const uint32_t *words, float out[4])
{
    if constexpr (cuda_element_bytes(T) == 1) {
        const uint32_t word = cuda_unsigned_bytes<T>(words[0]);
#pragma unroll
        for (int i = 0; i < 4; i++) out[i] = lloyd_addf(cuda_lifted_byte(word, i), -cuda_lift(T));
    } else {
        constexpr int EACH = 4 / cuda_element_bytes(T);
#pragma unroll
        for (int i = 0; i < 4; i++) out[i] = cuda_element<T>::in_word(words[i / EACH], i % EACH);
    }
}

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
