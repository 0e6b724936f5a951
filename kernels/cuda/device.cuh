/* What device code of several files shares: rows as the algorithm sees them, and dist() by a warp.
 */
#ifndef LLOYD_KERNELS_CUDA_DEVICE_CUH
#define LLOYD_KERNELS_CUDA_DEVICE_CUH

#include "kernels/cuda/cuda.h"

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

/* The rows of a slot, passed to kernels by value. */
struct cuda_rows {
    const char *data;      /* [count*D] */
    const double *lengths; /* [count], NULL unless cosine */
    const float *weights;  /* [count], NULL without */
    int64_t count, dim;
    lloyd_type type;
};

static inline cuda_rows lloyd_cuda_slot_rows(const cuda_kernels *cuda, int slot)
{
    const cuda_slot *s = &cuda->slots[slot];
    return {s->rows,
            cuda->lengths ? cuda->lengths + s->first : nullptr,
            cuda->weights ? cuda->weights + s->first : nullptr,
            s->count,
            cuda->base.config.dim,
            cuda->base.config.type};
}

/* Element j of row i: float32, of a row of unit length for cosine. */
template <lloyd_type T>
__device__ inline float cuda_value(const cuda_rows &rows, int64_t i, int64_t j)
{
    using element = cuda_element<T>;
    const auto *data = reinterpret_cast<const typename element::type *>(rows.data);
    float x = element::value(data[i * rows.dim + j]);
    return rows.lengths ? lloyd_normalised(x, rows.lengths[i]) : x;
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

/* The tree of dist() over the 32 partial sums of a warp's lanes; the result is in every lane. */
__device__ inline double cuda_warp_tree(double p)
{
    for (int half = LLOYD_LANES / 2; half > 0; half /= 2)
        p = lloyd_add(p, __shfl_down_sync(0xffffffffu, p, half));
    return __shfl_sync(0xffffffffu, p, 0);
}

/* dist() of row i to a centroid, by a whole warp: lane l has partial sum l. In every lane. */
template <lloyd_type T>
__device__ inline double cuda_warp_dist(const cuda_rows &rows, int64_t i, const float *centroid,
                                        int lane)
{
    double p = 0;
    for (int64_t j = lane; j < rows.dim; j += LLOYD_LANES) {
        double t = lloyd_add((double)cuda_value<T>(rows, i, j), -(double)centroid[j]);
        p = __fma_rn(t, t, p);
    }
    return cuda_warp_tree(p);
}

static inline int64_t cuda_divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

#endif
