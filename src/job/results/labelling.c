/* See labelling.h. The rows are needed once, so they are streamed: while a chunk is checked and
 * labelled, the next ones are read.
 */
#include "job/results/labelling.h"

#include "algorithm/grid.h"
#include "base/memory.h"
#include "base/text.h"
#include "job/results/members.h"
#include "job/row_source.h"
#include "rows/bad_rows.h"

#include <math.h>
#include <stdio.h>

static lloyd_status plan(lloyd_labelling *t)
{
    lloyd_row_source source;
    LLOYD_TRY(lloyd_row_source_files(t->comm, t->rows, 0, &source));
    return lloyd_plan_predict(t->comm, t->backend, &source, t->k, t->cosine, t->options, t->limit,
                              &t->plan);
}

static lloyd_status make_room(lloyd_labelling *t)
{
    const lloyd_row_outputs *o = &t->wanted;
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
    return lloyd_second_open(t->problem.kernels, t->centroids, k, &t->second);
}

static lloyd_status prepare(lloyd_labelling *t)
{
    lloyd_problem *p = &t->problem;
    int64_t d = t->plan.d;
    *p = (lloyd_problem){.comm = t->comm, .n = t->plan.n, .d = d, .k = t->plan.k};
    LLOYD_TRY(lloyd_shard_open(t->rows, t->plan.first, t->plan.layout, 0, &p->shard));
    LLOYD_TRY(lloyd_backend_kernels(t->backend, &t->plan.kernels, &p->kernels));
    LLOYD_TRY(lloyd_shard_attach(p->shard, p->kernels));
    LLOYD_TRY(p->kernels->set_centroids(p->kernels, t->plan.k, t->centroids));
    return make_room(t);
}

/* --- one pass --- */

/* Datasets of labels and distances, as fetch() has left them. */
static lloyd_status write_two(const lloyd_labelling *t, lloyd_array *labels, const int32_t *label,
                              lloyd_array *distances, const float *rounded, int64_t count)
{
    const int32_t skipped = LLOYD_SKIPPED;
    const float unknown = NAN;
    if (labels)
        LLOYD_TRY(
            lloyd_bad_rows_write(t->rows, labels, t->first, count, label, sizeof *label, &skipped));
    if (!distances) return LLOYD_OK;
    return lloyd_bad_rows_write(t->rows, distances, t->first, count, rounded, sizeof *rounded,
                                &unknown);
}

static lloyd_status write_fetched(lloyd_labelling *t)
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

static lloyd_status fetch(lloyd_labelling *t, const lloyd_chunk *chunk)
{
    lloyd_kernels *kernels = t->problem.kernels;
    const int64_t count = chunk->count;
    t->first = t->problem.shard->first + chunk->first;
    t->count = count;
    t->offset = t->wanted.members ? chunk->first : 0;
    int32_t *label = t->label + t->offset;
    LLOYD_TRY(kernels->labels(kernels, chunk->first, count, label));
    if (t->distance) {
        LLOYD_TRY(kernels->distances(kernels, chunk->slot, t->distance + t->offset));
        if (t->distances) round_all(t->distance + t->offset, count, t->rounded);
    }
    if (!t->second) return LLOYD_OK;
    LLOYD_TRY(lloyd_second_find(t->second, chunk->slot, chunk->first, count, label, t->second_label,
                                t->second_distance));
    round_all(t->second_distance, count, t->second_rounded);
    return LLOYD_OK;
}

static void show(lloyd_labelling *t)
{
    char rows[32], found[64];
    snprintf(found, sizeof found, "%s rows on rank 0",
             lloyd_text_count(t->done, rows, sizeof rows));
    lloyd_shown_at(&t->shown, (double)t->done, found);
}

/* While a GPU labels the chunk, the results of the one before are written. */
static lloyd_status label_chunk(void *context, lloyd_chunk *chunk)
{
    lloyd_labelling *t = context;
    lloyd_kernels *kernels = t->problem.kernels;
    LLOYD_TRY(kernels->measure(kernels, chunk->slot, &t->range));
    chunk->ends_pass = t->range.bad_row >= 0;
    if (chunk->ends_pass) return LLOYD_OK;
    LLOYD_TRY(kernels->assign(kernels, chunk->slot));
    LLOYD_TRY(write_fetched(t));
    LLOYD_TRY(fetch(t, chunk));
    t->done += chunk->count;
    show(t);
    return LLOYD_OK;
}

static lloyd_status open_arrays(lloyd_labelling *t)
{
    const lloyd_row_outputs *o = &t->wanted;
    if (o->labels) LLOYD_TRY(lloyd_array_open(t->output, "/labels", &t->labels));
    if (o->distances) LLOYD_TRY(lloyd_array_open(t->output, "/distances", &t->distances));
    if (!o->second) return LLOYD_OK;
    LLOYD_TRY(lloyd_array_open(t->output, "/second/labels", &t->second_labels));
    return lloyd_array_open(t->output, "/second/distances", &t->second_distances);
}

/* The first failure of all that are open. */
static lloyd_status close_arrays(lloyd_labelling *t)
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

static lloyd_status label_rows(lloyd_labelling *t)
{
    LLOYD_TRY(open_arrays(t));
    lloyd_shown_begin(&t->shown, t->comm->rank == 0 ? t->options->progress : "none", "labels",
                      (double)t->plan.count);
    const lloyd_status status = lloyd_shard_each(t->problem.shard, label_chunk, t);
    lloyd_shown_end(&t->shown);
    LLOYD_TRY(status);
    LLOYD_TRY(write_fetched(t));
    return close_arrays(t);
}

/* --- members --- */

static lloyd_status count_rows(lloyd_labelling *t, int64_t *counts)
{
    for (int64_t i = 0; i < t->plan.count; i++) counts[t->label[i]]++;
    return lloyd_comm_sum_host(t->comm, counts, t->plan.k);
}

static lloyd_status write_members(lloyd_labelling *t)
{
    const lloyd_member_rows rows = {.first = t->plan.first,
                                    .count = t->plan.count,
                                    .distances = t->distance,
                                    .labels = t->label,
                                    .files = t->rows,
                                    .threads = t->plan.kernels.threads};
    int64_t *counts = NULL;
    if (!t->wanted.members) return LLOYD_OK;
    LLOYD_TRY(lloyd_comm_alloc(t->comm, &counts, t->plan.k, sizeof *counts, "counts"));
    lloyd_status status = count_rows(t, counts);
    if (status == LLOYD_OK)
        status = lloyd_members_write(t->comm, t->output, &rows, counts, t->plan.k,
                                     t->plan.members.rounds, NULL);
    lloyd_free(counts);
    return status;
}

/* --- all --- */

lloyd_status lloyd_labelling_begin(lloyd_labelling *t)
{
    LLOYD_TRY(t->comm->agree(t->comm, plan(t)));
    return t->comm->agree(t->comm, prepare(t));
}

lloyd_status lloyd_labelling_write(lloyd_labelling *t, const lloyd_output *output)
{
    t->output = output;
    t->range = (lloyd_range){.min = t->min, .max = t->max, .low = t->low, .bad_row = -1};
    LLOYD_TRY(t->comm->agree(t->comm, label_rows(t)));
    LLOYD_TRY(lloyd_problem_report_defect(&t->problem, &t->range));
    return write_members(t);
}

void lloyd_labelling_end(lloyd_labelling *t)
{
    (void)close_arrays(t);
    lloyd_second_close(t->second);
    lloyd_shard_close(t->problem.shard);
    if (t->problem.kernels) t->problem.kernels->destroy(t->problem.kernels);
    lloyd_problem_clear(&t->problem);
    lloyd_free(t->min);
    lloyd_free(t->max);
    lloyd_free(t->low);
    lloyd_free(t->label);
    lloyd_free(t->distance);
    lloyd_free(t->rounded);
    lloyd_free(t->second_label);
    lloyd_free(t->second_distance);
    lloyd_free(t->second_rounded);
}
