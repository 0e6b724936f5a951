/* See second.h. */
#include "job/results/second.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

/* Sets for one place of the numbers: more make fewer places, but smaller sets, which are assigned to less
 * efficiently. */
enum { MOST_SETS = 32 };

struct lloyd_second {
    const float *centroids;
    int64_t k, dim, base;
    float *set;      /* [most_in_a_set * dim] */
    int32_t *of_set; /* [most_in_a_set] which centroids these are */

    /* [chunk_rows] what an assignment to a set has found */
    int32_t *label;
    double *distance;
};

/* The least base, two at least, in which the numbers have as few places as with MOST_SETS. */
static int64_t base_for(int64_t k)
{
    int places = 1;
    for (int64_t reach = MOST_SETS; reach < k; reach *= MOST_SETS) places++;
    for (int64_t base = 2;; base++) {
        int64_t reach = 1;
        for (int p = 0; p < places; p++) reach *= base;
        if (reach >= k) return base;
    }
}

/* In the first place every base-th centroid is in a set; in the last one, all of a run. */
static int64_t most_in_a_set(int64_t k)
{
    int64_t base = base_for(k), most = (k + base - 1) / base, unit = 1;
    for (; unit * base < k; unit *= base) {
        int64_t here = (k + unit * base - 1) / (unit * base) * unit;
        most = here > most ? here : most;
    }
    int64_t last = unit < k ? unit : k;
    return last > most ? last : most;
}

int64_t lloyd_second_bytes(int64_t k, int64_t dim, int64_t chunk_rows)
{
    return most_in_a_set(k) * (dim * (int64_t)sizeof(float) + (int64_t)sizeof(int32_t)) +
           chunk_rows * (int64_t)(sizeof(int32_t) + sizeof(double));
}

lloyd_status lloyd_second_open(const float *centroids, int64_t k, int64_t dim, int64_t chunk_rows,
                               lloyd_second **second)
{
    const char *what = "the second-nearest centroids";
    const int64_t most = most_in_a_set(k);
    LLOYD_TRY(lloyd_alloc(second, 1, sizeof **second, what));
    lloyd_second *s = *second;
    s->centroids = centroids;
    s->k = k, s->dim = dim, s->base = base_for(k);
    LLOYD_TRY(lloyd_alloc(&s->set, most * dim, sizeof *s->set, what));
    LLOYD_TRY(lloyd_alloc(&s->of_set, most, sizeof *s->of_set, what));
    LLOYD_TRY(lloyd_alloc(&s->label, chunk_rows, sizeof *s->label, what));
    return lloyd_alloc(&s->distance, chunk_rows, sizeof *s->distance, what);
}

void lloyd_second_close(lloyd_second *s)
{
    if (!s) return;
    lloyd_free(s->set);
    lloyd_free(s->of_set);
    lloyd_free(s->label);
    lloyd_free(s->distance);
    lloyd_free(s);
}

/* The centroids, in increasing order, whose number has `digit` in the place that is worth `unit`. */
static int64_t choose_set(lloyd_second *s, int64_t unit, int64_t digit)
{
    int64_t count = 0;
    const size_t bytes = (size_t)s->dim * sizeof *s->set;
    for (int64_t run = digit * unit; run < s->k; run += unit * s->base) {
        for (int64_t c = run; c < run + unit && c < s->k; c++) {
            memcpy(s->set + count * s->dim, s->centroids + c * s->dim, bytes);
            s->of_set[count++] = (int32_t)c;
        }
    }
    return count;
}

/* A chunk of rows, and what is found of it so far. */
typedef struct found_rows {
    int64_t count;
    const int32_t *labels;
    int32_t *nearest;
    double *distances;
} found_rows;

static void keep_nearest(const lloyd_second *s, int64_t unit, int64_t digit, const found_rows *f)
{
    for (int64_t i = 0; i < f->count; i++) {
        if (f->labels[i] / unit % s->base == digit) continue;
        int32_t centroid = s->of_set[s->label[i]];
        double distance = s->distance[i];
        if (distance > f->distances[i] || (distance == f->distances[i] && centroid > f->nearest[i]))
            continue;
        f->nearest[i] = centroid;
        f->distances[i] = distance;
    }
}

lloyd_status lloyd_second_find(lloyd_second *s, lloyd_kernels *kernels, int slot, int64_t first,
                               int64_t count, const int32_t *labels, int32_t *nearest,
                               double *distances)
{
    const found_rows found = {count, labels, nearest, distances};
    for (int64_t i = 0; i < count; i++) {
        nearest[i] = INT32_MAX;
        distances[i] = INFINITY;
    }
    for (int64_t unit = 1; unit < s->k; unit *= s->base) {
        for (int64_t digit = 0; digit < s->base; digit++) {
            int64_t members = choose_set(s, unit, digit);
            if (members == 0) continue;
            LLOYD_TRY(kernels->set_centroids(kernels, members, s->set));
            LLOYD_TRY(kernels->assign(kernels, slot));
            LLOYD_TRY(kernels->labels(kernels, first, count, s->label));
            LLOYD_TRY(kernels->distances(kernels, slot, s->distance));
            keep_nearest(s, unit, digit, &found);
        }
    }
    for (int64_t i = 0; i < count && s->k == 1; i++) {
        nearest[i] = -1;
        distances[i] = NAN;
    }
    return kernels->set_centroids(kernels, s->k, s->centroids);
}
