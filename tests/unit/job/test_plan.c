/* What a GPU's memory is given to: rows, the codes of the 8-bit filter, and the bounds of groups of centroids. What kernels take is a model
 * in place of lloyd_backend_bytes(), and so are the GPU and the host, so that no GPU is needed, and datasets may be large.
 */
#include "comm/self.h"
#include "job/options.h"
#include "job/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { MOST_GROUPS = 512 };

static const int64_t GB = 1000000000;
static const int64_t of_gpu = 41 * 1000000000LL, of_host = 4000 * 1000000000LL;

int64_t __wrap_lloyd_backend_bytes(const lloyd_backend *backend, const lloyd_kernels_config *config,
                                   int64_t set);
int64_t __wrap_lloyd_backend_prune_group(const lloyd_backend *backend,
                                         const lloyd_kernels_config *config);
lloyd_status __wrap_lloyd_backend_memory(const lloyd_backend *backend, int64_t *left,
                                         int64_t *used);
int64_t __wrap_lloyd_memory_available(void);

int64_t __wrap_lloyd_backend_bytes(const lloyd_backend *backend, const lloyd_kernels_config *config,
                                   int64_t set)
{
    const int64_t rows = config->n_local, slots = config->slots * config->chunk_rows;
    int64_t bytes = (64 << 20) + 16 * set * config->dim + 12 * rows +
                    (config->chunk_rows < 1 << 20 ? 100 * config->chunk_rows : 100 << 20);
    assert_true(backend->cuda);
    if (config->filter == LLOYD_FILTER_FLOAT) return bytes;
    bytes += 8 * rows;
    if (config->type != LLOYD_U8) bytes += config->dim * (config->slots ? slots : rows);
    if (config->prune != LLOYD_PRUNE_OFF && config->prune_group > 0)
        bytes += rows * (4 + 2 * ((config->k + config->prune_group - 1) / config->prune_group));
    return bytes;
}

int64_t __wrap_lloyd_backend_prune_group(const lloyd_backend *backend,
                                         const lloyd_kernels_config *config)
{
    const int64_t least = (config->k + MOST_GROUPS - 1) / MOST_GROUPS;
    assert_true(backend->cuda);
    return config->prune_group == 0 || config->prune_group > least ? config->prune_group : least;
}

lloyd_status __wrap_lloyd_backend_memory(const lloyd_backend *backend, int64_t *left, int64_t *used)
{
    assert_true(backend->cuda);
    *left = of_gpu, *used = GB;
    return LLOYD_OK;
}

int64_t __wrap_lloyd_memory_available(void)
{
    return of_host;
}

/* A dataset, and options of its fit. */
typedef struct job {
    int64_t rows, k;
    lloyd_type type;
    const char *filter, *prune;
    int64_t gpu, host; /* --max-device-memory, --max-host-memory; 0: none */
    int64_t chunk_rows, init_sample;
    const char *init; /* NULL: "random" */
    int in_memory;    /* 1: the caller has the rows */
} job;

enum { COLUMNS = 128 };

static lloyd_plan plan_of(const job *j)
{
    static const char *const input = LLOYD_TEST_DATA "/sift-20k.h5";
    const lloyd_backend backend = {.cuda = 1, .caller = -1};
    lloyd_row_source source = {.n = j->rows, .d = COLUMNS, .count = j->rows, .type = j->type};
    lloyd_fit_options options;
    lloyd_comm *comm = NULL;
    lloyd_plan plan;
    lloyd_fit_defaults(&options);
    options.k = j->k;
    options.init = j->init ? j->init : "random";
    options.init_sample = j->init_sample;
    options.filter = j->filter;
    options.prune = j->prune;
    options.max_device_memory = j->gpu;
    options.max_host_memory = j->host;
    options.chunk_rows = j->chunk_rows;
    assert_int_equal(lloyd_comm_self(&comm), LLOYD_OK);
    if (!j->in_memory) /* only to be there */
        assert_int_equal(lloyd_rows_open(&input, 1, &source.rows), LLOYD_OK);
    if (lloyd_plan_fit(comm, &backend, &source, &options, &plan) != LLOYD_OK)
        fail_msg("%s", lloyd_message());
    if (source.rows) lloyd_rows_close(source.rows);
    comm->destroy(comm);
    return plan;
}

static lloyd_plan plan_with(job j, const char *filter, const char *prune)
{
    j.filter = filter;
    j.prune = prune;
    return plan_of(&j);
}

/* What the job gets, and that it fits. */
static lloyd_plan check(job j, lloyd_filter filter, int64_t group)
{
    const lloyd_plan plan = plan_of(&j);
    const int64_t limit = j.gpu > 0 ? j.gpu : of_gpu;
    if (plan.kernels.filter != filter || plan.kernels.prune_group != group ||
        plan.gpu_total > limit)
        fail_msg("%lld rows, K = %lld: filter %d, groups of %lld, %lld bytes of %lld, %lld of %lld "
                 "chunks stay",
                 (long long)j.rows, (long long)j.k, (int)plan.kernels.filter,
                 (long long)plan.kernels.prune_group, (long long)plan.gpu_total, (long long)limit,
                 (long long)plan.layout.fixed, (long long)plan.layout.chunks);
    return plan;
}

static int64_t rows_of(const lloyd_plan *plan, lloyd_home home)
{
    return lloyd_layout_rows(&plan->layout, home);
}

/* The plan says how large groups are that the kernels take instead of more. */
static void too_many_groups(void **unused)
{
    job j = {.rows = 1000000, .k = 1 << 20, .type = LLOYD_U8, .filter = "auto", .prune = "auto"};
    (void)unused;
    (void)check(j, LLOYD_FILTER_AUTO, (1 << 20) / MOST_GROUPS);
    j.prune = "off";
    (void)check(j, LLOYD_FILTER_AUTO, 0);
}

/* Beside them is what there is room for: bounds of small groups, of larger ones, codes alone, nothing. */
static void all_rows_stay(void **unused)
{
    const job j = {.rows = 100000000,
                   .k = 1024,
                   .type = LLOYD_U8,
                   .filter = "auto",
                   .prune = "auto"};
    const struct {
        int64_t gpu, group;
        lloyd_filter filter;
    } rooms[] = {{0, 64, LLOYD_FILTER_AUTO},
                 {plan_with(j, "auto", "auto").gpu_total - GB / 5, 128, LLOYD_FILTER_AUTO},
                 {plan_with(j, "auto", "off").gpu_total, 0, LLOYD_FILTER_AUTO},
                 {plan_with(j, "float16", "off").gpu_total, 0, LLOYD_FILTER_FLOAT}};
    (void)unused;
    for (size_t r = 0; r < sizeof rooms / sizeof *rooms; r++) {
        job in = j;
        in.gpu = rooms[r].gpu;
        const lloyd_plan plan = check(in, rooms[r].filter, rooms[r].group);
        assert_int_equal(plan.layout.fixed, plan.layout.chunks);
    }
}

/* Copies that take longer than computing are as few as they can be. */
static void few_centroids_keep_their_rows(void **unused)
{
    const job j = {.rows = 400000000,
                   .k = 1024,
                   .type = LLOYD_U8,
                   .filter = "auto",
                   .prune = "auto"};
    const lloyd_plan plan = check(j, LLOYD_FILTER_FLOAT, 0),
                     rows_only = plan_with(j, "float16", "off");
    (void)unused;
    assert_true(plan.layout.fixed > 0 && plan.layout.fixed < plan.layout.chunks);
    assert_int_equal(plan.layout.fixed, rows_only.layout.fixed);
}

/* With many, bounds take the place of rows: of the smallest groups whose bounds fit. Rows in slots have codes, which take more of it. */
static void bounds_beside_rows(void **unused)
{
    job j = {.rows = 200000000, .k = 65536, .type = LLOYD_F16, .filter = "auto", .prune = "auto"};
    const lloyd_plan plan = check(j, LLOYD_FILTER_AUTO, 1024),
                     rows_only = plan_with(j, "float16", "off");
    (void)unused;
    assert_true(plan.layout.fixed > 0 && plan.layout.fixed < rows_only.layout.fixed);
    assert_true(of_gpu - plan.gpu_total < 2 * GB);
    assert_int_equal(rows_of(&plan, LLOYD_STREAMED), 0);
    j.k = 16384;
    check(j, LLOYD_FILTER_FLOAT, 0); /* copying takes too long */
    check((job){.rows = 80000000, .k = 65536, .type = LLOYD_F32, .filter = "int8", .prune = "on"},
          LLOYD_FILTER_INT8, 512);
}

/* Bounds of less than 64 groups are not worth it. */
static void filter_beside_rows(void **unused)
{
    job j = {.rows = 400000000, .k = 65536, .type = LLOYD_U8, .filter = "auto", .prune = "off"};
    const lloyd_plan plan = check(j, LLOYD_FILTER_AUTO, 0),
                     rows_only = plan_with(j, "float16", "off");
    (void)unused;
    assert_true(plan.layout.fixed < rows_only.layout.fixed);
    j.prune = "auto";
    j.filter = "float16";
    check(j, LLOYD_FILTER_FLOAT, 0);
}

/* Reading takes far longer than copying: what the host has no room for must not become more. */
static void rows_are_not_read_instead(void **unused)
{
    job j = {.rows = 400000000, .k = 65536, .type = LLOYD_U8, .filter = "auto", .prune = "auto"};
    const lloyd_plan rows_only = plan_with(j, "float16", "off");
    lloyd_plan plan;
    (void)unused;
    j.host = rows_only.total + GB;
    plan = check(j, LLOYD_FILTER_FLOAT, 0);
    assert_int_equal(rows_of(&plan, LLOYD_STREAMED), 0);
    j.host = 0; /* just enough for what is copied then, and less than for half of all rows */
    j.host = plan_of(&j).total + (64 << 20);
    plan = check(j, LLOYD_FILTER_AUTO, 0);
    assert_true(rows_of(&plan, LLOYD_FIXED) > j.rows / 2);
    j.host = 4 * GB; /* where rows are read anyway, too */
    plan = check(j, LLOYD_FILTER_FLOAT, 0);
    assert_true(rows_of(&plan, LLOYD_STREAMED) > 0);
}

/* Who asks for chunks has no rows that stay: bounds take no row's place. Where they do not fit, there are none. */
static void chunks_that_are_asked_for(void **unused)
{
    job j = {.rows = 100000000,
             .k = 65536,
             .type = LLOYD_U8,
             .filter = "auto",
             .prune = "auto",
             .chunk_rows = 1000000};
    lloyd_plan plan = check(j, LLOYD_FILTER_AUTO, 512);
    (void)unused;
    assert_int_equal(plan.layout.fixed, 0);
    assert_int_equal(plan.layout.chunk_rows, 1000000);
    j.gpu = plan_with(j, "auto", "off").gpu_total;
    plan = check(j, LLOYD_FILTER_AUTO, 0);
    assert_int_equal(plan.layout.chunk_rows, 1000000);
    j.gpu = plan_with(j, "float16", "off").gpu_total;
    plan = check(j, LLOYD_FILTER_FLOAT, 0);
    assert_int_equal(plan.layout.chunk_rows, 1000000);
}

/* Rows of the caller are all copied to the GPU, whatever that takes: only what is left of it has bounds. */
static void rows_of_the_caller(void **unused)
{
    job j = {.rows = 100000000,
             .k = 1024,
             .type = LLOYD_U8,
             .filter = "auto",
             .prune = "auto",
             .in_memory = 1};
    (void)unused;
    j.gpu = check(j, LLOYD_FILTER_AUTO, 64).gpu_total - 1;
    j.gpu = check(j, LLOYD_FILTER_AUTO, 128).gpu_total - 1;
    j.gpu = check(j, LLOYD_FILTER_AUTO, 256).gpu_total - 1;
    check(j, LLOYD_FILTER_AUTO, 0);
}

/* Whatever room there is, all of the plan fits, in chunks as long as of rows alone. */
static void fits_with_any_limit(void **unused)
{
    (void)unused;
    for (int64_t gpu = 3 * GB; gpu <= 12 * GB; gpu += GB / 100) {
        const job j = {.rows = 20000000,
                       .k = 65536,
                       .type = LLOYD_F32,
                       .filter = "auto",
                       .prune = "auto",
                       .gpu = gpu};
        const lloyd_plan plan = plan_of(&j), rows_only = plan_with(j, "float16", "off");
        assert_true(plan.gpu_total <= gpu);
        assert_true(plan.layout.chunk_rows >= rows_only.layout.chunk_rows);
    }
}

/* Its passes over all rows compare with few centroids each: none of their copies is for nothing. */
static void seeding_by_all_rows(void **unused)
{
    job j = {.rows = 400000000,
             .k = 65536,
             .type = LLOYD_U8,
             .filter = "auto",
             .prune = "auto",
             .init = "kmeans++"};
    (void)unused;
    check(j, LLOYD_FILTER_AUTO, 0); /* by a sample */
    j.init_sample = j.rows;
    check(j, LLOYD_FILTER_FLOAT, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_many_groups),
        cmocka_unit_test(all_rows_stay),
        cmocka_unit_test(few_centroids_keep_their_rows),
        cmocka_unit_test(bounds_beside_rows),
        cmocka_unit_test(filter_beside_rows),
        cmocka_unit_test(rows_are_not_read_instead),
        cmocka_unit_test(chunks_that_are_asked_for),
        cmocka_unit_test(rows_of_the_caller),
        cmocka_unit_test(fits_with_any_limit),
        cmocka_unit_test(seeding_by_all_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
