/* FlashAssign for any GPU from compute capability 8.0 on, any number of columns.
 *
 * A block has eight warps with 16 rows each, which read the same tile of centroids: in slices of four
 * k-steps, copied one ahead of the products. No two warps share a row, so a thread makes its own
 * fragments. Where there is room it keeps those of all k-steps in shared memory, once per tile of
 * rows; else it makes them anew for every tile of centroids, and the cache brings the rows. Two such
 * blocks share a multiprocessor where they can: one multiplies while the other reads or compares.
 * The same kernel finds the candidates of listed rows.
 */
#include "kernels/cuda/assign/fallback.cuh"
#include "kernels/cuda/assign/registry.h"
#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/launch.cuh"

#include <algorithm>

namespace
{

enum {
    WIDTH = 128,
    WARPS = 8,
    THREADS = WARPS * 32,
    WARP_ROWS = 16,
    ROWS = WARPS * WARP_ROWS,
    SLICE = 4,                     /* steps of a slice; the tile's last one has the biases' too */
    STEP = WIDTH * FLASH_STEP * 2, /* bytes of a step of a tile */
    KEPT = THREADS * 16,           /* and of a step of the rows' fragments */
    STAGE = (SLICE + 1) * STEP,
    STAGES = 2,
    SHARED = STAGES * STAGE,
    MOST_SHARED = 96 * 1024 /* every such GPU has as much */
};
static_assert(STEP == THREADS * 16, "each thread copies 16 bytes of a step");

/* --- instructions --- */

/* Four core matrices, 512 bytes from `at`: both halves of a step, for 16 centroids. */
__device__ inline void load_matrices(uint32_t at, int lane, uint32_t b[4])
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
                 : "r"(at + lane * 16)
                 : "memory");
}

__device__ inline void product(float sum[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* --- work --- */

__device__ int slice_count(const flash_params &p)
{
    return (p.steps + SLICE - 1) / SLICE;
}

/* Steps of a slice, without the biases'. */
__device__ int slice_steps(const flash_params &p, int slice)
{
    int left = p.steps - slice * SLICE;
    return left < SLICE ? left : SLICE;
}

/* Starts copying a slice of a tile of centroids. All threads of the block. */
__device__ void copy_slice(const flash_params &p, int tile, int slice, uint8_t *stage)
{
    int steps = slice_steps(p, slice) + (slice == slice_count(p) - 1);
    const uint8_t *from = p.image + (int64_t)tile * flash_tile_bytes(p.steps + 1, WIDTH) +
                          (int64_t)slice * SLICE * STEP + threadIdx.x * 16;
    uint32_t to = cuda_shared_address(stage) + threadIdx.x * 16;
#pragma unroll
    for (int step = 0; step <= SLICE; step++)
        if (step < steps) cuda_copy_async<16>(to + step * STEP, from + step * STEP);
}

/* The slice that the block needs after this one, if there is any. */
__device__ void copy_next(const flash_params &p, const flash_work &w, int item, int tile, int slice,
                          uint8_t *stage)
{
    if (++slice == slice_count(p)) {
        slice = 0;
        if (++tile == w.last(p, item)) {
            item += (int)gridDim.x;
            tile = w.first(p, item);
        }
    }
    if (item < w.items) copy_slice(p, tile, slice, stage);
}

/* --- fragments --- */

/* What a thread knows of its two rows. Beyond the last row there is the last row once more. */
struct row_pair {
    int64_t row[2]; /* of the slot */
    float scale[2];
    __half2 norms[2];
};

template <bool FALLBACK>
__device__ inline int64_t row_at(const flash_params &p, const flash_work &w, int place)
{
    int at = min(place, w.count - 1);
    return FALLBACK ? p.lists.row[at] : p.begin + at;
}

template <bool FALLBACK>
__device__ inline row_pair pair_at(const flash_params &p, const flash_work &w, const int place[2])
{
    row_pair r;
    float sigma = p.units->sigma;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        r.row[h] = row_at<FALLBACK>(p, w, place[h]);
        r.scale[h] = flash_row_scale(p.rows, r.row[h], sigma);
        r.norms[h] = p.norms[r.row[h]];
    }
    return r;
}

/* The fragments of slice `slice`, of COUNT steps. The columns of a slice are permuted among themselves,
 * so it is loaded like a short row. */
template <lloyd_type T, bool VECTOR, int COUNT>
__device__ inline void load_typed(const flash_params &p, const row_pair &r, int slice, int t,
                                  uint32_t (*fragment)[4])
{
    static_assert(SLICE % flash_group(T, VECTOR) == 0, "a slice is a whole number of groups");
    using element = typename cuda_element<T>::type;
    const int first = slice * SLICE * FLASH_STEP;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        cuda_rows part = {};
        part.lengths = p.rows.lengths; /* that there are any */
        part.data = p.rows.data + (r.row[h] * p.rows.dim + first) * (int64_t)sizeof(element);
        part.dim = p.rows.dim - first;
        flash_load_row<COUNT, T, VECTOR>(part, 0, true, r.scale[h], p.offset + first, t, h,
                                         fragment);
    }
}

template <int COUNT>
__device__ inline void load_steps(const flash_params &p, const row_pair &r, int slice, int t,
                                  uint32_t (*fragment)[4])
{
#define FLASH_LOAD(T)                                                                              \
    if (p.vector)                                                                                  \
        load_typed<T, true, COUNT>(p, r, slice, t, fragment);                                      \
    else                                                                                           \
        load_typed<T, false, COUNT>(p, r, slice, t, fragment)
    switch (p.rows.type) {
    case LLOYD_F32: FLASH_LOAD(LLOYD_F32); break;
    case LLOYD_F16: FLASH_LOAD(LLOYD_F16); break;
    case LLOYD_BF16: FLASH_LOAD(LLOYD_BF16); break;
    case LLOYD_U8: FLASH_LOAD(LLOYD_U8); break;
    case LLOYD_I8: FLASH_LOAD(LLOYD_I8); break;
    }
#undef FLASH_LOAD
}

/* Steps that the slice does not have are left as they are. */
__device__ inline void load_slice(const flash_params &p, const row_pair &r, int slice, int t,
                                  uint32_t (*fragment)[4])
{
    switch (slice_steps(p, slice)) {
    case 1: load_steps<1>(p, r, slice, t, fragment); break;
    case 2: load_steps<2>(p, r, slice, t, fragment); break;
    case 3: load_steps<3>(p, r, slice, t, fragment); break;
    default: load_steps<4>(p, r, slice, t, fragment); break;
    }
}

/* Fragments of all steps, to where only this thread reads them: kept[step * THREADS]. */
__device__ inline void keep_rows(const flash_params &p, const row_pair &r, int t, uint4 *kept)
{
    for (int slice = 0; slice < slice_count(p); slice++) {
        uint32_t fragment[SLICE][4] = {};
        load_slice(p, r, slice, t, fragment);
#pragma unroll
        for (int s = 0; s < SLICE; s++) {
            if (s >= slice_steps(p, slice)) continue;
            kept[(slice * SLICE + s) * THREADS] = {fragment[s][0], fragment[s][1], fragment[s][2],
                                                   fragment[s][3]};
        }
    }
}

__device__ inline void fetch_step(const uint4 *kept, int step, uint32_t a[4])
{
    uint4 words = kept[step * THREADS];
    a[0] = words.x, a[1] = words.y, a[2] = words.z, a[3] = words.w;
}

/* --- products --- */

/* One step of a tile. A sum gets one matrix instruction a step: the filter's bound counts them. */
__device__ inline void multiply_step(float *sum, const uint32_t a[4], uint32_t step, int lane)
{
#pragma unroll
    for (int pair = 0; pair < WIDTH / 16; pair++) {
        uint32_t b[4];
        load_matrices(step + pair * 512, lane, b);
        product(sum + pair * 8, a, b);
        product(sum + pair * 8 + 4, a, b + 2);
    }
}

/* The scores of a tile: slice after slice, the biases' step last. The next copy continues meanwhile. */
template <bool KEEP>
__device__ inline void multiply(float *sum, const flash_params &p, const flash_work &w, int item,
                                int tile, const row_pair &r, const uint4 *kept, uint8_t *stages,
                                int &at)
{
    const int lane = threadIdx.x % 32, slices = slice_count(p);
#pragma unroll
    for (int i = 0; i < WIDTH / 2; i++) sum[i] = 0;
#pragma unroll 1
    for (int slice = 0; slice < slices; slice++) {
        const int steps = slice_steps(p, slice);
        uint32_t fragment[SLICE][4] = {};
        if (!KEEP) load_slice(p, r, slice, lane % 4, fragment);
        cuda_copy_wait_all();
        __syncthreads(); /* this stage is complete, and nobody reads the other one any more */
        copy_next(p, w, item, tile, slice, stages + (at ^ 1) * STAGE);
        __syncwarp();
        const uint32_t stage = cuda_shared_address(stages + at * STAGE);
#pragma unroll
        for (int s = 0; s < SLICE; s++) {
            if (s >= steps) continue;
            if (KEEP) fetch_step(kept, slice * SLICE + s, fragment[s]);
            multiply_step(sum, fragment[s], stage + s * STEP, lane);
        }
        if (slice == slices - 1) {
            uint32_t last[4] = {};
            flash_bound_fragment(r.norms, lane % 4, last);
            multiply_step(sum, last, stage + steps * STEP, lane);
        }
        at ^= 1;
    }
}

/* KEEP: the fragments of all steps fit the shared memory. */
template <bool KEEP, bool FALLBACK>
__global__ void __launch_bounds__(THREADS, 2) flash_assign(const __grid_constant__ flash_params p)
{
    extern __shared__ __align__(128) uint8_t shared[];
    const int lane = threadIdx.x % 32, t = lane % 4;
    uint4 *kept = reinterpret_cast<uint4 *>(shared + SHARED) + threadIdx.x;
    const flash_work w(p, ROWS, gridDim.x, FALLBACK);
    unsigned moved = 0;
    int at = 0;

    if ((int)blockIdx.x < w.items) copy_slice(p, w.first(p, (int)blockIdx.x), 0, shared);
    for (int item = (int)blockIdx.x; item < w.items; item += (int)gridDim.x) {
        const int first = item / w.parts * ROWS + (int)threadIdx.x / 32 * WARP_ROWS + lane / 4;
        const int place[2] = {first, first + 8};
        const row_pair r = pair_at<FALLBACK>(p, w, place);
        const bool exists[2] = {place[0] < w.count, place[1] < w.count};
        if (KEEP) keep_rows(p, r, t, kept);
        flash_top2 top[2] = {};
        float threshold[2];
#pragma unroll
        for (int h = 0; h < 2; h++)
            threshold[h] = FALLBACK && exists[h] ? p.lists.threshold[place[h]] : FLASH_NEVER;
        const int32_t row[2] = {exists[0] ? (int32_t)r.row[0] : -1,
                                exists[1] ? (int32_t)r.row[1] : -1};
        const int32_t mine = flash_owned(t, row);
        const int32_t previous = !FALLBACK && mine >= 0 ? p.labels[mine] : -1;
        for (int tile = w.first(p, item); tile < w.last(p, item); tile++) {
            float sum[WIDTH / 2];
            multiply<KEEP>(sum, p, w, item, tile, r, kept, shared, at);
            if (FALLBACK)
                flash_keep_candidates<WIDTH>(p, w.room, sum, tile, t, threshold, place);
            else
                flash_keep_top2<WIDTH>(sum, p.score_factor, tile, top);
        }
        if (!FALLBACK) {
            flash_finish_rows<WIDTH, true>(p, top, mine, r.norms, previous, lane, moved,
                                           flash_knowing_list{{p}});
        }
    }
    if (!FALLBACK) {
        moved = __reduce_add_sync(0xffffffffu, moved);
        if (lane == 0 && moved > 0) atomicAdd(p.moved, (unsigned long long)moved);
    }
}

template <bool KEEP>
lloyd_status launch_shape(const cuda_gpu &gpu, const flash_params &p, bool fallback, int shared,
                          cudaStream_t stream)
{
    auto kernel = fallback ? flash_assign<KEEP, true> : flash_assign<KEEP, false>;
    const char *what = "preparing the assignment kernel";
    int blocks = 0;
    LLOYD_TRY(lloyd_cuda_allow_shared((const void *)kernel, shared, what));
    CUDA_TRY(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, THREADS,
                                                           (size_t)shared),
             what);
    kernel<<<gpu.multiprocessors * std::max(1, blocks), THREADS, shared, stream>>>(p);
    CUDA_LAUNCHED("starting the assignment kernel");
    return LLOYD_OK;
}

lloyd_status launch(const cuda_gpu &gpu, const flash_params &p, bool fallback, cudaStream_t stream)
{
    if (p.steps <= (MOST_SHARED - SHARED) / KEPT)
        return launch_shape<true>(gpu, p, fallback, SHARED + p.steps * KEPT, stream);
    return launch_shape<false>(gpu, p, fallback, SHARED, stream);
}

bool supports(const cuda_gpu &gpu, const cuda_assign_shape &)
{
    return gpu.capability >= 80;
}

void configure(const cuda_assign_shape &shape, cuda_assign_config *config)
{
    config->steps = (int)cuda_divide_up(shape.dim, FLASH_STEP);
    config->width = WIDTH;
    config->group = flash_group(shape.type, config->vector);
}

} // namespace

extern const cuda_assign_kernel lloyd_cuda_assign_sm80 = {
    .name = "sm80",
    .supports = supports,
    .configure = configure,
    .scratch_bytes = nullptr,
    .launch = launch,
    .launch_groups = nullptr,
    .piece_rows = 0,
    .can_prune = false,
};
