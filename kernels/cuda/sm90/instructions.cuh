/* The few instructions of Hopper that the fused kernels use, one function each: barriers in shared
 * memory, the bulk copy, and the warpgroup's matrix product of 64 rows with 128 or 256
 * centroids. (PTX ISA, sections on mbarrier, cp.async.bulk and wgmma.)
 */
#ifndef LLOYD_KERNELS_CUDA_SM90_INSTRUCTIONS_CUH
#define LLOYD_KERNELS_CUDA_SM90_INSTRUCTIONS_CUH

#include "kernels/cuda/async_copy.cuh"

/* --- barriers --- */

__device__ inline void sm90_barrier_init(uint64_t *barrier, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(cuda_shared_address(barrier)),
                 "r"(arrivals));
}

/* Barriers that were just initialised become visible to the copy engine. */
__device__ inline void sm90_barrier_fence()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async;" ::: "memory");
}

__device__ inline void sm90_arrive(uint64_t *barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(cuda_shared_address(barrier))
                 : "memory");
}

/* The same at the barrier of block `rank` of the cluster; orders nothing there (a release at the
 * scope of a cluster costs a thousand cycles), so only for memory that was read. */
__device__ inline void sm90_arrive_at(uint64_t *barrier, int rank)
{
    asm volatile("{\n"
                 ".reg .b32 remote;\n"
                 "mapa.shared::cluster.u32 remote, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [remote];\n"
                 "}" ::"r"(cuda_shared_address(barrier)),
                 "r"(rank)
                 : "memory");
}

__device__ inline int sm90_cluster_rank()
{
    int rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

__device__ inline void sm90_cluster_sync()
{
    asm volatile("barrier.cluster.arrive.release.aligned;\n"
                 "barrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
}

/* One arrival, and `bytes` that copies will bring. */
__device__ inline void sm90_expect(uint64_t *barrier, uint32_t bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                     cuda_shared_address(barrier)),
                 "r"(bytes)
                 : "memory");
}

/* Waits until the phase of this parity is over. */
__device__ inline void sm90_wait(uint64_t *barrier, uint32_t parity)
{
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again%=:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@done bra finished%=;\n"
                 "bra again%=;\n"
                 "finished%=:\n"
                 "}" ::"r"(cuda_shared_address(barrier)),
                 "r"(parity)
                 : "memory");
}

/* Named barriers between warpgroups: `threads` arrivals, of which sync waits and arrive does not. */
__device__ inline void sm90_named_sync(int id, int threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ inline void sm90_named_arrive(int id, int threads)
{
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* --- copies --- */

/* `bytes` (a multiple of 16) of global memory into shared memory; the barrier learns of it. */
__device__ inline void sm90_copy(void *shared, const void *global, uint32_t bytes,
                                 uint64_t *barrier)
{
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
            "r"(cuda_shared_address(shared)),
        "l"(global), "r"(bytes), "r"(cuda_shared_address(barrier))
        : "memory");
}

/* The same into the same place of all blocks of the cluster in `mask`, each of whose barriers
 * learns of it. */
__device__ inline void sm90_multicast(void *shared, const void *global, uint32_t bytes,
                                      uint64_t *barrier, uint16_t mask)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"
                 ".multicast::cluster [%0], [%1], %2, [%3], %4;" ::"r"(cuda_shared_address(shared)),
                 "l"(global), "r"(bytes), "r"(cuda_shared_address(barrier)), "h"(mask)
                 : "memory");
}

/* Asks for `bytes` at `data` in global memory, to whole pieces of 16 bytes, to be brought into the L2 cache. */
__device__ inline void sm90_prefetch(const void *data, int64_t bytes)
{
    const uintptr_t first = (uintptr_t)data & ~(uintptr_t)15;
    const uintptr_t end = ((uintptr_t)data + (uintptr_t)bytes) & ~(uintptr_t)15;
    if (end <= first) return;
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(first),
                 "r"((uint32_t)(end - first))
                 : "memory");
}

/* Ordinary stores to shared or global memory before it are seen by the copy engine after it. */
__device__ inline void sm90_proxy_fence()
{
    asm volatile("fence.proxy.async;" ::: "memory");
}

/* --- registers --- */

template <int COUNT> __device__ inline void sm90_more_registers()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(COUNT));
}

template <int COUNT> __device__ inline void sm90_fewer_registers()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COUNT));
}

/* --- matrix products --- */

/* Descriptor of an operand in core matrices (8 rows of 16 bytes): 128 bytes from one to its
 * neighbour along the columns, 256 along the rows, no swizzle. */
__device__ inline uint64_t sm90_descriptor(const void *shared)
{
    return (uint64_t)((cuda_shared_address(shared) & 0x3ffff) >> 4) | (uint64_t)(128 >> 4) << 16 |
           (uint64_t)(256 >> 4) << 32;
}

__device__ inline void sm90_product_fence()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ inline void sm90_product_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int PENDING> __device__ inline void sm90_product_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

/* The operands of a product's sums: their names, and 32 of them from one on. */
#define SM90_NAMES_32                                                                              \
    "%0, %1, %2, %3, %4, %5, %6, %7, "                                                             \
    "%8, %9, %10, %11, %12, %13, %14, %15, "                                                       \
    "%16, %17, %18, %19, %20, %21, %22, %23, "                                                     \
    "%24, %25, %26, %27, %28, %29, %30, %31"
#define SM90_NAMES_64                                                                              \
    SM90_NAMES_32 ", "                                                                             \
                  "%32, %33, %34, %35, %36, %37, %38, %39, "                                       \
                  "%40, %41, %42, %43, %44, %45, %46, %47, "                                       \
                  "%48, %49, %50, %51, %52, %53, %54, %55, "                                       \
                  "%56, %57, %58, %59, %60, %61, %62, %63"
#define SM90_NAMES_128                                                                             \
    SM90_NAMES_64 ", "                                                                             \
                  "%64, %65, %66, %67, %68, %69, %70, %71, "                                       \
                  "%72, %73, %74, %75, %76, %77, %78, %79, "                                       \
                  "%80, %81, %82, %83, %84, %85, %86, %87, "                                       \
                  "%88, %89, %90, %91, %92, %93, %94, %95, "                                       \
                  "%96, %97, %98, %99, %100, %101, %102, %103, "                                   \
                  "%104, %105, %106, %107, %108, %109, %110, %111, "                               \
                  "%112, %113, %114, %115, %116, %117, %118, %119, "                               \
                  "%120, %121, %122, %123, %124, %125, %126, %127"
#define SM90_SUMS_32(sum, from)                                                                    \
    "+f"((sum)[(from) + 0]), "+f"((sum)[(from) + 1]), "+f"((sum)[(from) + 2]),                     \
        "+f"((sum)[(from) + 3]), "+f"((sum)[(from) + 4]), "+f"((sum)[(from) + 5]),                 \
        "+f"((sum)[(from) + 6]), "+f"((sum)[(from) + 7]), "+f"((sum)[(from) + 8]),                 \
        "+f"((sum)[(from) + 9]), "+f"((sum)[(from) + 10]), "+f"((sum)[(from) + 11]),               \
        "+f"((sum)[(from) + 12]), "+f"((sum)[(from) + 13]), "+f"((sum)[(from) + 14]),              \
        "+f"((sum)[(from) + 15]), "+f"((sum)[(from) + 16]), "+f"((sum)[(from) + 17]),              \
        "+f"((sum)[(from) + 18]), "+f"((sum)[(from) + 19]), "+f"((sum)[(from) + 20]),              \
        "+f"((sum)[(from) + 21]), "+f"((sum)[(from) + 22]), "+f"((sum)[(from) + 23]),              \
        "+f"((sum)[(from) + 24]), "+f"((sum)[(from) + 25]), "+f"((sum)[(from) + 26]),              \
        "+f"((sum)[(from) + 27]), "+f"((sum)[(from) + 28]), "+f"((sum)[(from) + 29]),              \
        "+f"((sum)[(from) + 30]), "+f"((sum)[(from) + 31])
#define SM90_SUMS_64(sum, from) SM90_SUMS_32(sum, from), SM90_SUMS_32(sum, (from) + 32)

/* sum[WIDTH/2] (+)= 64 rows of 16 columns (registers `a`, or shared memory) times WIDTH centroids.
 */
template <int WIDTH>
__device__ inline void sm90_product(float *sum, const uint32_t a[4], uint64_t b, bool add);
template <int WIDTH>
__device__ inline void sm90_product(float *sum, uint64_t a, uint64_t b, bool add);

template <>
__device__ inline void sm90_product<64>(float *sum, const uint32_t a[4], uint64_t b, bool add)
{
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {" SM90_NAMES_32 "}, "
                 "{%32, %33, %34, %35}, %36, p, 1, 1, 0;\n"
                 "}"
                 : SM90_SUMS_32(sum, 0)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)add));
}

template <>
__device__ inline void sm90_product<128>(float *sum, const uint32_t a[4], uint64_t b, bool add)
{
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {" SM90_NAMES_64 "}, "
                 "{%64, %65, %66, %67}, %68, p, 1, 1, 0;\n"
                 "}"
                 : SM90_SUMS_64(sum, 0)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)add));
}

template <> __device__ inline void sm90_product<256>(float *sum, uint64_t a, uint64_t b, bool add)
{
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 {" SM90_NAMES_128 "}, "
                 "%128, %129, p, 1, 1, 0, 0;\n"
                 "}"
                 : SM90_SUMS_64(sum, 0), SM90_SUMS_64(sum, 64)
                 : "l"(a), "l"(b), "r"((int)add));
}

#endif
