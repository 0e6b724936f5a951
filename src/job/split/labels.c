/* See labels.h. */
#include "job/split/labels.h"

#include "base/memory.h"
#include "io/inspect.h"
#include "job/backend.h"
#include "rows/bad_rows.h"

#include <omp.h>
#include <stdlib.h>

enum {
    LABELS = 1 << 20, /* read at a time */
    ALONE = 1 << 12,  /* that one thread goes through */
    APART = 16        /* numbers: no two threads count in one cache line */
};

static const char *labels_path(const lloyd_split_options *o)
{
    return o->labels ? o->labels : o->model;
}

/* A file of labels says of how many clusters and columns its model was. */
static lloyd_status check_labels_model(const lloyd_splitting *s)
{
    const lloyd_split_options *o = s->options;
    lloyd_model about = {.n = 0};
    char *model = NULL;
    if (!o->labels) return LLOYD_OK;
    lloyd_status status = lloyd_labels_read_about(o->labels, &about, &model);
    const int other = about.k > 0 && (about.k != s->parent.k || about.d != s->parent.d);
    if (status == LLOYD_OK && other)
        status =
            lloyd_fail(LLOYD_BAD_INPUT,
                       "%s has labels of a model of %lld clusters x %lld columns, but %s is of "
                       "%lld x %lld; give the labels that this model gave the rows",
                       o->labels, (long long)about.k, (long long)about.d, o->model,
                       (long long)s->parent.k, (long long)s->parent.d);
    free(model);
    lloyd_model_free(&about);
    return status;
}

lloyd_status lloyd_split_check_labels(const lloyd_splitting *s)
{
    const char *path = labels_path(s->options);
    const int64_t stored = lloyd_rows_stored(s->source.rows);
    lloyd_row_outputs there;
    int64_t labels = 0;
    LLOYD_TRY(lloyd_inspect_row_outputs(path, &there));
    if (!there.labels)
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "%s has no /labels, the clusters of the rows; label the rows with lloyd "
                          "predict --model %s, and give its output with --labels",
                          path, s->options->model);
    LLOYD_TRY(lloyd_inspect_labels(path, 0, 0, &labels, NULL));
    if (labels == stored) return check_labels_model(s);
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "%s has labels of %lld rows, but the inputs have %lld; give the rows that "
                      "were clustered, or --labels FILE of lloyd predict with these inputs",
                      path, (long long)labels, (long long)stored);
}

/* A label that is none of a cluster. */
static lloyd_status refuse_label(const lloyd_splitting *s, int64_t row, int32_t label)
{
    const char *path = labels_path(s->options);
    if (label == LLOYD_SKIPPED && !s->options->skip_bad_rows)
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "row %lld has the label -1 in %s, so it was left out there; give "
                          "--skip-bad-rows here too",
                          (long long)row, path);
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "row %lld has the label %d in %s, which is none of the %lld clusters of %s; "
                      "give the labels that this model gave these rows",
                      (long long)row, (int)label, path, (long long)s->parent.k, s->options->model);
}

/* Labels of rows of the dataset, those left out included, as many at a time as there is room. */
typedef struct label_window {
    int32_t *labels; /* [LABELS] of rows [first, first + count) */
    int64_t first, count;
} label_window;

static lloyd_status move_window(const lloyd_splitting *s, int64_t row, label_window *w)
{
    const int64_t left = lloyd_rows_stored(s->source.rows) - row;
    int64_t total;
    w->first = row;
    w->count = left < LABELS ? left : LABELS;
    return lloyd_inspect_labels(labels_path(s->options), row, w->count, &total, w->labels);
}

/* Rows of clusters, counted by several threads, each in an array of its own. */
typedef struct counting {
    int threads;
    int64_t stride;
    int64_t *more; /* [(threads - 1) * stride] of the others: the first counts in s->rows */
} counting;

/* As many threads as make the arrays take less than half of what the labels of the rows will, for which there is room, and
 * which costs little to go through. */
static lloyd_status open_counting(const lloyd_splitting *s, counting *c)
{
    c->stride = (s->parent.k + APART - 1) / APART * APART;
    c->threads = lloyd_backend_threads(s->comm);
    const int64_t most = s->source.count / (4 * c->stride) + 1;
    if (c->threads > most) c->threads = (int)most;
    return lloyd_alloc(&c->more, (c->threads - 1) * c->stride, sizeof *c->more, "cluster sizes");
}

static void add_counts(const lloyd_splitting *s, const counting *c)
{
    const int64_t k = s->parent.k;
#pragma omp parallel for num_threads(c->threads) if (k > ALONE)
    for (int64_t i = 0; i < k; i++)
        for (int t = 1; t < c->threads; t++) s->rows[i] += c->more[(t - 1) * c->stride + i];
}

/* Rows [at, at + count) of the share, whose labels these are. Returns the first with a label that is none, -1: all have
 * one. */
static int64_t take_labels(const lloyd_splitting *s, const counting *c, int64_t at,
                           const int32_t *labels, int64_t count)
{
    const int64_t k = s->parent.k;
    int64_t bad = count;
#pragma omp parallel num_threads(c->threads) reduction(min : bad) if (count > ALONE)
    {
        const int thread = omp_get_thread_num();
        int64_t *rows = thread == 0 ? s->rows : c->more + (thread - 1) * c->stride;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < count; i++) {
            const int32_t label = labels[i];
            s->clusters[at + i] = label;
            if (label >= 0 && label < k)
                rows[label]++;
            else if (i < bad)
                bad = i;
        }
    }
    return bad < count ? bad : -1;
}

/* Between two rows that are left out, those that stay follow each other. */
static lloyd_status take_clusters(lloyd_splitting *s, const counting *c, label_window *w)
{
    const lloyd_row_source *rows = &s->source;
    for (int64_t i = 0, here; i < rows->count; i += here) {
        const int64_t number = lloyd_rows_original(rows->rows, rows->first + i);
        here = lloyd_rows_run(rows->rows, rows->first + i, rows->count - i);
        if (number >= w->first + w->count) LLOYD_TRY(move_window(s, number, w));
        const int64_t left = w->first + w->count - number;
        if (here > left) here = left;
        const int32_t *labels = w->labels + (number - w->first);
        const int64_t bad = take_labels(s, c, i, labels, here);
        if (bad >= 0) return refuse_label(s, number + bad, labels[bad]);
    }
    return LLOYD_OK;
}

lloyd_status lloyd_split_read_labels(lloyd_splitting *s)
{
    const char *what = "labels";
    label_window window = {.labels = NULL};
    counting c = {.more = NULL};
    lloyd_status status =
        lloyd_alloc_uncleared(&window.labels, LABELS, sizeof *window.labels, what);
    if (status == LLOYD_OK) status = open_counting(s, &c);
    if (status == LLOYD_OK) status = take_clusters(s, &c, &window);
    if (status == LLOYD_OK) add_counts(s, &c);
    lloyd_free(window.labels);
    lloyd_free(c.more);
    return status;
}
