/* See distances.h. */
#include "report/distances.h"

#include "base/text.h"
#include "report/chart.h"
#include "report/html.h"

#include <math.h>
#include <string.h>

enum {
    BARS = 32,   /* at most */
    FINEST = 64, /* parts of a factor of 2, of which each has a dozen bins of the spread or more */
    FAR = 1000   /* one of so many rows may lie beyond either end of the plot */
};

/* Bins of the plot: each is some bins of the spread. */
typedef struct bars {
    int count;
    double edge[BARS + 1], rows[BARS];
    int64_t below, above; /* rows before the first edge, and from the last on */
} bars;

/* The bins of the spread, of finite distances above 0, that the plot must show: *low to *high; 0 if there are
 * none. */
static int find_ends(const lloyd_spread *s, int *low, int *high)
{
    const int end = lloyd_spread_bin(INFINITY);
    int64_t all = 0, far, seen = 0;
    for (int b = 1; b < end; b++) all += s->bins[b];
    far = all / FAR;
    for (*low = 1; *low < end && (seen += s->bins[*low]) <= far; ++*low) {
    }
    for (*high = end - 1, seen = 0; *high > 0 && (seen += s->bins[*high]) <= far; --*high) {
    }
    return all > 0;
}

/* Bars of equal width on a logarithmic scale, but for the width of a bin of the spread. */
static void make_bars(const lloyd_spread *s, bars *b)
{
    int low, high;
    double width = 1.0 / FINEST; /* powers of 2 */
    *b = (bars){0};
    if (!find_ends(s, &low, &high)) return;
    const double from = log2(lloyd_spread_edge(low)), to = log2(lloyd_spread_edge(high));
    while (floor(to / width) - floor(from / width) + 1 > BARS) width *= 2;
    int bin = lloyd_spread_bin((float)exp2(floor(from / width) * width));
    if (bin == 0) bin = 1; /* a logarithmic axis has no 0 */
    for (int i = 0; i < bin; i++) b->below += s->bins[i];
    b->edge[0] = lloyd_spread_edge(bin);
    while (bin <= high && b->count < BARS) {
        const double next = (floor(from / width) + b->count + 1) * width;
        const int end =
            next < 128 ? lloyd_spread_bin((float)exp2(next)) : lloyd_spread_bin(INFINITY);
        for (; bin < end; bin++) b->rows[b->count] += (double)s->bins[bin];
        b->edge[++b->count] = fmin(lloyd_spread_edge(end), 0x1p128);
    }
    for (; bin < LLOYD_SPREAD_BINS; bin++) b->above += s->bins[bin];
}

static void draw_histogram(const lloyd_report_content *r, const bars *b)
{
    static const char *const names[] = {"median", "99 %"};
    const double marks[] = {lloyd_spread_quantile(&r->spread, 0.5),
                            lloyd_spread_quantile(&r->spread, 0.99)};
    char text[256], below[32], above[32];
    lloyd_chart_histogram(
        r->out,
        &(lloyd_chart){.id = "distances-plot",
                       .title = "Rows by distance.",
                       .describe = lloyd_report_say(
                           text, sizeof text,
                           "How many rows are so far from their centroid, in bins of equal "
                           "width on the logarithmic scale; nearer than shown: %s, farther: %s.",
                           lloyd_text_count(b->below, below, sizeof below),
                           lloyd_text_count(b->above, above, sizeof above)),
                       .x_title = "distance",
                       .y_title = "rows",
                       .y_whole = 1,
                       .y_zero = 1,
                       .point = "far, rows",
                       .x = b->edge,
                       .y = b->rows,
                       .count = b->count,
                       .x_real = 1,
                       .marks = marks,
                       .mark_names = names,
                       .mark_count = 2});
}

static void real_row(const lloyd_report_content *r, const char *name, double value)
{
    fprintf(r->out, "<tr><th>%s</th><td>", name);
    lloyd_html_real(r->out, value, 6);
    fputs("</td></tr>\n", r->out);
}

static void write_quantiles(const lloyd_report_content *r)
{
    const lloyd_spread *s = &r->spread;
    fputs("<table id=\"distances\" class=\"about\"><caption>Distance of a row to its "
          "centroid</caption>\n",
          r->out);
    real_row(r, "smallest", (double)s->least);
    real_row(r, "median", lloyd_spread_quantile(s, 0.5));
    real_row(r, "99 of 100 have no more than", lloyd_spread_quantile(s, 0.99));
    real_row(r, "largest", (double)s->most);
    real_row(r, "mean", s->sum / (double)s->rows);
    real_row(r, "sum", s->sum);
    lloyd_report_count_row(r, "rows", s->rows);
    fputs("</table>\n", r->out);
}

static void bar_row(const lloyd_report_content *r, double from, double to, double rows)
{
    fputs("<tr><td>", r->out);
    lloyd_html_real(r->out, from, 6);
    fputs("</td><td>", r->out);
    lloyd_html_real(r->out, to, 6);
    fputs("</td><td>", r->out);
    lloyd_html_whole(r->out, (int64_t)rows);
    fputs("</td><td>", r->out);
    lloyd_html_real(r->out, 100 * rows / (double)r->spread.rows, 3);
    fputs("</td></tr>\n", r->out);
}

static void write_bars(const lloyd_report_content *r, const bars *b)
{
    fputs(
        "<table id=\"distance-bins\"><caption>Rows by distance</caption>\n"
        "<tr><th>distance from</th><th>to less than</th><th>rows</th><th>of all rows, %</th></tr>\n",
        r->out);
    if (b->below > 0) bar_row(r, 0, b->edge[0], (double)b->below);
    for (int i = 0; i < b->count; i++) bar_row(r, b->edge[i], b->edge[i + 1], b->rows[i]);
    if (b->above > 0) bar_row(r, b->edge[b->count], INFINITY, (double)b->above);
    fputs("</table>\n", r->out);
}

/* What is measured, and of which rows. */
static void write_meaning(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    char rows[32], fitted[32];
    fprintf(r->out, "<p id=\"distance-rows\">The distance of a row is %s, as in /distances%s.",
            m->cosine ? "2 − 2 cos of the angle to its centroid"
                      : "the square of the Euclidean one to its centroid",
            strstr(m->options, "\"weights\":\"")
                ? "; weights have no part in it, so the sum of all is "
                  "not the inertia of the fit"
                : "");
    if (m->stored > 0 && r->spread.rows != m->n)
        fprintf(r->out, " Distances are those of %s labelled rows, of which %s were fitted.",
                lloyd_text_count(r->spread.rows, rows, sizeof rows),
                lloyd_text_count(m->n, fitted, sizeof fitted));
    fputs(" Median and 99 of 100 are known to within 0.03 %.</p>\n", r->out);
}

void lloyd_report_distances(const lloyd_report_content *r)
{
    bars b;
    if (!r->spread.known) return;
    fputs("<section><h2>Distances to the centroids</h2>\n", r->out);
    if (r->spread.rows == 0) {
        lloyd_report_note(r, "No row of the model has a distance.");
    } else {
        make_bars(&r->spread, &b);
        write_meaning(r);
        fputs("<div class=\"row\">\n", r->out);
        if (b.count > 0) draw_histogram(r, &b);
        write_quantiles(r);
        if (b.count > 0) write_bars(r, &b);
        fputs("</div>\n", r->out);
    }
    fputs("</section>\n", r->out);
}
