/* FlashAssign for Hopper where a row does not fit the registers: any number of columns.
 *
 * The shape of a plain matrix product, 128 rows by 256 centroids, in slices of 32 columns of both
 * operands; blocks work in pairs that share every slice of centroids (each copies half of it to
 * both). Two warpgroups multiply, the second one LAG slices behind the first, so that one of them keeps
 * the tensor cores busy while the other keeps the top-2 of its scores. In the third, one thread copies,
 * and three warps convert the rows of the next tile to operands, in a buffer of the block's own that stays in the L2 cache: rows are
 * converted once per tile and never as a whole. The same kernel finds the candidates of listed rows.
 */
#include "kernels/cuda/assign/fallback.cuh"
#include "kernels/cuda/assign/registry.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sm90/instructions.cuh"

namespace
{

enum {
    WARPGROUP = 128,
    GROUP_ROWS = 64,
    GROUPS = 2,
    ROWS = GROUPS * GROUP_ROWS,
    WIDTH = 256,
    CLUSTER = 2,
    SLICE = 2, /* steps of 16 columns in a stage */
    STAGES = 9,
    LAG = 4, /* slices: less than a row has at least, and than there are stages */
    THREADS = (GROUPS + 1) * WARPGROUP,
    CONVERTERS = WARPGROUP - 32,
    STEP_ROWS = ROWS * FLASH_STEP * 2,       /* bytes of one step of the rows' operands */
    STEP_CENTROIDS = WIDTH * FLASH_STEP * 2, /* and of the centroids' */
    STAGE_ROWS = SLICE * STEP_ROWS,
    STAGE = STAGE_ROWS + SLICE * STEP_CENTROIDS,
    BARRIERS = STAGES * STAGE,
    OFFSETS = BARRIERS + (2 * STAGES + 4) * 8, /* behind them, those of so many columns: */
    MOST_OFFSETS = ((227 << 10) - OFFSETS) / (int)sizeof(float),
    MATH_REGISTERS = 208,
    COPY_REGISTERS = 88
};

/* Named barriers; 0 is __syncthreads(). */
enum named_barrier {
    FIRST_IS_AHEAD = 1 /* the first warpgroup is LAG slices ahead: the second may start */
};

struct barriers {
    uint64_t full[STAGES], empty[STAGES];
    uint64_t converted[2]; /* a buffer of operands is complete */
    uint64_t released[2];  /* and is not needed any more */
};

/* The first row (or place in the list) of this block's tile. */
__device__ inline int first_row(const flash_work &w, int item, int rank)
{
    return (item / w.parts * CLUSTER + rank) * ROWS;
}

/* Whether the offsets of the columns are in shared memory. Converters are few, and have nothing to do while they wait for one. */
__host__ __device__ inline bool keeps_offsets(const flash_params &p)
{
    return p.steps * FLASH_STEP <= MOST_OFFSETS;
}

__device__ uint8_t *buffer_of(const flash_params &p, int which)
{
    int64_t bytes = (int64_t)(p.steps + 1) * STEP_ROWS;
    return p.scratch + ((int64_t)blockIdx.x * 2 + which) * bytes;
}

/* --- rows to operands --- */

/* Eight consecutive columns of a row as they are stored; columns that do not exist are zeros. Read
 * once: what the L2 cache keeps should be the operands. */
template <lloyd_type T, bool VECTOR>
__device__ inline void read_chunk(const flash_params &p, const char *row, bool exists, int column,
                                  uint32_t *raw)
{
    using element = typename cuda_element<T>::type;
    constexpr int SIZE = (int)sizeof(element);
    const element *at = reinterpret_cast<const element *>(row) + column;
    const int dim = (int)p.rows.dim;
    bool there = exists && column < dim;
    if constexpr (VECTOR) { /* rows are whole numbers of 16 bytes */
        if constexpr (SIZE == 4) {
            uint4 a = there ? __ldcs(reinterpret_cast<const uint4 *>(at)) : uint4{0, 0, 0, 0};
            there = exists && column + 4 < dim;
            uint4 b = there ? __ldcs(reinterpret_cast<const uint4 *>(at) + 1) : uint4{0, 0, 0, 0};
            raw[0] = a.x, raw[1] = a.y, raw[2] = a.z, raw[3] = a.w;
            raw[4] = b.x, raw[5] = b.y, raw[6] = b.z, raw[7] = b.w;
        } else if constexpr (SIZE == 2) {
            uint4 a = there ? __ldcs(reinterpret_cast<const uint4 *>(at)) : uint4{0, 0, 0, 0};
            raw[0] = a.x, raw[1] = a.y, raw[2] = a.z, raw[3] = a.w;
        } else {
            uint2 a = there ? __ldcs(reinterpret_cast<const uint2 *>(at)) : uint2{0, 0};
            raw[0] = a.x, raw[1] = a.y;
        }
        return;
    }
    element list[8];
#pragma unroll
    for (int e = 0; e < 8; e++) list[e] = exists && column + e < dim ? at[e] : element(0.0F);
#pragma unroll
    for (int w = 0; w < 2 * SIZE; w++) raw[w] = reinterpret_cast<const uint32_t *>(list)[w];
}

template <lloyd_type T>
__device__ inline uint4 convert_chunk(const uint32_t *raw, bool cosine, float scale,
                                      const float *offset)
{
    constexpr int SIZE = (int)sizeof(typename cuda_element<T>::type);
    uint32_t out[4];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float4 o = *reinterpret_cast<const float4 *>(offset + 4 * half);
        float x[4];
        flash_four<T>(raw + half * SIZE, cosine, x);
        out[2 * half] =
            flash_pack(flash_operand(x[0], scale, o.x), flash_operand(x[1], scale, o.y));
        out[2 * half + 1] =
            flash_pack(flash_operand(x[2], scale, o.z), flash_operand(x[3], scale, o.w));
    }
    return {out[0], out[1], out[2], out[3]};
}

/* The slice's side of a row. */
__device__ uint4 bound_chunk(__half2 norms)
{
    const __half unit = __float2half_rn(FLASH_UNIT);
    __half2 pair[3] = {__halves2half2(unit, unit), __halves2half2(unit, __low2half(norms)),
                       __halves2half2(__high2half(norms), __ushort_as_half(0))};
    const uint32_t *words = reinterpret_cast<const uint32_t *>(pair);
    return {words[0], words[1], words[2], 0};
}

/* A tile of rows into a buffer. A warp takes 8 rows by 4 chunks of 8 columns at a time: whole
 * sectors are read, and lines of 128 bytes written; and BATCH times that, so that many loads are
 * under way. */
template <lloyd_type T, bool VECTOR, bool FALLBACK>
__device__ void convert_rows(const flash_params &p, const flash_work &w, int first,
                             const float *offset, uint8_t *out)
{
    constexpr int SIZE = (int)sizeof(typename cuda_element<T>::type), BATCH = SIZE == 4 ? 4 : 6;
    const int lane = threadIdx.x % 32, warp = threadIdx.x % WARPGROUP / 32 - 1;
    const float sigma = p.units->sigma;
    const bool cosine = p.rows.lengths != nullptr;
    const int chunks = 2 * p.steps;
    for (int group = warp; group < ROWS / 8; group += CONVERTERS / 32) {
        int place = first + group * 8 + lane % 8;
        bool exists = place < w.count;
        int64_t row = !exists ? 0 : FALLBACK ? p.lists.row[place] : p.begin + place;
        float scale = exists ? flash_row_scale(p.rows, row, sigma) : sigma;
        const char *data = p.rows.data + row * p.rows.dim * SIZE;
        uint8_t *base = out + group * 256 + lane % 8 * 16;
#pragma unroll 1
        for (int chunk = lane / 8; chunk < chunks; chunk += 4 * BATCH) {
            uint32_t raw[BATCH][2 * SIZE];
#pragma unroll
            for (int i = 0; i < BATCH; i++)
                read_chunk<T, VECTOR>(p, data, exists, (chunk + 4 * i) * 8, raw[i]);
#pragma unroll
            for (int i = 0; i < BATCH; i++) {
                int c = chunk + 4 * i;
                if (c >= chunks) break;
                *reinterpret_cast<uint4 *>(base + (int64_t)(c / 2) * STEP_ROWS + c % 2 * 128) =
                    convert_chunk<T>(raw[i], cosine, scale, offset + c * 8);
            }
        }
        if (lane < 16) {
            uint4 bounds = {0, 0, 0, 0};
            if (lane < 8 && exists) bounds = bound_chunk(p.norms[row]);
            *reinterpret_cast<uint4 *>(base + (int64_t)p.steps * STEP_ROWS + lane / 8 * 128) =
                bounds;
        }
    }
}

template <lloyd_type T, bool FALLBACK>
__device__ void convert_type(const flash_params &p, const flash_work &w, int first,
                             const float *offset, uint8_t *out)
{
    if (p.vector)
        convert_rows<T, true, FALLBACK>(p, w, first, offset, out);
    else
        convert_rows<T, false, FALLBACK>(p, w, first, offset, out);
}

/* Asks for the rows of a tile and what is known of them, which the L2 cache then has when they are converted. By a warp. */
__device__ void ask_for_rows(const flash_params &p, const flash_work &w, int first)
{
    constexpr int PIECE = ROWS / 32;
    constexpr int64_t CACHED =
        64 << 20; /* bytes of all blocks' rows; with more, they would be gone again */
    const int own = first + threadIdx.x % 32 * PIECE, rows = min(PIECE, w.count - own);
    const int64_t bytes = p.rows.dim * cuda_element_bytes(p.rows.type);
    if (rows <= 0 || gridDim.x * ROWS * bytes > CACHED) return;
    sm90_prefetch(p.rows.data + (p.begin + own) * bytes, rows * bytes);
    if (threadIdx.x % 32 > 0) return;
    const int all = min((int)ROWS, w.count - first);
    sm90_prefetch(p.norms + p.begin + first, all * (int64_t)sizeof *p.norms);
    sm90_prefetch(p.labels + p.begin + first, all * (int64_t)sizeof *p.labels);
}

template <bool FALLBACK>
__device__ void convert_tiles(const flash_params &p, const flash_work &w, int rank,
                              const float *offset, barriers *b)
{
    uint32_t parity = 1; /* both buffers are free */
    int which = 0;
    const int step = gridDim.x / CLUSTER;
    for (int item = blockIdx.x / CLUSTER; item < w.items; item += step) {
        if (!FALLBACK && item + step < w.items && threadIdx.x % WARPGROUP < 64)
            ask_for_rows(p, w, first_row(w, item + step, rank));
        sm90_wait(&b->released[which], parity);
        uint8_t *out = buffer_of(p, which);
        int first = first_row(w, item, rank);
        switch (p.rows.type) {
        case LLOYD_F32: convert_type<LLOYD_F32, FALLBACK>(p, w, first, offset, out); break;
        case LLOYD_F16: convert_type<LLOYD_F16, FALLBACK>(p, w, first, offset, out); break;
        case LLOYD_BF16: convert_type<LLOYD_BF16, FALLBACK>(p, w, first, offset, out); break;
        case LLOYD_U8: convert_type<LLOYD_U8, FALLBACK>(p, w, first, offset, out); break;
        case LLOYD_I8: convert_type<LLOYD_I8, FALLBACK>(p, w, first, offset, out); break;
        }
        sm90_proxy_fence();
        sm90_arrive(&b->converted[which]);
        which ^= 1;
        if (which == 0) parity ^= 1;
    }
}

/* --- copies --- */

__device__ void copy_slices(const flash_params &p, const flash_work &w, int rank, uint8_t *stages,
                            barriers *b)
{
    int at = 0, which = 0;
    uint32_t parity = 1, converted_parity = 0;
    const int steps = p.steps + 1;
    const int64_t tile_bytes = flash_tile_bytes(p.steps + 1, WIDTH);
    for (int item = blockIdx.x / CLUSTER; item < w.items; item += gridDim.x / CLUSTER) {
        const uint8_t *rows = buffer_of(p, which);
        sm90_wait(&b->converted[which], converted_parity);
        sm90_proxy_fence();
        for (int tile = w.first(p, item); tile < w.last(p, item); tile++) {
            const uint8_t *centroids = p.image + tile * tile_bytes;
            for (int step = 0; step < steps; step += SLICE) {
                int count = steps - step < SLICE ? 1 : SLICE; /* the biases' step is the last */
                uint8_t *stage = stages + at * STAGE;
                uint32_t half = count * STEP_CENTROIDS / CLUSTER;
                sm90_wait(&b->empty[at], parity);
                sm90_expect(&b->full[at], count * (STEP_ROWS + STEP_CENTROIDS));
                sm90_copy(stage, rows + (int64_t)step * STEP_ROWS, count * STEP_ROWS, &b->full[at]);
                sm90_multicast(stage + STAGE_ROWS + rank * half,
                               centroids + (int64_t)step * STEP_CENTROIDS + rank * half, half,
                               &b->full[at], (1 << CLUSTER) - 1);
                if (++at == STAGES) at = 0, parity ^= 1;
            }
        }
        which ^= 1;
        if (which == 0) converted_parity ^= 1;
    }
}

/* --- products --- */

__device__ void release_stage(barriers *b, int at)
{
    if (threadIdx.x % WARPGROUP < CLUSTER) sm90_arrive_at(&b->empty[at], threadIdx.x % WARPGROUP);
}

/* The products of a stage of COUNT steps. */
template <int COUNT, bool FIRST>
__device__ inline void multiply_stage(float *sum, const uint8_t *stage, uint64_t *full,
                                      uint32_t parity)
{
    const int group = threadIdx.x / WARPGROUP;
    uint64_t rows = sm90_descriptor(stage + group * (STEP_ROWS / GROUPS));
    uint64_t centroids = sm90_descriptor(stage + STAGE_ROWS);
    sm90_wait(full, parity);
    sm90_product_fence();
#pragma unroll
    for (int s = 0; s < COUNT; s++) {
        sm90_product<WIDTH>(sum, rows + s * (STEP_ROWS >> 4), centroids + s * (STEP_CENTROIDS >> 4),
                            !FIRST || s > 0);
    }
    sm90_product_commit();
}

/* One tile of centroids: slices of 32 columns as they arrive, then the step that holds the biases. A
 * stage is released when the products after it have been issued and its own are complete. */
__device__ inline void multiply(float *sum, int slices, const uint8_t *stages, barriers *b, int &at,
                                uint32_t &parity)
{
    const int group = threadIdx.x / WARPGROUP;
    int previous = at;
    if (group > 0) sm90_named_sync(FIRST_IS_AHEAD, GROUPS * WARPGROUP);
    multiply_stage<SLICE, true>(sum, stages + at * STAGE, &b->full[at], parity);
    if (++at == STAGES) at = 0, parity ^= 1;
#pragma unroll 1
    for (int slice = 1; slice < slices; slice++) {
        multiply_stage<SLICE, false>(sum, stages + at * STAGE, &b->full[at], parity);
        sm90_product_wait<1>();
        if (slice == LAG && group == 0) sm90_named_arrive(FIRST_IS_AHEAD, GROUPS * WARPGROUP);
        release_stage(b, previous);
        previous = at;
        if (++at == STAGES) at = 0, parity ^= 1;
    }
    multiply_stage<1, false>(sum, stages + at * STAGE, &b->full[at], parity);
    sm90_product_wait<0>();
    release_stage(b, previous);
    release_stage(b, at);
    if (++at == STAGES) at = 0, parity ^= 1;
}

template <bool FALLBACK>
__device__ void label_rows(const flash_params &p, const flash_work &w, int rank,
                           const uint8_t *stages, barriers *b)
{
    const int group = threadIdx.x / WARPGROUP, lane = threadIdx.x % 32, t = lane % 4;
    const int row_in_tile = group * GROUP_ROWS + threadIdx.x % WARPGROUP / 32 * 16 + lane / 4;
    unsigned moved = 0;
    int at = 0, which = 0;
    uint32_t parity = 0;
    for (int item = blockIdx.x / CLUSTER; item < w.items; item += gridDim.x / CLUSTER) {
        int32_t row[2];
        int place[2];
        __half2 norms[2];
        float threshold[2];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            place[h] = first_row(w, item, rank) + row_in_tile + 8 * h;
            bool exists = place[h] < w.count;
            row[h] = !exists    ? -1
                     : FALLBACK ? p.lists.row[place[h]]
                                : (int32_t)(p.begin + place[h]);
            norms[h] = exists ? p.norms[row[h]] : __half2half2(__ushort_as_half(0));
            threshold[h] = FALLBACK && exists ? p.lists.threshold[place[h]] : FLASH_NEVER;
        }
        const int32_t mine = flash_owned(t, row);
        const int32_t previous = !FALLBACK && mine >= 0 ? p.labels[mine] : -1;
        flash_top2 top[2] = {};
        for (int tile = w.first(p, item); tile < w.last(p, item); tile++) {
            float sum[WIDTH / 2];
            multiply(sum, p.steps / SLICE, stages, b, at, parity);
            if (FALLBACK)
                flash_keep_candidates<WIDTH>(p, w.room, sum, tile, t, threshold, place);
            else
                flash_keep_top2<WIDTH>(sum, p.score_factor, tile, top);
        }
        if (threadIdx.x % WARPGROUP == 0) sm90_arrive(&b->released[which]);
        which ^= 1;
        if (!FALLBACK) {
            flash_finish_rows<WIDTH, true>(p, top, mine, norms, previous, lane, moved,
                                           flash_knowing_list{{p}});
        }
    }
    if (!FALLBACK) {
        moved = __reduce_add_sync(0xffffffffu, moved);
        if (lane == 0 && moved > 0) atomicAdd(p.moved, (unsigned long long)moved);
    }
}

template <bool FALLBACK>
__global__ void __cluster_dims__(CLUSTER, 1, 1) __launch_bounds__(THREADS, 1)
    flash_assign_wide(const __grid_constant__ flash_params p)
{
    extern __shared__ __align__(128) uint8_t shared[];
    barriers *b = reinterpret_cast<barriers *>(shared + BARRIERS);
    float *offset = reinterpret_cast<float *>(shared + OFFSETS);
    const int rank = sm90_cluster_rank();
    for (int j = threadIdx.x; keeps_offsets(p) && j < p.steps * FLASH_STEP; j += THREADS)
        offset[j] = p.offset[j];
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            sm90_barrier_init(&b->full[i], 1);
            sm90_barrier_init(&b->empty[i], GROUPS * CLUSTER);
        }
        for (int i = 0; i < 2; i++) {
            sm90_barrier_init(&b->converted[i], CONVERTERS);
            sm90_barrier_init(&b->released[i], GROUPS);
        }
        sm90_barrier_fence();
    }
    sm90_cluster_sync();
    const flash_work w(p, CLUSTER * ROWS, gridDim.x / CLUSTER, FALLBACK);
    if (threadIdx.x / WARPGROUP == GROUPS) {
        sm90_fewer_registers<COPY_REGISTERS>();
        if (threadIdx.x % WARPGROUP == 0)
            copy_slices(p, w, rank, shared, b);
        else if (threadIdx.x % WARPGROUP >= 32)
            convert_tiles<FALLBACK>(p, w, rank, keeps_offsets(p) ? offset : p.offset, b);
    } else {
        sm90_more_registers<MATH_REGISTERS>();
        label_rows<FALLBACK>(p, w, rank, shared, b);
    }
    __syncwarp();
    sm90_cluster_sync(); /* nobody leaves while its partner may still reach into its memory */
}

lloyd_status launch(const cuda_gpu &gpu, const flash_params &p, bool fallback, cudaStream_t stream)
{
    auto kernel = fallback ? flash_assign_wide<true> : flash_assign_wide<false>;
    const int bytes = OFFSETS + (keeps_offsets(p) ? p.steps * FLASH_STEP * (int)sizeof(float) : 0);
    LLOYD_TRY(
        lloyd_cuda_allow_shared((const void *)kernel, bytes, "preparing the assignment kernel"));
    kernel<<<gpu.multiprocessors / CLUSTER * CLUSTER, THREADS, bytes, stream>>>(p);
    CUDA_LAUNCHED("starting the assignment kernel");
    return LLOYD_OK;
}

bool supports(const cuda_gpu &gpu, const cuda_assign_shape &shape)
{
    return gpu.capability == 90 && shape.dim > 256;
}

void configure(const cuda_assign_shape &shape, cuda_assign_config *config)
{
    config->steps = (int)cuda_divide_up(shape.dim, SLICE * FLASH_STEP) * SLICE;
    config->width = WIDTH;
    config->group = 0; /* a thread converts eight columns as they lie */
}

/* The operands of two tiles of rows, of every block. */
int64_t scratch_bytes(const cuda_gpu &gpu, const cuda_assign_config &config)
{
    return (int64_t)gpu.multiprocessors * 2 * (config.steps + 1) * STEP_ROWS;
}

} // namespace

extern const cuda_assign_kernel lloyd_cuda_assign_sm90_wide = {
    .name = "sm90_wide",
    .supports = supports,
    .configure = configure,
    .scratch_bytes = scratch_bytes,
    .launch = launch,
    .launch_groups = nullptr,
    .piece_rows = 0,
    .can_prune = false,
};
