/* lloyd_predict_rows(): the nearest centroids of rows in the caller's memory, by the same kernels and
 * under the same contract as a fit.
 */
#include "lloyd/lloyd.h"

#include "algorithm/grid.h"
#include "algorithm/problem.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/stop.h"
#include "comm/comm.h"
#include "job/backend.h"
#include "job/memory/local_rows.h"
#include "job/options.h"
#include "job/plan.h"
#include "job/results/second.h"
#include "job/row_source.h"
#include "kernels/dist.h"

#include <string.h>

enum { BATCH_BYTES = 1 << 20 }; /* rows as float32 that are compared with all centroids at a time */

typedef struct labelling {
    lloyd_comm *comm;
    const lloyd_predict_options *options;
    const lloyd_local_rows *rows;
    const lloyd_local_model *model;
    lloyd_local_prediction out;

    lloyd_taken_rows taken;
    lloyd_row_source source;
    float *centroids; /* [k x d], the same on all ranks */
    lloyd_backend backend;
    lloyd_plan plan;
    lloyd_problem problem;

    float *min, *max; /* [d] of the rows so far */
    int *low;
    lloyd_range range; /* with these three, and the first bad row */
    float *values;     /* [batch x d] rows as float32, and their numbers; for all_distances */
    int64_t *numbers;
    int64_t batch;
    lloyd_second *second;
    int32_t *labels;   /* [chunk] of rows whose second-nearest centroids are wanted */
    double *distances; /* [chunk] to these, and they, where the caller does not want them */
    int32_t *nearest;
} labelling;

/* --- what is given --- */

static lloyd_status check_model(const lloyd_comm *comm, const lloyd_local_model *model)
{
    if (!model || model->k < 1 || model->k > INT32_MAX || (comm->rank == 0 && !model->centroids))
        return lloyd_fail(LLOYD_USAGE,
                          "%lld centroids%s are no model; give 1 to %d, in memory of rank 0",
                          model ? (long long)model->k : 0,
                          model && model->centroids ? "" : " at address NULL", INT32_MAX);
    if (model->metric && (strcmp(model->metric, "l2") == 0 || strcmp(model->metric, "cosine") == 0))
        return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE, "the metric of a model cannot be '%s'; it is l2 or cosine",
                      model->metric ? model->metric : "");
}

static lloyd_status take_all(labelling *t, lloyd_agreement *agreement)
{
    LLOYD_TRY(lloyd_options_check_predict_rows(t->options));
    LLOYD_TRY(check_model(t->comm, t->model));
    LLOYD_TRY(lloyd_local_rows_take(t->comm, t->rows, &t->taken));
    lloyd_agreement_add(agreement, "%lld centroids and the metric %s", (long long)t->model->k,
                        t->model->metric);
    return lloyd_options_agreement(LLOYD_COMMAND_PREDICT, t->options, agreement);
}

static lloyd_status take_and_compare(labelling *t)
{
    lloyd_agreement agreement = {0};
    lloyd_agreement_begin(&agreement, "predict of rows in memory");
    lloyd_status status = take_all(t, &agreement);
    return lloyd_agreement_compare(t->comm, status, &agreement, &lloyd_differing_options);
}

/* --- one pass --- */

static lloyd_status compare_with_all(labelling *t, const lloyd_chunk *chunk)
{
    lloyd_kernels *kernels = t->problem.kernels;
    const int64_t k = t->plan.k, d = t->plan.d;
    for (int64_t at = 0; at < chunk->count; at += t->batch) {
        int64_t count = chunk->count - at < t->batch ? chunk->count - at : t->batch;
        LLOYD_TRY(lloyd_stop_check());
        for (int64_t i = 0; i < count; i++) t->numbers[i] = chunk->first + at + i;
        LLOYD_TRY(kernels->rows(kernels, chunk->slot, t->numbers, count, t->values));
        lloyd_dist_all(t->values, count, t->centroids, k, d, t->plan.kernels.threads,
                       t->out.all_distances + (chunk->first + at) * k);
    }
    return LLOYD_OK;
}

static lloyd_status find_second(labelling *t, const lloyd_chunk *chunk)
{
    const lloyd_local_prediction *out = &t->out;
    lloyd_kernels *kernels = t->problem.kernels;
    LLOYD_TRY(kernels->labels(kernels, chunk->first, chunk->count, t->labels));
    return lloyd_second_find(t->second, chunk->slot, chunk->first, chunk->count, t->labels,
                             out->second ? out->second + chunk->first : t->nearest,
                             out->second_distances ? out->second_distances + chunk->first
                                                   : t->distances);
}

static lloyd_status label_chunk(void *context, lloyd_chunk *chunk)
{
    labelling *t = context;
    lloyd_kernels *kernels = t->problem.kernels;
    LLOYD_TRY(kernels->measure(kernels, chunk->slot, &t->range));
    chunk->ends_pass = t->range.bad_row >= 0;
    if (chunk->ends_pass) return LLOYD_OK;
    if (t->out.labels || t->out.distances || t->second)
        LLOYD_TRY(kernels->assign(kernels, chunk->slot));
    if (t->out.labels)
        LLOYD_TRY(
            kernels->labels(kernels, chunk->first, chunk->count, t->out.labels + chunk->first));
    if (t->out.distances)
        LLOYD_TRY(kernels->distances(kernels, chunk->slot, t->out.distances + chunk->first));
    if (t->second) LLOYD_TRY(find_second(t, chunk));
    return t->out.all_distances ? compare_with_all(t, chunk) : LLOYD_OK;
}

/* --- the job --- */

static int wants_second(const labelling *t)
{
    return t->out.second || t->out.second_distances;
}

static lloyd_status make_room_for_second(labelling *t)
{
    const char *what = "the second-nearest centroids";
    int64_t chunk = t->plan.layout.chunk_rows;
    if (!wants_second(t)) return LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(&t->labels, chunk, sizeof *t->labels, what));
    LLOYD_TRY(lloyd_alloc(&t->nearest, chunk, sizeof *t->nearest, what));
    LLOYD_TRY(lloyd_alloc(&t->distances, chunk, sizeof *t->distances, what));
    return lloyd_second_open(t->problem.kernels, t->centroids, t->plan.k, &t->second);
}

static lloyd_status make_room(labelling *t)
{
    int64_t d = t->plan.d, chunk = t->plan.layout.chunk_rows;
    LLOYD_TRY(lloyd_alloc(&t->min, d, sizeof *t->min, "column extremes"));
    LLOYD_TRY(lloyd_alloc(&t->max, d, sizeof *t->max, "column extremes"));
    LLOYD_TRY(lloyd_alloc(&t->low, d, sizeof *t->low, "column extremes"));
    t->range = (lloyd_range){.min = t->min, .max = t->max, .low = t->low, .bad_row = -1};
    if (!t->out.all_distances) return LLOYD_OK;
    t->batch = BATCH_BYTES / (int64_t)sizeof(float) / d;
    if (t->batch > chunk) t->batch = chunk;
    if (t->batch < 1) t->batch = 1;
    LLOYD_TRY(lloyd_alloc(&t->values, t->batch * d, sizeof *t->values, "rows as float32"));
    return lloyd_alloc(&t->numbers, t->batch, sizeof *t->numbers, "row numbers");
}

static lloyd_status prepare(labelling *t)
{
    lloyd_problem *p = &t->problem;
    *p = (lloyd_problem){.comm = t->comm, .n = t->plan.n, .d = t->plan.d, .k = t->plan.k};
    LLOYD_TRY(make_room(t));
    LLOYD_TRY(lloyd_shard_over(t->taken.data, NULL, t->plan.first, t->plan.layout, &p->shard));
    LLOYD_TRY(lloyd_backend_kernels(&t->backend, &t->plan.kernels, &p->kernels));
    LLOYD_TRY(lloyd_shard_attach(p->shard, p->kernels));
    LLOYD_TRY(p->kernels->set_centroids(p->kernels, t->plan.k, t->centroids));
    return make_room_for_second(t);
}

static lloyd_status plan(labelling *t)
{
    int cosine = strcmp(t->model->metric, "cosine") == 0;
    LLOYD_TRY(lloyd_backend_choose(t->comm, t->options->backend, NULL, &t->backend));
    LLOYD_TRY(
        t->comm->agree(t->comm, lloyd_local_rows_check_place(t->comm, t->backend.cuda,
                                                             t->rows->on_gpu || t->out.on_gpu)));
    lloyd_predict_options options = *t->options;
    options.second = wants_second(t);
    return t->comm->agree(t->comm,
                          lloyd_plan_predict(t->comm, &t->backend, &t->source, t->model->k, cosine,
                                             &options, (lloyd_bytes){0}, &t->plan));
}

static lloyd_status run(labelling *t)
{
    lloyd_comm *comm = t->comm;
    LLOYD_TRY(take_and_compare(t));
    comm->timeout = t->options->timeout;
    LLOYD_TRY(lloyd_row_source_memory(comm, t->taken.data, NULL, t->rows->count, t->rows->dim,
                                      t->taken.type, &t->source));
    LLOYD_TRY(lloyd_local_centroids_share(comm, t->model->centroids, t->model->k, t->source.d,
                                          "centroid", &t->centroids));
    LLOYD_TRY(plan(t));
    LLOYD_TRY(comm->agree(comm, prepare(t)));
    LLOYD_TRY(comm->agree(comm, lloyd_shard_each(t->problem.shard, label_chunk, t)));
    return lloyd_problem_report_defect(&t->problem, &t->range);
}

static void release(labelling *t)
{
    lloyd_second_close(t->second);
    lloyd_shard_close(t->problem.shard);
    if (t->problem.kernels) t->problem.kernels->destroy(t->problem.kernels);
    lloyd_backend_leave(&t->backend);
    lloyd_problem_clear(&t->problem);
    lloyd_free(t->min);
    lloyd_free(t->max);
    lloyd_free(t->low);
    lloyd_free(t->values);
    lloyd_free(t->numbers);
    lloyd_free(t->labels);
    lloyd_free(t->nearest);
    lloyd_free(t->distances);
    lloyd_free(t->centroids);
    lloyd_free(t->taken.rounded);
    lloyd_stop_clear();
}

lloyd_status lloyd_predict_rows(lloyd_comm *comm, const lloyd_predict_options *options,
                                const lloyd_local_rows *rows, const lloyd_local_model *model,
                                const lloyd_local_prediction *out, lloyd_predict_result *result)
{
    labelling t = {.comm = comm, .options = options, .rows = rows, .model = model};
    double start = lloyd_seconds();
    if (out) t.out = *out;
    lloyd_status status = run(&t);
    if (status == LLOYD_OK && result) {
        *result = (lloyd_predict_result){.n = t.plan.n,
                                         .d = t.plan.d,
                                         .k = t.plan.k,
                                         .seconds = lloyd_seconds() - start,
                                         .type = lloyd_type_name(t.plan.kernels.type)};
    }
    release(&t);
    return status;
}
