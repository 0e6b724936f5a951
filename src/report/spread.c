/* See spread.h. Whatever is summed is summed in the order of the file, so a model has one result. */
#include "report/spread.h"

#include "base/memory.h"
#include "io/clusters.h"
#include "io/inspect.h"

#include <math.h>
#include <string.h>

enum { SKIPPED = -1 }; /* the label of a row that was left out, whose distance is NaN */
static const int64_t BLOCK = (int64_t)1 << 20; /* rows, or members, that are read at once */
static const int64_t WINDOW = (int64_t)1
                              << 26; /* distances that are held at once, to be found by number */
static const uint32_t INFINITE = 0x7f800000; /* the bits of an infinite float */

static lloyd_status bad_distance(const char *path, int64_t row, float distance)
{
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "/distances of %s has %g for row %lld, which is no squared distance; the file is "
        "damaged",
        path, (double)distance, (long long)row);
}

/* The leading bits of a positive float rise with it, as a number. */
int lloyd_spread_bin(float distance)
{
    uint32_t bits;
    memcpy(&bits, &distance, sizeof bits);
    return (int)(bits >> LLOYD_SPREAD_SHIFT & (LLOYD_SPREAD_BINS - 1));
}

double lloyd_spread_edge(int bin)
{
    const uint32_t bits = (uint32_t)bin << LLOYD_SPREAD_SHIFT;
    float value;
    memcpy(&value, &bits, sizeof value);
    return bits < INFINITE ? (double)value : INFINITY;
}

double lloyd_spread_quantile(const lloyd_spread *s, double share)
{
    const double wanted = ceil(share * (double)s->rows);
    int64_t below = 0;
    int bin = 0;
    for (; bin < LLOYD_SPREAD_BINS - 1; bin++) {
        below += s->bins[bin];
        if (below > 0 && (double)below >= wanted) break;
    }
    if (bin == 0) return 0;
    const double middle = (lloyd_spread_edge(bin) + lloyd_spread_edge(bin + 1)) / 2;
    return fmin(fmax(middle, (double)s->least), (double)s->most);
}

static void add_distance(lloyd_spread *s, float distance)
{
    s->bins[lloyd_spread_bin(distance)]++;
    s->sum += (double)distance;
    s->least = s->rows == 0 || distance < s->least ? distance : s->least;
    s->most = distance > s->most ? distance : s->most;
    s->rows++;
}

/* ---- With labels, or with nothing but distances -------------------------------------------- */

typedef struct pass {
    const char *path;
    const lloyd_model *model;
    lloyd_spread *spread;
    int64_t rows;     /* the length of /distances */
    float *distances; /* [BLOCK] */
    int32_t *labels;  /* [BLOCK]; NULL: there are none */
} pass;

static lloyd_status add_row(const pass *p, int64_t row, float distance, const int32_t *label)
{
    lloyd_spread *s = p->spread;
    if (label ? *label == SKIPPED : isnan(distance)) return LLOYD_OK;
    if (label && (*label < 0 || *label >= p->model->k))
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "/labels of %s has %d for row %lld, which is none of its %lld clusters; the "
            "file is damaged",
            p->path, (int)*label, (long long)row, (long long)p->model->k);
    if (!(distance >= 0)) return bad_distance(p->path, row, distance);
    add_distance(s, distance);
    if (!label) return LLOYD_OK;
    s->members[*label]++;
    s->inertia[*label] += (double)distance;
    return LLOYD_OK;
}

static lloyd_status add_rows(const pass *p)
{
    int64_t total;
    for (int64_t first = 0; first < p->rows; first += BLOCK) {
        const int64_t count = p->rows - first < BLOCK ? p->rows - first : BLOCK;
        LLOYD_TRY(lloyd_inspect_distances(p->path, first, count, &total, p->distances));
        if (p->labels) LLOYD_TRY(lloyd_inspect_labels(p->path, first, count, &total, p->labels));
        for (int64_t i = 0; i < count; i++)
            LLOYD_TRY(add_row(p, first + i, p->distances[i], p->labels ? p->labels + i : NULL));
    }
    return LLOYD_OK;
}

/* ---- With the members of each cluster ------------------------------------------------------- */

/* Adds the members whose distances are in the window, which begins with row `first`. */
static lloyd_status add_members(const pass *p, const lloyd_clusters *c, const float *window,
                                int64_t first, int64_t count, int64_t *members)
{
    int64_t k = 0;
    for (int64_t from = 0; from < c->count; from += BLOCK) {
        const int64_t some = c->count - from < BLOCK ? c->count - from : BLOCK;
        LLOYD_TRY(lloyd_clusters_read(c, from, some, members));
        for (int64_t i = 0; i < some; i++) {
            const int64_t row = members[i] - first;
            while (from + i >= c->offsets[k + 1]) k++;
            if (row < 0 || row >= count) continue;
            if (!(window[row] >= 0)) return bad_distance(p->path, members[i], window[row]);
            p->spread->members[k]++;
            p->spread->inertia[k] += (double)window[row];
        }
    }
    return LLOYD_OK;
}

static lloyd_status add_windows(const pass *p, const lloyd_clusters *c, int64_t size, float *window,
                                int64_t *members)
{
    int64_t total;
    for (int64_t first = 0; first < p->rows; first += size) {
        const int64_t count = p->rows - first < size ? p->rows - first : size;
        LLOYD_TRY(lloyd_inspect_distances(p->path, first, count, &total, window));
        LLOYD_TRY(add_members(p, c, window, first, count, members));
    }
    return LLOYD_OK;
}

static lloyd_status check_members(const pass *p, const lloyd_clusters *c)
{
    if (c->k == p->model->k && c->rows == p->rows) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "/members of %s are those of %lld clusters of %lld rows, but there are %lld "
                      "centroids and %lld distances; the file is damaged",
                      p->path, (long long)c->k, (long long)c->rows, (long long)p->model->k,
                      (long long)p->rows);
}

static lloyd_status read_members(const pass *p, const lloyd_clusters *c)
{
    int64_t size = p->rows / 4 < WINDOW ? p->rows / 4 : WINDOW, *members = NULL;
    float *window = NULL;
    if (size < BLOCK) size = BLOCK;
    LLOYD_TRY(check_members(p, c));
    LLOYD_TRY(lloyd_alloc(&members, BLOCK, sizeof *members, "members of clusters"));
    lloyd_status status = lloyd_alloc(&window, size, sizeof *window, "distances of rows");
    if (status == LLOYD_OK) status = add_windows(p, c, size, window, members);
    lloyd_free(window);
    lloyd_free(members);
    return status;
}

static lloyd_status add_clusters(const pass *p)
{
    lloyd_clusters clusters;
    lloyd_status status = lloyd_clusters_open(p->path, &clusters);
    if (status == LLOYD_OK) status = read_members(p, &clusters);
    lloyd_clusters_close(&clusters);
    return status;
}

/* ---- What there is -------------------------------------------------------------------------- */

/* Both are of the same rows; and a model of all rows has as many of each cluster as it says. */
static lloyd_status check_counts(const pass *p)
{
    const lloyd_model *m = p->model;
    for (int64_t k = 0; k < m->k && m->counts && m->stored == 0; k++)
        if (p->spread->members[k] != m->counts[k])
            return lloyd_fail(
                LLOYD_BAD_INPUT,
                "%s has %lld rows of cluster %lld, but its /counts say %lld; the file is damaged",
                p->path, (long long)p->spread->members[k], (long long)k, (long long)m->counts[k]);
    return LLOYD_OK;
}

static lloyd_status check_length(const pass *p)
{
    int64_t labels;
    LLOYD_TRY(lloyd_inspect_labels(p->path, 0, 0, &labels, NULL));
    if (labels == p->rows) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "%s has %lld labels but %lld distances, of the same rows; the file is damaged", p->path,
        (long long)labels, (long long)p->rows);
}

static lloyd_status read_rows(pass *p, const lloyd_row_outputs *has)
{
    lloyd_spread *s = p->spread;
    LLOYD_TRY(lloyd_inspect_distances(p->path, 0, 0, &p->rows, NULL));
    if (has->labels) LLOYD_TRY(check_length(p));
    LLOYD_TRY(lloyd_alloc(&s->bins, LLOYD_SPREAD_BINS, sizeof *s->bins, "bins of distances"));
    LLOYD_TRY(lloyd_alloc(&p->distances, BLOCK, sizeof *p->distances, "distances of rows"));
    if (has->labels) LLOYD_TRY(lloyd_alloc(&p->labels, BLOCK, sizeof *p->labels, "labels of rows"));
    if (s->labelled) {
        const int64_t k = p->model->k;
        LLOYD_TRY(lloyd_alloc(&s->members, k, sizeof *s->members, "the rows of clusters"));
        LLOYD_TRY(lloyd_alloc(&s->inertia, k, sizeof *s->inertia, "the inertia of clusters"));
    }
    LLOYD_TRY(add_rows(p));
    if (s->labelled && !has->labels) LLOYD_TRY(add_clusters(p));
    return s->labelled ? check_counts(p) : LLOYD_OK;
}

lloyd_status lloyd_spread_read(const char *path, const lloyd_model *model, lloyd_spread *spread)
{
    lloyd_row_outputs has;
    pass p = {.path = path, .model = model, .spread = spread};
    *spread = (lloyd_spread){0};
    LLOYD_TRY(lloyd_inspect_row_outputs(path, &has));
    if (!has.distances) return LLOYD_OK;
    spread->known = 1;
    spread->labelled = has.labels || (has.members && !has.rows); /* numbers of another dataset's */
    lloyd_status status = read_rows(&p, &has);
    lloyd_free(p.distances);
    lloyd_free(p.labels);
    return status;
}

void lloyd_spread_free(lloyd_spread *s)
{
    lloyd_free(s->bins);
    lloyd_free(s->members);
    lloyd_free(s->inertia);
    *s = (lloyd_spread){0};
}
