/* FlashAssign for Hopper where all centroids fit the shared memory of a multiprocessor.
 *
 * Then there is nothing to stream and nobody to wait for: every warpgroup takes 64 rows at a time,
 * reads them straight into fragments, multiplies, keeps the top-2 and settles, while the others hide
 * its latencies. For few clusters the rows themselves are most of the work, and the pipeline of
 * flash_assign_sm90.cu would only add to it. The same kernel verifies listed rows.
 */
#include "kernels/cuda/flash_assign.cuh"
#include "kernels/cuda/flash_launch.h"
#include "kernels/cuda/sm90.cuh"

namespace
{

constexpr int WARPGROUP = 128, GROUP_ROWS = 64, WIDTH = 128;

template <int STEPS_, int GROUPS_> struct shape {
    static constexpr int STEPS = STEPS_, GROUPS = GROUPS_, THREADS = GROUPS * WARPGROUP;
    static constexpr int TILE_BYTES = flash_tile_bytes(STEPS + 1, WIDTH);
    static constexpr int OFFSETS = STEPS * FLASH_STEP * 4; /* bytes, behind the image */
};

/* The rows of a thread's quad in its warpgroup's piece, and what is known of them. */
struct row_pair {
    int32_t row[2];
    int place[2];
    __half2 norms[2];
    float threshold[2];
    int32_t previous;
};

template <bool VERIFY>
__device__ inline row_pair find_rows(const flash_params &p, int count, int first, int t)
{
    row_pair r;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        r.place[h] = first + 8 * h;
        bool exists = r.place[h] < count;
        r.row[h] = !exists  ? -1
                   : VERIFY ? p.lists.row[r.place[h]]
                            : (int32_t)(p.begin + r.place[h]);
        r.norms[h] = exists ? p.norms[r.row[h]] : __half2half2(__ushort_as_half(0));
        r.threshold[h] = VERIFY && exists ? p.lists.threshold[r.place[h]] : FLASH_NEVER;
    }
    r.previous = !VERIFY && flash_owns(t, r.row) ? p.labels[t ? r.row[1] : r.row[0]] : -1;
    return r;
}

template <int STEPS, lloyd_type T, bool VECTOR>
__device__ inline void load_rows(const flash_params &p, const row_pair &r, const float *offset,
                                 int t, uint32_t (*fragment)[4])
{
    float sigma = *p.sigma;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        bool exists = r.row[h] >= 0;
        int64_t row = exists ? r.row[h] : 0;
        float scale = exists ? flash_row_scale(p.rows, row, sigma) : sigma;
        flash_load_row<STEPS, T, VECTOR>(p.rows, row, exists, scale, offset, t, h, fragment);
    }
}

template <int STEPS>
__device__ inline void load_fragments(const flash_params &p, const row_pair &r, const float *offset,
                                      int t, uint32_t (*fragment)[4])
{
    switch (p.rows.type * 2 + (p.vector ? 1 : 0)) {
    case LLOYD_F32 * 2: load_rows<STEPS, LLOYD_F32, false>(p, r, offset, t, fragment); break;
    case LLOYD_F32 * 2 + 1: load_rows<STEPS, LLOYD_F32, true>(p, r, offset, t, fragment); break;
    case LLOYD_F16 * 2: load_rows<STEPS, LLOYD_F16, false>(p, r, offset, t, fragment); break;
    case LLOYD_F16 * 2 + 1: load_rows<STEPS, LLOYD_F16, true>(p, r, offset, t, fragment); break;
    case LLOYD_BF16 * 2: load_rows<STEPS, LLOYD_BF16, false>(p, r, offset, t, fragment); break;
    case LLOYD_BF16 * 2 + 1: load_rows<STEPS, LLOYD_BF16, true>(p, r, offset, t, fragment); break;
    case LLOYD_U8 * 2: load_rows<STEPS, LLOYD_U8, false>(p, r, offset, t, fragment); break;
    case LLOYD_U8 * 2 + 1: load_rows<STEPS, LLOYD_U8, true>(p, r, offset, t, fragment); break;
    case LLOYD_I8 * 2: load_rows<STEPS, LLOYD_I8, false>(p, r, offset, t, fragment); break;
    case LLOYD_I8 * 2 + 1: load_rows<STEPS, LLOYD_I8, true>(p, r, offset, t, fragment); break;
    }
}

template <class S>
__device__ inline void multiply(float *sum, uint32_t (*fragment)[4], const uint32_t slab[2],
                                const uint8_t *tile)
{
    uint64_t b = sm90_descriptor(tile);
    constexpr uint64_t STEP = WIDTH * FLASH_STEP * 2 >> 4;
    const uint32_t last[4] = {slab[0], slab[1], 0, 0};
    sm90_product_fence();
#pragma unroll
    for (int step = 0; step < S::STEPS; step++)
        sm90_product<WIDTH>(sum, fragment[step], b + step * STEP, step > 0);
    sm90_product<WIDTH>(sum, last, b + S::STEPS * STEP, true);
    sm90_product_commit();
    sm90_product_wait<0>();
}

template <class S, bool VERIFY>
__device__ void label_rows(const flash_params &p, const uint8_t *image, const float *offset)
{
    const int group = threadIdx.x / WARPGROUP, lane = threadIdx.x % 32, t = lane % 4;
    const int row_in_piece = threadIdx.x % WARPGROUP / 32 * 16 + lane / 4;
    const int count = VERIFY ? p.lists.counters[FLASH_LISTED] : p.count;
    const int pieces = (count + GROUP_ROWS - 1) / GROUP_ROWS;
    const int room = VERIFY ? flash_room(p.lists) : 0;
    unsigned moved = 0;
    for (int piece = blockIdx.x + group * gridDim.x; piece < pieces;
         piece += gridDim.x * S::GROUPS) {
        uint32_t fragment[S::STEPS][4], slab[2];
        const row_pair r = find_rows<VERIFY>(p, count, piece * GROUP_ROWS + row_in_piece, t);
        load_fragments<S::STEPS>(p, r, offset, t, fragment);
        flash_slab_fragment(r.norms, t, slab);
        flash_top2 top[2] = {};
        for (int tile = 0; tile < p.tiles; tile++) {
            float sum[WIDTH / 2];
            multiply<S>(sum, fragment, slab, image + tile * S::TILE_BYTES);
            if (VERIFY)
                flash_keep_candidates<WIDTH>(p, room, sum, tile, t, r.threshold, r.place);
            else
                flash_keep_top2<WIDTH>(sum, p.shift, tile, top);
        }
        if (!VERIFY) {
            flash_settle<WIDTH>(p, top, r.row, r.norms, r.previous, lane, moved,
                                flash_global_list{p});
        }
    }
    if (VERIFY) return;
    moved = __reduce_add_sync(0xffffffffu, moved);
    if (lane == 0 && moved > 0) atomicAdd(p.moved, (unsigned long long)moved);
}

template <class S, bool VERIFY>
__global__ void __launch_bounds__(S::THREADS, 1)
    flash_resident(const __grid_constant__ flash_params p)
{
    extern __shared__ __align__(128) uint8_t shared[];
    const int image_bytes = p.tiles * S::TILE_BYTES;
    float *offset = (float *)(shared + image_bytes);
    uint64_t *arrived = (uint64_t *)(shared + image_bytes + S::OFFSETS);
    if (VERIFY && p.lists.counters[FLASH_LISTED] <= (int)blockIdx.x * GROUP_ROWS) return;
    if (threadIdx.x == 0) {
        sm90_barrier_init(arrived, 1);
        sm90_barrier_fence();
        sm90_expect(arrived, (uint32_t)image_bytes);
        for (int tile = 0; tile < p.tiles; tile++) {
            sm90_copy(shared + tile * S::TILE_BYTES, p.image + tile * S::TILE_BYTES, S::TILE_BYTES,
                      arrived);
        }
    }
    for (int j = threadIdx.x; j < S::STEPS * FLASH_STEP; j += S::THREADS) offset[j] = p.offset[j];
    __syncthreads();
    sm90_wait(arrived, 0);
    label_rows<S, VERIFY>(p, shared, offset);
}

template <class S>
lloyd_status launch(const flash_params &p, bool verify, int blocks, cudaStream_t stream)
{
    auto kernel = verify ? flash_resident<S, true> : flash_resident<S, false>;
    const int bytes = p.tiles * S::TILE_BYTES + S::OFFSETS + 8;
    CUDA_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
             "preparing the assignment kernel");
    kernel<<<blocks, S::THREADS, bytes, stream>>>(p);
    CUDA_LAUNCHED("starting the assignment kernel");
    return LLOYD_OK;
}

} // namespace

lloyd_status lloyd_flash_resident_sm90(const flash_params &p, bool verify, int blocks,
                                       cudaStream_t stream)
{
    switch (p.steps) {
    case 1: return launch<shape<1, 4>>(p, verify, blocks, stream);
    case 2: return launch<shape<2, 4>>(p, verify, blocks, stream);
    case 4: return launch<shape<4, 4>>(p, verify, blocks, stream);
    case 6: return launch<shape<6, 3>>(p, verify, blocks, stream);
    case 8: return launch<shape<8, 3>>(p, verify, blocks, stream);
    }
    return lloyd_fail(LLOYD_FAILED, "no resident assignment kernel for %d steps", p.steps);
}
