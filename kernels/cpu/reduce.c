/* See kernels/reduce.h. In a leaf, a candidate that is tried lowers the masses only of those that it is
 * nearer to than what is chosen already, and these become fewer with every choice. So from time to time
 * the row of every candidate is cut down to them, and a trial then looks at a few, not at all.
 */
#include "kernels/reduce.h"

#include "kernels/cpu/cpu.h"

#include "base/memory.h"
#include "base/philox.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum {
    FIRST_CUT = 16,        /* choices before rows are cut down; then at twice as many, and so on */
    TRIALS_APART = 1 << 17 /* elements from which on trials are shared out to threads */
};

/* --- cutting into leaves --- */

int64_t lloyd_reduce_leaves(int64_t count)
{
    int64_t leaves = 1;
    while ((count + leaves - 1) / leaves > LLOYD_LEAF_MOST) leaves *= 2;
    return leaves;
}

/* How a point lies between two others: below 0, nearer to the first. */
typedef struct place {
    double where;
    int64_t point;
} place;

static int before(const place *a, const place *b)
{
    return a->where < b->where || (a->where == b->where && a->point < b->point);
}

static void swap(place *a, place *b)
{
    place kept = *a;
    *a = *b;
    *b = kept;
}

/* Hoare's selection: the `rank`-th of the places, from 0. */
static place select_place(place *places, int64_t count, int64_t rank)
{
    int64_t low = 0, high = count - 1;
    while (low < high) {
        place pivot = places[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (before(&places[i], &pivot)) i++;
            while (before(&pivot, &places[j])) j--;
            if (i <= j) swap(&places[i++], &places[j--]);
        }
        if (rank <= j)
            high = j;
        else if (rank >= i)
            low = i;
        else
            break;
    }
    return places[rank];
}

static const float *point(const lloyd_reduction *r, int64_t i)
{
    return r->points + i * r->dim;
}

/* The one of members[] that is farthest from point `from`; the lowest of several. */
static int64_t farthest(const lloyd_reduction *r, const int64_t *members, int64_t count,
                        int64_t from)
{
    double most = -1;
    int64_t found = members[0];
#pragma omp parallel num_threads(r->threads)
    {
        double own = -1;
        int64_t which = members[0];
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < count; i++) {
            double distance = lloyd_cpu_dist(point(r, members[i]), point(r, from), r->dim);
            if (distance > own) own = distance, which = members[i];
        }
#pragma omp critical
        if (own > most || (own == most && which < found)) most = own, found = which;
    }
    return found;
}

/* Halves members[], which are in increasing order, by which of two far points they are nearer to. */
static void halve(const lloyd_reduction *r, int64_t *members, int64_t count, place *places,
                  int64_t *kept)
{
    int64_t a = farthest(r, members, count, members[0]), b = farthest(r, members, count, a);
    int64_t left = count / 2, at = 0, rest = 0;
#pragma omp parallel for num_threads(r->threads)
    for (int64_t i = 0; i < count; i++) {
        const float *x = point(r, members[i]);
        places[i].where = lloyd_add(lloyd_cpu_dist(x, point(r, a), r->dim),
                                    -lloyd_cpu_dist(x, point(r, b), r->dim));
        places[i].point = members[i];
    }
    memcpy(places + count, places, (size_t)count * sizeof *places);
    place limit = select_place(places + count, count, left);
    for (int64_t i = 0; i < count; i++) {
        if (before(&places[i], &limit))
            members[at++] = places[i].point;
        else
            kept[rest++] = places[i].point;
    }
    memcpy(members + at, kept, (size_t)rest * sizeof *kept);
}

lloyd_status lloyd_reduce_cut(const lloyd_reduction *r, int64_t *order, int64_t *begin)
{
    int64_t leaves = lloyd_reduce_leaves(r->count);
    place *places = NULL;
    int64_t *kept = NULL;
    lloyd_status status =
        lloyd_alloc(&places, 2 * r->count, sizeof *places, "halves of candidates");
    if (status == LLOYD_OK)
        status = lloyd_alloc(&kept, r->count, sizeof *kept, "halves of candidates");
    for (int64_t i = 0; i < r->count; i++) order[i] = i;
    begin[0] = 0, begin[leaves] = r->count;
    /* The leaves between `step` multiples are one part still. */
    for (int64_t step = leaves; step > 1 && status == LLOYD_OK; step /= 2) {
        for (int64_t leaf = 0; leaf < leaves; leaf += step) {
            int64_t first = begin[leaf], count = begin[leaf + step] - first;
            halve(r, order + first, count, places, kept);
            begin[leaf + step / 2] = first + count / 2;
        }
    }
    lloyd_free(places);
    lloyd_free(kept);
    return status;
}

/* --- choosing in a leaf --- */

/* Another candidate, and the squared distance to it. */
typedef struct neighbour {
    double distance;
    int64_t other;
} neighbour;

/* A candidate's distances to others: to all, or to those that it may still lower. */
typedef struct row {
    union {
        double *all;
        neighbour *few;
    };
    int64_t length; /* of `few`, -1: `all` */
} row;

typedef struct leaf {
    const lloyd_reduction *reduction;
    int64_t number, count;
    double *matrix; /* [count * count], where the rows are */
    row *rows;      /* [count] */
    double *weight; /* [count] */
    double *near;   /* squared distance to the nearest chosen one; 1 before there is one */
    double *fixed;  /* masses on the grid */
    double *before; /* their running sums, each with its own */
    double *tried;  /* [trials] */
    int64_t *trial;
    double scale; /* 2^(bits - E) */
} leaf;

static double *leaf_row(const leaf *l, int64_t i)
{
    return l->matrix + i * l->count;
}

static lloyd_status open_leaf(const lloyd_reduction *r, const int64_t *members, leaf *l)
{
    const int64_t n = l->count;
    LLOYD_TRY(lloyd_alloc(&l->matrix, n * n, sizeof *l->matrix, "distances between candidates"));
    LLOYD_TRY(lloyd_alloc(&l->rows, n, sizeof *l->rows, "candidates"));
    LLOYD_TRY(lloyd_alloc(&l->weight, n, sizeof *l->weight, "candidates"));
    LLOYD_TRY(lloyd_alloc(&l->near, n, sizeof *l->near, "candidates"));
    LLOYD_TRY(lloyd_alloc(&l->fixed, n, sizeof *l->fixed, "candidates"));
    LLOYD_TRY(lloyd_alloc(&l->before, n, sizeof *l->before, "candidates"));
    LLOYD_TRY(lloyd_alloc(&l->tried, r->trials, sizeof *l->tried, "trials"));
    LLOYD_TRY(lloyd_alloc(&l->trial, r->trials, sizeof *l->trial, "trials"));
#pragma omp parallel for num_threads(r->threads) schedule(dynamic, 16)
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < i; j++) {
            double distance = lloyd_cpu_dist(point(r, members[i]), point(r, members[j]), r->dim);
            leaf_row(l, i)[j] = leaf_row(l, j)[i] = distance;
        }
        l->rows[i] = (row){.all = leaf_row(l, i), .length = -1};
        l->weight[i] = r->weights[members[i]];
        l->near[i] = 1;
    }
    return LLOYD_OK;
}

static void close_leaf(leaf *l)
{
    lloyd_free(l->matrix);
    lloyd_free(l->rows);
    lloyd_free(l->weight);
    lloyd_free(l->near);
    lloyd_free(l->fixed);
    lloyd_free(l->before);
    lloyd_free(l->tried);
    lloyd_free(l->trial);
}

/* Of a mass, so that sums of n are below 2^53. */
static int mass_bits(int64_t n)
{
    return lloyd_bits(n, 62) - (62 - LLOYD_MASS_BITS);
}

static double on_grid(const leaf *l, double weight, double distance)
{
    return floor(lloyd_mul(lloyd_mul(weight, distance), l->scale));
}

/* All masses on their grid, and the running sums. Returns the total. */
static double weigh(leaf *l)
{
    double greatest = 0, sum = 0;
    for (int64_t j = 0; j < l->count; j++)
        greatest = fmax(greatest, lloyd_mul(l->weight[j], l->near[j]));
    l->scale = lloyd_exp2(mass_bits(l->count) - lloyd_exponent(greatest));
    for (int64_t j = 0; j < l->count; j++) l->fixed[j] = on_grid(l, l->weight[j], l->near[j]);
    for (int64_t j = 0; j < l->count; j++) l->before[j] = sum += l->fixed[j];
    return sum;
}

/* The first candidate at which the running sum exceeds floor(random * total / 2^64). */
static int64_t draw(const leaf *l, uint64_t random, double total)
{
    double target = (double)(int64_t)(((unsigned __int128)random * (uint64_t)total) >> 64);
    int64_t low = 0, high = l->count - 1;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (l->before[middle] > target)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* By how much candidate i would lower the total. */
LLOYD_CLONES static double lowered(const leaf *l, int64_t i)
{
    const row *r = &l->rows[i];
    double gain = 0;
    if (r->length < 0) {
        for (int64_t j = 0; j < l->count; j++) {
            double distance = r->all[j] < l->near[j] ? r->all[j] : l->near[j];
            gain += l->fixed[j] - on_grid(l, l->weight[j], distance);
        }
        return gain;
    }
    for (int64_t p = 0; p < r->length; p++) {
        int64_t j = r->few[p].other;
        if (r->few[p].distance < l->near[j])
            gain += l->fixed[j] - on_grid(l, l->weight[j], r->few[p].distance);
    }
    return gain;
}

static void take(leaf *l, int64_t i)
{
    const row *r = &l->rows[i];
    for (int64_t j = 0; r->length < 0 && j < l->count; j++)
        if (r->all[j] < l->near[j]) l->near[j] = r->all[j];
    for (int64_t p = 0; p < r->length; p++)
        if (r->few[p].distance < l->near[r->few[p].other])
            l->near[r->few[p].other] = r->few[p].distance;
}

/* Of each row, keeps what is nearer than something chosen. A row of distances becomes one of neighbours
 * where these are so few that they have room in it. */
static lloyd_status cut_rows(leaf *l)
{
    const int64_t n = l->count;
    const int threads = l->reduction->threads;
    neighbour *memory = NULL;
    LLOYD_TRY(lloyd_alloc(&memory, threads * (n / 2 + 1), sizeof *memory, "neighbours"));
#pragma omp parallel for num_threads(threads) schedule(dynamic, 64)
    for (int64_t i = 0; i < n; i++) {
        row *r = &l->rows[i];
        neighbour *kept = memory + omp_get_thread_num() * (n / 2 + 1);
        int64_t count = 0;
        if (r->length >= 0) {
            for (int64_t p = 0; p < r->length; p++)
                if (r->few[p].distance < l->near[r->few[p].other]) r->few[count++] = r->few[p];
            r->length = count;
            continue;
        }
        for (int64_t j = 0; j < n && count <= n / 2; j++)
            if (r->all[j] < l->near[j])
                kept[count++] = (neighbour){.distance = r->all[j], .other = j};
        if (count > n / 2) continue;
        memcpy(leaf_row(l, i), kept, (size_t)count * sizeof *kept);
        *r = (row){.few = (neighbour *)(void *)leaf_row(l, i), .length = count};
    }
    lloyd_free(memory);
    return LLOYD_OK;
}

/* Draws the candidates that are tried for choice number i, and finds out what each would do. Returns the
 * best: the first of those with the largest gain. */
static int try_some(leaf *l, int64_t i, double total)
{
    const lloyd_reduction *r = l->reduction;
    const int trials = i == 0 ? 1 : r->trials;
    const uint64_t index = ((uint64_t)l->number << 16) + (uint64_t)i;
    int best = 0;
    for (int t = 0; t < trials; t++)
        l->trial[t] =
            draw(l, lloyd_philox64(r->seed, LLOYD_DRAW_REDUCE, index, (uint32_t)t), total);
    int many = i <= FIRST_CUT && l->count * trials >= TRIALS_APART;
#pragma omp parallel for num_threads(r->threads) if (many)
    for (int t = 0; t < trials; t++) l->tried[t] = lowered(l, l->trial[t]);
    for (int t = 1; t < trials; t++)
        if (l->tried[t] > l->tried[best]) best = t;
    return best;
}

/* choices[].point are numbers in the leaf. */
static lloyd_status choose(leaf *l, int64_t most, lloyd_choice *choices)
{
    double least = INFINITY;
    for (int64_t i = 0; i < most; i++) {
        double total = weigh(l);
        if (total == 0) return LLOYD_OK;
        int best = try_some(l, i, total);
        if (i == 0) {
            for (int64_t j = 0; j < l->count; j++) l->near[j] = INFINITY;
        } else {
            least = fmin(least, l->tried[best] / l->scale);
        }
        choices[i] = (lloyd_choice){.gain = least, .point = l->trial[best]};
        take(l, l->trial[best]);
        if (i + 1 >= FIRST_CUT && ((i + 1) & i) == 0) LLOYD_TRY(cut_rows(l));
    }
    return LLOYD_OK;
}

int64_t lloyd_reduce_most(const lloyd_reduction *r, int64_t count)
{
    if (lloyd_reduce_leaves(r->count) == 1) return r->k;
    int64_t most = (int64_t)(((__int128)2 * r->k * count + r->count - 1) / r->count);
    return most < count ? most : count;
}

lloyd_status lloyd_reduce_leaf(const lloyd_reduction *r, int64_t number, const int64_t *members,
                               int64_t count, lloyd_choice *choices)
{
    leaf l = {.reduction = r, .number = number, .count = count};
    int64_t most = lloyd_reduce_most(r, count);
    for (int64_t i = 0; i < most; i++) choices[i] = (lloyd_choice){.gain = 0, .point = -1};
    lloyd_status status = open_leaf(r, members, &l);
    if (status == LLOYD_OK) status = choose(&l, most, choices);
    for (int64_t i = 0; i < most; i++)
        if (choices[i].point >= 0) choices[i].point = members[choices[i].point];
    close_leaf(&l);
    return status;
}

int64_t lloyd_reduce_bytes(int64_t count, int threads)
{
    int64_t most = count < LLOYD_LEAF_MOST ? count : LLOYD_LEAF_MOST; /* also if there are fewer */
    int64_t cutting = count * (int64_t)(2 * sizeof(place) + sizeof(int64_t));
    int64_t choosing = most * most * 8 + most * (int64_t)(sizeof(row) + 4 * sizeof(double)) +
                       threads * (most / 2 + 1) * (int64_t)sizeof(neighbour);
    return cutting > choosing ? cutting : choosing;
}
