#include "data.cuh"

#include "rows.cuh"

extern "C" {
#include "kernels/cuda/cuda.h"
}

#include <cmath>
#include <thread>

namespace benchmarks
{

namespace
{

/* out[count*D] = the rows with these numbers, as float32. */
__global__ void gather_rows(const void *data, lloyd_type type, int64_t dim, const int64_t *rows,
                            int64_t count, float *out)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < count * dim; at += step)
        out[at] = element(data, type, rows[at / dim] * dim + at % dim);
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

/* The first centroids are evenly spaced rows, of those that are not copies of others if there are enough:
 * where rows are independent, these are as random as any, and distinct. */
lloyd_status make_data(bench *b, const options &o)
{
    const shape &s = b->size;
    const char *what = "the first centroids of the benchmark";
    int64_t originals;
    LLOYD_TRY(
        b->rows.alloc(s.n * s.d * (int64_t)lloyd_type_size(b->type), "the rows of the benchmark"));
    LLOYD_TRY(make_rows(o, s, b->type, b->rows.data, &originals));
    if (originals < s.k) originals = s.n;
    std::vector<int64_t> chosen((size_t)s.k);
    for (int64_t k = 0; k < s.k; k++) chosen[(size_t)k] = (int64_t)((__int128)k * originals / s.k);
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
    config.threads = (int)std::clamp(std::thread::hardware_concurrency(), 1u, 16u);
    config.filter = o.filter;
    config.prune = o.prune;
    config.prune_group = 64;
    LLOYD_TRY(lloyd_kernels_cuda(&config, o.device, &b->kernels));
    LLOYD_TRY(lloyd_cuda_override(b->kernels, o.override));
    lloyd_buffer sums;
    LLOYD_TRY(b->kernels->sums(b->kernels, &sums));
    b->stream = static_cast<cudaStream_t>(sums.stream);
    LLOYD_TRY(b->kernels->load(b->kernels, 0, 0, s.n, b->rows.data));
    return make_grid(b);
}

lloyd_status restart(const bench &b)
{
    LLOYD_TRY(b.kernels->set_centroids(b.kernels, b.size.k, b.first.data()));
    LLOYD_TRY(b.kernels->forget_labels(b.kernels));
    return lloyd_cuda_check(cudaStreamSynchronize(b.stream), "a new start of the benchmark");
}

lloyd_status iterate(const bench &b, lloyd_found *found)
{
    lloyd_kernels *kernels = b.kernels;
    LLOYD_TRY(kernels->begin(kernels));
    LLOYD_TRY(kernels->assign(kernels, 0));
    LLOYD_TRY(kernels->accumulate(kernels, 0));
    LLOYD_TRY(kernels->inertia(kernels, b.squares, found));
    return kernels->update(kernels);
}

} // namespace benchmarks
