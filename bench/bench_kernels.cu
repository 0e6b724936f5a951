/* Times the CUDA kernels through kernels.h, shape by shape, and verifies while it times: every
 * figure stands beside a #wrong column, and beside what the same machine gave in the same process
 * to cuBLAS, to a plain copy and to CUB's sort.
 *
 *     bench_kernels [--shapes N,K,D[;...]] [--types float16,float32] [--repeat 7] [--cool SECONDS]
 *                   [--only PART[,...]] [--rows FILE] [--fill] [--device 0] [--json FILE]
 *
 * Rows are Gaussian, made on the device by a counter-based generator, or those of a file, as stored,
 * row after row; the first centroids are rows.
 * assign is the whole step (filter, certificate, second step), update the sorted sums, means the
 * new centroids, iteration a run of ten iterations / 10. Times are medians of CUDA events in
 * milliseconds. The reference kernels below follow docs/numerics.md and share no code with what
 * they check: one thread per distance, one atomic per element.
 */
#include "kernels/cuda/cuda.h"

extern "C" {
#include "base/clock.h"
#include "base/types.h"
}

#include <cub/device/device_radix_sort.cuh>
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <getopt.h>
#if defined(LLOYD_HAVE_NCCL)
#include <nccl.h>
#endif

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace
{

enum {
    THREADS = 256,
    WARMUPS = 2,
    ITERATIONS = 10, /* of a run */
    SAMPLE = 4096,   /* rows whose labels are compared with the definition */
    LANES = 32,      /* partial sums of dist() */
    GEMM = 8192,
    REDUCTIONS = 10 /* all-reduces between two events */
};

struct shape {
    int64_t n, k, d;
};

struct options {
    std::vector<shape> shapes;
    std::vector<lloyd_type> types = {LLOYD_F16, LLOYD_F32};
    std::set<std::string> only; /* empty: all */
    int repeat = 7, device = 0;
    double cool = 0;
    int pretend = 0; /* lloyd_cuda_pretend() */
    const char *rows = nullptr;
    bool fill = false; /* one element of float32 rows is a fill value: its column has many digits */
    FILE *json = nullptr;

    bool wants(const char *part) const
    {
        return only.empty() || only.count(part) > 0;
    }
};

/* NAN: not measured. */
struct figures {
    double assign = NAN, filter = NAN, verify = NAN;
    double update = NAN, sort = NAN, means = NAN, iteration = NAN, wall = NAN;
    double verified = NAN;                     /* share of the rows, with the first centroids */
    std::vector<double> verified_of_iteration; /* the same of each iteration of a run */
    int64_t wrong = 0;
};

/* Device memory that ends with its scope. */
template <class T> struct device_array {
    T *data = nullptr;

    device_array() = default;
    device_array(const device_array &) = delete;
    device_array &operator=(const device_array &) = delete;
    ~device_array()
    {
        cudaFree(data);
    }
    lloyd_status alloc(int64_t count, const char *what)
    {
        size_t bytes = (size_t)std::max<int64_t>(count, 1) * sizeof(T);
        return lloyd_cuda_check(cudaMalloc(&data, bytes), what);
    }
    lloyd_status copy_from(const T *host, int64_t count, const char *what)
    {
        LLOYD_TRY(alloc(count, what));
        return lloyd_cuda_check(cudaMemcpy(data, host, (size_t)count * sizeof(T),
                                           cudaMemcpyHostToDevice),
                                what);
    }
    lloyd_status copy_to(T *host, int64_t count, const char *what) const
    {
        return lloyd_cuda_check(cudaMemcpy(host, data, (size_t)count * sizeof(T),
                                           cudaMemcpyDeviceToHost),
                                what);
    }
};

/* Blocks of a grid-stride loop over `count`. */
unsigned blocks_for(int64_t count)
{
    int64_t wanted = (count + THREADS - 1) / THREADS;
    return (unsigned)std::clamp<int64_t>(wanted, 1, 65536);
}

/* After launches on the default stream: their errors, and all of their work done. */
lloyd_status finished(const char *what)
{
    CUDA_TRY(cudaGetLastError(), what);
    return lloyd_cuda_check(cudaDeviceSynchronize(), what);
}

/* --- data --- */

__host__ __device__ inline uint64_t mixed(uint64_t counter)
{
    /* splitmix64: Steele, Lea, Flood, Fast splittable pseudorandom number generators, 2014 */
    uint64_t x = (counter + 1) * 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

/* Box and Muller's transform of the counter's 64 random bits; |g| < 6.8. */
__device__ inline float gaussian(uint64_t counter)
{
    uint64_t random = mixed(counter);
    float u = ((float)(uint32_t)(random >> 32) + 0.5f) * 0x1p-32f; /* in (0, 1] */
    float v = (float)(uint32_t)random * 0x1p-32f;
    return sqrtf(-2.0f * logf(u)) * cospif(2.0f * v);
}

__global__ void fill_gaussian(void *data, lloyd_type type, int64_t count)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += step) {
        float g = gaussian((uint64_t)at);
        switch (type) {
        case LLOYD_F32: static_cast<float *>(data)[at] = g; break;
        case LLOYD_F16: static_cast<__half *>(data)[at] = __float2half_rn(g); break;
        case LLOYD_BF16: static_cast<__nv_bfloat16 *>(data)[at] = __float2bfloat16_rn(g); break;
        case LLOYD_U8:
            static_cast<uint8_t *>(data)[at] =
                (uint8_t)fminf(fmaxf(rintf(127.0f + 40.0f * g), 0.0f), 255.0f);
            break;
        case LLOYD_I8:
            static_cast<int8_t *>(data)[at] =
                (int8_t)fminf(fmaxf(rintf(40.0f * g), -128.0f), 127.0f);
            break;
        }
    }
}

__device__ inline float element(const void *data, lloyd_type type, int64_t at)
{
    switch (type) {
    case LLOYD_F16: return __half2float(static_cast<const __half *>(data)[at]);
    case LLOYD_BF16: return __bfloat162float(static_cast<const __nv_bfloat16 *>(data)[at]);
    case LLOYD_U8: return (float)static_cast<const uint8_t *>(data)[at];
    case LLOYD_I8: return (float)static_cast<const int8_t *>(data)[at];
    default: return static_cast<const float *>(data)[at];
    }
}

/* out[count*D] = the rows with these numbers, as float32. */
__global__ void gather_rows(const void *data, lloyd_type type, int64_t dim, const int64_t *rows,
                            int64_t count, float *out)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < count * dim; at += step)
        out[at] = element(data, type, rows[at / dim] * dim + at % dim);
}

/* --- the definition --- */

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

/* A fill value in column 0 of row `row`. */
__global__ void set_fill_value(float *data, int64_t dim, int64_t row)
{
    data[row * dim] = 9.96920997e36f;
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

/* --- one shape --- */

/* The rows, the kernels that hold a copy of them, and what both need. */
struct bench {
    shape size;
    lloyd_type type;
    lloyd_kernels *kernels = nullptr;
    cudaStream_t stream = nullptr;
    device_array<char> rows;         /* [N*D] as stored */
    device_array<float> sample;      /* [SAMPLE*D] */
    std::vector<int64_t> sample_row; /* [SAMPLE] */
    std::vector<float> first;        /* [K*D] the first centroids */
    lloyd_grid grid = {};
    lloyd_dd squares = {0, 0}; /* Q, section 5 of the contract */

    ~bench()
    {
        if (kernels) kernels->destroy(kernels);
        lloyd_grid_free(&grid);
    }
};

/* out[count*D] on the device = rows of the data. */
lloyd_status gather(const bench &b, const std::vector<int64_t> &numbers, device_array<float> *out)
{
    const char *what = "gathering rows of the benchmark";
    int64_t count = (int64_t)numbers.size();
    device_array<int64_t> on_device;
    LLOYD_TRY(on_device.copy_from(numbers.data(), count, what));
    LLOYD_TRY(out->alloc(count * b.size.d, what));
    gather_rows<<<blocks_for(count * b.size.d), THREADS>>>(b.rows.data, b.type, b.size.d,
                                                           on_device.data, count, out->data);
    return finished(what);
}

/* The first `bytes` of a file, on the device. */
lloyd_status read_rows(const char *path, char *data, size_t bytes)
{
    std::vector<char> read(bytes);
    FILE *file = fopen(path, "rb");
    if (!file) return lloyd_fail(LLOYD_BAD_INPUT, "cannot open %s", path);
    size_t there = fread(read.data(), 1, bytes, file);
    (void)fclose(file);
    if (there < bytes)
        return lloyd_fail(LLOYD_BAD_INPUT, "%s has %zu bytes, but the shape has %zu", path, there,
                          bytes);
    return lloyd_cuda_check(cudaMemcpy(data, read.data(), bytes, cudaMemcpyHostToDevice),
                            "copying the rows of the benchmark");
}

/* The first centroids are evenly spaced rows: where rows are independent, these are as random as
 * any, and distinct. */
lloyd_status make_data(bench *b, const options &o)
{
    const shape &s = b->size;
    const char *path = o.rows;
    const char *what = "making the rows of the benchmark";
    int64_t bytes = s.n * s.d * (int64_t)lloyd_type_size(b->type);
    LLOYD_TRY(b->rows.alloc(bytes, what));
    if (path)
        LLOYD_TRY(read_rows(path, b->rows.data, (size_t)bytes));
    else
        fill_gaussian<<<blocks_for(s.n * s.d), THREADS>>>(b->rows.data, b->type, s.n * s.d);
    if (o.fill && b->type == LLOYD_F32)
        set_fill_value<<<1, 1>>>(reinterpret_cast<float *>(b->rows.data), s.d, s.n / 2 + 1);
    LLOYD_TRY(finished(what));

    std::vector<int64_t> chosen((size_t)s.k);
    for (int64_t k = 0; k < s.k; k++) chosen[(size_t)k] = (int64_t)((__int128)k * s.n / s.k);
    device_array<float> centroids;
    LLOYD_TRY(gather(*b, chosen, &centroids));
    b->first.resize((size_t)(s.k * s.d));
    LLOYD_TRY(centroids.copy_to(b->first.data(), s.k * s.d, what));

    b->sample_row.resize(SAMPLE);
    for (uint64_t i = 0; i < SAMPLE; i++) b->sample_row[i] = (int64_t)(mixed(~i) % (uint64_t)s.n);
    return gather(*b, b->sample_row, &b->sample);
}

/* Section 3 of the contract; the smallest ordinary values are taken to have the exponent -10. */
lloyd_status make_grid(bench *b)
{
    size_t dim = (size_t)b->size.d;
    std::vector<float> min(dim, INFINITY), max(dim, -INFINITY);
    std::vector<int> low(dim, LLOYD_NO_BITS);
    lloyd_range range = {min.data(), max.data(), low.data(), -1, LLOYD_SOUND};
    lloyd_grid *grid = &b->grid;
    double cut;
    LLOYD_TRY(b->kernels->measure(b->kernels, 0, &range));
    if (range.bad_row >= 0)
        return lloyd_fail(LLOYD_FAILED, "measure() calls row %lld of the benchmark defective",
                          (long long)range.bad_row);
    LLOYD_TRY(lloyd_grid_alloc(grid, b->size.d));
    grid->bits = grid->weight_top = lloyd_bits(b->size.n, LLOYD_ELEMENT_BITS);
    grid->weight_digits = 1;
    for (size_t j = 0; j < dim; j++) {
        grid->top[j] = lloyd_exponent((double)std::max(std::fabs(min[j]), std::fabs(max[j])));
        grid->square_top[j] = 2 * grid->top[j];
        grid->digits[j] = lloyd_grid_digits(grid->bits, grid->top[j], low[j], -10, &cut);
        if (cut > 0) grid->cut = 1;
    }
    lloyd_grid_number(grid, b->size.d);
    LLOYD_TRY(b->kernels->set_grid(b->kernels, grid));
    std::vector<int64_t> words(LLOYD_SQUARE_DIGITS * dim, 0);
    LLOYD_TRY(b->kernels->squares(b->kernels, 0, words.data()));
    for (size_t j = 0; j < dim; j++) {
        int64_t *own = &words[LLOYD_SQUARE_DIGITS * j];
        lloyd_carry(own, LLOYD_SQUARE_DIGITS, grid->bits);
        lloyd_total total = {own, LLOYD_SQUARE_DIGITS, grid->bits, grid->square_top[j]};
        b->squares = lloyd_dd_add(b->squares, lloyd_dd_total(total));
    }
    return LLOYD_OK;
}

lloyd_status prepare(bench *b, const options &o)
{
    const shape &s = b->size;
    if (s.n < 1 || s.k < 1 || s.d < 1 || s.k > s.n || s.n > INT32_MAX || s.k > INT32_MAX)
        return lloyd_fail(LLOYD_USAGE, "a shape needs 1 <= K <= N < 2^31 and D >= 1");
    LLOYD_TRY(make_data(b, o));
    lloyd_kernels_config config = {};
    config.n_local = s.n;
    config.dim = s.d;
    config.k = s.k;
    config.chunk_rows = s.n;
    config.slots = 1;
    config.type = b->type;
    config.threads = 1;
    LLOYD_TRY(lloyd_kernels_cuda(&config, o.device, &b->kernels));
    lloyd_cuda_pretend(b->kernels, o.pretend);
    b->stream = static_cast<cudaStream_t>(b->kernels->sums(b->kernels).stream);
    LLOYD_TRY(b->kernels->load(b->kernels, 0, 0, s.n, b->rows.data));
    return make_grid(b);
}

/* Back to the first centroids, and labels that nobody has. */
lloyd_status restart(const bench &b)
{
    LLOYD_TRY(b.kernels->set_centroids(b.kernels, b.size.k, b.first.data()));
    LLOYD_TRY(b.kernels->forget_labels(b.kernels));
    return lloyd_cuda_check(cudaStreamSynchronize(b.stream), "a new start of the benchmark");
}

/* --- verification --- */

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
    const auto *found = static_cast<const int64_t *>(b.kernels->sums(b.kernels).data);
    count_different<<<blocks_for(words), THREADS>>>(found, sums.data, words, sums.data + words);
    LLOYD_TRY(finished(what));
    expected->resize((size_t)words + 1);
    LLOYD_TRY(sums.copy_to(expected->data(), words + 1, what));
    *wrong += (int64_t)expected->back();
    return LLOYD_OK;
}

/* *wrong += elements of the updated centroids that are not section 4's, to the bit; of columns of up to
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

/* One iteration from where the kernels are; out->wrong grows by what is not as defined. `fresh`:
 * after restart(), so all labels must change. */
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
        out->verified = (double)found.verified / (double)b.size.n;
    }
    LLOYD_TRY(check_labels(b, before, labels, &out->wrong));
    LLOYD_TRY(check_sums(b, labels, &sums, &out->wrong));
    LLOYD_TRY(kernels->update(kernels));
    return check_means(b, before, sums, &out->wrong);
}

/* --- timing --- */

double median(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

/* A pair of events on a stream. */
struct stopwatch {
    cudaEvent_t began = nullptr, ended = nullptr;

    stopwatch() = default;
    stopwatch(const stopwatch &) = delete;
    stopwatch &operator=(const stopwatch &) = delete;
    ~stopwatch()
    {
        if (began) cudaEventDestroy(began);
        if (ended) cudaEventDestroy(ended);
    }
    lloyd_status create()
    {
        CUDA_TRY(cudaEventCreate(&began), "creating an event");
        return lloyd_cuda_check(cudaEventCreate(&ended), "creating an event");
    }
    lloyd_status start(cudaStream_t stream)
    {
        return lloyd_cuda_check(cudaEventRecord(began, stream), "starting a measurement");
    }
    lloyd_status stop(cudaStream_t stream)
    {
        return lloyd_cuda_check(cudaEventRecord(ended, stream), "ending a measurement");
    }
    lloyd_status read(double *ms)
    {
        float elapsed = 0;
        CUDA_TRY(cudaEventSynchronize(ended), "a measurement");
        CUDA_TRY(cudaEventElapsedTime(&elapsed, began, ended), "a measurement");
        *ms = (double)elapsed;
        return LLOYD_OK;
    }
};

/* *ms = the median over `repeat` of what work() takes on the stream, after warm-ups. before() runs
 * ahead of each, not timed. */
template <class Before, class Work>
lloyd_status time_work(cudaStream_t stream, int repeat, Before before, Work work, double *ms)
{
    stopwatch watch;
    std::vector<double> times;
    LLOYD_TRY(watch.create());
    for (int i = 0; i < WARMUPS + repeat; i++) {
        double one;
        LLOYD_TRY(before());
        LLOYD_TRY(watch.start(stream));
        LLOYD_TRY(work());
        LLOYD_TRY(watch.stop(stream));
        LLOYD_TRY(watch.read(&one));
        if (i >= WARMUPS) times.push_back(one);
    }
    *ms = median(times);
    return LLOYD_OK;
}

lloyd_status nothing()
{
    return LLOYD_OK;
}

void idle(double seconds)
{
    if (seconds > 0) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

lloyd_status time_phases(const bench &b, int repeat, figures *out)
{
    std::vector<double> filter, verify;
    for (int i = 0; i < WARMUPS + repeat; i++) {
        float ms[2];
        LLOYD_TRY(b.kernels->begin(b.kernels));
        LLOYD_TRY(lloyd_cuda_assign_phases(lloyd_cuda(b.kernels), 0, ms));
        if (i < WARMUPS) continue;
        filter.push_back((double)ms[0]);
        verify.push_back((double)ms[1]);
    }
    out->filter = median(filter);
    out->verify = median(verify);
    return LLOYD_OK;
}

lloyd_status time_assign(const bench &b, int repeat, figures *out)
{
    auto begin = [&] { return b.kernels->begin(b.kernels); };
    auto assign = [&] { return b.kernels->assign(b.kernels, 0); };
    LLOYD_TRY(restart(b));
    LLOYD_TRY(time_work(b.stream, repeat, begin, assign, &out->assign));
    return time_phases(b, repeat, out);
}

/* CUB's radix sort of (label, row) on the bits that a label has: what the update has to pay. */
lloyd_status time_sort(const bench &b, int repeat, double *ms)
{
    const char *what = "CUB's sort";
    int64_t n = b.size.n;
    int bits = 1;
    while ((int64_t)1 << bits < b.size.k) bits++;
    std::vector<int32_t> labels((size_t)n);
    std::vector<uint32_t> numbers((size_t)n);
    for (size_t i = 0; i < numbers.size(); i++) numbers[i] = (uint32_t)i;
    LLOYD_TRY(b.kernels->labels(b.kernels, 0, n, labels.data()));
    CUDA_TRY(cudaStreamSynchronize(b.stream), what);
    device_array<int32_t> keys, sorted_keys;
    device_array<uint32_t> rows, sorted_rows;
    device_array<char> scratch;
    LLOYD_TRY(keys.copy_from(labels.data(), n, what));
    LLOYD_TRY(rows.copy_from(numbers.data(), n, what));
    LLOYD_TRY(sorted_keys.alloc(n, what));
    LLOYD_TRY(sorted_rows.alloc(n, what));
    size_t bytes = 0;
    auto sort = [&] {
        cudaError_t code =
            cub::DeviceRadixSort::SortPairs(scratch.data, bytes, keys.data, sorted_keys.data,
                                            rows.data, sorted_rows.data, (int)n, 0, bits, b.stream);
        return lloyd_cuda_check(code, what);
    };
    LLOYD_TRY(sort()); /* without scratch memory it only says how much it needs */
    LLOYD_TRY(scratch.alloc((int64_t)bytes, what));
    return time_work(b.stream, repeat, nothing, sort, ms);
}

lloyd_status time_update(const bench &b, int repeat, figures *out)
{
    auto begin = [&] { return b.kernels->begin(b.kernels); };
    auto accumulate = [&] { return b.kernels->accumulate(b.kernels, 0); };
    auto means = [&] { return b.kernels->update(b.kernels); };
    LLOYD_TRY(restart(b));
    LLOYD_TRY(b.kernels->assign(b.kernels, 0));
    LLOYD_TRY(time_work(b.stream, repeat, begin, accumulate, &out->update));
    LLOYD_TRY(time_work(b.stream, repeat, nothing, means, &out->means));
    return time_sort(b, repeat, &out->sort);
}

lloyd_status iterate(const bench &b, std::vector<double> *verified_share)
{
    lloyd_kernels *kernels = b.kernels;
    for (int t = 0; t < ITERATIONS; t++) {
        lloyd_found found;
        LLOYD_TRY(kernels->begin(kernels));
        LLOYD_TRY(kernels->assign(kernels, 0));
        LLOYD_TRY(kernels->accumulate(kernels, 0));
        LLOYD_TRY(kernels->inertia(kernels, b.squares, &found));
        LLOYD_TRY(kernels->update(kernels));
        verified_share->push_back((double)found.verified / (double)b.size.n);
    }
    return LLOYD_OK;
}

/* Runs of ten iterations from the first centroids; one is the warm-up. */
lloyd_status time_iterations(const bench &b, int repeat, figures *out)
{
    stopwatch watch;
    std::vector<double> times, walls;
    LLOYD_TRY(watch.create());
    for (int run = 0; run < 1 + std::max(1, repeat / 2); run++) {
        double ms;
        out->verified_of_iteration.clear();
        LLOYD_TRY(restart(b));
        double began = lloyd_seconds();
        LLOYD_TRY(watch.start(b.stream));
        LLOYD_TRY(iterate(b, &out->verified_of_iteration));
        LLOYD_TRY(watch.stop(b.stream));
        LLOYD_TRY(watch.read(&ms));
        double wall = 1e3 * (lloyd_seconds() - began);
        if (run == 0) continue;
        times.push_back(ms / (double)ITERATIONS);
        walls.push_back(wall / (double)ITERATIONS);
    }
    out->iteration = median(times);
    out->wall = median(walls);
    return LLOYD_OK;
}

lloyd_status measure_shape(const options &o, lloyd_type type, const shape &size, figures *out)
{
    bench b;
    b.size = size;
    b.type = type;
    LLOYD_TRY(prepare(&b, o));
    LLOYD_TRY(restart(b));
    LLOYD_TRY(check(b, true, out));
    idle(o.cool);
    if (o.wants("assign")) LLOYD_TRY(time_assign(b, o.repeat, out));
    if (o.wants("update")) LLOYD_TRY(time_update(b, o.repeat, out));
    if (!o.wants("iteration")) return LLOYD_OK;
    LLOYD_TRY(time_iterations(b, o.repeat, out));
    return check(b, false, out); /* after ten iterations, with all that is kept between them */
}

/* --- the machine --- */

lloyd_status check_cublas(cublasStatus_t code)
{
    if (code == CUBLAS_STATUS_SUCCESS) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "cuBLAS says %s", cublasGetStatusString(code));
}

/* *tflops of a float16 product of two GEMM x GEMM matrices of Gaussian numbers, summed in float32.
 */
lloyd_status measure_gemm(int repeat, double *tflops)
{
    const char *what = "the matrices of the cuBLAS product";
    int64_t count = (int64_t)GEMM * GEMM;
    device_array<__half> a, b, c;
    LLOYD_TRY(a.alloc(count, what));
    LLOYD_TRY(b.alloc(count, what));
    LLOYD_TRY(c.alloc(count, what));
    fill_gaussian<<<blocks_for(count), THREADS>>>(a.data, LLOYD_F16, count);
    fill_gaussian<<<blocks_for(count), THREADS>>>(b.data, LLOYD_F16, count);
    LLOYD_TRY(finished(what));
    cublasHandle_t handle;
    LLOYD_TRY(check_cublas(cublasCreate(&handle)));
    const float one = 1, zero = 0;
    auto product = [&] {
        return check_cublas(cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, GEMM, GEMM, GEMM, &one,
                                         a.data, CUDA_R_16F, GEMM, b.data, CUDA_R_16F, GEMM, &zero,
                                         c.data, CUDA_R_16F, GEMM, CUBLAS_COMPUTE_32F,
                                         CUBLAS_GEMM_DEFAULT));
    };
    double ms = NAN;
    lloyd_status status = time_work(nullptr, repeat, nothing, product, &ms);
    cublasDestroy(handle);
    *tflops = 2e-9 * (double)count * (double)GEMM / ms;
    return status;
}

/* *gbs: bytes read and written per second, in units of 1e9. */
lloyd_status measure_copy(int repeat, double *gbs)
{
    const char *what = "the device copy";
    int64_t bytes = (int64_t)2 << 30;
    device_array<char> from, to;
    LLOYD_TRY(from.alloc(bytes, what));
    LLOYD_TRY(to.alloc(bytes, what));
    CUDA_TRY(cudaMemset(from.data, 1, (size_t)bytes), what);
    auto copy = [&] {
        return lloyd_cuda_check(cudaMemcpyAsync(to.data, from.data, (size_t)bytes,
                                                cudaMemcpyDeviceToDevice, nullptr),
                                what);
    };
    double ms = NAN;
    LLOYD_TRY(time_work(nullptr, repeat, nothing, copy, &ms));
    *gbs = 2e-6 * (double)bytes / ms;
    return LLOYD_OK;
}

lloyd_status measure_machine(const options &o)
{
    cudaDeviceProp properties;
    double tflops = NAN, gbs = NAN;
    CUDA_TRY(cudaGetDeviceProperties(&properties, o.device), "the properties of the device");
    idle(o.cool);
    LLOYD_TRY(measure_gemm(o.repeat, &tflops));
    LLOYD_TRY(measure_copy(o.repeat, &gbs));
    printf("%s, %d multiprocessors; cuBLAS float16 %d^3: %.0f TFLOP/s; copy: %.0f GB/s read and "
           "written\n\n",
           properties.name, properties.multiProcessorCount, (int)GEMM, tflops, gbs);
    if (o.json) {
        fprintf(o.json,
                "{\"what\": \"machine\", \"gpu\": \"%s\", \"multiprocessors\": %d, "
                "\"gemm_float16_tflops\": %.1f, \"copy_gbs\": %.1f}\n",
                properties.name, properties.multiProcessorCount, tflops, gbs);
    }
    return LLOYD_OK;
}

/* --- NCCL --- */

#if defined(LLOYD_HAVE_NCCL)
#define NCCL_TRY(call) LLOYD_TRY(check_nccl(call))

lloyd_status check_nccl(ncclResult_t code)
{
    if (code == ncclSuccess) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "NCCL says %s", ncclGetErrorString(code));
}

__global__ void fill_words(int64_t *words, int64_t count, int64_t first)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += step)
        words[at] = at + first;
}

/* GPUs of this process. */
enum { RANKS = 2 };

/* What all ranks add up in an iteration. */
int64_t sum_words(int64_t k, int64_t d)
{
    return lloyd_planned_sum_words(d, k, 0, 0); /* of two digits */
}

struct reducer {
    ncclComm_t comm[RANKS] = {};
    cudaStream_t stream[RANKS] = {};
    stopwatch watch[RANKS];
    device_array<int64_t> from[RANKS], to[RANKS]; /* [the largest count] */
    int64_t count = 0;

    ~reducer()
    {
        for (int rank = 0; rank < RANKS; rank++) {
            if (comm[rank]) ncclCommDestroy(comm[rank]);
            if (stream[rank]) cudaStreamDestroy(stream[rank]);
        }
    }
};

lloyd_status open_reducer(reducer *r, int64_t most)
{
    const char *what = "the buffers of the all-reduce";
    NCCL_TRY(ncclCommInitAll(r->comm, RANKS, nullptr));
    for (int rank = 0; rank < RANKS; rank++) {
        CUDA_TRY(cudaSetDevice(rank), what);
        CUDA_TRY(cudaStreamCreateWithFlags(&r->stream[rank], cudaStreamNonBlocking), what);
        LLOYD_TRY(r->watch[rank].create());
        LLOYD_TRY(r->from[rank].alloc(most, what));
        LLOYD_TRY(r->to[rank].alloc(most, what));
        fill_words<<<blocks_for(most), THREADS>>>(r->from[rank].data, most, rank);
        LLOYD_TRY(finished(what));
    }
    return LLOYD_OK;
}

lloyd_status reduce_once(reducer *r)
{
    NCCL_TRY(ncclGroupStart());
    for (int rank = 0; rank < RANKS; rank++) {
        NCCL_TRY(ncclAllReduce(r->from[rank].data, r->to[rank].data, (size_t)r->count, ncclInt64,
                               ncclSum, r->comm[rank], r->stream[rank]));
    }
    return check_nccl(ncclGroupEnd());
}

/* *ms of one of several all-reduces in a row, on the slower of the GPUs. */
lloyd_status time_reductions(reducer *r, double *ms)
{
    *ms = 0;
    for (int rank = 0; rank < RANKS; rank++) {
        CUDA_TRY(cudaSetDevice(rank), "an all-reduce");
        LLOYD_TRY(r->watch[rank].start(r->stream[rank]));
    }
    for (int i = 0; i < REDUCTIONS; i++) LLOYD_TRY(reduce_once(r));
    for (int rank = 0; rank < RANKS; rank++) {
        CUDA_TRY(cudaSetDevice(rank), "an all-reduce");
        LLOYD_TRY(r->watch[rank].stop(r->stream[rank]));
    }
    for (int rank = 0; rank < RANKS; rank++) {
        double one;
        CUDA_TRY(cudaSetDevice(rank), "an all-reduce");
        LLOYD_TRY(r->watch[rank].read(&one));
        *ms = std::max(*ms, one / (double)REDUCTIONS);
    }
    return LLOYD_OK;
}

lloyd_status check_reduction(const reducer &r, int64_t *wrong)
{
    std::vector<int64_t> words((size_t)r.count);
    for (int rank = 0; rank < RANKS; rank++) {
        CUDA_TRY(cudaSetDevice(rank), "the result of the all-reduce");
        LLOYD_TRY(r.to[rank].copy_to(words.data(), r.count, "the result of the all-reduce"));
        for (size_t i = 0; i < words.size(); i++) *wrong += words[i] != 2 * (int64_t)i + 1;
    }
    return LLOYD_OK;
}

/* An all-reduce of as many words as the sums of K clusters take: the floor of what comm can do. */
lloyd_status measure_reduction(const options &o, reducer *r, int64_t k, int64_t d, int64_t *wrong)
{
    std::vector<double> times;
    int64_t mine = 0;
    r->count = sum_words(k, d);
    for (int i = 0; i < WARMUPS + o.repeat; i++) {
        double ms;
        LLOYD_TRY(time_reductions(r, &ms));
        if (i >= WARMUPS) times.push_back(ms);
    }
    LLOYD_TRY(check_reduction(*r, &mine));
    *wrong += mine;
    double ms = median(times), mib = (double)r->count * 8 / (1 << 20);
    double bus = 8e-6 * (double)r->count / ms; /* 2 (ranks - 1) / ranks is 1 */
    printf("%9lld %6lld %10.2f %10.4f %10.1f %8lld\n", (long long)k, (long long)d, mib, ms, bus,
           (long long)mine);
    if (o.json) {
        fprintf(
            o.json,
            "{\"what\": \"allreduce\", \"k\": %lld, \"d\": %lld, \"bytes\": %lld, \"ms\": %.5f, "
            "\"bus_gbs\": %.1f, \"wrong\": %lld}\n",
            (long long)k, (long long)d, (long long)(8 * r->count), ms, bus, (long long)mine);
    }
    return LLOYD_OK;
}

lloyd_status reduce_shapes(const options &o, int64_t *wrong)
{
    std::set<std::pair<int64_t, int64_t>> sizes;
    int64_t most = 0;
    for (const shape &s : o.shapes) {
        sizes.insert({s.k, s.d});
        most = std::max(most, sum_words(s.k, s.d));
    }
    reducer r;
    LLOYD_TRY(open_reducer(&r, most));
    printf("\nncclAllReduce of int64 over %d GPUs\n", (int)RANKS);
    printf("%9s %6s %10s %10s %10s %8s\n", "K", "D", "MiB", "ms", "bus GB/s", "#wrong");
    for (const auto &size : sizes)
        LLOYD_TRY(measure_reduction(o, &r, size.first, size.second, wrong));
    return LLOYD_OK;
}

/* With fewer GPUs there is nothing to measure. */
lloyd_status measure_reductions(const options &o, int64_t *wrong)
{
    int gpus = 0;
    CUDA_TRY(cudaGetDeviceCount(&gpus), "counting devices");
    return gpus < RANKS ? LLOYD_OK : reduce_shapes(o, wrong);
}
#else
lloyd_status measure_reductions(const options &, int64_t *)
{
    return LLOYD_OK;
}
#endif

/* --- the table --- */

void print_number(int width, int digits, double value)
{
    if (std::isnan(value))
        printf(" %*s", width, "-");
    else
        printf(" %*.*f", width, digits, value);
}

void print_header()
{
    printf("%-8s %9s %6s %5s | %9s %7s %9s %7s %9s %8s | %9s %7s %9s %9s | %9s %9s %8s | %6s\n",
           "type", "N", "K", "D", "assign ms", "TFLOP/s", "filter ms", "TFLOP/s", "verify ms",
           "verify %", "update ms", "GB/s", "sort ms", "means ms", "iter ms", "wall ms", "verify %",
           "#wrong");
}

double mean_of(const std::vector<double> &values)
{
    double sum = 0;
    for (double value : values) sum += value;
    return values.empty() ? NAN : sum / (double)values.size();
}

void print_row(lloyd_type type, const shape &s, const figures &f)
{
    double work = 2e-9 * (double)s.n * (double)s.k * (double)s.d;
    double megabytes = 1e-6 * (double)s.n * (double)s.d * (double)lloyd_type_size(type);
    printf("%-8s %9lld %6lld %5lld |", lloyd_type_name(type), (long long)s.n, (long long)s.k,
           (long long)s.d);
    print_number(9, 4, f.assign);
    print_number(7, 1, work / f.assign);
    print_number(9, 4, f.filter);
    print_number(7, 1, work / f.filter);
    print_number(9, 4, f.verify);
    print_number(8, 3, 100 * f.verified);
    printf(" |");
    print_number(9, 4, f.update);
    print_number(7, 0, megabytes / f.update);
    print_number(9, 4, f.sort);
    print_number(9, 4, f.means);
    printf(" |");
    print_number(9, 4, f.iteration);
    print_number(9, 4, f.wall);
    print_number(8, 3, 100 * mean_of(f.verified_of_iteration));
    printf(" | %6lld\n", (long long)f.wrong);
    fflush(stdout);
}

void json_number(FILE *file, const char *name, double value)
{
    if (std::isnan(value))
        fprintf(file, ", \"%s\": null", name);
    else
        fprintf(file, ", \"%s\": %.6g", name, value);
}

void json_row(FILE *file, lloyd_type type, const shape &s, const figures &f)
{
    double work = 2e-9 * (double)s.n * (double)s.k * (double)s.d;
    double megabytes = 1e-6 * (double)s.n * (double)s.d * (double)lloyd_type_size(type);
    fprintf(file, "{\"what\": \"shape\", \"type\": \"%s\", \"n\": %lld, \"k\": %lld, \"d\": %lld",
            lloyd_type_name(type), (long long)s.n, (long long)s.k, (long long)s.d);
    json_number(file, "assign_ms", f.assign);
    json_number(file, "assign_tflops", work / f.assign);
    json_number(file, "filter_ms", f.filter);
    json_number(file, "filter_tflops", work / f.filter);
    json_number(file, "verify_ms", f.verify);
    json_number(file, "verified", f.verified);
    json_number(file, "update_ms", f.update);
    json_number(file, "update_gbs", megabytes / f.update);
    json_number(file, "sort_ms", f.sort);
    json_number(file, "means_ms", f.means);
    json_number(file, "iteration_ms", f.iteration);
    json_number(file, "iteration_wall_ms", f.wall);
    fprintf(file, ", \"verified_of_iteration\": [");
    for (size_t t = 0; t < f.verified_of_iteration.size(); t++)
        fprintf(file, "%s%.6g", t > 0 ? ", " : "", f.verified_of_iteration[t]);
    fprintf(file, "], \"wrong\": %lld}\n", (long long)f.wrong);
    fflush(file);
}

/* --- the command line --- */

const int64_t Mi = 1 << 20;

const std::vector<shape> default_shapes = {{Mi, 1024, 128},      {8 * Mi, 1024, 128},
                                           {Mi, 8192, 128},      {Mi, 65536, 128},
                                           {4 * Mi, 4096, 128},  {Mi, 4096, 64},
                                           {Mi, 4096, 96},       {Mi, 4096, 256},
                                           {Mi, 4096, 384},      {Mi, 4096, 768},
                                           {Mi / 4, 4096, 1536}, {16 * Mi, 256, 32}};

std::vector<std::string> split(const std::string &text, char separator)
{
    std::vector<std::string> parts;
    size_t begin = 0;
    for (size_t end; (end = text.find(separator, begin)) != std::string::npos; begin = end + 1)
        parts.push_back(text.substr(begin, end - begin));
    parts.push_back(text.substr(begin));
    return parts;
}

bool parse_shapes(const std::string &text, std::vector<shape> *shapes)
{
    for (const std::string &one : split(text, ';')) {
        long long n, k, d;
        int used = 0;
        if (sscanf(one.c_str(), "%lld,%lld,%lld%n", &n, &k, &d, &used) != 3 ||
            (size_t)used != one.size())
            return false;
        shapes->push_back({n, k, d});
    }
    return true;
}

bool parse_types(const std::string &text, std::vector<lloyd_type> *types)
{
    types->clear();
    for (const std::string &name : split(text, ',')) {
        size_t before = types->size();
        for (lloyd_type type : {LLOYD_F32, LLOYD_F16, LLOYD_BF16, LLOYD_U8, LLOYD_I8}) {
            if (name == lloyd_type_name(type) || name == "all") types->push_back(type);
        }
        if (types->size() == before) return false;
    }
    return true;
}

bool parse_parts(const std::string &text, std::set<std::string> *only)
{
    const std::set<std::string> known = {"limits", "assign", "update", "iteration", "allreduce"};
    for (const std::string &name : split(text, ',')) {
        if (known.count(name) == 0) return false;
        only->insert(name);
    }
    return true;
}

bool parse_option(int letter, const char *value, options *o)
{
    switch (letter) {
    case 's': return parse_shapes(value, &o->shapes);
    case 't': return parse_types(value, &o->types);
    case 'o': return parse_parts(value, &o->only);
    case 'r': return (o->repeat = atoi(value)) > 0;
    case 'c': return (o->cool = atof(value)) >= 0;
    case 'w': return (o->pretend = atoi(value)) >= 0;
    case 'd': return (o->device = atoi(value)) >= 0;
    case 'f': return (o->rows = value) != nullptr;
    case 'v': return (o->fill = true);
    case 'j': return (o->json = fopen(value, "w")) != nullptr;
    default: return false;
    }
}

const char usage[] =
    "usage: bench_kernels [--shapes N,K,D[;...]] [--types TYPE[,...]] [--only PART[,...]]\n"
    "                     [--repeat R] [--cool SECONDS] [--pretend P] [--rows FILE] [--device I]\n"
    "                     [--fill] [--json FILE]\n"
    "  types: float32, float16, bfloat16, uint8, int8, all; float16,float32 if not given\n"
    "  parts: limits, assign, update, iteration, allreduce (two GPUs and NCCL); all if not given\n"
    "  cool:  seconds without work before the measurements of each shape\n"
    "  pretend: 80 works as on older GPUs; 1 streams centroids that would stay in shared memory, 2 sifts\n"
    "         products where it would not and the reverse, 4 sorts labels of few clusters as of many,\n"
    "         8 verifies a few rows as many, 32 sorts rows of few clusters too; or a sum of these\n"
    "  rows:  a raw file of rows, of one type; Gaussian rows if not given\n"
    "  fill:  one element of float32 rows is 9.97e36, so that its column has six digits\n"
    "  json:  one line per shape\n";

bool parse(int argc, char **argv, options *o)
{
    const option table[] = {{"shapes", required_argument, nullptr, 's'},
                            {"types", required_argument, nullptr, 't'},
                            {"only", required_argument, nullptr, 'o'},
                            {"repeat", required_argument, nullptr, 'r'},
                            {"cool", required_argument, nullptr, 'c'},
                            {"pretend", required_argument, nullptr, 'w'},
                            {"rows", required_argument, nullptr, 'f'},
                            {"device", required_argument, nullptr, 'd'},
                            {"json", required_argument, nullptr, 'j'},
                            {"fill", no_argument, nullptr, 'v'},
                            {nullptr, 0, nullptr, 0}};
    int letter;
    while ((letter = getopt_long(argc, argv, "", table, nullptr)) != -1) {
        if (letter == '?') return false;
        if (!parse_option(letter, optarg, o)) {
            fprintf(stderr, "bench_kernels: cannot use \"%s\"\n", optarg);
            return false;
        }
    }
    if (o->shapes.empty()) o->shapes = default_shapes;
    return optind == argc;
}

/* A shape that fails is reported, and the next one is measured. */
int measure_shapes(const options &o)
{
    int failures = 0;
    print_header();
    for (lloyd_type type : o.types) {
        for (const shape &s : o.shapes) {
            figures f;
            if (measure_shape(o, type, s, &f) != LLOYD_OK) {
                fprintf(stderr, "bench_kernels: %s %lld x %lld, K = %lld: %s\n",
                        lloyd_type_name(type), (long long)s.n, (long long)s.d, (long long)s.k,
                        lloyd_message());
                failures++;
                continue;
            }
            print_row(type, s, f);
            if (o.json) json_row(o.json, type, s, f);
            failures += f.wrong > 0;
        }
    }
    return failures;
}

int report(lloyd_status status)
{
    if (status == LLOYD_OK) return 0;
    fprintf(stderr, "bench_kernels: %s\n", lloyd_message());
    return 1;
}

} // namespace

int main(int argc, char **argv)
{
    options o;
    if (!parse(argc, argv, &o)) {
        fputs(usage, stderr);
        return 2;
    }
    int64_t wrong = 0;
    int failures = report(lloyd_cuda_check(cudaSetDevice(o.device), "choosing the device"));
    if (failures == 0 && o.wants("limits")) failures += report(measure_machine(o));
    if (failures == 0 && (o.wants("assign") || o.wants("update") || o.wants("iteration")))
        failures += measure_shapes(o);
    if (o.wants("allreduce")) failures += report(measure_reductions(o, &wrong));
    if (o.json) fclose(o.json);
    return failures > 0 || wrong > 0;
}
