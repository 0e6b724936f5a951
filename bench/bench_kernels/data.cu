#include "data.cuh"

extern "C" {
#include "kernels/cuda/cuda.h"
}

#include <cmath>
#include <cstdio>

namespace benchmarks
{

namespace
{

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

/* out[count*D] = the rows with these numbers, as float32. */
__global__ void gather_rows(const void *data, lloyd_type type, int64_t dim, const int64_t *rows,
                            int64_t count, float *out)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < count * dim; at += step)
        out[at] = element(data, type, rows[at / dim] * dim + at % dim);
}

/* A fill value in column 0 of row `row`. */
__global__ void set_fill_value(float *data, int64_t dim, int64_t row)
{
    data[row * dim] = 9.96920997e36f;
}

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
        fill_with_gaussian(b->rows.data, b->type, s.n * s.d);
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

/* Section 3 of the contract; the exponent of the smallest ordinary values is assumed to be -10. */
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

} // namespace

void fill_with_gaussian(void *data, lloyd_type type, int64_t count)
{
    fill_gaussian<<<blocks_for(count), THREADS>>>(data, type, count);
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
    LLOYD_TRY(lloyd_cuda_override(b->kernels, o.override));
    b->stream = static_cast<cudaStream_t>(b->kernels->sums(b->kernels).stream);
    LLOYD_TRY(b->kernels->load(b->kernels, 0, 0, s.n, b->rows.data));
    return make_grid(b);
}

lloyd_status restart(const bench &b)
{
    LLOYD_TRY(b.kernels->set_centroids(b.kernels, b.size.k, b.first.data()));
    LLOYD_TRY(b.kernels->forget_labels(b.kernels));
    return lloyd_cuda_check(cudaStreamSynchronize(b.stream), "a new start of the benchmark");
}

} // namespace benchmarks
