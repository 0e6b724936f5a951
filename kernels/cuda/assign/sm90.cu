/* Longer than 600 lines: it is one kernel, whose parts share its tile shapes, its registers and its barriers.
 *
 * FlashAssign for Hopper: nearest and second-nearest centroid of every row, no N x K matrix
 * anywhere (after Flash-KMeans, arXiv 2603.09229, section 4; the design of the kernel is our own).
 *
 * A block keeps one tile of rows at a time, as fragments in the registers of its math warpgroups (64
 * rows each), and streams the centroids' image past them: one thread copies tile after tile into a
 * ring of stages. The warpgroups ping-pong: the top-2 of one overlaps the products of the next, which
 * starts when all but the last products of the one before have completed. No warpgroup that multiplies
 * waits for global memory: three warps beside the copying one convert the next tile of rows to
 * fragments in shared memory, 16 rows at a time, each from copies that it started two pieces earlier;
 * one of them writes out the lists of rows without a certificate. In the fallback pass, the rows
 * come from the list, and instead of top-2 the kernel keeps the centroids that reach a threshold.
 */
#include "kernels/cuda/assign/fallback.cuh"
#include "kernels/cuda/assign/registry.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sm90/instructions.cuh"

#include <iterator>

namespace
{

/* CONVERTERS: warps. PIECE: rows that one converts at a time. LISTS: those not written out yet. */
/* Named barriers between the math warpgroups; 0 is __syncthreads(). */
enum named_barrier {
    PING_PONG = 1 /* and the numbers after it, one for each warpgroup: it may start its products */
};

/* Warps of the last warpgroup, which does not multiply. */
enum warp_role { COPY_WARP, FIRST_CONVERTER };

constexpr int WARPGROUP = 128, GROUP_ROWS = 64, CONVERTERS = 3, PIECE = 16, LISTS = 3;

/* What is known of rows before they are multiplied. */
template <int ROWS> struct row_metadata {
    int32_t row[ROWS]; /* of the slot, -1: none */
    __half2 norms[ROWS];
    int32_t previous[ROWS]; /* labels, or thresholds in the fallback pass */
};

/* Rows without a certificate, of one tile. */
template <int ROWS> struct tile_list {
    int count;
    int32_t row[ROWS];
    float threshold[ROWS];
};

template <int STAGES, int ROWS, int AHEAD> struct control {
    uint64_t full[STAGES], empty[STAGES];
    uint64_t rows_copied[CONVERTERS][AHEAD]; /* the rows of a piece */
    uint64_t tile_converted;                 /* its fragments and metadata are in shared memory */
    uint64_t tile_read; /* the fragments are in registers; all tiles before are labelled */
    uint64_t all_labelled;
    row_metadata<ROWS> metadata[2]; /* of a tile until it is labelled, and of the next */
    row_metadata<PIECE> piece[CONVERTERS][AHEAD];
    tile_list<ROWS> list[LISTS];
};

/* The shape of a block, and the registers of its math and other threads. BOUNDS: 1 or 0. ELEMENT:
 * bytes of the largest element it is for. */
template <int STEPS_, int BOUNDS_, int STAGES_, int GROUPS_, int ELEMENT = 4> struct shape {
    static constexpr int STEPS = STEPS_, BOUNDS = BOUNDS_, PRODUCTS = STEPS + BOUNDS;
    static constexpr int WIDTH = 128, STAGES = STAGES_, GROUPS = GROUPS_;
    static constexpr int ROWS = GROUPS * GROUP_ROWS, THREADS = (GROUPS + 1) * WARPGROUP;
    static constexpr int TILE_BYTES = flash_tile_bytes(PRODUCTS, WIDTH);
    /* Rows are copied to shared memory before they are converted, where there is room for them. */
    static constexpr int AHEAD = STEPS <= 2 ? 6 : STEPS <= 4 ? 4 : 2; /* pieces of a converter */
    static constexpr int RAW = STEPS <= 8 ? PIECE * STEPS * FLASH_STEP * ELEMENT : 0;
    static constexpr int FRAGMENTS = STAGES * TILE_BYTES;
    static constexpr int RAWS = FRAGMENTS + ROWS * STEPS * FLASH_STEP * 2;
    static constexpr int BIASES = RAWS + CONVERTERS * AHEAD * RAW;
    static constexpr int OFFSETS = BIASES + (BOUNDS ? 0 : (STAGES + 1) * WIDTH * 4);
    static constexpr int CONTROL = OFFSETS + STEPS * FLASH_STEP * 4;
    static constexpr int SHARED = CONTROL + (int)sizeof(control<STAGES, ROWS, AHEAD>);
    /* What a math thread holds: sums, fragments, and what counts and addresses. The others share what
     * is left of the 65,536 registers (61,440 where five warpgroups divide them). */
    static constexpr int NEED = WIDTH / 2 + STEPS * 4 + (BOUNDS ? 40 : 52);
    static constexpr int MATH = GROUPS == 4   ? (STEPS > 2 ? 112 : 104)
                                : GROUPS == 3 ? (NEED > 144 ? 152 : 136)
                                              : 216;
    static constexpr int OTHER = GROUPS == 2 ? 72 : (GROUPS == 4 ? 480 : 512) - GROUPS * MATH;
    static constexpr int BATCH = OTHER >= 64 ? 4 : OTHER >= 56 ? 2 : 1; /* groups of a converter */
    /* products that the next warpgroup need not wait for: measured */
    static constexpr int LEFT = BOUNDS || PRODUCTS < 3 ? (PRODUCTS > 1 ? 1 : 0) : 2;
    static_assert(SHARED <= 227 * 1024, "more shared memory than a block has");
    static_assert(WIDTH <= 256, "six bits number the columns of a thread");
};

/* The parts of a block's shared memory. */
template <class S> struct memory {
    uint8_t *stages;
    uint4 *fragments;
    char *raw;
    float *biases, *offset;
    control<S::STAGES, S::ROWS, S::AHEAD> *c;
    __device__ explicit memory(uint8_t *shared)
        : stages(shared), fragments((uint4 *)(shared + S::FRAGMENTS)),
          raw((char *)shared + S::RAWS), biases((float *)(shared + S::BIASES)),
          offset((float *)(shared + S::OFFSETS)),
          c((control<S::STAGES, S::ROWS, S::AHEAD> *)(shared + S::CONTROL))
    {
    }
};

/* A ring of the tiles' biases, where there are no bound columns. A warpgroup that has done its products of a
 * tile is through with the scores of the one before: one slot more than there are stages. */
template <class S> struct bias_ring {
    static constexpr int BYTES = S::WIDTH * 4;
    int slot = 0;
    __device__ float *here(const memory<S> &m) const
    {
        return m.biases + slot * S::WIDTH;
    }
    __device__ void step()
    {
        if (++slot > S::STAGES) slot = 0;
    }
};

/* --- centroids --- */

/* What the converters will ask for of a later tile. */
template <class S>
__device__ void prefetch_rows(const flash_params &p, const flash_work &w, int item)
{
    if (item >= w.items) return;
    int64_t first = (int64_t)item * S::ROWS, left = p.count - first;
    int64_t rows = left < S::ROWS ? left : S::ROWS;
    int64_t row_bytes = p.rows.dim * cuda_element_bytes(p.rows.type);
    first += p.begin;
    sm90_prefetch(p.rows.data + first * row_bytes, rows * row_bytes);
    sm90_prefetch(p.norms + first, rows * (int64_t)sizeof *p.norms);
    sm90_prefetch(p.labels + first, rows * (int64_t)sizeof *p.labels);
}

template <class S, bool FALLBACK>
__device__ void copy_tiles(const flash_params &p, const flash_work &w, const memory<S> &m)
{
    bias_ring<S> biases;
    int at = 0;
    uint32_t parity = 1; /* all stages are empty */
    for (int item = blockIdx.x; item < w.items; item += gridDim.x) {
        if (!FALLBACK) prefetch_rows<S>(p, w, item + 2 * gridDim.x);
        for (int tile = w.first(p, item); tile < w.last(p, item); tile++) {
            sm90_wait(&m.c->empty[at], parity);
            sm90_expect(&m.c->full[at], S::TILE_BYTES + (S::BOUNDS ? 0 : biases.BYTES));
            if (!S::BOUNDS) {
                sm90_copy(biases.here(m), p.bias + tile * S::WIDTH, biases.BYTES, &m.c->full[at]);
                biases.step();
            }
            sm90_copy(m.stages + at * S::TILE_BYTES, p.image + (int64_t)tile * S::TILE_BYTES,
                      S::TILE_BYTES, &m.c->full[at]);
            if (++at == S::STAGES) at = 0, parity ^= 1;
        }
    }
}

/* --- rows --- */

/* A converter's walk over its pieces: every third one of every tile of the block. */
template <class S> struct walk {
    int item, piece;
    __device__ explicit walk(int converter) : item(blockIdx.x), piece(converter)
    {
    }
    __device__ void step()
    {
        piece += CONVERTERS;
        if (piece < S::ROWS / PIECE) return;
        piece %= CONVERTERS;
        item += gridDim.x;
    }
};

/* Asks for a piece: metadata by words, rows (where they start at multiples of 16 bytes) in one copy, or
 * one each where they come from a list. A warp. */
template <class S, bool FALLBACK>
__device__ void request_piece(const flash_params &p, const flash_work &w, const memory<S> &m,
                              const walk<S> &at, int converter, int slot)
{
    const int lane = threadIdx.x % 32;
    if (at.item < w.items) {
        const int first = at.item / w.parts * S::ROWS + at.piece * PIECE, place = first + lane;
        row_metadata<PIECE> *metadata = &m.c->piece[converter][slot];
        int32_t row = -1;
        if (lane < PIECE) {
            bool exists = place < w.count;
            if (exists) row = FALLBACK ? p.lists.row[place] : (int32_t)(p.begin + place);
            metadata->row[lane] = row;
            if (exists) {
                cuda_copy_async<4>(&metadata->norms[lane], &p.norms[row]);
                cuda_copy_async<4>(&metadata->previous[lane],
                                   FALLBACK ? (void *)&p.lists.threshold[place]
                                            : (void *)&p.labels[row]);
            } else {
                metadata->norms[lane] = __half2half2(__ushort_as_half(0));
                metadata->previous[lane] = FALLBACK ? __float_as_int(FLASH_NEVER) : -1;
            }
        }
        if (S::RAW > 0 && p.vector) {
            const int64_t bytes = p.rows.dim * cuda_element_bytes(p.rows.type);
            char *raw = m.raw + (converter * S::AHEAD + slot) * S::RAW;
            uint64_t *rows_copied = &m.c->rows_copied[converter][slot];
            int count = __popc(__ballot_sync(0xffffffffu, row >= 0));
            if (lane == 0) sm90_expect(rows_copied, (uint32_t)(count * bytes));
            __syncwarp();
            if (FALLBACK && row >= 0) {
                sm90_copy(raw + lane * bytes, p.rows.data + row * bytes, (uint32_t)bytes,
                          rows_copied);
            } else if (!FALLBACK && lane == 0 && count > 0) {
                sm90_copy(raw, p.rows.data + row * bytes, (uint32_t)(count * bytes), rows_copied);
            }
        }
    }
    cuda_copy_commit();
}

/* WORDS words from `data`, or zeros. */
template <int WORDS>
__device__ inline void read_words(const void *data, bool there, uint32_t *words)
{
    if constexpr (WORDS == 4) {
        uint4 v = there ? *(const uint4 *)data : uint4{0, 0, 0, 0};
        words[0] = v.x, words[1] = v.y, words[2] = v.z, words[3] = v.w;
    } else if constexpr (WORDS == 2) {
        uint2 v = there ? *(const uint2 *)data : uint2{0, 0};
        words[0] = v.x, words[1] = v.y;
    } else {
        words[0] = there ? *(const uint32_t *)data : 0;
    }
}

/* The same from rows that start anywhere: 4 elements from column `column` on. */
template <lloyd_type T>
__device__ inline void read_elements(const void *row, int column, int64_t dim, bool there,
                                     uint32_t *words)
{
    using element = typename cuda_element<T>::type;
    const element *at = (const element *)row + column;
    element four[4];
#pragma unroll
    for (int e = 0; e < 4; e++) four[e] = there && column + e < dim ? at[e] : element(0.0F);
#pragma unroll
    for (int w = 0; w < (int)sizeof four / 4; w++) words[w] = ((const uint32_t *)four)[w];
}

/* Two rows of a piece, as a lane of a math warp will hold them: where they are, or null, and their
 * scales. */
struct row_pair {
    const char *data[2];
    float scale[2];
};

/* COUNT groups of GROUP steps each from `base` on. */
template <class S, lloyd_type T, bool VECTOR, int GROUP, int COUNT>
__device__ inline void convert_groups(const flash_params &p, const row_pair &pair, int base,
                                      const float *offset, uint4 *fragments)
{
    constexpr int SIZE = (int)sizeof(typename cuda_element<T>::type), WORDS = GROUP * SIZE;
    const bool cosine = p.rows.lengths != nullptr;
    const int first = FLASH_STEP * base + 4 * GROUP * (threadIdx.x % 4);
    uint32_t raw[COUNT][2][WORDS];
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        const int column = first + i * GROUP * FLASH_STEP;
#pragma unroll
        for (int h = 0; h < 2; h++) {
            bool there = pair.data[h] != nullptr;
            if constexpr (VECTOR)
                read_words<WORDS>(pair.data[h] + column * SIZE, there && column < p.rows.dim,
                                  raw[i][h]);
            else
                read_elements<T>(pair.data[h], column, p.rows.dim, there, raw[i][h]);
        }
    }
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
#pragma unroll
        for (int g = 0; g < GROUP; g++) {
            float4 o = *(const float4 *)(offset + first + i * GROUP * FLASH_STEP + 4 * g);
            uint32_t half[2][2];
#pragma unroll
            for (int h = 0; h < 2; h++) {
                float x[4], scale = pair.scale[h];
                flash_four<T>(raw[i][h] + g * SIZE, cosine, x);
                half[h][0] =
                    flash_pack(flash_operand(x[0], scale, o.x), flash_operand(x[1], scale, o.y));
                half[h][1] =
                    flash_pack(flash_operand(x[2], scale, o.z), flash_operand(x[3], scale, o.w));
            }
            fragments[(base + i * GROUP + g) * 32] = {half[0][0], half[1][0], half[0][1],
                                                      half[1][1]};
        }
    }
}

/* All groups, as flash_column() cuts the steps into them. */
template <class S, lloyd_type T, bool VECTOR>
__device__ void convert_rows(const flash_params &p, const row_pair &pair, const float *offset,
                             uint4 *fragments)
{
    constexpr int GROUP = flash_group(T, VECTOR), WHOLE = S::STEPS / GROUP;
    constexpr int COUNT = S::BATCH < WHOLE ? S::BATCH : WHOLE;
    if constexpr (WHOLE > 0) {
        constexpr int BATCHES = WHOLE / COUNT;
#pragma unroll 1
        for (int batch = 0; batch < BATCHES; batch++) {
            convert_groups<S, T, VECTOR, GROUP, COUNT>(p, pair, batch * COUNT * GROUP, offset,
                                                       fragments);
        }
        if constexpr (WHOLE % COUNT > 0) {
            convert_groups<S, T, VECTOR, GROUP, WHOLE % COUNT>(p, pair, BATCHES * COUNT * GROUP,
                                                               offset, fragments);
        }
    }
    if constexpr (GROUP == 4 && (S::STEPS & 2))
        convert_groups<S, T, VECTOR, 2, 1>(p, pair, WHOLE * GROUP, offset, fragments);
    if constexpr (GROUP > 1 && (S::STEPS & 1))
        convert_groups<S, T, VECTOR, 1, 1>(p, pair, S::STEPS - 1, offset, fragments);
}

/* A piece that has rows_copied, into the tile's fragments and metadata. A warp. */
template <class S>
__device__ void convert_piece(const flash_params &p, const memory<S> &m, row_metadata<S::ROWS> *to,
                              int piece, int converter, int slot)
{
    const int lane = threadIdx.x % 32;
    const row_metadata<PIECE> &metadata = m.c->piece[converter][slot];
    const bool in_shared = S::RAW > 0 && p.vector;
    const int64_t bytes = p.rows.dim * cuda_element_bytes(p.rows.type);
    const float sigma = p.units->sigma;
    row_pair pair;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int i = lane / 4 + 8 * h;
        int64_t row = metadata.row[i];
        pair.data[h] = row < 0     ? nullptr
                       : in_shared ? m.raw + (converter * S::AHEAD + slot) * S::RAW + i * bytes
                                   : p.rows.data + row * bytes;
        pair.scale[h] = row < 0 ? sigma : flash_row_scale(p.rows, row, sigma);
    }
    uint4 *fragments = m.fragments + piece * S::STEPS * 32 + lane;
    switch (p.rows.type * 2 + (p.vector ? 1 : 0)) {
    case LLOYD_F32 * 2: convert_rows<S, LLOYD_F32, false>(p, pair, m.offset, fragments); break;
    case LLOYD_F32 * 2 + 1: convert_rows<S, LLOYD_F32, true>(p, pair, m.offset, fragments); break;
    case LLOYD_F16 * 2: convert_rows<S, LLOYD_F16, false>(p, pair, m.offset, fragments); break;
    case LLOYD_F16 * 2 + 1: convert_rows<S, LLOYD_F16, true>(p, pair, m.offset, fragments); break;
    case LLOYD_BF16 * 2: convert_rows<S, LLOYD_BF16, false>(p, pair, m.offset, fragments); break;
    case LLOYD_BF16 * 2 + 1: convert_rows<S, LLOYD_BF16, true>(p, pair, m.offset, fragments); break;
    case LLOYD_U8 * 2: convert_rows<S, LLOYD_U8, false>(p, pair, m.offset, fragments); break;
    case LLOYD_U8 * 2 + 1: convert_rows<S, LLOYD_U8, true>(p, pair, m.offset, fragments); break;
    case LLOYD_I8 * 2: convert_rows<S, LLOYD_I8, false>(p, pair, m.offset, fragments); break;
    case LLOYD_I8 * 2 + 1: convert_rows<S, LLOYD_I8, true>(p, pair, m.offset, fragments); break;
    }
    if (lane < PIECE) {
        to->row[piece * PIECE + lane] = metadata.row[lane];
        to->norms[piece * PIECE + lane] = metadata.norms[lane];
        to->previous[piece * PIECE + lane] = metadata.previous[lane];
    }
}

/* Appends a tile's list to the global one, and empties it. A warp. */
template <class S> __device__ void flush(const flash_params &p, const memory<S> &m, int tile)
{
    tile_list<S::ROWS> *list = &m.c->list[tile % LISTS];
    const int lane = threadIdx.x % 32, count = list->count;
    int base = 0;
    if (count == 0) return;
    if (lane == 0) base = atomicAdd(&p.lists.counters[FLASH_LISTED], count);
    base = __shfl_sync(0xffffffffu, base, 0);
    for (int i = lane; i < count; i += 32) {
        p.lists.row[base + i] = list->row[i];
        p.lists.threshold[base + i] = list->threshold[i];
        p.lists.found[base + i] = 0;
    }
    __syncwarp();
    if (lane == 0) list->count = 0;
}

/* One converter's part of all tiles of the block. */
template <class S, bool FALLBACK>
__device__ void convert_tiles(const flash_params &p, const flash_work &w, const memory<S> &m,
                              int converter)
{
    walk<S> wanted(converter);
    for (int slot = 0; slot < S::AHEAD; slot++, wanted.step())
        request_piece<S, FALLBACK>(p, w, m, wanted, converter, slot);
    int slot = 0, n = 0;
    uint32_t parity = 0;
    for (int item = blockIdx.x; item < w.items; item += gridDim.x, n++) {
        if (n > 0) sm90_wait(&m.c->tile_read, (n - 1) & 1);
        for (int piece = converter; piece < S::ROWS / PIECE; piece += CONVERTERS) {
            cuda_copy_wait<S::AHEAD - 1>();
            __syncwarp();
            if (S::RAW > 0 && p.vector) sm90_wait(&m.c->rows_copied[converter][slot], parity);
            convert_piece<S>(p, m, &m.c->metadata[n & 1], piece, converter, slot);
            __syncwarp();
            request_piece<S, FALLBACK>(p, w, m, wanted, converter, slot);
            wanted.step();
            if (++slot == S::AHEAD) slot = 0, parity ^= 1;
        }
        sm90_arrive(&m.c->tile_converted);
        /* the math warps fill the list of tile n + 1 only after this */
        if (!FALLBACK && converter == 0 && n > 1) flush<S>(p, m, n - 2);
    }
    if (FALLBACK || converter > 0 || n == 0) return;
    sm90_wait(&m.c->all_labelled, 0);
    if (n > 1) flush<S>(p, m, n - 2);
    flush<S>(p, m, n - 1);
}

/* --- products --- */

/* All products of a tile with the operands `b`. In two groups: when the first has completed, the
 * next warpgroup may start, and the LEFT others keep the tensor cores busy until its products
 * arrive. own, next: named barriers. */
template <class S>
__device__ inline void multiply(float *sum, uint32_t (*fragment)[4], uint64_t b, int own, int next)
{
    constexpr uint64_t STEP = S::WIDTH * FLASH_STEP * 2 >> 4;
    sm90_named_sync(own, 2 * WARPGROUP);
    sm90_product_fence();
#pragma unroll
    for (int step = 0; step < S::PRODUCTS; step++) {
        if (step > 0 && step == S::PRODUCTS - S::LEFT) sm90_product_commit();
        sm90_product<S::WIDTH>(sum, fragment[step], b + step * STEP, step > 0);
    }
    sm90_product_commit();
    sm90_product_wait<(S::LEFT > 0 ? 1 : 0)>();
    sm90_named_arrive(next, 2 * WARPGROUP);
    sm90_product_wait<0>();
}

/* Appends to the tile's own list. */
template <int ROWS> struct shared_list {
    tile_list<ROWS> *list;
    template <int WIDTH>
    __device__ void add(bool listed, int32_t row, float threshold, int, const flash_top2 *) const
    {
        if (!listed) return;
        int at = atomicAdd(&list->count, 1);
        list->row[at] = row;
        list->threshold[at] = threshold;
    }
};

template <class S, bool FALLBACK>
__device__ void label_rows(const flash_params &p, const flash_work &w, const memory<S> &m)
{
    const int group = threadIdx.x / WARPGROUP, lane = threadIdx.x % 32, t = lane % 4;
    const int own = PING_PONG + group, next = PING_PONG + (group + 1) % S::GROUPS;
    const int warp = threadIdx.x / 32, row_in_tile = warp * 16 + lane / 4;
    const uint64_t operands = sm90_descriptor(m.stages);
    bias_ring<S> biases;
    uint32_t fragment[S::PRODUCTS][4] = {};
    const bool local = !S::BOUNDS && p.units->local;
    unsigned moved = 0;
    int at = 0, n = 0;
    uint32_t parity = 0;

    if (group == S::GROUPS - 1)
        sm90_named_arrive(PING_PONG, 2 * WARPGROUP); /* the first warpgroup may start */
    for (int item = blockIdx.x; item < w.items; item += gridDim.x, n++) {
        const row_metadata<S::ROWS> &metadata = m.c->metadata[n & 1];
        int32_t mine = -1, previous = -1; /* of the row that this thread ends */
        const auto know_row = [&] {
            if (t < 2) mine = metadata.row[row_in_tile + 8 * t];
            previous = metadata.previous[row_in_tile + 8 * (t & 1)];
        };
        __half2 norms[2];
        float threshold[2];
        int place[2];
        sm90_wait(&m.c->tile_converted, n & 1);
#pragma unroll
        for (int h = 0; h < 2; h++) {
            place[h] = item / w.parts * S::ROWS + row_in_tile + 8 * h;
            norms[h] = metadata.norms[row_in_tile + 8 * h];
            threshold[h] = __int_as_float(metadata.previous[row_in_tile + 8 * h]);
        }
        if (S::BOUNDS) know_row();
#pragma unroll
        for (int step = 0; step < S::STEPS; step++) {
            uint4 words = m.fragments[(warp * S::STEPS + step) * 32 + lane];
            fragment[step][0] = words.x, fragment[step][1] = words.y;
            fragment[step][2] = words.z, fragment[step][3] = words.w;
        }
        if (S::BOUNDS) flash_bound_fragment(norms, t, fragment[S::STEPS]);
        __syncwarp();
        if (lane == 0) sm90_arrive(&m.c->tile_read);

        flash_top2 top[2] = {};
        flash_pruner pruner = {};
        pruner.local = local;
#pragma unroll
        for (int h = 0; h < 2; h++) {
            pruner.norms[h] = norms[h];
            pruner.least[h] = FALLBACK ? threshold[h] : 0;
        }
        for (int tile = w.first(p, item); tile < w.last(p, item); tile++) {
            float sum[S::WIDTH / 2];
            const uint64_t b = operands + (uint64_t)(at * (S::TILE_BYTES >> 4));
            if (!S::BOUNDS) flash_begin_pruning(p, tile, pruner);
            sm90_wait(&m.c->full[at], parity);
            multiply<S>(sum, fragment, b, own, next);
            if (threadIdx.x % WARPGROUP == 0) sm90_arrive(&m.c->empty[at]);
            if (++at == S::STAGES) at = 0, parity ^= 1;
            if (FALLBACK && S::BOUNDS)
                flash_keep_candidates<S::WIDTH>(p, w.room, sum, tile, t, threshold, place);
            else if (FALLBACK)
                flash_prune_candidates<S::WIDTH>(p, w.room, sum, biases.here(m), tile, t, pruner,
                                                 place);
            else if (S::BOUNDS)
                flash_keep_top2<S::WIDTH>(sum, p.score_factor, tile, top);
            else
                flash_prune_top2<S::WIDTH>(p, sum, biases.here(m), tile, t, top, pruner);
            if (!S::BOUNDS) biases.step();
        }
        if (!FALLBACK) {
            if (!S::BOUNDS) {
                flash_end_pruning(p, pruner, top);
                know_row(); /* only now: in the loop, registers are short */
            }
            flash_finish_rows<S::WIDTH, S::BOUNDS>(p, top, mine, norms, previous, lane, moved,
                                                   shared_list<S::ROWS>{&m.c->list[n % LISTS]});
        }
    }
    if (FALLBACK) return;
    sm90_arrive(&m.c->all_labelled);
    moved = __reduce_add_sync(0xffffffffu, moved);
    if (lane == 0 && moved > 0) atomicAdd(p.moved, (unsigned long long)moved);
}

template <class S, bool FALLBACK>
__global__ void __launch_bounds__(S::THREADS, 1)
    flash_assign(const __grid_constant__ flash_params p)
{
    extern __shared__ __align__(128) uint8_t shared[];
    const memory<S> m(shared);
    if (threadIdx.x == 0) {
        for (int i = 0; i < S::STAGES; i++) {
            sm90_barrier_init(&m.c->full[i], 1);
            sm90_barrier_init(&m.c->empty[i], S::GROUPS);
        }
        sm90_barrier_init(&m.c->tile_converted, CONVERTERS * 32);
        for (int i = 0; i < CONVERTERS * S::AHEAD; i++)
            sm90_barrier_init(&m.c->rows_copied[i / S::AHEAD][i % S::AHEAD], 1);
        sm90_barrier_init(&m.c->tile_read, S::GROUPS * 4);
        sm90_barrier_init(&m.c->all_labelled, S::GROUPS * WARPGROUP);
        sm90_barrier_fence();
        for (int i = 0; i < LISTS; i++) m.c->list[i].count = 0;
    }
    cuda_await();
    for (int j = threadIdx.x; j < S::STEPS * FLASH_STEP; j += S::THREADS) m.offset[j] = p.offset[j];
    __syncthreads();
    const flash_work w(p, S::ROWS, gridDim.x, FALLBACK);
    if (threadIdx.x / WARPGROUP == S::GROUPS) {
        sm90_fewer_registers<S::OTHER>();
        const int warp = threadIdx.x % WARPGROUP / 32;
        if (warp >= FIRST_CONVERTER)
            convert_tiles<S, FALLBACK>(p, w, m, warp - FIRST_CONVERTER);
        else if (threadIdx.x % 32 == 0)
            copy_tiles<S, FALLBACK>(p, w, m);
    } else {
        sm90_more_registers<S::MATH>();
        label_rows<S, FALLBACK>(p, w, m);
    }
}

template <class S>
lloyd_status launch_shape(const cuda_gpu &gpu, const flash_params &p, bool fallback,
                          cudaStream_t stream)
{
    auto kernel = fallback ? flash_assign<S, true> : flash_assign<S, false>;
    LLOYD_TRY(lloyd_cuda_allow_shared((const void *)kernel, S::SHARED,
                                      "preparing the assignment kernel"));
    return cuda_launch_after(stream, 90, kernel, gpu.multiprocessors, S::THREADS, S::SHARED,
                             "starting the assignment kernel", p);
}

/* Of tile TILE or one of those after it. */
template <int TILE = 0>
lloyd_status launch_tile(int tile, const cuda_gpu &gpu, const flash_params &p, bool fallback,
                         cudaStream_t stream)
{
    constexpr cuda_assign_tile T = SM90_TILES[TILE];
    if (tile == TILE) {
        return p.order ? launch_shape<shape<T.steps, 0, T.stages, T.groups, T.element>>(gpu, p,
                                                                                        fallback,
                                                                                        stream)
                       : launch_shape<shape<T.steps, 1, T.stages, T.groups, T.element>>(gpu, p,
                                                                                        fallback,
                                                                                        stream);
    }
    if constexpr (TILE + 1 < (int)std::size(SM90_TILES))
        return launch_tile<TILE + 1>(tile, gpu, p, fallback, stream);
    return lloyd_fail(LLOYD_FAILED, "sm90: no tile for %d k-steps", p.steps);
}

lloyd_status launch(const cuda_gpu &gpu, const flash_params &p, bool fallback, cudaStream_t stream)
{
    return launch_tile(cuda_assign_tile_of(SM90_TILES, p.steps, cuda_element_bytes(p.rows.type)),
                       gpu, p, fallback, stream);
}

bool supports(const cuda_gpu &gpu, const cuda_assign_shape &shape)
{
    return gpu.capability == 90 && shape.dim <= 256;
}

/* From MANY centroids on so few products matter that it pays to look for them; with long rows, whose
 * products take more of the time, from fewer on. Gaussian rows would gain 4 to 12 % from 8192 centroids
 * on, but photographs' descriptors, of nearly equal lengths, would lose more. */
void configure(const cuda_assign_shape &shape, cuda_assign_config *config)
{
    enum { MANY = 16384, MANY_LONG = 4096, LONG_STEPS = 12 };
    const int tile = cuda_assign_tile_of(SM90_TILES, cuda_divide_up(shape.dim, FLASH_STEP), 1);
    config->steps = SM90_TILES[tile].steps;
    config->width = 128;
    config->group = flash_group(shape.type, config->vector);
    config->prune = shape.set >= (config->steps < LONG_STEPS ? MANY : MANY_LONG);
}

} // namespace

extern const cuda_assign_kernel lloyd_cuda_assign_sm90 = {
    .name = "sm90",
    .supports = supports,
    .configure = configure,
    .scratch_bytes = nullptr,
    .launch = launch,
    .launch_groups = nullptr,
    .piece_rows = 0,
    .can_prune = true,
};
