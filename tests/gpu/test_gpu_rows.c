/* Rows, centroids and labels in the caller's GPU memory: lloyd_fit_rows() gives bit for bit what CPUs
 * give for the same rows in host memory. Exit status 77 without a GPU.
 */
#include "lloyd/lloyd.h"

#include "base/half.h"
#include "base/types.h"
#include "kernels/cuda/device.h"

#include <cuda_runtime_api.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 30011, D = 17, K = 40, ITERATIONS = 5, SKIPPED = 77 };

static lloyd_comm *comm;
static float weights[N];

static void check(cudaError_t code)
{
    if (code != cudaSuccess) fail_msg("%s", cudaGetErrorString(code));
}

/* Small numbers, halves among them where the type has any. */
static void store(lloyd_type type, void *rows, int64_t at, int value)
{
    uint16_t half;
    float real = (float)value / 2;
    switch (type) {
    case LLOYD_F32: ((float *)rows)[at] = real; break;
    case LLOYD_F16: half = lloyd_f16_from_float(real), ((uint16_t *)rows)[at] = half; break;
    case LLOYD_BF16: half = lloyd_bf16_from_float(real), ((uint16_t *)rows)[at] = half; break;
    case LLOYD_U8: ((uint8_t *)rows)[at] = (uint8_t)value; break;
    case LLOYD_I8: ((int8_t *)rows)[at] = (int8_t)(value - 60); break;
    }
}

static void *make_rows(lloyd_type type)
{
    void *rows = malloc((size_t)N * D * lloyd_type_size(type));
    assert_non_null(rows);
    for (int64_t i = 0; i < (int64_t)N * D; i++) {
        int64_t row = i / D, column = i % D;
        store(type, rows, i,
              (int)((row * 7919 + column * 104729 + row * row % 31 * column) % 61) + 1);
    }
    return rows;
}

typedef struct arrays {
    float centroids[K * D];
    int64_t counts[K], moved[ITERATIONS];
    double inertia[ITERATIONS];
    int32_t labels[N];
} arrays;

static lloyd_status fit(lloyd_fit_options options, const lloyd_local_rows *rows, arrays *a,
                        float *centroids, int32_t *labels, int on_gpu)
{
    const lloyd_local_result out = {.centroids = centroids,
                                    .counts = a->counts,
                                    .labels = labels,
                                    .inertia = a->inertia,
                                    .moved = a->moved,
                                    .on_gpu = on_gpu};
    return lloyd_fit_rows(comm, &options, rows, NULL, &out, NULL);
}

static void check_equal(const arrays *a, const arrays *b)
{
    assert_memory_equal(a->centroids, b->centroids, sizeof a->centroids);
    assert_memory_equal(a->counts, b->counts, sizeof a->counts);
    assert_memory_equal(a->labels, b->labels, sizeof a->labels);
    assert_memory_equal(a->inertia, b->inertia, sizeof a->inertia);
    assert_memory_equal(a->moved, b->moved, sizeof a->moved);
}

static void check_type(lloyd_type type, const char *init, int weighted)
{
    static arrays host, device;
    lloyd_fit_options options;
    lloyd_fit_defaults(&options);
    options.k = K;
    options.max_iters = ITERATIONS;
    options.init = init;
    options.progress = "none";
    size_t bytes = (size_t)N * D * lloyd_type_size(type);
    void *rows = make_rows(type), *copy = NULL;
    float *centroids = NULL;
    int32_t *labels = NULL;
    check(cudaMalloc(&copy, bytes));
    check(cudaMalloc((void **)&centroids, sizeof host.centroids));
    check(cudaMalloc((void **)&labels, sizeof host.labels));
    check(cudaMemcpy(copy, rows, bytes, cudaMemcpyHostToDevice));
    lloyd_local_rows given = {.data = rows,
                              .count = N,
                              .dim = D,
                              .type = lloyd_type_name(type),
                              .weights = weighted ? weights : NULL};
    options.backend = "cpu";
    memset(&host, 0, sizeof host);
    assert_int_equal(fit(options, &given, &host, host.centroids, host.labels, 0), LLOYD_OK);

    options.backend = "cuda";
    given.data = copy;
    given.on_gpu = 1;
    memset(&device, 0, sizeof device);
    assert_int_equal(fit(options, &given, &device, device.centroids, device.labels, 0), LLOYD_OK);
    check_equal(&host, &device);

    memset(&device, 0, sizeof device);
    assert_int_equal(fit(options, &given, &device, centroids, labels, 1), LLOYD_OK);
    check(cudaMemcpy(device.centroids, centroids, sizeof device.centroids, cudaMemcpyDeviceToHost));
    check(cudaMemcpy(device.labels, labels, sizeof device.labels, cudaMemcpyDeviceToHost));
    check_equal(&host, &device);
    check(cudaFree(copy));
    check(cudaFree(centroids));
    check(cudaFree(labels));
    free(rows);
}

static void test_rows_on_the_gpu(void **unused)
{
    static const char *const methods[] = {"random", "kmeans++", "kmeans-parallel"};
    (void)unused;
    for (lloyd_type type = LLOYD_F32; type <= LLOYD_I8; ++type)
        check_type(type, methods[type % 3], type % 2);
}

static int open_all(void **unused)
{
    (void)unused;
    for (int i = 0; i < N; i++) weights[i] = (float)(i % 5) / 2;
    return lloyd_comm_open_self(&comm) != LLOYD_OK;
}

static int close_all(void **unused)
{
    (void)unused;
    lloyd_comm_close(comm);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows_on_the_gpu)};
    int devices = 0;
    if (lloyd_device_cuda.count(&devices) != LLOYD_OK) {
        print_error("test_gpu_rows: %s\n", lloyd_message());
        return EXIT_FAILURE;
    }
    if (devices < 1) {
        print_error("SKIPPED test_gpu_rows: NO GPU. NOTHING WAS TESTED.\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, open_all, close_all);
}
