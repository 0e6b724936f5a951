/* lloyd_fit(): a job from files to a model file. What it shares with lloyd_fit_rows() is in job.c;
 * here are the files: opening, checking, the checkpoint, writing.
 */
#include "lloyd/lloyd.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/stop.h"
#include "comm/comm.h"
#include "io/guard.h"
#include "io/space.h"
#include "io/writers/model.h"
#include "io/writers/output.h"
#include "job/job.h"
#include "job/options.h"
#include "job/outputs.h"
#include "job/plan_print.h"
#include "job/results/labelling.h"
#include "job/results/row_results.h"
#include "rows/bad_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- open and check --- */

static lloyd_status open_rows(lloyd_job *j, lloyd_agreement *agreement)
{
    const lloyd_fit_options *o = j->options;
    lloyd_rows *rows = NULL;
    lloyd_input_form form;
    LLOYD_TRY(lloyd_input_form_make(o->dataset, o->raw, o->dim, &form));
    LLOYD_TRY(lloyd_rows_open_form(o->inputs, o->input_count, &form, &rows));
    j->source.rows = rows;
    lloyd_row_source_agreement(rows, agreement);
    return LLOYD_OK;
}

/* A plan is made without reading rows. */
static lloyd_status skip_bad_rows(lloyd_job *j)
{
    const lloyd_fit_options *o = j->options;
    const int cosine = strcmp(o->metric, "cosine") == 0;
    if (!o->skip_bad_rows || o->dry_run) return LLOYD_OK;
    if (lloyd_subset_is_wanted(o))
        return lloyd_subset_skip_bad(j->comm, j->source.rows, cosine, &j->subset);
    return lloyd_bad_rows_skip(j->comm, j->source.rows, cosine);
}

/* Which rows are fitted. */
static lloyd_status choose_rows(lloyd_job *j)
{
    if (lloyd_subset_is_wanted(j->options))
        LLOYD_TRY(lloyd_subset_begin(j->comm, j->options, j->source.rows, &j->subset));
    LLOYD_TRY(skip_bad_rows(j));
    lloyd_subset_end(&j->subset);
    return LLOYD_OK;
}

static lloyd_status open_more(lloyd_job *j, lloyd_agreement *agreement)
{
    const lloyd_fit_options *o = j->options;
    LLOYD_TRY(lloyd_row_source_files(j->comm, j->source.rows, o->weights != NULL, &j->source));
    j->source.skipped += j->subset.skipped;
    LLOYD_TRY(lloyd_job_check(j));
    if (o->weights) LLOYD_TRY(lloyd_rows_open_weights(j->source.rows, o->weights));
    if (!lloyd_options_init_is_model(o)) return LLOYD_OK;
    LLOYD_TRY(lloyd_job_read_given(j));
    lloyd_row_source_agreement_of_model(o->init, &j->given, agreement);
    return LLOYD_OK;
}

/* What is opened is the same on all ranks. */
static lloyd_status open_and_compare(lloyd_job *j)
{
    lloyd_agreement agreement = {0};
    lloyd_status status = open_rows(j, &agreement);
    LLOYD_TRY(lloyd_agreement_compare(j->comm, status, &agreement, &lloyd_differing_inputs));
    LLOYD_TRY(choose_rows(j));
    status = open_more(j, &agreement);
    return lloyd_agreement_compare(j->comm, status, &agreement, &lloyd_differing_inputs);
}

static lloyd_status compare_options(lloyd_job *j)
{
    lloyd_agreement agreement = {0};
    lloyd_agreement_begin(&agreement, "fit");
    lloyd_status status = lloyd_options_check_fit(j->options);
    if (status == LLOYD_OK)
        status = lloyd_options_agreement(LLOYD_COMMAND_FIT, j->options, &agreement);
    return lloyd_agreement_compare(j->comm, status, &agreement, &lloyd_differing_options);
}

static lloyd_status open_checkpoint(lloyd_job *j)
{
    uint64_t init = 0;
    if (j->given.centroids) {
        init = lloyd_hash((uint64_t)j->given.cosine, j->given.centroids,
                          (size_t)(j->given.k * j->given.d) * sizeof *j->given.centroids);
    }
    return lloyd_checkpoint_open(j->comm, j->options, init, j->source.rows, &j->best,
                                 &j->checkpoint);
}

static lloyd_status gather_paths(const lloyd_job *j, const char *output, lloyd_guard *guard)
{
    const lloyd_fit_options *o = j->options;
    LLOYD_TRY(lloyd_guard_read_rows(guard, j->source.rows));
    if (lloyd_options_init_is_model(o)) LLOYD_TRY(lloyd_guard_read_model(guard, o->init));
    if (o->rows) LLOYD_TRY(lloyd_subset_guard(o, guard));
    LLOYD_TRY(lloyd_guard_write(guard, "--output", output));
    LLOYD_TRY(lloyd_guard_write(guard, "--checkpoint", o->checkpoint));
    return lloyd_guard_write(guard, "--log", o->log);
}

/* Rank 0: whether `output` and all other files that are written are apart from each other, and from
 * all that is read. */
static lloyd_status check_paths(const lloyd_job *j, const char *output)
{
    lloyd_guard guard = {.items = NULL};
    if (j->comm->rank != 0) return LLOYD_OK;
    lloyd_status status = gather_paths(j, output, &guard);
    if (status == LLOYD_OK) status = lloyd_guard_check(&guard);
    lloyd_guard_free(&guard);
    return status;
}

static lloyd_row_outputs wanted_of_rows(const lloyd_fit_options *o)
{
    return (lloyd_row_outputs){.labels = !o->no_labels,
                               .distances = o->distances,
                               .members = o->members,
                               .rows = lloyd_subset_is_wanted(o) && !lloyd_subset_labels_all(o) &&
                                       (!o->no_labels || o->distances)};
}

/* Room for what is written in the end, as far as its size is known. */
static lloyd_status check_space(const lloyd_job *j)
{
    const lloyd_fit_options *o = j->options;
    const lloyd_model model = {.n = j->plan.n, .d = j->plan.d, .k = j->plan.k};
    const lloyd_row_outputs rows = wanted_of_rows(o);
    const lloyd_row_shape all = {.n = lloyd_rows_stored(j->source.rows), .k = j->plan.k};
    int64_t bytes = lloyd_model_bytes(&model, &rows, lloyd_subset_labels_all(o) ? &all : NULL);
    if (j->comm->rank != 0) return lloyd_space_check_limit(o->output, bytes);
    const lloyd_need needs[] = {{o->output, bytes},
                                {o->checkpoint, lloyd_checkpoint_file_bytes(o, j->plan.d)}};
    return lloyd_space_check(needs, 2);
}

static lloyd_status open_output(lloyd_job *j)
{
    if (j->comm->rank == 0)
        LLOYD_TRY(lloyd_output_open(j->options->output, j->options->force, &j->output));
    LLOYD_TRY(check_space(j));
    if (j->comm->rank != 0) return LLOYD_OK;
    LLOYD_TRY(lloyd_output_tidy(&j->output));
    return lloyd_progress_open(j->options->progress, j->options->log,
                               lloyd_checkpoint_resumes(j->checkpoint), &j->progress);
}

/* --- write --- */

/* What rank 0 writes; the centroids also where a rank labels rows with them. */
static lloyd_status take_model(lloyd_job *j, lloyd_model *model)
{
    lloyd_problem *p = &j->problem;
    char *options = NULL;
    if (j->comm->rank != 0 && !lloyd_subset_labels_all(j->options)) return LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(&model->centroids, p->k * p->d, sizeof *model->centroids, "centroids"));
    LLOYD_TRY(p->kernels->get_centroids(p->kernels, model->centroids));
    LLOYD_TRY(lloyd_options_json(j->options, &options));
    model->options = options; /* freed with the model */
    return LLOYD_OK;
}

/* The datasets of rows are those of `rows` as they are now: those that were fitted, or all. */
static lloyd_status write_model(lloyd_job *j, const lloyd_model *model)
{
    const lloyd_row_outputs rows = wanted_of_rows(j->options);
    const lloyd_row_shape shape = {.n = lloyd_rows_count(j->source.rows),
                                   .skipped = lloyd_rows_skipped(j->source.rows),
                                   .k = model->k,
                                   .cosine = model->cosine};
    return j->comm->rank == 0 ? lloyd_model_write(&j->output, model, &rows, &shape) : LLOYD_OK;
}

static lloyd_status write_without_labels(const lloyd_job *j, const char *path,
                                         const lloyd_model *model)
{
    lloyd_output output;
    LLOYD_TRY(check_paths(j, path));
    LLOYD_TRY(lloyd_output_open(path, 0, &output));
    lloyd_status status = lloyd_model_write(&output, model, NULL, NULL);
    if (status == LLOYD_OK) status = lloyd_output_commit(&output);
    if (status != LLOYD_OK) lloyd_output_discard(&output);
    lloyd_output_close(&output);
    return status;
}

/* Rank 0, when the results could not be written: the model without what it says of the rows, which is most of
 * it, may find room, and gives that again. It has a name of its own, since a model that is there already
 * stays as it is after a failure. 1 if it is written. */
static int rescue_model(lloyd_job *j, const lloyd_model *model)
{
    char *path = NULL;
    const lloyd_fit_options *o = j->options;
    const int of_rows = !o->no_labels || o->distances || o->members;
    if (!of_rows || !model->centroids || !model->options || j->comm->broken) return 0;
    if (asprintf(&path, "%s.no-labels", o->output) < 0) return 0;
    int written = write_without_labels(j, path, model) == LLOYD_OK;
    if (written)
        lloyd_progress_warn(j->progress,
                            "the model without its labels is in %s; lloyd predict --model finds "
                            "them again, where there is room",
                            path);
    free(path);
    return written;
}

/* The failure's message stays what it is. */
static void rescue(lloyd_job *j, const lloyd_model *model, lloyd_status status)
{
    char message[LLOYD_MESSAGE_BYTES];
    snprintf(message, sizeof message, "%s", lloyd_message());
    if (!rescue_model(j, model) && lloyd_checkpoint_has_all(j->checkpoint))
        lloyd_progress_warn(
            j->progress,
            "nothing is lost: when the output can be written, the same command with "
            "--resume makes the model from %s",
            j->options->checkpoint);
    (void)lloyd_fail(status, "%s", message);
}

/* The rows that were fitted. */
static lloyd_status write_fitted(lloyd_job *j, const lloyd_model *model, lloyd_row_results *rows)
{
    LLOYD_TRY(j->comm->agree(j->comm, write_model(j, model)));
    return lloyd_row_results_write(rows, &j->output, model->counts);
}

static lloyd_status label_and_write(lloyd_job *j, const lloyd_model *model,
                                    lloyd_labelling *labelling)
{
    LLOYD_TRY(lloyd_labelling_begin(labelling));
    LLOYD_TRY(j->comm->agree(j->comm, write_model(j, model)));
    return lloyd_labelling_write(labelling, &j->output);
}

/* All rows of the inputs, after a fit of some: the memory of the fit is free then. */
static lloyd_status write_labelled(lloyd_job *j, const lloyd_model *model)
{
    const lloyd_fit_options *o = j->options;
    const lloyd_predict_options options = lloyd_subset_labelling(o);
    lloyd_labelling labelling = {.comm = j->comm,
                                 .backend = &j->backend,
                                 .rows = j->source.rows,
                                 .centroids = model->centroids,
                                 .k = model->k,
                                 .cosine = model->cosine,
                                 .options = &options,
                                 .wanted = wanted_of_rows(o),
                                 .limit = {o->max_host_memory, o->max_device_memory}};
    double start = lloyd_seconds();
    lloyd_job_release(j);
    lloyd_rows_keep(j->source.rows, NULL, 0, 0, 0);
    if (o->skip_bad_rows) LLOYD_TRY(lloyd_bad_rows_skip(j->comm, j->source.rows, model->cosine));
    lloyd_status status = label_and_write(j, model, &labelling);
    lloyd_labelling_end(&labelling);
    if (status == LLOYD_OK)
        lloyd_progress_phase(j->progress, "label all rows", lloyd_seconds() - start);
    return status;
}

static lloyd_status write_all(lloyd_job *j, lloyd_model *model, lloyd_row_results *rows)
{
    const int all = lloyd_subset_labels_all(j->options);
    lloyd_status status = j->comm->agree(j->comm, take_model(j, model));
    if (status == LLOYD_OK) status = all ? write_labelled(j, model) : write_fitted(j, model, rows);
    if (status == LLOYD_OK) {
        status = j->comm->agree(j->comm,
                                j->comm->rank == 0 ? lloyd_output_commit(&j->output) : LLOYD_OK);
    }
    if (status == LLOYD_OK || j->comm->rank != 0) return status;
    lloyd_output_discard(&j->output);
    if (status != LLOYD_STOPPED) rescue(j, model, status); /* what is stopped is resumed */
    return status;
}

/* The distances of the rows, where they are written or sort what is. */
static lloyd_status measure_rows(lloyd_job *j, lloyd_row_results *rows)
{
    double start = lloyd_seconds();
    if (!lloyd_row_results_need_distances(&rows->wanted) || lloyd_subset_labels_all(j->options))
        return LLOYD_OK;
    if (j->balance.cap > 0) { /* they are known */
        rows->distances = j->balance.distances;
        j->balance.distances = NULL;
        return LLOYD_OK;
    }
    LLOYD_TRY(lloyd_row_results_measure(rows));
    lloyd_progress_phase(j->progress, "distances", lloyd_seconds() - start);
    return LLOYD_OK;
}

static lloyd_status write_results(lloyd_job *j, int64_t *counts, lloyd_row_results *rows)
{
    double start = lloyd_seconds();
    char **inputs = NULL, subset[1024];
    int files = lloyd_rows_files(j->source.rows);
    LLOYD_TRY(lloyd_comm_alloc(j->comm, &inputs, files, sizeof *inputs, "the list of input files"));
    for (int i = 0; i < files; i++) inputs[i] = (char *)lloyd_rows_file(j->source.rows, i);
    lloyd_model model = {
        .n = j->plan.n,
        .d = j->plan.d,
        .k = j->plan.k,
        .skipped = j->source.skipped,
        .stored = lloyd_subset_is_wanted(j->options) ? lloyd_rows_stored(j->source.rows) : 0,
        .subset = lloyd_subset_is_wanted(j->options)
                      ? (char *)lloyd_subset_text(j->options, subset, sizeof subset)
                      : NULL,
        .counts = counts,
        .iterations = j->best.history.iterations,
        .inertia = j->best.history.inertia,
        .moved = j->best.history.moved,
        .seconds = j->best.history.seconds,
        .final_inertia = lloyd_job_inertia(j),
        .max_size = j->options->max_size,
        .largest_allowed = j->balance.cap,
        .moved_rows = j->balance.moved,
        .inertia_before = j->balance.before,
        .converged = j->best.history.converged,
        .distinct = lloyd_job_distinct(j, counts),
        .seed = j->options->seed,
        .ranks = j->comm->size,
        .cosine = j->plan.kernels.cosine,
        .version = (char *)LLOYD_VERSION,
        .command = (char *)(j->options->command ? j->options->command : ""),
        .backend = (char *)j->problem.kernels->device->name,
        .inputs = inputs,
        .input_count = files,
    };
    lloyd_status status = write_all(j, &model, rows);
    lloyd_free(inputs);
    lloyd_free(model.centroids);
    free(model.options);
    LLOYD_TRY(status);
    if (rows->members_seconds > 0)
        lloyd_progress_phase(j->progress, "members", rows->members_seconds);
    lloyd_progress_phase(j->progress, "write", lloyd_seconds() - start - rows->members_seconds);
    return LLOYD_OK;
}

static lloyd_status write_and_tell(lloyd_job *j, int64_t *counts, lloyd_fit_result *result)
{
    lloyd_row_results rows = {.problem = &j->problem,
                              .rows = j->source.rows,
                              .wanted = wanted_of_rows(j->options),
                              .labels = j->balance.labels,
                              .rounds = j->plan.members.rounds};
    LLOYD_TRY(lloyd_job_count(j, counts));
    lloyd_checkpoint_last(j->checkpoint, j->progress);
    lloyd_status status = measure_rows(j, &rows);
    if (status == LLOYD_OK) status = write_results(j, counts, &rows);
    lloyd_free(rows.distances);
    return status == LLOYD_OK ? lloyd_job_tell(j, counts, result) : status;
}

/* --- the job --- */

/* Where there is no memory to estimate the time, the plan is still of use. */
static lloyd_status show_plan(lloyd_job *j)
{
    lloyd_estimate estimate;
    lloyd_status status = lloyd_estimate_fit(j->comm, &j->backend, &j->plan, j->options,
                                             j->source.weighted, &estimate);
    if (status == LLOYD_STOPPED) return status;
    return lloyd_plan_print(j->comm, &j->backend, j->source.rows, j->options, &j->plan,
                            status == LLOYD_OK ? &estimate : NULL);
}

/* What rank 0 does before the process ends in the midst of a collective call. */
static void rescue_checkpoint(void *job)
{
    const lloyd_job *j = job;
    lloyd_checkpoint_rescue(j->checkpoint, j->progress);
}

static lloyd_status run(lloyd_job *j, lloyd_fit_result *result)
{
    LLOYD_TRY(compare_options(j));
    j->comm->timeout = j->options->timeout;
    LLOYD_TRY(open_and_compare(j));
    LLOYD_TRY(lloyd_job_plan(j));
    if (j->options->dry_run) return show_plan(j);

    LLOYD_TRY(j->comm->agree(j->comm, check_paths(j, j->options->output)));
    LLOYD_TRY(open_checkpoint(j));
    LLOYD_TRY(j->comm->agree(j->comm, open_output(j)));
    LLOYD_TRY(lloyd_outputs_share(j->comm, j->options->output, &j->output));
    j->comm->rescue = rescue_checkpoint;
    j->comm->rescued = j;
    LLOYD_TRY(lloyd_job_cluster(j));

    int64_t *counts = NULL;
    LLOYD_TRY(lloyd_comm_alloc(j->comm, &counts, j->plan.k, sizeof *counts, "counts"));
    lloyd_status status = write_and_tell(j, counts, result);
    lloyd_free(counts);
    return status;
}

lloyd_status lloyd_fit(lloyd_comm *comm, const lloyd_fit_options *options, lloyd_fit_result *result)
{
    lloyd_job job = lloyd_job_begin(comm, options);
    lloyd_fit_result unused;
    lloyd_status status = lloyd_job_end(&job, run(&job, result ? result : &unused));
    lloyd_stop_clear();
    lloyd_rows_close(job.source.rows);
    lloyd_output_close(&job.output);
    return status;
}
