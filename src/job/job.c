/* See job.h. The algorithm itself is in fit.c and seed.c; here is what surrounds it: planning,
 * reading, restarts, counting. Every phase ends with an agreement of all ranks, so a failure
 * anywhere is a failure everywhere, reported once.
 */
#include "job/job.h"

#include "algorithm/fit.h"
#include "algorithm/grid.h"
#include "algorithm/inertia.h"
#include "algorithm/seed.h"
#include "algorithm/seed_parallel.h"
#include "algorithm/seed_sample.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/philox.h"
#include "job/options.h"
#include "job/summary.h"
#include "kernels/numerics.h"

#include <stdio.h>
#include <string.h>

lloyd_job lloyd_job_begin(lloyd_comm *comm, const lloyd_fit_options *options)
{
    return (lloyd_job){.comm = comm, .options = options, .start = lloyd_seconds()};
}

/* --- check --- */

lloyd_status lloyd_job_check(const lloyd_job *j)
{
    const lloyd_fit_options *o = j->options;
    if (o->k > j->source.n) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "-k %lld is more than the %lld rows of the %s; use a smaller k",
                          (long long)o->k, (long long)j->source.n,
                          lloyd_subset_is_wanted(o) ? "sample" : "dataset");
    }
    if (o->init_sample > 0 && o->init_sample < o->k) {
        return lloyd_fail(
            LLOYD_USAGE,
            "--init-sample %lld is less than the %lld clusters of -k, which are chosen "
            "among these rows; use more rows",
            (long long)o->init_sample, (long long)o->k);
    }
    if (strcmp(o->init, "kmeans-parallel") == 0 && lloyd_seed_candidates(o->k) > INT32_MAX) {
        return lloyd_fail(LLOYD_USAGE,
                          "-k %lld is too much for --init kmeans-parallel; use --init random",
                          (long long)o->k);
    }
    return LLOYD_OK;
}

lloyd_status lloyd_job_read_given(lloyd_job *j)
{
    LLOYD_TRY(lloyd_model_read(j->options->init, &j->given));
    if (j->given.d != j->source.d) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s holds centroids of %lld columns, but the dataset has %lld; use a model of such data",
            j->options->init, (long long)j->given.d, (long long)j->source.d);
    }
    if (j->given.k == j->options->k) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "%s holds %lld centroids, but -k asks for %lld; use -k %lld or another model",
                      j->options->init, (long long)j->given.k, (long long)j->options->k,
                      (long long)j->given.k);
}

/* Centroids of unit length, for cosine; those of a cosine model keep their bits.
 */
static lloyd_status normalise_given(lloyd_job *j)
{
    for (int64_t k = 0; k < j->given.k && !j->given.cosine; k++) {
        float *centroid = j->given.centroids + k * j->given.d;
        double p[LLOYD_LANES] = {0};
        for (int64_t i = 0; i < j->given.d; i++) {
            p[i % LLOYD_LANES] = fma((double)centroid[i], (double)centroid[i], p[i % LLOYD_LANES]);
        }
        double square = lloyd_tree(p, LLOYD_LANES);
        if (square == 0) {
            return lloyd_fail(
                LLOYD_BAD_INPUT,
                "%s: centroid %lld is all zeros and has no direction; remove it, or use --metric l2",
                j->options->init, (long long)k);
        }
        for (int64_t i = 0; i < j->given.d; i++)
            centroid[i] = lloyd_normalised(centroid[i], sqrt(square));
    }
    return LLOYD_OK;
}

/* --- plan and read --- */

/* Memory of marking the rows of a subset, before all else, and of labelling all rows, after all else. */
static lloyd_status plan_subset(lloyd_job *j)
{
    const lloyd_fit_options *o = j->options;
    const lloyd_bytes limit = {o->max_host_memory, o->max_device_memory};
    const lloyd_predict_options labelling = lloyd_subset_labelling(o);
    lloyd_plan *plan = &j->plan, all = {.total = 0};
    lloyd_row_source source = j->source;
    source.n = lloyd_rows_stored(source.rows);
    source.first = lloyd_shard_first(source.n, j->comm->rank, j->comm->size);
    source.count = lloyd_shard_first(source.n, j->comm->rank + 1, j->comm->size) - source.first;
    source.weighted = 0;
    const int64_t marking = plan->program + lloyd_subset_bytes(source.n);
    if (marking > plan->total) plan->total = marking;
    if (!lloyd_subset_labels_all(o)) return LLOYD_OK;
    LLOYD_TRY(
        j->comm->agree(j->comm, lloyd_plan_predict(j->comm, &j->backend, &source, o->k,
                                                   plan->kernels.cosine, &labelling, limit, &all)));
    plan->labelling = all.total - all.program;
    if (all.total > plan->total) plan->total = all.total;
    if (all.gpu_total > plan->gpu_total) plan->gpu_total = all.gpu_total;
    return LLOYD_OK;
}

lloyd_status lloyd_job_plan(lloyd_job *j)
{
    const lloyd_fit_options *o = j->options;
    LLOYD_TRY(lloyd_backend_choose(j->comm, o->backend, o->comm, &j->backend));
    LLOYD_TRY(lloyd_plan_fit(j->comm, &j->backend, &j->source, o, &j->plan));
    return lloyd_subset_is_wanted(o) ? plan_subset(j) : LLOYD_OK;
}

static void begin_progress(lloyd_job *j)
{
    const lloyd_fit_options *o = j->options;
    char subset[1024];
    lloyd_progress_run run = {
        .n = j->plan.n,
        .d = j->plan.d,
        .k = j->plan.k,
        .type = lloyd_type_name(j->source.type),
        .ranks = j->comm->size,
        .threads = j->plan.kernels.threads,
        .backend = lloyd_backend_name(&j->backend),
        .gpu = j->backend.cuda ? j->backend.gpu : NULL,
        .comm = j->problem.comm->name,
        .filter = o->filter,
        .prune = o->prune,
        .init = o->init,
        .seed = o->seed,
        .n_init = o->n_init,
        .max_iters = o->max_iters,
        .files = j->source.rows ? lloyd_rows_files(j->source.rows) : 0,
        .skipped = j->source.skipped,
        .stored = j->source.rows ? lloyd_rows_stored(j->source.rows) : j->plan.n,
        .subset = lloyd_subset_is_wanted(o) ? lloyd_subset_text(o, subset, sizeof subset) : NULL,
        .first_file = j->source.rows ? lloyd_rows_file(j->source.rows, 0) : "memory",
        .memory = j->plan.total,
        .gpu_memory = j->plan.gpu_total,
    };
    lloyd_progress_begin(j->progress, &run);
    if (j->source.rounded) lloyd_note("the stored float64 values are rounded to float32");
    if (o->chunk_rows == 0 && lloyd_layout_rows(&j->plan.layout, LLOYD_STREAMED) > 0) {
        lloyd_note("the rows do not fit into memory, and some are read again in every pass; more "
                   "ranks would keep them");
    }
}

static lloyd_status read_rows(lloyd_job *j)
{
    lloyd_problem *p = &j->problem;
    const lloyd_row_source *s = &j->source;
    LLOYD_TRY(s->rows ? lloyd_shard_open(s->rows, s->first, j->plan.layout, s->weighted, &p->shard)
                      : lloyd_shard_over(s->data, s->weights, s->first, j->plan.layout, &p->shard));
    lloyd_kernels_config config = j->plan.kernels;
    config.weights = p->shard->weights;
    LLOYD_TRY(lloyd_backend_kernels(&j->backend, &config, &p->kernels));
    j->watch = lloyd_job_observer_begin(p->kernels, j->checkpoint, j->progress);
    p->observer = &j->watch.observer;
    return lloyd_shard_attach(p->shard, p->kernels);
}

/* --- cluster --- */

/* Of which run a seeding is. */
typedef struct watched {
    lloyd_job *job;
    int64_t restart;
} watched;

static void watch_seeding(void *watcher, const lloyd_seed_step *step)
{
    const watched *w = watcher;
    lloyd_checkpoint_seeding(w->job->checkpoint, w->restart, step, w->job->progress);
    lloyd_progress_seeding(w->job->progress, step); /* after it: what the log has is kept */
}

static lloyd_status choose_centroids(lloyd_job *j, int64_t restart, uint64_t seed, float *centroids)
{
    lloyd_problem *p = &j->problem;
    const char *init = j->options->init;
    watched w = {j, restart};
    const int parallel = strcmp(init, "kmeans-parallel") == 0; /* restarts share its candidates */
    lloyd_seeding seeding = {.seed = parallel ? j->options->seed : seed,
                             .start = seed,
                             .trials = (int)j->options->init_trials,
                             .watch = watch_seeding,
                             .watcher = &w,
                             .room = j->plan.gpu_reduce,
                             .kept = j->options->n_init > 1 ? &j->candidates : NULL};
    lloyd_checkpoint_resume_seeding(j->checkpoint, restart, &seeding);
    if (j->given.centroids) {
        memcpy(centroids, j->given.centroids, (size_t)(p->k * p->d) * sizeof *centroids);
        return LLOYD_OK;
    }
    if (strcmp(init, "random") == 0) return lloyd_seed_random(p, &seeding, centroids);
    int done;
    LLOYD_TRY(lloyd_seed_again(p, &seeding, centroids, &done));
    if (done) return LLOYD_OK;
    int64_t sample = lloyd_options_sample(j->options, p->n, p->shard->weights != NULL);
    lloyd_seed_method method = parallel ? lloyd_seed_kmeans_parallel : lloyd_seed_kmeanspp;
    return sample < p->n ? lloyd_seed_sampled(p, &seeding, sample, method, centroids)
                         : method(p, &seeding, centroids);
}

static lloyd_status seed(lloyd_job *j, int64_t restart)
{
    lloyd_problem *p = &j->problem;
    uint64_t derived = j->options->seed;
    if (restart > 0) derived = lloyd_philox64(derived, LLOYD_DRAW_RESTART, (uint64_t)restart, 0);
    float *centroids = NULL;
    lloyd_status status =
        lloyd_comm_alloc(j->comm, &centroids, p->k * p->d, sizeof *centroids, "initial centroids");
    if (status == LLOYD_OK) status = choose_centroids(j, restart, derived, centroids);
    if (status == LLOYD_OK) {
        status = j->comm->agree(j->comm, p->kernels->set_centroids(p->kernels, p->k, centroids));
    }
    lloyd_free(centroids);
    return status;
}

/* The first centroids of a restart, or those that a resumed fit continues with. */
static lloyd_status begin_restart(lloyd_job *j, int64_t restart, lloyd_history *history)
{
    double start = lloyd_seconds();
    if (lloyd_checkpoint_holds(j->checkpoint, restart))
        return lloyd_checkpoint_restore(j->checkpoint, &j->problem, history);
    lloyd_progress_seed(j->progress, restart);
    LLOYD_TRY(seed(j, restart));
    lloyd_progress_phase(j->progress, "seed", lloyd_seconds() - start);
    return lloyd_checkpoint_seeded(j->checkpoint, &j->problem, restart);
}

/* Keeps this restart if it is the best so far. */
static lloyd_status keep_best(lloyd_job *j, int64_t restart, lloyd_history *history, double inertia)
{
    lloyd_problem *p = &j->problem;
    lloyd_outcome *best = &j->best;
    if (restart > 0 && inertia >= best->inertia) {
        lloyd_history_free(history);
        return LLOYD_OK;
    }
    lloyd_history_free(&best->history);
    best->history = *history;
    best->inertia = inertia;
    if (j->options->n_init == 1) return LLOYD_OK;
    if (!best->centroids) {
        LLOYD_TRY(lloyd_alloc(&best->centroids, p->k * p->d, sizeof *best->centroids,
                              "the best centroids"));
    }
    return p->kernels->get_centroids(p->kernels, best->centroids);
}

/* The final assignment. */
static lloyd_status assign(lloyd_job *j)
{
    double start = lloyd_seconds();
    LLOYD_TRY(lloyd_assign(&j->problem));
    lloyd_progress_phase(j->progress, "final assignment", lloyd_seconds() - start);
    return LLOYD_OK;
}

static lloyd_status restart_once(lloyd_job *j, int64_t restart)
{
    const lloyd_rule rule = {j->options->max_iters, j->options->tol,
                             strcmp(j->options->empty, "relocate") == 0};
    lloyd_history history = {0};
    double inertia;
    lloyd_status status = begin_restart(j, restart, &history);
    if (status == LLOYD_OK) status = lloyd_iterate(&j->problem, &rule, restart, &history);
    if (status == LLOYD_OK && !history.converged) status = assign(j);
    if (status == LLOYD_OK) status = lloyd_problem_inertia(&j->problem, &inertia);
    if (status != LLOYD_OK) {
        lloyd_history_free(&history);
        return status;
    }
    return j->comm->agree(j->comm, keep_best(j, restart, &history, inertia));
}

/* The best of all starts. */
static lloyd_status run_starts(lloyd_job *j)
{
    lloyd_problem *p = &j->problem;
    int64_t first = lloyd_checkpoint_restart(j->checkpoint);
    for (int64_t restart = first; restart < j->options->n_init && !j->watch.ended; restart++)
        LLOYD_TRY(restart_once(j, restart));
    if (j->options->n_init == 1) return LLOYD_OK;
    lloyd_status status = p->kernels->set_centroids(p->kernels, p->k, j->best.centroids);
    LLOYD_TRY(j->comm->agree(j->comm, status));
    return assign(j);
}

/* --max-size. The checkpoint comes first: a fit that is killed after it repeats one iteration only. */
static lloyd_status balance(lloyd_job *j)
{
    if (j->options->max_size == 0) return LLOYD_OK;
    lloyd_checkpoint_last(j->checkpoint, j->progress);
    const double start = lloyd_seconds();
    j->balance.cap = lloyd_balance_cap(j->options->max_size, j->plan.n, j->plan.k);
    LLOYD_TRY(lloyd_balance_find(&j->problem, j->best.inertia, j->progress, &j->balance));
    lloyd_progress_phase(j->progress, "max size", lloyd_seconds() - start);
    return LLOYD_OK;
}

double lloyd_job_inertia(const lloyd_job *j)
{
    return j->balance.cap > 0 ? j->balance.inertia : j->best.inertia;
}

lloyd_status lloyd_job_read(lloyd_job *j)
{
    lloyd_problem *p = &j->problem;
    *p = (lloyd_problem){.n = j->plan.n, .d = j->plan.d, .k = j->plan.k};
    LLOYD_TRY(lloyd_backend_connect(&j->backend, j->comm, &p->comm));
    begin_progress(j);
    double start = lloyd_seconds();
    LLOYD_TRY(j->comm->agree(j->comm, read_rows(j)));
    LLOYD_TRY(lloyd_job_observer_watch(&j->watch, j->comm, j->options));
    if (j->plan.kernels.cosine) LLOYD_TRY(j->comm->agree(j->comm, normalise_given(j)));
    LLOYD_TRY(lloyd_problem_measure(p));
    LLOYD_TRY(lloyd_checkpoint_check_data(j->checkpoint, p));
    lloyd_progress_phase(j->progress, "read", lloyd_seconds() - start);
    return LLOYD_OK;
}

lloyd_status lloyd_job_cluster(lloyd_job *j)
{
    LLOYD_TRY(lloyd_job_read(j));
    LLOYD_TRY(run_starts(j));
    return balance(j);
}

/* --- the end --- */

lloyd_status lloyd_job_count(lloyd_job *j, int64_t *counts)
{
    lloyd_problem *p = &j->problem;
    if (j->balance.cap > 0) {
        memcpy(counts, j->balance.counts, (size_t)p->k * sizeof *counts);
        return LLOYD_OK;
    }
    LLOYD_TRY(j->comm->agree(j->comm, p->kernels->count_labels(p->kernels, counts)));
    return lloyd_comm_sum_host(j->comm, counts, p->k);
}

/* Where the iterations' time went on this rank, by its clock or its GPU's. */
static void take_time_shares(lloyd_job *j)
{
    const lloyd_problem *p = &j->problem;
    const double *seconds = p->kernels->seconds;
    const double of_gpu[LLOYD_TIME_SHARES] = {[LLOYD_TIME_ROWS] = seconds[LLOYD_WORK_ROWS],
                                              [LLOYD_TIME_ASSIGN] = seconds[LLOYD_WORK_ASSIGN],
                                              [LLOYD_TIME_FALLBACK] = seconds[LLOYD_WORK_FALLBACK],
                                              [LLOYD_TIME_UPDATE] = seconds[LLOYD_WORK_UPDATE],
                                              [LLOYD_TIME_SUM] = seconds[LLOYD_WORK_SUM]};
    const double *spent = p->kernels->synchronous ? j->watch.seconds : of_gpu;
    for (int share = 0; share < LLOYD_TIME_SHARES; share++)
        j->nanoseconds[share] = (int64_t)(1e9 * spent[share]);
    j->synchronous = p->kernels->synchronous;
    j->timed = p->kernels->synchronous || p->kernels->config.timed;
}

void lloyd_job_release(lloyd_job *j)
{
    lloyd_problem *p = &j->problem;
    if (!p->kernels) return;
    take_time_shares(j);
    lloyd_shard_close(p->shard);
    p->kernels->destroy(p->kernels);
    p->shard = NULL;
    p->kernels = NULL;
}

/* On a GPU a sum begins when its own rows are done, and it waits there for the other GPUs: what it
 * takes longer than on the GPU that waits least. */
static void split_waiting(lloyd_progress_rank *ranks, int size)
{
    int64_t least = ranks[0].nanoseconds[LLOYD_TIME_SUM];
    for (int r = 1; r < size; r++)
        if (ranks[r].nanoseconds[LLOYD_TIME_SUM] < least)
            least = ranks[r].nanoseconds[LLOYD_TIME_SUM];
    for (int r = 0; r < size; r++) {
        ranks[r].nanoseconds[LLOYD_TIME_IDLE] = ranks[r].nanoseconds[LLOYD_TIME_SUM] - least;
        ranks[r].nanoseconds[LLOYD_TIME_SUM] = least;
    }
}

int64_t lloyd_job_distinct(const lloyd_job *j, const int64_t *counts)
{
    const int64_t k = j->problem.k;
    int64_t empty = 0;
    for (int64_t i = 0; i < k; i++) empty += counts[i] == 0;
    const int shows = !j->source.weighted && !j->plan.kernels.cosine && j->balance.cap == 0;
    return shows ? lloyd_summary_distinct(j->best.inertia, k, empty) : 0;
}

lloyd_status lloyd_job_tell(lloyd_job *j, const int64_t *counts, lloyd_fit_result *result)
{
    const lloyd_problem *p = &j->problem;
    const lloyd_history *history = &j->best.history;
    *result = (lloyd_fit_result){
        .n = p->n,
        .d = p->d,
        .k = p->k,
        .inertia = lloyd_job_inertia(j),
        .largest_allowed = j->balance.cap,
        .moved_rows = j->balance.moved,
        .inertia_before = j->balance.before,
        .converged = j->best.history.converged,
        .files = j->source.rows ? lloyd_rows_files(j->source.rows) : 0,
        .stored = j->source.rows ? lloyd_rows_stored(j->source.rows) : p->n,
        .skipped = j->source.skipped,
        .type = lloyd_type_name(j->source.type),
        .seconds = lloyd_seconds() - j->start,
        .resumed = lloyd_checkpoint_resumes(j->checkpoint),
        .resumed_iterations = history->resumed,
    };
    LLOYD_TRY(
        j->comm->agree(j->comm, lloyd_summary_describe(history->inertia, history->seconds,
                                                       history->iterations, counts, p->k, result)));
    result->distinct_rows = lloyd_job_distinct(j, counts);
    lloyd_progress_rank *ranks = NULL;
    LLOYD_TRY(lloyd_comm_alloc(j->comm, &ranks, j->comm->size, sizeof *ranks,
                               "what all ranks report at the end"));
    lloyd_progress_rank *own = &ranks[j->comm->rank];
    own->memory_peak = lloyd_memory_peak();
    lloyd_job_release(j);
    memcpy(own->nanoseconds, j->nanoseconds, sizeof own->nanoseconds);
    int64_t values = j->comm->size * (int64_t)(sizeof *ranks / sizeof(int64_t));
    lloyd_status status = lloyd_comm_sum_host(j->comm, (int64_t *)ranks, values);
    if (!j->synchronous) split_waiting(ranks, j->comm->size);
    if (status == LLOYD_OK) lloyd_progress_end(j->progress, result, ranks, j->comm->size, j->timed);
    lloyd_free(ranks);
    return status;
}

/* --- the end --- */

/* A log that could not be written is a failure, unless there is one already. */
static lloyd_status close_progress(lloyd_job *j, lloyd_status status)
{
    char message[LLOYD_MESSAGE_BYTES];
    snprintf(message, sizeof message, "%s", lloyd_message());
    lloyd_status closed = lloyd_progress_close(j->progress);
    if (status == LLOYD_OK) return j->comm->agree(j->comm, closed);
    return lloyd_fail(status, "%s", message);
}

lloyd_status lloyd_job_end(lloyd_job *j, lloyd_status status)
{
    j->comm->rescue = NULL;
    status = lloyd_checkpoint_close(j->checkpoint, j->progress, status);
    status = close_progress(j, status);
    lloyd_backend_disconnect(&j->backend);
    lloyd_shard_close(j->problem.shard);
    if (j->problem.kernels) j->problem.kernels->destroy(j->problem.kernels);
    lloyd_subset_end(&j->subset);
    lloyd_problem_clear(&j->problem);
    lloyd_candidates_free(j->candidates);
    lloyd_balance_free(&j->balance);
    lloyd_history_free(&j->best.history);
    lloyd_free(j->best.centroids);
    lloyd_model_free(&j->given);
    lloyd_backend_leave(&j->backend);
    return status;
}
