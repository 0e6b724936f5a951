/* The all-reduce of an iteration's sums by NCCL, between two GPUs of this process: what lloyd's own
 * communication can reach at best. */
#include "timing.cuh"

#if defined(LLOYD_HAVE_NCCL)
#include <nccl.h>
#endif

#include <algorithm>
#include <cstdio>
#include <utility>

namespace benchmarks
{

namespace
{

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

enum {
    RANKS = 2,      /* GPUs of this process */
    REDUCTIONS = 10 /* all-reduces between two events */
};

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

} // namespace

const benchmark allreduce_benchmark = {"allreduce",
                                       "sums of all ranks by NCCL (needs two GPUs and NCCL)",
                                       measure_reductions, nullptr};

} // namespace benchmarks
