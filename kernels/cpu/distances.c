/* Distances of rows to their own centroids: as a result, as an exact total, and to find rows for
 * empty clusters. */
#include "kernels/cpu/distances.h"

#include "kernels/cpu/rows.h"
#include "kernels/dist.h"

#include <omp.h>
#include <stdlib.h>

static double own_distance(const cpu_kernels *cpu, const cpu_slot *slot, int64_t i, float *buffer)
{
    int64_t dim = cpu->base.config.dim;
    const float *row = lloyd_cpu_row(cpu, slot, i, buffer);
    return lloyd_dist(row, cpu->centroids + cpu->labels[slot->first + i] * dim, dim);
}

/* out[0 .. count) = distances of rows [begin, begin + count) of the slot. */
static void own_distances(cpu_kernels *cpu, const cpu_slot *slot, int64_t begin, int64_t count,
                          double *out)
{
#pragma omp parallel for num_threads(cpu->base.config.threads)
    for (int64_t i = 0; i < count; i++) {
        out[i] = own_distance(cpu, slot, begin + i, cpu->scratch[omp_get_thread_num()].row);
    }
}

lloyd_status lloyd_cpu_distances(lloyd_kernels *kernels, int slot_number, double *out)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    const cpu_slot *slot = &cpu->slots[slot_number];
    own_distances(cpu, slot, 0, slot->count, out);
    return LLOYD_OK;
}

static double weighted_distance(const cpu_kernels *cpu, const cpu_slot *slot, int64_t i)
{
    const float *weights = cpu->base.config.weights;
    double distance = own_distance(cpu, slot, i, cpu->scratch[omp_get_thread_num()].row);
    return weights ? lloyd_mul((double)weights[slot->first + i], distance) : distance;
}

lloyd_status lloyd_cpu_distance_span(lloyd_kernels *kernels, int slot_number, lloyd_span *span)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    const cpu_slot *slot = &cpu->slots[slot_number];
    int top = span->top, low = span->low;
#pragma omp parallel for num_threads(kernels->config.threads) reduction(max                        \
                                                                        : top) reduction(min       \
                                                                                         : low)
    for (int64_t i = 0; i < slot->count; i++) {
        double distance = weighted_distance(cpu, slot, i);
        if (distance == 0) continue;
        int highest = lloyd_exponent(distance), lowest = lloyd_lowest(distance);
        top = highest > top ? highest : top;
        low = lowest < low ? lowest : low;
    }
    *span = (lloyd_span){top, low};
    return LLOYD_OK;
}

lloyd_status lloyd_cpu_total_distance(lloyd_kernels *kernels, int slot_number, int top, int bits,
                                      int count, int64_t *total)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    const cpu_slot *slot = &cpu->slots[slot_number];
#pragma omp parallel num_threads(kernels->config.threads)
    {
        int64_t own[LLOYD_MOST_TOTAL] = {0};
#pragma omp for
        for (int64_t i = 0; i < slot->count; i++) {
            double distance = weighted_distance(cpu, slot, i);
            for (int t = 0; t < count; t++)
                own[t] += lloyd_digit(distance, top - bits * (t + 1), bits, t == 0);
        }
#pragma omp critical(lloyd_cpu_total)
        for (int t = 0; t < count; t++) total[t] += own[t];
    }
    return LLOYD_OK;
}

/* --- rows for empty clusters --- */

/* 1 where a is taken before b: the larger distance, then the lower row. */
static int before(const lloyd_far_row *a, const lloyd_far_row *b)
{
    return a->distance != b->distance ? a->distance > b->distance : a->row < b->row;
}

static int compare_far_rows(const void *a, const void *b)
{
    return before(a, b) ? -1 : before(b, a);
}

/* list is a heap with the row that would be taken last at its root: sifts that root down. */
static void sift_down(lloyd_far_row *list, int64_t count)
{
    lloyd_far_row root = list[0];
    int64_t at = 0;
    for (int64_t child = 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && before(&list[child], &list[child + 1])) child++;
        if (before(&list[child], &root)) break;
        list[at] = list[child];
        at = child;
    }
    list[at] = root;
}

static void sift_up(lloyd_far_row *list, int64_t at)
{
    lloyd_far_row row = list[at];
    for (; at > 0 && before(&list[(at - 1) / 2], &row); at = (at - 1) / 2)
        list[at] = list[(at - 1) / 2];
    list[at] = row;
}

static void offer(lloyd_far_row *list, int64_t want, int64_t *count, lloyd_far_row row)
{
    if (*count < want) {
        list[*count] = row;
        sift_up(list, (*count)++);
    } else if (before(&row, &list[0])) {
        list[0] = row;
        sift_down(list, *count);
    }
}

lloyd_status lloyd_cpu_farthest(lloyd_kernels *kernels, int slot_number, int64_t want,
                                lloyd_far_row *list, int64_t *count)
{
    enum { BLOCK = 4096 };
    cpu_kernels *cpu = lloyd_cpu(kernels);
    const cpu_slot *slot = &cpu->slots[slot_number];
    const float *weights = kernels->config.weights;
    double distance[BLOCK];
    if (want == 0) return LLOYD_OK;
    for (int64_t i = 0; i < *count; i++)
        sift_up(list, i); /* the sorted list of the slots before, as a heap */
    for (int64_t begin = 0; begin < slot->count; begin += BLOCK) {
        int64_t rows = slot->count - begin < BLOCK ? slot->count - begin : BLOCK;
        own_distances(cpu, slot, begin, rows, distance);
        for (int64_t i = 0; i < rows; i++) {
            int64_t row = slot->first + begin + i;
            if (weights && !lloyd_weight_counts(weights[row], cpu->least_mass)) continue;
            offer(list, want, count, (lloyd_far_row){distance[i], row, cpu->labels[row]});
        }
    }
    qsort(list, (size_t)*count, sizeof *list, compare_far_rows);
    return LLOYD_OK;
}
