/* How fast rows can get to the GPU: copies from pinned host memory, allocated as lloyd allocates it
 * (huge pages, first touched in parallel, then pinned). bench/stream.py divides by this.
 *
 *     bench_copy [MEGABYTES]     prints one line of JSON: GB/s of copies of that size (256 MiB), and
 *                                seconds per GB for allocating and pinning
 */
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <cuda_runtime.h>

extern "C" {
#include "base/memory.h"
}

static void check(cudaError_t code, const char *what)
{
    if (code == cudaSuccess) return;
    fprintf(stderr, "bench_copy: %s: %s\n", what, cudaGetErrorString(code));
    exit(1);
}

static double seconds()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

int main(int argc, char **argv)
{
    const int buffers = 16, rounds = 8;
    const long megabytes = argc > 1 ? atol(argv[1]) : 256;
    if (megabytes < 1) {
        fprintf(stderr, "usage: bench_copy [MEGABYTES]\n");
        return 2;
    }
    const size_t bytes = (size_t)megabytes << 20;
    char *host = nullptr, *device = nullptr;
    cudaStream_t stream;
    check(cudaMalloc(&device, 3 * bytes), "allocating GPU memory");
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
    double start = seconds();
    if (lloyd_alloc(&host, buffers, bytes, "rows") != LLOYD_OK) {
        fprintf(stderr, "bench_copy: %s\n", lloyd_message());
        return 1;
    }
    double allocated = seconds();
    check(cudaHostRegister(host, buffers * bytes, cudaHostRegisterDefault), "pinning");
    double pinned = seconds();
    std::vector<double> rates;
    for (int round = 0; round <= rounds; round++) {
        check(cudaStreamSynchronize(stream), "waiting");
        double begin = seconds();
        for (int b = 0; b < buffers; b++) {
            check(cudaMemcpyAsync(device + (b % 3) * bytes, host + (size_t)b * bytes, bytes,
                                  cudaMemcpyHostToDevice, stream),
                  "copying");
        }
        check(cudaStreamSynchronize(stream), "copying");
        if (round > 0) rates.push_back((double)(buffers * bytes) / (seconds() - begin) / 1e9);
    }
    std::sort(rates.begin(), rates.end());
    const double gigabytes = (double)(buffers * bytes) / 1e9;
    printf("{\"h2d_gbs\": %.2f, \"h2d_gbs_best\": %.2f, \"alloc_s_per_gb\": %.3f, "
           "\"pin_s_per_gb\": %.3f}\n",
           rates[rates.size() / 2], rates.back(), (allocated - start) / gigabytes,
           (pinned - allocated) / gigabytes);
    check(cudaHostUnregister(host), "unpinning");
    lloyd_free(host);
    check(cudaFree(device), "freeing");
    return 0;
}
