/* See second.h. */
#include "job/results/second.h"

#include "base/memory.h"
#include "kernels/dist.h"

#include <math.h>
#include <string.h>

enum {
    RANGES = 16,           /* that a range of centroids is cut into */
    FEW = 32,              /* centroids: dist() to all of them */
    BATCH_BYTES = 16 << 20 /* rows as float32 that are assigned at a time */
};

struct lloyd_second {
    lloyd_kernels *kernels; /* which have the rows */
    lloyd_kernels *others;  /* which assign them */
    const float *centroids;
    int64_t k, dim, batch;
    float *set;       /* [k * dim] centroids that rows are assigned to */
    float *values;    /* [batch * dim] rows */
    int32_t *label;   /* [batch] what an assignment has found */
    double *distance; /* [batch] */
    int64_t *order;   /* [chunk_rows] rows sorted by label, by their numbers in the chunk */
    int64_t *numbers; /* [batch] the same, by their local numbers */
    int64_t *begin;   /* [k + 1] where the rows of a label begin in it */
};

/* A chunk of rows, and what is found of it so far. */
typedef struct chunk_rows {
    int slot;
    int64_t first, count;
    const int32_t *labels;
    int32_t *nearest;
    double *distances;
} chunk_rows;

/* --- memory --- */

static int64_t batch_of(const lloyd_kernels_config *config)
{
    int64_t rows = BATCH_BYTES / (int64_t)sizeof(float) / config->dim;
    if (rows > config->chunk_rows) rows = config->chunk_rows;
    return rows > 0 ? rows : 1;
}

lloyd_kernels_config lloyd_second_config(const lloyd_kernels_config *config)
{
    lloyd_kernels_config others = *config;
    others.n_local = others.chunk_rows = batch_of(config);
    others.k = 1; /* nothing is summed */
    others.slots = 1;
    others.type = LLOYD_F32;
    others.cosine = 0; /* rows are scaled already */
    others.weights = NULL;
    others.timed = 0;
    others.prune_group = 0; /* bounds are of rows that stay */
    return others;
}

int64_t lloyd_second_bytes(const lloyd_kernels_config *config, int64_t k)
{
    const int64_t word = sizeof(int64_t), number = sizeof(float);
    return k * config->dim * number + (k + 1) * word + config->chunk_rows * word +
           batch_of(config) * (config->dim * number + 2 * word + (int64_t)sizeof(int32_t));
}

static lloyd_status make_room(lloyd_second *s, const lloyd_kernels_config *config)
{
    const char *what = "the second-nearest centroids";
    LLOYD_TRY(lloyd_alloc(&s->set, s->k * s->dim, sizeof *s->set, what));
    LLOYD_TRY(lloyd_alloc(&s->values, s->batch * s->dim, sizeof *s->values, what));
    LLOYD_TRY(lloyd_alloc(&s->label, s->batch, sizeof *s->label, what));
    LLOYD_TRY(lloyd_alloc(&s->distance, s->batch, sizeof *s->distance, what));
    LLOYD_TRY(lloyd_alloc(&s->order, config->chunk_rows, sizeof *s->order, what));
    LLOYD_TRY(lloyd_alloc(&s->numbers, s->batch, sizeof *s->numbers, what));
    return lloyd_alloc(&s->begin, s->k + 1, sizeof *s->begin, what);
}

lloyd_status lloyd_second_open(lloyd_kernels *kernels, const float *centroids, int64_t k,
                               lloyd_second **second)
{
    const lloyd_kernels_config *config = &kernels->config, others = lloyd_second_config(config);
    LLOYD_TRY(lloyd_alloc(second, 1, sizeof **second, "the second-nearest centroids"));
    **second = (lloyd_second){.kernels = kernels,
                              .centroids = centroids,
                              .k = k,
                              .dim = config->dim,
                              .batch = batch_of(config)};
    LLOYD_TRY(make_room(*second, config));
    return kernels->create(kernels, &others, &(*second)->others);
}

void lloyd_second_close(lloyd_second *s)
{
    if (!s) return;
    if (s->others) s->others->destroy(s->others);
    lloyd_free(s->set);
    lloyd_free(s->values);
    lloyd_free(s->label);
    lloyd_free(s->distance);
    lloyd_free(s->order);
    lloyd_free(s->numbers);
    lloyd_free(s->begin);
    lloyd_free(s);
}

/* --- rows by label --- */

/* Ends with begin[c + 1] where the rows of label c end, as counting sort leaves it, so one further. */
static void sort_by_label(lloyd_second *s, const chunk_rows *rows)
{
    memset(s->begin, 0, (size_t)(s->k + 1) * sizeof *s->begin);
    for (int64_t i = 0; i < rows->count; i++) s->begin[rows->labels[i] + 1]++;
    for (int64_t c = 0; c < s->k; c++) s->begin[c + 1] += s->begin[c];
    for (int64_t i = 0; i < rows->count; i++) s->order[s->begin[rows->labels[i]]++] = i;
    for (int64_t c = s->k; c > 0; c--) s->begin[c] = s->begin[c - 1];
    s->begin[0] = 0;
}

/* values = the rows order[at, at + count). */
static lloyd_status gather(lloyd_second *s, const chunk_rows *rows, int64_t at, int64_t count)
{
    for (int64_t i = 0; i < count; i++) s->numbers[i] = rows->first + s->order[at + i];
    return s->kernels->rows(s->kernels, rows->slot, s->numbers, count, s->values);
}

/* Row i has a centroid at this distance. */
static void offer(const chunk_rows *rows, int64_t i, int64_t centroid, double distance)
{
    if (distance > rows->distances[i] ||
        (distance == rows->distances[i] && centroid > rows->nearest[i]))
        return;
    rows->nearest[i] = (int32_t)centroid;
    rows->distances[i] = distance;
}

/* --- ranges of centroids --- */

/* The next batch of rows, of those whose label is in a range of centroids. */
static int64_t next_batch(const lloyd_second *s, int64_t at, int64_t end)
{
    return end - at < s->batch ? end - at : s->batch;
}

/* The rows with labels in [low, high) and all centroids in it. */
static lloyd_status compare_all(lloyd_second *s, const chunk_rows *rows, int64_t low, int64_t high)
{
    const int64_t end = s->begin[high];
    for (int64_t at = s->begin[low], count; at < end; at += count) {
        count = next_batch(s, at, end);
        LLOYD_TRY(gather(s, rows, at, count));
#pragma omp parallel for num_threads(s->kernels->config.threads)
        for (int64_t i = 0; i < count; i++) {
            const int64_t row = s->order[at + i];
            for (int64_t c = low; c < high; c++) {
                if (c == rows->labels[row]) continue;
                offer(rows, row, c,
                      lloyd_dist(s->values + i * s->dim, s->centroids + c * s->dim, s->dim));
            }
        }
    }
    return LLOYD_OK;
}

/* What an assignment of rows order[at, at + count) to [low, from) and [to, high) has found. */
static void keep_found(const lloyd_second *s, const chunk_rows *rows, int64_t at, int64_t count,
                       int64_t low, int64_t from, int64_t to)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t centroid = low + s->label[i];
        if (centroid >= from) centroid += to - from;
        offer(rows, s->order[at + i], centroid, s->distance[i]);
    }
}

/* The rows with labels in [from, to), and the other centroids in [low, high). */
static lloyd_status assign_to_others(lloyd_second *s, const chunk_rows *rows, int64_t low,
                                     int64_t high, int64_t from, int64_t to)
{
    lloyd_kernels *others = s->others;
    const int64_t end = s->begin[to];
    const size_t bytes = (size_t)s->dim * sizeof *s->set;
    memcpy(s->set, s->centroids + low * s->dim, (size_t)(from - low) * bytes);
    memcpy(s->set + (from - low) * s->dim, s->centroids + to * s->dim, (size_t)(high - to) * bytes);
    LLOYD_TRY(others->set_centroids(others, high - low - (to - from), s->set));
    for (int64_t at = s->begin[from], count; at < end; at += count) {
        count = next_batch(s, at, end);
        LLOYD_TRY(gather(s, rows, at, count));
        LLOYD_TRY(others->load(others, 0, 0, count, s->values));
        LLOYD_TRY(others->forget_labels(others));
        LLOYD_TRY(others->assign(others, 0));
        LLOYD_TRY(others->labels(others, 0, count, s->label));
        LLOYD_TRY(others->distances(others, 0, s->distance));
        keep_found(s, rows, at, count, low, from, to);
    }
    return LLOYD_OK;
}

/* The rows with labels in [low, high), and the centroids in it. */
static lloyd_status search(lloyd_second *s, const chunk_rows *rows, int64_t low, int64_t high)
{
    if (s->begin[low] == s->begin[high]) return LLOYD_OK;
    if (high - low <= FEW) return compare_all(s, rows, low, high);
    for (int64_t r = 0; r < RANGES; r++) {
        int64_t from = low + (high - low) * r / RANGES, to = low + (high - low) * (r + 1) / RANGES;
        if (s->begin[from] == s->begin[to]) continue;
        LLOYD_TRY(assign_to_others(s, rows, low, high, from, to));
        LLOYD_TRY(search(s, rows, from, to));
    }
    return LLOYD_OK;
}

lloyd_status lloyd_second_find(lloyd_second *s, int slot, int64_t first, int64_t count,
                               const int32_t *labels, int32_t *nearest, double *distances)
{
    const chunk_rows rows = {slot, first, count, labels, nearest, distances};
    for (int64_t i = 0; i < count; i++) {
        nearest[i] = s->k > 1 ? INT32_MAX : -1;
        distances[i] = s->k > 1 ? INFINITY : NAN;
    }
    if (s->k == 1) return LLOYD_OK;
    sort_by_label(s, &rows);
    return search(s, &rows, 0, s->k);
}
