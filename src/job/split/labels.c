/* See labels.h. */
#include "job/split/labels.h"

#include "base/memory.h"
#include "io/inspect.h"
#include "rows/bad_rows.h"

#include <stdlib.h>

enum { LABELS = 1 << 20 }; /* read at a time */

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

static lloyd_status check_label(const lloyd_splitting *s, int64_t row, int32_t label)
{
    const char *path = labels_path(s->options);
    if (label >= 0 && label < s->parent.k) return LLOYD_OK;
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

static lloyd_status take_clusters(lloyd_splitting *s, label_window *w)
{
    const lloyd_row_source *rows = &s->source;
    for (int64_t i = 0; i < rows->count; i++) {
        const int64_t number = lloyd_rows_original(rows->rows, rows->first + i);
        if (number >= w->first + w->count) LLOYD_TRY(move_window(s, number, w));
        s->clusters[i] = w->labels[number - w->first];
        LLOYD_TRY(check_label(s, number, s->clusters[i]));
        s->rows[s->clusters[i]]++;
    }
    return LLOYD_OK;
}

lloyd_status lloyd_split_read_labels(lloyd_splitting *s)
{
    label_window window = {.labels = NULL};
    LLOYD_TRY(lloyd_alloc(&window.labels, LABELS, sizeof *window.labels, "labels"));
    lloyd_status status = take_clusters(s, &window);
    lloyd_free(window.labels);
    return status;
}
