/* Lengths of rows for the cosine metric, the grid of the sums on its way to the GPU, and rows on their way to the host. */
#include "kernels/cuda/rows.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/slots.h"
#include "kernels/cuda/update/means.h"

#include <cassert>
#include <cstring>

namespace
{

/* --- lengths: one warp, eight rows --- */

constexpr int LENGTH_ROWS = 8, LENGTH_THREADS = 256;

/* One level of dist()'s tree for `2 * N` rows at once: lanes without bit `half` continue with the first
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

/* gathered[count * D], in device memory, = these rows, whose numbers find room in cuda->scratch. */
lloyd_status gather_some(const cuda_kernels *cuda, int slot, const int64_t *list, int64_t count,
                         float *gathered)
{
    cuda_rows rows = lloyd_cuda_slot_rows(cuda, slot);
    auto *numbers = reinterpret_cast<int64_t *>(cuda->scratch.data);
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
    LLOYD_TRY(gather_some(cuda, slot, list, count, gathered));
    return lloyd_cuda_copy_out(cuda, out, gathered,
                               count * cuda->base.config.dim * (int64_t)sizeof *out);
}

/* --- the grid --- */

/* An array of [dim] in host memory, and where it is to be on the device: in cuda->columns at the same place. */
template <class T>
void place_column(const cuda_kernels *cuda, char **at, const T *from, T **on_device, char *host)
{
    const size_t bytes = (size_t)cuda->base.config.dim * sizeof(T);
    memcpy(*at, from, bytes);
    *on_device = reinterpret_cast<T *>(cuda->columns + (*at - host));
    *at += bytes;
}

/* host: room for it, as large as cuda->columns, and for `scale`. */
lloyd_status send_grid(cuda_kernels *cuda, const lloyd_grid *grid, char *host, double *scale)
{
    const int64_t dim = cuda->base.config.dim;
    char *at = host;
    for (int64_t j = 0; j < dim; j++)
        scale[j] = grid->wide_number[j] >= 0 ? 0 : lloyd_exp2(grid->bits - grid->top[j]);
    place_column(cuda, &at, scale, &cuda->digit_scale, host);
    place_column(cuda, &at, grid->top, &cuda->top, host);
    place_column(cuda, &at, grid->digits, &cuda->digits, host);
    place_column(cuda, &at, grid->square_top, &cuda->square_top, host);
    place_column(cuda, &at, grid->second, &cuda->second, host);
    place_column(cuda, &at, grid->wide_number, &cuda->wide_number, host);
    place_column(cuda, &at, grid->wide_column, &cuda->wide_column, host);
    return lloyd_cuda_copy_in(cuda, cuda->columns, host, at - host);
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

lloyd_status lloyd_cuda_set_grid(lloyd_kernels *kernels, const lloyd_grid *grid)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    const int64_t dim = kernels->config.dim;
    char *host;
    LLOYD_TRY(lloyd_alloc(&host, dim, CUDA_COLUMN_BYTES + sizeof(double), "the grid"));
    lloyd_cuda_means_stale(cuda);
    lloyd_status status = lloyd_cuda_alloc_sums(cuda, grid);
    cuda->mass_scale = lloyd_exp2(grid->bits - grid->weight_top);
    cuda->least_mass = lloyd_exp2(grid->bits * grid->weight_digits - grid->weight_top);
    void *scale = host + dim * CUDA_COLUMN_BYTES;
    if (status == LLOYD_OK) status = send_grid(cuda, grid, host, static_cast<double *>(scale));
    lloyd_free(host);
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

lloyd_status lloyd_cuda_gather(const cuda_kernels *cuda, int slot, const int64_t *rows,
                               int64_t count, float *gathered)
{
    const int64_t dim = cuda->base.config.dim;
    const int64_t batch = lloyd_cuda_scratch_bytes(dim) / (int64_t)sizeof *rows;
    for (int64_t done = 0; done < count; done += batch) {
        const int64_t here = count - done < batch ? count - done : batch;
        LLOYD_TRY(gather_some(cuda, slot, rows + done, here, gathered + done * dim));
    }
    return LLOYD_OK;
}

lloyd_status lloyd_cuda_take(lloyd_kernels *kernels, int slot, const int64_t *rows, int64_t count,
                             lloyd_kernels *to, int to_slot, int64_t at)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    cuda_slot *target = &lloyd_cuda(to)->slots[to_slot];
    const int64_t dim = kernels->config.dim;
    auto *out = reinterpret_cast<float *>(target->rows.data);
    assert(to->config.type == LLOYD_F32 && to->config.dim == dim && at + count <= target->count);
    target->described = target->encoded = false;
    LLOYD_TRY(lloyd_cuda_gather(cuda, slot, rows, count, out + at * dim));
    /* the other kernels have a stream of their own */
    return lloyd_cuda_check(cudaStreamSynchronize(cuda->stream), "gathering rows");
}
