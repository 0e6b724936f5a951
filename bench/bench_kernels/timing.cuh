/* Times on a stream, by CUDA events. */
#ifndef TIMING_CUH
#define TIMING_CUH

#include "bench.cuh"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

namespace benchmarks
{

enum { WARMUPS = 2 }; /* of each measurement, not counted */

inline double median(std::vector<double> values)
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

/* A before() of time_work(). */
inline lloyd_status nothing()
{
    return LLOYD_OK;
}

/* The medians of the filter of an assignment and of what follows it. before() begins an iteration. */
template <class Before>
lloyd_status time_phases(const bench &b, int repeat, Before before, double *filter, double *verify)
{
    std::vector<double> filters, verifies;
    for (int i = 0; i < WARMUPS + repeat; i++) {
        float ms[2];
        LLOYD_TRY(before());
        LLOYD_TRY(lloyd_cuda_assign_phases(lloyd_cuda(b.kernels), 0, ms));
        if (i < WARMUPS) continue;
        filters.push_back((double)ms[0]);
        verifies.push_back((double)ms[1]);
    }
    *filter = median(filters);
    *verify = median(verifies);
    return LLOYD_OK;
}

inline void idle(double seconds)
{
    if (seconds > 0) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

} // namespace benchmarks

#endif
