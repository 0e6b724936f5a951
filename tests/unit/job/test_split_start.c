/* lloyd split and a GPU that is slow to start: what it does meanwhile, and what it does when the GPU fails or has little memory. The GPU
 * is one of this file, whose kernels are those of the CPU: the test has a backend.c of its own, built for CUDA. */
#include "base/clock.h"
#include "base/memory.h"
#include "comm/self.h"
#include "io/writers/model.h"
#include "job/split/parts.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/seed/reduce.h"
#include "lloyd/lloyd.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const input = LLOYD_TEST_DATA "/sift-20k.h5";
enum { SUB_CLUSTERS = 5 }; /* of each cluster: no GPU has room for more */

static const char PARENT[] = "parent.h5", MANY[] = "many.h5", OUTPUT[] = "split.h5",
                  ON_CPU[] = "cpu.h5";

/* ---- The GPU -------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* while it starts, others wait */

/* Set for a test. */
static double patience; /* seconds that it takes to start, unless rows are read before */
static int64_t left;    /* bytes; -1: it fails */

/* What has been seen since. */
static pthread_t main_thread;
static atomic_int begun, ended, /* calls that ask for its memory */
    elsewhere,                  /* of them, on another thread than the main one */
    reads,                      /* 1: rows are being read, or were */
    overlapped,                 /* 1: they were when it had started */
    live, most_live;            /* kernels that exist */

static void (*destroy_kernels)(lloyd_kernels *kernels);

static void begin(double seconds, int64_t bytes)
{
    patience = seconds;
    left = bytes;
    begun = ended = elsewhere = reads = overlapped = live = most_live = 0;
}

static lloyd_status count(int *devices)
{
    *devices = 1;
    return LLOYD_OK;
}

static lloyd_status memory(int device, int64_t *free_bytes, int64_t *total_bytes)
{
    const double start = lloyd_seconds();
    assert_int_equal(device, 0);
    pthread_mutex_lock(&lock);
    if (!pthread_equal(pthread_self(), main_thread)) elsewhere++;
    if (begun++ == 0) {
        while (!reads && lloyd_seconds() - start < patience)
            (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        overlapped = reads;
    }
    ended++;
    pthread_mutex_unlock(&lock);
    *free_bytes = left;
    *total_bytes = (int64_t)1 << 37;
    return left < 0 ? lloyd_fail(LLOYD_FAILED, "the GPU fails on purpose") : LLOYD_OK;
}

static lloyd_status identity(int device, uint64_t *hash, char *name, size_t bytes)
{
    *hash = 1 + (uint64_t)device;
    snprintf(name, bytes, "a GPU");
    return LLOYD_OK;
}

static lloyd_status host_alloc(int64_t bytes, const char *what, void **out)
{
    return lloyd_alloc(out, bytes, 1, what);
}

static int current(void)
{
    return 0;
}

static void make_current(int device)
{
    assert_int_equal(device, 0);
}

static lloyd_status keep(int device, int on)
{
    (void)device, (void)on;
    return LLOYD_OK;
}

const lloyd_device lloyd_device_cuda = {
    .name = "cuda",
    .pinned = 1 << 20,
    .count = count,
    .memory = memory,
    .identity = identity,
    .host_alloc = host_alloc,
    .host_free = lloyd_free,
    .current = current,
    .make_current = make_current,
    .keep = keep,
};

static void destroy(lloyd_kernels *kernels)
{
    live--;
    destroy_kernels(kernels);
}

lloyd_status lloyd_kernels_cuda(const lloyd_kernels_config *config, int device,
                                lloyd_kernels **kernels)
{
    assert_int_equal(device, 0);
    LLOYD_TRY(lloyd_kernels_cpu(config, kernels));
    destroy_kernels = (*kernels)->destroy;
    (*kernels)->destroy = destroy;
    const int now = ++live;
    for (int most = most_live; now > most;)
        if (atomic_compare_exchange_weak(&most_live, &most, now)) break;
    return LLOYD_OK;
}

int64_t lloyd_kernels_cuda_bytes(const lloyd_kernels_config *config, int64_t set)
{
    (void)set;
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
    return config->k > SUB_CLUSTERS ? (int64_t)1 << 40 : 1 << 20;
}

int64_t lloyd_kernels_cuda_prune_group(const lloyd_kernels_config *config)
{
    return config->prune_group;
}

int64_t lloyd_cuda_reduce_bytes(int64_t points, int64_t dim, int64_t leaves)
{
    (void)points, (void)dim, (void)leaves;
    return 0;
}

lloyd_status __real_lloyd_parts_bring(lloyd_comm *comm, const lloyd_split_source *source,
                                      const int64_t *rows, int64_t k, const int64_t *turn,
                                      int64_t round, lloyd_parts *parts);
lloyd_status __wrap_lloyd_parts_bring(lloyd_comm *comm, const lloyd_split_source *source,
                                      const int64_t *rows, int64_t k, const int64_t *turn,
                                      int64_t round, lloyd_parts *parts);

lloyd_status __wrap_lloyd_parts_bring(lloyd_comm *comm, const lloyd_split_source *source,
                                      const int64_t *rows, int64_t k, const int64_t *turn,
                                      int64_t round, lloyd_parts *parts)
{
    reads = 1;
    return __real_lloyd_parts_bring(comm, source, rows, k, turn, round, parts);
}

int64_t __wrap_lloyd_memory_available(void);

int64_t __wrap_lloyd_memory_available(void)
{
    return (int64_t)1 << 37;
}

/* ---- Splits --------------------------------------------------------------------------------- */

static lloyd_split_options options_of(const char *backend, const char *output)
{
    lloyd_split_options o;
    lloyd_split_defaults(&o);
    o.model = PARENT;
    o.inputs = &input;
    o.input_count = 1;
    o.k = SUB_CLUSTERS;
    o.init = "random";
    o.max_iters = 2;
    o.output = output;
    o.force = 1;
    o.backend = backend;
    o.progress = "none";
    return o;
}

static lloyd_status split(const lloyd_split_options *o, lloyd_split_result *result)
{
    lloyd_comm *comm;
    assert_int_equal(lloyd_comm_self(&comm), LLOYD_OK);
    const lloyd_status status = lloyd_split(comm, o, result);
    comm->destroy(comm);
    assert_int_equal(begun, ended); /* also after a failure, no thread is left */
    assert_int_equal(live, 0);
    return status;
}

static void check_same(const char *a, const char *b)
{
    lloyd_model x, y;
    assert_int_equal(lloyd_model_read(a, &x), LLOYD_OK);
    assert_int_equal(lloyd_model_read(b, &y), LLOYD_OK);
    assert_int_equal(x.k, y.k);
    assert_int_equal(x.d, y.d);
    assert_memory_equal(x.centroids, y.centroids, (size_t)(x.k * x.d) * sizeof *x.centroids);
    lloyd_model_free(&x);
    lloyd_model_free(&y);
}

static void test_starts_while_rows_are_read(void **unused)
{
    (void)unused;
    const lloyd_split_options o = options_of("cuda", OUTPUT);
    begin(30, (int64_t)1 << 36);
    assert_int_equal(split(&o, NULL), LLOYD_OK);
    assert_true(overlapped);
    assert_int_equal(elsewhere > 0, 1);
    check_same(ON_CPU, OUTPUT);
}

/* What the GPU takes of the host's memory counts where that is scarce. */
static void test_is_awaited_where_memory_is_scarce(void **unused)
{
    (void)unused;
    lloyd_split_options o = options_of("cuda", OUTPUT);
    o.max_host_memory = lloyd_memory_now() + (256 << 20);
    begin(0.5, (int64_t)1 << 36);
    assert_int_equal(split(&o, NULL), LLOYD_OK);
    assert_true(reads);
    assert_false(overlapped);
    check_same(ON_CPU, OUTPUT);
}

/* The plan that is shown is that of a GPU that has started. */
static void test_dry_run(void **unused)
{
    (void)unused;
    lloyd_split_options o = options_of("cuda", OUTPUT);
    o.dry_run = 1;
    begin(0, (int64_t)1 << 36);
    assert_int_equal(split(&o, NULL), LLOYD_OK);
    assert_true(begun > 0);
    assert_int_equal(elsewhere, 0);
}

/* After the plan it turns out that nothing has room beside anything else. */
static void test_little_memory_is_left(void **unused)
{
    (void)unused;
    const lloyd_split_options o = options_of("cuda", OUTPUT);
    begin(30, 4 << 20);
    assert_int_equal(split(&o, NULL), LLOYD_OK);
    assert_true(overlapped);
    assert_int_equal(most_live, 1);
    check_same(ON_CPU, OUTPUT);
}

/* There would be batches, but none has room: each cluster is fitted alone. These kernels have no groups. */
static void test_no_room_for_batches(void **unused)
{
    (void)unused;
    lloyd_split_options o = options_of("cpu", ON_CPU);
    o.model = MANY;
    begin(0, (int64_t)1 << 36);
    assert_int_equal(split(&o, NULL), LLOYD_OK);
    o.backend = "cuda";
    o.output = OUTPUT;
    assert_int_equal(split(&o, NULL), LLOYD_OK);
    check_same(ON_CPU, OUTPUT);
    o.model = PARENT;
    o.backend = "cpu";
    o.output = ON_CPU;
    assert_int_equal(split(&o, NULL), LLOYD_OK); /* as it was */
}

static void test_gpu_fails(void **unused)
{
    (void)unused;
    const lloyd_split_options o = options_of("cuda", OUTPUT);
    begin(30, -1);
    assert_int_equal(split(&o, NULL), LLOYD_FAILED);
    assert_string_equal(lloyd_message(), "the GPU fails on purpose");
}

/* A failure while it starts: it has started when lloyd_split() returns, and the message is that of the failure. */
static void test_split_fails(void **unused)
{
    (void)unused;
    const lloyd_split_options o = options_of("cuda", "nowhere/split.h5");
    begin(0.3, -1);
    assert_int_not_equal(split(&o, NULL), LLOYD_OK);
    assert_non_null(strstr(lloyd_message(), "nowhere"));
    assert_int_equal(begun, 1);
    assert_int_equal(elsewhere, 1);
}

static void test_cpus_start_nothing(void **unused)
{
    (void)unused;
    const lloyd_split_options o = options_of("cpu", OUTPUT);
    begin(0, -1);
    assert_int_equal(split(&o, NULL), LLOYD_OK);
    assert_int_equal(begun, 0);
}

/* ---- Files ---------------------------------------------------------------------------------- */

static char folder[] = "/tmp/lloyd-split-start-XXXXXX";

static lloyd_status fit_parent(int64_t k, const char *output)
{
    lloyd_comm *comm;
    lloyd_fit_options fit;
    lloyd_fit_defaults(&fit);
    fit.inputs = &input;
    fit.input_count = 1;
    fit.k = k;
    fit.init = "random";
    fit.max_iters = 2;
    fit.output = output;
    fit.backend = "cpu";
    fit.progress = "none";
    LLOYD_TRY(lloyd_comm_self(&comm));
    const lloyd_status status = lloyd_fit(comm, &fit, NULL);
    comm->destroy(comm);
    return status;
}

/* The models whose clusters are split: one with too few for batches, and its split on CPUs, and one with enough. */
static int make_files(void **unused)
{
    (void)unused;
    const lloyd_split_options o = options_of("cpu", ON_CPU);
    main_thread = pthread_self();
    if (!mkdtemp(folder) || chdir(folder) != 0 || setenv("OMP_NUM_THREADS", "4", 1) != 0) return -1;
    if (fit_parent(60, PARENT) != LLOYD_OK || fit_parent(130, MANY) != LLOYD_OK) return -1;
    return split(&o, NULL) == LLOYD_OK ? 0 : -1;
}

static int remove_files(void **unused)
{
    (void)unused;
    (void)unlink(PARENT);
    (void)unlink(MANY);
    (void)unlink(OUTPUT);
    (void)unlink(ON_CPU);
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starts_while_rows_are_read),
        cmocka_unit_test(test_is_awaited_where_memory_is_scarce),
        cmocka_unit_test(test_dry_run),
        cmocka_unit_test(test_little_memory_is_left),
        cmocka_unit_test(test_no_room_for_batches),
        cmocka_unit_test(test_gpu_fails),
        cmocka_unit_test(test_split_fails),
        cmocka_unit_test(test_cpus_start_nothing),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
