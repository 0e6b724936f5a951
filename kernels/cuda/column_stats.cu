/* Passes over the columns before the first iteration: minima, maxima and lowest bits, the first row that cannot be clustered, squares.
 *
 * A column pass reads a slot as what it is in memory, one array of count * D elements, in vectors of
 * a fixed width. The columns that a vector holds repeat after `period` vectors, so a thread that
 * advances by whole periods meets the same few columns always, keeps what it knows of them in
 * registers, and every load is aligned and shared by a warp without gaps, whatever D is. The threads
 * of a block that have the same columns are combined through shared memory, blocks by atomics:
 * minima, maxima and integer sums do not depend on the order.
 */
#include "kernels/cuda/column_stats.h"

#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/slots.h"

namespace
{

/* --- what a thread does with a vector --- */

constexpr int PASS_THREADS = 256;

/* How a slot is cut into vectors, and these among threads. */
struct column_plan {
    int64_t dim;
    int64_t period;  /* vectors until columns repeat */
    int period_rows; /* rows in a period */
    int columns;     /* vectors of a period that a block has */
    int repeats;     /* periods that a block has at a time: more than 1 where it has whole ones */
    int64_t vectors; /* whole vectors in the slot */
    int tail;        /* elements after them */
    int64_t steps;   /* times `repeats` periods, the last of which may be cut short */
    int64_t full_steps; /* those that are not */
};

/* Four columns, which may belong to four rows where D is small. A row without a length (zero, or not
 * a number) is noted and its values count for nothing, as on the CPU. */
template <lloyd_type T, bool COSINE, class Column> struct four_pass {
    using word = four<T>;
    using element = typename cuda_element<T>::type;
    using parameters = typename Column::parameters;
    static constexpr int WIDTH = QUAD;
    static constexpr int UNROLL = COSINE ? 2 : T == LLOYD_F32 ? 4 : 8;
    static constexpr bool CAN_BE_INFINITE = T != LLOYD_U8 && T != LLOYD_I8;
    struct part {
        typename Column::part column[QUAD];
        int64_t bad_row;
    };

    Column column[QUAD];
    int row_of[QUAD]; /* rows from the first of the period */
    const double *lengths;
    const float *weights;
    int period_rows;
    int64_t bad_row;

    __device__ void begin(const column_plan &plan, const cuda_rows &rows, const parameters &from,
                          int64_t vector)
    {
        lengths = rows.lengths;
        weights = rows.weights;
        period_rows = plan.period_rows;
        bad_row = NO_ROW;
#pragma unroll
        for (int e = 0; e < QUAD; e++) {
            int64_t at = vector * QUAD + e;
            row_of[e] = (int)(at / plan.dim);
            column[e].begin(from, at % plan.dim);
        }
    }

    /* out = the values of the rows that the first `valid` elements belong to. */
    template <class Value>
    __device__ void look_up(const Value *values, int64_t row, int valid, Value *out) const
    {
        if (period_rows == 1) {
            Value value = values[row];
#pragma unroll
            for (int e = 0; e < QUAD; e++) out[e] = value;
            return;
        }
#pragma unroll
        for (int e = 0; e < QUAD; e++) out[e] = values[row + (e < valid ? row_of[e] : row_of[0])];
    }

    __device__ void note(bool bad, int64_t row)
    {
        if (bad && row < bad_row) bad_row = row;
    }

    __device__ void normalise(float *x, int64_t row, int valid)
    {
        double length[QUAD];
        look_up(lengths, row, valid, length);
#pragma unroll
        for (int e = 0; e < QUAD; e++) {
            bool sound = length[e] > 0 && length[e] < INFINITY;
            if (Column::CHECKED) note(!sound && e < valid, row + row_of[e]);
            x[e] = lloyd_normalised(x[e], sound ? length[e] : NAN);
        }
    }

    /* x * 0 is zero unless x is NaN or infinite. */
    __device__ void check(const float *x, int64_t row, int valid)
    {
        float zero = 0;
#pragma unroll
        for (int e = 0; e < QUAD; e++) zero = __fmaf_rn(x[e], 0.0F, zero);
        if (zero == 0) return;
#pragma unroll
        for (int e = 0; e < QUAD; e++) note(!isfinite(x[e]) && e < valid, row + row_of[e]);
    }

    __device__ void add(word w, int64_t period, int valid = QUAD)
    {
        float x[QUAD], weight[QUAD] = {1, 1, 1, 1};
        int64_t row = period * period_rows;
        uint32_t words[cuda_element_bytes(T)];
        memcpy(words, &w, sizeof w);
        cuda_four_values<T>(words, x);
        if constexpr (COSINE) normalise(x, row, valid);
        if constexpr (!COSINE && Column::CHECKED && CAN_BE_INFINITE) check(x, row, valid);
        if constexpr (Column::WEIGHTED) look_up(weights, row, valid, weight);
#pragma unroll
        for (int e = 0; e < QUAD; e++) {
            if (e < valid) column[e].add(x[e], weight[e]);
        }
    }

    __device__ void add_tail(const element *from, int64_t period, int valid)
    {
        element some[QUAD];
#pragma unroll
        for (int e = 0; e < QUAD; e++) some[e] = from[e < valid ? e : 0];
        word w;
        memcpy(&w, some, sizeof w);
        add(w, period, valid);
    }

    __device__ void flush()
    {
#pragma unroll
        for (int e = 0; e < QUAD; e++) column[e].flush();
    }

    __device__ part give() const
    {
        part mine;
#pragma unroll
        for (int e = 0; e < QUAD; e++) mine.column[e] = column[e].give();
        mine.bad_row = bad_row;
        return mine;
    }

    __device__ void take(const part &other)
    {
#pragma unroll
        for (int e = 0; e < QUAD; e++) column[e].take(other.column[e]);
        note(true, other.bad_row);
    }

    __device__ void emit(const column_plan &plan, const parameters &to, int64_t vector) const
    {
#pragma unroll
        for (int e = 0; e < QUAD; e++) column[e].emit(to, (vector * QUAD + e) % plan.dim);
        if constexpr (Column::CHECKED) {
            if (bad_row == NO_ROW) return;
            atomicMin((unsigned long long *)to.bad_row, (unsigned long long)bad_row);
        }
    }
};

/* Minima and maxima of sixteen columns of bytes, in pairs of 16-bit numbers: six instructions for
 * four elements, as one for each would not keep up with the memory. */
template <bool SIGNED> struct byte_pass {
    using word = uint4;
    using element = uint8_t;
    using parameters = extremes_parameters;
    static constexpr int WIDTH = BYTES, UNROLL = 4, PAIRS = BYTES / 2;
    struct part {
        unsigned min[PAIRS], max[PAIRS]; /* bytes 4i and 4i+2, then 4i+1 and 4i+3 */
    } range;

    __device__ void begin(const column_plan &, const cuda_rows &, const parameters &, int64_t)
    {
#pragma unroll
        for (int i = 0; i < PAIRS; i++) range.min[i] = 0x00ff00ffu, range.max[i] = 0;
    }

    static __device__ unsigned even(unsigned bytes)
    {
        return bytes & 0x00ff00ffu;
    }
    static __device__ unsigned odd(unsigned bytes)
    {
        return __byte_perm(bytes, 0, 0x4341);
    }

    __device__ void widen(int i, unsigned low, unsigned high)
    {
        range.min[2 * i] = __vminu2(range.min[2 * i], even(low));
        range.max[2 * i] = __vmaxu2(range.max[2 * i], even(high));
        range.min[2 * i + 1] = __vminu2(range.min[2 * i + 1], odd(low));
        range.max[2 * i + 1] = __vmaxu2(range.max[2 * i + 1], odd(high));
    }

    __device__ void add(word w, int64_t)
    {
        const unsigned flip = SIGNED ? 0x80808080u : 0, bytes[] = {w.x, w.y, w.z, w.w};
#pragma unroll
        for (int i = 0; i < BYTES / 4; i++) widen(i, bytes[i] ^ flip, bytes[i] ^ flip);
    }

    /* Bytes that are not there are 255 to the minimum and 0 to the maximum. */
    __device__ void add_tail(const element *from, int64_t, int valid)
    {
#pragma unroll
        for (int i = 0; i < BYTES / 4; i++) {
            unsigned low = 0, high = 0;
#pragma unroll
            for (int b = 0; b < 4; b++) {
                bool there = 4 * i + b < valid;
                unsigned value = there ? from[4 * i + b] ^ (SIGNED ? 0x80u : 0u) : 0;
                low |= (there ? value : 0xffu) << (8 * b);
                high |= value << (8 * b);
            }
            widen(i, low, high);
        }
    }

    __device__ void flush()
    {
    }

    __device__ part give() const
    {
        return range;
    }

    __device__ void take(const part &other)
    {
#pragma unroll
        for (int i = 0; i < PAIRS; i++) {
            range.min[i] = __vminu2(range.min[i], other.min[i]);
            range.max[i] = __vmaxu2(range.max[i], other.max[i]);
        }
    }

    static __device__ unsigned key(unsigned pairs, int half)
    {
        int value = (int)(pairs >> (16 * half) & 0xffff);
        return to_key((float)(SIGNED ? value - 128 : value));
    }

    __device__ void emit(const column_plan &plan, const parameters &to, int64_t vector) const
    {
#pragma unroll
        for (int e = 0; e < BYTES; e++) {
            int64_t j = (vector * BYTES + e) % plan.dim;
            int i = e / 4 * 2 + e % 2, half = e / 2 % 2;
            atomicMin(&to.min[j], key(range.min[i], half));
            atomicMax(&to.max[j], key(range.max[i], half));
        }
    }
};

/* --- the pass --- */

/* This block's share of the steps, for one thread: place `repeat` of a step, vector `vector` of its
 * period. */
template <class Pass>
__device__ inline void walk(Pass &pass, const column_plan &plan, const char *data, int repeat,
                            int64_t vector)
{
    using word = typename Pass::word;
    const auto *words = reinterpret_cast<const word *>(data);
    int64_t step = plan.steps * blockIdx.y / gridDim.y;
    int64_t end = plan.steps * (blockIdx.y + 1) / gridDim.y;
    int64_t full = end < plan.full_steps ? end : plan.full_steps;
    int64_t stride = plan.repeats * plan.period, period = step * plan.repeats + repeat;
    int64_t at = period * plan.period + vector;
    for (; step + Pass::UNROLL <= full; step += Pass::UNROLL) {
        word w[Pass::UNROLL];
#pragma unroll
        for (int u = 0; u < Pass::UNROLL; u++) w[u] = __ldcs(words + at + u * stride);
#pragma unroll
        for (int u = 0; u < Pass::UNROLL; u++) pass.add(w[u], period + u * plan.repeats);
        pass.flush();
        at += Pass::UNROLL * stride;
        period += Pass::UNROLL * plan.repeats;
    }
    for (; step < end; step++, at += stride, period += plan.repeats) {
        const auto *elements = reinterpret_cast<const typename Pass::element *>(words + at);
        if (at < plan.vectors)
            pass.add(__ldcs(words + at), period);
        else if (at == plan.vectors && plan.tail > 0)
            pass.add_tail(elements, period, plan.tail);
        pass.flush();
    }
}

/* Grid: x over the vectors of a period, y over the slot. */
template <class Pass>
__global__ void __launch_bounds__(PASS_THREADS)
    column_pass(column_plan plan, cuda_rows rows, typename Pass::parameters parameters)
{
    __shared__ typename Pass::part exchange[PASS_THREADS / 2];
    int repeat = (int)threadIdx.x / plan.columns, place = (int)threadIdx.x % plan.columns;
    int64_t vector = (int64_t)blockIdx.x * plan.columns + place;
    bool active = repeat < plan.repeats && vector < plan.period;
    Pass pass;
    pass.begin(plan, rows, parameters, vector);
    if (active) walk(pass, plan, rows.data, repeat, vector);
    for (int left = plan.repeats; left > 1;) {
        int half = (left + 1) / 2;
        if (active && repeat >= half && repeat < left)
            exchange[(repeat - half) * plan.columns + place] = pass.give();
        __syncthreads();
        if (active && repeat + half < left) pass.take(exchange[repeat * plan.columns + place]);
        __syncthreads();
        left = half;
    }
    if (active && repeat == 0) pass.emit(plan, parameters, vector);
}

column_plan plan_columns(const cuda_rows &rows, int width)
{
    column_plan plan = {};
    int common = width; /* the greatest common divisor of D and the width */
    while (rows.dim % common) common /= 2;
    int64_t elements = rows.count * rows.dim;
    plan.dim = rows.dim;
    plan.period = rows.dim / common;
    plan.period_rows = width / common;
    int64_t blocks = cuda_divide_up(plan.period, PASS_THREADS);
    plan.columns = (int)cuda_divide_up(plan.period, blocks);
    plan.repeats = blocks == 1 ? PASS_THREADS / plan.columns : 1;
    plan.vectors = elements / width;
    plan.tail = (int)(elements % width);
    int64_t step = plan.period * plan.repeats;
    plan.steps = cuda_divide_up(plan.vectors + (plan.tail > 0), step);
    plan.full_steps = plan.vectors / step;
    return plan;
}

/* Blocks over the slot: a few times what the GPU holds at once, so that it stays full to the end,
 * unless there is too little for them to do. */
lloyd_status count_blocks(const cuda_kernels *cuda, const void *pass, const column_plan &plan,
                          int64_t across, int threads, unsigned *blocks)
{
    const int64_t waves = 4, least_steps = 8;
    int resident = 0;
    CUDA_TRY(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, pass, threads, 0),
             "planning a pass over the columns");
    int64_t wanted = waves * resident * cuda->gpu.multiprocessors / across;
    int64_t useful = cuda_divide_up(plan.steps, least_steps);
    if (wanted > useful) wanted = useful;
    *blocks = wanted > 1 ? (unsigned)(wanted < 65535 ? wanted : 65535) : 1;
    return LLOYD_OK;
}

/* `pass`: a column_pass<> for vectors of `width` elements. The slot must have rows. */
template <class Parameters>
lloyd_status run_pass(const cuda_kernels *cuda, int slot,
                      void (*pass)(column_plan, cuda_rows, Parameters), int width,
                      const Parameters &parameters)
{
    cuda_rows rows = lloyd_cuda_slot_rows(cuda, slot);
    column_plan plan = plan_columns(rows, width);
    int threads = (int)cuda_divide_up(plan.columns * plan.repeats, LLOYD_LANES) * LLOYD_LANES;
    int64_t across = cuda_divide_up(plan.period, plan.columns);
    unsigned blocks;
    LLOYD_TRY(count_blocks(cuda, (const void *)pass, plan, across, threads, &blocks));
    dim3 grid((unsigned)across, blocks);
    pass<<<grid, threads, 0, cuda->stream>>>(plan, rows, parameters);
    return lloyd_cuda_check(cudaGetLastError(), "starting a pass over the columns");
}

/* The pass that does it: by fours, but bytes have a way of their own to their extremes. */
template <lloyd_type T, bool COSINE, class Column> struct pass_of {
    using type = four_pass<T, COSINE, Column>;
};
template <> struct pass_of<LLOYD_U8, false, extremes> {
    using type = byte_pass<false>;
};
template <> struct pass_of<LLOYD_I8, false, extremes> {
    using type = byte_pass<true>;
};

/* The pass for the type and the metric of these kernels. */
template <class Column>
lloyd_status run_columns(const cuda_kernels *cuda, int slot,
                         const typename Column::parameters &parameters)
{
    lloyd_status status = LLOYD_OK;
    cuda_for_type(cuda->base.config.type, [&](auto type) {
        constexpr lloyd_type T = decltype(type)::value;
        using cosine = typename pass_of<T, true, Column>::type;
        using plain = typename pass_of<T, false, Column>::type;
        status = cuda->lengths
                     ? run_pass(cuda, slot, column_pass<cosine>, cosine::WIDTH, parameters)
                     : run_pass(cuda, slot, column_pass<plain>, plain::WIDTH, parameters);
    });
    return status;
}

/* --- between host and device --- */

lloyd_status set_bytes(const cuda_kernels *cuda, void *memory, int value, int64_t bytes)
{
    return lloyd_cuda_check(cudaMemsetAsync(memory, value, (size_t)bytes, cuda->stream),
                            "clearing working space");
}

/* What a measuring pass leaves, as it lies in cuda->scratch: the first bad row, then D minima and D
 * maxima as keys, and D lowest bits. */
extremes_parameters measured(const cuda_kernels *cuda)
{
    auto *bad_row = reinterpret_cast<int64_t *>(cuda->scratch.data);
    auto *min = reinterpret_cast<unsigned *>(bad_row + 1);
    int64_t dim = cuda->base.config.dim;
    return {min, min + dim, reinterpret_cast<int *>(min + 2 * dim), bad_row};
}

/* Lowest bits begin above all that there are. */
lloyd_status forget_low(const cuda_kernels *cuda, int *low)
{
    static_assert(0x7f7f7f7f >= LLOYD_NO_BITS, "a word of such bytes is no lowest bit");
    return set_bytes(cuda, low, 0x7f, cuda->base.config.dim * (int64_t)sizeof *low);
}

lloyd_status measure_slot(const cuda_kernels *cuda, int slot, void *out)
{
    int64_t dim = cuda->base.config.dim;
    extremes_parameters parameters = measured(cuda);
    LLOYD_TRY(set_bytes(cuda, parameters.bad_row, 0x7f, sizeof(int64_t)));
    LLOYD_TRY(set_bytes(cuda, parameters.min, 0xff, dim * (int64_t)sizeof(unsigned)));
    LLOYD_TRY(set_bytes(cuda, parameters.max, 0, dim * (int64_t)sizeof(unsigned)));
    LLOYD_TRY(forget_low(cuda, parameters.low));
    LLOYD_TRY(run_columns<extremes>(cuda, slot, parameters));
    return lloyd_cuda_copy_out(cuda, out, cuda->scratch, 8 + 12 * dim);
}

/* Notes the slot's first bad row, if there is one and it is the first of all. */
lloyd_status note_defect(const cuda_kernels *cuda, int slot, int64_t bad_row, lloyd_range *range)
{
    if (bad_row >= cuda->slots[slot].count || range->bad_row >= 0) return LLOYD_OK;
    range->bad_row = cuda->slots[slot].first + bad_row;
    range->defect = LLOYD_NOT_FINITE;
    if (!cuda->lengths) return LLOYD_OK;
    double length;
    LLOYD_TRY(lloyd_cuda_copy_out(cuda, &length, cuda->lengths + range->bad_row, sizeof length));
    if (length == 0) range->defect = LLOYD_ZERO_ROW;
    return LLOYD_OK;
}

lloyd_status take_measured(const cuda_kernels *cuda, int slot, const int64_t *words,
                           lloyd_range *range)
{
    int64_t dim = cuda->base.config.dim;
    const auto *min = reinterpret_cast<const uint32_t *>(words + 1), *max = min + dim;
    const auto *low = reinterpret_cast<const int32_t *>(max + dim);
    lloyd_type type = cuda->base.config.type;
    bool whole = (type == LLOYD_U8 || type == LLOYD_I8) && !cuda->lengths;
    for (int64_t j = 0; j < dim; j++) {
        float least = from_key(min[j]), most = from_key(max[j]);
        int32_t lowest = whole ? 0 : low[j];
        range->min[j] = least < range->min[j] ? least : range->min[j];
        range->max[j] = most > range->max[j] ? most : range->max[j];
        range->low[j] = lowest < range->low[j] ? lowest : range->low[j];
    }
    return note_defect(cuda, slot, words[0], range);
}

} // namespace

lloyd_status lloyd_cuda_measure(lloyd_kernels *kernels, int slot, lloyd_range *range)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    if (cuda->slots[slot].count == 0) return LLOYD_OK;
    int64_t *words;
    LLOYD_TRY(lloyd_alloc(&words, 1 + 2 * kernels->config.dim, sizeof *words, "column extremes"));
    lloyd_status status = measure_slot(cuda, slot, words);
    if (status == LLOYD_OK) status = take_measured(cuda, slot, words, range);
    lloyd_free(words);
    return status;
}

lloyd_status lloyd_cuda_measure_weighted(lloyd_kernels *kernels, int slot,
                                         lloyd_product_range *range)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t dim = kernels->config.dim, bytes = 2 * dim * (int64_t)sizeof(double);
    if (cuda->slots[slot].count == 0) return LLOYD_OK;
    double *found;
    LLOYD_TRY(lloyd_alloc(&found, 3 * dim, sizeof *found, "column extremes"));
    auto *max = reinterpret_cast<unsigned long long *>(cuda->scratch.data);
    auto *low = reinterpret_cast<int *>(max + 2 * dim);
    lloyd_status status = set_bytes(cuda, max, 0, bytes);
    if (status == LLOYD_OK) status = forget_low(cuda, low);
    if (status == LLOYD_OK)
        status = run_columns<weighted_extremes>(cuda, slot, {max, max + dim, low});
    if (status == LLOYD_OK)
        status = lloyd_cuda_copy_out(cuda, found, max, bytes + dim * (int64_t)sizeof *low);
    const auto *lowest = reinterpret_cast<const int *>(found + 2 * dim);
    for (int64_t j = 0; status == LLOYD_OK && j < dim; j++) {
        range->greatest[j] = found[j] > range->greatest[j] ? found[j] : range->greatest[j];
        range->square[j] = found[dim + j] > range->square[j] ? found[dim + j] : range->square[j];
        range->low[j] = lowest[j] < range->low[j] ? lowest[j] : range->low[j];
    }
    lloyd_free(found);
    return status;
}

lloyd_status lloyd_cuda_squares(lloyd_kernels *kernels, int slot, int64_t *words)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    const lloyd_grid *grid = cuda->grid;
    int64_t count = LLOYD_SQUARE_DIGITS * kernels->config.dim,
            bytes = count * (int64_t)sizeof(int64_t);
    if (cuda->slots[slot].count == 0) return LLOYD_OK;
    int64_t *found;
    LLOYD_TRY(lloyd_alloc(&found, count, sizeof *found, "column sums"));
    auto *sums = reinterpret_cast<unsigned long long *>(cuda->scratch.data);
    squares_parameters parameters = {cuda->digit_scale, cuda->square_top, grid->bits, sums};
    lloyd_status status = set_bytes(cuda, sums, 0, bytes);
    if (status == LLOYD_OK) {
        if (cuda->weights)
            status = run_columns<any_squares<true>>(cuda, slot, parameters);
        else if (grid->wide > 0 || grid->cut)
            status = run_columns<any_squares<false>>(cuda, slot, parameters);
        else if (grid->most_digits == 2)
            status = run_columns<digit_squares<2>>(cuda, slot, parameters);
        else
            status = run_columns<digit_squares<1>>(cuda, slot, parameters);
    }
    if (status == LLOYD_OK) status = lloyd_cuda_copy_out(cuda, found, sums, bytes);
    for (int64_t i = 0; status == LLOYD_OK && i < count; i++) words[i] += found[i];
    lloyd_free(found);
    return status;
}
