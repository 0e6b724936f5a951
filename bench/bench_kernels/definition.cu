#include "definition.cuh"

#include "data.cuh"
#include "rows.cuh"

#include <cmath>
#include <cstring>

namespace benchmarks
{

namespace
{

enum { LANES = 32 }; /* partial sums of dist() */

/* out[D*K] from in[K*D]: neighbouring threads score neighbouring centroids. */
__global__ void transpose(const float *in, int64_t k_count, int64_t dim, float *out)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, count = k_count * dim;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += step)
        out[at] = in[at % k_count * dim + at / k_count];
}

/* dist() of docs/numerics.md, section 2; column j of the centroid is at centroid[j * stride]. */
__device__ inline double distance(const float *row, const float *centroid, int64_t stride,
                                  int64_t dim)
{
    double p[LANES];
#pragma unroll
    for (int l = 0; l < LANES; l++) p[l] = 0;
    for (int64_t begin = 0; begin < dim; begin += LANES) {
#pragma unroll
        for (int l = 0; l < LANES; l++) {
            int64_t j = begin + l;
            if (j >= dim) continue;
            double t = __dsub_rn((double)row[j], (double)centroid[j * stride]);
            p[l] = __fma_rn(t, t, p[l]);
        }
    }
#pragma unroll
    for (int l = 0; l < 16; l++) p[l] = __dadd_rn(p[l], p[l + 16]);
#pragma unroll
    for (int l = 0; l < 8; l++) p[l] = __dadd_rn(p[l], p[l + 8]);
#pragma unroll
    for (int l = 0; l < 4; l++) p[l] = __dadd_rn(p[l], p[l + 4]);
    p[0] = __dadd_rn(p[0], p[2]);
    p[1] = __dadd_rn(p[1], p[3]);
    return __dadd_rn(p[0], p[1]);
}

/* labels[i] = the smallest k that minimises the distance to row i. A block per row. */
__global__ void __launch_bounds__(THREADS)
    nearest_by_definition(const float *rows, const float *transposed, int64_t k_count, int64_t dim,
                          int32_t *labels)
{
    __shared__ double distances[THREADS];
    __shared__ int64_t winners[THREADS];
    const float *row = rows + (int64_t)blockIdx.x * dim;
    double best = INFINITY;
    int64_t winner = k_count;
    for (int64_t k = threadIdx.x; k < k_count; k += THREADS) {
        double d = distance(row, transposed + k, k_count, dim);
        if (d < best) {
            best = d;
            winner = k;
        }
    }
    distances[threadIdx.x] = best;
    winners[threadIdx.x] = winner;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (int t = 1; t < THREADS; t++) {
        if (distances[t] < best || (distances[t] == best && winners[t] < winner)) {
            best = distances[t];
            winner = winners[t];
        }
    }
    labels[blockIdx.x] = (int32_t)winner;
}

/* A grid on the device. */
struct grid_by_definition {
    lloyd_sum_layout layout;
    const int *top, *digits;
    const int32_t *second, *wide_number;
};

/* sums, as the layout says, with one atomic per digit (section 3). A warp per row. Rows with an
 * impossible label are left out, which makes the counts differ. */
__global__ void sums_by_definition(const void *data, lloyd_type type, const int32_t *labels,
                                   int64_t n, grid_by_definition g, unsigned long long *sums)
{
    const lloyd_sum_layout &l = g.layout;
    int64_t warps = (int64_t)gridDim.x * blockDim.x / 32;
    int lane = threadIdx.x % 32;
    for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 32; i < n; i += warps) {
        int64_t label = labels[i];
        if (label < 0 || label >= l.clusters) continue;
        for (int64_t j = lane; j < l.dim; j += 32) {
            int64_t digit[LLOYD_MOST_DIGITS];
            lloyd_digits_of((double)element(data, type, i * l.dim + j), g.top[j], l.bits,
                            g.digits[j], digit);
            for (int t = 0; t < g.digits[j]; t++) {
                int64_t at = t == 0   ? label * l.dim + j
                             : t == 1 ? l.seconds_at + label * l.seconds + g.second[j]
                                      : l.wide_at + ((t - 2) * l.clusters + label) * l.wide +
                                            g.wide_number[j];
                atomicAdd(&sums[at], (unsigned long long)digit[t]);
            }
        }
        if (lane == 0) atomicAdd(&sums[l.masses_at + label], 1ULL);
    }
}

__global__ void count_different(const int64_t *a, const unsigned long long *b, int64_t count,
                                unsigned long long *different)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    unsigned long long found = 0;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += step)
        found += (unsigned long long)a[at] != b[at];
    if (found > 0) atomicAdd(different, found);
}

/* *wrong += sampled rows whose label is not the definition's. */
lloyd_status check_labels(const bench &b, const std::vector<float> &centroids,
                          const std::vector<int32_t> &labels, int64_t *wrong)
{
    const char *what = "labels by definition";
    const shape &s = b.size;
    device_array<float> plain, transposed;
    device_array<int32_t> on_device;
    LLOYD_TRY(plain.copy_from(centroids.data(), s.k * s.d, what));
    LLOYD_TRY(transposed.alloc(s.k * s.d, what));
    LLOYD_TRY(on_device.alloc(SAMPLE, what));
    transpose<<<blocks_for(s.k * s.d), THREADS>>>(plain.data, s.k, s.d, transposed.data);
    nearest_by_definition<<<SAMPLE, THREADS>>>(b.sample.data, transposed.data, s.k, s.d,
                                               on_device.data);
    LLOYD_TRY(finished(what));
    std::vector<int32_t> expected(SAMPLE);
    LLOYD_TRY(on_device.copy_to(expected.data(), SAMPLE, what));
    for (size_t i = 0; i < SAMPLE; i++) *wrong += labels[(size_t)b.sample_row[i]] != expected[i];
    return LLOYD_OK;
}

/* expected = sums and counts for these labels; *wrong += how many of the kernels' differ. */
lloyd_status check_sums(const bench &b, const std::vector<int32_t> &labels,
                        std::vector<unsigned long long> *expected, int64_t *wrong)
{
    const char *what = "sums by definition";
    const shape &s = b.size;
    const lloyd_sum_layout layout = lloyd_layout_of_sums(&b.grid, s.d, s.k);
    int64_t words = layout.counters_at;
    device_array<int32_t> labels_on_device, second, wide_number;
    device_array<int> top, digits;
    device_array<unsigned long long> sums; /* and the number of different ones behind */
    LLOYD_TRY(labels_on_device.copy_from(labels.data(), s.n, what));
    LLOYD_TRY(top.copy_from(b.grid.top, s.d, what));
    LLOYD_TRY(digits.copy_from(b.grid.digits, s.d, what));
    LLOYD_TRY(second.copy_from(b.grid.second, s.d, what));
    LLOYD_TRY(wide_number.copy_from(b.grid.wide_number, s.d, what));
    LLOYD_TRY(sums.alloc(words + 1, what));
    CUDA_TRY(cudaMemset(sums.data, 0, (size_t)(words + 1) * sizeof *sums.data), what);
    sums_by_definition<<<blocks_for(s.n * 32), THREADS>>>(b.rows.data, b.type,
                                                          labels_on_device.data, s.n,
                                                          {layout, top.data, digits.data,
                                                           second.data, wide_number.data},
                                                          sums.data);
    lloyd_buffer of_kernels;
    LLOYD_TRY(b.kernels->sums(b.kernels, &of_kernels));
    const auto *found = static_cast<const int64_t *>(of_kernels.data);
    count_different<<<blocks_for(words), THREADS>>>(found, sums.data, words, sums.data + words);
    LLOYD_TRY(finished(what));
    expected->resize((size_t)words + 1);
    LLOYD_TRY(sums.copy_to(expected->data(), words + 1, what));
    *wrong += (int64_t)expected->back();
    return LLOYD_OK;
}

/* *wrong += elements of the updated centroids that are not bit-identical to section 4's; of columns of up to
 * two digits, whose quotient is in long double close enough. */
lloyd_status check_means(const bench &b, const std::vector<float> &before,
                         const std::vector<unsigned long long> &sums, int64_t *wrong)
{
    const shape &s = b.size;
    const lloyd_sum_layout l = lloyd_layout_of_sums(&b.grid, s.d, s.k);
    const auto *words = reinterpret_cast<const int64_t *>(sums.data());
    std::vector<float> after(before.size());
    LLOYD_TRY(b.kernels->get_centroids(b.kernels, after.data()));
    for (int64_t k = 0; k < s.k; k++) {
        const int64_t count = words[l.masses_at + k];
        for (int64_t j = 0; j < s.d; j++) {
            const size_t at = (size_t)(k * s.d + j);
            const int digits = b.grid.digits[j];
            if (digits > 2) continue;
            __int128 total = words[at];
            if (digits == 2)
                total = total * ((__int128)1 << l.bits) +
                        words[l.seconds_at + k * l.seconds + b.grid.second[j]];
            const long double mean = (long double)total / (long double)count;
            float expected = (float)std::ldexp(mean, b.grid.top[j] - l.bits * digits) + 0.0F;
            if (count == 0) expected = before[at];
            *wrong += memcmp(&expected, &after[at], sizeof expected) != 0;
        }
    }
    return LLOYD_OK;
}

} // namespace

lloyd_status check(const bench &b, bool fresh, figures *out)
{
    lloyd_kernels *kernels = b.kernels;
    std::vector<float> before((size_t)(b.size.k * b.size.d));
    std::vector<int32_t> labels((size_t)b.size.n);
    std::vector<unsigned long long> sums;
    lloyd_found found;
    LLOYD_TRY(kernels->get_centroids(kernels, before.data()));
    LLOYD_TRY(kernels->begin(kernels));
    LLOYD_TRY(kernels->assign(kernels, 0));
    LLOYD_TRY(kernels->accumulate(kernels, 0));
    LLOYD_TRY(kernels->inertia(kernels, b.squares, &found));
    LLOYD_TRY(kernels->labels(kernels, 0, b.size.n, labels.data()));
    CUDA_TRY(cudaStreamSynchronize(b.stream), "the labels of the benchmark");
    if (fresh) {
        out->wrong += before != b.first;
        out->wrong += found.moved != b.size.n;
        out->verified = (double)found.fallback_rows / (double)b.size.n;
    }
    LLOYD_TRY(check_labels(b, before, labels, &out->wrong));
    LLOYD_TRY(check_sums(b, labels, &sums, &out->wrong));
    LLOYD_TRY(kernels->update(kernels));
    return check_means(b, before, sums, &out->wrong);
}

} // namespace benchmarks
