/* Running sums and maxima over the threads of a block. CUB has them too, but reading its headers takes nvcc longer than all kernels
 * of a file. */
#ifndef LLOYD_KERNELS_CUDA_SORT_BLOCK_SCAN_CUH
#define LLOYD_KERNELS_CUDA_SORT_BLOCK_SCAN_CUH

namespace
{

/* A number of each warp, in shared memory. Threads that read it are waited for before it is used again. */
template <class T, int THREADS> struct block_space {
    static constexpr int WARPS = THREADS / 32;
    static_assert(THREADS % 32 == 0 && WARPS <= 32, "a warp has a lane for each of them");
    T of_warp[WARPS];
};

/* The running sum up to this lane's value, which is part of it. */
template <class T> __device__ inline T scan_warp(T value)
{
    const int lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
        const T left = __shfl_up_sync(0xffffffffu, value, step);
        if (lane >= step) value += left;
    }
    return value;
}

/* The sum of the values of the threads before this one; *all, if asked for, = that of all. By all threads. */
template <class T, int THREADS>
__device__ inline T scan_block(block_space<T, THREADS> &space, T value, T *all = nullptr)
{
    constexpr int WARPS = block_space<T, THREADS>::WARPS;
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    const T until = scan_warp(value);
    if (lane == 31) space.of_warp[warp] = until;
    __syncthreads();
    const T sums = scan_warp(lane < WARPS ? space.of_warp[lane] : 0);
    const T before = __shfl_sync(0xffffffffu, sums, warp > 0 ? warp - 1 : 0);
    if (all) *all = __shfl_sync(0xffffffffu, sums, WARPS - 1);
    return until - value + (warp > 0 ? before : 0);
}

template <class T> __device__ inline T most_of_warp(T value)
{
#pragma unroll
    for (int half = 16; half > 0; half /= 2) {
        const T other = __shfl_xor_sync(0xffffffffu, value, half);
        value = other > value ? other : value;
    }
    return value;
}

/* The greatest of the values, which are at least 0. By all threads. */
template <class T, int THREADS>
__device__ inline T most_of_block(block_space<T, THREADS> &space, T value)
{
    constexpr int WARPS = block_space<T, THREADS>::WARPS;
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    value = most_of_warp(value);
    if (lane == 0) space.of_warp[warp] = value;
    __syncthreads();
    return most_of_warp(lane < WARPS ? space.of_warp[lane] : 0);
}

} // namespace

#endif
