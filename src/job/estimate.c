/* See estimate.h. Every rank clusters rows of its own: with some rows and with a quarter of them, so that what
 * an iteration takes for each row can be distinguished from what it takes at least.
 */
#include "job/estimate.h"

#include "algorithm/fit.h"
#include "algorithm/grid.h"
#include "algorithm/problem.h"
#include "algorithm/seed.h"
#include "algorithm/seed_parallel.h"
#include "base/clock.h"
#include "base/half.h"
#include "base/memory.h"
#include "base/text.h"
#include "comm/self.h"
#include "job/observer.h"
#include "job/options.h"
#include "kernels/reduce.h"

#include <math.h>
#include <string.h>

enum {
    QUARTER = 4,
    ITERATIONS = 3,      /* of which the first is not counted */
    GPU_ITERATIONS = 30, /* short ones, and a GPU that was idle is slow at first */
    LEAST_ROWS = 256,    /* below that, the time says little */
    SOME_CHOICES = 16,   /* centroids of kmeans++ */
    POINTS = 2048,       /* candidates, and */
    GPU_POINTS = 4096,
    GPU_CHOICES = 300 /* how many of these a GPU chooses */
};

/* Operations of an iteration that is measured, and bytes of its rows. */
typedef struct effort {
    double operations;
    int64_t bytes;
} effort;

static effort effort_of(const lloyd_backend *backend, const lloyd_plan *plan)
{
    const effort gpu = {5e11, 256 << 20}, cpu = {1e10 * plan->kernels.threads, 64 << 20};
    return backend->cuda ? gpu : cpu;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t rows_to_measure(const lloyd_backend *backend, const lloyd_plan *plan)
{
    const effort e = effort_of(backend, plan);
    int64_t row_bytes = plan->d * (int64_t)lloyd_type_size(plan->kernels.type);
    double rows = e.operations / (2.0 * (double)plan->k * (double)plan->d);
    int64_t most = least(e.bytes / row_bytes, plan->count);
    int64_t count = rows < (double)most ? (int64_t)rows : most;
    count = count > LEAST_ROWS ? count : LEAST_ROWS;
    return least(count, plan->count > 0 ? plan->count : 1);
}

/* --- made-up rows --- */

/* From 1 to 255, which every type but int8 holds, and odd: that type gets no zero, of which cosine would find
 * rows. */
static unsigned next_value(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (unsigned)(*state >> 56) | 1;
}

static void make_values(lloyd_type type, int64_t count, void *out)
{
    uint64_t state = 1;
    for (int64_t i = 0; i < count; i++) {
        float value = (float)next_value(&state);
        uint16_t half =
            type == LLOYD_BF16 ? lloyd_bf16_from_float(value) : lloyd_f16_from_float(value);
        switch (type) {
        case LLOYD_F32: memcpy((char *)out + i * 4, &value, sizeof value); break;
        case LLOYD_F16:
        case LLOYD_BF16: memcpy((char *)out + i * 2, &half, sizeof half); break;
        case LLOYD_U8: ((uint8_t *)out)[i] = (uint8_t)value; break;
        case LLOYD_I8: ((int8_t *)out)[i] = (int8_t)((int)value - 128); break;
        }
    }
}

/* A problem of one rank. */
typedef struct trial {
    lloyd_comm *comm;
    lloyd_problem problem;
    void *rows;
    float *centroids; /* [k * d] */
} trial;

static void close_trial(trial *t)
{
    lloyd_problem_clear(&t->problem);
    lloyd_shard_close(t->problem.shard);
    if (t->problem.kernels) t->problem.kernels->destroy(t->problem.kernels);
    if (t->comm) t->comm->destroy(t->comm);
    lloyd_free(t->rows);
    lloyd_free(t->centroids);
}

static lloyd_status open_trial(const lloyd_backend *backend, const lloyd_plan *plan, int64_t rows,
                               int64_t k, trial *t)
{
    lloyd_problem *p = &t->problem;
    const int64_t size = (int64_t)lloyd_type_size(plan->kernels.type);
    lloyd_layout layout = lloyd_layout_fixed(rows, plan->d * size, backend->cuda);
    lloyd_kernels_config config = plan->kernels;
    config.prune = LLOYD_PRUNE_OFF; /* how much it skips depends on the rows */
    config.n_local = config.chunk_rows = rows;
    config.k = k, config.slots = 1, config.timed = 0;
    LLOYD_TRY(lloyd_comm_self(&t->comm));
    LLOYD_TRY(lloyd_alloc(&t->rows, rows * plan->d, (size_t)size, "rows to measure"));
    LLOYD_TRY(lloyd_alloc(&t->centroids, k * plan->d, sizeof(float), "centroids to measure"));
    make_values(plan->kernels.type, rows * plan->d, t->rows);
    make_values(LLOYD_F32, k * plan->d, t->centroids);
    *p = (lloyd_problem){.comm = t->comm, .n = rows, .d = plan->d, .k = k};
    LLOYD_TRY(lloyd_shard_over(t->rows, NULL, 0, layout, &p->shard));
    LLOYD_TRY(lloyd_backend_kernels(backend, &config, &p->kernels));
    LLOYD_TRY(lloyd_shard_attach(p->shard, p->kernels));
    LLOYD_TRY(lloyd_problem_measure(p));
    return p->kernels->set_centroids(p->kernels, k, t->centroids);
}

/* --- iterations --- */

static lloyd_status iterate(const lloyd_backend *backend, trial *t, double *seconds)
{
    const lloyd_rule rule = {.max_iters = backend->cuda ? GPU_ITERATIONS : ITERATIONS};
    lloyd_history history = {0};
    lloyd_job_observer watch = lloyd_job_observer_begin(t->problem.kernels, NULL, NULL);
    t->problem.observer = &watch.observer;
    lloyd_status status = lloyd_iterate(&t->problem, &rule, 0, &history);
    *seconds = INFINITY;
    for (int64_t i = history.iterations > 1; i < history.iterations; i++)
        *seconds = fmin(*seconds, history.seconds[i]);
    lloyd_history_free(&history);
    t->problem.observer = NULL;
    return status;
}

/* What an iteration takes for so many rows. */
static lloyd_status time_iteration(const lloyd_backend *backend, const lloyd_plan *plan,
                                   int64_t rows, double *seconds)
{
    trial t = {0};
    lloyd_status status = open_trial(backend, plan, rows, plan->k, &t);
    if (status == LLOYD_OK) status = iterate(backend, &t, seconds);
    close_trial(&t);
    return status;
}

/* *each = seconds for every row, *start = the fixed cost. */
static lloyd_status measure_iteration(const lloyd_backend *backend, const lloyd_plan *plan,
                                      double *each, double *start)
{
    int64_t rows = rows_to_measure(backend, plan), few = rows / QUARTER > 0 ? rows / QUARTER : 1;
    double all, some;
    LLOYD_TRY(time_iteration(backend, plan, few, &some));
    LLOYD_TRY(time_iteration(backend, plan, rows, &all));
    *each = rows > few ? fmax(all - some, 0) / (double)(rows - few) : all / (double)rows;
    *start = fmax(all - *each * (double)rows, 0);
    return LLOYD_OK;
}

/* --- seeding --- */

static lloyd_status measure_kmeanspp(const lloyd_backend *backend, const lloyd_plan *plan,
                                     const lloyd_fit_options *options, int64_t sample,
                                     double *seconds)
{
    trial t = {0};
    int64_t rows = rows_to_measure(backend, plan);
    int64_t k = least(SOME_CHOICES, least(plan->k, rows));
    const lloyd_seeding seeding = {.seed = 1,
                                   .trials = lloyd_seed_trials(plan->k, (int)options->init_trials)};
    lloyd_status status = open_trial(backend, plan, rows, k, &t);
    double begin = lloyd_seconds();
    if (status == LLOYD_OK) status = lloyd_seed_kmeanspp(&t.problem, &seeding, t.centroids);
    double each = (lloyd_seconds() - begin) / (double)k;
    close_trial(&t);
    *seconds = each * (double)plan->k * (double)sample / (double)rows;
    return status;
}

/* Choosing among made-up candidates, as many as the plan's leaves have or fewer. */
static lloyd_status time_leaf(const lloyd_backend *backend, trial *t, lloyd_reduction *r,
                              int64_t most, double *seconds)
{
    lloyd_kernels *kernels = t->problem.kernels;
    int64_t *members = NULL, done;
    lloyd_leaf leaf = {.seed = 1, .count = r->count, .most = most};
    lloyd_status status = lloyd_alloc(&members, r->count, sizeof *members, "candidates");
    if (status == LLOYD_OK)
        status = lloyd_alloc(&leaf.choices, most, sizeof *leaf.choices, "candidates");
    for (int64_t i = 0; i < r->count && status == LLOYD_OK; i++) members[i] = i;
    leaf.members = members;
    for (int time = 0; time < (backend->cuda ? 2 : 1) && status == LLOYD_OK; time++) {
        double begin = lloyd_seconds(); /* a GPU's first time also loads the kernels */
        status = kernels->reduce(kernels, r, &leaf, 1, &done);
        *seconds = lloyd_seconds() - begin;
    }
    lloyd_free(leaf.choices);
    lloyd_free(members);
    return status;
}

static lloyd_status measure_leaf(const lloyd_backend *backend, const lloyd_plan *plan,
                                 const lloyd_fit_options *options, int64_t count, int64_t most,
                                 double *seconds)
{
    trial t = {0};
    double *weights = NULL;
    int64_t points = least(count, backend->cuda ? GPU_POINTS : POINTS);
    int64_t choices = backend->cuda ? least(most, GPU_CHOICES) : most * points / count + 1;
    lloyd_status status = open_trial(backend, plan, 1, points, &t);
    if (status == LLOYD_OK) status = lloyd_alloc(&weights, points, sizeof *weights, "candidates");
    for (int64_t i = 0; i < points && status == LLOYD_OK; i++) weights[i] = 1;
    lloyd_reduction r = {.count = points,
                         .dim = plan->d,
                         .points = t.centroids,
                         .weights = weights,
                         .k = points,
                         .trials = lloyd_seed_reduce_trials((int)options->init_trials),
                         .threads = plan->kernels.threads,
                         .room = plan->gpu_reduce};
    if (status == LLOYD_OK) status = time_leaf(backend, &t, &r, least(choices, points), seconds);
    lloyd_free(weights);
    close_trial(&t);
    double more = (double)count / (double)points;
    *seconds *= backend->cuda ? (double)most / (double)least(choices, points) : more * more;
    return status;
}

/* The rounds compare every row with all candidates; then those are reduced. */
static lloyd_status measure_parallel(const lloyd_comm *comm, const lloyd_backend *backend,
                                     const lloyd_plan *plan, const lloyd_fit_options *options,
                                     int64_t sample, double each, double *seconds)
{
    int64_t candidates = lloyd_seed_candidates(plan->k);
    int64_t leaves = lloyd_reduce_leaves(candidates), count = candidates / leaves;
    int64_t own = (leaves + comm->size - 1) / comm->size;
    int64_t most = leaves == 1 ? least(plan->k, count) : least(2 * plan->k / leaves + 1, count);
    double leaf = 0;
    LLOYD_TRY(measure_leaf(backend, plan, options, count, most, &leaf));
    int64_t turns = backend->cuda ? (own + LLOYD_LEAVES_AT_ONCE - 1) / LLOYD_LEAVES_AT_ONCE : own;
    *seconds = each * (double)sample * (double)candidates / (double)plan->k + leaf * (double)turns;
    return LLOYD_OK;
}

static lloyd_status measure_seeding(const lloyd_comm *comm, const lloyd_backend *backend,
                                    const lloyd_plan *plan, const lloyd_fit_options *options,
                                    int weighted, double each, double *seconds)
{
    int64_t size = lloyd_options_sample(options, plan->n, weighted);
    int64_t own = (int64_t)((double)plan->count * (double)size / (double)plan->n);
    *seconds = 0;
    if (strcmp(options->init, "kmeans++") == 0)
        return measure_kmeanspp(backend, plan, options, own, seconds);
    if (strcmp(options->init, "kmeans-parallel") == 0)
        return measure_parallel(comm, backend, plan, options, own, each, seconds);
    return LLOYD_OK;
}

static lloyd_status measure(const lloyd_comm *comm, const lloyd_backend *backend,
                            const lloyd_plan *plan, const lloyd_fit_options *options, int weighted,
                            double seconds[2])
{
    double each = 0, start = 0;
    LLOYD_TRY(measure_iteration(backend, plan, &each, &start));
    seconds[1] = start + each * (double)plan->count;
    return measure_seeding(comm, backend, plan, options, weighted, each, &seconds[0]);
}

lloyd_status lloyd_estimate_fit(lloyd_comm *comm, const lloyd_backend *backend,
                                const lloyd_plan *plan, const lloyd_fit_options *options,
                                int weighted, lloyd_estimate *estimate)
{
    double seconds[2] = {0, 0};
    lloyd_status status = measure(comm, backend, plan, options, weighted, seconds);
    LLOYD_TRY(comm->agree(comm, status));
    LLOYD_TRY(comm->max(comm, seconds, 2));
    *estimate = (lloyd_estimate){.seeding = seconds[0], .iteration = seconds[1]};
    return LLOYD_OK;
}

void lloyd_estimate_print(const lloyd_fit_options *options, const lloyd_plan *plan,
                          const lloyd_estimate *e)
{
    char a[32], b[32], c[32];
    double all = (double)options->n_init * (e->seeding + (double)options->max_iters * e->iteration);
    printf("  time, estimated  ");
    if (e->seeding > 0) printf("%s for seeding, ", lloyd_text_seconds(e->seeding, a, sizeof a));
    printf("%s per iteration, %s in all%s\n", lloyd_text_seconds(e->iteration, b, sizeof b),
           lloyd_text_seconds(all, c, sizeof c), options->max_iters > 0 ? " at most" : "");
    printf("                   (from clustering made-up rows for a moment; without %s)\n",
           lloyd_layout_rows(&plan->layout, LLOYD_FIXED) < plan->count
               ? "reading the files, and copying rows, in every pass"
               : "reading the files");
}
