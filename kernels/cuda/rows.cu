/* Passes over the rows that come before the first iteration: lengths for the cosine metric, minima,
 * maxima and lowest bits, the first row that cannot be clustered, squares; and rows on their way to the
 * host.
 *
 * A column pass reads a slot as what it is in memory, one array of count * D elements, in vectors of
 * a fixed width. The columns that a vector holds repeat after `period` vectors, so a thread that
 * advances by whole periods meets the same few columns for ever, keeps what it knows of them in
 * registers, and every load is aligned and shared by a warp without gaps, whatever D is. The threads
 * of a block that have the same columns are combined through shared memory, blocks by atomics:
 * minima, maxima and integer sums do not depend on the order.
 */
#include "kernels/cuda/device.cuh"

#include <cassert>

namespace
{

/* --- lengths: one warp, eight rows --- */

constexpr int LENGTH_ROWS = 8, LENGTH_THREADS = 256;

/* One level of dist()'s tree for `2 * N` rows at once: lanes without bit `half` go on with the first
 * N rows, lanes with it with the others, so no lane adds what another adds too. */
template <int N> __device__ inline void halve(double *p, int half, int lane)
{
    bool upper = lane & half;
    for (int i = 0; i < N; i++) {
        double keep = upper ? p[i + N] : p[i], give = upper ? p[i] : p[i + N];
        p[i] = lloyd_add(keep, __shfl_xor_sync(0xffffffffu, give, half));
    }
}

/* lengths[i] = sqrt of row i's squares in the dist() order; lane l of a warp has partial sum l. */
template <lloyd_type T>
__global__ void __launch_bounds__(LENGTH_THREADS)
    row_lengths(const char *data, int64_t count, int64_t dim, double *lengths)
{
    using element = cuda_element<T>;
    const auto *elements = reinterpret_cast<const typename element::type *>(data);
    int lane = threadIdx.x % LLOYD_LANES;
    int64_t warp = (int64_t)blockIdx.x * (LENGTH_THREADS / LLOYD_LANES) + threadIdx.x / LLOYD_LANES;
    int64_t first = warp * LENGTH_ROWS;
    if (first >= count) return;
    const typename element::type *rows[LENGTH_ROWS];
    double p[LENGTH_ROWS];
#pragma unroll
    for (int i = 0; i < LENGTH_ROWS; i++) {
        int64_t row = first + i < count ? first + i : count - 1;
        rows[i] = elements + row * dim;
        p[i] = 0;
    }
#pragma unroll 2
    for (int64_t j = lane; j < dim; j += LLOYD_LANES) {
#pragma unroll
        for (int i = 0; i < LENGTH_ROWS; i++) {
            double x = (double)element::value(rows[i][j]);
            p[i] = __fma_rn(x, x, p[i]);
        }
    }
    halve<4>(p, 16, lane);
    halve<2>(p, 8, lane);
    halve<1>(p, 4, lane);
    double sum = p[0]; /* of row first + lane / 4 */
    sum = lloyd_add(sum, __shfl_xor_sync(0xffffffffu, sum, 2));
    sum = lloyd_add(sum, __shfl_xor_sync(0xffffffffu, sum, 1));
    int64_t row = first + lane / 4;
    if (lane % 4 == 0 && row < count) lengths[row] = __dsqrt_rn(sum);
}

/* --- vectors of elements --- */

constexpr int QUAD = 4, BYTES = 16;

/* Four stored elements as one word, and their values. */
template <lloyd_type T> struct quad;

template <> struct quad<LLOYD_F32> {
    using word = uint4;
    static __device__ void values(word w, float *x)
    {
        x[0] = __uint_as_float(w.x), x[1] = __uint_as_float(w.y);
        x[2] = __uint_as_float(w.z), x[3] = __uint_as_float(w.w);
    }
};

template <> struct quad<LLOYD_F16> {
    using word = uint2;
    static __device__ void pair(unsigned bits, float *x)
    {
        x[0] = __half2float(__ushort_as_half((unsigned short)(bits & 0xffff)));
        x[1] = __half2float(__ushort_as_half((unsigned short)(bits >> 16)));
    }
    static __device__ void values(word w, float *x)
    {
        pair(w.x, x);
        pair(w.y, x + 2);
    }
};

template <> struct quad<LLOYD_BF16> {
    using word = uint2;
    static __device__ void values(word w, float *x)
    {
        x[0] = __uint_as_float(w.x << 16), x[1] = __uint_as_float(w.x & 0xffff0000u);
        x[2] = __uint_as_float(w.y << 16), x[3] = __uint_as_float(w.y & 0xffff0000u);
    }
};

/* A byte in the last place of 2^23 is that many units: cheaper than a conversion, and exact. */
template <> struct quad<LLOYD_U8> {
    using word = unsigned;
    static __device__ float value(unsigned bits, float zero)
    {
        return lloyd_addf(__uint_as_float(bits), -zero);
    }
    static __device__ void values(word w, float *x, float zero = 8388608.0F)
    {
        const unsigned exponent = 0x4b000000u;
        x[0] = value(__byte_perm(w, exponent, 0x7440), zero);
        x[1] = value(__byte_perm(w, exponent, 0x7441), zero);
        x[2] = value(__byte_perm(w, exponent, 0x7442), zero);
        x[3] = value(__byte_perm(w, exponent, 0x7443), zero);
    }
};

/* An int8 with its sign bit flipped is a uint8 that is 128 greater. */
constexpr unsigned SIGNS = 0x80808080u;

template <> struct quad<LLOYD_I8> {
    using word = unsigned;
    static __device__ void values(word w, float *x)
    {
        quad<LLOYD_U8>::values(w ^ SIGNS, x, 8388608.0F + 128.0F);
    }
};

/* --- what is known of one column --- */

constexpr int64_t NO_ROW = INT64_MAX;

/* Floats as unsigned integers of the same order, for atomics. */
__device__ inline unsigned to_key(float x)
{
    unsigned bits = __float_as_uint(x);
    return (bits & 0x80000000u) ? ~bits : bits | 0x80000000u;
}

float from_key(uint32_t key)
{
    uint32_t bits = (key & 0x80000000u) ? key & 0x7fffffffu : ~key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

struct extremes_parameters {
    unsigned *min, *max; /* [D] keys */
    int *low;            /* [D] lowest bits */
    int64_t *bad_row;
};

/* lloyd_lowest() of a float32, LLOYD_NO_BITS of 0. */
__device__ inline int lowest_bit(float x)
{
    unsigned bits = __float_as_uint(x) & 0x7fffffffu, exponent = bits >> 23;
    unsigned significand = (bits & 0x007fffffu) | (exponent > 0 ? 0x00800000u : 0);
    int lowest = __ffs((int)significand) - 1 + (int)max(exponent, 1u) - 150;
    return bits == 0 ? (int)LLOYD_NO_BITS : lowest;
}

/* Minimum, maximum and lowest bit; fminf() and fmaxf() pass NaN over. */
struct extremes {
    using parameters = extremes_parameters;
    static constexpr bool WEIGHTED = false, CHECKED = true;
    struct part {
        float min, max;
        int low;
    } range;

    __device__ void begin(const parameters &, int64_t)
    {
        range = {INFINITY, -INFINITY, LLOYD_NO_BITS};
    }
    __device__ void add(float x, float)
    {
        range.min = fminf(range.min, x);
        range.max = fmaxf(range.max, x);
        range.low = min(range.low, lowest_bit(x));
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
        range.min = fminf(range.min, other.min);
        range.max = fmaxf(range.max, other.max);
        range.low = min(range.low, other.low);
    }
    __device__ void emit(const parameters &to, int64_t j) const
    {
        atomicMin(&to.min[j], to_key(range.min));
        atomicMax(&to.max[j], to_key(range.max));
        atomicMin(&to.low[j], range.low);
    }
};

struct weighted_parameters {
    unsigned long long *max, *square; /* [D] doubles that are not negative order as their bits do */
    int *low;                         /* [D] */
};

/* The largest |w x| and (w x) x, and the lowest bit of any w x. */
struct weighted_extremes {
    using parameters = weighted_parameters;
    static constexpr bool WEIGHTED = true, CHECKED = false;
    struct part {
        double max, square;
        int low;
    } range;

    __device__ void begin(const parameters &, int64_t)
    {
        range = {0, 0, LLOYD_NO_BITS};
    }
    __device__ void add(float x, float weight)
    {
        double product = lloyd_mul((double)weight, (double)x);
        if (product == 0) return;
        take({fabs(product), lloyd_mul(product, (double)x), lloyd_lowest(product)});
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
        range.max = fmax(range.max, other.max);
        range.square = fmax(range.square, other.square);
        range.low = min(range.low, other.low);
    }
    __device__ void emit(const parameters &to, int64_t j) const
    {
        atomicMax(&to.max[j], (unsigned long long)__double_as_longlong(range.max));
        atomicMax(&to.square[j], (unsigned long long)__double_as_longlong(range.square));
        atomicMin(&to.low[j], range.low);
    }
};

struct squares_parameters {
    const double *scale;       /* [D] 2^(b - M) */
    const int *top;            /* [D] Z */
    int bits;                  /* b */
    unsigned long long *words; /* [LLOYD_SQUARE_DIGITS D] */
};

/* A sum of products below 2^60: a word holds eight of them before it is split. */
struct product_sum {
    uint64_t recent, low, high;

    __device__ void add(int64_t product)
    {
        recent += (uint64_t)product;
    }
    __device__ void flush()
    {
        low += recent & 0xffffffffu;
        high += recent >> 32;
        recent = 0;
    }
    __device__ void take(const product_sum &other)
    {
        low += other.low;
        high += other.high;
    }
    /* As a multiple of word `at` of a column, of `bits` bits: what is beyond goes to the word before. */
    __device__ void emit(unsigned long long *words, int at, int factor, int bits) const
    {
        uint64_t l = low * factor, h = high * factor, mask = ((uint64_t)1 << bits) - 1;
        atomicAdd(&words[at], (unsigned long long)(l & mask));
        atomicAdd(&words[at - 1], (unsigned long long)((l >> bits) + (h << (32 - bits))));
    }
};

/* Squares of elements of DIGITS digits, 1 or 2, of which none is cut: (first 2^b + second)^2, where no
 * product is negative. */
template <int DIGITS> struct digit_squares {
    using parameters = squares_parameters;
    static constexpr bool WEIGHTED = false, CHECKED = false;
    static constexpr int SUMS = DIGITS == 1 ? 1 : 3;
    struct part {
        product_sum sum[SUMS];
    } all;
    double scale, base;

    __device__ void begin(const parameters &from, int64_t j)
    {
#pragma unroll
        for (int i = 0; i < SUMS; i++) all.sum[i] = {0, 0, 0};
        scale = from.scale[j];
        base = lloyd_exp2(from.bits);
    }
    __device__ void add(float x, float)
    {
        if constexpr (DIGITS == 1) {
            int64_t q = lloyd_rint(lloyd_mul((double)x, scale));
            all.sum[0].add(q * q);
        } else {
            lloyd_pair q = lloyd_pair_of((double)x, scale, base);
            all.sum[0].add((int64_t)q.high * q.high);
            all.sum[1].add((int64_t)q.high * q.low);
            all.sum[2].add((int64_t)q.low * q.low);
        }
    }
    __device__ void flush()
    {
#pragma unroll
        for (int i = 0; i < SUMS; i++) all.sum[i].flush();
    }
    __device__ part give() const
    {
        return all;
    }
    __device__ void take(const part &other)
    {
#pragma unroll
        for (int i = 0; i < SUMS; i++) all.sum[i].take(other.sum[i]);
    }
    __device__ void emit(const parameters &to, int64_t j) const
    {
        unsigned long long *words = to.words + LLOYD_SQUARE_DIGITS * j;
        all.sum[0].emit(words, 1, 1, to.bits);
        if constexpr (DIGITS == 2) {
            all.sum[1].emit(words, 2, 2, to.bits);
            all.sum[2].emit(words, 3, 1, to.bits);
        }
    }
};

/* Squares of anything, digit by digit. */
template <bool WEIGHTS> struct any_squares {
    using parameters = squares_parameters;
    static constexpr bool WEIGHTED = WEIGHTS, CHECKED = false;
    struct part {
        int64_t words[LLOYD_SQUARE_DIGITS];
    } sum;
    int top, bits;

    __device__ void begin(const parameters &from, int64_t j)
    {
#pragma unroll
        for (int t = 0; t < LLOYD_SQUARE_DIGITS; t++) sum.words[t] = 0;
        top = from.top[j];
        bits = from.bits;
    }
    __device__ void add(float x, float weight)
    {
        lloyd_add_square(lloyd_mul((double)weight, (double)x), x, top, bits, sum.words);
    }
    __device__ void flush()
    {
    }
    __device__ part give() const
    {
        return sum;
    }
    __device__ void take(const part &other)
    {
#pragma unroll
        for (int t = 0; t < LLOYD_SQUARE_DIGITS; t++) sum.words[t] += other.words[t];
    }
    __device__ void emit(const parameters &to, int64_t j) const
    {
#pragma unroll
        for (int t = 0; t < LLOYD_SQUARE_DIGITS; t++)
            atomicAdd(&to.words[LLOYD_SQUARE_DIGITS * j + t], (unsigned long long)sum.words[t]);
    }
};

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
template <lloyd_type T, bool COSINE, class Column> struct quad_pass {
    using word = typename quad<T>::word;
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
        quad<T>::values(w, x);
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
        const unsigned flip = SIGNED ? SIGNS : 0, bytes[] = {w.x, w.y, w.z, w.w};
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
template <class Pass>
lloyd_status count_blocks(const cuda_kernels *cuda, const column_plan &plan, int64_t across,
                          int threads, unsigned *blocks)
{
    const int64_t waves = 4, least_steps = 8;
    int resident = 0;
    CUDA_TRY(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, column_pass<Pass>, threads,
                                                           0),
             "planning a pass over the columns");
    int64_t wanted = waves * resident * cuda->gpu.multiprocessors / across;
    int64_t useful = cuda_divide_up(plan.steps, least_steps);
    if (wanted > useful) wanted = useful;
    *blocks = wanted > 1 ? (unsigned)(wanted < 65535 ? wanted : 65535) : 1;
    return LLOYD_OK;
}

/* The slot must have rows. */
template <class Pass>
lloyd_status run_pass(const cuda_kernels *cuda, int slot,
                      const typename Pass::parameters &parameters)
{
    cuda_rows rows = lloyd_cuda_slot_rows(cuda, slot);
    column_plan plan = plan_columns(rows, Pass::WIDTH);
    int threads = (int)cuda_divide_up(plan.columns * plan.repeats, LLOYD_LANES) * LLOYD_LANES;
    int64_t across = cuda_divide_up(plan.period, plan.columns);
    unsigned blocks;
    LLOYD_TRY(count_blocks<Pass>(cuda, plan, across, threads, &blocks));
    dim3 grid((unsigned)across, blocks);
    column_pass<Pass><<<grid, threads, 0, cuda->stream>>>(plan, rows, parameters);
    return lloyd_cuda_check(cudaGetLastError(), "starting a pass over the columns");
}

/* The pass that does it: by fours, but bytes have a way of their own to their extremes. */
template <lloyd_type T, bool COSINE, class Column> struct pass_of {
    using type = quad_pass<T, COSINE, Column>;
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
        status = cuda->lengths ? run_pass<cosine>(cuda, slot, parameters)
                               : run_pass<plain>(cuda, slot, parameters);
    });
    return status;
}

/* --- between host and device --- */

lloyd_status set_bytes(const cuda_kernels *cuda, void *memory, int value, int64_t bytes)
{
    return lloyd_cuda_check(cudaMemsetAsync(memory, value, (size_t)bytes, cuda->stream),
                            "clearing working space");
}

lloyd_status copy(const cuda_kernels *cuda, void *to, const void *from, int64_t bytes)
{
    CUDA_TRY(cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDefault, cuda->stream),
             "copying between host and GPU");
    return lloyd_cuda_check(cudaStreamSynchronize(cuda->stream), "working through the rows");
}

/* What a measuring pass leaves, as it lies in cuda->scratch: the first bad row, then D minima and D
 * maxima as keys, and D lowest bits. */
extremes_parameters measured(const cuda_kernels *cuda)
{
    auto *bad_row = reinterpret_cast<int64_t *>(cuda->scratch);
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
    return copy(cuda, out, cuda->scratch, 8 + 12 * dim);
}

/* Notes the slot's first bad row, if there is one and it is the first of all. */
lloyd_status note_defect(const cuda_kernels *cuda, int slot, int64_t bad_row, lloyd_range *range)
{
    if (bad_row >= cuda->slots[slot].count || range->bad_row >= 0) return LLOYD_OK;
    range->bad_row = cuda->slots[slot].first + bad_row;
    range->defect = LLOYD_NOT_FINITE;
    if (!cuda->lengths) return LLOYD_OK;
    double length;
    LLOYD_TRY(copy(cuda, &length, cuda->lengths + range->bad_row, sizeof length));
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

/* --- rows to the host --- */

constexpr int GATHER_THREADS = 256;

/* One row of the slot in each block. */
template <lloyd_type T>
__global__ void __launch_bounds__(GATHER_THREADS)
    gather_rows(cuda_rows rows, const int64_t *list, int64_t first, float *out)
{
    int64_t row = list[blockIdx.x] - first;
    float *to = out + blockIdx.x * rows.dim;
    for (int64_t j = threadIdx.x; j < rows.dim; j += GATHER_THREADS)
        to[j] = cuda_value<T>(rows, row, j);
}

/* gathered[count * D], in device memory, = these rows, whose numbers go through cuda->scratch. */
lloyd_status gather(const cuda_kernels *cuda, int slot, const int64_t *list, int64_t count,
                    float *gathered)
{
    cuda_rows rows = lloyd_cuda_slot_rows(cuda, slot);
    auto *numbers = reinterpret_cast<int64_t *>(cuda->scratch);
    CUDA_TRY(cudaMemcpyAsync(numbers, list, (size_t)count * sizeof *list, cudaMemcpyDefault,
                             cuda->stream),
             "copying row numbers to the GPU");
    cuda_for_type(rows.type, [&](auto type) {
        constexpr lloyd_type T = decltype(type)::value;
        gather_rows<T>
            <<<(unsigned)count, GATHER_THREADS, 0, cuda->stream>>>(rows, numbers,
                                                                   cuda->slots[slot].first,
                                                                   gathered);
    });
    CUDA_LAUNCHED("gathering rows");
    return LLOYD_OK;
}

/* `count` rows that find room in cuda->scratch, behind their own numbers. */
lloyd_status gather_batch(const cuda_kernels *cuda, int slot, const int64_t *list, int64_t count,
                          float *out)
{
    auto *gathered = reinterpret_cast<float *>(cuda->scratch + count * (int64_t)sizeof *list);
    LLOYD_TRY(gather(cuda, slot, list, count, gathered));
    return copy(cuda, out, gathered, count * cuda->base.config.dim * (int64_t)sizeof *out);
}

/* --- the grid --- */

lloyd_status send_grid(const cuda_kernels *cuda, const lloyd_grid *grid, double *scale)
{
    int64_t dim = cuda->base.config.dim, bytes = dim * (int64_t)sizeof(int);
    for (int64_t j = 0; j < dim; j++)
        scale[j] = grid->wide_number[j] >= 0 ? 0 : lloyd_exp2(grid->bits - grid->top[j]);
    LLOYD_TRY(copy(cuda, cuda->digit_scale, scale, dim * (int64_t)sizeof *scale));
    LLOYD_TRY(copy(cuda, cuda->top, grid->top, bytes));
    LLOYD_TRY(copy(cuda, cuda->digits, grid->digits, bytes));
    LLOYD_TRY(copy(cuda, cuda->square_top, grid->square_top, bytes));
    LLOYD_TRY(copy(cuda, cuda->second, grid->second, bytes));
    LLOYD_TRY(copy(cuda, cuda->wide_number, grid->wide_number, bytes));
    return copy(cuda, cuda->wide_column, grid->wide_column, bytes);
}

} // namespace

lloyd_status lloyd_cuda_lengths(cuda_kernels *cuda, int slot, int64_t at, int64_t count)
{
    if (count == 0) return LLOYD_OK;
    cuda_rows rows = lloyd_cuda_slot_rows(cuda, slot);
    const int64_t block_rows = LENGTH_ROWS * (LENGTH_THREADS / LLOYD_LANES);
    const char *data = rows.data + at * rows.dim * (int64_t)lloyd_type_size(cuda->base.config.type);
    double *lengths = cuda->lengths + cuda->slots[slot].first + at;
    unsigned blocks = (unsigned)cuda_divide_up(count, block_rows);
    cuda_for_type(rows.type, [&](auto type) {
        constexpr lloyd_type T = decltype(type)::value;
        row_lengths<T><<<blocks, LENGTH_THREADS, 0, cuda->stream>>>(data, count, rows.dim, lengths);
    });
    return lloyd_cuda_check(cudaGetLastError(), "starting the lengths of rows");
}

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
    auto *max = reinterpret_cast<unsigned long long *>(cuda->scratch);
    auto *low = reinterpret_cast<int *>(max + 2 * dim);
    lloyd_status status = set_bytes(cuda, max, 0, bytes);
    if (status == LLOYD_OK) status = forget_low(cuda, low);
    if (status == LLOYD_OK)
        status = run_columns<weighted_extremes>(cuda, slot, {max, max + dim, low});
    if (status == LLOYD_OK) status = copy(cuda, found, max, bytes + dim * (int64_t)sizeof *low);
    const auto *lowest = reinterpret_cast<const int *>(found + 2 * dim);
    for (int64_t j = 0; status == LLOYD_OK && j < dim; j++) {
        range->greatest[j] = found[j] > range->greatest[j] ? found[j] : range->greatest[j];
        range->square[j] = found[dim + j] > range->square[j] ? found[dim + j] : range->square[j];
        range->low[j] = lowest[j] < range->low[j] ? lowest[j] : range->low[j];
    }
    lloyd_free(found);
    return status;
}

lloyd_status lloyd_cuda_set_grid(lloyd_kernels *kernels, const lloyd_grid *grid)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    double *scratch;
    LLOYD_TRY(lloyd_alloc(&scratch, kernels->config.dim, sizeof *scratch, "scales of the columns"));
    lloyd_cuda_means_stale(cuda);
    lloyd_status status = lloyd_cuda_alloc_sums(cuda, grid);
    cuda->mass_scale = lloyd_exp2(grid->bits - grid->weight_top);
    cuda->least_mass = lloyd_exp2(grid->bits * grid->weight_digits - grid->weight_top);
    if (status == LLOYD_OK) status = send_grid(cuda, grid, scratch);
    lloyd_free(scratch);
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
    auto *sums = reinterpret_cast<unsigned long long *>(cuda->scratch);
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
    if (status == LLOYD_OK) status = copy(cuda, found, sums, bytes);
    for (int64_t i = 0; status == LLOYD_OK && i < count; i++) words[i] += found[i];
    lloyd_free(found);
    return status;
}

lloyd_status lloyd_cuda_rows(lloyd_kernels *kernels, int slot, const int64_t *rows, int64_t count,
                             float *out)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t dim = kernels->config.dim;
    int64_t batch = lloyd_cuda_scratch_bytes(dim) / (8 + 4 * dim);
    for (int64_t at = 0; at < count; at += batch) {
        int64_t here = count - at < batch ? count - at : batch;
        LLOYD_TRY(gather_batch(cuda, slot, rows + at, here, out + at * dim));
    }
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_take(lloyd_kernels *kernels, int slot, const int64_t *rows, int64_t count,
                             lloyd_kernels *to, int to_slot, int64_t at)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    cuda_slot *target = &lloyd_cuda(to)->slots[to_slot];
    int64_t dim = kernels->config.dim;
    int64_t batch = lloyd_cuda_scratch_bytes(dim) / (int64_t)sizeof *rows;
    auto *out = reinterpret_cast<float *>(target->rows);
    assert(to->config.type == LLOYD_F32 && to->config.dim == dim && at + count <= target->count);
    target->described = false;
    for (int64_t done = 0; done < count; done += batch) {
        int64_t here = count - done < batch ? count - done : batch;
        LLOYD_TRY(gather(cuda, slot, rows + done, here, out + (at + done) * dim));
    }
    /* the other kernels have a stream of their own */
    return lloyd_cuda_check(cudaStreamSynchronize(cuda->stream), "gathering rows");
}
