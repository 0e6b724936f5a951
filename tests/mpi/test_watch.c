/* The caller's view of a running fit: what the callback sees, and how it ends the fit. */
#include "lloyd/lloyd_mpi.h"

#include "comm/comm.h"

#include "on_ranks.h"

#include <math.h>
#include <string.h>

enum { N = 300, D = 5, K = 9, MOST = 40 }; /* N rows on each rank */

static lloyd_comm *comm;
static float rows_of_rank[N * D];

typedef struct arrays {
    float centroids[K * D];
    int64_t counts[K], moved[MOST];
    int32_t labels[N];
    double inertia[MOST], seconds[MOST];
    lloyd_fit_result result;
} arrays;

/* What is seen, and what is answered. */
typedef struct watcher {
    lloyd_iteration_info seen[3 * MOST];
    int calls;
    int64_t end_restart, end_iteration; /* where it ends the fit; 0: nowhere */
    int stop;                           /* 1: by lloyd_stop() */
} watcher;

static int watch(void *context, const lloyd_iteration_info *iteration)
{
    watcher *w = context;
    w->seen[w->calls++] = *iteration;
    if (iteration->restart != w->end_restart || iteration->iteration != w->end_iteration) return 0;
    if (w->stop) lloyd_stop(2);
    return !w->stop;
}

static lloyd_fit_options defaults(void)
{
    lloyd_fit_options options;
    lloyd_fit_defaults(&options);
    options.k = K;
    options.init = "random";
    options.max_iters = MOST;
    options.progress = "none";
    return options;
}

static lloyd_status fit(const lloyd_fit_options *options, arrays *a)
{
    const lloyd_local_rows rows = {.data = rows_of_rank, .count = N, .dim = D, .type = "float32"};
    const lloyd_local_result out = {.centroids = a->centroids,
                                    .counts = a->counts,
                                    .labels = a->labels,
                                    .inertia = a->inertia,
                                    .moved = a->moved,
                                    .seconds = a->seconds};
    memset(a, 0xee, sizeof *a);
    return lloyd_fit_rows(comm, options, &rows, NULL, &out, &a->result);
}

static void check_same(const arrays *a, const arrays *b)
{
    assert_int_equal(a->result.iterations, b->result.iterations);
    assert_int_equal(a->result.converged, b->result.converged);
    assert_memory_equal(&a->result.inertia, &b->result.inertia, sizeof(double));
    assert_memory_equal(a->centroids, b->centroids, sizeof a->centroids);
    assert_memory_equal(a->counts, b->counts, sizeof a->counts);
    assert_memory_equal(a->labels, b->labels, sizeof a->labels);
    assert_memory_equal(a->inertia, b->inertia, sizeof a->inertia);
}

/* It sees the history, and changes nothing. */
static void test_seen(void **unused)
{
    (void)unused;
    static arrays plain, watched;
    static watcher w;
    lloyd_fit_options options = defaults();
    w = (watcher){.calls = 0};
    assert_int_equal(fit(&options, &plain), LLOYD_OK);
    options.watch = watch;
    options.watcher = &w;
    assert_int_equal(fit(&options, &watched), LLOYD_OK);
    check_same(&watched, &plain);
    assert_int_equal(w.calls, plain.result.iterations);
    for (int i = 0; i < w.calls; i++) {
        assert_int_equal(w.seen[i].restart, 0);
        assert_int_equal(w.seen[i].iteration, i + 1);
        assert_true(w.seen[i].inertia == plain.inertia[i]);
        assert_int_equal(w.seen[i].moved, plain.moved[i]);
        assert_in_range(w.seen[i].empty, 0, K - 1);
        assert_true(w.seen[i].seconds == watched.seconds[i]);
    }
}

/* The last rank alone watches, and ends the fit of all: as max_iters would. */
static void test_ends(void **unused)
{
    (void)unused;
    static arrays shorter, ended;
    static watcher w;
    w = (watcher){.end_iteration = 3};
    lloyd_fit_options options = defaults();
    options.max_iters = 3;
    assert_int_equal(fit(&options, &shorter), LLOYD_OK);
    assert_int_equal(shorter.result.converged, 0);
    options.max_iters = MOST;
    if (comm->rank == comm->size - 1) {
        options.watch = watch;
        options.watcher = &w;
    }
    assert_int_equal(fit(&options, &ended), LLOYD_OK);
    check_same(&ended, &shorter);
    assert_int_equal(w.calls, comm->rank == comm->size - 1 ? 3 : 0);
}

/* No further start begins, and the best of those that were made is given. */
static void test_ends_all_starts(void **unused)
{
    (void)unused;
    static arrays first, ended;
    static watcher w;
    w = (watcher){.end_restart = 1, .end_iteration = 1};
    lloyd_fit_options options = defaults();
    assert_int_equal(fit(&options, &first), LLOYD_OK);
    options.n_init = 3;
    options.watch = watch;
    options.watcher = &w;
    assert_int_equal(fit(&options, &ended), LLOYD_OK);
    assert_int_equal(w.calls, first.result.iterations + 1);
    check_same(&ended, &first); /* one iteration of the second start is not better */
}

/* lloyd_stop() ends it without results; the next fit is as ever. */
static void test_stopped(void **unused)
{
    (void)unused;
    static arrays plain, stopped;
    static watcher w;
    w = (watcher){.end_iteration = 2, .stop = 1};
    lloyd_fit_options options = defaults();
    assert_int_equal(fit(&options, &plain), LLOYD_OK);
    options.watch = watch;
    options.watcher = &w;
    assert_int_equal(fit(&options, &stopped), LLOYD_STOPPED);
    assert_int_equal(w.calls, 2);
    int64_t told = strstr(lloyd_message(), "stopped by SIGINT") != NULL;
    assert_int_equal(lloyd_comm_sum_host(comm, &told, 1), LLOYD_OK);
    assert_true(told >= 1);
    options.watch = NULL;
    assert_int_equal(fit(&options, &stopped), LLOYD_OK);
    check_same(&stopped, &plain);
}

static int open_all(void **unused)
{
    (void)unused;
    if (lloyd_comm_open_mpi(MPI_COMM_WORLD, &comm) != LLOYD_OK) return 1;
    for (int i = 0; i < N * D; i++)
        rows_of_rank[i] = (float)((i * 7919 + comm->rank * 104729) % 1009) / 16;
    return 0;
}

static int close_all(void **unused)
{
    (void)unused;
    (void)end_all_if_failed(NULL);
    lloyd_comm_close(comm);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RANKS_TEST(test_seen),
        RANKS_TEST(test_ends),
        RANKS_TEST(test_ends_all_starts),
        RANKS_TEST(test_stopped),
    };
    int level;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    int failed = cmocka_run_group_tests(tests, open_all, close_all);
    MPI_Finalize();
    return failed;
}
