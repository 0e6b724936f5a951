/* Rows that the 8-bit filter leaves open: listed for the fallback pass of the 16-bit filter. docs/numerics.md, section 2.7. */
#include "kernels/cuda/int8/open.h"

#include "kernels/cuda/assign/filter.h"
#include "kernels/cuda/assign/nearest.cuh"

namespace
{

enum { THREADS = 256, WARPS = THREADS / 32, BLOCKS = 2, AHEAD = 4 };

/* What the 16-bit filter's score of the label reaches, at least, if some centroid is at this squared distance of row i. A warp. */
template <lloyd_type T>
__device__ float threshold_of(const flash_params &p, int64_t i, double distance,
                              const float *origin)
{
    const int lane = threadIdx.x % 32;
    const flash_units units = *p.units;
    const double sigma = units.sigma;
    const bool cosine = p.rows.lengths != nullptr;
    const float scale = flash_row_scale(p.rows, i, units.sigma);
    const auto *row = (const cuda_stored<T> *)p.rows.data + i * p.rows.dim;
    double square = 0, along = 0;
    for (int64_t j = lane; j < p.rows.dim; j += 32) {
        const float stored = cuda_element<T>::value(row[j]);
        const float value = cosine ? lloyd_normalised(stored, p.rows.lengths[i]) : stored;
        const double operand = (double)__half2float(
            __float2half_rn(flash_operand(flash_lifted<T>(stored, cosine), scale, p.offset[j])));
        const double x = sigma * ((double)value - (double)origin[j]);
        square = fma(x, x, square);
        along = fma(x - operand, x, along);
    }
    for (int bit = 16; bit > 0; bit /= 2) {
        square += __shfl_xor_sync(0xffffffffu, square, bit);
        along += __shfl_xor_sync(0xffffffffu, along, bit);
    }
    distance *= sigma * sigma;
    const __half2 norms = p.norms[i];
    const double rest = __high2float(norms);
    double least =
        (double)FLASH_ORIGIN + square / 2 - (1 + (double)units.lambda) * distance / 2 - 8;
    if (units.rows_local) least -= along + rest * rest * (double)units.gain;
    least -= 0x1p-20 * (square + distance);
    const bool served = __low2float(norms) <= FLASH_REACH && least > (double)FLASH_LEAST;
    return served ? __double2float_rd(least) : FLASH_NEVER;
}

/* The least squared distance of row i to those of its candidates that were noted, or to the centroid that it has. A warp. */
template <lloyd_type T, bool VECTOR>
__device__ double least_distance(const cuda_decision &d, const int8_lists &lists, int32_t i,
                                 const int32_t *candidate, int count)
{
    const int lane = threadIdx.x % 32, label = d.labels[i];
    const float *own = d.centroids + (label >= 0 && label < d.set ? label : 0) * d.rows.dim;
    const double distance = cuda_warp_dist<T>(d.rows, i, own, lane);
    cuda_nearest found =
        cuda_compare<T, VECTOR, AHEAD>(d.rows, d.centroids,
                                       {i, candidate, lane / CUDA_GROUP_LANES * CUDA_GROUP_ROWS,
                                        count, CUDA_WARP_ROWS, lists.order});
    for (int bit = 1; bit < 32; bit *= 2) found.join(bit);
    return fmin(distance, __shfl_sync(0xffffffffu, found.least, 0));
}

/* Lists the rows of the 8-bit filter's list that it has left open for the fallback pass of the 16-bit filter. A warp looks at 32 rows at
 * a time; a segment has BLOCKS blocks. */
template <lloyd_type T, bool VECTOR>
__global__ void __launch_bounds__(THREADS, BLOCKS)
    list_open(flash_params p, cuda_decision d, int8_lists lists, int segments, const float *origin)
{
    cuda_await();
    const int lane = threadIdx.x % 32, open = p.lists.counters[FLASH_OPEN];
    const int segment = blockIdx.x % segments, rows = lists.rows_of[segment];
    const int warp = blockIdx.x / segments * WARPS + threadIdx.x / 32;
    const int64_t base = (int64_t)segment * lists.segment_rows;
    if (blockIdx.x == 0 && threadIdx.x == 0)
        atomicAdd(&d.counters[LLOYD_COUNT_INT8], (unsigned long long)(p.count - open));
    if (open == 0) return;
    for (int first = 32 * warp; first < rows; first += 32 * BLOCKS * WARPS) {
        const int64_t at = base + first + lane;
        const int found = first + lane < rows ? lists.found[at] : 1;
        for (unsigned left = __ballot_sync(0xffffffffu, found < 1); left; left &= left - 1) {
            const int holder = __ffs((int)left) - 1,
                      noted = -__shfl_sync(0xffffffffu, found, holder);
            const int64_t place = base + first + holder;
            const int32_t row = lists.row[place];
            const int32_t *candidate =
                lists.candidate + base * FLASH_CANDIDATES + lists.start[place];
            const double distance = least_distance<T, VECTOR>(d, lists, row, candidate, noted);
            const float threshold = threshold_of<T>(p, row, distance, origin);
            if (lane > 0) continue;
            const int to = atomicAdd(&p.lists.counters[FLASH_LISTED], 1);
            p.lists.row[to] = row;
            p.lists.threshold[to] = threshold;
            p.lists.found[to] = 0;
        }
    }
}

} // namespace

lloyd_status lloyd_cuda_int8_list_open(cuda_kernels *cuda, const flash_params &p,
                                       const cuda_decision &d, const int8_lists &lists)
{
    const int segments = cuda->gpu.multiprocessors;
    lloyd_status status = LLOYD_OK;
    const bool fours = cuda_reads_fours(d.rows, d.centroids);
    cuda_for_type(p.rows.type, [&](auto type) {
        constexpr lloyd_type T = decltype(type)::value;
        status =
            cuda_launch_after(cuda->stream, cuda->gpu.capability,
                              fours ? list_open<T, true> : list_open<T, false>, BLOCKS * segments,
                              THREADS, 0, "listing rows for the fallback pass", p, d, lists,
                              segments, (const float *)cuda->filter->origin);
    });
    return status;
}
