/* Assignment on the CPU: filter, certificate, fallback pass (section 2 of the contract; derivation of the
 * bound in docs/numerics.md).
 *
 * Filter: scores T - bias of a block of rows against a tile of centroids, T by the BLAS in float32,
 * biggest is nearest. The bias of centroid k is (1/2 - W) |c^|^2: the part of the error bound that
 * depends on the centroid is folded into it, so a score is an upper bound but for a term of the
 * point alone, and one far outlier among the centroids costs nobody else's certificate.
 * Certificate: best - second > 2 (P |x^|^2 + W |c^_best|^2 / 2 + tau). Fallback pass: rows without it are
 * collected into blocks and scored once more; every centroid within the bound is decided by dist().
 */
#include "kernels/cpu/assign.h"

#include "base/clock.h"
#include "kernels/clones.h"
#include "kernels/cpu/prune_rows.h"
#include "kernels/cpu/rows.h"
#include "kernels/dist.h"

#include <cblas.h>
#include <float.h>
#include <omp.h>
#include <stdlib.h>

/* --- the centroid set --- */

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The filter's origin: per column the median of a sample of the centroids. Any point would be
 * right; one in the middle makes the operands, and with them the bound, small, and a median is not
 * dragged away by outliers. */
static void choose_centre(cpu_kernels *cpu)
{
    enum { SAMPLE = 63 };
    int64_t dim = cpu->base.config.dim, set = cpu->set;
    int64_t count = set < SAMPLE ? set : SAMPLE;
#pragma omp parallel for num_threads(cpu->base.config.threads)
    for (int64_t j = 0; j < dim; j++) {
        float sample[SAMPLE] = {0};
        for (int64_t i = 0; i < count; i++) sample[i] = cpu->centroids[i * set / count * dim + j];
        qsort(sample, (size_t)count, sizeof *sample, compare_floats);
        cpu->centre[j] = sample[count / 2];
    }
}

/* out = (x - centre) * scale in float32, with a single rounding that matters; returns its squared
 * norm. */
LLOYD_CLONES static double operand(const float *x, const float *centre, double scale, int64_t dim,
                                   float *out)
{
    double p[LLOYD_LANES] = {0};
    int64_t j = 0;
    for (; j + LLOYD_LANES <= dim; j += LLOYD_LANES) {
        for (int l = 0; l < LLOYD_LANES; l++) {
            float value = (float)(((double)x[j + l] - (double)centre[j + l]) * scale);
            out[j + l] = value;
            p[l] = fma((double)value, (double)value, p[l]);
        }
    }
    for (int l = 0; j + l < dim; l++) {
        float value = (float)(((double)x[j + l] - (double)centre[j + l]) * scale);
        out[j + l] = value;
        p[l] = fma((double)value, (double)value, p[l]);
    }
    return lloyd_tree(p, LLOYD_LANES);
}

double lloyd_cpu_operand(const cpu_kernels *cpu, const float *x, float *out)
{
    return operand(x, cpu->centre, cpu->scale, cpu->base.config.dim, out);
}

/* P, W and tau. n: roundings between a product of two elements and the end of its sum, in any order
 * of summation. */
static void choose_slack(cpu_kernels *cpu)
{
    const double u = 0x1p-24,
                 up = 1 +
                      0x1p-20; /* up: covers the second-order terms and the roundings made here */
    double dim = (double)cpu->base.config.dim;
    double slices = ceil(dim / LLOYD_CPU_SLICE);
    double n = fmin(dim, LLOYD_CPU_SLICE) + slices + 8;
    double dot = (n * u / (1 - n * u) + 3 * u) * up;        /* A, of |x^| |c^| */
    double norm = (4 * u + (dim + 4) * 0x1p-52) * up;       /* B, of |c^|^2 / 2 */
    double exact = (dim / LLOYD_LANES + 16) * 0x1p-52 * up; /* error of dist() */
    cpu->point_slack = (dot / 2 + exact) * up;
    cpu->centroid_slack = (dot + norm + 2 * exact) * up; /* of |c^|^2 / 2 */
    cpu->underflow_slack = dim * 0x1p-123;
}

lloyd_status lloyd_cpu_prepare(cpu_kernels *cpu)
{
    int64_t dim = cpu->base.config.dim, set = cpu->set;
    choose_centre(cpu);
    choose_slack(cpu);
    double greatest = 0;
#pragma omp parallel for num_threads(cpu->base.config.threads) reduction(max : greatest)
    for (int64_t k = 0; k < set; k++) {
        for (int64_t j = 0; j < dim; j++) {
            double from = fabs((double)cpu->centroids[k * dim + j] - (double)cpu->centre[j]);
            greatest = from > greatest ? from : greatest;
        }
    }
    cpu->scale = greatest > 0 ? lloyd_exp2(-lloyd_exponent(greatest)) : 1;
    double greatest_half_norm = 0;
#pragma omp parallel for num_threads(cpu->base.config.threads) reduction(max : greatest_half_norm)
    for (int64_t k = 0; k < set; k++) {
        double norm =
            operand(cpu->centroids + k * dim, cpu->centre, cpu->scale, dim, cpu->operand + k * dim);
        cpu->half_norm[k] = norm / 2;
        cpu->bias[k] = (float)(norm / 2 * (1 - cpu->centroid_slack));
        greatest_half_norm = fmax(greatest_half_norm, norm / 2);
    }
    cpu->greatest_half_norm = greatest_half_norm;
    return set <= LLOYD_CPU_FEW ? LLOYD_OK
                                : lloyd_int8_prepare(&cpu->int8, cpu->centroids, set, cpu->centre);
}

void lloyd_cpu_list_set(cpu_buffers *buffers, cpu_kernels *cpu, int64_t count)
{
    int64_t dim = cpu->base.config.dim;
    CPU_BUFFER(buffers, cpu->centroids, count * dim, "centroids");
    CPU_BUFFER(buffers, cpu->operand, count * dim, "filter operands of the centroids");
    CPU_BUFFER(buffers, cpu->half_norm, count, "norms of the centroids");
    CPU_BUFFER(buffers, cpu->bias, count, "biases of the centroids");
}

static lloyd_status reserve_set(cpu_kernels *cpu, int64_t count)
{
    cpu_buffers buffers = {.work = CPU_BUFFERS_RESERVE};
    if (count <= cpu->set_capacity) return LLOYD_OK;
    cpu->set_capacity = 0;
    lloyd_cpu_list_set(&buffers, cpu, count);
    if (buffers.status == LLOYD_OK) cpu->set_capacity = count;
    return buffers.status;
}

lloyd_status lloyd_cpu_set_centroids(lloyd_kernels *kernels, int64_t count, const float *centroids)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    LLOYD_TRY(reserve_set(cpu, count));
    lloyd_prune_forget(&cpu->pruning);
    cpu->set = count;
    memcpy(cpu->centroids, centroids, (size_t)(count * kernels->config.dim) * sizeof *centroids);
    return lloyd_cpu_prepare(cpu);
}

/* --- scores --- */

LLOYD_CLONES static void add_to(float *sum, const float *term, int64_t n)
{
    for (int64_t i = 0; i < n; i++) sum[i] += term[i];
}

void lloyd_cpu_score_tile(const cpu_kernels *cpu, cpu_scratch *scratch, const float *centroids,
                          const float *points, int rows, int tile)
{
    int64_t dim = cpu->base.config.dim;
    for (int64_t j0 = 0; j0 < dim; j0 += LLOYD_CPU_SLICE) {
        int slice = (int)(dim - j0 < LLOYD_CPU_SLICE ? dim - j0 : LLOYD_CPU_SLICE);
        float *out = j0 == 0 ? scratch->scores : scratch->partial;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, tile, rows, slice, 1.0F,
                    centroids + j0, (int)dim, points + j0, (int)dim, 0.0F, out, LLOYD_CPU_ROWS);
        for (int k = 0; j0 > 0 && k < tile; k++) {
            add_to(scratch->scores + k * LLOYD_CPU_ROWS, scratch->partial + k * LLOYD_CPU_ROWS,
                   rows);
        }
    }
}

/* Best score, its index and the second-best score of a block of rows, over all tiles so far. */
typedef struct top2 {
    float best[LLOYD_CPU_ROWS], second[LLOYD_CPU_ROWS];
    int32_t index[LLOYD_CPU_ROWS];
} top2;

/* Lanes are rows: 64 of them stay in registers while the tile's centroids go by. One loop per result,
 * so that each becomes a minimum, a maximum or a blend. */
LLOYD_CLONES static void keep_top2(const float *restrict scores, const float *restrict bias,
                                   int64_t k0, int tile, int rows, top2 *restrict top)
{
    enum { LANES = 64 };
    for (int i0 = 0; i0 < rows; i0 += LANES) {
        float best[LANES], second[LANES], score[LANES];
        int32_t index[LANES];
        memcpy(best, top->best + i0, sizeof best);
        memcpy(second, top->second + i0, sizeof second);
        memcpy(index, top->index + i0, sizeof index);
        for (int k = 0; k < tile; k++) {
            const float *row = scores + k * LLOYD_CPU_ROWS + i0;
            float offset = bias[k];
            int32_t number = (int32_t)(k0 + k);
            for (int i = 0; i < LANES; i++) score[i] = row[i] - offset;
            for (int i = 0; i < LANES; i++) {
                float loser = score[i] < best[i] ? score[i] : best[i];
                second[i] = loser > second[i] ? loser : second[i];
            }
            for (int i = 0; i < LANES; i++) index[i] = score[i] > best[i] ? number : index[i];
            for (int i = 0; i < LANES; i++) best[i] = score[i] > best[i] ? score[i] : best[i];
        }
        memcpy(top->best + i0, best, sizeof best);
        memcpy(top->second + i0, second, sizeof second);
        memcpy(top->index + i0, index, sizeof index);
    }
}

/* 1 if any score of centroid k reaches its row's threshold. */
LLOYD_CLONES static int any_reaches(const float *scores, float offset, const float *thresholds,
                                    int rows)
{
    int any = 0;
    for (int i = 0; i < rows; i++) any |= scores[i] - offset >= thresholds[i];
    return any;
}

/* --- the fallback pass --- */

void lloyd_cpu_set_label(cpu_assignment *a, int64_t i, int32_t label)
{
    int64_t row = a->slot->first + i;
    int32_t *stored = &a->cpu->labels[row];
    if (*stored == label) return;
    a->counters[LLOYD_COUNT_MOVED]++;
    lloyd_prune_relabel(&a->cpu->pruning, row, *stored);
    *stored = label;
}

/* The definition itself: dist() to every centroid, the first of the smallest. */
static int32_t nearest_of_all(const cpu_kernels *cpu, const float *row)
{
    int64_t dim = cpu->base.config.dim;
    double least = INFINITY;
    int32_t label = 0;
    for (int64_t k = 0; k < cpu->set; k++) {
        double distance = lloyd_dist(row, cpu->centroids + k * dim, dim);
        if (distance < least) {
            least = distance;
            label = (int32_t)k;
        }
    }
    return label;
}

/* Decides the collected rows: scores them once more and gives every centroid within the bound to
 * dist(), in increasing order, so that a tie stays with the smallest index. */
static void decide_pool(cpu_assignment *a)
{
    const cpu_kernels *cpu = a->cpu;
    cpu_scratch *scratch = a->scratch;
    int64_t dim = cpu->base.config.dim;
    int count = scratch->pool_count;
    double began = lloyd_seconds();
    double least[LLOYD_CPU_ROWS];
    int32_t label[LLOYD_CPU_ROWS] = {0};
    for (int i = 0; i < count; i++) least[i] = INFINITY;
    for (int64_t k0 = 0; k0 < cpu->set && count > 0; k0 += LLOYD_CPU_CENTROIDS) {
        int tile = (int)(cpu->set - k0 < LLOYD_CPU_CENTROIDS ? cpu->set - k0 : LLOYD_CPU_CENTROIDS);
        lloyd_cpu_score_tile(cpu, scratch, cpu->operand + k0 * dim, scratch->pool_points, count,
                             tile);
        for (int64_t k = k0; k < k0 + tile; k++) {
            const float *scores = scratch->scores + (k - k0) * LLOYD_CPU_ROWS;
            if (!any_reaches(scores, cpu->bias[k], scratch->pool_threshold, count)) continue;
            for (int i = 0; i < count; i++) {
                if (scores[i] - cpu->bias[k] < scratch->pool_threshold[i]) continue;
                double distance =
                    lloyd_dist(scratch->pool_rows + i * dim, cpu->centroids + k * dim, dim);
                if (distance >= least[i]) continue;
                least[i] = distance;
                label[i] = (int32_t)k;
            }
        }
    }
    for (int i = 0; i < count; i++) lloyd_cpu_set_label(a, scratch->pool_row[i], label[i]);
    scratch->pool_count = 0;
    a->fallback_seconds += lloyd_seconds() - began;
}

/* A row without a certificate: into the pool, with the score that a nearer centroid must reach. */
static void collect(cpu_assignment *a, int64_t i, const float *point, double threshold)
{
    cpu_scratch *scratch = a->scratch;
    int64_t dim = a->cpu->base.config.dim;
    int at = scratch->pool_count++;
    const float *row = lloyd_cpu_row(a->cpu, a->slot, i, scratch->row);
    memcpy(scratch->pool_points + at * dim, point, (size_t)dim * sizeof *point);
    memcpy(scratch->pool_rows + at * dim, row, (size_t)dim * sizeof *row);
    scratch->pool_row[at] = i;
    /* rounded down: a threshold that is too low only costs time */
    scratch->pool_threshold[at] = nextafterf((float)threshold, -INFINITY);
    if (scratch->pool_count == LLOYD_CPU_ROWS) decide_pool(a);
}

/* --- one block of rows --- */

int lloyd_cpu_fits(const cpu_kernels *cpu, double norm)
{
    /* No partial sum of a product can leave the range of float32 if this cannot. */
    return sqrt(norm * (double)cpu->base.config.dim) + cpu->greatest_half_norm < FLT_MAX / 4;
}

/* The label of row i of the slot, operand `point` with squared norm `norm`, from its two best
 * scores. */
static void certify(cpu_assignment *a, int64_t i, const float *point, double norm, float best,
                    float second, int32_t index)
{
    const cpu_kernels *cpu = a->cpu;
    if (!lloyd_cpu_fits(cpu, norm)) {
        double began = lloyd_seconds();
        a->counters[LLOYD_COUNT_FALLBACK]++;
        const float *row = lloyd_cpu_row(cpu, a->slot, i, a->scratch->row);
        lloyd_cpu_set_label(a, i, nearest_of_all(cpu, row));
        a->fallback_seconds += lloyd_seconds() - began;
        return;
    }
    double bound = 2 * (1 + 0x1p-20) *
                   (cpu->point_slack * norm + cpu->centroid_slack * cpu->half_norm[index] +
                    cpu->underflow_slack * (1 + sqrt(norm)));
    if ((double)best - (double)second > bound) {
        lloyd_cpu_set_label(a, i, index);
        return;
    }
    a->counters[LLOYD_COUNT_FALLBACK]++;
    collect(a, i, point, (double)best - bound);
}

/* Labels these rows of the slot, at most LLOYD_CPU_ROWS. */
static void assign_listed(cpu_assignment *a, const int64_t *listed, int rows)
{
    const cpu_kernels *cpu = a->cpu;
    cpu_scratch *scratch = a->scratch;
    int64_t dim = cpu->base.config.dim;
    double norm[LLOYD_CPU_ROWS];
    top2 top = {.index = {0}};
    for (int i = 0; i < LLOYD_CPU_ROWS; i++) top.best[i] = top.second[i] = -INFINITY;
    for (int i = 0; i < rows; i++) {
        const float *row = lloyd_cpu_row(cpu, a->slot, listed[i], scratch->row);
        norm[i] = operand(row, cpu->centre, cpu->scale, dim, scratch->points + i * dim);
    }
    for (int64_t k0 = 0; k0 < cpu->set; k0 += LLOYD_CPU_CENTROIDS) {
        int tile = (int)(cpu->set - k0 < LLOYD_CPU_CENTROIDS ? cpu->set - k0 : LLOYD_CPU_CENTROIDS);
        lloyd_cpu_score_tile(cpu, scratch, cpu->operand + k0 * dim, scratch->points, rows, tile);
        keep_top2(scratch->scores, cpu->bias + k0, k0, tile, rows, &top);
    }
    for (int i = 0; i < rows; i++) {
        certify(a, listed[i], scratch->points + i * dim, norm[i], top.best[i], top.second[i],
                top.index[i]);
    }
}

static void assign_block(cpu_assignment *a, int64_t i0, int rows)
{
    int64_t listed[LLOYD_CPU_ROWS];
    for (int i = 0; i < rows; i++) listed[i] = i0 + i;
    assign_listed(a, listed, rows);
}

/* --- the filter on 8-bit integers --- */

cpu_known lloyd_cpu_nearest_of(const cpu_kernels *cpu, const float *row, const int32_t *candidates,
                               int count, cpu_known nearest)
{
    int64_t dim = cpu->base.config.dim;
    for (int c = 0; c < count; c++) {
        int32_t k = candidates[c];
        const float *centroid = cpu->centroids + k * dim;
        if (k == nearest.label || lloyd_is_farther(row, centroid, dim, nearest.distance)) continue;
        double distance = lloyd_dist(row, centroid, dim);
        if (distance > nearest.distance || (distance == nearest.distance && k > nearest.label))
            continue;
        nearest = (cpu_known){k, distance};
    }
    return nearest;
}

/* Rows with too many candidates: labelled by the other filter, a block at a time. */
static void assign_open(cpu_assignment *a)
{
    cpu_scratch *scratch = a->scratch;
    if (scratch->open_count == 0) return;
    assign_listed(a, scratch->open, scratch->open_count);
    scratch->open_count = 0;
}

void lloyd_cpu_leave_open(cpu_assignment *a, int64_t i)
{
    cpu_scratch *scratch = a->scratch;
    scratch->open[scratch->open_count++] = i;
    if (scratch->open_count == LLOYD_CPU_ROWS) assign_open(a);
}

static void decide(cpu_assignment *a, int64_t i, const int32_t *candidates, int count,
                   cpu_known nearest)
{
    if (count == 0) {
        lloyd_cpu_leave_open(a, i);
    } else if (count == 1) {
        lloyd_cpu_set_label(a, i, candidates[0]);
    } else {
        a->counters[LLOYD_COUNT_FALLBACK]++;
        const float *row = lloyd_cpu_row(a->cpu, a->slot, i, a->scratch->row);
        lloyd_cpu_set_label(a, i,
                            lloyd_cpu_nearest_of(a->cpu, row, candidates, count, nearest).label);
    }
}

/* The distance of row i to the centroid that was its label, if that is one of the set: candidates are not
 * farther. */
static cpu_known measure_label(const cpu_assignment *a, int64_t i, const float *row)
{
    const cpu_kernels *cpu = a->cpu;
    int32_t label = cpu->labels[a->slot->first + i];
    int64_t dim = cpu->base.config.dim;
    if (label < 0 || label >= cpu->set) return (cpu_known){-1, INFINITY};
    return (cpu_known){label, lloyd_dist(row, cpu->centroids + label * dim, dim)};
}

void lloyd_cpu_count_cost(cpu_assignment *a, int64_t scores, int64_t candidates, int64_t open)
{
#pragma omp atomic
    a->cost->scores += scores;
#pragma omp atomic
    a->cost->candidates += candidates;
#pragma omp atomic
    a->cost->open += open;
}

static void assign_int8(cpu_assignment *a, int64_t i0, int rows)
{
    const cpu_kernels *cpu = a->cpu;
    const lloyd_int8_set *set = &cpu->int8;
    lloyd_int8_scratch *found = &a->scratch->int8;
    int64_t candidates = 0, decided = 0, open = 0,
            size = set->dim * (int64_t)lloyd_type_size(cpu->base.config.type);
    cpu_known nearest[LLOYD_INT8_ROWS];
    for (int i = 0; i < rows; i++) {
        const float *row = lloyd_cpu_row(cpu, a->slot, i0 + i, a->scratch->row);
        const void *stored = a->slot->rows + (i0 + i) * size;
        lloyd_int8_take(set, found, i, set->exact ? stored : row);
        nearest[i] = measure_label(a, i0 + i, row);
        if (nearest[i].label >= 0) lloyd_int8_limit(found, i, nearest[i].distance);
    }
    lloyd_int8_find(set, found, rows);
    double began = lloyd_seconds();
    for (int i = 0; i < rows; i++) {
        decide(a, i0 + i, found->candidate[i], found->count[i], nearest[i]);
        candidates += found->count[i] > 1 ? found->count[i] : 0;
        decided += found->count[i] > 1;
        open += found->count[i] == 0;
    }
    a->fallback_seconds += lloyd_seconds() - began;
    a->counters[LLOYD_COUNT_INT8] += rows - open;
    a->counters[LLOYD_COUNT_INT8_FALLBACK] += decided;
    a->counters[LLOYD_COUNT_CANDIDATES] += candidates;
    lloyd_cpu_count_cost(a, rows * set->count, candidates, open);
}

static void assign_int8_block(cpu_assignment *a, int64_t i0, int rows)
{
    for (int at = 0; at < rows; at += LLOYD_INT8_ROWS)
        assign_int8(a, i0 + at, rows - at < LLOYD_INT8_ROWS ? rows - at : LLOYD_INT8_ROWS);
}

/* Whether the filter on 8-bit integers is the cheaper one: judged by this pass so far. */
static int int8_pays(const cpu_assignment *a)
{
    const double distance = 5; /* a dist() takes as long as scoring so many centroids in float32 */
    const lloyd_int8_set *set = &a->cpu->int8;
    int64_t scores, candidates, open;
    lloyd_filter filter = a->cpu->base.config.filter;
    if (!set->product || !set->usable || filter == LLOYD_FILTER_FLOAT) return 0;
    if (filter == LLOYD_FILTER_INT8) return 1;
#pragma omp atomic read
    scores = a->cost->scores;
#pragma omp atomic read
    candidates = a->cost->candidates;
#pragma omp atomic read
    open = a->cost->open;
    double saved = (double)scores * (1 - set->product->cost) - (double)open * (double)set->count;
    return scores < 4 * LLOYD_INT8_ROWS * set->count || distance * (double)candidates < saved;
}

/* Few centroids: no filter. */
static void assign_few(cpu_assignment *a, int64_t i0, int rows)
{
    for (int i = 0; i < rows; i++) {
        const float *row = lloyd_cpu_row(a->cpu, a->slot, i0 + i, a->scratch->row);
        lloyd_cpu_set_label(a, i0 + i, nearest_of_all(a->cpu, row));
    }
}

/* Labels a block of rows. */
static void assign_rows(cpu_assignment *a, int64_t i0, int rows)
{
    for (int at = 0; at < rows; at += LLOYD_CPU_ROWS) {
        int part = rows - at < LLOYD_CPU_ROWS ? rows - at : LLOYD_CPU_ROWS;
        if (a->cpu->set <= LLOYD_CPU_FEW)
            assign_few(a, i0 + at, part);
        else if (int8_pays(a))
            assign_int8_block(a, i0 + at, part);
        else
            assign_block(a, i0 + at, part);
    }
}

/* The same in an iteration, where bounds may help. */
static void assign_or_prune(cpu_assignment *a, int64_t i0, int rows, int block)
{
    lloyd_pruning *pruning = &a->cpu->pruning;
    double began = lloyd_thread_seconds();
    int pruned = lloyd_prune_takes(pruning, (a->slot->first + i0) / block);
    if (pruned)
        lloyd_prune_rows(a, i0, rows, int8_pays(a));
    else
        assign_rows(a, i0, rows);
    lloyd_prune_count(pruning, pruned, rows, lloyd_thread_seconds() - began);
}

/* Blocks are smaller where there are too few rows to give every thread a few of them. */
static int choose_block(const cpu_kernels *cpu, const cpu_slot *slot, int most)
{
    enum { LEAST = 32 };
    int64_t share = slot->count / (4 * (int64_t)cpu->base.config.threads);
    return share < LEAST ? LEAST : share < most ? (int)share : most;
}

static void label_slot(cpu_kernels *cpu, const cpu_slot *slot, int pruning, int64_t *counters)
{
    int threads = cpu->base.config.threads;
    int block =
        choose_block(cpu, slot, pruning ? lloyd_prune_block(&cpu->pruning) : LLOYD_CPU_ROWS);
    int64_t blocks = (slot->count + block - 1) / block;
    double fallback_seconds = 0;
    cpu_int8_cost cost = {0};
#pragma omp parallel num_threads(threads) reduction(+ : counters[:LLOYD_COUNTERS], fallback_seconds)
    {
        cpu_assignment a = {cpu, slot, &cpu->scratch[omp_get_thread_num()], &cost, {0}, 0};
#pragma omp for schedule(dynamic) nowait
        for (int64_t b = 0; b < blocks; b++) {
            int64_t i0 = b * block;
            int rows = (int)(slot->count - i0 < block ? slot->count - i0 : block);
            if (pruning)
                assign_or_prune(&a, i0, rows, block);
            else
                assign_rows(&a, i0, rows);
        }
        assign_open(&a);
        decide_pool(&a);
        for (int c = 0; c < LLOYD_COUNTERS; c++) counters[c] += a.counters[c];
        fallback_seconds += a.fallback_seconds;
    }
    cpu->base.seconds[LLOYD_WORK_FALLBACK] += fallback_seconds / threads;
}

void lloyd_cpu_nearest(cpu_kernels *cpu, int slot, int64_t *counters)
{
    label_slot(cpu, &cpu->slots[slot], 0, counters);
}

lloyd_status lloyd_cpu_assign(lloyd_kernels *kernels, int slot)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    int pruning =
        cpu->pruning.group > 0 && cpu->set == kernels->config.k && cpu->set > LLOYD_CPU_FEW;
    if (pruning) lloyd_prune_choose_unit(cpu, &cpu->slots[slot]);
    label_slot(cpu, &cpu->slots[slot], pruning, cpu->sums + cpu->layout.counters_at);
    return LLOYD_OK;
}
