/* Hopper's matrix product of 8-bit integers, and the copy of a box of a tensor (PTX ISA, sections on wgmma and cp.async.bulk.tensor). */
#ifndef LLOYD_KERNELS_CUDA_SM90_INT8_CUH
#define LLOYD_KERNELS_CUDA_SM90_INT8_CUH

#include "kernels/cuda/sm90/instructions.cuh"

#include <cuda.h>

/* A box of the tensor from (column, row) on into shared memory; what lies outside of the tensor is zero, and counted. */
__device__ inline void sm90_copy_box(void *shared, const CUtensorMap *map, int column, int row,
                                     uint64_t *barrier)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3}], [%4];" ::"r"(cuda_shared_address(shared)),
                 "l"(map), "r"(column), "r"(row), "r"(cuda_shared_address(barrier))
                 : "memory");
}

/* Descriptor of rows of 128 bytes, 8 of which are 1024 bytes with their pieces of 16 bytes permuted (swizzle of 128 bytes). */
__device__ inline uint64_t sm90_swizzled_descriptor(const void *shared)
{
    return (uint64_t)((cuda_shared_address(shared) & 0x3ffff) >> 4) | (uint64_t)1 << 16 |
           (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

#define INT8_SUMS_8(sum, from)                                                                     \
    "+r"((sum)[(from) + 0]), "+r"((sum)[(from) + 1]), "+r"((sum)[(from) + 2]),                     \
        "+r"((sum)[(from) + 3]), "+r"((sum)[(from) + 4]), "+r"((sum)[(from) + 5]),                 \
        "+r"((sum)[(from) + 6]), "+r"((sum)[(from) + 7])
#define INT8_SUMS_64(sum)                                                                          \
    INT8_SUMS_8(sum, 0), INT8_SUMS_8(sum, 8), INT8_SUMS_8(sum, 16), INT8_SUMS_8(sum, 24),          \
        INT8_SUMS_8(sum, 32), INT8_SUMS_8(sum, 40), INT8_SUMS_8(sum, 48), INT8_SUMS_8(sum, 56)

/* Four matrices of 8 rows of 16 bytes, of which lanes 8 i .. 8 i + 7 give the rows of the i-th. */
__device__ inline void sm90_load_matrices(const void *row, uint32_t out[4])
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(cuda_shared_address(row))
                 : "memory");
}

/* sum[64] (+)= 64 rows of 32 codes times 128 centroids, exactly; the rows in registers or in shared memory. */
template <bool UNSIGNED>
__device__ inline void sm90_int8_product(int32_t *sum, const uint32_t a[4], uint64_t b, bool add)
{
    if constexpr (UNSIGNED)
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n128k32.s32.u8.s8 {" SM90_NAMES_64
                     "}, {%64, %65, %66, %67}, %68, p;\n}"
                     : INT8_SUMS_64(sum)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)add));
    else
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {" SM90_NAMES_64
                     "}, {%64, %65, %66, %67}, %68, p;\n}"
                     : INT8_SUMS_64(sum)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)add));
}

template <bool UNSIGNED>
__device__ inline void sm90_int8_product(int32_t *sum, uint64_t a, uint64_t b, bool add)
{
    if constexpr (UNSIGNED)
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n128k32.s32.u8.s8 {" SM90_NAMES_64
                     "}, %64, %65, p;\n}"
                     : INT8_SUMS_64(sum)
                     : "l"(a), "l"(b), "r"((int)add));
    else
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {" SM90_NAMES_64
                     "}, %64, %65, p;\n}"
                     : INT8_SUMS_64(sum)
                     : "l"(a), "l"(b), "r"((int)add));
}

/* Waits for all products but the latest PENDING groups; the sums are not read before. */
template <int PENDING> __device__ inline void sm90_int8_wait(int32_t *sum)
{
    asm volatile("wgmma.wait_group.sync.aligned %64;"
                 : INT8_SUMS_64(sum)
                 : "n"(PENDING)
                 : "memory");
}

#endif
