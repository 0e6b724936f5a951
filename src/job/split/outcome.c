/* See outcome.h. */
#include "job/split/outcome.h"

#include "base/memory.h"
#include "io/writers/array.h"
#include "job/split/centroids.h"
#include "options/listing.h"
#include "options/table.h"
#include "rows/bad_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WRITTEN = 1 << 20 }; /* rows at a time */

/* Of each number one rank has something else than 0. */
lloyd_status lloyd_split_gather(lloyd_splitting *s)
{
    LLOYD_TRY(lloyd_split_collect(s));
    LLOYD_TRY(lloyd_comm_sum_host(s->comm, s->counts, s->k));
    LLOYD_TRY(lloyd_comm_sum_host(s->comm, s->inertia, s->parent.k));
    LLOYD_TRY(lloyd_comm_sum_host(s->comm, s->iterations, s->parent.k));
    return lloyd_comm_sum_host(s->comm, s->converged, s->parent.k);
}

/* --- the model --- */

lloyd_row_outputs lloyd_split_outputs(const lloyd_split_options *o)
{
    return (lloyd_row_outputs){.labels = 1, .distances = o->distances, .members = o->members};
}

lloyd_row_shape lloyd_split_shape(const lloyd_splitting *s)
{
    return (lloyd_row_shape){.n = s->source.n,
                             .skipped = s->source.skipped,
                             .k = s->k,
                             .cosine = s->parent.cosine};
}

/* In the order of the clusters, whichever ranks have split them. */
static double sum_inertia(const lloyd_splitting *s)
{
    double sum = 0, one;
    for (int64_t c = 0; c < s->parent.k; c++) {
        memcpy(&one, &s->inertia[c], sizeof one);
        sum += one;
    }
    return sum;
}

static int all_converged(const lloyd_splitting *s)
{
    for (int64_t c = 0; c < s->parent.k; c++)
        if (s->rows[c] > 0 && !s->converged[c]) return 0;
    return 1;
}

static void fill_parents(const lloyd_splitting *s, int32_t *parents)
{
    for (int64_t c = 0; c < s->parent.k; c++)
        for (int64_t k = s->first[c]; k < s->first[c + 1]; k++) parents[k] = (int32_t)c;
}

static lloyd_status write_with(const lloyd_splitting *s, char **inputs, int32_t *parents)
{
    const lloyd_split_options *o = s->options;
    const lloyd_row_outputs rows = lloyd_split_outputs(o);
    const lloyd_row_shape shape = lloyd_split_shape(s);
    char *options = NULL;
    LLOYD_TRY(lloyd_options_to_json(lloyd_commands[LLOYD_COMMAND_SPLIT].options, o, &options));
    const int files = lloyd_rows_files(s->source.rows);
    for (int i = 0; i < files; i++) inputs[i] = (char *)lloyd_rows_file(s->source.rows, i);
    fill_parents(s, parents);
    const lloyd_model model = {
        .n = s->source.n,
        .d = s->source.d,
        .k = s->k,
        .skipped = s->source.skipped,
        .centroids = s->centroids,
        .counts = s->counts,
        .final_inertia = sum_inertia(s),
        .converged = all_converged(s),
        .parents = parents,
        .parent = (char *)o->model,
        .parent_k = s->parent.k,
        .seed = o->seed,
        .ranks = s->comm->size,
        .cosine = s->parent.cosine,
        .version = (char *)LLOYD_VERSION,
        .command = (char *)(o->command ? o->command : ""),
        .options = options,
        .backend = (char *)lloyd_backend_name(&s->backend),
        .inputs = inputs,
        .input_count = files,
    };
    lloyd_status status = lloyd_model_write(&s->output, &model, &rows, &shape);
    free(options);
    return status;
}

/* Rank 0. */
static lloyd_status write_model(const lloyd_splitting *s)
{
    char **inputs = NULL;
    int32_t *parents = NULL;
    if (s->comm->rank != 0) return LLOYD_OK;
    lloyd_status status = lloyd_alloc(&inputs, lloyd_rows_files(s->source.rows), sizeof *inputs,
                                      "the list of input files");
    if (status == LLOYD_OK)
        status = lloyd_alloc(&parents, s->k, sizeof *parents, "the clusters of sub-clusters");
    if (status == LLOYD_OK) status = write_with(s, inputs, parents);
    lloyd_free(inputs);
    lloyd_free(parents);
    return status;
}

/* --- the rows --- */

/* Of this rank's share, as float32 in `room`; NULL: the labels as they are. */
static lloyd_status write_array(const lloyd_splitting *s, const char *name, float *room,
                                const void *skipped)
{
    const lloyd_row_source *rows = &s->source;
    lloyd_array *array = NULL;
    lloyd_status status = lloyd_array_open(&s->output, name, &array);
    for (int64_t at = 0; at < rows->count && status == LLOYD_OK; at += WRITTEN) {
        const int64_t here = rows->count - at < WRITTEN ? rows->count - at : WRITTEN;
        for (int64_t i = 0; room && i < here; i++) room[i] = (float)s->distances[at + i];
        const void *values = room ? (const void *)room : s->labels + at;
        status =
            lloyd_bad_rows_write(rows->rows, array, rows->first + at, here, values, 4, skipped);
    }
    lloyd_status closed = lloyd_array_close(array);
    return status == LLOYD_OK ? closed : status;
}

static lloyd_status write_rows(const lloyd_splitting *s)
{
    const int32_t no_label = LLOYD_SKIPPED;
    const float no_distance = NAN;
    float *room = NULL;
    LLOYD_TRY(write_array(s, "/labels", NULL, &no_label));
    if (!s->options->distances) return LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(&room, WRITTEN, sizeof *room, "distances to write"));
    lloyd_status status = write_array(s, "/distances", room, &no_distance);
    lloyd_free(room);
    return status;
}

static lloyd_status write_members(lloyd_splitting *s)
{
    const lloyd_member_rows rows = {.first = s->source.first,
                                    .count = s->source.count,
                                    .distances = s->distances,
                                    .labels = s->labels,
                                    .files = s->source.rows,
                                    .threads = lloyd_backend_threads(s->comm)};
    if (!s->options->members) return LLOYD_OK;
    return lloyd_members_write(s->comm, &s->output, &rows, s->counts, s->k, s->members.rounds,
                               NULL);
}

lloyd_status lloyd_split_write(lloyd_splitting *s)
{
    lloyd_comm *comm = s->comm;
    lloyd_status status = comm->agree(comm, write_model(s));
    if (status == LLOYD_OK) status = comm->agree(comm, write_rows(s));
    if (status == LLOYD_OK) status = write_members(s);
    if (status == LLOYD_OK)
        status = comm->agree(comm, comm->rank == 0 ? lloyd_output_commit(&s->output) : LLOYD_OK);
    if (status != LLOYD_OK && comm->rank == 0) lloyd_output_discard(&s->output);
    return status;
}
