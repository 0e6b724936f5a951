/* lloyd_report(): a page about a model. Everything is written into memory first, which takes a few
 * hundred kilobytes whatever the model's size: curves are thinned, and of long lists the page shows
 * a part and says so.
 */
#include "lloyd.h"

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "comm/comm.h"
#include "io/guard.h"
#include "io/writers/model.h"
#include "io/writers/origin.h"
#include "io/writers/output.h"
#include "job/facts.h"
#include "job/summary.h"
#include "report/chart.h"
#include "report/html.h"
#include "report/page.h"
#include "report/runlog.h"

#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    STEPS_SHOWN = 25, /* iterations in the table */
    FILES_SHOWN = 100,
    NAMED = 5,         /* largest clusters */
    EMPTY_NAMED = 20,  /* empty clusters */
    RANKS_DRAWN = 800, /* points of the curve of sizes */
    BINS = 24,         /* of the histogram, at most; more only where sizes span more than 2^24 */
    BINS_MOST = 66
};

typedef struct report {
    const lloyd_report_options *options;
    FILE *out;
    lloyd_model model;
    lloyd_runlog log;
    int logged;          /* 1: `log` is that of the model's fit */
    char *log_path;      /* of `log`; or the one that is missing */
    char log_note[2048]; /* why there is no log, "": none is known of */
} report;

/* A text in pieces, for captions. */
static const char *say(char *text, size_t bytes, const char *format, ...) LLOYD_PRINTF(3, 4);
static const char *say(char *text, size_t bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, bytes, format, arguments);
    va_end(arguments);
    return text;
}

static const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

static void note(const report *r, const char *text)
{
    fputs("<p class=\"note\">", r->out);
    lloyd_html_text(r->out, text);
    fputs("</p>\n", r->out);
}

/* ---- The log --------------------------------------------------------------------------- */

/* *path = the text of an option of the model, NULL where it has none; free it. */
static lloyd_status model_option(const lloyd_model *m, const char *name, char **value)
{
    char *line = strdup(m->options), *at = line;
    lloyd_json_field field;
    *value = NULL;
    if (line == NULL) return lloyd_fail(LLOYD_FAILED, "no memory for the options of a model");
    int found = 0, more = lloyd_json_open(&at);
    while (more && !found && lloyd_json_next(&at, &field) > 0)
        found = field.kind == LLOYD_JSON_TEXT && strcmp(field.name, name) == 0;
    if (found) *value = strdup(field.value);
    free(line);
    if (found && *value == NULL)
        return lloyd_fail(LLOYD_FAILED, "no memory for the options of a model");
    return LLOYD_OK;
}

static int is_regular(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* The log may have been moved together with the model: *path = the file of its name beside it. */
static lloyd_status beside_model(const char *model, const char *log, char **path)
{
    const char *slash = strrchr(model, '/'), *name = strrchr(log, '/');
    int folder = slash != NULL ? (int)(slash + 1 - model) : 0;
    if (asprintf(path, "%.*s%s", folder, model, name != NULL ? name + 1 : log) >= 0)
        return LLOYD_OK;
    *path = NULL;
    return lloyd_fail(LLOYD_FAILED, "no memory for the name of a log");
}

/* The log that the model names, if it is still there and still that of its fit. */
static lloyd_status find_log(report *r)
{
    char *beside;
    LLOYD_TRY(model_option(&r->model, "log", &r->log_path));
    if (r->log_path == NULL) return LLOYD_OK;
    if (!is_regular(r->log_path)) {
        LLOYD_TRY(beside_model(r->options->model, r->log_path, &beside));
        if (!is_regular(beside)) {
            say(r->log_note, sizeof r->log_note, "The log of the fit, %s, is not there any more.",
                r->log_path);
            free(beside);
            return LLOYD_OK;
        }
        free(r->log_path);
        r->log_path = beside;
    }
    lloyd_status status = lloyd_runlog_read(r->log_path, &r->model, &r->log);
    r->logged = status == LLOYD_OK;
    if (status != LLOYD_BAD_INPUT) return status;
    say(r->log_note, sizeof r->log_note, "The log that the model names is left out: %s.",
        lloyd_message());
    return LLOYD_OK;
}

static lloyd_status open_log(report *r)
{
    if (r->options->log == NULL) return find_log(r);
    LLOYD_TRY(lloyd_runlog_read(r->options->log, &r->model, &r->log));
    r->logged = 1;
    r->log_path = strdup(r->options->log);
    return r->log_path != NULL ? LLOYD_OK
                               : lloyd_fail(LLOYD_FAILED, "no memory for the name of a log");
}

/* ---- Head ------------------------------------------------------------------------------ */

static double total_seconds(const lloyd_model *m)
{
    double total = 0;
    for (int64_t t = 0; t < m->iterations && m->seconds != NULL; t++) total += m->seconds[t];
    return total;
}

/* The share of rows that were verified over all iterations in the log; NAN without one. */
static double verified_share(const report *r)
{
    double rows = 0, iterations = 0;
    for (int64_t t = 0; r->logged && t < r->model.iterations; t++) {
        if (!isfinite(r->log.verified[t])) continue;
        rows += r->log.verified[t];
        iterations++;
    }
    return rows / (iterations * (double)r->model.n);
}

static void title(const report *r)
{
    const lloyd_model *m = &r->model;
    char k[32], n[32], d[32];
    fprintf(r->out, "%s cluster%s of ", lloyd_text_count(m->k, k, sizeof k), plural(m->k));
    if (m->n > 0) fprintf(r->out, "%s row%s × ", lloyd_text_count(m->n, n, sizeof n), plural(m->n));
    fprintf(r->out, "%s column%s", lloyd_text_count(m->d, d, sizeof d), plural(m->d));
}

/* The last part of a path. */
static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

static void write_head(const report *r)
{
    const lloyd_model *m = &r->model;
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n" LLOYD_ORIGIN_PAGE
          "\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>",
          r->out);
    lloyd_html_text(r->out, file_name(r->options->model));
    fputs(": ", r->out);
    title(r);
    fprintf(r->out, "</title>\n<style>\n%s</style></head>\n<body><main>\n<header><h1>",
            lloyd_page_style);
    title(r);
    fputs("</h1>\n<p class=\"soft\">", r->out);
    lloyd_html_text(r->out, r->options->model);
    if (m->input_count > 0) {
        fputs(", from ", r->out);
        lloyd_html_text(r->out, m->inputs[0]);
    }
    if (m->input_count > 1)
        fprintf(r->out, " and %d more file%s", m->input_count - 1, plural(m->input_count - 1));
    if (*m->version) fprintf(r->out, "; metric %s", m->cosine ? "cosine" : "l2");
    fputs("</p>\n", r->out);
}

static void open_tile(const report *r, const char *name)
{
    fprintf(r->out, "<div><dt>%s</dt><dd>", name);
}

static void close_tile(const report *r, const char *more)
{
    fprintf(r->out, "</dd><dd>%s</dd></div>\n", more);
}

static void inertia_tile(const report *r)
{
    const lloyd_model *m = &r->model;
    char text[64] = "";
    double first = m->inertia != NULL && m->iterations > 0 ? m->inertia[0] : 0;
    double change = lloyd_text_change(first, m->final_inertia);
    if (!*m->version) return;
    open_tile(r, "Final inertia");
    lloyd_html_real(r->out, m->final_inertia, 6);
    if (isfinite(change) && m->k < m->n)
        say(text, sizeof text, "%s%.1f %% against the first", change < 0 ? "−" : "+", fabs(change));
    close_tile(r, text);
}

/* A log that was begun when the fit was resumed lacks iterations of the model. */
static int is_logged_whole(const report *r)
{
    int64_t found = 0;
    for (int64_t t = 0; t < r->model.iterations; t++) found += isfinite(r->log.verified[t]) != 0;
    return found == r->model.iterations;
}

static void write_tiles(const report *r)
{
    const lloyd_model *m = &r->model;
    char text[96], time[32];
    fputs("<dl class=\"tiles\">\n", r->out);
    inertia_tile(r);
    if (m->inertia != NULL) {
        open_tile(r, "Iterations");
        lloyd_html_whole(r->out, m->iterations);
        close_tile(r, m->converged        ? "converged"
                      : m->iterations > 0 ? "ended before it converged"
                                          : "seeded and assigned only");
    }
    if (m->n > 0) {
        open_tile(r, "Mean cluster size");
        lloyd_html_real(r->out, (double)m->n / (double)m->k, 6);
        close_tile(r, "rows");
    }
    if (m->seconds != NULL && m->iterations > 0) {
        open_tile(r, "Time per iteration");
        lloyd_html_seconds(r->out, total_seconds(m) / (double)m->iterations);
        close_tile(r, r->logged ? say(text, sizeof text, "%s %s",
                                      lloyd_html_time(r->log.total, time, sizeof time),
                                      is_logged_whole(r) ? "in all" : "since it was resumed")
                                : "");
    }
    double share = verified_share(r);
    if (isfinite(share)) {
        open_tile(r, "Verified rows");
        lloyd_html_real(r->out, 100 * share, 3);
        fputs(" %", r->out);
        close_tile(r, "the fast pass proves all others");
    }
    fputs("</dl></header>\n", r->out);
}

static void write_doubts(const report *r)
{
    char text[256];
    if (!*r->model.version)
        note(r, "This model was not written by lloyd fit: nothing is known of how it was made.");
    else if (strcmp(r->model.version, LLOYD_VERSION) != 0)
        note(r, say(text, sizeof text,
                    "The model was written by lloyd %.64s, this page by lloyd " LLOYD_VERSION
                    ": what either does not know of is not shown.",
                    r->model.version));
    if (r->log_note[0] != '\0') note(r, r->log_note);
}

/* ---- Convergence ----------------------------------------------------------------------- */

/* How much the inertia fell in iteration t, against the one before; NAN for the first. */
static double decrease(const lloyd_model *m, int64_t t)
{
    return t > 0 ? (m->inertia[t - 1] - m->inertia[t]) / m->inertia[t - 1] : NAN;
}

static lloyd_status draw_decrease(const report *r)
{
    const lloyd_model *m = &r->model;
    char text[256], last[64];
    double *values;
    if (m->iterations < 2) return LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(&values, m->iterations, sizeof *values, "a curve"));
    for (int64_t t = 0; t < m->iterations; t++) values[t] = decrease(m, t);
    lloyd_chart_line(r->out,
                     &(lloyd_chart){.id = "decrease",
                                    .title = "Relative decrease.",
                                    .describe = say(text, sizeof text,
                                                    "By which share the inertia fell against the "
                                                    "iteration before; in the last one %s.",
                                                    lloyd_text_real(values[m->iterations - 1], 3,
                                                                    last, sizeof last)),
                                    .x_title = "iteration",
                                    .y_title = "relative decrease",
                                    .point = "iteration",
                                    .y = values + 1,
                                    .first = 2,
                                    .count = m->iterations - 1,
                                    .x_log = 200,
                                    .y_log = 10});
    lloyd_free(values);
    return LLOYD_OK;
}

static void draw_inertia(const report *r)
{
    const lloyd_model *m = &r->model;
    char text[256], first[64], last[64];
    lloyd_chart_line(
        r->out,
        &(lloyd_chart){.id = "inertia",
                       .title = "Inertia.",
                       .describe = say(text, sizeof text,
                                       "Sum of squared distances of the rows to their centroids, "
                                       "those with which the iteration began: first %s, last %s.",
                                       lloyd_text_real(m->inertia[0], 6, first, sizeof first),
                                       lloyd_text_real(m->inertia[m->iterations - 1], 6, last,
                                                       sizeof last)),
                       .x_title = "iteration",
                       .y_title = "inertia",
                       .point = "iteration",
                       .y = m->inertia,
                       .first = 1,
                       .count = m->iterations,
                       .x_log = 200,
                       .y_log = 20});
}

/* *values = the whole numbers as real ones; free with lloyd_free(). */
static lloyd_status as_reals(const int64_t *whole, int64_t count, double **values)
{
    LLOYD_TRY(lloyd_alloc(values, count, sizeof **values, "a curve"));
    for (int64_t i = 0; i < count; i++) (*values)[i] = (double)whole[i];
    return LLOYD_OK;
}

static lloyd_status draw_moved(const report *r)
{
    const lloyd_model *m = &r->model;
    char text[256], last[32];
    double *values;
    if (m->moved == NULL) {
        note(r, "The model does not say how many labels moved.");
        return LLOYD_OK;
    }
    LLOYD_TRY(as_reals(m->moved, m->iterations, &values));
    lloyd_chart_line(r->out,
                     &(lloyd_chart){.id = "moved",
                                    .title = "Labels moved.",
                                    .describe = say(text, sizeof text,
                                                    "Rows whose cluster changed; in the "
                                                    "last iteration %s.",
                                                    lloyd_text_count(m->moved[m->iterations - 1],
                                                                     last, sizeof last)),
                                    .x_title = "iteration",
                                    .y_title = "labels moved",
                                    .y_whole = 1,
                                    .point = "iteration",
                                    .y = values,
                                    .first = 1,
                                    .count = m->iterations,
                                    .x_log = 200,
                                    .y_log = 10});
    lloyd_free(values);
    return LLOYD_OK;
}

static void write_step(const report *r, int64_t t)
{
    const lloyd_model *m = &r->model;
    fputs("<tr><td>", r->out);
    lloyd_html_whole(r->out, t + 1);
    fputs("</td><td>", r->out);
    lloyd_html_real(r->out, m->inertia[t], 10);
    fputs("</td><td>", r->out);
    lloyd_html_real(r->out, decrease(m, t), 3);
    fputs("</td><td>", r->out);
    if (m->moved != NULL) lloyd_html_whole(r->out, m->moved[t]);
    fputs("</td><td>", r->out);
    if (m->seconds != NULL) lloyd_html_real(r->out, m->seconds[t], 3);
    if (r->logged) {
        fputs("</td><td>", r->out);
        lloyd_html_real(r->out, 100 * r->log.verified[t] / (double)m->n, 3);
    }
    fputs("</td></tr>\n", r->out);
}

/* All iterations, or the first ones and then fewer and fewer, and the last. */
static void write_steps(const report *r)
{
    const lloyd_model *m = &r->model;
    const int64_t dense = STEPS_SHOWN * 2 / 5;
    char count[32];
    fputs("<div class=\"wide\"><table id=\"iterations\"><caption>Iterations</caption>\n"
          "<tr><th>iteration</th><th>inertia</th><th>relative decrease</th><th>labels moved</th>"
          "<th>seconds</th>",
          r->out);
    if (r->logged) fputs("<th>verified, %</th>", r->out);
    fputs("</tr>\n", r->out);
    double step = pow((double)m->iterations / (double)dense, 1.0 / (double)(STEPS_SHOWN - dense));
    double at = (double)dense;
    for (int64_t t = 0; t < m->iterations;) {
        write_step(r, t);
        if (m->iterations <= STEPS_SHOWN || t + 1 < dense || t == m->iterations - 1) {
            t++;
            continue;
        }
        at *= step;
        int64_t next = llround(at) - 1;
        t = next <= t ? t + 1 : next < m->iterations ? next : m->iterations - 1;
    }
    fputs("</table></div>\n", r->out);
    if (m->iterations > STEPS_SHOWN)
        fprintf(r->out,
                "<p class=\"soft\">A part of the %s iterations; all are in /history of the "
                "model.</p>\n",
                lloyd_text_count(m->iterations, count, sizeof count));
}

static lloyd_status write_convergence(const report *r)
{
    const lloyd_model *m = &r->model;
    fputs("<section><h2>Convergence</h2>\n", r->out);
    if (m->inertia == NULL)
        note(r, "The model has no history of its iterations.");
    else if (m->iterations == 0)
        note(r, "There was no iteration: the rows were assigned to the first centroids.");
    if (m->inertia != NULL && m->iterations > 0) {
        fputs("<div class=\"row\">\n", r->out);
        draw_inertia(r);
        LLOYD_TRY(draw_decrease(r));
        LLOYD_TRY(draw_moved(r));
        fputs("</div>\n", r->out);
        write_steps(r);
    }
    fputs("</section>\n", r->out);
    return LLOYD_OK;
}

/* ---- Cluster sizes --------------------------------------------------------------------- */

typedef struct sizes {
    int64_t k, empty, negative;
    int64_t largest[NAMED]; /* clusters, the largest first; ties to the lower number */
    int named;
    int64_t nothing[EMPTY_NAMED]; /* the first empty ones */
    double rows;
    int bins;
    double edge[BINS_MOST + 1], clusters[BINS_MOST], share[BINS_MOST]; /* share of all rows */
} sizes;

static void name_cluster(const int64_t *counts, int64_t k, sizes *s)
{
    int place = s->named;
    while (place > 0 && counts[s->largest[place - 1]] < counts[k]) place--;
    if (place == NAMED) return;
    if (s->named < NAMED) s->named++;
    memmove(s->largest + place + 1, s->largest + place,
            (size_t)(s->named - place - 1) * sizeof *s->largest);
    s->largest[place] = k;
}

static void survey(const int64_t *counts, sizes *s)
{
    for (int64_t k = 0; k < s->k; k++) {
        if (counts[k] == 0 && s->empty < EMPTY_NAMED) s->nothing[s->empty] = k;
        s->empty += counts[k] == 0;
        s->negative += counts[k] < 0;
        s->rows += (double)counts[k];
        name_cluster(counts, k, s);
    }
}

/* Bins of equal width on a logarithmic scale, `parts` for a factor of 2: as many parts as leave
 * every bin at least one whole number and not too many bins. */
static void make_bins(int64_t least, int64_t most, sizes *s)
{
    const double limit = nextafter(0x1p63, 0); /* the last one that fits an int64_t */
    int parts = 8;
    for (; parts > 1; parts /= 2) {
        int enough = (double)least * (exp2(1.0 / parts) - 1) >= 1;
        if (enough && parts * log2((double)most / (double)least) <= BINS) break;
    }
    double first = floor(parts * log2(fmin((double)least, 0x1p62)) + 1e-9);
    s->bins = 0;
    for (s->edge[0] = ceil(exp2(first / parts) - 1e-9); s->bins < BINS_MOST;) {
        s->bins++;
        s->edge[s->bins] = fmin(ceil(exp2((first + s->bins) / parts) - 1e-9), limit);
        if (s->edge[s->bins] > (double)most || s->edge[s->bins] == limit) break;
    }
}

static void fill_bins(const int64_t *sorted, sizes *s)
{
    int bin = 0;
    for (int64_t i = s->empty; i < s->k; i++) {
        while (bin < s->bins - 1 && (double)sorted[i] >= s->edge[bin + 1]) bin++;
        s->clusters[bin]++;
        s->share[bin] += (double)sorted[i] / s->rows;
    }
}

static int by_size(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

static void draw_histogram(const report *r, const sizes *s)
{
    char text[256], empty[32];
    lloyd_chart_histogram(r->out,
                          &(lloyd_chart){.id = "histogram",
                                         .title = "Clusters by size.",
                                         .describe =
                                             say(text, sizeof text,
                                                 "How many clusters have so many rows, in bins of "
                                                 "equal width on the logarithmic scale; empty: %s.",
                                                 lloyd_text_count(s->empty, empty, sizeof empty)),
                                         .x_title = "rows in the cluster",
                                         .y_title = "clusters",
                                         .y_whole = 1,
                                         .point = "rows",
                                         .x = s->edge,
                                         .y = s->clusters,
                                         .count = s->bins,
                                         .y_zero = 1});
}

/* The sizes from the largest on, of so many clusters as the eye can tell apart. */
static void draw_ranks(const report *r, const int64_t *sorted, const sizes *s)
{
    double rank[RANKS_DRAWN], size[RANKS_DRAWN];
    int64_t count = 0, filled = s->k - s->empty, all = filled <= RANKS_DRAWN;
    double last = 0;
    for (int64_t i = 0; i < RANKS_DRAWN && last < (double)filled; i++) {
        double at =
            all ? (double)i + 1 : round(pow((double)filled, (double)i / (double)(RANKS_DRAWN - 1)));
        if (at <= last) at = last + 1;
        if (i == RANKS_DRAWN - 1) at = (double)filled;
        rank[count] = last = at;
        size[count++] = (double)sorted[s->k - (int64_t)at];
    }
    lloyd_chart_line(r->out,
                     &(lloyd_chart){.id = "ranks",
                                    .title = "Sizes in order.",
                                    .describe = "The clusters from the largest to the smallest "
                                                "that is not empty.",
                                    .x_title = "rank of the cluster",
                                    .y_title = "rows in the cluster",
                                    .y_whole = 1,
                                    .point = "rank",
                                    .x = rank,
                                    .y = size,
                                    .count = count,
                                    .x_log = 200,
                                    .y_log = 10});
}

static void size_row(const report *r, const char *name, int64_t rows)
{
    fprintf(r->out, "<tr><th>%s</th><td>", name);
    lloyd_html_whole(r->out, rows);
    fputs("</td></tr>\n", r->out);
}

static void write_quantiles(const report *r, const int64_t *sorted, const sizes *s)
{
    int64_t k = s->k;
    fputs("<table id=\"sizes\" class=\"about\"><caption>Rows in a cluster</caption>\n", r->out);
    size_row(r, "smallest", sorted[0]);
    size_row(r, "1 of 10 has no more than", sorted[(k - 1) / 10]);
    size_row(r, "median", sorted[k / 2]);
    size_row(r, "9 of 10 have no more than", sorted[(k - 1) - (k - 1) / 10]);
    size_row(r, "largest", sorted[k - 1]);
    fputs("<tr><th>mean</th><td>", r->out);
    lloyd_html_real(r->out, s->rows / (double)k, 6);
    fputs("</td></tr>\n", r->out);
    size_row(r, "empty clusters", s->empty);
    fputs("</table>\n", r->out);
}

static void write_largest(const report *r, const sizes *s)
{
    const lloyd_model *m = &r->model;
    fputs("<table id=\"largest\"><caption>Largest clusters</caption>\n"
          "<tr><th>cluster</th><th>rows</th><th>of all rows, %</th></tr>\n",
          r->out);
    for (int i = 0; i < s->named; i++) {
        fputs("<tr><td>", r->out);
        lloyd_html_whole(r->out, s->largest[i]);
        fputs("</td><td>", r->out);
        lloyd_html_whole(r->out, m->counts[s->largest[i]]);
        fputs("</td><td>", r->out);
        lloyd_html_real(r->out, 100 * (double)m->counts[s->largest[i]] / s->rows, 3);
        fputs("</td></tr>\n", r->out);
    }
    fputs("</table>\n", r->out);
}

static void write_empty(const report *r, const sizes *s)
{
    char count[32], text[96];
    int64_t distinct = lloyd_summary_model_distinct(&r->model, s->empty);
    if (s->empty == 0) return;
    if (distinct > 0) {
        lloyd_summary_shortage(distinct, s->empty, text, sizeof text);
        fprintf(r->out, "<p id=\"distinct\" class=\"note\">O%s.</p>\n", text + 1);
    }
    fputs("<p id=\"empty\">Empty clusters: ", r->out);
    for (int64_t i = 0; i < s->empty && i < EMPTY_NAMED; i++) {
        if (i > 0) fputs(", ", r->out);
        lloyd_html_whole(r->out, s->nothing[i]);
    }
    if (s->empty > EMPTY_NAMED)
        fprintf(r->out, " and %s more",
                lloyd_text_count(s->empty - EMPTY_NAMED, count, sizeof count));
    fputs(".</p>\n", r->out);
}

static void write_bins(const report *r, const sizes *s)
{
    fputs("<table id=\"bins\"><caption>Clusters by size</caption>\n"
          "<tr><th>rows from</th><th>to</th><th>clusters</th><th>of all rows, %</th></tr>\n",
          r->out);
    for (int i = 0; i < s->bins; i++) {
        fputs("<tr><td>", r->out);
        lloyd_html_whole(r->out, (int64_t)s->edge[i]);
        fputs("</td><td>", r->out);
        lloyd_html_whole(r->out, (int64_t)s->edge[i + 1] - 1);
        fputs("</td><td>", r->out);
        lloyd_html_whole(r->out, (int64_t)s->clusters[i]);
        fputs("</td><td>", r->out);
        lloyd_html_real(r->out, 100 * s->share[i], 3);
        fputs("</td></tr>\n", r->out);
    }
    fputs("</table>\n", r->out);
}

/* `sorted` is the model's counts in rising order. */
static void write_distribution(const report *r, const int64_t *sorted, sizes *s)
{
    if (s->empty < s->k) {
        make_bins(sorted[s->empty], sorted[s->k - 1], s);
        fill_bins(sorted, s);
    }
    fputs("<div class=\"row\">\n", r->out);
    if (s->bins > 0) {
        draw_histogram(r, s);
        draw_ranks(r, sorted, s);
    }
    write_quantiles(r, sorted, s);
    fputs("</div>\n<div class=\"row\">\n", r->out);
    if (s->bins > 0) {
        write_bins(r, s);
        write_largest(r, s);
    }
    write_empty(r, s);
    fputs("</div>\n", r->out);
}

static lloyd_status write_sizes(const report *r)
{
    const lloyd_model *m = &r->model;
    sizes s = {.k = m->k};
    int64_t *sorted;
    fputs("<section><h2>Cluster sizes</h2>\n", r->out);
    if (m->counts != NULL) survey(m->counts, &s);
    if (m->counts == NULL) {
        note(r, "The model does not say how many rows its clusters have.");
    } else if (s.negative > 0) {
        note(r, "The model has clusters of less than 0 rows; the file may be damaged.");
    } else {
        LLOYD_TRY(lloyd_alloc(&sorted, m->k, sizeof *sorted, "the sizes of the clusters"));
        memcpy(sorted, m->counts, (size_t)m->k * sizeof *sorted);
        qsort(sorted, (size_t)m->k, sizeof *sorted, by_size);
        write_distribution(r, sorted, &s);
        lloyd_free(sorted);
    }
    fputs("</section>\n", r->out);
    return LLOYD_OK;
}

/* ---- Time ------------------------------------------------------------------------------ */

static void draw_seconds(const report *r)
{
    const lloyd_model *m = &r->model;
    char text[256], total[64];
    lloyd_chart_line(r->out,
                     &(lloyd_chart){.id = "seconds",
                                    .title = "Time per iteration.",
                                    .describe =
                                        say(text, sizeof text, "All iterations together took %s.",
                                            lloyd_html_time(total_seconds(m), total, sizeof total)),
                                    .x_title = "iteration",
                                    .y_title = "seconds",
                                    .point = "iteration",
                                    .y = m->seconds,
                                    .first = 1,
                                    .count = m->iterations,
                                    .x_log = 200,
                                    .y_log = 100,
                                    .y_zero = 1});
}

/* The phases that took time, and what is left of the whole: *count of them. */
static void gather_phases(const report *r, const char **names, double *seconds, int64_t *count)
{
    double rest = r->log.total;
    *count = 0;
    for (int p = 0; p < LLOYD_PHASES; p++) {
        rest -= r->log.seconds[p];
        if (p == LLOYD_PHASE_CHECKPOINT && r->log.seconds[p] == 0) continue;
        names[*count] = lloyd_phase_names[p];
        seconds[(*count)++] = r->log.seconds[p];
    }
    names[*count] = "other";
    seconds[(*count)++] = fmax(rest, 0);
}

static void draw_phases(const report *r)
{
    const char *names[LLOYD_PHASES + 1];
    double seconds[LLOYD_PHASES + 1];
    int64_t count;
    char text[256], total[64], all[32], starts[96] = "";
    gather_phases(r, names, seconds, &count);
    if (r->log.iterations > r->model.iterations)
        say(starts, sizeof starts,
            " %s iterations were done, of other starts or repeated ones too.",
            lloyd_text_count(r->log.iterations, all, sizeof all));
    lloyd_chart_rows(r->out,
                     &(lloyd_chart){.id = "phases",
                                    .title = "Time per phase.",
                                    .describe =
                                        say(text, sizeof text, "%s took %s%s.%s",
                                            is_logged_whole(r)
                                                ? "The whole fit"
                                                : "What the log has, from where it was resumed on,",
                                            lloyd_html_time(r->log.total, total, sizeof total),
                                            r->log.begins > 1 ? ", resumed ones together" : "",
                                            starts),
                                    .y = seconds,
                                    .count = count},
                     names);
}

static void write_phases(const report *r)
{
    const char *names[LLOYD_PHASES + 1];
    double seconds[LLOYD_PHASES + 1];
    int64_t count;
    gather_phases(r, names, seconds, &count);
    fputs("<table id=\"phases-table\"><caption>Time per phase</caption>\n"
          "<tr><th>phase</th><th>seconds</th><th>of the whole, %</th></tr>\n",
          r->out);
    for (int64_t i = 0; i < count; i++) {
        fprintf(r->out, "<tr><td>%s</td><td>", names[i]);
        lloyd_html_real(r->out, seconds[i], 4);
        fputs("</td><td>", r->out);
        lloyd_html_real(r->out, 100 * seconds[i] / r->log.total, 3);
        fputs("</td></tr>\n", r->out);
    }
    fputs("<tr><td>together</td><td>", r->out);
    lloyd_html_real(r->out, r->log.total, 4);
    fputs("</td><td></td></tr>\n</table>\n", r->out);
}

static lloyd_status draw_verified(const report *r)
{
    const lloyd_model *m = &r->model;
    char text[256], share[64];
    double *values;
    LLOYD_TRY(lloyd_alloc(&values, m->iterations, sizeof *values, "a curve"));
    for (int64_t t = 0; t < m->iterations; t++) values[t] = 100 * r->log.verified[t] / (double)m->n;
    lloyd_chart_line(r->out,
                     &(lloyd_chart){.id = "verified",
                                    .title = "Verified rows.",
                                    .describe =
                                        say(text, sizeof text,
                                            "Rows whose label the fast pass could not prove, "
                                            "and the exact one decided: %s %% on average.",
                                            lloyd_text_real(100 * verified_share(r), 3, share,
                                                            sizeof share)),
                                    .x_title = "iteration",
                                    .y_title = "% of the rows",
                                    .point = "iteration",
                                    .y = values,
                                    .first = 1,
                                    .count = m->iterations,
                                    .x_log = 200,
                                    .y_zero = 1});
    lloyd_free(values);
    return LLOYD_OK;
}

static void write_speed(const report *r)
{
    const lloyd_model *m = &r->model;
    double least = INFINITY, most = -INFINITY, total = total_seconds(m);
    for (int64_t t = 0; t < m->iterations; t++) {
        least = fmin(least, m->seconds[t]);
        most = fmax(most, m->seconds[t]);
    }
    const struct {
        const char *name;
        double value;
    } rows[] = {{"all iterations, s", total},
                {"mean, s", total / (double)m->iterations},
                {"fastest, s", least},
                {"slowest, s", most}};
    double speed = (double)m->n * (double)m->iterations / total;
    fputs("<table id=\"speed\" class=\"about\"><caption>Time per iteration</caption>\n", r->out);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fprintf(r->out, "<tr><th>%s</th><td>", rows[i].name);
        lloyd_html_real(r->out, rows[i].value, 4);
        fputs("</td></tr>\n", r->out);
    }
    if (speed > 0 && speed < 9e18) size_row(r, "rows/s", llround(speed));
    fputs("</table>\n", r->out);
}

static const char *const part_names[LLOYD_PARTS] = {"waiting for rows",  "fast assignment",
                                                    "exact assignment",  "update",
                                                    "waiting for ranks", "all-reduce"};

static void draw_parts(const report *r)
{
    lloyd_chart_rows(r->out,
                     &(lloyd_chart){.id = "parts",
                                    .title = "Time within the iterations.",
                                    .describe = r->log.begins > 1
                                                    ? "Mean of the ranks; since the last resume."
                                                    : "Mean of the ranks.",
                                    .y = r->log.part_mean,
                                    .count = LLOYD_PARTS},
                     part_names);
}

static void write_parts(const report *r)
{
    fputs(
        "<table id=\"parts-table\"><caption>Time within the iterations</caption>\n"
        "<tr><th>part</th><th>seconds, mean of the ranks</th><th>of the rank with most</th></tr>\n",
        r->out);
    for (int p = 0; p < LLOYD_PARTS; p++) {
        fprintf(r->out, "<tr><td>%s</td><td>", part_names[p]);
        lloyd_html_real(r->out, r->log.part_mean[p], 4);
        fputs("</td><td>", r->out);
        lloyd_html_real(r->out, r->log.part_most[p], 4);
        fputs("</td></tr>\n", r->out);
    }
    fputs("</table>\n", r->out);
}

static lloyd_status write_time(const report *r)
{
    const lloyd_model *m = &r->model;
    int timed = m->seconds != NULL && m->iterations > 0;
    if (!timed && !r->logged) return LLOYD_OK;
    fputs("<section><h2>Time</h2>\n<div class=\"row\">\n", r->out);
    if (timed) draw_seconds(r);
    if (r->logged) draw_phases(r);
    if (isfinite(verified_share(r))) LLOYD_TRY(draw_verified(r));
    fputs("</div>\n<div class=\"row\">\n", r->out);
    if (timed) write_speed(r);
    if (r->logged) write_phases(r);
    fputs("</div>\n", r->out);
    if (r->logged && r->log.has_parts) {
        fputs("<div class=\"row\">\n", r->out);
        draw_parts(r);
        write_parts(r);
        fputs("</div>\n", r->out);
    }
    if (!r->logged)
        fputs("<p class=\"soft\">The time of each phase and the share of verified rows are in the "
              "log of a fit: <code>lloyd report --log</code> reads the one that "
              "<code>lloyd fit --log</code> has written.</p>\n",
              r->out);
    fputs("</section>\n", r->out);
    return LLOYD_OK;
}

/* ---- The run --------------------------------------------------------------------------- */

static void about(const report *r, const char *name, const char *text)
{
    if (text == NULL || *text == '\0') return;
    fprintf(r->out, "<tr><th>%s</th><td>", name);
    lloyd_html_text(r->out, text);
    fputs("</td></tr>\n", r->out);
}

static void about_count(const report *r, const char *name, int64_t count)
{
    if (count <= 0) return;
    fprintf(r->out, "<tr><th>%s</th><td>", name);
    lloyd_html_whole(r->out, count);
    fputs("</td></tr>\n", r->out);
}

static void write_environment(const report *r)
{
    const lloyd_model *m = &r->model;
    char text[64];
    fputs("<table id=\"environment\" class=\"left about\"><caption>How it was made</caption>\n",
          r->out);
    about(r, "lloyd", m->version);
    if (r->logged) about(r, "begun", r->log.time);
    about(r, "backend", m->backend);
    if (r->logged) about(r, "GPU", r->log.gpu);
    about_count(r, "ranks", m->ranks);
    about_count(r, "skipped bad rows", m->skipped);
    if (r->logged) {
        about_count(r, "candidates of seeding", (int64_t)fmin(r->log.candidates, 9e18));
        about_count(r, "threads of a rank", r->log.threads);
        about(r, "sums by", r->log.comm);
        about(r, "stored as", r->log.type);
        if (r->log.peak > 0)
            about(r, "peak memory of a rank",
                  lloyd_text_bytes((int64_t)fmin(r->log.peak, 9e18), text, sizeof text));
        about_count(r, "resumed, times", r->log.begins - 1);
        about(r, "log", r->log_path);
    }
    if (*m->version) {
        about(r, "metric", m->cosine ? "cosine" : "l2");
        about(r, "seed", say(text, sizeof text, "%llu", (unsigned long long)m->seed));
    }
    fputs("</table>\n", r->out);
}

/* The options, from one line of JSON; as they stand where that is none. */
static lloyd_status write_options(const report *r)
{
    char *line = strdup(r->model.options), *at = line;
    lloyd_json_field field;
    if (line == NULL) return lloyd_fail(LLOYD_FAILED, "no memory for the options of a model");
    fputs("<table id=\"options\" class=\"left about\"><caption>Options</caption>\n", r->out);
    int more = lloyd_json_open(&at);
    if (!more) about(r, "options", r->model.options);
    while (more && (more = lloyd_json_next(&at, &field)) > 0) {
        if (strcmp(field.name, "input") == 0) continue; /* the files have a list of their own */
        fprintf(r->out, "<tr><th><code>%s", strlen(field.name) == 1 ? "-" : "--");
        lloyd_html_text(r->out, field.name);
        fputs("</code></th><td>", r->out);
        if (field.length == 4 && field.kind == LLOYD_JSON_WORD &&
            strncmp(field.value, "null", 4) == 0)
            fputs("–", r->out);
        else
            lloyd_html_part(r->out, field.value, field.length);
        fputs("</td></tr>\n", r->out);
    }
    fputs("</table>\n", r->out);
    free(line);
    if (more < 0) note(r, "The options of the model cannot be read to their end.");
    return LLOYD_OK;
}

static void write_inputs(const report *r)
{
    const lloyd_model *m = &r->model;
    fprintf(r->out, "<div id=\"inputs\"><h3>Input file%s</h3>\n", plural(m->input_count));
    for (int i = 0; i < m->input_count && i < FILES_SHOWN; i++) {
        fputs("<p><code>", r->out);
        lloyd_html_text(r->out, m->inputs[i]);
        fputs("</code></p>\n", r->out);
    }
    if (m->input_count > FILES_SHOWN)
        fprintf(r->out, "<p>and %d more</p>\n", m->input_count - FILES_SHOWN);
    fputs("</div>\n", r->out);
}

static lloyd_status write_run(const report *r)
{
    const lloyd_model *m = &r->model;
    fputs("<section><h2>The run</h2>\n", r->out);
    if (!*m->version && !*m->command && !*m->options && m->input_count == 0)
        note(r, "The model does not say how it was made.");
    if (*m->command) {
        fputs("<p><code id=\"command\">", r->out);
        lloyd_html_text(r->out, m->command);
        fputs("</code></p>\n", r->out);
    }
    fputs("<div class=\"row\">\n", r->out);
    if (*m->version) write_environment(r);
    if (*m->options) LLOYD_TRY(write_options(r));
    if (m->input_count > 0) write_inputs(r);
    fputs("</div></section>\n", r->out);
    return LLOYD_OK;
}

/* ---- The page -------------------------------------------------------------------------- */

static lloyd_status write_page(const report *r)
{
    write_head(r);
    write_tiles(r);
    write_doubts(r);
    LLOYD_TRY(write_convergence(r));
    LLOYD_TRY(write_sizes(r));
    LLOYD_TRY(write_time(r));
    LLOYD_TRY(write_run(r));
    fputs("</main></body></html>\n", r->out);
    return LLOYD_OK;
}

static lloyd_status compose(report *r, char **page, size_t *bytes)
{
    r->out = open_memstream(page, bytes);
    if (r->out == NULL) return lloyd_fail(LLOYD_FAILED, "no memory for the page");
    lloyd_status status = write_page(r);
    int failed = ferror(r->out);
    if (fclose(r->out) != 0 || failed)
        return status != LLOYD_OK ? status : lloyd_fail(LLOYD_FAILED, "no memory for the page");
    return status;
}

static lloyd_status write_output(const report *r, const lloyd_output *output, const char *page,
                                 size_t bytes)
{
    char text[32];
    lloyd_status status = lloyd_output_text(output, page, bytes);
    if (status == LLOYD_OK) status = lloyd_output_commit(output);
    if (status != LLOYD_OK) {
        lloyd_output_discard(output);
        return status;
    }
    printf("%s: a page of %s about %s; open it in a browser\n", output->path,
           lloyd_text_bytes((int64_t)bytes, text, sizeof text), r->options->model);
    return LLOYD_OK;
}

/* That the page replaces nothing that is read. */
static lloyd_status check_paths(const report *r)
{
    lloyd_guard guard = {.items = NULL};
    lloyd_status status = lloyd_guard_read_model(&guard, r->options->model);
    if (status == LLOYD_OK) status = lloyd_guard_read(&guard, "the log", r->log_path);
    if (status == LLOYD_OK) status = lloyd_guard_write(&guard, "--output", r->options->output);
    if (status == LLOYD_OK) status = lloyd_guard_check(&guard);
    lloyd_guard_free(&guard);
    return status;
}

static lloyd_status compose_and_write(report *r, const lloyd_output *output)
{
    char *page = NULL;
    size_t bytes = 0;
    lloyd_status status = compose(r, &page, &bytes);
    if (status == LLOYD_OK) status = write_output(r, output, page, bytes);
    free(page);
    return status;
}

static lloyd_status make_report(report *r)
{
    const lloyd_report_options *o = r->options;
    lloyd_output output;
    if (o->model == NULL || o->output == NULL || *o->output == '\0')
        return lloyd_fail(LLOYD_USAGE, "a report needs a model and the name of its output");
    LLOYD_TRY(lloyd_model_read_about(o->model, &r->model));
    LLOYD_TRY(open_log(r));
    LLOYD_TRY(check_paths(r));
    LLOYD_TRY(lloyd_output_open(o->output, o->force, &output));
    lloyd_status status = lloyd_output_tidy(&output);
    if (status == LLOYD_OK) status = compose_and_write(r, &output);
    lloyd_output_close(&output);
    return status;
}

/* Numbers in the page and in the log have points, whatever the caller's locale says. */
static lloyd_status report_model(const lloyd_report_options *options)
{
    report r = {.options = options};
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0) return lloyd_fail(LLOYD_FAILED, "no memory for a report");
    locale_t callers = uselocale(plain);
    lloyd_status status = make_report(&r);
    uselocale(callers);
    freelocale(plain);
    lloyd_runlog_free(&r.log);
    lloyd_model_free(&r.model);
    free(r.log_path);
    return status;
}

lloyd_status lloyd_report(lloyd_comm *comm, const lloyd_report_options *options)
{
    lloyd_facts facts = {0};
    lloyd_facts_begin(&facts, "report");
    lloyd_facts_option(&facts, "the model", options->model);
    lloyd_facts_option(&facts, "--log", options->log);
    lloyd_facts_option(&facts, "--output", options->output);
    LLOYD_TRY(lloyd_facts_compare(comm, LLOYD_OK, &facts, &lloyd_differing_options));
    return comm->agree(comm, comm->rank == 0 ? report_model(options) : LLOYD_OK);
}
