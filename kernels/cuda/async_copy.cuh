/* Asynchronous copies of a few bytes from global to shared memory, by each thread for itself (PTX ISA, cp.async). */
#ifndef LLOYD_KERNELS_CUDA_ASYNC_COPY_CUH
#define LLOYD_KERNELS_CUDA_ASYNC_COPY_CUH

#include <cstdint>

/* The address of shared memory that instructions take. */
__device__ inline uint32_t cuda_shared_address(const void *pointer)
{
    return (uint32_t)__cvta_generic_to_shared(pointer);
}

/* Starts the copy of BYTES (4, 8 or 16, and aligned so) to this address; 16 bytes pass by the L1 cache. */
template <int BYTES> __device__ inline void cuda_copy_async(uint32_t to, const void *from)
{
    if constexpr (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(to), "l"(from), "n"(BYTES)
                     : "memory");
}

template <int BYTES> __device__ inline void cuda_copy_async(void *to, const void *from)
{
    cuda_copy_async<BYTES>(cuda_shared_address(to), from);
}

/* The same, or zeros where there is nothing to copy. */
template <int BYTES>
__device__ inline void cuda_copy_async_or_zero(void *to, const void *from, bool there)
{
    if constexpr (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(cuda_shared_address(to)),
                     "l"(from), "r"(there ? 16 : 0)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(cuda_shared_address(to)),
                     "l"(from), "n"(BYTES), "r"(there ? BYTES : 0)
                     : "memory");
}

/* Copies started since the last commit become a group. */
__device__ inline void cuda_copy_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits for all groups but the latest PENDING. */
template <int PENDING> __device__ inline void cuda_copy_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

/* Waits for all copies, whether or not they were committed. */
__device__ inline void cuda_copy_wait_all()
{
    asm volatile("cp.async.wait_all;" ::: "memory");
}

#endif
