/* FlashAssign for Hopper where all centroids fit the shared memory of a multiprocessor.
 *
 * Then there is nothing to stream and nobody to wait for: every warpgroup takes 64 rows at a time,
 * makes fragments of them, multiplies, keeps the top-2 and labels them, while the others hide its
 * latencies. Products are of half a tile at a time, which leaves registers for more warpgroups. For
 * few clusters the rows themselves are most of the work, and the pipeline of sm90.cu
 * would only add to it. Where there is room, every thread asks for what it will need of the next 64
 * rows, as soon as it has made fragments of these, by copies into shared memory that nobody else
 * looks at. The same kernel finds the candidates of listed rows, which it reads when it needs them.
 */
#include "kernels/cuda/assign/fallback.cuh"
#include "kernels/cuda/assign/registry.h"
#include "kernels/cuda/assign/sm90_instructions.cuh"
#include "kernels/cuda/launch.cuh"

#include <iterator>

namespace
{

/* HALF: centroids of one product, half a tile. */
constexpr int WARPGROUP = 128, GROUP_ROWS = 64, WIDTH = 128, HALF = 64, MOST_SHARED = 227 << 10;

template <int STEPS_, int GROUPS_> struct shape {
    static constexpr int STEPS = STEPS_, GROUPS = GROUPS_, THREADS = GROUPS * WARPGROUP;
    static constexpr int TILE_BYTES = flash_tile_bytes(STEPS + 1, WIDTH);
    static constexpr int OFFSETS = STEPS * FLASH_STEP * 4; /* bytes, behind the image */
    /* 16 bytes of a thread for each of its pieces of a row of elements of this size. */
    static __host__ __device__ constexpr int slots(int size)
    {
        return (STEPS * size + 3) / 4;
    }
    /* Bytes of what was asked for, behind the offsets: two rows of a thread, and three words. */
    static __host__ __device__ constexpr int staged(int size)
    {
        return THREADS * (2 * slots(size) * 16 + 12);
    }
};

/* The rows of a thread's 4-lane group in its warpgroup's piece, and what is known of them. */
struct row_pair {
    int32_t row[2];
    int place[2];
    __half2 norms[2];
    float threshold[2];
    int32_t previous;
};

template <bool FALLBACK>
__device__ inline row_pair find_rows(const flash_params &p, int count, int first, int t)
{
    row_pair r;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        r.place[h] = first + 8 * h;
        bool exists = r.place[h] < count;
        r.row[h] = !exists    ? -1
                   : FALLBACK ? p.lists.row[r.place[h]]
                              : (int32_t)(p.begin + r.place[h]);
        r.norms[h] = exists ? p.norms[r.row[h]] : __half2half2(__ushort_as_half(0));
        r.threshold[h] = FALLBACK && exists ? p.lists.threshold[r.place[h]] : FLASH_NEVER;
    }
    r.previous = !FALLBACK && flash_owns(t, r.row) ? p.labels[t ? r.row[1] : r.row[0]] : -1;
    return r;
}

template <int STEPS, lloyd_type T, bool VECTOR>
__device__ inline void load_rows(const flash_params &p, const row_pair &r, float sigma,
                                 const float *offset, int t, uint32_t (*fragment)[4])
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        bool exists = r.row[h] >= 0;
        int64_t row = exists ? r.row[h] : 0;
        float scale = exists ? flash_row_scale(p.rows, row, sigma) : sigma;
        flash_load_row<STEPS, T, VECTOR>(p.rows, row, exists, scale, offset, t, h, fragment);
    }
}

template <int STEPS>
__device__ inline void load_fragments(const flash_params &p, const row_pair &r, float sigma,
                                      const float *offset, int t, uint32_t (*fragment)[4])
{
    switch (p.rows.type * 2 + (p.vector ? 1 : 0)) {
    case LLOYD_F32 * 2: load_rows<STEPS, LLOYD_F32, false>(p, r, sigma, offset, t, fragment); break;
    case LLOYD_F32 * 2 + 1:
        load_rows<STEPS, LLOYD_F32, true>(p, r, sigma, offset, t, fragment);
        break;
    case LLOYD_F16 * 2: load_rows<STEPS, LLOYD_F16, false>(p, r, sigma, offset, t, fragment); break;
    case LLOYD_F16 * 2 + 1:
        load_rows<STEPS, LLOYD_F16, true>(p, r, sigma, offset, t, fragment);
        break;
    case LLOYD_BF16 * 2:
        load_rows<STEPS, LLOYD_BF16, false>(p, r, sigma, offset, t, fragment);
        break;
    case LLOYD_BF16 * 2 + 1:
        load_rows<STEPS, LLOYD_BF16, true>(p, r, sigma, offset, t, fragment);
        break;
    case LLOYD_U8 * 2: load_rows<STEPS, LLOYD_U8, false>(p, r, sigma, offset, t, fragment); break;
    case LLOYD_U8 * 2 + 1:
        load_rows<STEPS, LLOYD_U8, true>(p, r, sigma, offset, t, fragment);
        break;
    case LLOYD_I8 * 2: load_rows<STEPS, LLOYD_I8, false>(p, r, sigma, offset, t, fragment); break;
    case LLOYD_I8 * 2 + 1:
        load_rows<STEPS, LLOYD_I8, true>(p, r, sigma, offset, t, fragment);
        break;
    }
}

/* --- rows that were asked for --- */

template <class S> __device__ inline char *staged_piece(char *stage, int size, int h, int step)
{
    int slot = h * S::slots(size) + step * size / 4;
    return stage + (slot * S::THREADS + (int)threadIdx.x) * 16;
}

/* Word `which` (the norms of both rows, and the label so far) of this thread. */
template <class S> __device__ inline uint32_t *staged_word(char *stage, int size, int which)
{
    return reinterpret_cast<uint32_t *>(stage + 2 * S::slots(size) * 16 * S::THREADS) +
           which * S::THREADS + threadIdx.x;
}

/* The numbers of this thread's rows. */
__device__ inline row_pair number_rows(const flash_params &p, int first)
{
    row_pair r;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        r.place[h] = first + 8 * h;
        r.row[h] = r.place[h] < p.count ? (int32_t)(p.begin + r.place[h]) : -1;
    }
    return r;
}

template <class S, lloyd_type T>
__device__ inline void ask(const flash_params &p, int first, int t, char *stage)
{
    constexpr int SIZE = cuda_element_bytes(T), GROUP = flash_group(T, true);
    const row_pair r = number_rows(p, first);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const bool exists = r.row[h] >= 0;
        const char *row = p.rows.data + (exists ? r.row[h] : 0) * p.rows.dim * SIZE;
        flash_for_chunks<S::STEPS, GROUP>(t, [&](int base, int column, int group) {
            const bool there = exists && column < p.rows.dim;
            const char *from = there ? row + column * SIZE : row;
            char *to = staged_piece<S>(stage, SIZE, h, base);
            if (group * SIZE == 4)
                cuda_copy_async_or_zero<16>(to, from, there);
            else if (group * SIZE == 2)
                cuda_copy_async_or_zero<8>(to, from, there);
            else
                cuda_copy_async_or_zero<4>(to, from, there);
        });
        if (exists) cuda_copy_async<4>(staged_word<S>(stage, SIZE, h), &p.norms[r.row[h]]);
    }
    if (flash_owns(t, r.row))
        cuda_copy_async<4>(staged_word<S>(stage, SIZE, 2), &p.labels[t ? r.row[1] : r.row[0]]);
    cuda_copy_commit();
}

template <class S>
__device__ inline void ask_for_rows(const flash_params &p, int first, int t, char *stage)
{
    switch (p.rows.type) {
    case LLOYD_F32: ask<S, LLOYD_F32>(p, first, t, stage); break;
    case LLOYD_F16: ask<S, LLOYD_F16>(p, first, t, stage); break;
    case LLOYD_BF16: ask<S, LLOYD_BF16>(p, first, t, stage); break;
    case LLOYD_U8: ask<S, LLOYD_U8>(p, first, t, stage); break;
    case LLOYD_I8: ask<S, LLOYD_I8>(p, first, t, stage); break;
    }
}

template <class S, lloyd_type T>
__device__ inline void take(const flash_params &p, float sigma, const float *offset, int t,
                            char *stage, row_pair &r, uint32_t (*fragment)[4])
{
    constexpr int SIZE = cuda_element_bytes(T), GROUP = flash_group(T, true);
    cuda_copy_wait<0>();
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const bool exists = r.row[h] >= 0;
        uint32_t raw[S::STEPS][SIZE];
        flash_for_chunks<S::STEPS, GROUP>(t, [&](int base, int, int group) {
            flash_take_words<SIZE>(staged_piece<S>(stage, SIZE, h, base), true, group * SIZE, base,
                                   raw);
        });
        float scale = exists ? flash_row_scale(p.rows, r.row[h], sigma) : sigma;
        flash_convert_row<S::STEPS, T, true>(raw, p.rows.lengths != nullptr, scale, offset, t, h,
                                             fragment);
        uint32_t norms = exists ? *staged_word<S>(stage, SIZE, h) : 0;
        memcpy(&r.norms[h], &norms, sizeof norms);
    }
    r.previous = flash_owns(t, r.row) ? (int32_t)*staged_word<S>(stage, SIZE, 2) : -1;
}

/* What was asked for. */
template <class S>
__device__ inline row_pair take_rows(const flash_params &p, int first, float sigma,
                                     const float *offset, int t, char *stage,
                                     uint32_t (*fragment)[4])
{
    row_pair r = number_rows(p, first);
    switch (p.rows.type) {
    case LLOYD_F32: take<S, LLOYD_F32>(p, sigma, offset, t, stage, r, fragment); break;
    case LLOYD_F16: take<S, LLOYD_F16>(p, sigma, offset, t, stage, r, fragment); break;
    case LLOYD_BF16: take<S, LLOYD_BF16>(p, sigma, offset, t, stage, r, fragment); break;
    case LLOYD_U8: take<S, LLOYD_U8>(p, sigma, offset, t, stage, r, fragment); break;
    case LLOYD_I8: take<S, LLOYD_I8>(p, sigma, offset, t, stage, r, fragment); break;
    }
    return r;
}

/* --- products --- */

template <class S>
__device__ inline void multiply(float *sum, uint32_t (*fragment)[4], const uint32_t bounds[2],
                                const uint8_t *half)
{
    uint64_t b = sm90_descriptor(half);
    constexpr uint64_t STEP = WIDTH * FLASH_STEP * 2 >> 4;
    const uint32_t last[4] = {bounds[0], bounds[1], 0, 0};
    sm90_product_fence();
#pragma unroll
    for (int step = 0; step < S::STEPS; step++)
        sm90_product<HALF>(sum, fragment[step], b + step * STEP, step > 0);
    sm90_product<HALF>(sum, last, b + S::STEPS * STEP, true);
    sm90_product_commit();
    sm90_product_wait<0>();
}

/* STAGED: rows are asked for ahead. */
template <class S, bool FALLBACK, bool STAGED>
__device__ void label_rows(const flash_params &p, const uint8_t *image, const float *offset,
                           char *stage)
{
    const int group = threadIdx.x / WARPGROUP, lane = threadIdx.x % 32, t = lane % 4;
    const int row_in_piece = threadIdx.x % WARPGROUP / 32 * 16 + lane / 4;
    const int count = FALLBACK ? p.lists.counters[FLASH_LISTED] : p.count;
    const int pieces = (count + GROUP_ROWS - 1) / GROUP_ROWS;
    const int room = FALLBACK ? flash_room(p.lists) : 0;
    const float sigma = p.units->sigma;
    const int stride = gridDim.x * S::GROUPS;
    unsigned moved = 0;
    int piece = blockIdx.x + group * gridDim.x;
    if (STAGED && piece < pieces) ask_for_rows<S>(p, piece * GROUP_ROWS + row_in_piece, t, stage);
    for (; piece < pieces; piece += stride) {
        uint32_t fragment[S::STEPS][4], bounds[2];
        row_pair r;
        if constexpr (STAGED) {
            r = take_rows<S>(p, piece * GROUP_ROWS + row_in_piece, sigma, offset, t, stage,
                             fragment);
            if (piece + stride < pieces)
                ask_for_rows<S>(p, (piece + stride) * GROUP_ROWS + row_in_piece, t, stage);
        } else {
            r = find_rows<FALLBACK>(p, count, piece * GROUP_ROWS + row_in_piece, t);
            load_fragments<S::STEPS>(p, r, sigma, offset, t, fragment);
        }
        flash_bound_fragment(r.norms, t, bounds);
        flash_top2 top[2] = {};
        for (int tile = 0; tile < p.tiles; tile++) {
            constexpr int HALVES = WIDTH / HALF;
            flash_tile_top2 seen = {};
#pragma unroll
            for (int half = 0; half < HALVES; half++) {
                float sum[HALF / 2];
                multiply<S>(sum, fragment, bounds,
                            image + tile * S::TILE_BYTES + half * HALF * FLASH_STEP * 2);
                if (FALLBACK)
                    flash_keep_candidates<HALF>(p, room, sum, tile * HALVES + half, t, r.threshold,
                                                r.place);
                else
                    flash_keep_columns<HALF>(sum, p.score_factor, half * HALF / 4, seen);
            }
            if (!FALLBACK) flash_keep_tile(seen, tile, top);
        }
        if (!FALLBACK) {
            flash_finish_rows<WIDTH>(p, top, r.row, r.norms, r.previous, lane, moved,
                                     flash_global_list{p});
        }
    }
    if (FALLBACK) return;
    moved = __reduce_add_sync(0xffffffffu, moved);
    if (lane == 0 && moved > 0) atomicAdd(p.moved, (unsigned long long)moved);
}

template <class S, bool FALLBACK, bool STAGED>
__global__ void __launch_bounds__(S::THREADS, 1)
    flash_resident(const __grid_constant__ flash_params p)
{
    extern __shared__ __align__(128) uint8_t shared[];
    const int image_bytes = p.tiles * S::TILE_BYTES;
    float *offset = (float *)(shared + image_bytes);
    char *stage = (char *)(shared + image_bytes + S::OFFSETS);
    uint64_t *image_copied =
        (uint64_t *)(stage + (STAGED ? S::staged(cuda_element_bytes(p.rows.type)) : 0));
    cuda_await();
    if (FALLBACK && p.lists.counters[FLASH_LISTED] <= (int)blockIdx.x * GROUP_ROWS) return;
    if (threadIdx.x == 0) {
        sm90_barrier_init(image_copied, 1);
        sm90_barrier_fence();
        sm90_expect(image_copied, (uint32_t)image_bytes);
        for (int tile = 0; tile < p.tiles; tile++) {
            sm90_copy(shared + tile * S::TILE_BYTES, p.image + tile * S::TILE_BYTES, S::TILE_BYTES,
                      image_copied);
        }
    }
    for (int j = threadIdx.x; j < S::STEPS * FLASH_STEP; j += S::THREADS) offset[j] = p.offset[j];
    __syncthreads();
    sm90_wait(image_copied, 0);
    label_rows<S, FALLBACK, STAGED>(p, shared, offset, stage);
}

template <class S>
lloyd_status launch_shape(const cuda_gpu &gpu, const flash_params &p, bool fallback,
                          cudaStream_t stream)
{
    int bytes = p.tiles * S::TILE_BYTES + S::OFFSETS + 8;
    const int staged = S::staged(cuda_element_bytes(p.rows.type));
    const bool ahead = !fallback && p.vector && bytes + staged <= MOST_SHARED;
    auto kernel = fallback ? flash_resident<S, true, false>
                  : ahead  ? flash_resident<S, false, true>
                           : flash_resident<S, false, false>;
    if (ahead) bytes += staged;
    CUDA_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
             "preparing the assignment kernel");
    return cuda_launch_after(stream, 90, kernel, gpu.multiprocessors, S::THREADS, (size_t)bytes,
                             "starting the assignment kernel", p);
}

/* Of tile TILE or one of those after it. */
template <int TILE = 0>
lloyd_status launch_tile(const cuda_gpu &gpu, const flash_params &p, bool fallback,
                         cudaStream_t stream)
{
    constexpr cuda_assign_tile T = SM90_RESIDENT_TILES[TILE];
    if (p.steps == T.steps) return launch_shape<shape<T.steps, T.groups>>(gpu, p, fallback, stream);
    if constexpr (TILE + 1 < (int)std::size(SM90_RESIDENT_TILES))
        return launch_tile<TILE + 1>(gpu, p, fallback, stream);
    return lloyd_fail(LLOYD_FAILED, "sm90_resident: no tile for %d k-steps", p.steps);
}

int tile_of(int64_t dim)
{
    return cuda_assign_tile_of(SM90_RESIDENT_TILES, cuda_divide_up(dim, FLASH_STEP), 1);
}

/* Few centroids are compared with a row then: its loading weighs more. */
bool supports(const cuda_gpu &gpu, const cuda_assign_shape &shape)
{
    constexpr int64_t MOST_BYTES = 224 << 10; /* of centroids */
    const int tile = tile_of(shape.dim);
    if (gpu.capability != 90 || tile < 0) return false;
    const int64_t tiles = cuda_divide_up(shape.set, WIDTH);
    return tiles * flash_tile_bytes(SM90_RESIDENT_TILES[tile].steps + 1, WIDTH) <= MOST_BYTES;
}

void configure(const cuda_assign_shape &shape, cuda_assign_config *config)
{
    config->steps = SM90_RESIDENT_TILES[tile_of(shape.dim)].steps;
    config->width = WIDTH;
    config->group = flash_group(shape.type, config->vector);
}

lloyd_status launch(const cuda_gpu &gpu, const flash_params &p, bool fallback, cudaStream_t stream)
{
    return launch_tile(gpu, p, fallback, stream);
}

} // namespace

extern const cuda_assign_kernel lloyd_cuda_assign_sm90_resident = {
    .name = "sm90_resident",
    .supports = supports,
    .configure = configure,
    .scratch_bytes = nullptr,
    .launch = launch,
    .can_prune = false,
};
