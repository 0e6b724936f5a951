/* lloyd_fit(): a job from its options to its model file. The algorithm itself is in fit.c and
 * seed.c; here is what surrounds it: opening, checking, planning, restarts, writing. Every phase
 * ends with an agreement of all ranks, so a failure anywhere is a failure everywhere, told once.
 */
#include "lloyd.h"

#include "backend.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/philox.h"
#include "comm/comm.h"
#include "fit.h"
#include "io/output.h"
#include "kernels/numerics.h"
#include "options.h"
#include "plan.h"
#include "summary.h"

#include <stdlib.h>
#include <string.h>

typedef struct job {
    lloyd_comm *comm;
    const lloyd_fit_options *options;
    lloyd_rows *rows;
    lloyd_backend backend;
    lloyd_plan plan;
    lloyd_problem problem;
    lloyd_progress *progress;
    lloyd_model given; /* --init MODEL.h5 */

    lloyd_history history; /* of the best restart */
    double inertia;
    float *best; /* [k*d] its centroids, where there are several restarts */
    double start;
} job;

/* --- open and check --- */

static int seeds_itself(const lloyd_fit_options *options)
{
    return strcmp(options->init, "random") == 0 || strcmp(options->init, "kmeans++") == 0 ||
           strcmp(options->init, "kmeans-parallel") == 0;
}

static lloyd_status check_given(job *j)
{
    LLOYD_TRY(lloyd_model_read(j->options->init, &j->given));
    if (j->given.d != lloyd_rows_dim(j->rows)) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s holds centroids of %lld columns, but the dataset has %lld; use a model of such data",
            j->options->init, (long long)j->given.d, (long long)lloyd_rows_dim(j->rows));
    }
    if (j->given.k == j->options->k) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "%s holds %lld centroids, but -k asks for %lld; use -k %lld or another model",
                      j->options->init, (long long)j->given.k, (long long)j->options->k,
                      (long long)j->given.k);
}

static lloyd_status open_input(job *j)
{
    const lloyd_fit_options *o = j->options;
    LLOYD_TRY(lloyd_rows_open(o->inputs, o->input_count, &j->rows));
    if (o->k > lloyd_rows_count(j->rows)) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "-k %lld is more than the %lld rows of the dataset; use a smaller k",
                          (long long)o->k, (long long)lloyd_rows_count(j->rows));
    }
    if (strcmp(o->init, "kmeans-parallel") == 0 && lloyd_seed_candidates(o->k) > INT32_MAX) {
        return lloyd_fail(LLOYD_USAGE,
                          "-k %lld is too much for --init kmeans-parallel; use --init random",
                          (long long)o->k);
    }
    if (o->weights) LLOYD_TRY(lloyd_rows_open_weights(j->rows, o->weights));
    if (!seeds_itself(o)) LLOYD_TRY(check_given(j));
    return LLOYD_OK;
}

/* Centroids of unit length, for cosine; those of a cosine model are left as they are, to the bit.
 */
static lloyd_status normalise_given(job *j)
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

static lloyd_status open_output(job *j)
{
    if (j->comm->rank != 0) return LLOYD_OK;
    LLOYD_TRY(lloyd_output_check(j->options->output, j->rows));
    if (!seeds_itself(j->options)) {
        LLOYD_TRY(lloyd_output_check_apart(j->options->output, j->options->init));
    }
    return lloyd_progress_open(j->options->progress, j->options->log, &j->progress);
}

static void begin_progress(job *j)
{
    const lloyd_fit_options *o = j->options;
    lloyd_progress_run run = {
        .n = j->plan.n,
        .d = j->plan.d,
        .k = j->plan.k,
        .type = lloyd_type_name(lloyd_rows_type(j->rows)),
        .ranks = j->comm->size,
        .threads = j->plan.kernels.threads,
        .backend = lloyd_backend_name(&j->backend),
        .gpu = j->backend.cuda ? j->backend.gpu : NULL,
        .comm = j->problem.comm->name,
        .init = o->init,
        .seed = o->seed,
        .n_init = o->n_init,
        .max_iters = o->max_iters,
        .files = lloyd_rows_files(j->rows),
        .first_file = lloyd_rows_file(j->rows, 0),
        .memory = j->plan.total,
        .gpu_memory = j->plan.gpu_total,
    };
    lloyd_progress_begin(j->progress, &run);
    if (lloyd_rows_rounded(j->rows)) lloyd_note("the stored float64 values are rounded to float32");
    if (o->chunk_rows == 0 && !j->plan.resident) {
        lloyd_note(
            "the rows do not fit into %smemory and are read again in every pass; more ranks would keep them",
            j->backend.cuda ? "GPU " : "");
    }
}

/* --- read --- */

static lloyd_status read_rows(job *j)
{
    lloyd_problem *p = &j->problem;
    LLOYD_TRY(lloyd_shard_open(j->rows, j->plan.first, j->plan.count, j->plan.kernels.chunk_rows,
                               j->plan.resident, j->options->weights != NULL, &p->shard));
    lloyd_kernels_config config = j->plan.kernels;
    config.weights = p->shard->weights;
    LLOYD_TRY(lloyd_backend_kernels(&j->backend, &config, &p->kernels));
    return lloyd_shard_attach(p->shard, p->kernels);
}

/* --- cluster --- */

static lloyd_status choose_centroids(job *j, uint64_t seed, float *centroids)
{
    lloyd_problem *p = &j->problem;
    const char *init = j->options->init;
    if (strcmp(init, "random") == 0) return lloyd_seed_random(p, seed, centroids);
    if (strcmp(init, "kmeans++") == 0) return lloyd_seed_kmeanspp(p, seed, centroids);
    if (strcmp(init, "kmeans-parallel") == 0) return lloyd_seed_kmeans_parallel(p, seed, centroids);
    memcpy(centroids, j->given.centroids, (size_t)(p->k * p->d) * sizeof *centroids);
    return LLOYD_OK;
}

static lloyd_status seed(job *j, int64_t restart)
{
    lloyd_problem *p = &j->problem;
    uint64_t derived = j->options->seed;
    if (restart > 0) derived = lloyd_philox64(derived, LLOYD_DRAW_RESTART, (uint64_t)restart, 0);
    float *centroids = NULL;
    lloyd_status status =
        j->comm->agree(j->comm, lloyd_alloc(&centroids, p->k * p->d, sizeof *centroids,
                                            "initial centroids"));
    if (status == LLOYD_OK) status = choose_centroids(j, derived, centroids);
    if (status == LLOYD_OK) {
        status = j->comm->agree(j->comm, p->kernels->set_centroids(p->kernels, p->k, centroids));
    }
    lloyd_free(centroids);
    return status;
}

/* Keeps this restart if it is the best so far. */
static lloyd_status keep_best(job *j, int64_t restart, lloyd_history *history, double inertia)
{
    lloyd_problem *p = &j->problem;
    if (restart > 0 && inertia >= j->inertia) {
        lloyd_history_free(history);
        return LLOYD_OK;
    }
    lloyd_history_free(&j->history);
    j->history = *history;
    j->inertia = inertia;
    if (j->options->n_init == 1) return LLOYD_OK;
    if (!j->best)
        LLOYD_TRY(lloyd_alloc(&j->best, p->k * p->d, sizeof *j->best, "the best centroids"));
    return p->kernels->get_centroids(p->kernels, j->best);
}

static lloyd_status restart_once(job *j, int64_t restart)
{
    const lloyd_rule rule = {j->options->max_iters, j->options->tol,
                             strcmp(j->options->empty, "relocate") == 0};
    lloyd_history history = {0};
    double start = lloyd_seconds(), inertia;
    LLOYD_TRY(seed(j, restart));
    lloyd_progress_phase(j->progress, "seed", lloyd_seconds() - start);
    lloyd_status status = lloyd_iterate(&j->problem, &rule, restart, j->progress, &history);
    if (status == LLOYD_OK) status = lloyd_problem_inertia(&j->problem, &inertia);
    if (status != LLOYD_OK) {
        lloyd_history_free(&history);
        return status;
    }
    return j->comm->agree(j->comm, keep_best(j, restart, &history, inertia));
}

static lloyd_status cluster(job *j)
{
    lloyd_problem *p = &j->problem;
    for (int64_t restart = 0; restart < j->options->n_init; restart++)
        LLOYD_TRY(restart_once(j, restart));
    if (j->options->n_init == 1) return LLOYD_OK;
    LLOYD_TRY(j->comm->agree(j->comm, p->kernels->set_centroids(p->kernels, p->k, j->best)));
    return lloyd_assign(p);
}

/* --- write --- */

/* counts[k] = rows per cluster, over all ranks. */
static lloyd_status count_rows(job *j, int64_t *counts)
{
    lloyd_problem *p = &j->problem;
    LLOYD_TRY(j->comm->agree(j->comm, p->kernels->count_labels(p->kernels, counts)));
    return lloyd_comm_sum_host(j->comm, counts, p->k);
}

static lloyd_status write_model(job *j, lloyd_model *model)
{
    lloyd_problem *p = &j->problem;
    char *options = NULL;
    if (j->comm->rank != 0) return LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(&model->centroids, p->k * p->d, sizeof *model->centroids, "centroids"));
    LLOYD_TRY(p->kernels->get_centroids(p->kernels, model->centroids));
    LLOYD_TRY(lloyd_options_json(j->options, &options));
    model->options = options;
    lloyd_status status = lloyd_model_write(j->options->output, model, !j->options->no_labels);
    free(options);
    return status;
}

static lloyd_status write_labels(job *j)
{
    enum { ROWS = 1 << 20 };
    lloyd_problem *p = &j->problem;
    int32_t *labels = NULL;
    lloyd_array *array = NULL;
    int64_t count = p->shard->count, at_once = count < ROWS ? count : ROWS;
    if (j->options->no_labels) return LLOYD_OK;
    lloyd_status status = lloyd_alloc(&labels, at_once, sizeof *labels, "labels to write");
    if (status == LLOYD_OK) status = lloyd_array_open(j->options->output, "/labels", &array);
    for (int64_t at = 0; at < count && status == LLOYD_OK; at += at_once) {
        int64_t here = count - at < at_once ? count - at : at_once;
        status = p->kernels->labels(p->kernels, at, here, labels);
        if (status == LLOYD_OK)
            status = lloyd_array_write(array, p->shard->first + at, here, labels);
    }
    lloyd_free(labels);
    lloyd_status closed = lloyd_array_close(array);
    return status != LLOYD_OK ? status : closed;
}

static lloyd_status write_all(job *j, lloyd_model *model)
{
    lloyd_status status = j->comm->agree(j->comm, write_model(j, model));
    if (status == LLOYD_OK) status = j->comm->agree(j->comm, write_labels(j));
    if (status == LLOYD_OK) {
        status =
            j->comm->agree(j->comm,
                           j->comm->rank == 0 ? lloyd_output_commit(j->options->output) : LLOYD_OK);
    }
    if (status != LLOYD_OK && j->comm->rank == 0) lloyd_output_discard(j->options->output);
    return status;
}

/* --- tell --- */

static lloyd_status tell(job *j, const int64_t *counts, lloyd_fit_result *result)
{
    const lloyd_problem *p = &j->problem;
    *result = (lloyd_fit_result){
        .n = p->n,
        .d = p->d,
        .k = p->k,
        .inertia = j->inertia,
        .converged = j->history.converged,
        .files = lloyd_rows_files(j->rows),
        .type = lloyd_type_name(lloyd_rows_type(j->rows)),
        .seconds = lloyd_seconds() - j->start,
    };
    LLOYD_TRY(j->comm->agree(j->comm,
                             lloyd_summary_describe(j->history.inertia, j->history.seconds,
                                                    j->history.iterations, counts, p->k, result)));
    int64_t *peaks = NULL;
    LLOYD_TRY(j->comm->agree(j->comm, lloyd_alloc(&peaks, j->comm->size, sizeof *peaks,
                                                  "the memory peaks of all ranks")));
    peaks[j->comm->rank] = lloyd_memory_peak();
    lloyd_status status = lloyd_comm_sum_host(j->comm, peaks, j->comm->size);
    if (status == LLOYD_OK) lloyd_progress_end(j->progress, result, peaks, j->comm->size);
    lloyd_free(peaks);
    return status;
}

static lloyd_status write_and_tell(job *j, int64_t *counts, lloyd_fit_result *result)
{
    LLOYD_TRY(count_rows(j, counts));
    double start = lloyd_seconds();
    char **inputs = NULL;
    int files = lloyd_rows_files(j->rows);
    LLOYD_TRY(j->comm->agree(j->comm, lloyd_alloc(&inputs, files, sizeof *inputs,
                                                  "the list of input files")));
    for (int i = 0; i < files; i++) inputs[i] = (char *)lloyd_rows_file(j->rows, i);
    lloyd_model model = {
        .n = j->plan.n,
        .d = j->plan.d,
        .k = j->plan.k,
        .counts = counts,
        .iterations = j->history.iterations,
        .inertia = j->history.inertia,
        .moved = j->history.moved,
        .seconds = j->history.seconds,
        .final_inertia = j->inertia,
        .converged = j->history.converged,
        .seed = j->options->seed,
        .ranks = j->comm->size,
        .cosine = j->plan.kernels.cosine,
        .version = (char *)LLOYD_VERSION,
        .command = (char *)(j->options->command ? j->options->command : ""),
        .backend = (char *)j->problem.kernels->name,
        .inputs = inputs,
        .input_count = files,
    };
    lloyd_status status = write_all(j, &model);
    lloyd_free(inputs);
    lloyd_free(model.centroids);
    LLOYD_TRY(status);
    lloyd_progress_phase(j->progress, "write", lloyd_seconds() - start);
    return tell(j, counts, result);
}

/* --- the job --- */

static lloyd_status plan(job *j)
{
    const lloyd_fit_options *o = j->options;
    LLOYD_TRY(lloyd_backend_choose(j->comm, o->backend, o->comm, &j->backend));
    return j->comm->agree(j->comm, lloyd_plan_fit(j->comm, &j->backend, j->rows, o, &j->plan));
}

static lloyd_status run(job *j, lloyd_fit_result *result)
{
    lloyd_problem *p = &j->problem;
    LLOYD_TRY(j->comm->agree(j->comm, lloyd_options_check_fit(j->options)));
    LLOYD_TRY(j->comm->agree(j->comm, open_input(j)));
    LLOYD_TRY(plan(j));
    if (j->options->dry_run)
        return lloyd_plan_print(j->comm, &j->backend, j->rows, j->options, &j->plan);

    LLOYD_TRY(j->comm->agree(j->comm, open_output(j)));
    *p = (lloyd_problem){.n = j->plan.n, .d = j->plan.d, .k = j->plan.k};
    LLOYD_TRY(lloyd_backend_connect(&j->backend, j->comm, &p->comm));
    begin_progress(j);
    double start = lloyd_seconds();
    LLOYD_TRY(j->comm->agree(j->comm, read_rows(j)));
    if (j->plan.kernels.cosine) LLOYD_TRY(j->comm->agree(j->comm, normalise_given(j)));
    LLOYD_TRY(lloyd_problem_measure(p));
    lloyd_progress_phase(j->progress, "read", lloyd_seconds() - start);
    LLOYD_TRY(cluster(j));

    int64_t *counts = NULL;
    LLOYD_TRY(j->comm->agree(j->comm, lloyd_alloc(&counts, p->k, sizeof *counts, "counts")));
    lloyd_status status = write_and_tell(j, counts, result);
    lloyd_free(counts);
    return status;
}

lloyd_status lloyd_fit(lloyd_comm *comm, const lloyd_fit_options *options, lloyd_fit_result *result)
{
    job j = {.comm = comm, .options = options, .start = lloyd_seconds()};
    lloyd_fit_result unused;
    lloyd_status status = run(&j, result ? result : &unused);
    lloyd_status closed = lloyd_progress_close(j.progress);
    if (status == LLOYD_OK) status = comm->agree(comm, closed);
    lloyd_backend_disconnect(&j.backend);
    if (j.problem.kernels) j.problem.kernels->destroy(j.problem.kernels);
    lloyd_shard_close(j.problem.shard);
    lloyd_problem_clear(&j.problem);
    lloyd_history_free(&j.history);
    lloyd_free(j.best);
    lloyd_model_free(&j.given);
    lloyd_rows_close(j.rows);
    return status;
}
