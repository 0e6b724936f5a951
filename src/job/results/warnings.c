/* See warnings.h. */
#include "job/results/warnings.h"

#include "base/text.h"
#include "job/summary.h"

#include <stdio.h>
#include <string.h>

/* A cluster of more than a tenth of the rows is usual where there are few. */
enum { MANY_CLUSTERS = 100, LARGE_SHARE = 10 };

/* Where the next sentence goes. Each function below writes one at most, so that all have room. */
static char *next(lloyd_warnings *w)
{
    return w->text[w->count++];
}

static void warn_of_iterations(const lloyd_model *m, lloyd_warnings *w)
{
    char iterations[32], moved[32], share[32], last[128] = "";
    if (!*m->version || m->converged) return;
    if (*m->parent) {
        snprintf(next(w), LLOYD_WARNING_BYTES,
                 "Not all clusters were split until their fits converged; run it again with a "
                 "larger --max-iters.");
        return;
    }
    if (m->iterations == 0) return;
    const int64_t changed = m->moved ? m->moved[m->iterations - 1] : 0;
    if (changed > 0 && m->n > 0)
        snprintf(last, sizeof last, ", of which the last one changed %s label%s (%s %%)",
                 lloyd_text_count(changed, moved, sizeof moved), changed == 1 ? "" : "s",
                 lloyd_text_real(100 * (double)changed / (double)m->n, 3, share, sizeof share));
    snprintf(
        next(w), LLOYD_WARNING_BYTES,
        "The fit ended after %s iteration%s%s, before it converged; run it again with a larger "
        "--max-iters.",
        lloyd_text_count(m->iterations, iterations, sizeof iterations),
        m->iterations == 1 ? "" : "s", last);
}

/* What the sizes of clusters show. */
typedef struct shown {
    int64_t empty, single, negative, largest; /* clusters; the number of the largest one */
    double rows;
} shown;

static shown look_at(const lloyd_model *m)
{
    shown s = {0};
    for (int64_t k = 0; k < m->k; k++) {
        s.empty += m->counts[k] == 0;
        s.single += m->counts[k] == 1;
        s.negative += m->counts[k] < 0;
        s.rows += (double)m->counts[k];
        if (m->counts[k] > m->counts[s.largest]) s.largest = k;
    }
    return s;
}

static void warn_of_empty(const lloyd_model *m, int64_t empty, lloyd_warnings *w)
{
    char count[32], text[96];
    const int64_t distinct = lloyd_summary_model_distinct(m, empty);
    if (empty == 0) return;
    if (distinct > 0) {
        lloyd_summary_shortage(distinct, empty, text, sizeof text);
        snprintf(next(w), LLOYD_WARNING_BYTES, "There %s %s; fit with -k %s or less.",
                 distinct == 1 ? "is" : "are", text,
                 lloyd_text_count(distinct, count, sizeof count));
        return;
    }
    snprintf(next(w), LLOYD_WARNING_BYTES, "%s cluster%s %s empty; fit with %s.",
             lloyd_text_count(empty, count, sizeof count), empty == 1 ? "" : "s",
             empty == 1 ? "is" : "are",
             strstr(m->options, "\"empty\":\"keep\"") ? "--empty relocate, or with a smaller -k"
                                                      : "a smaller -k");
}

static void warn_of_single(int64_t single, lloyd_warnings *w)
{
    char count[32];
    if (single == 1)
        snprintf(
            next(w), LLOYD_WARNING_BYTES,
            "1 cluster has one row only, which may be an outlier or damaged; look at it, or fit "
            "with a smaller -k.");
    else if (single > 1)
        snprintf(
            next(w), LLOYD_WARNING_BYTES,
            "%s clusters have one row only, which may be outliers or damaged; look at some of them, "
            "or fit with a smaller -k.",
            lloyd_text_count(single, count, sizeof count));
}

static void warn_of_large(const lloyd_model *m, const shown *s, lloyd_warnings *w)
{
    char cluster[32], rows[32], share[32];
    const double largest = (double)m->counts[s->largest];
    if (m->k < MANY_CLUSTERS || !(largest * LARGE_SHARE > s->rows)) return;
    snprintf(
        next(w), LLOYD_WARNING_BYTES,
        "Cluster %s holds %s rows, %s %% of all, which may be near-duplicates or hold next to "
        "nothing; look at some of them, and leave such rows out (lloyd select --near-duplicates) "
        "or fit with --max-size.",
        lloyd_text_count(s->largest, cluster, sizeof cluster),
        lloyd_text_count(m->counts[s->largest], rows, sizeof rows),
        lloyd_text_real(100 * largest / s->rows, 3, share, sizeof share));
}

void lloyd_warnings_find(const lloyd_model *m, lloyd_warnings *w)
{
    w->count = 0;
    warn_of_iterations(m, w);
    if (!m->counts) return;
    const shown s = look_at(m);
    if (s.negative > 0) return; /* the file is damaged */
    warn_of_empty(m, s.empty, w);
    warn_of_single(s.single, w);
    warn_of_large(m, &s, w);
}
