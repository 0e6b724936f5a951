/* See small.h. */
#include "job/split/small.h"

#include "job/job.h"

#include <string.h>

static lloyd_status plan(lloyd_job *j, const lloyd_small_rows *rows)
{
    LLOYD_TRY(lloyd_row_source_memory(j->comm, rows->data, rows->weights, rows->count, rows->d,
                                      rows->type, &j->source));
    LLOYD_TRY(lloyd_job_check(j));
    return lloyd_job_plan(j);
}

/* What the distances of a chunk are written to. */
typedef struct measuring {
    lloyd_kernels *kernels;
    double *distances;
} measuring;

static lloyd_status measure_chunk(void *context, lloyd_chunk *chunk)
{
    const measuring *m = context;
    return m->kernels->distances(m->kernels, chunk->slot, m->distances + chunk->first);
}

static lloyd_status take_results(lloyd_job *j, lloyd_small_result *result)
{
    lloyd_kernels *kernels = j->problem.kernels;
    measuring m = {kernels, result->distances};
    result->inertia = j->best.inertia;
    result->iterations = j->best.history.iterations;
    result->converged = j->best.history.converged;
    LLOYD_TRY(lloyd_job_count(j, result->counts));
    if (!j->given.centroids) LLOYD_TRY(kernels->get_centroids(kernels, result->centroids));
    LLOYD_TRY(kernels->labels(kernels, 0, j->plan.count, result->labels));
    return result->distances ? lloyd_shard_each(j->problem.shard, measure_chunk, &m) : LLOYD_OK;
}

static lloyd_status run(lloyd_job *j, const lloyd_small_rows *rows, lloyd_small_result *result)
{
    LLOYD_TRY(plan(j, rows));
    LLOYD_TRY(lloyd_job_cluster(j));
    return take_results(j, result);
}

lloyd_status lloyd_small_fit(lloyd_comm *self, const lloyd_fit_options *options,
                             const lloyd_small_rows *rows, lloyd_small_result *result)
{
    lloyd_job job = lloyd_job_begin(self, options);
    return lloyd_job_end(&job, run(&job, rows, result));
}

lloyd_status lloyd_small_assign(lloyd_comm *self, const lloyd_fit_options *options,
                                const lloyd_small_rows *rows, lloyd_small_result *result)
{
    lloyd_fit_options assignment = *options;
    assignment.max_iters = 0;
    assignment.n_init = 1;
    lloyd_job job = lloyd_job_begin(self, &assignment);
    job.given = (lloyd_model){.d = rows->d,
                              .k = options->k,
                              .cosine = strcmp(options->metric, "cosine") == 0,
                              .centroids = result->centroids};
    const lloyd_status status = run(&job, rows, result);
    job.given = (lloyd_model){.centroids = NULL}; /* they are the caller's */
    return lloyd_job_end(&job, status);
}

lloyd_status lloyd_small_bytes(lloyd_comm *self, const lloyd_fit_options *options,
                               const lloyd_small_rows *rows, lloyd_bytes *bytes)
{
    lloyd_job job = lloyd_job_begin(self, options);
    lloyd_status status = lloyd_job_end(&job, plan(&job, rows));
    *bytes = (lloyd_bytes){job.plan.total - job.plan.program, job.plan.gpu_total};
    return status;
}
