/* See timing.h. */
#include "report/timing.h"

#include "base/memory.h"
#include "base/text.h"
#include "report/chart.h"
#include "report/html.h"

#include <math.h>

static void draw_seconds(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    char text[256], total[64];
    lloyd_chart_line(r->out,
                     &(lloyd_chart){.id = "seconds",
                                    .title = "Time per iteration.",
                                    .describe =
                                        lloyd_report_say(text, sizeof text,
                                                         "All iterations together took %s.",
                                                         lloyd_html_time(lloyd_report_seconds(m),
                                                                         total, sizeof total)),
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
static void gather_phases(const lloyd_report_content *r, const char **names, double *seconds,
                          int64_t *count)
{
    double rest = r->log.total;
    *count = 0;
    for (int p = 0; p < LLOYD_PHASES; p++) {
        rest -= r->log.seconds[p];
        int optional = p == LLOYD_PHASE_CHECKPOINT || p == LLOYD_PHASE_DISTANCES;
        if (optional && r->log.seconds[p] == 0) continue;
        names[*count] = lloyd_phase_names[p];
        seconds[(*count)++] = r->log.seconds[p];
    }
    names[*count] = "other";
    seconds[(*count)++] = fmax(rest, 0);
}

static void draw_phases(const lloyd_report_content *r)
{
    const char *names[LLOYD_PHASES + 1];
    double seconds[LLOYD_PHASES + 1];
    int64_t count;
    char text[256], total[64], all[32], starts[96] = "";
    gather_phases(r, names, seconds, &count);
    if (r->log.iterations > r->model.iterations)
        lloyd_report_say(starts, sizeof starts,
                         " %s iterations were done, of other starts or repeated ones too.",
                         lloyd_text_count(r->log.iterations, all, sizeof all));
    lloyd_chart_rows(r->out,
                     &(lloyd_chart){.id = "phases",
                                    .title = "Time per phase.",
                                    .describe = lloyd_report_say(
                                        text, sizeof text, "%s took %s%s.%s",
                                        lloyd_report_log_is_whole(r)
                                            ? "The whole fit"
                                            : "What the log has, from where it was resumed on,",
                                        lloyd_html_time(r->log.total, total, sizeof total),
                                        r->log.begins > 1 ? ", resumed ones together" : "", starts),
                                    .y = seconds,
                                    .count = count},
                     names);
}

static void write_phases(const lloyd_report_content *r)
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

static lloyd_status draw_fallback(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    char text[256], share[64];
    double *values;
    LLOYD_TRY(lloyd_alloc(&values, m->iterations, sizeof *values, "a curve"));
    for (int64_t t = 0; t < m->iterations; t++)
        values[t] = 100 * r->log.found[t].fallback_rows / (double)m->n;
    lloyd_chart_line(
        r->out,
        &(lloyd_chart){.id = "fallback",
                       .title = "Decided in double precision.",
                       .describe = lloyd_report_say(
                           text, sizeof text,
                           "Labels that the filter could not prove, and that a search in double "
                           "precision decided: %s %% on average.",
                           lloyd_text_real(100 * lloyd_report_fallback_share(r), 3, share,
                                           sizeof share)),
                       .x_title = "iteration",
                       .y_title = "% of the labels",
                       .point = "iteration",
                       .y = values,
                       .first = 1,
                       .count = m->iterations,
                       .x_log = 200,
                       .y_zero = 1});
    lloyd_free(values);
    return LLOYD_OK;
}

static void write_speed(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    double least = INFINITY, most = -INFINITY, total = lloyd_report_seconds(m);
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
    if (speed > 0 && speed < 9e18) lloyd_report_count_row(r, "rows/s", llround(speed));
    fputs("</table>\n", r->out);
}

/* What the filter on 8-bit integers did in the iterations that the log tells of; nothing where it does not
 * say. */
static void write_filter(const lloyd_report_content *r)
{
    lloyd_runlog_iteration all = {.int8_rows = 0};
    double rows = 0;
    for (int64_t t = 0; t < r->model.iterations; t++) {
        const lloyd_runlog_iteration *step = &r->log.found[t];
        if (!isfinite(step->int8_rows)) continue;
        rows += (double)r->model.n;
        all.int8_rows += step->int8_rows;
        all.int8_fallback_rows += step->int8_fallback_rows;
        all.int8_candidates += step->int8_candidates;
    }
    if (rows == 0) return;
    const struct {
        const char *name;
        double value;
    } lines[] = {{"of all labels, %", 100 * all.int8_rows / rows},
                 {"of these, proved, %",
                  100 * (all.int8_rows - all.int8_fallback_rows) / all.int8_rows},
                 {"candidates of the others, mean", all.int8_candidates / all.int8_fallback_rows}};
    fputs("<table id=\"filter\" class=\"about\"><caption>Labels by the 8-bit filter</caption>\n",
          r->out);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        fprintf(r->out, "<tr><th>%s</th><td>", lines[i].name);
        lloyd_html_real(r->out, lines[i].value, 4);
        fputs("</td></tr>\n", r->out);
    }
    fputs("</table>\n", r->out);
}

/* What the iterations that the log tells of skipped; nothing where it does not say. */
static void write_pruning(const lloyd_report_content *r)
{
    double rows = 0, pruned = 0, compared = 0;
    for (int64_t t = 0; t < r->model.iterations; t++) {
        if (!isfinite(r->log.found[t].pruned_rows)) continue;
        rows += (double)r->model.n;
        pruned += r->log.found[t].pruned_rows;
        compared += lloyd_report_compared_share(r, t) * (double)r->model.n;
    }
    if (rows == 0) return;
    fputs("<table id=\"pruning\" class=\"about\"><caption>Pruning</caption>\n"
          "<tr><th>labels with the help of bounds, %</th><td>",
          r->out);
    lloyd_html_real(r->out, 100 * pruned / rows, 4);
    fputs("</td></tr>\n<tr><th>pairs of a row and a centroid compared, %</th><td>", r->out);
    lloyd_html_real(r->out, 100 * compared / rows, 4);
    fputs("</td></tr>\n</table>\n", r->out);
}

static const char *const part_names[LLOYD_TIME_SHARES] = {"waiting for rows",  "fast assignment",
                                                          "exact assignment",  "update",
                                                          "waiting for ranks", "all-reduce"};

static void draw_time_shares(const lloyd_report_content *r)
{
    lloyd_chart_rows(r->out,
                     &(lloyd_chart){.id = "time-shares",
                                    .title = "Time within the iterations.",
                                    .describe = r->log.begins > 1
                                                    ? "Mean of the ranks; since the last resume."
                                                    : "Mean of the ranks.",
                                    .y = r->log.part_mean,
                                    .count = LLOYD_TIME_SHARES},
                     part_names);
}

static void write_time_shares(const lloyd_report_content *r)
{
    fputs(
        "<table id=\"time-shares-table\"><caption>Time within the iterations</caption>\n"
        "<tr><th>time share</th><th>seconds, mean of the ranks</th><th>of the rank with most</th></tr>\n",
        r->out);
    for (int p = 0; p < LLOYD_TIME_SHARES; p++) {
        fprintf(r->out, "<tr><td>%s</td><td>", part_names[p]);
        lloyd_html_real(r->out, r->log.part_mean[p], 4);
        fputs("</td><td>", r->out);
        lloyd_html_real(r->out, r->log.part_most[p], 4);
        fputs("</td></tr>\n", r->out);
    }
    fputs("</table>\n", r->out);
}

lloyd_status lloyd_report_timing(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    int timed = m->seconds != NULL && m->iterations > 0;
    if (!timed && !r->logged) return LLOYD_OK;
    fputs("<section><h2>Time</h2>\n<div class=\"row\">\n", r->out);
    if (timed) draw_seconds(r);
    if (r->logged) draw_phases(r);
    if (isfinite(lloyd_report_fallback_share(r))) LLOYD_TRY(draw_fallback(r));
    fputs("</div>\n<div class=\"row\">\n", r->out);
    if (timed) write_speed(r);
    if (r->logged) write_phases(r);
    if (r->logged) write_filter(r);
    if (r->logged) write_pruning(r);
    fputs("</div>\n", r->out);
    if (r->logged && r->log.has_time_shares) {
        fputs("<div class=\"row\">\n", r->out);
        draw_time_shares(r);
        write_time_shares(r);
        fputs("</div>\n", r->out);
    }
    if (!r->logged)
        fputs(
            "<p class=\"soft\">The time of each phase and the share of labels decided in double precision are in the "
            "log of a fit: <code>lloyd report --log</code> reads the one that "
            "<code>lloyd fit --log</code> has written.</p>\n",
            r->out);
    fputs("</section>\n", r->out);
    return LLOYD_OK;
}
