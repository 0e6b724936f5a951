/* See groups.h. Balanced bisection, level by level: a piece of more than one group is cut, at a multiple of
 * the group, across the line through two centres, and the halves' means are the next two centres, as in
 * 2-means whose clusters have a given size. The centres are found on a sample; all that a level costs beside
 * is one product of each centroid with a direction, and a selection.
 */
#include "kernels/groups.h"

#include "base/memory.h"
#include "kernels/clones.h"
#include "kernels/numerics.h"

#include <omp.h>
#include <stdlib.h>

enum {
    SAMPLE = 512, /* centroids of a piece that its direction is found on */
    ROUNDS = 6    /* of 2-means */
};

/* A centroid on the line. */
typedef struct place {
    double key;
    int32_t number;
} place;

typedef struct groups {
    const float *centroids;
    int64_t count, dim, group;
    int threads;
    place *places;     /* [count] in the order so far */
    int64_t pieces;    /* of the level */
    int64_t *first;    /* [pieces + 1] places where they begin */
    int64_t *next;     /* the same of the next level */
    double *direction; /* [pieces that are cut][dim] */
    double *centres;   /* [threads][2][dim] */
} groups;

/* c . direction, in the dist() order. */
LLOYD_CLONES static double along(const float *c, const double *direction, int64_t dim)
{
    double p[LLOYD_LANES] = {0};
    int64_t j = 0;
    for (; j + LLOYD_LANES <= dim; j += LLOYD_LANES)
        for (int l = 0; l < LLOYD_LANES; l++) p[l] = fma((double)c[j + l], direction[j + l], p[l]);
    for (int l = 0; j + l < dim; l++) p[l] = fma((double)c[j + l], direction[j + l], p[l]);
    return lloyd_tree(p, LLOYD_LANES);
}

/* |c - from|^2. */
LLOYD_CLONES static double apart(const float *c, const double *from, int64_t dim)
{
    double p[LLOYD_LANES] = {0};
    int64_t j = 0;
    for (; j + LLOYD_LANES <= dim; j += LLOYD_LANES) {
        for (int l = 0; l < LLOYD_LANES; l++) {
            double t = (double)c[j + l] - from[j + l];
            p[l] = fma(t, t, p[l]);
        }
    }
    for (int l = 0; j + l < dim; l++) {
        double t = (double)c[j + l] - from[j + l];
        p[l] = fma(t, t, p[l]);
    }
    return lloyd_tree(p, LLOYD_LANES);
}

LLOYD_CLONES static void add_to(double *sum, const float *c, int64_t dim)
{
    for (int64_t j = 0; j < dim; j++) sum[j] += (double)c[j];
}

static int is_before(const place *a, const place *b)
{
    return a->key < b->key || (a->key == b->key && a->number < b->number);
}

static void swap(place *a, place *b)
{
    place t = *a;
    *a = *b;
    *b = t;
}

/* The middle one of three becomes the first. */
static void choose_pivot(place *p, int64_t n)
{
    place *a = p, *b = p + n / 2, *c = p + n - 1;
    if (is_before(b, a)) swap(a, b);
    if (is_before(c, b)) swap(b, c);
    if (is_before(b, a)) swap(a, b);
    swap(p, b);
}

/* Rearranges p[0 .. n) so that the first `wanted` are before all others. */
static void cut(place *p, int64_t n, int64_t wanted)
{
    while (n > 1 && wanted > 0 && wanted < n) {
        choose_pivot(p, n);
        int64_t low = 1, high = n - 1;
        while (low <= high) {
            if (is_before(&p[low], p))
                low++;
            else
                swap(&p[low], &p[high--]);
        }
        swap(p, &p[high]); /* the pivot is where it belongs */
        if (wanted <= high) {
            n = high;
        } else {
            p += high + 1, n -= high + 1, wanted -= high + 1;
        }
    }
}

/* Where a piece of n is cut: half of its groups, rounded up. */
static int64_t half_of(const groups *g, int64_t n)
{
    int64_t whole = (n + g->group - 1) / g->group;
    return (whole + 1) / 2 * g->group;
}

static const float *centroid(const groups *g, const place *p)
{
    return g->centroids + p->number * g->dim;
}

static void set_mean(const groups *g, const place *p, int64_t n, double *mean)
{
    for (int64_t j = 0; j < g->dim; j++) mean[j] = 0;
    for (int64_t i = 0; i < n; i++) add_to(mean, centroid(g, &p[i]), g->dim);
    for (int64_t j = 0; j < g->dim; j++) mean[j] /= (double)n;
}

/* The one farthest from a point. */
static void set_farthest(const groups *g, const place *p, int64_t n, const double *from, double *to)
{
    double most = -1;
    const float *farthest = centroid(g, p);
    for (int64_t i = 0; i < n; i++) {
        const float *c = centroid(g, &p[i]);
        double square = apart(c, from, g->dim);
        if (square > most) most = square, farthest = c;
    }
    for (int64_t j = 0; j < g->dim; j++) to[j] = (double)farthest[j];
}

/* The direction across which the piece p[0 .. n) is cut. centres: [2][dim]. */
static void find_direction(const groups *g, const place *p, int64_t n, double *centres,
                           double *direction)
{
    place sample[SAMPLE] = {{0, 0}};
    int64_t dim = g->dim, size = n < SAMPLE ? n : SAMPLE,
            part = n == size ? half_of(g, n) : size / 2;
    double *a = centres, *b = centres + dim;
    for (int64_t i = 0; i < size; i++) sample[i] = p[i * n / size];
    set_mean(g, sample, size, direction);
    set_farthest(g, sample, size, direction, a);
    set_farthest(g, sample, size, a, b);
    for (int round = 0; round <= ROUNDS; round++) {
        for (int64_t j = 0; j < dim; j++) direction[j] = b[j] - a[j];
        if (round == ROUNDS) break;
        for (int64_t i = 0; i < size; i++)
            sample[i].key = along(centroid(g, &sample[i]), direction, dim);
        cut(sample, size, part);
        set_mean(g, sample, part, a);
        set_mean(g, sample + part, size - part, b);
    }
}

/* Cuts every piece of more than one group; 0: there is none. */
static int cut_level(groups *g)
{
    int64_t pieces = 0, cuts = 0;
    for (int64_t i = 0; i < g->pieces; i++) {
        int64_t n = g->first[i + 1] - g->first[i];
        g->next[pieces++] = g->first[i];
        if (n > g->group) g->next[pieces++] = g->first[i] + half_of(g, n), cuts++;
    }
    g->next[pieces] = g->count;
    if (cuts == 0) return 0;
#pragma omp parallel num_threads(g->threads)
    {
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < g->pieces; i++) {
            int64_t n = g->first[i + 1] - g->first[i];
            if (n > g->group)
                find_direction(g, g->places + g->first[i], n,
                               g->centres + omp_get_thread_num() * 2 * g->dim,
                               g->direction + i * g->dim);
        }
        for (int64_t i = 0; i < g->pieces; i++) {
            if (g->first[i + 1] - g->first[i] <= g->group) continue;
#pragma omp for nowait
            for (int64_t at = g->first[i]; at < g->first[i + 1]; at++)
                g->places[at].key =
                    along(centroid(g, &g->places[at]), g->direction + i * g->dim, g->dim);
        }
#pragma omp barrier
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < g->pieces; i++) {
            int64_t n = g->first[i + 1] - g->first[i];
            if (n > g->group) cut(g->places + g->first[i], n, half_of(g, n));
        }
    }
    int64_t *first = g->first;
    g->first = g->next, g->next = first, g->pieces = pieces;
    return 1;
}

/* Pieces of the last level. */
static int64_t most_pieces(int64_t count, int64_t group)
{
    return (count + group - 1) / group;
}

static lloyd_status reserve(groups *g)
{
    const char *what = "groups of centroids";
    int64_t most = most_pieces(g->count, g->group);
    LLOYD_TRY(lloyd_alloc(&g->places, g->count, sizeof *g->places, what));
    LLOYD_TRY(lloyd_alloc(&g->first, most + 1, sizeof *g->first, what));
    LLOYD_TRY(lloyd_alloc(&g->next, most + 1, sizeof *g->next, what));
    LLOYD_TRY(lloyd_alloc(&g->direction, most * g->dim, sizeof *g->direction, what));
    return lloyd_alloc(&g->centres, 2 * g->threads * g->dim, sizeof *g->centres, what);
}

int64_t lloyd_group_bytes(int64_t count, int64_t dim, int64_t group, int threads)
{
    int64_t most = most_pieces(count, group);
    return count * (int64_t)sizeof(place) + 2 * (most + 1) * (int64_t)sizeof(int64_t) +
           (most + 2 * (int64_t)threads) * dim * (int64_t)sizeof(double);
}

lloyd_status lloyd_group_centroids(const float *centroids, int64_t count, int64_t dim,
                                   int64_t group, int threads, int32_t *order)
{
    groups g = {.centroids = centroids,
                .count = count,
                .dim = dim,
                .group = group,
                .threads = threads,
                .pieces = 1};
    lloyd_status status = reserve(&g);
    if (status == LLOYD_OK) {
        for (int64_t k = 0; k < count; k++) g.places[k].number = (int32_t)k;
        g.first[0] = 0, g.first[1] = count;
        while (cut_level(&g)) continue;
        for (int64_t k = 0; k < count; k++) order[k] = g.places[k].number;
    }
    lloyd_free(g.places);
    lloyd_free(g.first);
    lloyd_free(g.next);
    lloyd_free(g.direction);
    lloyd_free(g.centres);
    return status;
}
