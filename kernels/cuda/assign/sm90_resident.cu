/* FlashAssign for Hopper where all centroids fit the shared memory of a multiprocessor.
 *
 * Then there is nothing to stream and nobody to wait for: every warpgroup takes 64 rows at a time,
 * makes fragments of them, multiplies, keeps the top-2 and labels them, while the others hide its
 * latencies. Products are of half a tile at a time, which leaves registers for more warpgroups. For
 * few clusters the rows themselves are most of the work, and the pipeline of sm90.cu
 * would only add to it. Where there is room, every thread asks for what it will need of the next 64
 * rows, as soon as it has made fragments of these, by copies into shared memory that nobody else
 * looks at. The same kernel finds the candidates of listed rows, which it reads when it needs them.
 *
 * Groups of rows, which have centroids of their own, are labelled by one launch: the 64-row pieces of all groups are dealt to the blocks, a
 * consecutive part to each, so that a block seldom needs more than two sets of centroids.
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

/* What a kernel does with rows: STAGED: asks for them ahead; FALLBACK: finds candidates of those that are listed; OF_GROUPS: there will be no
 * fallback pass. */
enum work { PLAIN, STAGED, FALLBACK, OF_GROUPS, STAGED_OF_GROUPS };
__host__ __device__ constexpr bool is_staged(work w)
{
    return w == STAGED || w == STAGED_OF_GROUPS;
}
__host__ __device__ constexpr bool is_of_groups(work w)
{
    return w == OF_GROUPS || w == STAGED_OF_GROUPS;
}

/* Every S::GROUPS-th piece of all blocks, or of this block, from `piece` to `end`, of `count` rows of type T, where they are asked for ahead. */
template <class S, work W, lloyd_type T>
__device__ void label_rows(const flash_params &p, const uint8_t *image, const float *offset,
                           char *stage, int count, int piece, int end)
{
    constexpr bool FALLS_BACK = W == FALLBACK;
    const int stride = is_of_groups(W) ? S::GROUPS : (int)gridDim.x * S::GROUPS;
    /* of one problem, the parameters tell without another register */
    const auto exists = [&](int which) {
        return W == STAGED ? which * GROUP_ROWS < p.count : which < end;
    };
    const int lane = threadIdx.x % 32, t = lane % 4;
    const int row_in_piece = threadIdx.x % WARPGROUP / 32 * 16 + lane / 4;
    const int room = FALLS_BACK ? flash_room(p.lists) : 0;
    const float sigma = p.units->sigma;
    const uint64_t operands = sm90_descriptor(image);
    const staging<S, T> staged(stage);
    unsigned moved = 0;
    if (is_staged(W) && exists(piece))
        ask_for_rows(p, piece * GROUP_ROWS + row_in_piece, t, staged);
    for (; exists(piece); piece += stride) {
        uint32_t fragment[S::STEPS][4], bounds[2];
        row_pair r;
        if constexpr (is_staged(W)) {
            r = take_rows(p, piece * GROUP_ROWS + row_in_piece, sigma, offset, t, staged, fragment);
            if (exists(piece + stride))
                ask_for_rows(p, (piece + stride) * GROUP_ROWS + row_in_piece, t, staged);
        } else {
            r = find_rows<FALLS_BACK>(p, count, piece * GROUP_ROWS + row_in_piece, t);
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
                if (FALLS_BACK)
                    flash_keep_candidates<HALF>(p, room, sum, tile * HALVES + half, t, r.threshold,
                                                r.place);
                else
                    flash_keep_columns<HALF>(sum, p.score_factor, half * HALF / 4, seen);
            }
            if (!FALLS_BACK) flash_keep_tile(seen, tile, top);
        }
        if constexpr (is_of_groups(W))
            flash_finish_rows<WIDTH, true>(p, top, r.mine, r.norms, r.previous, lane, moved,
                                           flash_knowing_list{{p}});
        else if constexpr (!FALLS_BACK)
            flash_finish_rows<WIDTH, true>(p, top, r.mine, r.norms, r.previous, lane, moved,
                                           flash_global_list{p});
    }
    if (FALLS_BACK) return;
    moved = __reduce_add_sync(0xffffffffu, moved);
    if (lane == 0 && moved > 0) atomicAdd(p.moved, (unsigned long long)moved);
}

/* Shared memory of a block, in this order. */
struct resident_memory {
    uint8_t *image; /* of `tiles` tiles */
    float *offset;
    char *stage;
    uint64_t *image_copied;

    template <class S, work W>
    static __device__ resident_memory of(uint8_t *shared, const flash_params &p)
    {
        char *stage = (char *)shared + p.tiles * S::TILE_BYTES + S::OFFSETS;
        return {shared, (float *)(shared + p.tiles * S::TILE_BYTES), stage,
                (uint64_t *)(stage +
                             (is_staged(W) ? S::staged(cuda_element_bytes(p.rows.type)) : 0))};
    }
    __device__ void open() const
    {
        sm90_barrier_init(image_copied, 1);
        sm90_barrier_fence();
    }
    /* Begins to copy the centroids' operands. By one thread. */
    template <class S> __device__ void ask_for_image(const flash_params &p) const
    {
        sm90_expect(image_copied, (uint32_t)(p.tiles * S::TILE_BYTES));
        for (int tile = 0; tile < p.tiles; tile++) {
            sm90_copy(image + tile * S::TILE_BYTES, p.image + tile * S::TILE_BYTES, S::TILE_BYTES,
                      image_copied);
        }
    }
    template <class S> __device__ void copy_offset(const flash_params &p) const
    {
        for (int j = threadIdx.x; j < S::STEPS * FLASH_STEP; j += S::THREADS)
            offset[j] = p.offset[j];
    }
};

template <class S, work W>
__device__ void label_any(const flash_params &p, const resident_memory &m, int count, int piece,
                          int end)
{
    const auto label = [&](auto type) {
        label_rows<S, W, decltype(type)::value>(p, m.image, m.offset, m.stage, count, piece, end);
    };
    if constexpr (!is_staged(W)) {
        label(std::integral_constant<lloyd_type, LLOYD_F32>()); /* any type */
        return;
    }
    switch (p.rows.type) {
    case LLOYD_F32: label(std::integral_constant<lloyd_type, LLOYD_F32>()); break;
    case LLOYD_F16: label(std::integral_constant<lloyd_type, LLOYD_F16>()); break;
    case LLOYD_BF16: label(std::integral_constant<lloyd_type, LLOYD_BF16>()); break;
    case LLOYD_U8: label(std::integral_constant<lloyd_type, LLOYD_U8>()); break;
    case LLOYD_I8: label(std::integral_constant<lloyd_type, LLOYD_I8>()); break;
    }
}

template <class S, work W>
__global__ void __launch_bounds__(S::THREADS, 1)
    flash_resident(const __grid_constant__ flash_params p)
{
    extern __shared__ __align__(128) uint8_t shared[];
    const resident_memory m = resident_memory::of<S, W>(shared, p);
    cuda_await();
    const int count = W == FALLBACK ? p.lists.counters[FLASH_LISTED] : p.count;
    if (W == FALLBACK && count <= (int)blockIdx.x * GROUP_ROWS) return;
    if (threadIdx.x == 0) {
        m.open();
        m.ask_for_image<S>(p);
    }
    m.copy_offset<S>(p);
    __syncthreads();
    sm90_wait(m.image_copied, 0);
    const int group = threadIdx.x / WARPGROUP;
    label_any<S, W>(p, m, count, (int)(blockIdx.x + group * gridDim.x),
                    (count + GROUP_ROWS - 1) / GROUP_ROWS);
}

/* Of several groups: a block has consecutive pieces of them. */
template <class S, work W>
__global__ void __launch_bounds__(S::THREADS, 1)
    flash_resident_groups(const __grid_constant__ flash_params p,
                          const __grid_constant__ flash_turns turns)
{
    extern __shared__ __align__(128) uint8_t shared[];
    __shared__ flash_params own;
    const resident_memory m = resident_memory::of<S, W>(shared, p);
    cuda_await();
    const int end = (int)((int64_t)turns.pieces * (blockIdx.x + 1) / gridDim.x);
    int at = (int)((int64_t)turns.pieces * blockIdx.x / gridDim.x);
    if (at == end) return;
    if (threadIdx.x == 0) m.open();
    uint32_t phase = 0;
    for (int t = turns.of(at); at < end; at = min(end, turns.end(t)), t++, phase ^= 1) {
        __syncthreads(); /* nobody needs what is of the last group */
        if (threadIdx.x == 0) {
            const int g = turns.turn[t].group;
            own = flash_of_group(p, turns.groups.group[g], g, turns.groups.moved, WIDTH);
            m.ask_for_image<S>(own);
        }
        __syncthreads();
        m.copy_offset<S>(own);
        __syncthreads();
        sm90_wait(m.image_copied, phase);
        const int first = turns.turn[t].piece;
        label_any<S, W>(own, m, own.count, at - first + (int)threadIdx.x / WARPGROUP,
                        min(end, turns.end(t)) - first);
    }
}

/* Rows are asked for ahead where there is room for them: the bytes of shared memory. */
template <class S> int shared_bytes(const flash_params &p, bool *ahead)
{
    const int bytes = p.tiles * S::TILE_BYTES + S::OFFSETS + 8;
    const int staged = S::staged(cuda_element_bytes(p.rows.type));
    *ahead = *ahead && p.vector && bytes + staged <= MOST_SHARED;
    return *ahead ? bytes + staged : bytes;
}

template <class Kernel, class... Arguments>
lloyd_status launch_kernel(const cuda_gpu &gpu, Kernel kernel, int threads, int bytes,
                           cudaStream_t stream, const Arguments &...arguments)
{
    LLOYD_TRY(
        lloyd_cuda_allow_shared((const void *)kernel, bytes, "preparing the assignment kernel"));
    return cuda_launch_after(stream, 90, kernel, gpu.multiprocessors, threads, (size_t)bytes,
                             "starting the assignment kernel", arguments...);
}

template <class S>
lloyd_status launch_shape(const cuda_gpu &gpu, const flash_params &p, bool fallback,
                          cudaStream_t stream)
{
    bool ahead = !fallback;
    const int bytes = shared_bytes<S>(p, &ahead);
    auto kernel = fallback ? flash_resident<S, FALLBACK>
                  : ahead  ? flash_resident<S, STAGED>
                           : flash_resident<S, PLAIN>;
    return launch_kernel(gpu, kernel, S::THREADS, bytes, stream, p);
}

template <class S>
lloyd_status launch_shape_groups(const cuda_gpu &gpu, const flash_params &p,
                                 const flash_turns &turns, cudaStream_t stream)
{
    bool ahead = true;
    const int bytes = shared_bytes<S>(p, &ahead);
    auto kernel =
        ahead ? flash_resident_groups<S, STAGED_OF_GROUPS> : flash_resident_groups<S, OF_GROUPS>;
    return launch_kernel(gpu, kernel, S::THREADS, bytes, stream, p, turns);
}

/* Calls launch(shape) for tile TILE or one of those after it. */
template <int TILE = 0, class Launch> lloyd_status for_shape(int steps, Launch launch)
{
    constexpr cuda_assign_tile T = SM90_RESIDENT_TILES[TILE];
    if (steps == T.steps) return launch(shape<T.steps, T.groups>());
    if constexpr (TILE + 1 < (int)std::size(SM90_RESIDENT_TILES))
        return for_shape<TILE + 1>(steps, launch);
    return lloyd_fail(LLOYD_FAILED, "sm90_resident: no tile for %d k-steps", steps);
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
    return for_shape(p.steps, [&](auto shape) {
        return launch_shape<decltype(shape)>(gpu, p, fallback, stream);
    });
}

lloyd_status launch_groups(const cuda_gpu &gpu, const flash_params &p, const flash_turns &turns,
                           cudaStream_t stream)
{
    return for_shape(p.steps, [&](auto shape) {
        return launch_shape_groups<decltype(shape)>(gpu, p, turns, stream);
    });
}

} // namespace

extern const cuda_assign_kernel lloyd_cuda_assign_sm90_resident = {
    .name = "sm90_resident",
    .supports = supports,
    .configure = configure,
    .scratch_bytes = nullptr,
    .launch = launch,
    .launch_groups = launch_groups,
    .piece_rows = GROUP_ROWS,
    .can_prune = false,
};
