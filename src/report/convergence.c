/* See convergence.h. */
#include "report/convergence.h"

#include "base/memory.h"
#include "base/text.h"
#include "report/chart.h"
#include "report/html.h"

#include <math.h>

enum { STEPS_SHOWN = 25 }; /* iterations in the table */

/* How much the inertia fell in iteration t, against the one before; NAN for the first. */
static double decrease(const lloyd_model *m, int64_t t)
{
    return t > 0 ? (m->inertia[t - 1] - m->inertia[t]) / m->inertia[t - 1] : NAN;
}

static lloyd_status draw_decrease(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    char text[256], last[64];
    double *values;
    if (m->iterations < 2) return LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(&values, m->iterations, sizeof *values, "a curve"));
    for (int64_t t = 0; t < m->iterations; t++) values[t] = decrease(m, t);
    lloyd_chart_line(r->out, &(lloyd_chart){.id = "decrease",
                                            .title = "Relative decrease.",
                                            .describe = lloyd_report_say(
                                                text, sizeof text,
                                                "Relative decrease of the inertia since the "
                                                "iteration before; in the last one %s.",
                                                lloyd_text_real(values[m->iterations - 1], 3, last,
                                                                sizeof last)),
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

static void draw_inertia(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    char text[256], first[64], last[64];
    lloyd_chart_line(r->out,
                     &(lloyd_chart){.id = "inertia",
                                    .title = "Inertia.",
                                    .describe = lloyd_report_say(
                                        text, sizeof text,
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

static lloyd_status draw_moved(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    char text[256], last[32];
    double *values;
    if (m->moved == NULL) {
        lloyd_report_note(r, "The model does not say how many labels moved.");
        return LLOYD_OK;
    }
    LLOYD_TRY(as_reals(m->moved, m->iterations, &values));
    lloyd_chart_line(r->out,
                     &(lloyd_chart){.id = "moved",
                                    .title = "Labels moved.",
                                    .describe =
                                        lloyd_report_say(text, sizeof text,
                                                         "Rows whose cluster changed; in the "
                                                         "last iteration %s.",
                                                         lloyd_text_count(m->moved[m->iterations -
                                                                                   1],
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

static void write_step(const lloyd_report_content *r, int64_t t)
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
        lloyd_html_real(r->out, 100 * r->log.found[t].fallback_rows / (double)m->n, 3);
        fputs("</td><td>", r->out);
        lloyd_html_real(r->out, 100 * r->log.found[t].int8_rows / (double)m->n, 3);
        fputs("</td><td>", r->out);
        lloyd_html_real(r->out, 100 * lloyd_report_compared_share(r, t), 3);
    }
    fputs("</td></tr>\n", r->out);
}

/* All iterations, or the first ones and then fewer and fewer, and the last. */
static void write_steps(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    const int64_t dense = STEPS_SHOWN * 2 / 5;
    char count[32];
    fputs("<div class=\"wide\"><table id=\"iterations\"><caption>Iterations</caption>\n"
          "<tr><th>iteration</th><th>inertia</th><th>relative decrease</th><th>labels moved</th>"
          "<th>seconds</th>",
          r->out);
    if (r->logged)
        fputs("<th>decided in double precision, %</th><th>by the 8-bit filter, %</th>"
              "<th>pairs compared, %</th>",
              r->out);
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

lloyd_status lloyd_report_convergence(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    fputs("<section><h2>Convergence</h2>\n", r->out);
    if (m->inertia == NULL)
        lloyd_report_note(r, "The model has no history of its iterations.");
    else if (m->iterations == 0)
        lloyd_report_note(r,
                          "There was no iteration: the rows were assigned to the first centroids.");
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
