/* See prune_rows.h. Of each row the distance to its label's centroid is known: it says which groups fail, and which scores in these make a
 * candidate.
 */
#include "kernels/cpu/prune_rows.h"

#include "base/clock.h"
#include "kernels/clones.h"
#include "kernels/cpu/rows.h"
#include "kernels/dist.h"
#include "kernels/prune_bound.h"

#include <cblas.h>
#include <string.h>

enum { SLICE = LLOYD_PRUNE_SLICE, TILE = LLOYD_GROUP_TILE };

/* Rows whose codes fit beside a tile in a core's second-level cache. */
int lloyd_prune_block(const lloyd_pruning *p)
{
    const int64_t bytes = 1 << 18, most = 1024;
    int64_t rows = bytes / (p->words * LLOYD_INT8_COLUMNS);
    if (rows > most) rows = most;
    return rows < LLOYD_CPU_ROWS ? LLOYD_CPU_ROWS : (int)rows;
}

void lloyd_prune_list_scratch(cpu_buffers *buffers, const lloyd_pruning *p, lloyd_prune_scratch *s)
{
    const char *what = "working space of a thread";
    if (p->group == 0) return;
    int64_t block = lloyd_prune_block(p), codes = block * p->words,
            operands = LLOYD_CPU_ROWS * p->dim;
    CPU_BUFFER(buffers, s->codes, codes > operands ? codes : operands, what);
    CPU_BUFFER(buffers, s->tile, LLOYD_PRUNE_TILE * p->dim, what);
    CPU_BUFFER(buffers, s->nearest, block, what);
    CPU_BUFFER(buffers, s->own, block, what);
    CPU_BUFFER(buffers, s->half, block, what);
    CPU_BUFFER(buffers, s->spread, block, what);
    CPU_BUFFER(buffers, s->factor, block, what);
    CPU_BUFFER(buffers, s->threshold, block, what);
    CPU_BUFFER(buffers, s->place, block, what);
    CPU_BUFFER(buffers, s->reach, block, what);
    CPU_BUFFER(buffers, s->decided, block, what);
    CPU_BUFFER(buffers, s->list, SLICE * block, what);
    CPU_BUFFER(buffers, s->best, block, what);
    CPU_BUFFER(buffers, s->listed_half, block, what);
    CPU_BUFFER(buffers, s->listed_spread, block, what);
    CPU_BUFFER(buffers, s->listed_threshold, block, what);
    CPU_BUFFER(buffers, s->listed_place, block, what);
    CPU_BUFFER(buffers, s->reached, block, what);
    CPU_BUFFER(buffers, s->bound, block, what);
    CPU_BUFFER(buffers, s->hits, LLOYD_PRUNE_HITS * block, what);
    CPU_BUFFER(buffers, s->sorted, LLOYD_PRUNE_HITS * block, what);
    CPU_BUFFER(buffers, s->begins, block + 1, what);
}

void lloyd_prune_choose_unit(cpu_kernels *cpu, const cpu_slot *slot)
{
    enum { SAMPLE = 64 };
    lloyd_pruning *p = &cpu->pruning;
    int64_t dim = p->dim, count = slot->count < SAMPLE ? slot->count : SAMPLE;
    double sum = 0;
    if (!p->kept || p->per_unit > 0 || count == 0) return;
    for (int64_t s = 0; s < count; s++) {
        int64_t i = s * slot->count / count;
        int32_t label = cpu->labels[slot->first + i];
        if (label < 0 || label >= cpu->set) continue;
        const float *row = lloyd_cpu_row(cpu, slot, i, cpu->scratch[0].row);
        sum += sqrt(lloyd_dist(row, cpu->centroids + label * dim, dim));
    }
    p->per_unit = sum > 0 ? PRUNE_DISTANCE / lloyd_exp2(lloyd_exponent(sum / (double)count)) : 1;
}

/* --- a block --- */

typedef struct block {
    cpu_assignment *a;
    const cpu_kernels *cpu;
    lloyd_pruning *p;
    lloyd_prune_scratch *s;
    int64_t first; /* of the slot */
    int rows, stride;
    double per_unit; /* of the distances that come from scores */
    int64_t compared, candidates;
} block;

static uint16_t *bounds_of(const block *b, int i)
{
    return b->p->bounds + (b->a->slot->first + b->first + i) * b->p->groups;
}

static void leave_open(const block *b, int i)
{
    b->s->place[i] = -1;
    b->s->factor[i] = 0;
    b->s->threshold[i] = INFINITY;
    b->s->decided[i] = 0;
}

/* The label of row i and its distance; 0: it has none. */
static int take_label(const block *b, int i, const float *row)
{
    const cpu_kernels *cpu = b->cpu;
    lloyd_prune_scratch *s = b->s;
    int32_t label = cpu->labels[b->a->slot->first + b->first + i];
    leave_open(b, i);
    if (label < 0 || label >= cpu->set) return 0;
    int64_t dim = b->p->dim;
    s->own[i] = lloyd_dist_up(row, cpu->centroids + label * dim, dim);
    s->nearest[i] = (cpu_known){label, s->own[i]};
    s->place[i] = b->p->place[label];
    s->reach[i] = lloyd_group_whole(lloyd_group_reach(sqrt(s->own[i]), b->p->per_unit));
    return 1;
}

static void take_int8(const block *b, int i)
{
    const cpu_kernels *cpu = b->cpu;
    lloyd_prune_scratch *s = b->s;
    cpu_scratch *scratch = b->a->scratch;
    const cpu_slot *slot = b->a->slot;
    int64_t at = b->first + i, size = b->p->dim * (int64_t)lloyd_type_size(cpu->base.config.type);
    const float *row = lloyd_cpu_row(cpu, slot, at, scratch->row);
    lloyd_int8_row x;
    if (!take_label(b, i, row)) return;
    const void *stored = slot->rows + at * size;
    if (!lloyd_int8_encode(&cpu->int8, cpu->int8.exact ? stored : row, scratch->int8.codes,
                           s->codes + i * b->p->words, 1, &x)) {
        leave_open(b, i);
        return;
    }
    s->factor[i] = x.factor;
    s->threshold[i] = lloyd_int8_threshold(&x, s->own[i]);
    s->half[i] = x.distance - x.rounding;
    s->spread[i] = lloyd_bound_up(x.spread);
}

static void take_float(const block *b, int i)
{
    const cpu_kernels *cpu = b->cpu;
    lloyd_prune_scratch *s = b->s;
    cpu_scratch *scratch = b->a->scratch;
    const float *row = lloyd_cpu_row(cpu, b->a->slot, b->first + i, scratch->row);
    double norm = lloyd_cpu_operand(cpu, row, scratch->points + i * b->p->dim);
    if (!take_label(b, i, row)) return;
    if (!lloyd_cpu_fits(cpu, norm)) {
        leave_open(b, i);
        return;
    }
    double slack = (cpu->point_slack + 0x1p-23) * norm * (1 + 0x1p-20) +
                   2 * cpu->underflow_slack * (1 + sqrt(norm));
    double least = norm / 2 - slack - cpu->scale * cpu->scale * s->own[i] / 2 * (1 + 0x1p-36);
    s->half[i] = norm / 2 - slack;
    s->spread[i] = 0;
    s->threshold[i] = (float)(least - 0x1p-23 * (norm + fabs(least)) - 0x1p-120);
}

/* --- groups that fail --- */

/* The lists of groups g0, g0 + 1, ...; count[]: how long they are. */
static void list_failing(const block *b, int64_t g0, int groups, int *count)
{
    const lloyd_prune_scratch *s = b->s;
    memset(count, 0, SLICE * sizeof *count);
    for (int i = 0; i < b->rows; i++) {
        if (s->place[i] < 0) continue;
        uint64_t left =
            lloyd_group_failing(bounds_of(b, i) + g0, b->p->whole + g0, s->reach[i], groups);
        for (; left; left &= left - 1) {
            int g = __builtin_ctzll(left);
            s->list[g * b->stride + count[g]++] = (uint16_t)i;
        }
    }
}

LLOYD_CLONES static void find_bounds(const float *half, const float *spread, int count,
                                     double per_unit, double drift, uint16_t *bound)
{
    for (int i = 0; i < count; i++)
        bound[i] =
            lloyd_group_bound((double)lloyd_group_least(half[i], spread[i]), per_unit, drift);
}

/* The bounds of a group whose best scores are known. */
static void refresh(const block *b, int64_t g, const uint16_t *list, int count)
{
    const lloyd_prune_scratch *s = b->s;
    for (int i = 0; i < count; i++) {
        double half = s->half[list[i]] - (double)s->best[i];
        s->listed_half[i] = (float)(half - 0x1p-23 * fabs(half));
        s->listed_spread[i] = s->spread[list[i]];
    }
    find_bounds(s->listed_half, s->listed_spread, count, b->per_unit, b->p->drift[g], s->bound);
    for (int i = 0; i < count; i++) bounds_of(b, list[i])[g] = s->bound[i];
}

/* --- candidates --- */

/* The exact distance, once it is needed. */
static void measure_label(const block *b, int i, const float *row)
{
    int64_t dim = b->p->dim;
    cpu_known *label = &b->s->nearest[i];
    label->distance = lloyd_dist(row, b->cpu->centroids + label->label * dim, dim);
    b->s->own[i] = label->distance;
}

/* Decides among the candidates that were noted so far. */
static void decide_hits(block *b)
{
    lloyd_prune_scratch *s = b->s;
    if (s->hit_count == 0) return;
    double began = lloyd_seconds();
    memset(s->begins, 0, (size_t)(b->rows + 1) * sizeof *s->begins);
    for (int h = 0; h < s->hit_count; h++) s->begins[s->hits[h].row + 1]++;
    for (int i = 0; i < b->rows; i++) s->begins[i + 1] += s->begins[i];
    for (int h = 0; h < s->hit_count; h++)
        s->sorted[s->begins[s->hits[h].row]++] = b->p->order[s->hits[h].place];
    for (int i = 0, begin = 0; i < b->rows; begin = s->begins[i++]) {
        int count = s->begins[i] - begin;
        if (count == 0) continue;
        const float *row = lloyd_cpu_row(b->cpu, b->a->slot, b->first + i, b->a->scratch->row);
        if (!s->decided[i]) measure_label(b, i, row);
        s->decided[i] = 1;
        s->nearest[i] = lloyd_cpu_nearest_of(b->cpu, row, s->sorted + begin, count, s->nearest[i]);
    }
    b->candidates += s->hit_count;
    s->hit_count = 0;
    b->a->fallback_seconds += lloyd_seconds() - began;
}

static void note(block *b, int row, int32_t place)
{
    lloyd_prune_scratch *s = b->s;
    if (s->hit_count == LLOYD_PRUNE_HITS * b->stride) decide_hits(b);
    s->hits[s->hit_count++] = (lloyd_prune_hit){row, place};
}

/* --- products --- */

static void compare_int8(block *b, int64_t g, const uint16_t *list, int count)
{
    lloyd_prune_scratch *s = b->s;
    const lloyd_pruning *p = b->p;
    const lloyd_group_rows rows = {p->words, s->codes, s->factor, s->threshold, s->place};
    for (int i = 0; i < count; i++) s->best[i] = -INFINITY;
    for (int64_t at = g * p->group; at < (g + 1) * p->group; at += TILE) {
        const lloyd_group_tile tile = {(int32_t)at, p->operand + at * p->words, p->correction + at,
                                       p->bias + at};
        if (!b->cpu->int8.product->group_scores(&rows, list, count, &tile, s->best, s->reached))
            continue;
        for (int i = 0; i < count; i++)
            for (uint32_t left = s->reached[i]; left; left &= left - 1)
                note(b, list[i], (int32_t)at + __builtin_ctz(left));
    }
}

/* The best of the scores so far, but those of labels; 1: some reach their threshold. */
LLOYD_CLONES static int keep_best(const float *scores, float bias, int32_t place,
                                  const int32_t *own, const float *threshold, int count,
                                  float *best)
{
    int any = 0;
    for (int i = 0; i < count; i++) {
        float score = own[i] == place ? -INFINITY : scores[i] - bias;
        best[i] = score > best[i] ? score : best[i];
        any |= score >= threshold[i];
    }
    return any;
}

/* Of the places from `at` on. */
static void compare_tile(block *b, int64_t at, int size, const uint16_t *list, int count)
{
    lloyd_prune_scratch *s = b->s;
    const cpu_kernels *cpu = b->cpu;
    const int32_t *order = b->p->order + at;
    int64_t dim = b->p->dim;
    for (int k = 0; k < size; k++)
        memcpy(s->tile + k * dim, cpu->operand + order[k] * dim, (size_t)dim * sizeof *s->tile);
    lloyd_cpu_score_tile(cpu, b->a->scratch, s->tile, (const float *)s->codes, count, size);
    for (int k = 0; k < size; k++) {
        const float *scores = b->a->scratch->scores + k * LLOYD_CPU_ROWS;
        float bias = cpu->bias[order[k]];
        int32_t place = (int32_t)at + k;
        if (!keep_best(scores, bias, place, s->listed_place, s->listed_threshold, count, s->best))
            continue;
        for (int i = 0; i < count; i++)
            if (scores[i] - bias >= s->listed_threshold[i] && s->listed_place[i] != place)
                note(b, list[i], place);
    }
}

static void compare_float(block *b, int64_t g, const uint16_t *list, int count)
{
    lloyd_prune_scratch *s = b->s;
    int64_t dim = b->p->dim,
            end = (g + 1) * b->p->group < b->p->k ? (g + 1) * b->p->group : b->p->k;
    float *points = (float *)s->codes;
    for (int i = 0; i < count; i++) {
        memcpy(points + i * dim, b->a->scratch->points + list[i] * dim,
               (size_t)dim * sizeof *points);
        s->best[i] = -INFINITY;
        s->listed_place[i] = s->place[list[i]];
        s->listed_threshold[i] = s->threshold[list[i]];
    }
    for (int64_t at = g * b->p->group; at < end; at += LLOYD_PRUNE_TILE) {
        int size = (int)(end - at < LLOYD_PRUNE_TILE ? end - at : LLOYD_PRUNE_TILE);
        compare_tile(b, at, size, list, count);
    }
}

/* --- labels --- */

/* What was the label is a centroid like the others of its group. */
static void relabel(const block *b, int i)
{
    const lloyd_pruning *p = b->p;
    int64_t g = b->s->place[i] / p->group;
    uint16_t *bound = bounds_of(b, i) + g;
    uint16_t least = lloyd_group_bound(sqrt(b->s->own[i]), p->per_unit, p->drift[g]);
    least = *bound < least ? *bound : least;
    lloyd_cpu_set_label(b->a, b->first + i, b->s->nearest[i].label);
    *bound = least;
}

static void finish_rows(const block *b, int int8)
{
    const lloyd_prune_scratch *s = b->s;
    int64_t *counters = b->a->counters;
    int open = 0, decided = 0;
    for (int i = 0; i < b->rows; i++) {
        if (s->place[i] < 0) {
            memset(bounds_of(b, i), 0, (size_t)b->p->groups * sizeof(uint16_t));
            lloyd_cpu_leave_open(b->a, b->first + i);
            open++;
        } else if (b->p->place[s->nearest[i].label] != s->place[i]) {
            relabel(b, i);
        }
        decided += s->decided[i];
    }
    counters[LLOYD_COUNT_PRUNED] += b->rows;
    counters[LLOYD_COUNT_COMPARED] += b->compared + open * b->p->k;
    counters[LLOYD_COUNT_FALLBACK] += decided;
    if (int8) {
        counters[LLOYD_COUNT_INT8] += b->rows - open;
        counters[LLOYD_COUNT_INT8_FALLBACK] += decided;
        counters[LLOYD_COUNT_CANDIDATES] += b->candidates + decided; /* and the labels */
    }
    lloyd_cpu_count_cost(b->a, int8 ? b->compared : 0, b->candidates, int8 ? open : 0);
}

static void label_block(block *b, int int8)
{
    int count[SLICE];
    b->s->hit_count = 0;
    for (int i = 0; i < b->rows; i++) {
        if (int8)
            take_int8(b, i);
        else
            take_float(b, i);
    }
    for (int64_t g0 = 0; g0 < b->p->groups; g0 += SLICE) {
        int groups = (int)(b->p->groups - g0 < SLICE ? b->p->groups - g0 : SLICE);
        list_failing(b, g0, groups, count);
        for (int g = 0; g < groups; g++) {
            const uint16_t *list = b->s->list + g * b->stride;
            int64_t at = (g0 + g) * b->p->group;
            if (count[g] == 0) continue;
            if (int8)
                compare_int8(b, g0 + g, list, count[g]);
            else
                compare_float(b, g0 + g, list, count[g]);
            refresh(b, g0 + g, list, count[g]);
            b->compared += count[g] * (b->p->k - at < b->p->group ? b->p->k - at : b->p->group);
        }
    }
    decide_hits(b);
    finish_rows(b, int8);
}

void lloyd_prune_rows(cpu_assignment *a, int64_t first, int rows, int int8)
{
    cpu_kernels *cpu = a->cpu;
    int most = int8 ? lloyd_prune_block(&cpu->pruning) : LLOYD_CPU_ROWS;
    for (int at = 0; at < rows; at += most) {
        block b = {.a = a,
                   .cpu = cpu,
                   .p = &cpu->pruning,
                   .s = &a->scratch->pruning,
                   .first = first + at,
                   .rows = rows - at < most ? rows - at : most,
                   .stride = lloyd_prune_block(&cpu->pruning),
                   .per_unit = cpu->pruning.per_unit / (int8 ? 1 : cpu->scale)};
        label_block(&b, int8);
    }
}
