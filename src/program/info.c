/* lloyd info: what is in a file, as a table for a person. One pass over the data in bounded
 * memory; the statistics are gathered by blocks of rows and put together in order, so that they
 * do not depend on the number of threads. */
#include "lloyd/lloyd.h"

#include "base/half.h"
#include "base/memory.h"
#include "base/text.h"
#include "comm/comm.h"
#include "io/inspect.h"
#include "io/rows.h"
#include "io/writers/checkpoint.h"
#include "io/writers/model.h"
#include "io/writers/split_checkpoint.h"
#include "job/agreement.h"
#include "job/options.h"
#include "job/results/warnings.h"
#include "job/summary.h"
#include "options/table.h"
#include "options/value.h"
#include "program/row_numbers.h"
#include "rows/bad_rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENT = 1024, BLOCKS = 64, FILES_SHOWN = 20 };
static const int64_t BUFFER_BYTES = (int64_t)64 << 20;

/* ---- Vectors -------------------------------------------------------------------------------- */

typedef struct tally {
    double min, max, sum;
    int64_t finite, bad, zero_rows;
    int64_t first_bad; /* row, -1: none */
} tally;

static const tally nothing = {INFINITY, -INFINITY, 0, 0, 0, 0, -1};

/* Elements [first, first+count) of a buffer as float32. */
static void load(lloyd_type type, const void *data, int64_t first, int count, float *out)
{
    const float *f = (const float *)data + first;
    const uint16_t *h = (const uint16_t *)data + first;
    const uint8_t *u = (const uint8_t *)data + first;
    const int8_t *s = (const int8_t *)data + first;
    switch (type) {
    case LLOYD_F32: memcpy(out, f, (size_t)count * sizeof *out); break;
    case LLOYD_F16:
        for (int i = 0; i < count; i++) out[i] = lloyd_f16_to_float(h[i]);
        break;
    case LLOYD_BF16:
        for (int i = 0; i < count; i++) out[i] = lloyd_bf16_to_float(h[i]);
        break;
    case LLOYD_U8:
        for (int i = 0; i < count; i++) out[i] = u[i];
        break;
    case LLOYD_I8:
        for (int i = 0; i < count; i++) out[i] = s[i];
        break;
    }
}

/* Adds one row, row number `row` of the dataset and `i` of the buffer. */
static void tally_row(lloyd_type type, const void *data, int64_t i, int64_t dim, int64_t row,
                      tally *t)
{
    float segment[SEGMENT];
    int64_t bad = 0;
    int zero = 1;
    for (int64_t j = 0; j < dim; j += SEGMENT) {
        int count = dim - j < SEGMENT ? (int)(dim - j) : SEGMENT;
        load(type, data, i * dim + j, count, segment);
        for (int l = 0; l < count; l++) {
            double value = (double)segment[l];
            if (!isfinite(value)) {
                bad++;
                continue;
            }
            t->min = value < t->min ? value : t->min;
            t->max = value > t->max ? value : t->max;
            t->sum += value;
            zero &= value == 0;
        }
    }
    t->finite += dim - bad;
    t->bad += bad;
    t->zero_rows += zero && bad == 0;
    if (bad > 0 && t->first_bad < 0) t->first_bad = row;
}

static void merge(tally *into, const tally *t)
{
    into->min = t->min < into->min ? t->min : into->min;
    into->max = t->max > into->max ? t->max : into->max;
    into->sum += t->sum;
    into->finite += t->finite;
    into->bad += t->bad;
    into->zero_rows += t->zero_rows;
    if (into->first_bad < 0) into->first_bad = t->first_bad;
}

/* Adds rows [first, first+count), which `data` holds. */
static void tally_rows(lloyd_type type, const void *data, int64_t first, int64_t count, int64_t dim,
                       tally *total)
{
    tally blocks[BLOCKS];
    int64_t each = (count + BLOCKS - 1) / BLOCKS;
#pragma omp parallel for schedule(static)
    for (int b = 0; b < BLOCKS; b++) {
        tally t = nothing;
        int64_t end = (b + 1) * each < count ? (b + 1) * each : count;
        for (int64_t i = b * each; i < end; i++) tally_row(type, data, i, dim, first + i, &t);
        blocks[b] = t;
    }
    for (int b = 0; b < BLOCKS; b++) merge(total, &blocks[b]);
}

static lloyd_status tally_all(lloyd_rows *rows, tally *total)
{
    int64_t n = lloyd_rows_count(rows), dim = lloyd_rows_dim(rows);
    int64_t row_bytes = dim * (int64_t)lloyd_type_size(lloyd_rows_type(rows)),
            most = BUFFER_BYTES / row_bytes;
    if (most < 1) most = 1;
    if (most > n) most = n;
    void *buffer;
    LLOYD_TRY(lloyd_alloc(&buffer, most, (size_t)row_bytes, "rows to look at"));
    lloyd_status status = LLOYD_OK;
    *total = nothing;
    for (int64_t first = 0; first < n && status == LLOYD_OK; first += most) {
        int64_t count = n - first < most ? n - first : most;
        status = lloyd_rows_read(rows, first, count, buffer);
        if (status == LLOYD_OK) tally_rows(lloyd_rows_type(rows), buffer, first, count, dim, total);
    }
    lloyd_free(buffer);
    return status;
}

static lloyd_status print_files(lloyd_rows *rows)
{
    int files = lloyd_rows_files(rows);
    char count[32], bytes[32];
    for (int i = 0; i < files && i < FILES_SHOWN; i++) {
        lloyd_rows_about about;
        LLOYD_TRY(lloyd_rows_describe(rows, i, &about));
        printf("  %-12s %s%s%s\n", i == 0 ? (files > 1 ? "files" : "file") : "", about.path,
               about.dataset ? ":" : "", about.dataset ? about.dataset : "");
        printf("  %-12s   %s rows of %s, %s", "", lloyd_text_count(about.rows, count, sizeof count),
               about.type, about.storage);
        if (about.stored > 0)
            printf(", %s on disk", lloyd_text_bytes(about.stored, bytes, sizeof bytes));
        printf("\n");
    }
    if (files > FILES_SHOWN) printf("  %-12s and %d more files\n", "", files - FILES_SHOWN);
    return LLOYD_OK;
}

static void print_tally(const lloyd_rows *rows, const tally *t)
{
    char count[32];
    if (t->finite > 0) {
        printf("  %-12s %.9g to %.9g, mean %.6g\n", "values", t->min, t->max,
               t->sum / (double)t->finite);
    }
    if (t->bad > 0) {
        char text[1200];
        lloyd_rows_where(rows, t->first_bad, text, sizeof text);
        printf("  %-12s %s values are NaN or infinite, the first in %s\n", "not finite",
               lloyd_text_count(t->bad, count, sizeof count), text);
    } else {
        printf("  %-12s none\n", "not finite");
    }
    printf("  %-12s %s\n", "zero rows",
           t->zero_rows ? lloyd_text_count(t->zero_rows, count, sizeof count) : "none");
}

static lloyd_status print_rows(lloyd_rows *rows)
{
    int64_t n = lloyd_rows_count(rows), dim = lloyd_rows_dim(rows);
    lloyd_type type = lloyd_rows_type(rows);
    char a[32], b[32], bytes[32];
    printf("Vectors: %s rows x %s columns of %s%s, %s in memory\n",
           lloyd_text_count(n, a, sizeof a), lloyd_text_count(dim, b, sizeof b),
           lloyd_type_name(type), lloyd_rows_rounded(rows) ? " (float64 is rounded)" : "",
           lloyd_text_bytes(n * dim * (int64_t)lloyd_type_size(type), bytes, sizeof bytes));
    LLOYD_TRY(print_files(rows));
    tally t;
    LLOYD_TRY(tally_all(rows, &t));
    print_tally(rows, &t);
    return LLOYD_OK;
}

static lloyd_status info_rows(const char *input, const lloyd_input_form *form)
{
    lloyd_rows *rows;
    LLOYD_TRY(lloyd_rows_open_form(&input, 1, form, &rows));
    lloyd_status status = print_rows(rows);
    lloyd_rows_close(rows);
    return status;
}

/* ---- Models --------------------------------------------------------------------------------- */

static lloyd_status print_sizes(const lloyd_model *m)
{
    if (!m->counts) return LLOYD_OK;
    lloyd_fit_result r = {0};
    char a[32], b[32], c[32], d[32];
    LLOYD_TRY(lloyd_summary_describe(NULL, NULL, 0, m->counts, m->k, &r));
    printf("  %-12s smallest %s, median %s, largest %s rows; %s empty\n", "clusters",
           lloyd_text_count(r.smallest, a, sizeof a), lloyd_text_count(r.median, b, sizeof b),
           lloyd_text_count(r.largest, c, sizeof c),
           r.empty_clusters ? lloyd_text_count(r.empty_clusters, d, sizeof d) : "none");
    return LLOYD_OK;
}

static void print_moved(const lloyd_model *m)
{
    char text[256];
    const lloyd_summary_sizes sizes = {m->n, m->largest_allowed, m->moved_rows, m->inertia_before,
                                       m->final_inertia};
    if (m->max_size > 0)
        printf("  %-12s %s\n", "max size", lloyd_summary_moved(&sizes, text, sizeof text));
}

/* The first, some middle and the last iterations. */
static void print_history(const lloyd_model *m)
{
    enum { SHOWN = 9, EACH = 3 };
    char moved[32];
    if (m->iterations == 0) return;
    printf("\n  %9s  %-16s %15s %10s\n", "iteration", "inertia", "labels moved", "seconds");
    int64_t middle = m->iterations / 2 - EACH / 2, last = m->iterations - EACH;
    for (int64_t t = 0; t < m->iterations; t++) {
        if (m->iterations > SHOWN + 2 && (t == EACH || t == middle + EACH)) {
            printf("  %9s\n", "...");
            t = t == EACH ? middle : last;
        }
        printf("  %9lld  %-16.10g %15s", (long long)t + 1, m->inertia[t],
               m->moved ? lloyd_text_count(m->moved[t], moved, sizeof moved) : "-");
        if (m->seconds) printf(" %10.4g", m->seconds[t]);
        printf("\n");
    }
}

static void print_inputs(const lloyd_model *m)
{
    for (int i = 0; i < m->input_count && i < FILES_SHOWN; i++)
        printf("  %-12s %s\n", i ? "" : "inputs", m->inputs[i]);
    if (m->input_count > FILES_SHOWN)
        printf("  %-12s and %d more files\n", "", m->input_count - FILES_SHOWN);
}

static void print_warnings(const lloyd_model *m)
{
    lloyd_warnings warnings;
    lloyd_warnings_find(m, &warnings);
    for (int i = 0; i < warnings.count; i++)
        printf("  %-12s %s\n", i ? "" : "warnings", warnings.text[i]);
}

static void print_maker(const lloyd_model *m)
{
    printf("  %-12s lloyd %s, %d rank%s, %s\n", "made by", m->version, m->ranks,
           m->ranks == 1 ? "" : "s", m->backend);
}

/* What the file says of each row, beside its label. */
static lloyd_status print_row_outputs(const char *path)
{
    lloyd_row_outputs has;
    LLOYD_TRY(lloyd_inspect_row_outputs(path, &has));
    if (has.distances) printf("  %-12s /distances to the centroid of the label\n", "distances");
    if (has.second) printf("  %-12s /second: the second-nearest centroid of each row\n", "second");
    if (has.members) printf("  %-12s /members, /offsets: the rows of each cluster\n", "members");
    return LLOYD_OK;
}

static void print_inertia(const lloyd_model *m)
{
    const char *converged = m->converged ? ", converged" : "";
    if (*m->parent)
        printf("  %-12s %.10g%s\n", "inertia", m->final_inertia, converged);
    else
        printf("  %-12s %.10g after %lld iteration%s%s\n", "inertia", m->final_inertia,
               (long long)m->iterations, m->iterations == 1 ? "" : "s", converged);
}

static lloyd_status print_model(const char *path, const lloyd_model *m)
{
    char a[32], b[32];
    printf("Model: %s centroids x %s columns\n", lloyd_text_count(m->k, a, sizeof a),
           lloyd_text_count(m->d, b, sizeof b));
    printf("  %-12s %s\n", "file", path);
    if (m->n > 0) printf("  %-12s %s", "made from", lloyd_text_count(m->n, a, sizeof a));
    if (m->n > 0 && m->stored > 0)
        printf(" of %s rows (%s)\n", lloyd_text_count(m->stored, b, sizeof b), m->subset);
    else if (m->n > 0)
        printf(" rows\n");
    if (m->skipped > 0)
        printf("  %-12s %s bad rows, with the label -1\n", "skipped",
               lloyd_text_count(m->skipped, a, sizeof a));
    if (*m->parent)
        printf("  %-12s %s; /parents has the cluster of each sub-cluster\n", "split from",
               m->parent);
    print_inputs(m);
    if (*m->command) printf("  %-12s %s\n", "command", m->command);
    if (*m->version) {
        print_maker(m);
        printf("  %-12s %s, seed %llu\n", "metric", m->cosine ? "cosine" : "l2",
               (unsigned long long)m->seed);
        print_inertia(m);
    }
    LLOYD_TRY(print_sizes(m));
    print_moved(m);
    LLOYD_TRY(print_row_outputs(path));
    print_warnings(m);
    print_history(m);
    return LLOYD_OK;
}

static lloyd_status info_model(const char *path)
{
    lloyd_model model;
    LLOYD_TRY(lloyd_model_read(path, &model));
    lloyd_status status = print_model(path, &model);
    lloyd_model_free(&model);
    return status;
}

/* ---- Checkpoints ---------------------------------------------------------------------------- */

/* Lines of a text, the first one after `label`, so many at most. */
static void print_lines(const char *label, const char *text, int most)
{
    int shown = 0;
    for (; *text != '\0' && shown < most; shown++) {
        int length = (int)strcspn(text, "\n");
        printf("  %-12s %.*s\n", shown ? "" : label, length, text);
        text += length + (text[length] == '\n');
    }
    if (*text != '\0') printf("  %-12s and more\n", "");
}

static void print_checkpoint(const char *path, const lloyd_saved *s)
{
    char a[32], b[32];
    int64_t iterations = s->run.iterations + s->known;
    if (s->drawn > 0)
        printf("Checkpoint: a seeding of %s centroids x %s columns after step %lld of run %lld\n",
               lloyd_text_count(s->k, a, sizeof a), lloyd_text_count(s->d, b, sizeof b),
               (long long)s->steps, (long long)s->restart + 1);
    else
        printf("Checkpoint: %s centroids x %s columns after iteration %lld of run %lld\n",
               lloyd_text_count(s->k, a, sizeof a), lloyd_text_count(s->d, b, sizeof b),
               (long long)iterations, (long long)s->restart + 1);
    printf("  %-12s %s\n", "file", path);
    printf("  %-12s %s rows of %s, fingerprint %016llx\n", "made from",
           lloyd_text_count(s->n, a, sizeof a), s->type, (unsigned long long)s->data);
    print_lines("inputs", s->inputs, FILES_SHOWN);
    if (*s->command) printf("  %-12s %s\n", "command", s->command);
    printf("  %-12s lloyd %s\n", "made by", s->version);
    print_lines("options", s->options, FILES_SHOWN);
    printf("  %-12s --max-iters %lld\n", "", (long long)s->max_iters);
    if (s->known)
        printf("  %-12s %.10g; %s labels moved in the last iteration\n", "inertia", s->inertia,
               lloyd_text_count(s->moved, a, sizeof a));
    if (s->best.centroids)
        printf("  %-12s inertia %.10g after %lld iterations%s\n", "best so far", s->best_inertia,
               (long long)s->best.iterations, s->best_converged ? ", converged" : "");
    print_history(&(lloyd_model){.iterations = s->run.iterations,
                                 .inertia = s->run.inertia,
                                 .moved = s->run.moved,
                                 .seconds = s->run.seconds});
}

static void print_split(const char *path, const lloyd_saved_split *s)
{
    char a[32], b[32], c[32];
    printf("Checkpoint: a split of %s rows x %s columns after %s of ",
           lloyd_text_count(s->n, a, sizeof a), lloyd_text_count(s->d, b, sizeof b),
           lloyd_text_count(s->done, c, sizeof c));
    printf("%s clusters\n", lloyd_text_count(s->filled, a, sizeof a));
    printf("  %-12s %s\n", "file", path);
    printf("  %-12s rows of %s, fingerprint %016llx\n", "made from", s->type,
           (unsigned long long)s->data);
    print_lines("inputs", s->inputs, FILES_SHOWN);
    if (*s->command) printf("  %-12s %s\n", "command", s->command);
    printf("  %-12s lloyd %s\n", "made by", s->version);
    print_lines("options", s->options, FILES_SHOWN);
    printf("  %-12s %s sub-clusters of the finished clusters\n", "holds",
           lloyd_text_count(s->parts, a, sizeof a));
}

static lloyd_status info_split(const char *path)
{
    lloyd_saved_split saved;
    LLOYD_TRY(lloyd_saved_split_read(path, &saved));
    print_split(path, &saved);
    lloyd_saved_split_free(&saved);
    return LLOYD_OK;
}

static lloyd_status info_checkpoint(const char *path)
{
    lloyd_saved saved;
    int is_split;
    LLOYD_TRY(lloyd_saved_split_is_one(path, &is_split));
    if (is_split) return info_split(path);
    LLOYD_TRY(lloyd_saved_read(path, &saved));
    print_checkpoint(path, &saved);
    lloyd_saved_free(&saved);
    return LLOYD_OK;
}

/* ---- Labels --------------------------------------------------------------------------------- */

/* Reads all labels in pieces. Without `least`: counts[label] is how often a label occurs. With it:
 * *least and *greatest label. */
static lloyd_status scan_labels(const char *path, int64_t total, int32_t *buffer, int64_t most,
                                int64_t *counts, int32_t *least, int32_t *greatest)
{
    for (int64_t first = 0; first < total; first += most) {
        int64_t count = total - first < most ? total - first : most, all;
        LLOYD_TRY(lloyd_inspect_labels(path, first, count, &all, buffer));
        for (int64_t i = 0; i < count; i++) {
            if (!least) {
                counts[buffer[i]]++;
            } else {
                *least = buffer[i] < *least ? buffer[i] : *least;
                *greatest = buffer[i] > *greatest ? buffer[i] : *greatest;
            }
        }
    }
    return LLOYD_OK;
}

/* Counts every label from -1 (of rows that were skipped) to `greatest` and prints how they spread. */
static lloyd_status print_label_counts(const char *path, int64_t total, int32_t *buffer,
                                       int64_t most, int32_t greatest)
{
    int64_t *all, distinct = 0, largest = 0;
    LLOYD_TRY(lloyd_alloc(&all, (int64_t)greatest + 2, sizeof *all, "the labels' counts"));
    int64_t *counts = all + 1;
    lloyd_status status = scan_labels(path, total, buffer, most, counts, NULL, NULL);
    for (int64_t k = 0; k <= greatest && status == LLOYD_OK; k++) {
        distinct += counts[k] > 0;
        if (counts[k] > counts[largest]) largest = k;
    }
    if (status == LLOYD_OK) {
        char a[32], b[32];
        printf("  %-12s %s distinct, from 0 to %d\n", "labels",
               lloyd_text_count(distinct, a, sizeof a), greatest);
        printf("  %-12s cluster %lld, %s rows\n", "largest", (long long)largest,
               lloyd_text_count(counts[largest], b, sizeof b));
        if (counts[LLOYD_SKIPPED] > 0)
            printf("  %-12s %s rows, with the label -1\n", "skipped",
                   lloyd_text_count(counts[LLOYD_SKIPPED], b, sizeof b));
    }
    lloyd_free(all);
    return status;
}

/* Labels from elsewhere, or of an older version, do not say what made them. */
static lloyd_status print_origin(const char *path)
{
    lloyd_model about;
    char *model, a[32];
    LLOYD_TRY(lloyd_labels_read_about(path, &about, &model));
    if (*model) {
        printf("  %-12s %s (%s centroids, %s)\n", "model", model,
               lloyd_text_count(about.k, a, sizeof a), about.cosine ? "cosine" : "l2");
    }
    print_inputs(&about);
    if (*about.command) printf("  %-12s %s\n", "command", about.command);
    if (*about.version) print_maker(&about);
    free(model);
    lloyd_model_free(&about);
    return LLOYD_OK;
}

static lloyd_status print_labels(const char *path, int64_t total, int32_t *buffer, int64_t most)
{
    int32_t least = INT32_MAX, greatest = INT32_MIN;
    char a[32];
    LLOYD_TRY(scan_labels(path, total, buffer, most, NULL, &least, &greatest));
    printf("Labels: of %s rows\n  %-12s %s\n", lloyd_text_count(total, a, sizeof a), "file", path);
    LLOYD_TRY(print_origin(path));
    LLOYD_TRY(print_row_outputs(path));
    if (total == 0) return LLOYD_OK;
    if (least >= LLOYD_SKIPPED && greatest >= 0)
        return print_label_counts(path, total, buffer, most, greatest);
    printf("  %-12s from %d to %d; labels below -1 were not written by lloyd\n", "labels", least,
           greatest);
    return LLOYD_OK;
}

static lloyd_status info_labels(const char *path)
{
    int64_t total;
    int32_t *buffer;
    LLOYD_TRY(lloyd_inspect_labels(path, 0, 0, &total, NULL));
    int64_t most = BUFFER_BYTES / (int64_t)sizeof *buffer;
    if (most > total) most = total > 0 ? total : 1;
    LLOYD_TRY(lloyd_alloc(&buffer, most, sizeof *buffer, "labels to look at"));
    lloyd_status status = print_labels(path, total, buffer, most);
    lloyd_free(buffer);
    return status;
}

/* --------------------------------------------------------------------------------------------- */

static lloyd_status info(const lloyd_info_options *options)
{
    const char *file = options->file;
    lloyd_input_form form;
    lloyd_kind kind;
    if (!file || *file == '\0') return lloyd_fail(LLOYD_USAGE, "info needs the name of a file");
    LLOYD_TRY(lloyd_input_form_make(options->dataset, options->raw, options->dim, &form));
    if (options->dataset || options->raw) return info_rows(file, &form);
    LLOYD_TRY(lloyd_inspect_kind(file, &kind));
    if (kind == LLOYD_KIND_MODEL) return info_model(file);
    if (kind == LLOYD_KIND_CHECKPOINT) return info_checkpoint(file);
    if (kind == LLOYD_KIND_LABELS) return info_labels(file);
    if (kind == LLOYD_KIND_NUMBERS) return lloyd_row_numbers_info(file);
    return info_rows(file, &form);
}

lloyd_status lloyd_info_file(lloyd_comm *comm, const lloyd_info_options *options)
{
    lloyd_agreement agreement = {0};
    lloyd_agreement_begin(&agreement, "info");
    lloyd_agreement_option(&agreement, "the file", options->file);
    lloyd_status status =
        lloyd_options_check(lloyd_commands[LLOYD_COMMAND_INFO].options, options, 0);
    if (status == LLOYD_OK)
        status = lloyd_options_agreement(LLOYD_COMMAND_INFO, options, &agreement);
    LLOYD_TRY(lloyd_agreement_compare(comm, status, &agreement, &lloyd_differing_options));
    return comm->agree(comm, comm->rank == 0 ? info(options) : LLOYD_OK);
}

lloyd_status lloyd_info(lloyd_comm *comm, const char *file)
{
    return lloyd_info_file(comm, &(lloyd_info_options){.file = file});
}
