/* lloyd_predict(): the nearest centroid of every row of a dataset, by the same kernels and under
 * the same contract as a fit. The rows are needed once, so they are streamed: while a chunk is
 * checked and labelled, the next ones are read.
 */
#include "lloyd.h"

#include "backend.h"
#include "base/clock.h"
#include "base/memory.h"
#include "comm/comm.h"
#include "io/output.h"
#include "options.h"
#include "plan.h"
#include "problem.h"
#include "source.h"
#include "stop.h"

#include <math.h>
#include <stdlib.h>

typedef struct prediction {
    lloyd_comm *comm;
    const lloyd_predict_options *options;
    lloyd_model model;
    lloyd_rows *rows;
    lloyd_backend backend;
    lloyd_plan plan;
    lloyd_problem problem;
    lloyd_array *labels, *distances;

    /* one chunk */
    int32_t *label;
    double *distance;
    float *rounded;
    int64_t first, count; /* global rows whose results are here and not written yet */
} prediction;

static lloyd_status compare_options(prediction *t)
{
    lloyd_facts facts = {0};
    lloyd_facts_begin(&facts, "predict");
    lloyd_status status = lloyd_options_check_predict(t->options);
    if (status == LLOYD_OK) lloyd_options_facts_predict(t->options, &facts);
    return lloyd_facts_compare(t->comm, status, &facts, &lloyd_differing_options);
}

static lloyd_status open_inputs(prediction *t, lloyd_facts *facts)
{
    const lloyd_predict_options *o = t->options;
    LLOYD_TRY(lloyd_model_read(o->model, &t->model));
    lloyd_model_facts(o->model, &t->model, facts);
    LLOYD_TRY(lloyd_rows_open(o->inputs, o->input_count, &t->rows));
    lloyd_source_facts(t->rows, facts);
    return LLOYD_OK;
}

static lloyd_status check_all(const prediction *t)
{
    const lloyd_predict_options *o = t->options;
    if (t->model.d != lloyd_rows_dim(t->rows)) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s holds centroids of %lld columns, but the dataset has %lld; use the model of such data",
            o->model, (long long)t->model.d, (long long)lloyd_rows_dim(t->rows));
    }
    LLOYD_TRY(lloyd_output_check(o->output, t->rows));
    return lloyd_output_check_apart(o->output, o->model);
}

/* What is opened is the same on all ranks. */
static lloyd_status open_all(prediction *t)
{
    lloyd_facts facts = {0};
    lloyd_status status = open_inputs(t, &facts);
    LLOYD_TRY(lloyd_facts_compare(t->comm, status, &facts, &lloyd_differing_inputs));
    return t->comm->agree(t->comm, check_all(t));
}

static lloyd_status prepare(prediction *t)
{
    lloyd_problem *p = &t->problem;
    int64_t chunk = t->plan.layout.chunk_rows, d = t->plan.d;
    *p = (lloyd_problem){.comm = t->comm, .n = t->plan.n, .d = d, .k = t->plan.k};
    LLOYD_TRY(lloyd_shard_open(t->rows, t->plan.first, t->plan.layout, 0, &p->shard));
    LLOYD_TRY(lloyd_backend_kernels(&t->backend, &t->plan.kernels, &p->kernels));
    LLOYD_TRY(lloyd_shard_attach(p->shard, p->kernels));
    LLOYD_TRY(p->kernels->set_centroids(p->kernels, t->plan.k, t->model.centroids));
    LLOYD_TRY(lloyd_alloc(&p->min, d, sizeof *p->min, "column minima"));
    LLOYD_TRY(lloyd_alloc(&p->max, d, sizeof *p->max, "column maxima"));
    LLOYD_TRY(lloyd_alloc(&t->label, chunk, sizeof *t->label, "labels to write"));
    if (!t->options->distances) return LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(&t->distance, chunk, sizeof *t->distance, "distances"));
    return lloyd_alloc(&t->rounded, chunk, sizeof *t->rounded, "distances to write");
}

/* --- one pass --- */

/* What fetch() has left. */
static lloyd_status write_fetched(prediction *t)
{
    int64_t count = t->count;
    t->count = 0;
    LLOYD_TRY(lloyd_array_write(t->labels, t->first, count, t->label));
    return t->distances ? lloyd_array_write(t->distances, t->first, count, t->rounded) : LLOYD_OK;
}

static lloyd_status fetch(prediction *t, int64_t chunk, int slot)
{
    const lloyd_shard *shard = t->problem.shard;
    lloyd_kernels *kernels = t->problem.kernels;
    int64_t begin = chunk * shard->chunk_rows;
    t->first = shard->first + begin;
    t->count = lloyd_layout_chunk_rows(&shard->layout, chunk);
    LLOYD_TRY(kernels->labels(kernels, begin, t->count, t->label));
    if (!t->distances) return LLOYD_OK;
    LLOYD_TRY(kernels->distances(kernels, slot, t->distance));
    for (int64_t i = 0; i < t->count; i++) t->rounded[i] = (float)t->distance[i];
    return LLOYD_OK;
}

/* While a GPU labels the chunk, the results of the one before are written. */
static lloyd_status label_chunk(prediction *t, int64_t chunk, lloyd_range *range)
{
    lloyd_kernels *kernels = t->problem.kernels;
    int slot;
    LLOYD_TRY(lloyd_shard_load(t->problem.shard, chunk, &slot));
    LLOYD_TRY(kernels->measure(kernels, slot, range));
    if (range->bad_row >= 0) return LLOYD_OK;
    LLOYD_TRY(kernels->assign(kernels, slot));
    LLOYD_TRY(write_fetched(t));
    return fetch(t, chunk, slot);
}

static lloyd_status label_rows(prediction *t, lloyd_range *range)
{
    const lloyd_predict_options *o = t->options;
    LLOYD_TRY(lloyd_array_open(o->output, "/labels", &t->labels));
    if (o->distances) LLOYD_TRY(lloyd_array_open(o->output, "/distances", &t->distances));
    for (int64_t chunk = 0; chunk < t->problem.shard->chunks && range->bad_row < 0; chunk++) {
        LLOYD_TRY(label_chunk(t, chunk, range));
    }
    LLOYD_TRY(write_fetched(t));
    lloyd_status status = lloyd_array_close(t->labels), distances = lloyd_array_close(t->distances);
    t->labels = NULL;
    t->distances = NULL;
    return status != LLOYD_OK ? status : distances;
}

static lloyd_status create(prediction *t)
{
    const lloyd_predict_options *o = t->options;
    if (t->comm->rank != 0) return LLOYD_OK;
    LLOYD_TRY(lloyd_array_create(o->output, 1, "/labels", LLOYD_ARRAY_I32, t->plan.n, 0));
    if (!o->distances) return LLOYD_OK;
    return lloyd_array_create(o->output, 0, "/distances", LLOYD_ARRAY_F32, t->plan.n, 0);
}

static lloyd_status write_all(prediction *t)
{
    lloyd_range range = {.min = t->problem.min, .max = t->problem.max, .bad_row = -1};
    LLOYD_TRY(t->comm->agree(t->comm, create(t)));
    LLOYD_TRY(t->comm->agree(t->comm, label_rows(t, &range)));
    LLOYD_TRY(lloyd_problem_report_defect(&t->problem, &range));
    return t->comm->agree(t->comm,
                          t->comm->rank == 0 ? lloyd_output_commit(t->options->output) : LLOYD_OK);
}

static lloyd_status run(prediction *t)
{
    LLOYD_TRY(compare_options(t));
    t->comm->timeout = t->options->timeout;
    LLOYD_TRY(open_all(t));
    LLOYD_TRY(lloyd_backend_choose(t->comm, t->options->backend, NULL, &t->backend));
    lloyd_status planned = lloyd_plan_predict(t->comm, &t->backend, t->rows, t->model.k,
                                              t->model.cosine, t->options->chunk_rows, &t->plan);
    LLOYD_TRY(t->comm->agree(t->comm, planned));
    LLOYD_TRY(t->comm->agree(t->comm, prepare(t)));
    lloyd_status status = write_all(t);
    if (status != LLOYD_OK && t->comm->rank == 0) lloyd_output_discard(t->options->output);
    return status;
}

lloyd_status lloyd_predict(lloyd_comm *comm, const lloyd_predict_options *options,
                           lloyd_predict_result *result)
{
    prediction t = {.comm = comm, .options = options};
    double start = lloyd_seconds();
    lloyd_status status = run(&t);
    if (status == LLOYD_OK && result) {
        *result = (lloyd_predict_result){
            .n = t.plan.n,
            .d = t.plan.d,
            .k = t.plan.k,
            .seconds = lloyd_seconds() - start,
            .files = lloyd_rows_files(t.rows),
            .type = lloyd_type_name(t.plan.kernels.type),
        };
    }
    (void)lloyd_array_close(t.labels);
    (void)lloyd_array_close(t.distances);
    lloyd_shard_close(t.problem.shard);
    if (t.problem.kernels) t.problem.kernels->destroy(t.problem.kernels);
    lloyd_problem_clear(&t.problem);
    lloyd_free(t.label);
    lloyd_free(t.distance);
    lloyd_free(t.rounded);
    lloyd_model_free(&t.model);
    lloyd_rows_close(t.rows);
    lloyd_stop_clear();
    return status;
}
