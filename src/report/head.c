/* See head.h. */
#include "report/head.h"

#include "base/text.h"
#include "io/writers/origin.h"
#include "job/results/warnings.h"
#include "report/html.h"
#include "report/page.h"

#include <math.h>
#include <string.h>

static void title(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    char k[32], n[32], d[32];
    fprintf(r->out, "%s cluster%s of ", lloyd_text_count(m->k, k, sizeof k),
            lloyd_report_plural(m->k));
    if (m->n > 0)
        fprintf(r->out, "%s row%s × ", lloyd_text_count(m->n, n, sizeof n),
                lloyd_report_plural(m->n));
    fprintf(r->out, "%s column%s", lloyd_text_count(m->d, d, sizeof d), lloyd_report_plural(m->d));
}

/* The last part of a path. */
static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

void lloyd_report_head(const lloyd_report_content *r)
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
        fprintf(r->out, " and %d more file%s", m->input_count - 1,
                lloyd_report_plural(m->input_count - 1));
    if (*m->version) fprintf(r->out, "; metric %s", m->cosine ? "cosine" : "l2");
    fputs("</p>\n", r->out);
}

static void open_tile(const lloyd_report_content *r, const char *name)
{
    fprintf(r->out, "<div><dt>%s</dt><dd>", name);
}

static void close_tile(const lloyd_report_content *r, const char *more)
{
    fprintf(r->out, "</dd><dd>%s</dd></div>\n", more);
}

static void inertia_tile(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    char text[64] = "";
    double first = m->inertia != NULL && m->iterations > 0 ? m->inertia[0] : 0;
    double change = lloyd_text_change(first, m->final_inertia);
    if (!*m->version) return;
    open_tile(r, "Final inertia");
    lloyd_html_real(r->out, m->final_inertia, 6);
    if (isfinite(change) && m->k < m->n)
        lloyd_report_say(text, sizeof text, "%s%.1f %% compared with the first",
                         change < 0 ? "−" : "+", fabs(change));
    close_tile(r, text);
}

void lloyd_report_tiles(const lloyd_report_content *r)
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
        lloyd_html_seconds(r->out, lloyd_report_seconds(m) / (double)m->iterations);
        close_tile(r, r->logged
                          ? lloyd_report_say(text, sizeof text, "%s %s",
                                             lloyd_html_time(r->log.total, time, sizeof time),
                                             lloyd_report_log_is_whole(r) ? "in all"
                                                                          : "since it was resumed")
                          : "");
    }
    double share = lloyd_report_fallback_share(r);
    if (isfinite(share)) {
        open_tile(r, "Decided in double precision");
        lloyd_html_real(r->out, 100 * share, 3);
        fputs(" %", r->out);
        close_tile(r, "of the labels; all labels are exact");
    }
    fputs("</dl></header>\n", r->out);
}

void lloyd_report_warnings(const lloyd_report_content *r)
{
    lloyd_warnings warnings;
    lloyd_warnings_find(&r->model, &warnings);
    if (warnings.count == 0) return;
    fputs("<ul id=\"warnings\">\n", r->out);
    for (int i = 0; i < warnings.count; i++) {
        fputs("<li>", r->out);
        lloyd_html_text(r->out, warnings.text[i]);
        fputs("</li>\n", r->out);
    }
    fputs("</ul>\n", r->out);
}

void lloyd_report_doubts(const lloyd_report_content *r)
{
    char text[256];
    if (!*r->model.version)
        lloyd_report_note(
            r, "This model was not written by lloyd fit: nothing is known of how it was made.");
    else if (strcmp(r->model.version, LLOYD_VERSION) != 0)
        lloyd_report_note(
            r, lloyd_report_say(
                   text, sizeof text,
                   "The model was written by lloyd %.64s, this page by lloyd " LLOYD_VERSION
                   "; what only one of them knows is not shown.",
                   r->model.version));
    if (r->log_note[0] != '\0') lloyd_report_note(r, r->log_note);
}
