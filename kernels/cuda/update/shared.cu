/* Exact sums per cluster where clusters are few: in shared memory, without sorting.
 *
 * A block streams through its part of the rows, in the order in which they lie, and adds every element
 * to the sum of its cluster in shared memory, atomically; at the end, and after every MOST_ROWS rows,
 * it adds its sums to those of all. Where the sums of all columns are more than a block's share, a tile
 * of the columns is summed per block, and the blocks of the other tiles read the same rows at about the
 * same time. So rows are read once, in order, at the speed of memory; what it takes is that clusters are
 * few, or the sums do not fit, and adding them up costs more than sorting.
 *
 * Shared memory adds 32 bits at a time. A digit has up to 31, and is split, q = 2^16 h + l with
 * 0 <= l < 2^16 and |h| <= 2^14: sums of MOST_ROWS of either fit in 32 bits. Each part has a plane of
 * sums. Bytes are summed whole, in one plane. float32 numbers of two digits (PAIR) have 24 bits, which
 * lie within the first 45 below the column's top but for one in a million: so their second digit has one
 * plane, of its first REST_BITS bits, and what is left goes straight to the sums of all.
 *
 * What limits it is the number of instructions, some ten per element. A lane loads a word of a row, and
 * lanes next to each other words next to each other. Sums of the first elements of a row's words come
 * first, then those of the second: lanes then add to neighbouring banks. If a warp has several rows at
 * a time, each begins with another element of its words, so that they do not meet in the same banks
 * whatever their clusters are. Lanes without a word add to cells that nobody reads.
 */
#include "kernels/cuda/update/shared.h"

#include "kernels/cuda/assign/assign.h"
#include "kernels/cuda/update/sort.h"
#include "kernels/cuda/update/sums.cuh"

#include <algorithm>

namespace
{

enum {
    THREADS = 1024,
    WARPS = THREADS / 32,
    MOST_ROWS = 65536,   /* of a block, between two additions to the sums of all */
    LARGE = 160 << 10,   /* bytes of a block's sums; */
    SMALL = 80 << 10,    /* on a GPU whose blocks cannot have so many */
    IDLE_CELLS = 32 * 4, /* at the end of a plane: of lanes without a word */
    MOST_CLUSTERS = 2048,
    MASSES = 4 * 4 * MOST_CLUSTERS, /* bytes, at most */
    REST_BITS = 15,                 /* |second digit's first bits| < 2^15 */
    LEAST_TILE_BYTES = 32,          /* of a row: a sector */
    MOST_ROW_BYTES = 4 * 128,       /* longer rows are gathered as fast */
    LEAST_ROWS = 64,                /* per cluster, or adding to the sums of all is all there is */
    LEAST_PART = 4,                 /* rows per cluster of a part, likewise */
    FEW_ROWS = 2 << 20 /* which take so little time that the launches of a sort weigh */
};

/* Rows [0, rows), and how they are dealt to blocks. A row is `words` loads wide; block b has tile
 * b mod tiles, in which lane l of a row has load tile lanes + l, and part b / tiles of the rows. */
struct tally : cuda_summands {
    const int32_t *labels;
    int64_t rows;
    int words, lanes, tiles, parts;
};

constexpr int planes(cuda_arithmetic a)
{
    switch (a) {
    case cuda_arithmetic::INTEGER: return 1;
    case cuda_arithmetic::FLOAT: return 2;
    case cuda_arithmetic::PAIR: return 3;
    case cuda_arithmetic::DEFINITION: break;
    }
    return 4;
}

/* Of masses: in two parts each, the number of rows or two digits of weights. */
constexpr int mass_planes(cuda_arithmetic a)
{
    return a == cuda_arithmetic::DEFINITION ? 4 : 2;
}

/* Bytes of a plane, whole rows of banks, and sums in it, where a block has `space` bytes of sums. */
constexpr int plane_bytes(int space, int planes)
{
    return space / planes / 128 * 128;
}
constexpr int most_cells(int space, int planes)
{
    return plane_bytes(space, planes) / 4 - IDLE_CELLS;
}

/* SPACE: LARGE or SMALL. NARROW: a warp has more than two rows at a time; labels are then loaded
 * beside the words, and not handed from lane to lane. */
template <lloyd_type T, int WIDTH, cuda_arithmetic A, int SPACE, bool NARROW> struct tally_shape {
    static constexpr int SIZE = sizeof(typename cuda_element<T>::type);
    static constexpr int V = WIDTH / SIZE; /* elements of a load */
    static constexpr int PLANES = planes(A), PLANE = plane_bytes(SPACE, PLANES);
    static constexpr int MOST_CELLS = most_cells(SPACE, PLANES), MASS_PLANES = mass_planes(A);
    /* loads on their way, of every lane; 16 of two rows are the 32 labels of a warp */
    static constexpr int AHEAD = A == cuda_arithmetic::DEFINITION ? 4 : NARROW ? 8 : 16;
};

/* --- device functions --- */

template <int WIDTH> __device__ inline uint32_t load_word(const char *at)
{
    if constexpr (WIDTH == 4) return __ldg(reinterpret_cast<const uint32_t *>(at));
    if constexpr (WIDTH == 2) return __ldg(reinterpret_cast<const uint16_t *>(at));
    return __ldg(reinterpret_cast<const uint8_t *>(at));
}

/* *(cell + OFFSET bytes) += value, in shared memory. */
template <int OFFSET> __device__ inline void add_to_cell(uint32_t cell, uint32_t value)
{
    asm volatile("red.shared.add.u32 [%0+%2], %1;" ::"r"(cell), "r"(value), "n"(OFFSET) : "memory");
}

__device__ inline void add_to_sum(int64_t *sum, int64_t value)
{
    if (value != 0) cuda_add_word(sum, value);
}

__device__ inline int64_t joined(uint32_t low, uint32_t high)
{
    return (int64_t)low + (int64_t)(int32_t)high * 65536;
}

template <lloyd_type T, int WIDTH, cuda_arithmetic A, int SPACE, bool NARROW> struct tally_lane {
    using S = tally_shape<T, WIDTH, A, SPACE, NARROW>;
    static constexpr int V = S::V, PLANE = S::PLANE;
    static constexpr bool DEFINED = A == cuda_arithmetic::DEFINITION;

    const tally &t;
    uint32_t *low;  /* [clusters][columns] of the tile; the next plane is PLANE bytes further */
    uint32_t *mass; /* [MASS_PLANES][clusters], of digits low and high */
    int tile, columns;
    int row, word;     /* this lane's among the rows of a warp, and in the row's tile */
    int together;      /* rows of a warp at a time */
    bool counts;       /* masses are needed of this tile, and ... */
    const char *data;  /* this lane's word of row 0 */
    uint32_t selector; /* puts the element that it takes first to the front of a word */
    uint32_t stride;   /* bytes from a cluster's sums to the next one's; 0: there is no such word */
    uint32_t cell[V];  /* shared addresses of cluster 0's sums of its elements, as they are taken */
    int column[V];     /* whose they are */
    float scale[V];
    double exact_scale[V];

    __device__ tally_lane(const tally &job, uint32_t *shared) : t(job)
    {
        const int lane = (int)threadIdx.x % 32;
        tile = (int)blockIdx.x % t.tiles;
        columns = t.lanes * V;
        low = shared;
        mass = shared + S::PLANES * PLANE / 4;
        counts = tile == 0 || A == cuda_arithmetic::INTEGER;
        together = 32 / t.lanes;
        row = lane / t.lanes;
        word = lane % t.lanes;
        const bool takes = row < together && tile * t.lanes + word < t.words;
        if (row >= together) row = 0, word = t.lanes;
        const int at = tile * t.lanes + word;
        data = t.data + (takes ? (int64_t)at * WIDTH : 0);
        stride = takes ? 4 * columns : 0;
        selector = 0;
#pragma unroll
        for (int i = 0; i < V; i++) {
            const int e = (i + row) % V;
            for (int b = 0; b < S::SIZE; b++)
                selector |= (uint32_t)(e * S::SIZE + b) << (4 * (i * S::SIZE + b));
            cell[i] = (uint32_t)__cvta_generic_to_shared(
                low + (takes ? e * t.lanes + word : S::MOST_CELLS + i * 32 + lane));
            if constexpr (A != cuda_arithmetic::INTEGER) {
                column[i] = takes ? at * V + e : 0;
                exact_scale[i] = t.scale[column[i]];
                scale[i] = (float)exact_scale[i];
            }
        }
    }

    __device__ void clear() const
    {
        const int cells = t.clusters * columns;
#pragma unroll
        for (int plane = 0; plane < S::PLANES; plane++) {
            for (int i = (int)threadIdx.x; i < cells; i += THREADS)
                low[plane * (PLANE / 4) + i] = 0;
        }
        for (int i = (int)threadIdx.x; i < S::MASS_PLANES * t.clusters; i += THREADS) mass[i] = 0;
    }

    /* Counts a row, which is of cluster k. */
    __device__ void add_mass(int k, int64_t i) const
    {
        const uint32_t at = (uint32_t)__cvta_generic_to_shared(mass + k);
        if (!DEFINED || !t.weights) {
            add_to_cell<0>(at, 1);
            return;
        }
        const lloyd_pair q = lloyd_pair_of((double)t.weights[i], t.mass_scale, lloyd_exp2(t.bits));
        add_to_cell<0>(at, (uint32_t)q.high & 0xffff);
        add_to_cell<0>(at + 4 * t.clusters, (uint32_t)(q.high >> 16));
        add_to_cell<0>(at + 8 * t.clusters, (uint32_t)q.low & 0xffff);
        add_to_cell<0>(at + 12 * t.clusters, (uint32_t)(q.low >> 16));
    }

    /* Adds an element of two digits in float32. */
    __device__ void add_pair(uint32_t at, float x, int v, int k) const
    {
        const float y = __fmul_rn(x, scale[v]);
        const int high = __float2int_rz(y);
        const float more = __fmul_rn(__fsub_rn(y, __int2float_rn(high)), (float)(1 << REST_BITS));
        const int rest = __float2int_rz(more);
        const float left = __fsub_rn(more, __int2float_rn(rest));
        add_to_cell<0>(at, (uint32_t)high & 0xffff);
        add_to_cell<PLANE>(at, (uint32_t)(high >> 16));
        add_to_cell<2 * PLANE>(at, (uint32_t)rest);
        if (left != 0 && stride > 0) {
            const int last = __float2int_rn(__fmul_rn(left, (float)(1 << (t.bits - REST_BITS))));
            const int64_t to = (int64_t)k * t.seconds + t.second[column[v]];
            add_to_sum(&t.second_sums[to], last);
        }
    }

    /* Adds this lane's word of row i, which is of cluster k. */
    __device__ void add_word(uint32_t bits, int k, int64_t i) const
    {
        [[maybe_unused]] float weight = 1;
        [[maybe_unused]] double length = 1, inverse = 1;
        if constexpr (DEFINED) {
            if (t.weights) weight = t.weights[i];
            if (t.lengths) length = t.lengths[i], inverse = 1 / length;
        }
        if constexpr (A == cuda_arithmetic::INTEGER) bits = cuda_summed_bytes<T>(bits);
        if constexpr (V > 1) bits = __byte_perm(bits, 0, selector);
#pragma unroll
        for (int v = 0; v < V; v++) {
            const uint32_t at = (uint32_t)k * stride + cell[v];
            if constexpr (A == cuda_arithmetic::INTEGER) {
                add_to_cell<0>(at, bits >> (8 * v) & 0xff);
            } else {
                const float x = cuda_element<T>::in_word(bits, v);
                if constexpr (A == cuda_arithmetic::PAIR) {
                    add_pair(at, x, v, k);
                } else if constexpr (DEFINED) {
                    const lloyd_pair q = cuda_defined(x, t.lengths, length, inverse, weight,
                                                      exact_scale[v], lloyd_exp2(t.bits));
                    add_to_cell<0>(at, (uint32_t)q.high & 0xffff);
                    add_to_cell<PLANE>(at, (uint32_t)(q.high >> 16));
                    add_to_cell<2 * PLANE>(at, (uint32_t)q.low & 0xffff);
                    add_to_cell<3 * PLANE>(at, (uint32_t)(q.low >> 16));
                } else {
                    const int32_t q = __float2int_rn(__fmul_rn(x, scale[v]));
                    add_to_cell<0>(at, (uint32_t)q & 0xffff);
                    add_to_cell<PLANE>(at, (uint32_t)(q >> 16));
                }
            }
        }
    }

    /* Rows of a warp between two looks at the labels. */
    __device__ int chunk() const
    {
        return NARROW ? S::AHEAD * together : 32;
    }

    /* Rows [begin, begin + count), which is chunk() if WHOLE, else less. By a warp. */
    template <bool WHOLE> __device__ void add_chunk(int64_t begin, int count) const
    {
        const int lane = (int)threadIdx.x % 32;
        const int32_t *labels = t.labels + begin;
        int label = 0;
        if (!NARROW && (WHOLE || lane < count)) {
            label = labels[lane];
            if (counts) add_mass(label, begin + lane);
        }
        for (int first = row; first < chunk(); first += S::AHEAD * together) {
            const char *from = data + (begin + first) * t.row_bytes;
            uint32_t bits[S::AHEAD];
            [[maybe_unused]] int own[S::AHEAD];
#pragma unroll
            for (int u = 0; u < S::AHEAD; u++) {
                const int i = first + u * together;
                const bool is = WHOLE || i < count;
                bits[u] = is ? load_word<WIDTH>(from) : 0;
                if (NARROW) own[u] = is ? labels[i] : 0;
                from += (uint32_t)together * t.row_bytes;
            }
#pragma unroll
            for (int u = 0; u < S::AHEAD; u++) {
                const int i = first + u * together;
                const int k = NARROW ? own[u] : __shfl_sync(0xffffffffu, label, i);
                if (!WHOLE && i >= count) continue;
                if (NARROW && counts && word == 0) add_mass(k, begin + i);
                add_word(bits[u], k, begin + i);
            }
        }
    }

    /* Adds the block's sums to those of all. By the block, between barriers. */
    __device__ void flush() const
    {
        for (int i = (int)threadIdx.x; i < t.clusters * columns; i += THREADS) {
            const int k = i / columns, in_tile = i % columns, column = tile * columns + in_tile;
            const int at = k * columns + in_tile % V * t.lanes + in_tile / V;
            if (column >= t.dim) continue;
            int64_t sum, second = 0;
            if constexpr (A == cuda_arithmetic::INTEGER)
                sum = cuda_sum_of_bytes<T>(low[at], (int)mass[k], t.scale[column]);
            else
                sum = joined(low[at], low[at + PLANE / 4]);
            if constexpr (A == cuda_arithmetic::PAIR)
                second = (int64_t)(int32_t)low[at + 2 * PLANE / 4] *
                         ((int64_t)1 << (t.bits - REST_BITS));
            if constexpr (DEFINED)
                second = joined(low[at + 2 * PLANE / 4], low[at + 3 * PLANE / 4]);
            add_to_sum(&t.sums[(int64_t)k * t.dim + column], sum);
            /* a column without a second digit has none that is not 0 */
            if (second != 0)
                add_to_sum(&t.second_sums[(int64_t)k * t.seconds + t.second[column]], second);
        }
        for (int k = (int)threadIdx.x; tile == 0 && k < t.clusters; k += THREADS) {
            add_to_sum(&t.masses[k], joined(mass[k], mass[k + t.clusters]));
            if (DEFINED && t.second_mass)
                add_to_sum(&t.masses[t.clusters + k],
                           joined(mass[k + 2 * t.clusters], mass[k + 3 * t.clusters]));
        }
    }
};

/* --- the kernel --- */

template <lloyd_type T, int WIDTH, cuda_arithmetic A, int SPACE, bool NARROW>
__global__ void __launch_bounds__(THREADS, 1) tally_rows(const __grid_constant__ tally t)
{
    extern __shared__ uint32_t shared[];
    const tally_lane<T, WIDTH, A, SPACE, NARROW> self(t, shared);
    self.clear();
    cuda_await();
    const int chunk = self.chunk(), rounds = MOST_ROWS / (WARPS * chunk);
    const int64_t step = (int64_t)t.parts * WARPS * chunk;
    /* the block's next rows, of which every warp has a chunk */
    int64_t at = (int64_t)(blockIdx.x / t.tiles) * WARPS * chunk;
    while (at < t.rows) {
        __syncthreads();
        for (int round = 0; round < rounds && at < t.rows; round++, at += step) {
            const int64_t begin = at + (int)threadIdx.x / 32 * chunk, left = t.rows - begin;
            if (left >= chunk)
                self.template add_chunk<true>(begin, chunk);
            else if (left > 0)
                self.template add_chunk<false>(begin, (int)left);
        }
        __syncthreads();
        self.flush();
        __syncthreads();
        if (at < t.rows) self.clear();
    }
}

/* --- how rows are dealt --- */

/* Lanes of a row, tiles and parts: the least of what every block has to do, in additions of a warp.
 * Beside its elements' there are reading a label, a quarter for every row, and adding to the sums of
 * all, ten for 32 sums (measured). */
template <class S> void deal(const cuda_kernels *cuda, tally *t)
{
    constexpr int values = S::V, width = S::V * S::SIZE;
    double least = INFINITY;
    const int widest = std::min(t->words, 32);
    const int narrowest = std::min(widest, LEAST_TILE_BYTES / width);
    for (int lanes = widest; lanes >= narrowest; lanes--) {
        if ((int64_t)t->clusters * lanes * values > S::MOST_CELLS) continue;
        int64_t tiles = cuda_divide_up(t->words, lanes),
                most = std::max<int64_t>(1, cuda->gpu.multiprocessors / tiles),
                parts = std::min(most, t->rows / (LEAST_PART * (int64_t)t->clusters));
        if (parts < 1) parts = 1;
        double rows = (double)t->rows / (double)parts, at_a_time = 32 / lanes;
        double work = rows * (values * S::PLANES / at_a_time + 0.25) +
                      10.0 * t->clusters * lanes * values / 32;
        if (work >= least) continue;
        least = work;
        t->lanes = lanes;
        t->tiles = (int)tiles;
        t->parts = (int)parts;
    }
}

template <lloyd_type T, int WIDTH, cuda_arithmetic A, int SPACE, bool NARROW>
lloyd_status launch(const cuda_kernels *cuda, const tally &t)
{
    const char *what = "summing the rows of every cluster";
    const int bytes = SPACE + mass_planes(A) * t.clusters * (int)sizeof(uint32_t);
    auto kernel = tally_rows<T, WIDTH, A, SPACE, NARROW>;
    LLOYD_TRY(lloyd_cuda_allow_shared((const void *)kernel, bytes, what));
    return cuda_launch_after(cuda->stream, cuda->gpu.capability, kernel, (int64_t)t.tiles * t.parts,
                             THREADS, (size_t)bytes, what, t);
}

template <lloyd_type T, int WIDTH, cuda_arithmetic A, int SPACE>
lloyd_status launch_dealt(const cuda_kernels *cuda, tally t)
{
    using S = tally_shape<T, WIDTH, A, SPACE, false>;
    t.words = t.dim / S::V;
    deal<S>(cuda, &t);
    return 32 / t.lanes > 2 ? launch<T, WIDTH, A, SPACE, true>(cuda, t)
                            : launch<T, WIDTH, A, SPACE, false>(cuda, t);
}

/* Words, if all rows are aligned to them, or else single elements. */
template <lloyd_type T, cuda_arithmetic A, int SPACE>
lloyd_status launch_width(const cuda_kernels *cuda, const tally &t)
{
    constexpr int SIZE = sizeof(typename cuda_element<T>::type);
    if (((uintptr_t)t.data | t.row_bytes) % 4 == 0) return launch_dealt<T, 4, A, SPACE>(cuda, t);
    return launch_dealt<T, SIZE, A, SPACE>(cuda, t);
}

int space(int shared_bytes)
{
    return shared_bytes >= LARGE + MASSES ? LARGE : SMALL;
}

} // namespace

/* --- the interface --- */

/* The narrowest tile must fit, and three or four of what fits make a row: a row is not to be read,
 * and its label found, many times (measured: four lose against the sort where rows are short and
 * many). */
bool lloyd_cuda_shares_sums(const lloyd_kernels_config *config, cuda_arithmetic arithmetic,
                            int shared_bytes)
{
    const int64_t size = (int64_t)lloyd_type_size(config->type), k = config->k;
    const int64_t bytes = space(shared_bytes) + mass_planes(arithmetic) * 4 * k;
    const int64_t fits = most_cells(space(shared_bytes), planes(arithmetic)) / k; /* columns */
    const int64_t rows = lloyd_cuda_sorted_rows(config);
    const int tiles = size == 4 || rows <= FEW_ROWS ? 4 : 3;
    return k <= MOST_CLUSTERS && bytes <= shared_bytes && config->dim * size <= MOST_ROW_BYTES &&
           tiles * fits >= config->dim && fits >= std::min(config->dim, LEAST_TILE_BYTES / size) &&
           rows >= LEAST_ROWS * k;
}

bool lloyd_cuda_plans_to_share(const lloyd_kernels_config *config, int shared_bytes)
{
    const cuda_arithmetic most = lloyd_sums_one_digit(config)        ? cuda_arithmetic::INTEGER
                                 : config->weights || config->cosine ? cuda_arithmetic::DEFINITION
                                                                     : cuda_arithmetic::PAIR;
    return lloyd_cuda_shares_sums(config, most, shared_bytes);
}

lloyd_status lloyd_cuda_add_shared(cuda_kernels *cuda, int slot)
{
    tally t = {};
    lloyd_cuda_summands(cuda, slot, 0, &t);
    t.labels = cuda->labels + cuda->slots[slot].first;
    t.rows = cuda->slots[slot].count;
    cuda->sums_zero = false;
    return cuda_for_arithmetic(cuda, [&](auto type, auto arithmetic) {
        return space(lloyd_cuda_shared_bytes(cuda)) == LARGE
                   ? launch_width<type, arithmetic, LARGE>(cuda, t)
                   : launch_width<type, arithmetic, SMALL>(cuda, t);
    });
}
