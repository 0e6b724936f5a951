/* The update: sums of all clusters, the new centroids, and for comparison CUB's sort of as many labels. */
#include "data.cuh"
#include "timing.cuh"

#include <cub/device/device_radix_sort.cuh>

namespace benchmarks
{

namespace
{

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

lloyd_status time_update(const bench &b, const options &o, figures *out)
{
    auto begin = [&] { return b.kernels->begin(b.kernels); };
    auto accumulate = [&] { return b.kernels->accumulate(b.kernels, 0); };
    auto means = [&] { return b.kernels->update(b.kernels); };
    LLOYD_TRY(restart(b));
    LLOYD_TRY(b.kernels->assign(b.kernels, 0));
    LLOYD_TRY(time_work(b.stream, o.repeat, begin, accumulate, &out->update));
    LLOYD_TRY(time_work(b.stream, o.repeat, nothing, means, &out->means));
    return time_sort(b, o.repeat, &out->sort);
}

} // namespace

const benchmark update_benchmark = {"update", "sums of all clusters, and their means", nullptr,
                                    time_update};

} // namespace benchmarks
