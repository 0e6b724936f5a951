/* What the benchmarks share: shapes, options, the figures of a shape, memory that ends with its scope,
 * and the table of benchmarks.
 */
#ifndef BENCH_CUH
#define BENCH_CUH

#include "kernels/cuda/assign/assign.h"
#include "kernels/cuda/memory/memory.h"
#include "kernels/cuda/overrides.h"

extern "C" {
#include "base/types.h"
}

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

namespace benchmarks
{

enum { THREADS = 256 }; /* of a block of the kernels of this folder */

struct shape {
    int64_t n, k, d;
};

struct options {
    std::vector<shape> shapes;
    std::vector<lloyd_type> types = {LLOYD_F16, LLOYD_F32};
    std::set<std::string> only; /* empty: all */
    int repeat = 7, device = 0;
    double cool = 0;
    const char *override = ""; /* names of lloyd_cuda_override() */
    lloyd_filter filter = LLOYD_FILTER_AUTO;
    lloyd_prune prune = LLOYD_PRUNE_AUTO;
    int iterations = 60;        /* of a run */
    const char *rows = nullptr; /* a file; Gaussian rows without */
    double jitter = 1;          /* of rows that are repeated */
    int64_t mixture = 0;        /* clusters of the rows, 0: no mixture */
    bool fill = false; /* one element of float32 rows is a fill value: its column has many digits */
    int after = 2;     /* iterations before the one that `later` times */
    const char *dump = nullptr; /* a folder for rows and first centroids */
    FILE *json = nullptr;

    bool wants(const char *benchmark) const
    {
        return only.empty() || only.count(benchmark) > 0;
    }
};

/* NAN: not measured. */
struct figures {
    double assign = NAN, filter = NAN, verify = NAN;
    double update = NAN, sort = NAN, means = NAN, iteration = NAN, wall = NAN;
    double later = NAN, later_filter = NAN, later_verify = NAN; /* of one iteration after others */
    double later_proved = NAN;     /* share of the rows, by the filter alone */
    double later_int8 = NAN;       /* share of the rows, that the 8-bit filter took */
    double later_candidates = NAN; /* of one of these that it did not prove */
    double later_moved = NAN, later_update = NAN; /* share of the rows; sums */
    /* nanoseconds of a row, as the choice between the filters has measured them; 0: not */
    double measured_float16 = NAN, measured_int8 = NAN;
    double run = NAN;                          /* seconds of all iterations */
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
inline unsigned blocks_for(int64_t count)
{
    int64_t wanted = (count + THREADS - 1) / THREADS;
    return (unsigned)std::clamp<int64_t>(wanted, 1, 65536);
}

/* After launches on the default stream: their errors, and all of their work done. */
inline lloyd_status finished(const char *what)
{
    CUDA_TRY(cudaGetLastError(), what);
    return lloyd_cuda_check(cudaDeviceSynchronize(), what);
}

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

/* A row of the table of benchmarks: it runs once, or for every shape and type. */
struct benchmark {
    const char *name, *help;
    lloyd_status (*run_once)(const options &o, int64_t *wrong);
    lloyd_status (*run_shape)(const bench &b, const options &o, figures *out);
    bool named_only = false; /* not done unless --only names it */
};

/* One file each. */
extern const benchmark limits_benchmark, assign_benchmark, update_benchmark, iteration_benchmark,
    later_benchmark, run_benchmark, allreduce_benchmark;

} // namespace benchmarks

#endif
