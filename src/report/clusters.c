/* See clusters.h. */
#include "report/clusters.h"

#include "report/html.h"

#include <string.h>

enum { NAMED = 10 }; /* clusters of a table */

/* The clusters of a report: with the rows that distances are of, where these are known of each cluster, else with
 * those that were fitted. */
typedef struct clusters {
    const lloyd_report_content *report;
    const int64_t *rows;   /* [k] */
    const double *inertia; /* [k]; NULL: not known */
    double all_rows, all_inertia;
} clusters;

static double mean(const clusters *c, int64_t k)
{
    return c->inertia[k] / (double)c->rows[k];
}

/* Orders of clusters: whether a stands before b, of which neither is empty. */
typedef int before(const clusters *c, int64_t a, int64_t b);

static int is_larger(const clusters *c, int64_t a, int64_t b)
{
    return c->rows[a] > c->rows[b];
}

static int is_smaller(const clusters *c, int64_t a, int64_t b)
{
    return c->rows[a] < c->rows[b];
}

static int is_wider(const clusters *c, int64_t a, int64_t b)
{
    return mean(c, a) > mean(c, b);
}

/* first[] = the first NAMED clusters in an order, of those that are not empty; of equal ones the lower number is
 * first. Returns how many there are. */
static int find_first(const clusters *c, before *comes_before, int64_t *first)
{
    int named = 0;
    for (int64_t k = 0; k < c->report->model.k; k++) {
        int place = named;
        if (c->rows[k] == 0) continue;
        while (place > 0 && comes_before(c, k, first[place - 1])) place--;
        if (place == NAMED) continue;
        if (named < NAMED) named++;
        memmove(first + place + 1, first + place, (size_t)(named - place - 1) * sizeof *first);
        first[place] = k;
    }
    return named;
}

static void real_cell(const clusters *c, double value, int digits)
{
    fputs("</td><td>", c->report->out);
    lloyd_html_real(c->report->out, value, digits);
}

static void write_cluster(const clusters *c, int64_t k)
{
    FILE *out = c->report->out;
    fputs("<tr><td>", out);
    lloyd_html_whole(out, k);
    fputs("</td><td>", out);
    lloyd_html_whole(out, c->rows[k]);
    real_cell(c, 100 * (double)c->rows[k] / c->all_rows, 3);
    if (c->inertia) {
        real_cell(c, mean(c, k), 6);
        real_cell(c, c->inertia[k], 6);
        real_cell(c, 100 * c->inertia[k] / c->all_inertia, 3);
    }
    fputs("</td></tr>\n", out);
}

static void write_table(const clusters *c, const char *id, const char *caption,
                        before *comes_before)
{
    int64_t first[NAMED];
    const int named = find_first(c, comes_before, first);
    fprintf(c->report->out,
            "<table id=\"%s\"><caption>%s</caption>\n"
            "<tr><th>cluster</th><th>rows</th><th>of all rows, %%</th>%s</tr>\n",
            id, caption,
            c->inertia ? "<th>mean distance</th><th>inertia</th><th>of the inertia, %</th>" : "");
    for (int i = 0; i < named; i++) write_cluster(c, first[i]);
    fputs("</table>\n", c->report->out);
}

static void write_tables(const clusters *c)
{
    fputs("<div class=\"row broad\">\n", c->report->out);
    write_table(c, "largest", "Largest clusters", is_larger);
    write_table(c, "smallest", "Smallest clusters that are not empty", is_smaller);
    if (c->inertia) write_table(c, "widest", "Clusters with the largest mean distance", is_wider);
    fputs("</div>\n", c->report->out);
}

/* Of the rows that the tables are of; what they lack, and where it comes from. */
static void write_remark(const lloyd_report_content *r)
{
    const lloyd_spread *s = &r->spread;
    const char *text =
        s->labelled
            ? "Clusters are numbered from 0, as in /labels; the inertia of one is the sum of "
              "the distances of its rows, weights aside."
        : s->known
            ? "The model does not say of which cluster each row is, so the distances say "
              "nothing of single clusters; lloyd fit --distances without --no-labels does."
            : "The model has no distances; lloyd fit --distances adds the inertia and the mean "
              "distance of each cluster, and how distances are distributed.";
    fprintf(r->out, "<p id=\"clusters-remark\">%s</p>\n", text);
}

void lloyd_report_clusters(const lloyd_report_content *r)
{
    const lloyd_spread *s = &r->spread;
    clusters c = {.report = r,
                  .rows = s->labelled ? s->members : r->model.counts,
                  .inertia = s->labelled ? s->inertia : NULL};
    int negative = 0;
    if (!c.rows) return;
    for (int64_t k = 0; k < r->model.k; k++) {
        negative |= c.rows[k] < 0;
        c.all_rows += (double)c.rows[k];
        if (c.inertia) c.all_inertia += c.inertia[k];
    }
    if (negative || !(c.all_rows > 0)) return;
    fputs("<section><h2>Clusters by number</h2>\n", r->out);
    write_remark(r);
    write_tables(&c);
    fputs("</section>\n", r->out);
}
