/* See kernels/reduce.h. In a leaf, a candidate that is tried lowers the masses only of those that it is
 * nearer to than what is chosen already, and these become fewer with every choice: of n candidates, about
 * n / i after i choices. So who is tried is compared with all others once. The few that it is nearer to are kept,
 * and looked at when it is tried again; from time to time they are looked through.
 */
#include "kernels/reduce.h"

#include "base/memory.h"
#include "base/philox.h"
#include "kernels/dist.h"
#include "kernels/numerics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_CUT = 16,      /* choices before rows are cut down; then at twice as many, and so on */
    TRIALS_AT_ONCE = 32, /* of which rows are found side by side */
    ROOM = 256 << 20     /* bytes for the rows that are kept */
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

static int compare_places(const void *a, const void *b)
{
    return before(b, a) - before(a, b);
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
                        int64_t from, place *places)
{
    int64_t found = 0;
#pragma omp parallel for num_threads(r->threads)
    for (int64_t i = 0; i < count; i++)
        places[i].where = lloyd_dist(point(r, members[i]), point(r, from), r->dim);
    for (int64_t i = 1; i < count; i++)
        if (places[i].where > places[found].where) found = i;
    return members[found];
}

/* Halves members[], which are in increasing order, by which of two far points they are nearer to. */
static void halve(const lloyd_reduction *r, int64_t *members, int64_t count, place *places,
                  int64_t *kept)
{
    int64_t a = farthest(r, members, count, members[0], places);
    int64_t b = farthest(r, members, count, a, places);
    int64_t left = count / 2, at = 0, rest = 0;
#pragma omp parallel for num_threads(r->threads)
    for (int64_t i = 0; i < count; i++) {
        const float *x = point(r, members[i]);
        places[i].where =
            lloyd_add(lloyd_dist(x, point(r, a), r->dim), -lloyd_dist(x, point(r, b), r->dim));
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

/* Those to which a candidate is nearer than anything chosen, once it has been tried. */
typedef struct row {
    int64_t first, length; /* in the pool; -1: it has not been tried, or there was no room */
} row;

typedef struct leaf {
    const lloyd_reduction *reduction;
    int64_t number, count;
    uint64_t seed;
    const int64_t *members;
    row *rows;       /* [count] */
    neighbour *pool; /* [room], of which the first `used` are in rows, in no order */
    int64_t used, room;
    double *weight; /* [count] */
    double *near;   /* squared distance to the nearest chosen one; 1 before there is one */
    double *fixed;  /* masses on the grid */
    double *before; /* their running sums, each with its own */
    double scale;   /* 2^(bits - E) */
    /* of every trial */
    int64_t *trial;   /* who is tried */
    double *gain;     /* by how much it would lower the total */
    int64_t *length;  /* of its row, where it is found anew; -1: it had one */
    neighbour *found; /* [batch * count] these rows, of one batch */
} leaf;

/* Trials whose rows are found at a time; the memory of more would not pay. */
static int batch(const lloyd_reduction *r)
{
    return r->trials < TRIALS_AT_ONCE ? r->trials : TRIALS_AT_ONCE;
}

static lloyd_status open_leaf(leaf *l)
{
    const lloyd_reduction *r = l->reduction;
    const int64_t n = l->count;
    l->room = n;
    LLOYD_TRY(lloyd_alloc(&l->pool, l->room, sizeof *l->pool, "distances between candidates"));
    LLOYD_TRY(lloyd_alloc(&l->rows, n, sizeof *l->rows, "candidates"));
    LLOYD_TRY(lloyd_alloc(&l->weight, n, sizeof *l->weight, "candidates"));
    LLOYD_TRY(lloyd_alloc(&l->near, n, sizeof *l->near, "candidates"));
    LLOYD_TRY(lloyd_alloc(&l->fixed, n, sizeof *l->fixed, "candidates"));
    LLOYD_TRY(lloyd_alloc(&l->before, n, sizeof *l->before, "candidates"));
    LLOYD_TRY(lloyd_alloc(&l->trial, r->trials, sizeof *l->trial, "trials"));
    LLOYD_TRY(lloyd_alloc(&l->gain, r->trials, sizeof *l->gain, "trials"));
    LLOYD_TRY(lloyd_alloc(&l->length, r->trials, sizeof *l->length, "trials"));
    LLOYD_TRY(lloyd_alloc(&l->found, batch(r) * n, sizeof *l->found, "trials"));
    for (int64_t i = 0; i < n; i++) {
        l->rows[i].length = -1;
        l->weight[i] = r->weights[l->members[i]];
        l->near[i] = 1;
    }
    return LLOYD_OK;
}

static void close_leaf(leaf *l)
{
    lloyd_free(l->pool);
    lloyd_free(l->rows);
    lloyd_free(l->weight);
    lloyd_free(l->near);
    lloyd_free(l->fixed);
    lloyd_free(l->before);
    lloyd_free(l->trial);
    lloyd_free(l->gain);
    lloyd_free(l->length);
    lloyd_free(l->found);
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
    l->scale = lloyd_exp2(lloyd_reduce_bits(l->count) - lloyd_exponent(greatest));
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

/* Whom candidate i is nearer to than anything chosen. Returns how many. */
static int64_t find_row(const leaf *l, int64_t i, neighbour *found)
{
    const lloyd_reduction *r = l->reduction;
    const float *x = point(r, l->members[i]);
    int64_t count = 0;
    for (int64_t j = 0; j < l->count; j++) {
        const float *other = point(r, l->members[j]);
        if (lloyd_is_farther(other, x, r->dim, l->near[j])) continue;
        double distance = lloyd_dist(other, x, r->dim);
        if (distance < l->near[j]) found[count++] = (neighbour){.distance = distance, .other = j};
    }
    return count;
}

static double gain_of(const leaf *l, const neighbour *some, int64_t count)
{
    double gain = 0;
    for (int64_t p = 0; p < count; p++) {
        int64_t j = some[p].other;
        if (some[p].distance < l->near[j])
            gain += l->fixed[j] - on_grid(l, l->weight[j], some[p].distance);
    }
    return gain;
}

/* Makes room for so many more in the pool, which grows up to its most: *fits = whether there is any. */
static lloyd_status make_room(leaf *l, int64_t count, int *fits)
{
    neighbour *larger = NULL;
    int64_t room = l->room;
    while (room < l->used + count) room *= 2;
    *fits = room <= ROOM / (int64_t)sizeof *larger;
    if (room == l->room || !*fits) return LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(&larger, room, sizeof *larger, "distances between candidates"));
    memcpy(larger, l->pool, (size_t)l->used * sizeof *larger);
    lloyd_free(l->pool);
    l->pool = larger;
    l->room = room;
    return LLOYD_OK;
}

/* Keeps a row, if there is room. */
static lloyd_status store(leaf *l, int64_t i, const neighbour *found, int64_t count)
{
    int fits;
    if (l->rows[i].length >= 0) return LLOYD_OK;
    LLOYD_TRY(make_room(l, count, &fits));
    if (!fits) return LLOYD_OK;
    memcpy(l->pool + l->used, found, (size_t)count * sizeof *found);
    l->rows[i] = (row){.first = l->used, .length = count};
    l->used += count;
    return LLOYD_OK;
}

static void approach(leaf *l, const neighbour *some, int64_t count)
{
    for (int64_t p = 0; p < count; p++)
        if (some[p].distance < l->near[some[p].other]) l->near[some[p].other] = some[p].distance;
}

/* Of each row, keeps what is nearer than anything chosen; the rows move together. They are taken in the
 * order in which they lie. */
static lloyd_status cut_rows(leaf *l)
{
    place *order = NULL;
    int64_t rows = 0, used = 0;
    LLOYD_TRY(lloyd_alloc(&order, l->count, sizeof *order, "candidates"));
    for (int64_t i = 0; i < l->count; i++)
        if (l->rows[i].length >= 0)
            order[rows++] = (place){.where = (double)l->rows[i].first, .point = i};
    qsort(order, (size_t)rows, sizeof *order, compare_places);
    for (int64_t o = 0; o < rows; o++) {
        row *r = &l->rows[order[o].point];
        int64_t first = used;
        for (int64_t p = r->first; p < r->first + r->length; p++)
            if (l->pool[p].distance < l->near[l->pool[p].other]) l->pool[used++] = l->pool[p];
        *r = (row){.first = first, .length = used - first};
    }
    l->used = used;
    lloyd_free(order);
    return LLOYD_OK;
}

/* Finds out what trials [first, first + count) would do, and keeps their rows. */
static lloyd_status try_batch(leaf *l, int first, int count)
{
    int new_rows = 0;
    for (int t = 0; t < count; t++) new_rows += l->rows[l->trial[first + t]].length < 0;
#pragma omp parallel for num_threads(l->reduction->threads) schedule(dynamic) if (new_rows > 1)
    for (int t = 0; t < count; t++) {
        const row *r = &l->rows[l->trial[first + t]];
        neighbour *found = l->found + t * l->count;
        l->length[first + t] = r->length < 0 ? find_row(l, l->trial[first + t], found) : -1;
        l->gain[first + t] = r->length < 0 ? gain_of(l, found, l->length[first + t])
                                           : gain_of(l, l->pool + r->first, r->length);
    }
    for (int t = 0; t < count; t++)
        if (l->length[first + t] >= 0)
            LLOYD_TRY(store(l, l->trial[first + t], l->found + t * l->count, l->length[first + t]));
    return LLOYD_OK;
}

/* Draws the candidates that are tried for choice number i, and finds out what each would do. *best is
 * the first of those with the largest gain. */
static lloyd_status try_some(leaf *l, int64_t i, double total, int *best)
{
    const lloyd_reduction *r = l->reduction;
    const int trials = i == 0 ? 1 : r->trials;
    const uint64_t index = lloyd_reduce_draw(l->number, i);
    *best = 0;
    for (int t = 0; t < trials; t++)
        l->trial[t] =
            draw(l, lloyd_philox64(l->seed, LLOYD_DRAW_REDUCE, index, (uint32_t)t), total);
    for (int t = 0; i > 0 && t < trials; t += batch(r))
        LLOYD_TRY(try_batch(l, t, trials - t < batch(r) ? trials - t : batch(r)));
    for (int t = 1; t < trials; t++)
        if (l->gain[t] > l->gain[*best]) *best = t;
    return LLOYD_OK;
}

/* Candidate i becomes a chosen one. */
static void take(leaf *l, int64_t i)
{
    const row *r = &l->rows[i];
    if (r->length >= 0)
        approach(l, l->pool + r->first, r->length);
    else
        approach(l, l->found, find_row(l, i, l->found));
}

/* choices[].point are numbers in the leaf. */
static lloyd_status choose(leaf *l, int64_t most, lloyd_choice *choices)
{
    double least = INFINITY;
    for (int64_t i = 0; i < most; i++) {
        double total = weigh(l);
        if (total == 0) return LLOYD_OK;
        int best;
        LLOYD_TRY(try_some(l, i, total, &best));
        if (i == 0) {
            for (int64_t j = 0; j < l->count; j++) l->near[j] = INFINITY;
        } else {
            least = fmin(least, l->gain[best] / l->scale);
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

lloyd_status lloyd_reduce_leaf(const lloyd_reduction *r, const lloyd_leaf *in)
{
    leaf l = {.reduction = r,
              .number = in->number,
              .seed = in->seed,
              .count = in->count,
              .members = in->members};
    for (int64_t i = 0; i < in->most; i++) in->choices[i] = (lloyd_choice){.gain = 0, .point = -1};
    lloyd_status status = open_leaf(&l);
    if (status == LLOYD_OK) status = choose(&l, in->most, in->choices);
    for (int64_t i = 0; i < in->most; i++)
        if (in->choices[i].point >= 0) in->choices[i].point = in->members[in->choices[i].point];
    close_leaf(&l);
    return status;
}

int64_t lloyd_reduce_bytes(int64_t count, int64_t dim, int trials, int on_gpu)
{
    int64_t most = count < LLOYD_LEAF_MOST ? count : LLOYD_LEAF_MOST; /* also if there are fewer */
    int64_t neighbours = sizeof(neighbour),
            at_once = trials < TRIALS_AT_ONCE ? trials : TRIALS_AT_ONCE;
    /* about T n ln K neighbours, and the larger half of a pool that grows */
    int64_t pool = most * most < ROOM / neighbours ? most * most * neighbours : ROOM;
    int64_t cutting = count * (int64_t)(2 * sizeof(place) + sizeof(int64_t));
    int64_t choosing = pool + most * ((int64_t)(sizeof(row) + sizeof(place) + 4 * sizeof(double)) +
                                      at_once * neighbours);
    if (on_gpu) choosing = most * (dim * (int64_t)sizeof(float) + (int64_t)sizeof(double));
    return cutting > choosing ? cutting : choosing;
}
