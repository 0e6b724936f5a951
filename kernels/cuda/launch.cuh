/* How kernels are launched: beside the end of the one before, and what the last block of a grid does. */
#ifndef LLOYD_KERNELS_CUDA_LAUNCH_CUH
#define LLOYD_KERNELS_CUDA_LAUNCH_CUH

#include "kernels/cuda/memory/memory.h"

static inline int64_t cuda_divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Many kernels of an iteration are short, so one may be brought onto the multiprocessors while the
 * one before it on the stream still runs (programmatic dependent launch, on compute capability 9.0):
 * launched by cuda_launch_after(), a kernel first of all calls cuda_await(), which returns when
 * everything before it is done and seen, and lets the next kernel come. Launched in the usual way it
 * starts then anyway. */
__device__ inline void cuda_await()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/* Whether a block is the last of its grid to come here; it then sees what all others wrote before. For
 * all threads of a block. *ended is 0 before, and that block's to set to 0 again. */
static __device__ inline bool cuda_ends_last(uint32_t *ended)
{
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicAdd(ended, 1) == gridDim.x - 1;
    __syncthreads();
    if (!last) return false;
    __threadfence();
    return true;
}

/* Whether kernels are compiled for compute capability 9.0 itself: in code for an older one, which the
 * driver has translated for a newer GPU, cuda_await() waits for nothing. */
static constexpr bool cuda_compiled_for_90()
{
    for (int architecture : {__CUDA_ARCH_LIST__}) {
        if (architecture == 900) return true;
    }
    return false;
}

/* Lets blocks of a kernel have so many bytes of dynamic shared memory on the current device. */
lloyd_status lloyd_cuda_allow_shared(const void *kernel, int bytes, const char *what);

/* Launches a kernel that begins with cuda_await(), on a GPU of this compute capability. */
template <class... Parameters, class... Arguments>
static inline lloyd_status cuda_launch_after(cudaStream_t stream, int capability,
                                             void (*kernel)(Parameters...), int64_t blocks,
                                             int threads, size_t shared, const char *what,
                                             const Arguments &...arguments)
{
    cudaLaunchAttribute early = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3((unsigned)blocks);
    config.blockDim = dim3((unsigned)threads);
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    config.attrs = &early;
    config.numAttrs = cuda_compiled_for_90() && capability == 90 ? 1 : 0;
    return lloyd_cuda_check(cudaLaunchKernelEx(&config, kernel, arguments...), what);
}

#endif
