/* See content.h. */
#include "report/content.h"

#include "report/html.h"

#include <math.h>
#include <stdarg.h>

/* A text in pieces, for captions. */
const char *lloyd_report_say(char *text, size_t bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, bytes, format, arguments);
    va_end(arguments);
    return text;
}

const char *lloyd_report_plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

void lloyd_report_note(const lloyd_report_content *r, const char *text)
{
    fputs("<p class=\"note\">", r->out);
    lloyd_html_text(r->out, text);
    fputs("</p>\n", r->out);
}

void lloyd_report_count_row(const lloyd_report_content *r, const char *name, int64_t rows)
{
    fprintf(r->out, "<tr><th>%s</th><td>", name);
    lloyd_html_whole(r->out, rows);
    fputs("</td></tr>\n", r->out);
}

double lloyd_report_seconds(const lloyd_model *m)
{
    double total = 0;
    for (int64_t t = 0; t < m->iterations && m->seconds != NULL; t++) total += m->seconds[t];
    return total;
}

double lloyd_report_fallback_share(const lloyd_report_content *r)
{
    double rows = 0, iterations = 0;
    for (int64_t t = 0; r->logged && t < r->model.iterations; t++) {
        if (!isfinite(r->log.found[t].fallback_rows)) continue;
        rows += r->log.found[t].fallback_rows;
        iterations++;
    }
    return rows / (iterations * (double)r->model.n);
}

double lloyd_report_compared_share(const lloyd_report_content *r, int64_t t)
{
    const lloyd_runlog_iteration *found = &r->log.found[t];
    double n = (double)r->model.n, k = (double)r->model.k;
    return (found->compared + (n - found->pruned_rows) * k) / (n * k);
}

/* A log that was begun when the fit was resumed lacks iterations of the model. */
int lloyd_report_log_is_whole(const lloyd_report_content *r)
{
    int64_t found = 0;
    for (int64_t t = 0; t < r->model.iterations; t++)
        found += isfinite(r->log.found[t].fallback_rows) != 0;
    return found == r->model.iterations;
}
