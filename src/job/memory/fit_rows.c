/* lloyd_fit_rows(): a job from the caller's memory to the caller's memory. What it shares with
 * lloyd_fit() is in job.c.
 */
#include "lloyd/lloyd.h"

#include "base/memory.h"
#include "base/stop.h"
#include "comm/comm.h"
#include "job/job.h"
#include "job/memory/local_rows.h"
#include "job/options.h"

#include <stdlib.h>
#include <string.h>

/* What the caller gave, and what belongs to this call. */
typedef struct call {
    const lloyd_local_rows *rows;
    const float *first;
    const lloyd_local_result *out;
    lloyd_taken_rows taken;
} call;

static lloyd_status take_and_compare(lloyd_comm *comm, const lloyd_fit_options *options, call *c)
{
    lloyd_agreement agreement = {0};
    lloyd_agreement_begin(&agreement, "fit of rows in memory");
    lloyd_status status = lloyd_options_check_fit_rows(options);
    if (status == LLOYD_OK) status = lloyd_local_rows_take(comm, c->rows, &c->taken);
    if (status == LLOYD_OK)
        status = lloyd_options_agreement(LLOYD_COMMAND_FIT, options, &agreement);
    return lloyd_agreement_compare(comm, status, &agreement, &lloyd_differing_options);
}

/* --- the first centroids --- */

/* Those of rank 0, on all ranks. */
static lloyd_status share_first(lloyd_job *j, const float *first)
{
    lloyd_model *given = &j->given;
    given->k = j->options->k;
    given->d = j->source.d;
    return lloyd_local_centroids_share(j->comm, first, given->k, given->d, "initial centroid",
                                       &given->centroids);
}

/* Every start begins with these. */
static lloyd_status check_starts(const lloyd_fit_options *o)
{
    if (o->n_init == 1) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE,
                      "n_init %lld with given centroids would do the same fit %lld times; "
                      "set n_init to 1",
                      (long long)o->n_init, (long long)o->n_init);
}

/* Labels of limited sizes are in host memory. */
static lloyd_status check_labels(const lloyd_job *j, const lloyd_local_result *out)
{
    if (j->options->max_size == 0 || !out || !out->on_gpu || !out->labels) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE,
                      "the labels of a fit with max_size cannot be given in memory of a "
                      "GPU; give on_gpu 0 and memory of the host");
}

static lloyd_status find_first(lloyd_job *j, const float *first)
{
    int is_given = first != NULL;
    LLOYD_TRY(j->comm->broadcast(j->comm, &is_given, sizeof is_given, 0));
    if (is_given) {
        LLOYD_TRY(j->comm->agree(j->comm, check_starts(j->options)));
        return share_first(j, first);
    }
    if (!lloyd_options_init_is_model(j->options)) return LLOYD_OK;
    return j->comm->agree(j->comm, lloyd_job_read_given(j));
}

/* --- give the results --- */

static void give_history(const lloyd_history *history, const lloyd_local_result *out)
{
    size_t bytes = (size_t)history->iterations * 8;
    if (bytes == 0) return;
    if (out->inertia) memcpy(out->inertia, history->inertia, bytes);
    if (out->moved) memcpy(out->moved, history->moved, bytes);
    if (out->seconds) memcpy(out->seconds, history->seconds, bytes);
}

static lloyd_status give_labels(const lloyd_job *j, int32_t *labels)
{
    lloyd_kernels *kernels = j->problem.kernels;
    if (j->balance.cap == 0) return kernels->labels(kernels, 0, j->plan.count, labels);
    memcpy(labels, j->balance.labels, (size_t)j->plan.count * sizeof *labels);
    return LLOYD_OK;
}

static lloyd_status give(const lloyd_job *j, const int64_t *counts, const lloyd_local_result *out)
{
    lloyd_kernels *kernels = j->problem.kernels;
    if (!out) return LLOYD_OK;
    give_history(&j->best.history, out);
    if (out->counts) memcpy(out->counts, counts, (size_t)j->plan.k * sizeof *counts);
    if (out->labels && j->plan.count > 0) LLOYD_TRY(give_labels(j, out->labels));
    return out->centroids ? kernels->get_centroids(kernels, out->centroids) : LLOYD_OK;
}

static lloyd_status give_and_tell(lloyd_job *j, const lloyd_local_result *out, int64_t *counts,
                                  lloyd_fit_result *result)
{
    LLOYD_TRY(lloyd_job_count(j, counts));
    LLOYD_TRY(j->comm->agree(j->comm, give(j, counts, out)));
    return lloyd_job_tell(j, counts, result);
}

/* --- the job --- */

static lloyd_status open_progress(lloyd_job *j)
{
    if (j->comm->rank != 0) return LLOYD_OK;
    return lloyd_progress_open(j->options->progress, j->options->log, 0, &j->progress);
}

static lloyd_status run(lloyd_job *j, call *c, lloyd_fit_result *result)
{
    const lloyd_local_rows *rows = c->rows;
    LLOYD_TRY(take_and_compare(j->comm, j->options, c));
    j->comm->timeout = j->options->timeout;
    LLOYD_TRY(lloyd_row_source_memory(j->comm, c->taken.data, rows->weights, rows->count, rows->dim,
                                      c->taken.type, &j->source));
    LLOYD_TRY(j->comm->agree(j->comm, lloyd_job_check(j)));
    LLOYD_TRY(j->comm->agree(j->comm, check_labels(j, c->out)));
    LLOYD_TRY(find_first(j, c->first));
    LLOYD_TRY(lloyd_job_plan(j));
    int on_gpu = rows->on_gpu || (c->out && c->out->on_gpu);
    LLOYD_TRY(
        j->comm->agree(j->comm, lloyd_local_rows_check_place(j->comm, j->backend.cuda, on_gpu)));
    LLOYD_TRY(j->comm->agree(j->comm, open_progress(j)));
    LLOYD_TRY(lloyd_job_cluster(j));

    int64_t *counts = NULL;
    LLOYD_TRY(lloyd_comm_alloc(j->comm, &counts, j->plan.k, sizeof *counts, "counts"));
    lloyd_status status = give_and_tell(j, c->out, counts, result);
    lloyd_free(counts);
    return status;
}

lloyd_status lloyd_fit_rows(lloyd_comm *comm, const lloyd_fit_options *options,
                            const lloyd_local_rows *rows, const float *first,
                            const lloyd_local_result *out, lloyd_fit_result *result)
{
    lloyd_job job = lloyd_job_begin(comm, options);
    call c = {.rows = rows, .first = first, .out = out};
    lloyd_fit_result unused;
    lloyd_status status = lloyd_job_end(&job, run(&job, &c, result ? result : &unused));
    lloyd_stop_clear();
    lloyd_free(c.taken.rounded);
    return status;
}
