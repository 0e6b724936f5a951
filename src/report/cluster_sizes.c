/* See cluster_sizes.h. */
#include "report/cluster_sizes.h"

#include "base/memory.h"
#include "base/text.h"
#include "report/chart.h"
#include "report/html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    EMPTY_NAMED = 20,  /* empty clusters */
    RANKS_DRAWN = 800, /* points of the curve of sizes */
    BINS = 24,         /* of the histogram, at most; more only where sizes span more than 2^24 */
    BINS_MOST = 66
};

typedef struct sizes {
    int64_t k, empty, negative;
    int64_t nothing[EMPTY_NAMED]; /* the first empty ones */
    double rows;
    int bins;
    double edge[BINS_MOST + 1], clusters[BINS_MOST], share[BINS_MOST]; /* share of all rows */
} sizes;

static void survey(const int64_t *counts, sizes *s)
{
    for (int64_t k = 0; k < s->k; k++) {
        if (counts[k] == 0 && s->empty < EMPTY_NAMED) s->nothing[s->empty] = k;
        s->empty += counts[k] == 0;
        s->negative += counts[k] < 0;
        s->rows += (double)counts[k];
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

static void draw_histogram(const lloyd_report_content *r, const sizes *s)
{
    char text[256], empty[32];
    lloyd_chart_histogram(r->out,
                          &(lloyd_chart){.id = "histogram",
                                         .title = "Clusters by size.",
                                         .describe = lloyd_report_say(
                                             text, sizeof text,
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

/* The sizes from the largest on, of so many clusters as the eye can distinguish. */
static void draw_ranks(const lloyd_report_content *r, const int64_t *sorted, const sizes *s)
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

static void write_quantiles(const lloyd_report_content *r, const int64_t *sorted, const sizes *s)
{
    int64_t k = s->k;
    fputs("<table id=\"sizes\" class=\"about\"><caption>Rows in a cluster</caption>\n", r->out);
    lloyd_report_count_row(r, "smallest", sorted[0]);
    lloyd_report_count_row(r, "1 of 10 has no more than", sorted[(k - 1) / 10]);
    lloyd_report_count_row(r, "median", sorted[k / 2]);
    lloyd_report_count_row(r, "9 of 10 have no more than", sorted[(k - 1) - (k - 1) / 10]);
    lloyd_report_count_row(r, "largest", sorted[k - 1]);
    fputs("<tr><th>mean</th><td>", r->out);
    lloyd_html_real(r->out, s->rows / (double)k, 6);
    fputs("</td></tr>\n", r->out);
    lloyd_report_count_row(r, "empty clusters", s->empty);
    fputs("</table>\n", r->out);
}

static void write_empty(const lloyd_report_content *r, const sizes *s)
{
    char count[32];
    if (s->empty == 0) return;
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

static void write_bins(const lloyd_report_content *r, const sizes *s)
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
static void write_distribution(const lloyd_report_content *r, const int64_t *sorted, sizes *s)
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
    if (s->bins > 0) write_bins(r, s);
    write_empty(r, s);
    fputs("</div>\n", r->out);
}

lloyd_status lloyd_report_sizes(const lloyd_report_content *r)
{
    const lloyd_model *m = &r->model;
    sizes s = {.k = m->k};
    int64_t *sorted;
    fputs("<section><h2>Cluster sizes</h2>\n", r->out);
    if (m->counts != NULL) survey(m->counts, &s);
    if (m->counts == NULL) {
        lloyd_report_note(r, "The model does not say how many rows its clusters have.");
    } else if (s.negative > 0) {
        lloyd_report_note(r,
                          "The model has clusters of less than 0 rows; the file may be damaged.");
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
