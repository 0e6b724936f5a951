/* See prune.h. */
#include "kernels/cpu/prune.h"

#include "kernels/dist.h"
#include "kernels/groups.h"
#include "kernels/prune_bound.h"

#include <string.h>

enum { TILE = LLOYD_GROUP_TILE };

/* From so many centroids on all rows keep bounds from the second iteration on, without a sample before. */
enum { HOPEFUL = 256 };

/* All rows begin to keep bounds if those of the sample take this share of the time of others, and stop if they take this one: a
 * beginning costs a pass. */
static const double WORTH = 0.75, WORTHLESS = 1.1;

void lloyd_prune_open(lloyd_pruning *p, const lloyd_kernels_config *config)
{
    *p = (lloyd_pruning){.when = config->prune,
                         .rows = config->n_local,
                         .dim = config->dim,
                         .k = config->k,
                         .threads = config->threads};
    if (config->prune == LLOYD_PRUNE_OFF || config->prune_group <= 0) return;
    p->group = (config->prune_group + TILE - 1) / TILE * TILE;
    p->groups = (p->k + p->group - 1) / p->group;
    int64_t padded = LLOYD_INT8_COLUMNS * LLOYD_GROUP_WORDS;
    p->words = (p->dim + padded - 1) / padded * LLOYD_GROUP_WORDS;
}

void lloyd_prune_list(cpu_buffers *buffers, lloyd_pruning *p)
{
    int64_t places = p->groups * p->group;
    const char *what = "groups of centroids";
    if (p->group == 0) return;
    CPU_BUFFER(buffers, p->bounds, p->rows * p->groups, "bounds of distances");
    CPU_BUFFER(buffers, p->drift, p->groups, what);
    CPU_BUFFER(buffers, p->whole, p->groups, what);
    CPU_BUFFER(buffers, p->previous, p->k * p->dim, what);
    CPU_BUFFER(buffers, p->moved, p->k, what);
    CPU_BUFFER(buffers, p->order, places, what);
    CPU_BUFFER(buffers, p->place, p->k, what);
    CPU_BUFFER(buffers, p->operand, places * p->words, what);
    CPU_BUFFER(buffers, p->correction, places, what);
    CPU_BUFFER(buffers, p->bias, places, what);
}

int64_t lloyd_prune_bytes(const lloyd_pruning *p)
{
    return p->group == 0 ? 0 : lloyd_group_bytes(p->k, p->dim, p->group, p->threads);
}

void lloyd_prune_forget(lloyd_pruning *p)
{
    p->kept = 0;
    p->extent = LLOYD_PRUNE_NONE;
    p->cost = (lloyd_prune_cost){{0, 0}, {0, 0}};
    p->dense = 0;
}

/* --- bounds that follow the centroids --- */

static lloyd_status begin(lloyd_pruning *p, const float *centroids)
{
    LLOYD_TRY(lloyd_group_centroids(centroids, p->k, p->dim, p->group, p->threads, p->order));
    for (int64_t i = p->k; i < p->groups * p->group; i++) p->order[i] = -1;
    for (int64_t i = 0; i < p->k; i++) p->place[p->order[i]] = (int32_t)i;
    for (int64_t g = 0; g < p->groups; g++) p->drift[g] = 0, p->whole[g] = 0;
#pragma omp parallel for num_threads(p->threads)
    for (int64_t i = 0; i < p->rows; i++)
        memset(p->bounds + i * p->groups, 0, (size_t)p->groups * sizeof *p->bounds);
    p->kept = 1;
    p->begun = 0;
    p->per_unit = 0;
    return LLOYD_OK;
}

static void add_drift(lloyd_pruning *p, const float *centroids)
{
#pragma omp parallel for num_threads(p->threads)
    for (int64_t k = 0; k < p->k; k++)
        p->moved[k] = lloyd_dist(p->previous + k * p->dim, centroids + k * p->dim, p->dim);
    for (int64_t g = 0; g < p->groups; g++) {
        double most = 0;
        for (int64_t i = g * p->group; i < (g + 1) * p->group && i < p->k; i++)
            most = p->moved[p->order[i]] > most ? p->moved[p->order[i]] : most;
        p->drift[g] = lloyd_group_drift(p->drift[g], most, p->per_unit);
    }
}

/* Where drift leaves bounds little room, both are made smaller. */
static void rebase(lloyd_pruning *p)
{
    for (int64_t g = 0; g < p->groups; g++) {
        if (p->drift[g] <= PRUNE_MOST_DRIFT) continue;
        uint16_t shift;
        p->drift[g] = lloyd_group_rebase(p->drift[g], &shift);
#pragma omp parallel for num_threads(p->threads)
        for (int64_t i = 0; i < p->rows; i++) {
            uint16_t *bound = &p->bounds[i * p->groups + g];
            *bound = lloyd_group_shifted(*bound, shift);
        }
    }
}

/* The 8-bit operands in the order of groups. Filler reaches no threshold. */
static void pack(lloyd_pruning *p, const lloyd_int8_set *set)
{
    int64_t tiles = p->groups * p->group / TILE;
#pragma omp parallel for num_threads(p->threads)
    for (int64_t t = 0; t < tiles; t++) {
        int32_t *tile = p->operand + t * TILE * p->words;
        for (int64_t lane = 0; lane < TILE; lane++) {
            int64_t at = t * TILE + lane, k = p->order[at];
            const int32_t *words = k < 0 ? NULL : set->operand + k * set->words;
            for (int64_t w = 0; w < p->words; w++)
                tile[w * TILE + lane] = words && w < set->words ? words[w] : 0;
            p->correction[at] = k < 0 ? 0 : set->correction[k];
            p->bias[at] = k < 0 ? INFINITY : set->bias[k];
        }
    }
}

/* --- whether they are worth it --- */

static double per_row(const lloyd_prune_cost *cost, int pruned)
{
    return cost->rows[pruned] > 0 ? cost->seconds[pruned] / cost->rows[pruned] : 0;
}

/* The extent of the next pass, from what the last ones have cost. */
static lloyd_prune_extent choose(lloyd_pruning *p)
{
    double pruned = per_row(&p->cost, 1), dense = per_row(&p->cost, 0);
    int tried = p->kept && p->begun > 1;
    if (dense > 0) p->dense = dense;
    if (p->when == LLOYD_PRUNE_ON) return LLOYD_PRUNE_ALL;
    if (!p->kept) return p->k >= HOPEFUL ? LLOYD_PRUNE_ALL : LLOYD_PRUNE_SOME;
    if (!tried || pruned == 0 || p->dense == 0) return p->extent;
    double limit = (p->extent == LLOYD_PRUNE_ALL ? WORTHLESS : WORTH) * p->dense;
    return pruned < limit ? LLOYD_PRUNE_ALL : LLOYD_PRUNE_SOME;
}

lloyd_status lloyd_prune_update(lloyd_pruning *p, const float *centroids, const lloyd_int8_set *set)
{
    if (p->group == 0) return LLOYD_OK;
    lloyd_prune_extent before = p->extent;
    p->extent = choose(p);
    if (p->extent > before) p->begun = 0;
    p->cost = (lloyd_prune_cost){{0, 0}, {0, 0}};
    if (!p->kept) {
        LLOYD_TRY(begin(p, centroids));
    } else {
        add_drift(p, centroids);
        rebase(p);
    }
    for (int64_t g = 0; g < p->groups; g++)
        p->whole[g] = lloyd_group_whole(lloyd_bound_up(p->drift[g]));
    memcpy(p->previous, centroids, (size_t)(p->k * p->dim) * sizeof *centroids);
    if (set->product && set->usable) pack(p, set);
    p->begun++;
    return LLOYD_OK;
}

int lloyd_prune_takes(const lloyd_pruning *p, int64_t block)
{
    /* The first pass that has bounds to use is given up, but for the sample, if it turns out to be slower; later ones are judged
     * by whole passes. */
    const int64_t first = 2;
    const double few = 8192, hardly = 1.05;
    int sampled = block % LLOYD_PRUNE_SAMPLE == 0;
    double rows, seconds;
    if (p->extent != LLOYD_PRUNE_ALL) return p->extent == LLOYD_PRUNE_SOME && sampled;
    if (sampled || p->when == LLOYD_PRUNE_ON || p->begun != first || p->dense == 0) return 1;
#pragma omp atomic read
    rows = p->cost.rows[1];
#pragma omp atomic read
    seconds = p->cost.seconds[1];
    return rows < few || seconds < hardly * p->dense * rows;
}

void lloyd_prune_count(lloyd_pruning *p, int pruned, int64_t rows, double seconds)
{
#pragma omp atomic
    p->cost.rows[pruned] += (double)rows;
#pragma omp atomic
    p->cost.seconds[pruned] += seconds;
}

void lloyd_prune_relabel(lloyd_pruning *p, int64_t row, int32_t old)
{
    if (!p->kept || old < 0 || old >= p->k) return;
    p->bounds[row * p->groups + p->place[old] / p->group] = 0;
}
