/* Exact sums per cluster, of which only the rows that have moved are looked at.
 *
 * A warp compares 32 labels with the clusters in whose sums the rows are, and goes through those that differ one
 * by one: it reads the row, a column per lane, and each digit goes to two words of the sums, atomically; what is taken
 * from one is what the other gets. Neighbouring lanes add to neighbouring words, which the L2 cache takes 32 bytes at a
 * time. Nothing is sorted or listed, and how many rows there are, the host does not ask. This costs more per row than
 * summing all rows does (update.cu says how much), and next to nothing where few rows have moved.
 */
#include "kernels/cuda/update/moved.h"

#include "kernels/cuda/update/sums.cuh"
#include "kernels/cuda/update/wide.h"

#include <algorithm>

namespace
{

enum {
    THREADS = 256,
    BLOCKS = 8, /* on a multiprocessor, at most */
    AHEAD = 4   /* elements of a lane on their way at a time */
};

using arithmetic = cuda_arithmetic;

/* Rows [0, rows) of a slot. */
struct moves : cuda_summands {
    const int32_t *labels;
    int32_t *summed;
    int64_t rows;
};

/* Of an element or a weight. */
struct digits {
    int64_t first, second;
};

/* What the digits of a row depend on, besides its elements. */
struct row_factors {
    float weight = 1;
    double length = 1, inverse = 1;

    __device__ row_factors(const moves &m, int64_t row)
    {
        if (m.weights) weight = m.weights[row];
        if (m.lengths) length = m.lengths[row], inverse = 1 / length;
    }
};

/* Column j. */
template <lloyd_type T, arithmetic A>
__device__ inline digits digits_of(const moves &m, const row_factors &f, cuda_stored<T> x, int j)
{
    const double scale = __ldg(&m.scale[j]);
    if constexpr (A == arithmetic::INTEGER) {
        const uint32_t byte = cuda_summed_bytes<T>((uint8_t)x) & 0xff;
        return {cuda_sum_of_bytes<T>(byte, 1, scale), 0};
    } else {
        const float value = cuda_element<T>::value(x);
        if constexpr (A == arithmetic::FLOAT)
            return {__float2int_rn(__fmul_rn(value, (float)scale)), 0};
        const lloyd_pair q = A == arithmetic::PAIR
                                 ? cuda_pair(value, (float)scale, (float)(1 << m.bits))
                                 : cuda_defined(value, m.lengths, f.length, f.inverse, f.weight,
                                                scale, lloyd_exp2(m.bits));
        return {q.high, q.low};
    }
}

/* From the sums of one cluster to those of another. */
struct move {
    int64_t from, to;

    /* A digit of column `at`, of sums that are `width` columns wide. */
    __device__ void operator()(int64_t *sums, int64_t width, int64_t at, int64_t digit) const
    {
        if (digit == 0) return;
        cuda_add_word(&sums[from * width + at], -digit);
        cuda_add_word(&sums[to * width + at], digit);
    }
};

/* The weight of a row, or that there is one. By one lane. */
__device__ inline void move_mass(const moves &m, const row_factors &f, const move &move)
{
    if (!m.weights) {
        move(m.masses, 1, 0, 1);
        return;
    }
    const lloyd_pair q = lloyd_pair_of((double)f.weight, m.mass_scale, lloyd_exp2(m.bits));
    move(m.masses, 1, 0, q.high);
    if (m.second_mass) move(m.masses + m.clusters, 1, 0, q.low);
}

/* By a warp. */
template <lloyd_type T, arithmetic A>
__device__ inline void move_row(const moves &m, int64_t row, const move &move)
{
    const int lane = (int)threadIdx.x % 32;
    const auto *elements = reinterpret_cast<const cuda_stored<T> *>(m.data + row * m.row_bytes);
    const row_factors factors(m, row);
    if (lane == 0) move_mass(m, factors, move);
    for (int first = lane; first < m.dim; first += 32 * AHEAD) {
        cuda_stored<T> x[AHEAD];
#pragma unroll
        for (int u = 0; u < AHEAD; u++) x[u] = elements[min(first + 32 * u, m.dim - 1)];
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            const int j = first + 32 * u;
            if (j >= m.dim) break;
            const digits q = digits_of<T, A>(m, factors, x[u], j);
            move(m.sums, m.dim, j, q.first);
            if constexpr (cuda_has_two_digits(A)) {
                /* a column without a second digit has none that is not 0 */
                if (q.second != 0) move(m.second_sums, m.seconds, __ldg(&m.second[j]), q.second);
            }
        }
    }
}

template <lloyd_type T, arithmetic A>
__global__ void __launch_bounds__(THREADS, A == arithmetic::DEFINITION ? 2 : 4)
    move_rows(const __grid_constant__ moves m)
{
    cuda_await();
    cuda_each_moved(m.labels, m.summed, m.rows, [&](int64_t row, int from, int to) {
        move_row<T, A>(m, row, {from, to});
        if (threadIdx.x % 32 == 0) m.summed[row] = to;
    });
}

} // namespace

lloyd_status lloyd_cuda_add_moved(cuda_kernels *cuda, int slot)
{
    moves m = {};
    lloyd_cuda_summands(cuda, slot, 0, &m);
    m.labels = cuda->labels + cuda->slots[slot].first;
    m.summed = cuda->summed + cuda->slots[slot].first;
    m.rows = cuda->slots[slot].count;
    const int64_t most = (int64_t)BLOCKS * cuda->gpu.multiprocessors;
    const int64_t blocks = std::min(cuda_divide_up(m.rows, THREADS), most);
    LLOYD_TRY(lloyd_cuda_move_wide(cuda, slot, blocks));
    return cuda_for_arithmetic(cuda, [&](auto type, auto arithmetic) {
        return cuda_launch_after(cuda->stream, cuda->gpu.capability, move_rows<type, arithmetic>,
                                 blocks, THREADS, 0, "summing the rows that have moved", m);
    });
}
