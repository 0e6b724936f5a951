/* lloyd_predict(): the nearest centroid of every row of a dataset, by the same kernels and under
 * the same contract as a fit. The pass over the rows is in results/labelling.c; here are the files.
 */
#include "lloyd/lloyd.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/stop.h"
#include "base/text.h"
#include "comm/comm.h"
#include "io/guard.h"
#include "io/space.h"
#include "io/writers/model.h"
#include "io/writers/origin.h"
#include "io/writers/output.h"
#include "io/writers/row_outputs.h"
#include "job/backend.h"
#include "job/options.h"
#include "job/outputs.h"
#include "job/results/labelling.h"
#include "job/row_source.h"
#include "rows/bad_rows.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct prediction {
    lloyd_comm *comm;
    const lloyd_predict_options *options;
    lloyd_model model;
    lloyd_rows *rows;
    lloyd_backend backend;
    lloyd_output output;
    lloyd_labelling labelling;
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

/* --- the plan --- */

static void print_most(const char *what, int64_t bytes)
{
    char text[32];
    printf("  %-16s %s per rank at most\n", what, lloyd_text_bytes(bytes, text, sizeof text));
}

/* Of rank 0; most: of all ranks, bytes of memory and of GPU memory. */
static void print(const prediction *t, const lloyd_plan *plan, const double most[2])
{
    char a[32], b[32], c[32];
    const int files = lloyd_rows_files(t->rows);
    printf("plan (no row is read, and nothing is written)\n");
    printf("  dataset          %s rows x %s columns of %s in %d file%s, %s\n",
           lloyd_text_count(plan->n, a, sizeof a), lloyd_text_count(plan->d, b, sizeof b),
           lloyd_type_name(plan->kernels.type), files, files == 1 ? "" : "s",
           lloyd_text_bytes(plan->n * lloyd_plan_row_bytes(plan), c, sizeof c));
    printf("  clusters         %s of %s, %s\n", lloyd_text_count(plan->k, a, sizeof a),
           t->options->model, t->model.cosine ? "cosine" : "l2");
    printf("  ranks            %d, %d thread%s each\n", t->comm->size, plan->kernels.threads,
           plan->kernels.threads == 1 ? "" : "s");
    printf("  backend          %s\n", lloyd_backend_name(&t->backend));
    printf("  rows             are read once, in chunks of at most %s\n",
           lloyd_text_count(plan->kernels.chunk_rows, a, sizeof a));
    if (t->options->members)
        printf("  members          sorted by all ranks together in %d round%s\n",
               plan->members.rounds, plan->members.rounds == 1 ? "" : "s");
    print_most("memory", (int64_t)most[0]);
    if (t->backend.cuda) print_most("GPU memory", (int64_t)most[1]);
    printf("  output           %s\n", lloyd_text_bytes(output_bytes(t), a, sizeof a));
}

static lloyd_status print_plan(const prediction *t)
{
    lloyd_row_source source;
    lloyd_plan plan = {.total = 0};
    lloyd_status status = lloyd_row_source_files(t->comm, t->rows, 0, &source);
    if (status == LLOYD_OK)
        status = lloyd_plan_predict(t->comm, &t->backend, &source, t->model.k, t->model.cosine,
                                    t->options, (lloyd_bytes){0, 0}, &plan);
    LLOYD_TRY(t->comm->agree(t->comm, status));
    double most[2] = {(double)plan.total, (double)plan.gpu_total};
    LLOYD_TRY(t->comm->max(t->comm, most, 2));
    if (t->comm->rank == 0) print(t, &plan, most);
    return LLOYD_OK;
}

/* --- the output --- */

/* The labels say what made them. */
static lloyd_status describe(prediction *t)
{
    const lloyd_predict_options *o = t->options;
    int files = lloyd_rows_files(t->rows);
    lloyd_model about = {
        .n = t->labelling.plan.n,
        .skipped = lloyd_rows_skipped(t->rows),
        .d = t->labelling.plan.d,
        .k = t->labelling.plan.k,
        .ranks = t->comm->size,
        .cosine = t->model.cosine,
        .version = (char *)LLOYD_VERSION,
        .backend = (char *)t->labelling.problem.kernels->device->name,
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
    LLOYD_TRY(t->comm->agree(t->comm, create(t)));
    LLOYD_TRY(lloyd_labelling_write(&t->labelling, &t->output));
    return t->comm->agree(t->comm, t->comm->rank == 0 ? lloyd_output_commit(&t->output) : LLOYD_OK);
}

static lloyd_status begin(prediction *t)
{
    t->labelling = (lloyd_labelling){.comm = t->comm,
                                     .backend = &t->backend,
                                     .rows = t->rows,
                                     .centroids = t->model.centroids,
                                     .k = t->model.k,
                                     .cosine = t->model.cosine,
                                     .options = t->options,
                                     .wanted = wanted_of_rows(t->options)};
    return lloyd_labelling_begin(&t->labelling);
}

static lloyd_status run(prediction *t)
{
    LLOYD_TRY(compare_options(t));
    t->comm->timeout = t->options->timeout;
    LLOYD_TRY(open_all(t));
    if (t->options->dry_run) {
        LLOYD_TRY(lloyd_backend_choose(t->comm, t->options->backend, NULL, &t->backend));
        return print_plan(t);
    }
    LLOYD_TRY(t->comm->agree(t->comm, open_output(t)));
    LLOYD_TRY(lloyd_outputs_share(t->comm, t->options->output, &t->output));
    if (t->options->skip_bad_rows)
        LLOYD_TRY(lloyd_bad_rows_skip(t->comm, t->rows, t->model.cosine));
    LLOYD_TRY(lloyd_backend_choose(t->comm, t->options->backend, NULL, &t->backend));
    LLOYD_TRY(begin(t));
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
    if (status == LLOYD_OK && result && !options->dry_run) {
        *result = (lloyd_predict_result){
            .n = t.labelling.plan.n,
            .d = t.labelling.plan.d,
            .k = t.labelling.plan.k,
            .skipped = lloyd_rows_skipped(t.rows),
            .seconds = lloyd_seconds() - start,
            .files = lloyd_rows_files(t.rows),
            .type = lloyd_type_name(t.labelling.plan.kernels.type),
        };
    }
    lloyd_labelling_end(&t.labelling);
    lloyd_backend_leave(&t.backend);
    lloyd_model_free(&t.model);
    lloyd_rows_close(t.rows);
    lloyd_output_close(&t.output);
    lloyd_stop_clear();
    return status;
}
