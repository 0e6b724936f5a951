/* Exact sums per cluster: the sort-inverse update (section 3 of the contract).
 *
 * The row numbers of a slot are sorted by label (sort.cu), which turns the scatter of rows into
 * clusters into a segmented sum: equal labels lie together, in runs.
 * A team of lanes takes a piece of the sorted order and a tile of the columns, gathers its rows and
 * adds them up in registers; at the end of a run the sums go to memory, atomically, or by a plain
 * store where the sums are still zero and the whole run lies inside the piece, since nobody else
 * touches that cluster then. No floating-point copy of the rows, no sums per
 * thread; integers make any order the same.
 *
 * Rows in sorted order lie all over memory, so what counts is how many bytes are on their way at a
 * time. Every thread copies its 16 bytes of row after row asynchronously into its own ring in
 * shared memory, two batches of BATCH rows deep, which costs no registers; row numbers are read one
 * batch further ahead. A thread reads what it copied itself, so nothing waits for anything else.
 *
 * uint8 and int8 are summed two columns per register in 16 bits each: a piece has at most 256 rows,
 * 256 * 255 < 2^16. Few clusters are summed without sorting: shared.cu.
 */
#include "kernels/cuda/update/sorted.h"

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/update/sort.h"
#include "kernels/cuda/update/sums.cuh"
#include "kernels/cuda/update/wide.h"

#include <type_traits>

namespace
{

enum {
    THREADS = 128,
    WARPS = THREADS / 32,
    BATCH = 4,             /* rows copied at a time: a 16-byte vector of row numbers */
    BLOCKS = 6,            /* blocks on a multiprocessor */
    ROUNDS = 4,            /* pieces per team, about: enough to even out their lengths */
    SHORTEST = 16,         /* rows of a piece: less is all start and end */
    LONGEST = 256,         /* more overflows 16 bits, and saves nothing */
    LEAST_TILE_BYTES = 128 /* of a row in one tile, if the row has them: a line of the cache */
};

using arithmetic = cuda_arithmetic;

/* Rows [0, rows) in sorted order, and how they are dealt to teams. A row is `vectors` loads wide;
 * in tile t, lane l of a team owns vectors (t M + m) lanes + l, m < M (shape). */
struct reduction : cuda_summands {
    const uint32_t *labels, *order;
    int rows, piece, vectors, lanes, tiles;
    bool untouched; /* the sums are zero */
};

/* What a lane holds of a row: M loads of WIDTH bytes, V columns each. */
template <lloyd_type T, int WIDTH, arithmetic A> struct shape {
    static constexpr int SIZE = sizeof(typename cuda_element<T>::type);
    static constexpr int V = WIDTH / SIZE;
    /* Bytes of a row: more columns, with two digits each, than the registers hold otherwise. */
    static constexpr int WIDE = A == arithmetic::DEFINITION && SIZE == 1 ? 8 : 16;
    static constexpr int BYTES = WIDTH >= 4 ? WIDE : 4 * WIDTH;
    static constexpr int M = BYTES / WIDTH;
    static constexpr int COLUMNS = V * M;
    static constexpr int WORDS = BYTES / 4;
    /* Accumulators: pairs of 16-bit sums, or one 64-bit sum per column and digit. */
    using accumulator = std::conditional_t<A == arithmetic::INTEGER, uint32_t, int64_t>;
    static constexpr int DIGITS = cuda_has_two_digits(A) ? 2 : 1;
    static constexpr int ACCUMULATORS = A == arithmetic::INTEGER ? 2 * WORDS : DIGITS * COLUMNS;
    /* A warp's accumulators on their way to memory, one element of padding per 128 bytes. */
    static constexpr unsigned PER_LINE = 128 / sizeof(accumulator);
    static constexpr int STAGED = 32 * COLUMNS + 32 * COLUMNS / PER_LINE;
    static constexpr int RING = 2 * BATCH; /* rows */
    static constexpr int SIDE = A == arithmetic::DEFINITION ? RING * THREADS : 1;
};

template <class S> struct shared_space {
    alignas(16) uint32_t ring[S::RING * S::WORDS * THREADS];
    typename S::accumulator stage[WARPS][S::STAGED];
    double lengths[S::SIDE];
    float weights[S::SIDE];
};

/* --- device functions --- */

/* Entries [at, at + BATCH) of a sorted array, the last one again where there are no more. */
__device__ inline uint4 entries(const uint32_t *array, int at, int end)
{
    if (at + BATCH <= end) return *reinterpret_cast<const uint4 *>(array + at);
    return {array[at], array[min(at + 1, end - 1)], array[min(at + 2, end - 1)],
            array[min(at + 3, end - 1)]};
}

__device__ inline uint32_t pick(const uint4 &v, int i)
{
    return i < 2 ? (i == 0 ? v.x : v.y) : (i == 2 ? v.z : v.w);
}

/* The elements of a 32-bit word of a row. */
template <lloyd_type T> __device__ inline void unpack(uint32_t word, float *x)
{
#pragma unroll
    for (int i = 0; i < 4 / cuda_element_bytes(T); i++) x[i] = cuda_element<T>::in_word(word, i);
}

/* A run's sum on its way to the sums of its cluster. ONLY: nothing else was or is being added to
 * these. */
template <bool ONLY> __device__ inline void add_sum(int64_t *sum, int64_t value)
{
    if (ONLY)
        *sum = value;
    else
        cuda_add_word(sum, value);
}

/* One lane of a team, on one piece of the sorted order and one tile of the columns. All lanes of a
 * team see the same labels and branch alike; teams of a warp need not. */
template <lloyd_type T, int WIDTH, arithmetic A> struct team_lane {
    using S = shape<T, WIDTH, A>;
    using accumulator = typename S::accumulator;

    const reduction &r;
    shared_space<S> &shared;
    int lane; /* in the team */
    int tile;
    uint32_t members;   /* lanes of the warp that are in the team */
    accumulator *stage; /* the warp's */
    int staged;         /* where the team's part of it begins */

    const char *at[S::M];             /* this lane's vectors in row 0 */
    accumulator sum[S::ACCUMULATORS]; /* of columns' first digits, then of the second ones */
    float scale[S::COLUMNS];          /* FLOAT, PAIR: 2^(b - M) */
    double exact_scale[S::COLUMNS];   /* DEFINITION: the same */

    /* the run so far */
    uint32_t label;
    int count;
    int64_t mass[2];
    bool opened; /* it began inside this piece */

    __device__ team_lane(const reduction &job, shared_space<S> &space, int lane_, int team,
                         int tile_)
        : r(job), shared(space), lane(lane_), tile(tile_)
    {
        int warp_lane = (int)threadIdx.x % 32;
        members = (r.lanes == 32 ? 0xffffffffu : (1u << r.lanes) - 1) << (warp_lane - lane);
        stage = shared.stage[threadIdx.x / 32];
        staged = team * r.lanes * S::COLUMNS;
#pragma unroll
        for (int m = 0; m < S::M; m++) at[m] = r.data + (int64_t)vector(m) * WIDTH;
        clear();
        read_grid();
    }

    /* Lanes beyond the end of a row sum its last vector and keep that to themselves. */
    __device__ int vector(int m) const
    {
        return min((tile * S::M + m) * r.lanes + lane, r.vectors - 1);
    }

    __device__ void read_grid()
    {
        if constexpr (A != arithmetic::INTEGER) {
#pragma unroll
            for (int i = 0; i < S::COLUMNS; i++) {
                int64_t column = (int64_t)vector(i / S::V) * S::V + i % S::V;
                if constexpr (A == arithmetic::DEFINITION)
                    exact_scale[i] = r.scale[column];
                else
                    scale[i] = (float)r.scale[column];
            }
        }
    }

    __device__ void clear()
    {
#pragma unroll
        for (int i = 0; i < S::ACCUMULATORS; i++) sum[i] = 0;
        count = 0;
        mass[0] = mass[1] = 0;
    }

    /* Where word w of row `row` (0 .. RING-1) of this thread's ring is: WIDTH bytes of a vector lie
     * together, and the vectors of neighbouring threads. */
    __device__ uint32_t *ring(int row, int w) const
    {
        constexpr int TOGETHER = WIDTH >= 4 ? WIDTH / 4 : 1;
        return shared.ring +
               ((row * (S::WORDS / TOGETHER) + w / TOGETHER) * THREADS + (int)threadIdx.x) *
                   TOGETHER +
               w % TOGETHER;
    }

    /* Vectors that are narrower than a word: no asynchronous copies of these. */
    __device__ void copy_narrow(int half, const uint4 &rows)
    {
        using word_part = std::conditional_t<WIDTH == 2, uint16_t, uint8_t>;
        constexpr int PARTS = 4 / (int)sizeof(word_part);
        word_part parts[BATCH][S::M];
#pragma unroll
        for (int u = 0; u < BATCH; u++) {
            uint64_t begin = (uint64_t)pick(rows, u) * r.row_bytes;
#pragma unroll
            for (int m = 0; m < S::M; m++)
                parts[u][m] = __ldg(reinterpret_cast<const word_part *>(at[m] + begin));
        }
#pragma unroll
        for (int u = 0; u < BATCH; u++) {
#pragma unroll
            for (int w = 0; w < S::WORDS; w++) {
                uint32_t word = 0;
#pragma unroll
                for (int i = 0; i < PARTS; i++)
                    word |= (uint32_t)parts[u][w * PARTS + i] << (8 * sizeof(word_part) * i);
                *ring(half * BATCH + u, w) = word;
            }
        }
    }

    /* Starts the copies of a batch into half of the ring. */
    __device__ void copy_batch(int half, const uint4 &rows)
    {
        if constexpr (WIDTH < 4) {
            copy_narrow(half, rows);
        } else {
#pragma unroll
            for (int u = 0; u < BATCH; u++) {
                uint64_t begin = (uint64_t)pick(rows, u) * r.row_bytes;
#pragma unroll
                for (int m = 0; m < S::M; m++)
                    cuda_copy_async<WIDTH>(ring(half * BATCH + u, m * (WIDTH / 4)), at[m] + begin);
            }
        }
        if constexpr (A == arithmetic::DEFINITION) {
#pragma unroll
            for (int u = 0; u < BATCH; u++) {
                int side = (half * BATCH + u) * THREADS + (int)threadIdx.x;
                if (r.weights) cuda_copy_async<4>(&shared.weights[side], r.weights + pick(rows, u));
                if (r.lengths) cuda_copy_async<8>(&shared.lengths[side], r.lengths + pick(rows, u));
            }
        }
    }

    __device__ void read_row(int row, uint32_t *words) const
    {
        if constexpr (WIDTH == 16) {
            uint4 v = *reinterpret_cast<const uint4 *>(ring(row, 0));
            words[0] = v.x, words[1] = v.y, words[2] = v.z, words[3] = v.w;
        } else if constexpr (WIDTH == 8) {
#pragma unroll
            for (int w = 0; w < S::WORDS; w += 2) {
                uint2 v = *reinterpret_cast<const uint2 *>(ring(row, w));
                words[w] = v.x, words[w + 1] = v.y;
            }
        } else {
#pragma unroll
            for (int w = 0; w < S::WORDS; w++) words[w] = *ring(row, w);
        }
    }

    __device__ void add_bytes(uint32_t word, uint32_t *pairs)
    {
        word = cuda_summed_bytes<T>(word);
        pairs[0] += word & 0x00ff00ffu;
        pairs[1] += (word >> 8) & 0x00ff00ffu;
    }

    __device__ void add_definition(int row, const uint32_t *words)
    {
        int side = row * THREADS + (int)threadIdx.x;
        float weight = r.weights ? shared.weights[side] : 1;
        double length = r.lengths ? shared.lengths[side] : 1, inverse = 1 / length;
        const double base = lloyd_exp2(r.bits);
        if (r.weights) {
            const lloyd_pair q = lloyd_pair_of((double)weight, r.mass_scale, base);
            mass[0] += q.high;
            mass[1] += q.low;
        }
#pragma unroll
        for (int w = 0; w < S::WORDS; w++) {
            float x[4 / S::SIZE];
            unpack<T>(words[w], x);
#pragma unroll
            for (int i = 0; i < 4 / S::SIZE; i++) {
                int c = w * (4 / S::SIZE) + i;
                const lloyd_pair q =
                    cuda_defined(x[i], r.lengths, length, inverse, weight, exact_scale[c], base);
                sum[c] += q.high;
                sum[S::COLUMNS + c] += q.low;
            }
        }
    }

    /* Adds a row of the ring to the run. */
    __device__ void add_row(int row)
    {
        uint32_t words[S::WORDS];
        read_row(row, words);
        if constexpr (A == arithmetic::INTEGER) {
#pragma unroll
            for (int w = 0; w < S::WORDS; w++) add_bytes(words[w], sum + 2 * w);
        } else if constexpr (A != arithmetic::DEFINITION) {
            [[maybe_unused]] const float base = (float)(1 << r.bits);
#pragma unroll
            for (int w = 0; w < S::WORDS; w++) {
                float x[4 / S::SIZE];
                unpack<T>(words[w], x);
#pragma unroll
                for (int i = 0; i < 4 / S::SIZE; i++) {
                    int c = w * (4 / S::SIZE) + i;
                    if constexpr (A == arithmetic::FLOAT) {
                        sum[c] += __float2int_rn(__fmul_rn(x[i], scale[c]));
                    } else {
                        const lloyd_pair q = cuda_pair(x[i], scale[c], base);
                        sum[c] += q.high;
                        sum[S::COLUMNS + c] += q.low;
                    }
                }
            }
        } else {
            add_definition(row, words);
        }
    }

    /* The sum of a digit of column c of this lane as it is staged. */
    __device__ accumulator column_sum(int digit, int c) const
    {
        if constexpr (A == arithmetic::INTEGER)
            return (sum[c / 4 * 2 + c % 2] >> (c % 4 / 2 * 16)) & 0xffff;
        else
            return sum[digit * S::COLUMNS + c];
    }

    /* The sum of q from what was staged. */
    __device__ int64_t fixed_sum(accumulator staged_sum, int64_t column) const
    {
        if constexpr (A == arithmetic::INTEGER) {
            return cuda_sum_of_bytes<T>(staged_sum, count, r.scale[column]);
        } else {
            return staged_sum;
        }
    }

    __device__ static unsigned padded(unsigned i)
    {
        return i + i / S::PER_LINE;
    }

    /* From the stage to the sums: lane l takes columns l, l + lanes, ... of the tile. */
    template <bool ONLY> __device__ void write_first() const
    {
        int first = tile * r.lanes * S::COLUMNS;
        int columns = min(r.lanes * S::COLUMNS, r.dim - first);
        int64_t *to = r.sums + (int64_t)label * r.dim + first + lane;
#pragma unroll 4
        for (int i = 0, column = lane; i < S::COLUMNS; i++, column += r.lanes, to += r.lanes) {
            if (column < columns)
                add_sum<ONLY>(to, fixed_sum(stage[padded(staged + column)], first + column));
        }
        if (tile > 0 || lane > 0) return;
        add_sum<ONLY>(r.masses + label, r.weights ? mass[0] : count);
        if (r.second_mass) add_sum<ONLY>(r.masses + r.clusters + label, mass[1]);
    }

    /* The same of second digits, of the columns that have one. */
    template <bool ONLY> __device__ void write_second() const
    {
        int first = tile * r.lanes * S::COLUMNS;
        int columns = min(r.lanes * S::COLUMNS, r.dim - first);
        int64_t *to = r.second_sums + (int64_t)label * r.seconds;
#pragma unroll 4
        for (int i = 0, column = lane; i < S::COLUMNS; i++, column += r.lanes) {
            const int at = column < columns ? __ldg(&r.second[first + column]) : -1;
            if (at >= 0) add_sum<ONLY>(to + at, stage[padded(staged + column)]);
        }
    }

    /* The sums of a digit change hands, so that neighbouring lanes write neighbouring columns. */
    __device__ void put_on_stage(int digit)
    {
#pragma unroll
        for (int m = 0; m < S::M; m++) { /* V divides PER_LINE: no padding inside a vector */
            accumulator *own = stage + padded(staged + (m * r.lanes + lane) * S::V);
#pragma unroll
            for (int i = 0; i < S::V; i++) own[i] = column_sum(digit, m * S::V + i);
        }
        __syncwarp(members);
    }

    /* Ends the run: its sums go to memory. */
    __device__ void flush(bool whole)
    {
        const bool only = whole && r.untouched;
        put_on_stage(0);
        if (only)
            write_first<true>();
        else
            write_first<false>();
        __syncwarp(members);
        if (S::DIGITS == 2 && r.seconds > 0) {
            put_on_stage(1);
            if (only)
                write_second<true>();
            else
                write_second<false>();
            __syncwarp(members);
        }
        clear();
    }

    /* Adds the rows of a batch in half of the ring. Labels are sorted: the batch belongs to the run
     * if its last row does. `last`: the piece ends with it. */
    __device__ void add_batch(int half, const uint4 &labels, int rows, bool last, int end)
    {
        int u = 0;
        if (rows == BATCH && labels.w == label) {
#pragma unroll
            for (int i = 0; i < BATCH; i++) add_row(half * BATCH + i);
            count += BATCH;
            u = BATCH;
        }
#pragma unroll 1
        for (; u < rows + last; u++) {
            bool over = u == rows;
            uint32_t next = pick(labels, u);
            if (over || next != label) {
                bool closed = !over || end == r.rows || r.labels[end] != label;
                flush(opened && closed);
                if (over) return;
                label = next;
                opened = true;
            }
            add_row(half * BATCH + u);
            count++;
        }
    }

    /* Positions [begin, end) of the sorted order; begin is a multiple of BATCH. */
    __device__ void add_piece(int begin, int end)
    {
        uint4 rows = entries(r.order, begin, end), labels = entries(r.labels, begin, end);
        copy_batch(0, rows);
        cuda_copy_commit();
        uint4 labels_next = labels;
        if (begin + BATCH < end) {
            rows = entries(r.order, begin + BATCH, end);
            labels_next = entries(r.labels, begin + BATCH, end);
        }
        label = labels.x;
        opened = begin == 0 || r.labels[begin - 1] != label;
        int half = 0;
        for (int p = begin; p < end; p += BATCH) {
            if (p + BATCH < end) copy_batch(half ^ 1, rows);
            cuda_copy_commit();
            uint4 labels_after = labels_next;
            if (p + 2 * BATCH < end) {
                rows = entries(r.order, p + 2 * BATCH, end);
                labels_after = entries(r.labels, p + 2 * BATCH, end);
            }
            cuda_copy_wait<1>(); /* all batches but the latest one are there */
            add_batch(half, labels, min(BATCH, end - p), p + BATCH >= end, end);
            labels = labels_next;
            labels_next = labels_after;
            half ^= 1;
        }
    }
};

/* --- kernels --- */

template <lloyd_type T, int WIDTH, arithmetic A>
__global__ void __launch_bounds__(THREADS, A == arithmetic::DEFINITION ? 3 : BLOCKS)
    add_rows(const __grid_constant__ reduction r)
{
    __shared__ shared_space<shape<T, WIDTH, A>> shared;
    cuda_await();
    int warp_lane = (int)threadIdx.x % 32, teams = 32 / r.lanes, team = warp_lane / r.lanes;
    /* 32 bits do: a tile of a piece is at least 16 rows of 128 bytes, if rows have more than one */
    int task = ((int)blockIdx.x * WARPS + (int)threadIdx.x / 32) * teams + team;
    int pieces = (r.rows + r.piece - 1) / r.piece;
    if (team >= teams || task >= pieces * r.tiles) return;
    /* The tiles of a piece are neighbours: they read the same rows at about the same time. */
    int begin = task / r.tiles * r.piece;
    team_lane<T, WIDTH, A> self(r, shared, warp_lane - team * r.lanes, team, task % r.tiles);
    self.add_piece(begin, min(begin + r.piece, r.rows));
}

/* --- how rows are dealt --- */

/* Lanes of a team and tiles of a row: of all ways to cut a row of `chunks` lanes' worth into equal
 * tiles, the one that leaves the fewest lanes of a warp idle, and of these the widest. */
void choose_team(int64_t chunks, int lane_bytes, reduction *r)
{
    int64_t tiles = cuda_divide_up(chunks, 32), lanes = cuda_divide_up(chunks, tiles);
    int64_t best_tiles = tiles, best_lanes = lanes;
    for (tiles++; tiles <= chunks; tiles++) {
        lanes = cuda_divide_up(chunks, tiles);
        if (lanes * lane_bytes < LEAST_TILE_BYTES) break;
        if (tiles * (32 / best_lanes) < best_tiles * (32 / lanes)) {
            best_tiles = tiles;
            best_lanes = lanes;
        }
    }
    r->lanes = (int)best_lanes;
    r->tiles = (int)cuda_divide_up(chunks, best_lanes);
}

/* Rows of a piece: ROUNDS pieces for every team that fits on the machine, in whole batches. */
int choose_piece(const cuda_kernels *cuda, const reduction *r)
{
    int64_t teams = (int64_t)cuda->gpu.multiprocessors * BLOCKS * WARPS * (32 / r->lanes);
    int64_t piece = (int64_t)r->rows * r->tiles / (ROUNDS * teams) / BATCH * BATCH;
    if (piece < SHORTEST) return SHORTEST;
    return piece < LONGEST ? (int)piece : LONGEST;
}

template <lloyd_type T, int WIDTH, arithmetic A>
lloyd_status launch(const cuda_kernels *cuda, reduction r)
{
    using S = shape<T, WIDTH, A>;
    r.vectors = r.dim / S::V;
    choose_team(cuda_divide_up(r.vectors, S::M), S::BYTES, &r);
    r.piece = choose_piece(cuda, &r);
    int64_t tasks = cuda_divide_up(r.rows, r.piece) * r.tiles;
    int64_t blocks = cuda_divide_up(tasks, (int64_t)WARPS * (32 / r.lanes));
    return cuda_launch_after(cuda->stream, cuda->gpu.capability, add_rows<T, WIDTH, A>, blocks,
                             THREADS, 0, "summing the rows of every cluster", r);
}

/* The widest loads that all rows are aligned to. */
template <lloyd_type T, arithmetic A>
lloyd_status launch_width(const cuda_kernels *cuda, reduction r)
{
    constexpr int SIZE = sizeof(typename cuda_element<T>::type);
    uintptr_t alignment = (uintptr_t)r.data | r.row_bytes;
    if constexpr (shape<T, 4, A>::WIDE == 16) {
        if (alignment % 16 == 0) return launch<T, 16, A>(cuda, r);
    }
    if (alignment % 8 == 0) return launch<T, 8, A>(cuda, r);
    if constexpr (SIZE < 4) {
        if (alignment % 4 != 0) return launch<T, SIZE, A>(cuda, r);
    }
    return launch<T, 4, A>(cuda, r);
}

} // namespace

lloyd_status lloyd_cuda_add_sorted(cuda_kernels *cuda, int slot, int64_t at, int64_t count)
{
    cuda_sorted sorted;
    LLOYD_TRY(lloyd_cuda_sort(cuda, cuda->labels + cuda->slots[slot].first + at, count, &sorted));
    reduction r = {};
    lloyd_cuda_summands(cuda, slot, at, &r);
    r.labels = sorted.labels;
    r.order = sorted.order;
    r.rows = (int)count;
    r.untouched = cuda->sums_zero;
    cuda->sums_zero = false;
    LLOYD_TRY(cuda_for_arithmetic(cuda, [&](auto type, auto arithmetic) {
        return launch_width<type, arithmetic>(cuda, r);
    }));
    return lloyd_cuda_add_wide(cuda, slot, at, count, sorted);
}
