/* lloyd_fit(): a job from files to a model file. What it shares with lloyd_fit_rows() is in job.c;
 * here are the files: opening, checking, the checkpoint, writing.
 */
#include "lloyd.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "comm/comm.h"
#include "io/output.h"
#include "job.h"
#include "options.h"

#include <stdlib.h>

/* --- open and check --- */

static lloyd_status open_input(lloyd_job *j, lloyd_facts *facts)
{
    const lloyd_fit_options *o = j->options;
    lloyd_rows *rows = NULL;
    LLOYD_TRY(lloyd_rows_open(o->inputs, o->input_count, &rows));
    j->source.rows = rows;
    lloyd_source_facts(rows, facts);
    return lloyd_source_files(j->comm, rows, o->weights != NULL, &j->source);
}

static lloyd_status open_more(lloyd_job *j, lloyd_facts *facts)
{
    const lloyd_fit_options *o = j->options;
    LLOYD_TRY(lloyd_job_check(j));
    if (o->weights) LLOYD_TRY(lloyd_rows_open_weights(j->source.rows, o->weights));
    if (!lloyd_options_init_is_model(o)) return LLOYD_OK;
    LLOYD_TRY(lloyd_job_read_given(j));
    lloyd_model_facts(o->init, &j->given, facts);
    return LLOYD_OK;
}

/* What is opened is the same on all ranks. */
static lloyd_status open_and_compare(lloyd_job *j)
{
    lloyd_facts facts = {0};
    lloyd_status status = open_input(j, &facts);
    LLOYD_TRY(lloyd_facts_compare(j->comm, status, &facts, &lloyd_differing_inputs));
    status = open_more(j, &facts);
    return lloyd_facts_compare(j->comm, status, &facts, &lloyd_differing_inputs);
}

static lloyd_status compare_options(lloyd_job *j)
{
    lloyd_facts facts = {0};
    lloyd_facts_begin(&facts, "fit");
    lloyd_status status = lloyd_options_check_fit(j->options);
    if (status == LLOYD_OK) status = lloyd_options_facts_fit(j->options, &facts);
    return lloyd_facts_compare(j->comm, status, &facts, &lloyd_differing_options);
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

static lloyd_status open_output(lloyd_job *j)
{
    if (j->comm->rank != 0) return LLOYD_OK;
    LLOYD_TRY(lloyd_output_check(j->options->output, j->source.rows));
    if (lloyd_options_init_is_model(j->options)) {
        LLOYD_TRY(lloyd_output_check_apart(j->options->output, j->options->init));
    }
    return lloyd_progress_open(j->options->progress, j->options->log,
                               lloyd_checkpoint_resumes(j->checkpoint), &j->progress);
}

/* --- write --- */

static lloyd_status write_model(lloyd_job *j, lloyd_model *model)
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

static lloyd_status write_labels(lloyd_job *j)
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

static lloyd_status write_all(lloyd_job *j, lloyd_model *model)
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

static lloyd_status write_and_tell(lloyd_job *j, int64_t *counts, lloyd_fit_result *result)
{
    LLOYD_TRY(lloyd_job_count(j, counts));
    double start = lloyd_seconds();
    char **inputs = NULL;
    int files = lloyd_rows_files(j->source.rows);
    LLOYD_TRY(lloyd_comm_alloc(j->comm, &inputs, files, sizeof *inputs, "the list of input files"));
    for (int i = 0; i < files; i++) inputs[i] = (char *)lloyd_rows_file(j->source.rows, i);
    lloyd_model model = {
        .n = j->plan.n,
        .d = j->plan.d,
        .k = j->plan.k,
        .counts = counts,
        .iterations = j->best.history.iterations,
        .inertia = j->best.history.inertia,
        .moved = j->best.history.moved,
        .seconds = j->best.history.seconds,
        .final_inertia = j->best.inertia,
        .converged = j->best.history.converged,
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
    lloyd_checkpoint_last(j->checkpoint, j->progress);
    return lloyd_job_tell(j, counts, result);
}

/* --- the job --- */

static lloyd_status run(lloyd_job *j, lloyd_fit_result *result)
{
    LLOYD_TRY(compare_options(j));
    j->comm->timeout = j->options->timeout;
    LLOYD_TRY(open_and_compare(j));
    LLOYD_TRY(lloyd_job_plan(j));
    if (j->options->dry_run)
        return lloyd_plan_print(j->comm, &j->backend, j->source.rows, j->options, &j->plan);

    LLOYD_TRY(open_checkpoint(j));
    LLOYD_TRY(j->comm->agree(j->comm, open_output(j)));
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
    lloyd_rows_close(job.source.rows);
    return status;
}
