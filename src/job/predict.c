/* lloyd_predict(): the nearest centroid of every row of a dataset, by the same kernels and under
 * the same contract as a fit. The rows are needed once, so they are streamed: while a chunk is
 * checked and labelled, the next ones are read.
 */
#include "lloyd/lloyd.h"

#include "algorithm/grid.h"
#include "algorithm/problem.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/stop.h"
#include "comm/comm.h"
#include "io/guard.h"
#include "io/space.h"
#include "io/writers/array.h"
#include "io/writers/model.h"
#include "io/writers/origin.h"
#include "io/writers/output.h"
#include "io/writers/row_outputs.h"
#include "job/backend.h"
#include "job/options.h"
#include "job/outputs.h"
#include "job/plan.h"
#include "job/results/members.h"
#include "job/results/second.h"
#include "job/row_source.h"
#include "rows/bad_rows.h"

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
    lloyd_output output;
    lloyd_array *labels, *distances, *second_labels, *second_distances;

    /* one chunk; of all rows of this rank, where members are wanted */
    int32_t *label;
    double *distance;
    int64_t offset; /* of the chunk in these two */
    /* one chunk */
    float *rounded;
    lloyd_second *second;
    int32_t *second_label;
    double *second_distance;
    float *second_rounded;
    float *min, *max; /* [d] of the rows so far */
    int *low;
    lloyd_range range;    /* with these three, and the first bad row */
    int64_t first, count; /* global rows whose results are here and not written yet */
} prediction;

static lloyd_status compare_options(prediction *t)
{
    lloyd_agreement agreement = {0};
    lloyd_agreement_begin(&agreement, "predict");
    lloyd_status status = lloyd_options_check_predict(t->options);
    if (status == LLOYD_OK)
        status = lloyd_options_agreement(LLOYD_COMMAND_PREDICT, t->options, &agreement);
    return lloyd_agreement_compare(t->comm, status, &agreement, &lloyd_differing_options);
}

static lloyd_status open_inputs(prediction *t, lloyd_agreement *agreement)
{
    const lloyd_predict_options *o = t->options;
    lloyd_input_form form;
    LLOYD_TRY(lloyd_input_form_make(o->dataset, o->raw, o->dim, &form));
    LLOYD_TRY(lloyd_model_read(o->model, &t->model));
    lloyd_row_source_agreement_of_model(o->model, &t->model, agreement);
    LLOYD_TRY(lloyd_rows_open_form(o->inputs, o->input_count, &form, &t->rows));
    lloyd_row_source_agreement(t->rows, agreement);
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
    return LLOYD_OK;
}

static lloyd_row_outputs wanted_of_rows(const lloyd_predict_options *o)
{
    return (lloyd_row_outputs){.labels = 1,
                               .distances = o->distances,
                               .second = o->second,
                               .members = o->members};
}

static lloyd_row_shape shape_of_rows(const prediction *t)
{
    return (lloyd_row_shape){.n = lloyd_rows_count(t->rows),
                             .skipped = lloyd_rows_skipped(t->rows),
                             .k = t->model.k,
                             .cosine = t->model.cosine};
}

static int64_t output_bytes(const prediction *t)
{
    const lloyd_row_outputs wanted = wanted_of_rows(t->options);
    const lloyd_row_shape shape = shape_of_rows(t);
    return lloyd_row_outputs_bytes(&wanted, &shape);
}

/* Rank 0: that the output replaces nothing that is read. */
static lloyd_status check_paths(const prediction *t)
{
    lloyd_guard guard = {.items = NULL};
    lloyd_status status = lloyd_guard_read_rows(&guard, t->rows);
    if (status == LLOYD_OK) status = lloyd_guard_read_model(&guard, t->options->model);
    if (status == LLOYD_OK) status = lloyd_guard_write(&guard, "--output", t->options->output);
    if (status == LLOYD_OK) status = lloyd_guard_check(&guard);
    lloyd_guard_free(&guard);
    return status;
}

static lloyd_status open_output(prediction *t)
{
    const lloyd_predict_options *o = t->options;
    if (t->comm->rank != 0) return lloyd_space_check_limit(o->output, output_bytes(t));
    LLOYD_TRY(check_paths(t));
    LLOYD_TRY(lloyd_output_open(o->output, o->force, &t->output));
    const lloyd_need need = {o->output, output_bytes(t)};
    LLOYD_TRY(lloyd_space_check(&need, 1));
    return lloyd_output_tidy(&t->output);
}

/* What is opened is the same on all ranks. */
static lloyd_status open_all(prediction *t)
{
    lloyd_agreement agreement = {0};
    lloyd_status status = open_inputs(t, &agreement);
    LLOYD_TRY(lloyd_agreement_compare(t->comm, status, &agreement, &lloyd_differing_inputs));
    return t->comm->agree(t->comm, check_all(t));
}

static lloyd_status plan(prediction *t)
{
    lloyd_row_source source;
    LLOYD_TRY(lloyd_row_source_files(t->comm, t->rows, 0, &source));
    return lloyd_plan_predict(t->comm, &t->backend, &source, t->model.k, t->model.cosine,
                              t->options, &t->plan);
}

static lloyd_status make_room(prediction *t)
{
    const lloyd_predict_options *o = t->options;
    const int64_t chunk = t->plan.layout.chunk_rows, d = t->plan.d, k = t->plan.k;
    const int64_t kept = o->members ? t->plan.count : chunk;
    LLOYD_TRY(lloyd_alloc(&t->min, d, sizeof *t->min, "column extremes"));
    LLOYD_TRY(lloyd_alloc(&t->max, d, sizeof *t->max, "column extremes"));
    LLOYD_TRY(lloyd_alloc(&t->low, d, sizeof *t->low, "column extremes"));
    LLOYD_TRY(lloyd_alloc(&t->label, kept, sizeof *t->label, "labels to write"));
    if (o->distances || o->members)
        LLOYD_TRY(lloyd_alloc(&t->distance, kept, sizeof *t->distance, "distances"));
    if (o->distances)
        LLOYD_TRY(lloyd_alloc(&t->rounded, chunk, sizeof *t->rounded, "distances to write"));
    if (!o->second) return LLOYD_OK;
    const char *what = "the second-nearest centroids";
    LLOYD_TRY(lloyd_alloc(&t->second_label, chunk, sizeof *t->second_label, what));
    LLOYD_TRY(lloyd_alloc(&t->second_distance, chunk, sizeof *t->second_distance, what));
    LLOYD_TRY(lloyd_alloc(&t->second_rounded, chunk, sizeof *t->second_rounded, what));
    return lloyd_second_open(t->model.centroids, k, d, chunk, &t->second);
}

static lloyd_status prepare(prediction *t)
{
    lloyd_problem *p = &t->problem;
    int64_t d = t->plan.d;
    *p = (lloyd_problem){.comm = t->comm, .n = t->plan.n, .d = d, .k = t->plan.k};
    LLOYD_TRY(lloyd_shard_open(t->rows, t->plan.first, t->plan.layout, 0, &p->shard));
    LLOYD_TRY(lloyd_backend_kernels(&t->backend, &t->plan.kernels, &p->kernels));
    LLOYD_TRY(lloyd_shard_attach(p->shard, p->kernels));
    LLOYD_TRY(p->kernels->set_centroids(p->kernels, t->plan.k, t->model.centroids));
    return make_room(t);
}

/* --- one pass --- */

/* Datasets of labels and distances, as fetch() has left them. */
static lloyd_status write_two(const prediction *t, lloyd_array *labels, const int32_t *label,
                              lloyd_array *distances, const float *rounded, int64_t count)
{
    const int32_t skipped = LLOYD_SKIPPED;
    const float unknown = NAN;
    LLOYD_TRY(
        lloyd_bad_rows_write(t->rows, labels, t->first, count, label, sizeof *label, &skipped));
    if (!distances) return LLOYD_OK;
    return lloyd_bad_rows_write(t->rows, distances, t->first, count, rounded, sizeof *rounded,
                                &unknown);
}

static lloyd_status write_fetched(prediction *t)
{
    int64_t count = t->count;
    t->count = 0;
    LLOYD_TRY(write_two(t, t->labels, t->label + t->offset, t->distances, t->rounded, count));
    if (!t->second) return LLOYD_OK;
    return write_two(t, t->second_labels, t->second_label, t->second_distances, t->second_rounded,
                     count);
}

static void round_all(const double *distances, int64_t count, float *rounded)
{
    for (int64_t i = 0; i < count; i++) rounded[i] = (float)distances[i];
}

static lloyd_status fetch(prediction *t, const lloyd_chunk *chunk)
{
    lloyd_kernels *kernels = t->problem.kernels;
    const int64_t count = chunk->count;
    t->first = t->problem.shard->first + chunk->first;
    t->count = count;
    t->offset = t->options->members ? chunk->first : 0;
    int32_t *label = t->label + t->offset;
    LLOYD_TRY(kernels->labels(kernels, chunk->first, count, label));
    if (t->distance) {
        LLOYD_TRY(kernels->distances(kernels, chunk->slot, t->distance + t->offset));
        if (t->distances) round_all(t->distance + t->offset, count, t->rounded);
    }
    if (!t->second) return LLOYD_OK;
    LLOYD_TRY(lloyd_second_find(t->second, kernels, chunk->slot, chunk->first, count, label,
                                t->second_label, t->second_distance));
    round_all(t->second_distance, count, t->second_rounded);
    return LLOYD_OK;
}

/* While a GPU labels the chunk, the results of the one before are written. */
static lloyd_status label_chunk(void *context, lloyd_chunk *chunk)
{
    prediction *t = context;
    lloyd_kernels *kernels = t->problem.kernels;
    LLOYD_TRY(kernels->measure(kernels, chunk->slot, &t->range));
    chunk->ends_pass = t->range.bad_row >= 0;
    if (chunk->ends_pass) return LLOYD_OK;
    LLOYD_TRY(kernels->assign(kernels, chunk->slot));
    LLOYD_TRY(write_fetched(t));
    return fetch(t, chunk);
}

static lloyd_status open_arrays(prediction *t)
{
    const lloyd_predict_options *o = t->options;
    LLOYD_TRY(lloyd_array_open(&t->output, "/labels", &t->labels));
    if (o->distances) LLOYD_TRY(lloyd_array_open(&t->output, "/distances", &t->distances));
    if (!o->second) return LLOYD_OK;
    LLOYD_TRY(lloyd_array_open(&t->output, "/second/labels", &t->second_labels));
    return lloyd_array_open(&t->output, "/second/distances", &t->second_distances);
}

/* The first failure of all that are open. */
static lloyd_status close_arrays(prediction *t)
{
    lloyd_array **all[] = {&t->labels, &t->distances, &t->second_labels, &t->second_distances};
    lloyd_status status = LLOYD_OK;
    for (int i = 0; i < 4; i++) {
        lloyd_status closed = lloyd_array_close(*all[i]);
        if (status == LLOYD_OK) status = closed;
        *all[i] = NULL;
    }
    return status;
}

static lloyd_status label_rows(prediction *t)
{
    LLOYD_TRY(open_arrays(t));
    LLOYD_TRY(lloyd_shard_each(t->problem.shard, label_chunk, t));
    LLOYD_TRY(write_fetched(t));
    return close_arrays(t);
}

/* --- members --- */

static lloyd_status count_rows(prediction *t, int64_t *counts)
{
    for (int64_t i = 0; i < t->plan.count; i++) counts[t->label[i]]++;
    return lloyd_comm_sum_host(t->comm, counts, t->plan.k);
}

static lloyd_status write_members(prediction *t)
{
    const lloyd_member_rows rows = {.first = t->plan.first,
                                    .count = t->plan.count,
                                    .distances = t->distance,
                                    .labels = t->label,
                                    .files = t->rows,
                                    .threads = t->plan.kernels.threads};
    int64_t *counts = NULL;
    if (!t->options->members) return LLOYD_OK;
    LLOYD_TRY(lloyd_comm_alloc(t->comm, &counts, t->plan.k, sizeof *counts, "counts"));
    lloyd_status status = count_rows(t, counts);
    if (status == LLOYD_OK)
        status = lloyd_members_write(t->comm, &t->output, &rows, counts, t->plan.k,
                                     t->plan.members.rounds);
    lloyd_free(counts);
    return status;
}

/* --- the output --- */

/* The labels say what made them. */
static lloyd_status describe(prediction *t)
{
    const lloyd_predict_options *o = t->options;
    int files = lloyd_rows_files(t->rows);
    lloyd_model about = {
        .n = t->plan.n,
        .skipped = lloyd_rows_skipped(t->rows),
        .d = t->plan.d,
        .k = t->plan.k,
        .ranks = t->comm->size,
        .cosine = t->model.cosine,
        .version = (char *)LLOYD_VERSION,
        .backend = (char *)t->problem.kernels->device->name,
        .input_count = files,
    };
    LLOYD_TRY(lloyd_alloc(&about.inputs, files, sizeof *about.inputs, "the list of input files"));
    for (int i = 0; i < files; i++) about.inputs[i] = (char *)lloyd_rows_file(t->rows, i);
    lloyd_status status = lloyd_labels_describe(&t->output, &about, o->model);
    lloyd_free(about.inputs);
    return status;
}

static lloyd_status create(prediction *t)
{
    const lloyd_row_outputs wanted = wanted_of_rows(t->options);
    const lloyd_row_shape shape = shape_of_rows(t);
    if (t->comm->rank != 0) return LLOYD_OK;
    LLOYD_TRY(lloyd_output_create(&t->output, LLOYD_ORIGIN_LABELS, output_bytes(t)));
    LLOYD_TRY(lloyd_row_outputs_create(&t->output, &wanted, &shape));
    return describe(t);
}

static lloyd_status write_all(prediction *t)
{
    t->range = (lloyd_range){.min = t->min, .max = t->max, .low = t->low, .bad_row = -1};
    LLOYD_TRY(t->comm->agree(t->comm, create(t)));
    LLOYD_TRY(t->comm->agree(t->comm, label_rows(t)));
    LLOYD_TRY(lloyd_problem_report_defect(&t->problem, &t->range));
    LLOYD_TRY(write_members(t));
    return t->comm->agree(t->comm, t->comm->rank == 0 ? lloyd_output_commit(&t->output) : LLOYD_OK);
}

static lloyd_status run(prediction *t)
{
    LLOYD_TRY(compare_options(t));
    t->comm->timeout = t->options->timeout;
    LLOYD_TRY(open_all(t));
    LLOYD_TRY(t->comm->agree(t->comm, open_output(t)));
    LLOYD_TRY(lloyd_outputs_share(t->comm, t->options->output, &t->output));
    if (t->options->skip_bad_rows)
        LLOYD_TRY(lloyd_bad_rows_skip(t->comm, t->rows, t->model.cosine));
    LLOYD_TRY(lloyd_backend_choose(t->comm, t->options->backend, NULL, &t->backend));
    LLOYD_TRY(t->comm->agree(t->comm, plan(t)));
    LLOYD_TRY(t->comm->agree(t->comm, prepare(t)));
    lloyd_status status = write_all(t);
    if (status != LLOYD_OK && t->comm->rank == 0) lloyd_output_discard(&t->output);
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
            .skipped = lloyd_rows_skipped(t.rows),
            .seconds = lloyd_seconds() - start,
            .files = lloyd_rows_files(t.rows),
            .type = lloyd_type_name(t.plan.kernels.type),
        };
    }
    (void)close_arrays(&t);
    lloyd_shard_close(t.problem.shard);
    if (t.problem.kernels) t.problem.kernels->destroy(t.problem.kernels);
    lloyd_problem_clear(&t.problem);
    lloyd_free(t.min);
    lloyd_free(t.max);
    lloyd_free(t.low);
    lloyd_free(t.label);
    lloyd_free(t.distance);
    lloyd_free(t.rounded);
    lloyd_second_close(t.second);
    lloyd_free(t.second_label);
    lloyd_free(t.second_distance);
    lloyd_free(t.second_rounded);
    lloyd_model_free(&t.model);
    lloyd_rows_close(t.rows);
    lloyd_output_close(&t.output);
    lloyd_stop_clear();
    return status;
}
