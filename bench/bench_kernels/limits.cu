/* What the machine gives at best: a float16 product of cuBLAS, and a plain copy. */
#include "rows.cuh"
#include "timing.cuh"

#include <cublas_v2.h>

#include <cmath>
#include <cstdio>

namespace benchmarks
{

namespace
{

enum { GEMM = 8192 };

lloyd_status check_cublas(cublasStatus_t code)
{
    if (code == CUBLAS_STATUS_SUCCESS) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "cuBLAS says %s", cublasGetStatusString(code));
}

/* *tflops of a float16 product of two GEMM x GEMM matrices of Gaussian numbers, summed in float32. */
lloyd_status measure_gemm(int repeat, double *tflops)
{
    const char *what = "the matrices of the cuBLAS product";
    int64_t count = (int64_t)GEMM * GEMM;
    device_array<__half> a, b, c;
    LLOYD_TRY(a.alloc(count, what));
    LLOYD_TRY(b.alloc(count, what));
    LLOYD_TRY(c.alloc(count, what));
    fill_with_gaussian(a.data, LLOYD_F16, count);
    fill_with_gaussian(b.data, LLOYD_F16, count);
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

lloyd_status measure_machine(const options &o, int64_t *)
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

} // namespace

const benchmark limits_benchmark = {"limits", "a float16 product of cuBLAS and a copy",
                                    measure_machine, nullptr};

} // namespace benchmarks
