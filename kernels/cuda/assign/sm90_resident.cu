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
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sm90/instructions.cuh"

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
    int32_t mine, previous; /* the one that this thread ends (-1: none), and its label so far */
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
    r.mine = flash_owned(t, r.row);
    r.previous = !FALLBACK && r.mine >= 0 ? p.labels[r.mine] : -1;
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

/* Where a thread's copies are: its pieces of 16 bytes, of all threads side by side, and three words. */
template <class S, lloyd_type T> struct staging {
    static constexpr int SIZE = cuda_element_bytes(T), GROUP = flash_group(T, true);
    char *pieces;
    uint32_t *words;

    __device__ explicit staging(char *stage)
        : pieces(stage + threadIdx.x * 16),
          words(reinterpret_cast<uint32_t *>(stage + 2 * S::slots(SIZE) * 16 * S::THREADS) +
                threadIdx.x)
    {
    }
    /* Of row h, from k-step `step` on. */
    __device__ char *piece(int h, int step) const
    {
        return pieces + (h * S::slots(SIZE) + step * SIZE / 4) * 16 * S::THREADS;
    }
    /* The norms of both rows, and the label so far. */
    __device__ uint32_t *word(int which) const
    {
        return words + which * S::THREADS;
    }
};

/* Row h of a thread whose first row is at place `first`. Beyond the last row the last one is taken again, and
 * nobody ends it. */
__device__ inline int32_t staged_row(const flash_params &p, int first, int h)
{
    return (int32_t)p.begin + min(first + 8 * h, p.count - 1);
}

template <class S, lloyd_type T>
__device__ inline void ask_for_rows(const flash_params &p, int first, int t,
                                    const staging<S, T> &stage)
{
    constexpr int SIZE = staging<S, T>::SIZE;
    const int dim = (int)p.rows.dim;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const uint32_t row = (uint32_t)staged_row(p, first, h);
        const char *data = p.rows.data + (uint64_t)row * (uint32_t)(dim * SIZE);
        flash_for_chunks<S::STEPS, staging<S, T>::GROUP>(t, [&](int base, int column, int group) {
            const bool inside = column < dim;
            const char *from = data + (inside ? column * SIZE : 0);
            char *to = stage.piece(h, base);
            if (group * SIZE == 4)
                cuda_copy_async_or_zero<16>(to, from, inside);
            else if (group * SIZE == 2)
                cuda_copy_async_or_zero<8>(to, from, inside);
            else
                cuda_copy_async_or_zero<4>(to, from, inside);
        });
        cuda_copy_async<4>(stage.word(h), &p.norms[row]);
    }
    cuda_copy_async<4>(stage.word(2), &p.labels[staged_row(p, first, t % 2)]);
    cuda_copy_commit();
}

/* What was asked for. */
template <class S, lloyd_type T>
__device__ inline row_pair take_rows(const flash_params &p, int first, float sigma,
                                     const float *offset, int t, const staging<S, T> &stage,
                                     uint32_t (*fragment)[4])
{
    constexpr int SIZE = staging<S, T>::SIZE;
    const bool cosine = p.rows.lengths != nullptr;
    float scale[2] = {sigma, sigma};
    row_pair r = {};
    if (cosine) {
        for (int h = 0; h < 2; h++)
            scale[h] = flash_row_scale(p.rows, staged_row(p, first, h), sigma);
    }
    cuda_copy_wait<0>();
#pragma unroll
    for (int h = 0; h < 2; h++) {
        uint32_t raw[S::STEPS][SIZE];
        flash_for_chunks<S::STEPS, staging<S, T>::GROUP>(t, [&](int base, int, int group) {
            flash_take_words<SIZE>(stage.piece(h, base), true, group * SIZE, base, raw);
        });
        flash_convert_row<S::STEPS, T, true>(raw, cosine, scale[h], offset, t, h, fragment);
        memcpy(&r.norms[h], stage.word(h), sizeof r.norms[h]);
    }
    r.mine = t < 2 && first + 8 * t < p.count ? staged_row(p, first, t) : -1;
    r.previous = (int32_t)*stage.word(2);
    return r;
}

/* --- products --- */

/* With the operands `b` of half a tile. */
template <class S>
__device__ inline void multiply(float *sum, uint32_t (*fragment)[4], const uint32_t bounds[2],
                                uint64_t b)
{
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

/* STAGED: rows, of type T, are asked for ahead. */
template <class S, bool FALLBACK, bool STAGED, lloyd_type T>
__device__ void label_rows(const flash_params &p, const uint8_t *image, const float *offset,
                           char *stage)
{
    const int group = threadIdx.x / WARPGROUP, lane = threadIdx.x % 32, t = lane % 4;
    const int row_in_piece = threadIdx.x % WARPGROUP / 32 * 16 + lane / 4;
    const int count = FALLBACK ? p.lists.counters[FLASH_LISTED] : p.count;
    const int pieces = (count + GROUP_ROWS - 1) / GROUP_ROWS;
    const int room = FALLBACK ? flash_room(p.lists) : 0;
    const float sigma = p.units->sigma;
    const uint64_t operands = sm90_descriptor(image);
    const int stride = gridDim.x * S::GROUPS;
    const staging<S, T> staged(stage);
    unsigned moved = 0;
    int piece = blockIdx.x + group * gridDim.x;
    if (STAGED && piece < pieces) ask_for_rows(p, piece * GROUP_ROWS + row_in_piece, t, staged);
    for (; piece < pieces; piece += stride) {
        uint32_t fragment[S::STEPS][4], bounds[2];
        row_pair r;
        if constexpr (STAGED) {
            r = take_rows(p, piece * GROUP_ROWS + row_in_piece, sigma, offset, t, staged, fragment);
            if (piece + stride < pieces)
                ask_for_rows(p, (piece + stride) * GROUP_ROWS + row_in_piece, t, staged);
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
                            operands + (uint64_t)(tile * (S::TILE_BYTES >> 4) +
                                                  half * (HALF * FLASH_STEP * 2 >> 4)));
                if (FALLBACK)
                    flash_keep_candidates<HALF>(p, room, sum, tile * HALVES + half, t, r.threshold,
                                                r.place);
                else
                    flash_keep_columns<HALF>(sum, p.score_factor, half * HALF / 4, seen);
            }
            if (!FALLBACK) flash_keep_tile(seen, tile, top);
        }
        if (!FALLBACK) {
            flash_finish_rows<WIDTH, true>(p, top, r.mine, r.norms, r.previous, lane, moved,
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
    if constexpr (STAGED) {
        switch (p.rows.type) {
        case LLOYD_F32: label_rows<S, false, true, LLOYD_F32>(p, shared, offset, stage); break;
        case LLOYD_F16: label_rows<S, false, true, LLOYD_F16>(p, shared, offset, stage); break;
        case LLOYD_BF16: label_rows<S, false, true, LLOYD_BF16>(p, shared, offset, stage); break;
        case LLOYD_U8: label_rows<S, false, true, LLOYD_U8>(p, shared, offset, stage); break;
        case LLOYD_I8: label_rows<S, false, true, LLOYD_I8>(p, shared, offset, stage); break;
        }
    } else {
        label_rows<S, FALLBACK, false, LLOYD_F32>(p, shared, offset, stage); /* any type */
    }
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
    LLOYD_TRY(
        lloyd_cuda_allow_shared((const void *)kernel, bytes, "preparing the assignment kernel"));
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
