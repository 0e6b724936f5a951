/* FlashAssign for Hopper: nearest and second-nearest centroid of every row, no N x K matrix
 * anywhere (after Flash-KMeans, arXiv 2603.09229, section 4; the design of the kernel is our own).
 *
 * A block keeps one tile of rows at a time, as fragments in the registers of its math warpgroups (64
 * rows each), and streams the centroids' image past them: one thread copies tile after tile into a
 * ring of stages. The warpgroups take turns: one hands over the tensor cores when all but its last
 * product have completed, so its top-2 runs beside the next one's products. The same kernel verifies:
 * its rows then come from a list, and instead of top-2 it keeps the centroids that reach a threshold.
 */
#include "kernels/cuda/flash_assign.cuh"
#include "kernels/cuda/flash_launch.h"
#include "kernels/cuda/sm90.cuh"

namespace {

enum { WARPGROUP = 128, GROUP_ROWS = 64 };

/* The shape of a block. REGISTERS of a thread at launch; then those of math and copy threads. */
template <int STEPS_, int WIDTH_, int STAGES_, int GROUPS_> struct shape {
    static constexpr int STEPS = STEPS_, WIDTH = WIDTH_, STAGES = STAGES_, GROUPS = GROUPS_;
    static constexpr int ROWS = GROUPS * GROUP_ROWS, THREADS = (GROUPS + 1) * WARPGROUP;
    static constexpr int TILE_BYTES = flash_tile_bytes(STEPS, WIDTH);
    static constexpr int OFFSETS = STAGES * TILE_BYTES;
    static constexpr int BARRIERS = OFFSETS + STEPS * FLASH_STEP * 4;
    static constexpr int SHARED = BARRIERS + 2 * STAGES * 8;
    static constexpr int MATH = GROUPS == 4 ? 112 : GROUPS == 3 ? 160 : 240;
    static constexpr int COPY = GROUPS == 2 ? 24 : 32;
    static_assert(SHARED <= 227 * 1024, "more shared memory than a block has");
    static_assert(WIDTH <= 256, "six bits number the columns of a thread");
};

/* Which tiles a block works on: rows `item / parts`, centroid tiles [first, last). */
struct work {
    int items, parts;
    __device__ work(const flash_params &p, int rows, bool verify)
    {
        int count = verify ? p.lists.counters[FLASH_LISTED] : p.count;
        int tiles = (count + rows - 1) / rows;
        parts = verify ? flash_parts(tiles, p.tiles, gridDim.x) : 1;
        items = tiles * parts;
    }
    __device__ int first(const flash_params &p, int item) const
    {
        return (int)((int64_t)p.tiles * (item % parts) / parts);
    }
    __device__ int last(const flash_params &p, int item) const
    {
        return (int)((int64_t)p.tiles * (item % parts + 1) / parts);
    }
};

/* Rows of the next tile, into the L2 cache while this one is worked on. */
template <class S> __device__ void prefetch_rows(const flash_params &p, const work &w, int item)
{
    if (item >= w.items) return;
    int64_t row_bytes = p.rows.dim * (p.rows.type == LLOYD_F32                                ? 4
                                      : p.rows.type == LLOYD_F16 || p.rows.type == LLOYD_BF16 ? 2
                                                                                              : 1);
    int64_t first = (int64_t)item * S::ROWS, left = p.count - first;
    int64_t bytes = (left < S::ROWS ? left : S::ROWS) * row_bytes;
    if (bytes >= 16) {
        sm90_prefetch(p.rows.data + (p.begin + first) * row_bytes, (uint32_t)(bytes & ~15));
    }
}

template <class S, bool VERIFY>
__device__ void copy_tiles(const flash_params &p, const work &w, uint8_t *stages, uint64_t *full,
                           uint64_t *empty)
{
    int at = 0;
    uint32_t parity = 1; /* all stages are empty */
    for (int item = blockIdx.x; item < w.items; item += gridDim.x) {
        if (!VERIFY && p.vector) prefetch_rows<S>(p, w, item + gridDim.x);
        for (int tile = w.first(p, item); tile < w.last(p, item); tile++) {
            sm90_wait(&empty[at], parity);
            sm90_expect(&full[at], S::TILE_BYTES);
            sm90_copy(stages + at * S::TILE_BYTES, p.image + (int64_t)tile * S::TILE_BYTES,
                      S::TILE_BYTES, &full[at]);
            if (++at == S::STAGES) at = 0, parity ^= 1;
        }
    }
}

/* All products of a tile. In two groups: when the first has completed it is the next warpgroup's
 * turn. */
template <class S>
__device__ inline void multiply(float *sum, uint32_t (*fragment)[4], const uint32_t slab[2],
                                const uint8_t *stage, int turn, int next)
{
    uint64_t b = sm90_descriptor(stage);
    constexpr uint64_t STEP = S::WIDTH * FLASH_STEP * 2 >> 4;
    const uint32_t last[4] = {slab[0], slab[1], 0, 0};
    sm90_named_sync(turn, 2 * WARPGROUP);
    sm90_product_fence();
#pragma unroll
    for (int step = 0; step < S::STEPS; step++)
        sm90_product<S::WIDTH>(sum, fragment[step], b + step * STEP, step > 0);
    sm90_product_commit();
    sm90_product<S::WIDTH>(sum, last, b + S::STEPS * STEP, true);
    sm90_product_commit();
    sm90_product_wait<1>();
    sm90_named_arrive(next, 2 * WARPGROUP);
    sm90_product_wait<0>();
}

template <class S, bool VERIFY>
__device__ void label_rows(const flash_params &p, const work &w, uint8_t *stages,
                           const float *offset, uint64_t *full, uint64_t *empty)
{
    const int group = threadIdx.x / WARPGROUP, lane = threadIdx.x % 32, t = lane % 4;
    const int turn = 1 + group, next = 1 + (group + 1) % S::GROUPS;
    const int row_in_tile = group * GROUP_ROWS + threadIdx.x % WARPGROUP / 32 * 16 + lane / 4;
    const int listed = VERIFY ? p.lists.counters[FLASH_LISTED] : p.count;
    uint32_t fragment[S::STEPS][4], slab[2];
    unsigned moved = 0;
    int at = 0;
    uint32_t parity = 0;

    if (group == S::GROUPS - 1) sm90_named_arrive(1, 2 * WARPGROUP); /* the first turn */
    for (int item = blockIdx.x; item < w.items; item += gridDim.x) {
        int64_t row[2];
        int place[2];
        bool exists[2];
        __half2 norms[2];
        float threshold[2];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            place[h] = item / w.parts * S::ROWS + row_in_tile + 8 * h;
            exists[h] = place[h] < listed;
            row[h] = !exists[h] ? 0 : VERIFY ? p.lists.row[place[h]] : p.begin + place[h];
            norms[h] = exists[h] ? p.norms[row[h]] : __half2half2(__ushort_as_half(0));
            threshold[h] = VERIFY && exists[h] ? p.lists.threshold[place[h]] : INFINITY;
        }
        flash_load_fragments<S::STEPS>(p, row, exists, offset, t, fragment);
        flash_slab_fragment(norms, t, slab);

        flash_top2 top[2] = {};
        for (int tile = w.first(p, item); tile < w.last(p, item); tile++) {
            float sum[S::WIDTH / 2];
            sm90_wait(&full[at], parity);
            multiply<S>(sum, fragment, slab, stages + at * S::TILE_BYTES, turn, next);
            if (threadIdx.x % WARPGROUP == 0) sm90_arrive(&empty[at]);
            if (++at == S::STAGES) at = 0, parity ^= 1;
            if (VERIFY)
                flash_keep_candidates<S::WIDTH>(p, sum, tile, t, threshold, place);
            else
                flash_keep_top2<S::WIDTH>(sum, p.shift, tile, top);
        }
        if (!VERIFY) flash_settle<S::WIDTH>(p, top, row, exists, norms, lane, moved);
    }
    if (!VERIFY) {
        moved = __reduce_add_sync(0xffffffffu, moved);
        if (lane == 0 && moved > 0) atomicAdd(p.moved, (unsigned long long)moved);
    }
}

template <class S, bool VERIFY>
__global__ void __launch_bounds__(S::THREADS, 1)
    flash_assign(const __grid_constant__ flash_params p)
{
    extern __shared__ __align__(128) uint8_t shared[];
    float *offset = (float *)(shared + S::OFFSETS);
    uint64_t *full = (uint64_t *)(shared + S::BARRIERS), *empty = full + S::STAGES;
    if (threadIdx.x == 0) {
        for (int i = 0; i < S::STAGES; i++) {
            sm90_barrier_init(&full[i], 1);
            sm90_barrier_init(&empty[i], S::GROUPS);
        }
        sm90_barrier_fence();
    }
    for (int j = threadIdx.x; j < S::STEPS * FLASH_STEP; j += S::THREADS) offset[j] = p.offset[j];
    __syncthreads();
    const work w(p, S::ROWS, VERIFY);
    if (threadIdx.x / WARPGROUP == S::GROUPS) {
        sm90_fewer_registers<S::COPY>();
        if (threadIdx.x % WARPGROUP == 0) copy_tiles<S, VERIFY>(p, w, shared, full, empty);
    } else {
        sm90_more_registers<S::MATH>();
        label_rows<S, VERIFY>(p, w, shared, offset, full, empty);
    }
}

template <class S> lloyd_status launch(const flash_params &p, bool verify, int blocks,
                                       cudaStream_t stream)
{
    auto kernel = verify ? flash_assign<S, true> : flash_assign<S, false>;
    CUDA_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::SHARED),
             "preparing the assignment kernel");
    kernel<<<blocks, S::THREADS, S::SHARED, stream>>>(p);
    CUDA_LAUNCHED("starting the assignment kernel");
    return LLOYD_OK;
}

} // namespace

lloyd_status lloyd_flash_sm90(const flash_params &p, int width, bool verify, int blocks,
                              cudaStream_t stream)
{
    switch (p.steps * 1000 + width) {
    case 1128: return launch<shape<1, 128, 8, 4>>(p, verify, blocks, stream);
    case 2128: return launch<shape<2, 128, 6, 4>>(p, verify, blocks, stream);
    case 4128: return launch<shape<4, 128, 5, 4>>(p, verify, blocks, stream);
    case 6128: return launch<shape<6, 128, 6, 3>>(p, verify, blocks, stream);
    case 6192: return launch<shape<6, 192, 4, 3>>(p, verify, blocks, stream);
    case 8128: return launch<shape<8, 128, 5, 3>>(p, verify, blocks, stream);
    case 8192: return launch<shape<8, 192, 3, 3>>(p, verify, blocks, stream);
    case 12128: return launch<shape<12, 128, 4, 3>>(p, verify, blocks, stream);
    case 16128: return launch<shape<16, 128, 3, 2>>(p, verify, blocks, stream);
    }
    return lloyd_fail(LLOYD_FAILED, "no assignment kernel for %d steps and %d centroids", p.steps,
                      width);
}
