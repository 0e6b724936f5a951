/* lloyd split: each cluster of a model is clustered on its own. Which rank does which is dealt out beforehand; the rows travel
 * there, and what is found of them travels back. A cluster's fit is that of lloyd_fit() over its rows with the seed of the
 * options plus the number of the cluster, so the result depends on no rank, and each fit can be done again alone. */
#include "lloyd/lloyd.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/shown.h"
#include "base/stop.h"
#include "base/text.h"
#include "comm/self.h"
#include "io/guard.h"
#include "io/space.h"
#include "job/agreement.h"
#include "job/options.h"
#include "job/outputs.h"
#include "job/split/centroids.h"
#include "job/split/checkpoint.h"
#include "job/split/fits.h"
#include "job/split/labels.h"
#include "job/split/outcome.h"
#include "job/split/parts.h"
#include "job/split/shares.h"
#include "job/split/splitting.h"
#include "options/table.h"
#include "options/value.h"
#include "rows/bad_rows.h"

#include <stdio.h>
#include <string.h>

enum {
    MEMBERS_PART = 16, /* of a rank's memory, for sorting members */
};

/* ---- Options -------------------------------------------------------------------------------- */

static lloyd_status check_options(const lloyd_split_options *o)
{
    LLOYD_TRY(lloyd_options_check(lloyd_commands[LLOYD_COMMAND_SPLIT].options, o, 0));
    LLOYD_TRY(
        lloyd_options_check_checkpoint(o->checkpoint, o->checkpoint_every, o->resume, "clusters"));
    if ((o->k > 0) == (o->total > 0))
        return lloyd_fail(
            LLOYD_USAGE,
            "%s; -k is the number of sub-clusters of each cluster, --total that of all",
            o->k > 0 ? "give -k or --total, not both" : "give -k or --total");
    return lloyd_backend_check(o->backend, NULL);
}

static lloyd_status compare_options(const lloyd_splitting *s)
{
    lloyd_agreement agreement = {0};
    lloyd_agreement_begin(&agreement, "split");
    lloyd_status status = check_options(s->options);
    if (status == LLOYD_OK)
        status = lloyd_options_agreement(LLOYD_COMMAND_SPLIT, s->options, &agreement);
    return lloyd_agreement_compare(s->comm, status, &agreement, &lloyd_differing_options);
}

/* ---- Files ---------------------------------------------------------------------------------- */

static lloyd_status open_rows(lloyd_splitting *s, lloyd_agreement *agreement)
{
    const lloyd_split_options *o = s->options;
    lloyd_input_form form;
    LLOYD_TRY(lloyd_input_form_make(o->dataset, o->raw, o->dim, &form));
    LLOYD_TRY(lloyd_rows_open_form(o->inputs, o->input_count, &form, &s->source.rows));
    lloyd_row_source_agreement(s->source.rows, agreement);
    LLOYD_TRY(lloyd_model_read_about(o->model, &s->parent));
    lloyd_agreement_add(agreement, "%s of %lld clusters, %lld columns", o->model,
                        (long long)s->parent.k, (long long)s->parent.d);
    if (s->parent.d == lloyd_rows_dim(s->source.rows)) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "%s holds centroids of %lld columns, but the dataset has %lld; use the model of such data",
        o->model, (long long)s->parent.d, (long long)lloyd_rows_dim(s->source.rows));
}

static lloyd_status open_more(lloyd_splitting *s)
{
    const lloyd_split_options *o = s->options;
    LLOYD_TRY(lloyd_row_source_files(s->comm, s->source.rows, o->weights != NULL, &s->source));
    if (o->weights) LLOYD_TRY(lloyd_rows_open_weights(s->source.rows, o->weights));
    return lloyd_split_check_labels(s);
}

static lloyd_status open_inputs(lloyd_splitting *s)
{
    lloyd_agreement agreement = {0};
    lloyd_status status = open_rows(s, &agreement);
    LLOYD_TRY(lloyd_agreement_compare(s->comm, status, &agreement, &lloyd_differing_inputs));
    if (s->options->skip_bad_rows)
        LLOYD_TRY(lloyd_bad_rows_skip(s->comm, s->source.rows, s->parent.cosine));
    return s->comm->agree(s->comm, open_more(s));
}

/* Rank 0: that what is written replaces nothing that is read. */
static lloyd_status check_paths(const lloyd_splitting *s)
{
    const lloyd_split_options *o = s->options;
    lloyd_guard guard = {.items = NULL};
    lloyd_status status = lloyd_guard_read_rows(&guard, s->source.rows);
    if (status == LLOYD_OK) status = lloyd_guard_read_model(&guard, o->model);
    if (status == LLOYD_OK) status = lloyd_guard_read(&guard, "the labels", o->labels);
    if (status == LLOYD_OK) status = lloyd_guard_write(&guard, "--output", o->output);
    if (status == LLOYD_OK) status = lloyd_guard_write(&guard, "--checkpoint", o->checkpoint);
    if (status == LLOYD_OK) status = lloyd_guard_check(&guard);
    lloyd_guard_free(&guard);
    return status;
}

static lloyd_status open_output(lloyd_splitting *s)
{
    const lloyd_split_options *o = s->options;
    const lloyd_model model = {.n = s->source.n,
                               .d = s->source.d,
                               .k = s->k,
                               .parent = (char *)o->model};
    const lloyd_row_outputs rows = lloyd_split_outputs(o);
    const lloyd_row_shape shape = lloyd_split_shape(s);
    const int64_t bytes = lloyd_model_bytes(&model, &rows, &shape);
    if (s->comm->rank != 0) return lloyd_space_check_limit(o->output, bytes);
    LLOYD_TRY(lloyd_output_open(o->output, o->force, &s->output));
    const lloyd_need needs[] = {{o->output, bytes},
                                {o->checkpoint, lloyd_split_checkpoint_file_bytes(s)}};
    LLOYD_TRY(lloyd_space_check(needs, 2));
    return lloyd_output_tidy(&s->output);
}

/* ---- The clusters of the rows --------------------------------------------------------------- */

/* Also how many sub-clusters each gets. */
static lloyd_status find_clusters(lloyd_splitting *s)
{
    const lloyd_split_options *o = s->options;
    const int64_t k = s->parent.k;
    lloyd_status status = lloyd_alloc_uncleared(&s->clusters, s->source.count, sizeof *s->clusters,
                                                "the labels of the rows"); /* which are read here */
    if (status == LLOYD_OK) status = lloyd_alloc(&s->rows, k, sizeof *s->rows, "cluster sizes");
    if (status == LLOYD_OK)
        status = lloyd_alloc(&s->first, k + 1, sizeof *s->first, "sub-clusters");
    if (status == LLOYD_OK) status = lloyd_alloc(&s->state, k, sizeof *s->state, "clusters");
    if (status == LLOYD_OK) status = lloyd_split_read_labels(s);
    LLOYD_TRY(s->comm->agree(s->comm, status));
    LLOYD_TRY(lloyd_comm_sum_host(s->comm, s->rows, k));
    LLOYD_TRY(s->comm->agree(s->comm, lloyd_split_shares(s->rows, k, o->k, o->total, s->first)));
    s->k = s->first[k];
    return LLOYD_OK;
}

/* ---- The plan ------------------------------------------------------------------------------- */

/* Of a row here, with all that goes with it. */
static int64_t bytes_of_row(const lloyd_splitting *s)
{
    return lloyd_split_row_bytes(s) +
           lloyd_parts_row_bytes(s->source.weighted, lloyd_split_needs_distances(s->options));
}

static int64_t largest_cluster(const lloyd_splitting *s)
{
    int64_t largest = 0;
    for (int64_t c = 1; c < s->parent.k; c++)
        if (s->rows[c] > s->rows[largest]) largest = c;
    return largest;
}

/* What this rank may take, all in all. */
static int64_t memory_limit(const lloyd_splitting *s)
{
    const int64_t share = lloyd_memory_available() / s->comm->local_size,
                  space = lloyd_memory_space(NULL);
    const int64_t there = lloyd_memory_now() + (share < space ? share - share / 16 : space);
    const int64_t allowed = s->options->max_host_memory;
    return allowed > 0 && allowed < there ? allowed : there;
}

/* What this rank takes whatever rows it has: of its share of the dataset, of all clusters, of the fits. */
static lloyd_status count_rest(lloyd_splitting *s, int64_t largest, int64_t limit, int64_t *bytes)
{
    const int64_t k = s->parent.k;
    int64_t of_fits;
    LLOYD_TRY(lloyd_fits_plan(s, largest, limit, &of_fits));
    const int64_t of_rows =
        s->source.count * (4 + 4 + (lloyd_split_needs_distances(s->options) ? 8 : 0));
    const int64_t results = s->k * (s->source.d * 4 + 8 + 4) + 9 * 8 * k;
    const int64_t of_moving =
        lloyd_parts_bytes(s->comm->size, k, s->rows[largest], lloyd_split_row_bytes(s));
    const int64_t of_centroids = lloyd_split_collect_bytes(s);
    const int64_t moving = of_moving > of_centroids ? of_moving : of_centroids;
    *bytes = lloyd_memory_now() + of_rows + results + lloyd_split_deal_bytes(k) +
             lloyd_rows_memory(s->source.rows) + (of_fits > moving ? of_fits : moving) +
             lloyd_split_checkpoint_bytes(s);
    return LLOYD_OK;
}

static lloyd_status has_no_room(const lloyd_splitting *s, int64_t largest, int64_t rest)
{
    char size[32], there[32], needed[32];
    const int64_t bytes = s->rows[largest] * bytes_of_row(s) + rest;
    return lloyd_fail(
        s->options->max_host_memory > 0 ? LLOYD_USAGE : LLOYD_FAILED,
        "cluster %lld has %s rows; splitting it needs %s per rank, but the limit is %s; give more "
        "memory per rank, or split a model with more clusters",
        (long long)largest, lloyd_text_count(s->rows[largest], size, sizeof size),
        lloyd_text_bytes(bytes, needed, sizeof needed),
        lloyd_text_bytes(memory_limit(s), there, sizeof there));
}

/* Of this rank. Where it may be too little for all rows, what a GPU takes has to be known, so it must have started. */
static lloyd_status find_own_room(lloyd_splitting *s, int64_t *room, int64_t *rest)
{
    const int64_t largest = largest_cluster(s);
    do {
        const int64_t limit = memory_limit(s);
        LLOYD_TRY(count_rest(s, largest, limit, rest));
        *room = (limit - *rest) / bytes_of_row(s);
    } while (*room < s->source.n && lloyd_backend_await(&s->backend));
    return *room < s->rows[largest] ? has_no_room(s, largest, *rest) : LLOYD_OK;
}

/* The room for rows is that of the rank with the least. */
static lloyd_status find_room(lloyd_splitting *s, int64_t *room, int64_t *rest)
{
    LLOYD_TRY(s->comm->agree(s->comm, find_own_room(s, room, rest)));
    double least = -(double)*room;
    LLOYD_TRY(s->comm->max(s->comm, &least, 1));
    *room = (int64_t)-least;
    return LLOYD_OK;
}

static lloyd_status plan(lloyd_splitting *s)
{
    int64_t room = 0, rest = 0;
    LLOYD_TRY(find_room(s, &room, &rest));
    LLOYD_TRY(s->comm->agree(s->comm, lloyd_split_deal(s->rows, s->first, s->state, s->parent.k,
                                                       s->comm->size, room, &s->deal)));
    s->memory = rest + s->deal.most * bytes_of_row(s);
    if (s->small_rows > s->deal.most / (2 * s->spread)) /* of a round, too, each thread gets two */
        s->small_rows = s->deal.most / (2 * s->spread);
    if (!s->options->members) return LLOYD_OK;
    double most = -(double)memory_limit(s);
    LLOYD_TRY(s->comm->max(s->comm, &most, 1));
    s->members =
        lloyd_members_plan_for(s->source.n, s->k, s->comm->size, (int64_t)-most / MEMBERS_PART);
    return LLOYD_OK;
}

static lloyd_status print_plan(const lloyd_splitting *s)
{
    const lloyd_split_options *o = s->options;
    const lloyd_row_outputs outputs = lloyd_split_outputs(o);
    const lloyd_row_shape shape = lloyd_split_shape(s);
    const lloyd_model model = {.n = s->source.n,
                               .d = s->source.d,
                               .k = s->k,
                               .parent = (char *)o->model};
    char a[32], b[32], c[32];
    const int64_t largest = largest_cluster(s);
    double most = (double)s->memory;
    LLOYD_TRY(s->comm->max(s->comm, &most, 1));
    if (s->comm->rank != 0) return LLOYD_OK;
    printf("plan (only labels are read, and nothing is written)\n");
    printf("  dataset          %s rows x %s columns of %s in %d file%s\n",
           lloyd_text_count(s->source.n, a, sizeof a), lloyd_text_count(s->source.d, b, sizeof b),
           lloyd_type_name(s->source.type), lloyd_rows_files(s->source.rows),
           lloyd_rows_files(s->source.rows) == 1 ? "" : "s");
    printf("  clusters         %s, the largest has %s rows\n",
           lloyd_text_count(s->parent.k, a, sizeof a),
           lloyd_text_count(s->rows[largest], b, sizeof b));
    printf("  sub-clusters     %s by %s, %s; the largest cluster gets %s\n",
           lloyd_text_count(s->k, a, sizeof a), o->init, s->parent.cosine ? "cosine" : "l2",
           lloyd_text_count(s->first[largest + 1] - s->first[largest], b, sizeof b));
    printf("  ranks            %d, %d thread%s each\n", s->comm->size,
           lloyd_backend_threads(s->comm), lloyd_backend_threads(s->comm) == 1 ? "" : "s");
    printf("  backend          %s\n", lloyd_backend_name(&s->backend));
    if (s->small_rows > 0 && s->together > 1)
        printf("  fits             %d at a time, each of up to %d clusters of up to %s rows\n",
               s->at_once, s->together, lloyd_text_count(s->small_rows, a, sizeof a));
    else if (s->small_rows > 0)
        printf("  fits             %d at a time, of clusters of up to %s rows\n", s->at_once,
               lloyd_text_count(s->small_rows, a, sizeof a));
    else
        printf("  fits             one after the other\n");
    printf("  passes           the rows are read %s%s\n",
           s->deal.rounds == 1 ? "once" : lloyd_text_count(s->deal.rounds, a, sizeof a),
           s->deal.rounds == 1 ? "" : " times");
    printf("  memory           %s per rank at most\n",
           lloyd_text_bytes((int64_t)most, c, sizeof c));
    printf("  output           %s\n",
           lloyd_text_bytes(lloyd_model_bytes(&model, &outputs, &shape), c, sizeof c));
    if (o->checkpoint)
        printf("  checkpoint       %s at most\n",
               lloyd_text_bytes(lloyd_split_checkpoint_file_bytes(s), c, sizeof c));
    return LLOYD_OK;
}

/* ---- The clusters --------------------------------------------------------------------------- */

static lloyd_status make_room(lloyd_splitting *s)
{
    const char *what = "the results of clusters";
    const int64_t k = s->parent.k, count = s->source.count;
    int64_t own = 0;
    LLOYD_TRY(lloyd_alloc(&s->place, k, sizeof *s->place, what));
    for (int64_t c = 0; c < k; c++) {
        const int all = s->comm->rank == 0;
        s->place[c] = all ? s->first[c] : own;
        if (all || lloyd_split_rank(s, c) == s->comm->rank) own += s->first[c + 1] - s->first[c];
    }
    LLOYD_TRY(lloyd_alloc(&s->centroids, own * s->source.d, sizeof *s->centroids, "centroids"));
    LLOYD_TRY(lloyd_alloc(&s->counts, s->k, sizeof *s->counts, what));
    LLOYD_TRY(lloyd_alloc(&s->inertia, k, sizeof *s->inertia, what));
    LLOYD_TRY(lloyd_alloc(&s->iterations, k, sizeof *s->iterations, what));
    LLOYD_TRY(lloyd_alloc(&s->converged, k, sizeof *s->converged, what));
    /* of which the rounds write all, each row in one */
    LLOYD_TRY(
        lloyd_alloc_uncleared(&s->labels, count, sizeof *s->labels, "the labels of the rows"));
    if (!lloyd_split_needs_distances(s->options)) return LLOYD_OK;
    return lloyd_alloc_uncleared(&s->distances, count, sizeof *s->distances,
                                 "the distances of the rows");
}

static int64_t own_rows(const lloyd_splitting *s)
{
    int64_t rows = 0;
    for (int64_t c = 0; c < s->parent.k; c++)
        if (lloyd_split_rank(s, c) == s->comm->rank) rows += s->rows[c];
    return rows;
}

static lloyd_status split_round(lloyd_splitting *s, int64_t round, lloyd_shown *shown,
                                int64_t *done)
{
    uint64_t hash = 0;
    const lloyd_split_source source = {.rows = &s->source,
                                       .clusters = s->clusters,
                                       .labels = s->labels,
                                       .distances = s->distances,
                                       .hash = s->checkpoint ? &hash : NULL};
    lloyd_parts parts;
    lloyd_status status =
        lloyd_parts_bring(s->comm, &source, s->rows, s->parent.k, s->deal.turn, round, &parts);
    if (status == LLOYD_OK && round == 0)
        status = lloyd_split_checkpoint_check_data(s->checkpoint, hash);
    if (status == LLOYD_OK) status = lloyd_fits_run(s, &parts, shown, done);
    if (status == LLOYD_OK) status = lloyd_parts_return(&parts);
    lloyd_parts_free(&parts);
    return status;
}

static lloyd_status split_all(lloyd_splitting *s)
{
    lloyd_shown shown;
    int64_t done = 0;
    lloyd_status status = LLOYD_OK;
    lloyd_shown_begin(&shown, s->comm->rank == 0 ? s->options->progress : "none", "split",
                      (double)own_rows(s));
    for (int64_t round = 0; round < s->deal.rounds && status == LLOYD_OK; round++)
        status = split_round(s, round, &shown, &done);
    lloyd_shown_end(&shown);
    return status;
}

/* ---- The job -------------------------------------------------------------------------------- */

static lloyd_status open_self(lloyd_splitting *s)
{
    LLOYD_TRY(lloyd_comm_self(&s->self));
    s->self->local_rank = s->comm->local_rank;
    s->self->local_size = s->comm->local_size;
    return LLOYD_OK;
}

static void take_result(const lloyd_splitting *s, lloyd_split_result *result)
{
    double inertia;
    *result =
        (lloyd_split_result){.n = s->source.n,
                             .d = s->source.d,
                             .clusters = s->parent.k,
                             .k = s->k,
                             .skipped = s->source.skipped,
                             .rounds = s->deal.rounds,
                             .files = lloyd_rows_files(s->source.rows),
                             .type = lloyd_type_name(s->source.type),
                             .resumed = lloyd_split_checkpoint_resumed(s->checkpoint),
                             .parent_inertia = s->options->labels ? 0 : s->parent.final_inertia,
                             .seconds = lloyd_seconds() - s->start};
    for (int64_t c = 0; c < s->parent.k; c++) {
        memcpy(&inertia, &s->inertia[c], sizeof inertia);
        result->inertia += inertia;
        result->converged += s->rows[c] == 0 || s->converged[c];
        if (s->iterations[c] > result->most_iterations) result->most_iterations = s->iterations[c];
    }
    for (int64_t k = 0; k < s->k; k++) result->empty += s->counts[k] == 0;
}

/* What rank 0 does before the process ends in the midst of a collective call. */
static void rescue_checkpoint(void *splitting)
{
    const lloyd_splitting *s = splitting;
    lloyd_split_checkpoint_rescue(s->checkpoint);
}

static lloyd_status open_checkpoint(lloyd_splitting *s)
{
    lloyd_comm *comm = s->comm;
    LLOYD_TRY(comm->agree(comm, comm->rank == 0 ? check_paths(s) : LLOYD_OK));
    LLOYD_TRY(lloyd_split_checkpoint_open(s, &s->checkpoint));
    comm->rescue = rescue_checkpoint;
    comm->rescued = s;
    return LLOYD_OK;
}

static lloyd_status run(lloyd_splitting *s, lloyd_split_result *result)
{
    lloyd_comm *comm = s->comm;
    LLOYD_TRY(compare_options(s));
    comm->timeout = s->options->timeout;
    LLOYD_TRY(open_inputs(s));
    LLOYD_TRY(lloyd_backend_choose(comm, s->options->backend, NULL, &s->backend));
    if (!s->options->dry_run) lloyd_backend_start(&s->backend);
    LLOYD_TRY(comm->agree(comm, open_self(s)));
    LLOYD_TRY(find_clusters(s));
    if (!s->options->dry_run) LLOYD_TRY(open_checkpoint(s));
    LLOYD_TRY(plan(s));
    if (s->options->dry_run) return comm->agree(comm, print_plan(s));

    LLOYD_TRY(comm->agree(comm, open_output(s)));
    LLOYD_TRY(lloyd_outputs_share(comm, s->options->output, &s->output));
    LLOYD_TRY(comm->agree(comm, make_room(s)));
    LLOYD_TRY(lloyd_split_checkpoint_restore(s->checkpoint));
    LLOYD_TRY(split_all(s));
    LLOYD_TRY(lloyd_split_gather(s));
    lloyd_split_checkpoint_last(s->checkpoint);
    LLOYD_TRY(lloyd_split_write(s));
    take_result(s, result);
    return LLOYD_OK;
}

lloyd_status lloyd_split(lloyd_comm *comm, const lloyd_split_options *options,
                         lloyd_split_result *result)
{
    lloyd_splitting s = {.comm = comm, .options = options, .start = lloyd_seconds()};
    lloyd_split_result unused;
    lloyd_status status = run(&s, result ? result : &unused);
    comm->rescue = NULL;
    status = lloyd_split_checkpoint_close(s.checkpoint, status);
    lloyd_free(s.clusters);
    lloyd_free(s.rows);
    lloyd_free(s.first);
    lloyd_free(s.state);
    lloyd_free(s.deal.turn);
    lloyd_free(s.labels);
    lloyd_free(s.distances);
    lloyd_free(s.counts);
    lloyd_free(s.inertia);
    lloyd_free(s.iterations);
    lloyd_free(s.converged);
    lloyd_free(s.centroids);
    lloyd_free(s.place);
    lloyd_rows_close(s.source.rows);
    lloyd_model_free(&s.parent);
    lloyd_output_close(&s.output);
    if (s.self) s.self->destroy(s.self);
    lloyd_backend_leave(&s.backend);
    lloyd_stop_clear();
    return status;
}
