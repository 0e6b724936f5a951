/* See provenance.h. */
#include "report/provenance.h"

#include "base/json.h"
#include "base/text.h"
#include "job/summary.h"
#include "report/html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_SHOWN = 100 }; /* input files that are listed */

static void about(const lloyd_report_content *r, const char *name, const char *text)
{
    if (text == NULL || *text == '\0') return;
    fprintf(r->out, "<tr><th>%s</th><td>", name);
    lloyd_html_text(r->out, text);
    fputs("</td></tr>\n", r->out);
}

static void about_count(const lloyd_report_content *r, const char *name, int64_t count)
{
    if (count <= 0) return;
    fprintf(r->out, "<tr><th>%s</th><td>", name);
    lloyd_html_whole(r->out, count);
    fputs("</td></tr>\n", r->out);
}

static void about_moved(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    char text[256];
    const lloyd_summary_sizes sizes = {m->n, m->largest_allowed, m->moved_rows, m->inertia_before,
                                       m->final_inertia};
    if (m->max_size > 0) about(r, "max size", lloyd_summary_moved(&sizes, text, sizeof text));
}

static void write_environment(const lloyd_report_content *r)
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
    about(r, "rows fitted", m->subset);
    about_count(r, "rows of the inputs", m->stored);
    about_count(r, "skipped bad rows", m->skipped);
    about_moved(r);
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
        about(r, "seed", lloyd_report_say(text, sizeof text, "%llu", (unsigned long long)m->seed));
    }
    fputs("</table>\n", r->out);
}

/* The options, from one line of JSON; as they stand where that is none. */
static lloyd_status write_options(const lloyd_report_content *r)
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
    if (more < 0) lloyd_report_note(r, "The options of the model cannot be read to their end.");
    return LLOYD_OK;
}

static void write_inputs(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    fprintf(r->out, "<div id=\"inputs\"><h3>Input file%s</h3>\n",
            lloyd_report_plural(m->input_count));
    for (int i = 0; i < m->input_count && i < FILES_SHOWN; i++) {
        fputs("<p><code>", r->out);
        lloyd_html_text(r->out, m->inputs[i]);
        fputs("</code></p>\n", r->out);
    }
    if (m->input_count > FILES_SHOWN)
        fprintf(r->out, "<p>and %d more</p>\n", m->input_count - FILES_SHOWN);
    fputs("</div>\n", r->out);
}

lloyd_status lloyd_report_provenance(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    fputs("<section><h2>The run</h2>\n", r->out);
    if (!*m->version && !*m->command && !*m->options && m->input_count == 0)
        lloyd_report_note(r, "The model does not say how it was made.");
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
