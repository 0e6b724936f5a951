/* lloyd select: all ranks look for near-duplicates, each in some clusters; rank 0 chooses among the members that are left, and
 * writes their row numbers. */
#include "lloyd/lloyd.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "comm/comm.h"
#include "io/clusters.h"
#include "io/guard.h"
#include "io/input.h"
#include "io/rows.h"
#include "io/writers/output.h"
#include "io/writers/row_list.h"
#include "job/agreement.h"
#include "job/backend.h"
#include "job/options.h"
#include "job/row_source.h"
#include "job/select/bits.h"
#include "job/select/choose.h"
#include "job/select/duplicates.h"
#include "options/table.h"
#include "options/value.h"

#include <stdio.h>
#include <string.h>

typedef struct selection {
    lloyd_comm *comm;
    const lloyd_select_options *options;
    lloyd_clusters clusters;
    lloyd_rows *rows;       /* of --input, or NULL */
    uint64_t *kept;         /* members that are no near-duplicates, or NULL */
    lloyd_parents *parents; /* [levels], of rank 0 */
    int levels;             /* above the first */
    lloyd_row_list list;    /* of rank 0, as is the output */
    lloyd_output output;
    lloyd_select_result result;
} selection;

/* ---- Options -------------------------------------------------------------------------------- */

static lloyd_status check_method(const lloyd_select_options *o)
{
    const int methods = (o->nearest > 0) + (o->farthest > 0) + (o->sample > 0);
    if (methods > 1)
        return lloyd_fail(
            LLOYD_USAGE,
            "give one of --sample, --nearest and --farthest; a second selection has an "
            "output of its own");
    if (methods == 0 && o->near_duplicates == 0)
        return lloyd_fail(LLOYD_USAGE,
                          "nothing says which rows to select; give --sample, --nearest, "
                          "--farthest or --near-duplicates");
    if (o->near_duplicates > 0 && o->input_count == 0)
        return lloyd_fail(LLOYD_USAGE,
                          "--near-duplicates compares rows; name their files with --input");
    if (o->near_duplicates == 0 && o->input_count > 0)
        return lloyd_fail(LLOYD_USAGE,
                          "--input is for --near-duplicates; all else needs only the clusters, so "
                          "leave it out");
    if (o->cluster_count > 1 && o->sample == 0)
        return lloyd_fail(LLOYD_USAGE,
                          "several files are the levels of --sample; give one for all else");
    return LLOYD_OK;
}

static lloyd_status check_options(const lloyd_select_options *o)
{
    int named = o->clusters != NULL && o->cluster_count > 0;
    for (int i = 0; named && i < o->cluster_count; i++)
        named = o->clusters[i] != NULL && *o->clusters[i] != '\0';
    if (!named) return lloyd_fail(LLOYD_USAGE, "select needs the name of a file with clusters");
    LLOYD_TRY(lloyd_options_check(lloyd_commands[LLOYD_COMMAND_SELECT].options, o, 0));
    return check_method(o);
}

static lloyd_status compare_options(const selection *s)
{
    const lloyd_select_options *o = s->options;
    lloyd_agreement agreement = {0};
    lloyd_agreement_begin(&agreement, "select");
    lloyd_status status = check_options(o);
    for (int i = 0; i < o->cluster_count && status == LLOYD_OK; i++)
        lloyd_agreement_option(&agreement, "the file", o->clusters[i]);
    if (status == LLOYD_OK) status = lloyd_options_agreement(LLOYD_COMMAND_SELECT, o, &agreement);
    return lloyd_agreement_compare(s->comm, status, &agreement, &lloyd_differing_options);
}

/* "--sample 1000 --order random --seed 0" into text. */
static const char *method(const lloyd_select_options *o, char *text, size_t bytes)
{
    size_t used = 0;
    *text = '\0';
    if (o->near_duplicates > 0)
        used +=
            (size_t)snprintf(text, bytes, "--near-duplicates %.17g --keep %s --compare-with %s ",
                             o->near_duplicates, o->keep, o->compare_with);
    if (o->nearest > 0)
        used +=
            (size_t)snprintf(text + used, bytes - used, "--nearest %lld ", (long long)o->nearest);
    if (o->farthest > 0)
        used +=
            (size_t)snprintf(text + used, bytes - used, "--farthest %lld ", (long long)o->farthest);
    if (o->sample > 0)
        used += (size_t)snprintf(text + used, bytes - used, "--sample %lld --order %s ",
                                 (long long)o->sample, o->order);
    snprintf(text + used, bytes - used, "--seed %llu", (unsigned long long)o->seed);
    return text;
}

/* ---- Files ---------------------------------------------------------------------------------- */

static lloyd_status open_rows(selection *s, lloyd_agreement *agreement)
{
    const lloyd_select_options *o = s->options;
    const lloyd_clusters *c = &s->clusters;
    lloyd_input_form form;
    LLOYD_TRY(lloyd_input_form_make(o->dataset, o->raw, o->dim, &form));
    LLOYD_TRY(lloyd_rows_open_form(o->inputs, o->input_count, &form, &s->rows));
    lloyd_row_source_agreement(s->rows, agreement);
    if (lloyd_rows_count(s->rows) == c->rows && lloyd_rows_dim(s->rows) == c->dim) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "%s is of %lld rows x %lld columns, but --input has %lld x %lld; give the rows "
        "that were clustered",
        c->path, (long long)c->rows, (long long)c->dim, (long long)lloyd_rows_count(s->rows),
        (long long)lloyd_rows_dim(s->rows));
}

static lloyd_status open_inputs(selection *s, lloyd_agreement *agreement)
{
    lloyd_clusters *c = &s->clusters;
    LLOYD_TRY(lloyd_clusters_open(s->options->clusters[0], c));
    const uint64_t hash = lloyd_hash(0, c->offsets, (size_t)(c->k + 1) * sizeof *c->offsets);
    lloyd_agreement_add(agreement, "%lld clusters of %lld rows x %lld columns, hash %016llx",
                        (long long)c->k, (long long)c->rows, (long long)c->dim,
                        (unsigned long long)hash);
    return s->options->near_duplicates > 0 ? open_rows(s, agreement) : LLOYD_OK;
}

/* Of rank 0. */
static lloyd_status open_levels(selection *s)
{
    const lloyd_select_options *o = s->options;
    int64_t k = s->clusters.k;
    LLOYD_TRY(lloyd_alloc(&s->parents, o->cluster_count - 1, sizeof *s->parents, "the levels"));
    for (int i = 1; i < o->cluster_count; i++) {
        s->levels = i;
        LLOYD_TRY(lloyd_parents_read(o->clusters[i], o->clusters[i - 1], k, &s->parents[i - 1]));
        k = s->parents[i - 1].k;
    }
    return LLOYD_OK;
}

static lloyd_status check_paths(const selection *s)
{
    lloyd_guard guard = {.items = NULL};
    lloyd_status status = s->rows ? lloyd_guard_read_rows(&guard, s->rows) : LLOYD_OK;
    for (int i = 0; i < s->options->cluster_count && status == LLOYD_OK; i++)
        status = lloyd_guard_read(&guard, "the file with clusters", s->options->clusters[i]);
    if (status == LLOYD_OK) status = lloyd_guard_write(&guard, "--output", s->list.file);
    if (status == LLOYD_OK) status = lloyd_guard_check(&guard);
    lloyd_guard_free(&guard);
    return status;
}

static lloyd_status open_output(selection *s)
{
    if (s->comm->rank != 0) return LLOYD_OK;
    LLOYD_TRY(open_levels(s));
    LLOYD_TRY(lloyd_row_list_name(s->options->output, &s->list));
    LLOYD_TRY(check_paths(s));
    LLOYD_TRY(lloyd_output_open(s->list.file, s->options->force, &s->output));
    return lloyd_output_tidy(&s->output);
}

static lloyd_status open_all(selection *s)
{
    lloyd_agreement agreement = {0};
    lloyd_status status = open_inputs(s, &agreement);
    LLOYD_TRY(lloyd_agreement_compare(s->comm, status, &agreement, &lloyd_differing_inputs));
    return s->comm->agree(s->comm, open_output(s));
}

/* ---- Near-duplicates ------------------------------------------------------------------------ */

static int64_t memory_of_rank(const selection *s)
{
    const int64_t share = lloyd_memory_available() / s->comm->local_size,
                  space = lloyd_memory_space(NULL);
    if (s->options->max_host_memory > 0) return s->options->max_host_memory;
    return (share < space ? share : space) / 4;
}

static lloyd_status find_duplicates(selection *s)
{
    const lloyd_select_options *o = s->options;
    const int64_t words = lloyd_bits_words(s->clusters.count);
    const lloyd_duplicates d = {.clusters = &s->clusters,
                                .rows = s->rows,
                                .threshold = o->near_duplicates,
                                .visit = lloyd_visit_named(o->keep),
                                .with_all = strcmp(o->compare_with, "all") == 0,
                                .seed = o->seed,
                                .threads = lloyd_backend_threads(s->comm),
                                .memory = memory_of_rank(s),
                                .mode = s->comm->rank == 0 ? o->progress : "none"};
    const int64_t first = lloyd_duplicates_first(&s->clusters, s->comm->rank, s->comm->size),
                  end = lloyd_duplicates_first(&s->clusters, s->comm->rank + 1, s->comm->size);
    LLOYD_TRY(lloyd_comm_alloc(s->comm, &s->kept, words, sizeof *s->kept, "marks of members"));
    LLOYD_TRY(s->comm->agree(s->comm, lloyd_duplicates_find(&d, first, end, s->kept)));
    /* No member is marked by two ranks, so the sum is the union. */
    return lloyd_comm_sum_host(s->comm, (int64_t *)s->kept, words);
}

/* ---- The selection -------------------------------------------------------------------------- */

static lloyd_status write_rows(selection *s, const uint64_t *marks)
{
    char text[256];
    const lloyd_row_list_about about = {.version = LLOYD_VERSION,
                                        .method = method(s->options, text, sizeof text),
                                        .inputs = s->options->clusters,
                                        .input_count = s->options->cluster_count};
    return lloyd_row_list_write(&s->output, &s->list, &about, marks, s->result.selected);
}

/* Of rank 0. */
static lloyd_status choose(selection *s)
{
    const lloyd_choosing choosing = {s->options, &s->clusters, s->parents, s->levels, s->kept};
    uint64_t *marks;
    if (s->comm->rank != 0) return LLOYD_OK;
    LLOYD_TRY(
        lloyd_alloc(&marks, lloyd_bits_words(s->clusters.rows), sizeof *marks, "marks of rows"));
    lloyd_status status = lloyd_choose(&choosing, marks, &s->result);
    if (status == LLOYD_OK) status = write_rows(s, marks);
    lloyd_free(marks);
    if (status == LLOYD_OK && s->result.selected < s->options->sample)
        lloyd_note("--sample %lld: there are only %lld rows; all are selected",
                   (long long)s->options->sample, (long long)s->result.selected);
    return status;
}

static lloyd_status run(selection *s)
{
    LLOYD_TRY(compare_options(s));
    s->comm->timeout = s->options->timeout;
    LLOYD_TRY(open_all(s));
    s->result.rows = s->clusters.rows;
    s->result.clusters = s->clusters.k;
    s->result.members = s->clusters.count;
    if (s->options->near_duplicates > 0) LLOYD_TRY(find_duplicates(s));
    LLOYD_TRY(s->comm->agree(s->comm, choose(s)));
    return s->comm->broadcast(s->comm, &s->result, sizeof s->result, 0);
}

lloyd_status lloyd_select(lloyd_comm *comm, const lloyd_select_options *options,
                          lloyd_select_result *result)
{
    selection s = {.comm = comm, .options = options};
    lloyd_status status = run(&s);
    if (status == LLOYD_OK && result) *result = s.result;
    for (int i = 0; i < s.levels; i++) lloyd_parents_free(&s.parents[i]);
    lloyd_free(s.parents);
    lloyd_free(s.kept);
    lloyd_rows_close(s.rows);
    lloyd_clusters_close(&s.clusters);
    lloyd_output_close(&s.output);
    lloyd_row_list_free(&s.list);
    return status;
}
