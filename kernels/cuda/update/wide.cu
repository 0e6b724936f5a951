/* Sums of the columns that have more than two digits, and of such weights: all their digits, one by one.
 *
 * There are few such columns: one with a fill value of 1e36 among values near 1, say. A warp takes one of
 * them and 32 rows in sorted order, whose labels are mostly the same: then the lanes' digits are added
 * up before they go to the sums. Digits that are 0 for all, as most of a fill value's are, cost nothing.
 */
#include "kernels/cuda/update/wide.h"

#include "kernels/cuda/update/sums.cuh"

namespace
{

enum { THREADS = 256, WARPS = THREADS / 32 };

/* Of `rows`: column i of `wide`, or the weights. */
struct wide_columns {
    cuda_rows rows;
    lloyd_sum_layout layout;
    const uint32_t *labels, *order; /* [rows] in sorted order, or NULL */
    const int *top, *digits;
    const int32_t *second, *wide_column;
    int weight_top;
    int64_t *sums;
};

__device__ inline int64_t *word(const wide_columns &w, int64_t k, int64_t i, int64_t j, int t)
{
    const lloyd_sum_layout &l = w.layout;
    if (t == 0) return w.sums + k * l.dim + j;
    if (t == 1) return w.sums + l.seconds_at + k * l.seconds + w.second[j];
    return w.sums + l.wide_at + ((t - 2) * l.clusters + k) * l.wide + i;
}

/* What is summed of an element. */
template <lloyd_type T>
__device__ inline double number(const wide_columns &w, int64_t row, int64_t j)
{
    const double x = (double)cuda_value<T>(w.rows, row, j);
    return w.rows.weights ? lloyd_mul((double)w.rows.weights[row], x) : x;
}

/* Digit t of the mass of cluster k. */
__device__ inline int64_t *mass_word(const wide_columns &w, int64_t k, int t)
{
    return w.sums + w.layout.masses_at + t * w.layout.clusters + k;
}

/* Adds every digit t of value(row) to to(label, t), for 32 rows in sorted order. By a warp. */
template <class Value, class To>
__device__ void add_digits(const wide_columns &w, int64_t begin, int top, int digits, Value value,
                           To to)
{
    const int bits = w.layout.bits, lane = (int)threadIdx.x % 32;
    const int64_t p = begin + lane;
    const bool is = p < w.rows.count;
    const int label = is ? (int)w.labels[p] : -1, first = __shfl_sync(0xffffffffu, label, 0);
    const bool same = __all_sync(0xffffffffu, !is || label == first);
    const double kept = is ? lloyd_kept(value((int64_t)w.order[p]), top - bits * digits) : 0;
    for (int t = 0; t < digits; t++) {
        int64_t digit = lloyd_digit(kept, top - bits * (t + 1), bits, t == 0);
        if (!__any_sync(0xffffffffu, digit != 0)) continue;
        if (!same) {
            if (digit != 0) cuda_add_word(to(label, t), digit);
            continue;
        }
        for (int half = 16; half > 0; half /= 2) digit += __shfl_xor_sync(0xffffffffu, digit, half);
        if (lane == 0) cuda_add_word(to(first, t), digit);
    }
}

template <lloyd_type T>
__global__ void __launch_bounds__(THREADS) add_columns(const __grid_constant__ wide_columns w)
{
    cuda_await();
    const int64_t warp = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, wide = w.layout.wide;
    const int64_t i = warp % wide, begin = warp / wide * 32;
    if (begin >= w.rows.count) return;
    const int64_t j = w.wide_column[i];
    add_digits(
        w, begin, w.top[j], w.digits[j], [&](int64_t row) { return number<T>(w, row, j); },
        [&](int64_t k, int t) { return word(w, k, i, j, t); });
}

__global__ void __launch_bounds__(THREADS) add_weights(const __grid_constant__ wide_columns w)
{
    cuda_await();
    const int64_t begin = ((int64_t)blockIdx.x * WARPS + threadIdx.x / 32) * 32;
    if (begin >= w.rows.count) return;
    add_digits(
        w, begin, w.weight_top, w.layout.weight_digits,
        [&](int64_t row) { return (double)w.rows.weights[row]; },
        [&](int64_t k, int t) { return mass_word(w, k, t); });
}

/* Moves every digit t of a value from word from(t) to word to(t). By one lane. */
template <class From, class To>
__device__ void move_digits(double value, int top, int bits, int digits, From from, To to)
{
    const double kept = lloyd_kept(value, top - bits * digits);
    for (int t = 0; t < digits; t++) {
        const int64_t digit = lloyd_digit(kept, top - bits * (t + 1), bits, t == 0);
        if (digit == 0) continue;
        cuda_add_word(from(t), -digit);
        cuda_add_word(to(t), digit);
    }
}

/* A lane takes a column of a row that has moved; the first of them its weight. */
template <lloyd_type T>
__global__ void __launch_bounds__(THREADS)
    move_columns(const __grid_constant__ wide_columns w, const int32_t *labels,
                 const int32_t *summed)
{
    cuda_await();
    const int lane = (int)threadIdx.x % 32, bits = w.layout.bits;
    cuda_each_moved(labels, summed, w.rows.count, [&](int64_t row, int from, int to) {
        for (int64_t i = lane; i < w.layout.wide; i += 32) {
            const int64_t j = w.wide_column[i];
            move_digits(
                number<T>(w, row, j), w.top[j], bits, w.digits[j],
                [&](int t) { return word(w, from, i, j, t); },
                [&](int t) { return word(w, to, i, j, t); });
        }
        if (w.layout.weight_digits <= 2 || lane > 0) return;
        move_digits((double)w.rows.weights[row], w.weight_top, bits, w.layout.weight_digits,
                    [&](int t) { return mass_word(w, from, t); },
                    [&](int t) { return mass_word(w, to, t); });
    });
}

wide_columns columns_of(const cuda_kernels *cuda, const cuda_rows &rows)
{
    wide_columns w = {};
    w.rows = rows;
    w.layout = cuda->layout;
    w.top = cuda->top;
    w.digits = cuda->digits;
    w.second = cuda->second;
    w.wide_column = cuda->wide_column;
    w.weight_top = cuda->grid->weight_top;
    w.sums = cuda->sums;
    return w;
}

} // namespace

lloyd_status lloyd_cuda_add_wide(cuda_kernels *cuda, int slot, int64_t at, int64_t count,
                                 const cuda_sorted &sorted)
{
    const char *what = "summing columns of many digits";
    wide_columns w = columns_of(cuda, lloyd_cuda_slot_rows(cuda, slot));
    w.rows.data += at * w.rows.dim * (int64_t)lloyd_type_size(w.rows.type);
    if (w.rows.lengths) w.rows.lengths += at;
    if (w.rows.weights) w.rows.weights += at;
    w.rows.count = count;
    w.labels = sorted.labels;
    w.order = sorted.order;
    const int64_t warps = cuda_divide_up(count, 32);
    lloyd_status status = LLOYD_OK;
    if (w.layout.wide > 0) {
        cuda_for_type(w.rows.type, [&](auto type) {
            status = cuda_launch_after(cuda->stream, cuda->gpu.capability, add_columns<type>,
                                       cuda_divide_up(warps * w.layout.wide, WARPS), THREADS, 0,
                                       what, w);
        });
    }
    if (status == LLOYD_OK && w.layout.weight_digits > 2) {
        status = cuda_launch_after(cuda->stream, cuda->gpu.capability, add_weights,
                                   cuda_divide_up(warps, WARPS), THREADS, 0, what, w);
    }
    return status;
}

lloyd_status lloyd_cuda_move_wide(cuda_kernels *cuda, int slot, int64_t blocks)
{
    const wide_columns w = columns_of(cuda, lloyd_cuda_slot_rows(cuda, slot));
    if (w.layout.wide == 0 && w.layout.weight_digits <= 2) return LLOYD_OK;
    const int32_t *labels = cuda->labels + cuda->slots[slot].first;
    const int32_t *summed = cuda->summed + cuda->slots[slot].first;
    lloyd_status status = LLOYD_OK;
    cuda_for_type(w.rows.type, [&](auto type) {
        status = cuda_launch_after(cuda->stream, cuda->gpu.capability, move_columns<type>, blocks,
                                   THREADS, 0, "summing columns of many digits", w, labels, summed);
    });
    return status;
}
