/* See gpu.h. */
#include "gpu.h"

#include "base/memory.h"
#include "base/philox.h"
#include "base/stop.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/rows.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/seed/reduce.h"
#include "kernels/dist.h"
#include "lloyd/lloyd.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Of a caller. */
#define NEED(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) return lloyd_fail(LLOYD_FAILED, "%s: not so: " #condition, __func__);    \
    } while (0)

test_gpu gpu;

void gpu_begin(int lazy)
{
    memset(&gpu, 0, sizeof gpu);
    gpu.lazy = lazy;
}

static lloyd_status call(void)
{
    gpu.calls++;
    if (gpu.calls == gpu.stops) lloyd_stop(SIGUSR1);
    return gpu.calls == gpu.fails ? lloyd_fail(LLOYD_FAILED, "the GPU fails on purpose") : LLOYD_OK;
}

/* What kernels.h asks of callers. */
static lloyd_status set_groups(lloyd_kernels *kernels, const lloyd_groups *groups)
{
    const lloyd_kernels_config *config = &kernels->config;
    LLOYD_TRY(call());
    NEED(groups->count >= 1 && groups->count <= GPU_MOST_GROUPS);
    NEED(!gpu.grouped || groups->count == gpu.count);
    NEED(!config->weights && config->filter == LLOYD_FILTER_FLOAT);
    NEED(config->prune_group == 0);
    NEED(config->n_local <= LLOYD_GROUPED_ROWS);
    NEED(lloyd_cpu(kernels)->slots[0].count == config->n_local);
    NEED(groups->rows[0] == 0);
    NEED(groups->rows[groups->count] == config->n_local);
    NEED(groups->centroids[0] == 0);
    for (int64_t i = 0; i < groups->count; i++) {
        NEED(groups->rows[i] < groups->rows[i + 1]);
        NEED(groups->centroids[i] < groups->centroids[i + 1]);
        NEED(!gpu.grouped || groups->rows[i] == gpu.rows[i]);
    }
    const size_t bytes = (size_t)(groups->count + 1) * sizeof *gpu.rows;
    memcpy(gpu.rows, groups->rows, bytes);
    memcpy(gpu.next, groups->centroids, bytes);
    gpu.count = groups->count;
    gpu.active = groups->active;
    return LLOYD_OK;
}

static lloyd_status set_centroids(lloyd_kernels *kernels, int64_t count, const float *centroids)
{
    LLOYD_TRY(call());
    NEED(gpu.count > 0);
    NEED(count == gpu.next[gpu.count]);
    memcpy(gpu.centroids, gpu.next, sizeof gpu.next);
    gpu.grouped = 1;
    return gpu.cpu.set_centroids(kernels, count, centroids);
}

static lloyd_status set_rows(lloyd_kernels *kernels, int64_t count, const int64_t *rows)
{
    float *centroids = NULL;
    LLOYD_TRY(lloyd_alloc(&centroids, count * kernels->config.dim, sizeof *centroids, "rows"));
    lloyd_status status = gpu.cpu.rows(kernels, 0, rows, count, centroids);
    if (status == LLOYD_OK) status = set_centroids(kernels, count, centroids);
    lloyd_free(centroids);
    return status;
}

/* The centroid of group g that is nearest to row x, the lowest of several, and its distance. */
static int32_t nearest(const cpu_kernels *cpu, int64_t g, const float *x, double *distance)
{
    const int64_t d = cpu->base.config.dim;
    int32_t best = -1;
    *distance = INFINITY;
    for (int64_t k = gpu.centroids[g]; k < gpu.centroids[g + 1]; k++) {
        const double here = lloyd_dist(x, cpu->centroids + k * d, d);
        if (here >= *distance) continue;
        best = (int32_t)k;
        *distance = here;
    }
    return best;
}

static const float *row_of(const cpu_kernels *cpu, int64_t row)
{
    return lloyd_cpu_row(cpu, &cpu->slots[0], row, cpu->scratch[0].row);
}

static lloyd_status assign(lloyd_kernels *kernels, int slot)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    LLOYD_TRY(call());
    NEED(slot == 0);
    for (int64_t g = 0; g < gpu.count; g++) {
        gpu.moved[g] = 0;
        if (gpu.lazy && !gpu.active[g]) continue;
        for (int64_t row = gpu.rows[g]; row < gpu.rows[g + 1]; row++) {
            double distance;
            const int32_t label = nearest(cpu, g, row_of(cpu, row), &distance);
            gpu.moved[g] += label != cpu->labels[row];
            cpu->labels[row] = label;
        }
        cpu->sums[cpu->layout.counters_at + LLOYD_COUNT_MOVED] += gpu.moved[g];
    }
    gpu.measured = 0;
    return LLOYD_OK;
}

static lloyd_status inertia(lloyd_kernels *kernels, lloyd_dd squares, lloyd_found *found)
{
    gpu.measured = 1;
    return gpu.cpu.inertia(kernels, squares, found);
}

static lloyd_status groups_moved(lloyd_kernels *kernels, int64_t *moved)
{
    (void)kernels;
    LLOYD_TRY(call());
    NEED(gpu.measured);
    memcpy(moved, gpu.moved, (size_t)gpu.count * sizeof *moved);
    return LLOYD_OK;
}

static lloyd_status relocate(lloyd_kernels *kernels, int32_t from, int32_t to, const int64_t *words)
{
    LLOYD_TRY(call());
    gpu.relocated++;
    return gpu.cpu.relocate(kernels, from, to, words);
}

static lloyd_status seed_compare(lloyd_kernels *kernels, int slot, int64_t base, double *mass)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    LLOYD_TRY(call());
    NEED(slot == 0);
    for (int64_t g = 0; g < gpu.count; g++) {
        for (int64_t row = gpu.rows[g]; row < gpu.rows[g + 1]; row++) {
            double distance;
            const int32_t candidate = nearest(cpu, g, row_of(cpu, row), &distance);
            if (distance < cpu->nearest_distance[row]) {
                cpu->nearest_distance[row] = distance;
                cpu->nearest[row] = (int32_t)base + candidate;
            }
            *mass = fmax(*mass, cpu->nearest_distance[row]);
        }
    }
    return LLOYD_OK;
}

static int64_t sample_group(const cpu_kernels *cpu, int64_t g, const lloyd_group_draw *draw,
                            int round, int64_t *rows)
{
    const double *masses = cpu->nearest_distance + gpu.rows[g];
    const int64_t n = gpu.rows[g + 1] - gpu.rows[g];
    const int bits = lloyd_bits(n, LLOYD_MASS_BITS);
    double greatest = 0;
    uint64_t total = 0;
    int64_t taken = 0;
    for (int64_t i = 0; i < n; i++) greatest = fmax(greatest, masses[i]);
    const int exponent = lloyd_exponent(greatest);
    for (int64_t i = 0; i < n; i++) total += (uint64_t)lloyd_fixed_mass(masses[i], exponent, bits);
    for (int64_t i = 0; i < n && taken < draw->most; i++) {
        const uint64_t u = lloyd_philox64(draw->seed, LLOYD_DRAW_KMEANSPAR, (uint64_t)i,
                                          (uint32_t)round),
                       mass = (uint64_t)lloyd_fixed_mass(masses[i], exponent, bits);
        const unsigned __int128 point = ((unsigned __int128)u * total) >> 64;
        if (point < (unsigned __int128)mass * (uint64_t)draw->oversampling)
            rows[taken++] = gpu.rows[g] + i;
    }
    return taken;
}

static lloyd_status groups_sample(lloyd_kernels *kernels, const lloyd_group_draw *draws, int round,
                                  int64_t room, int64_t *rows, int64_t *counts)
{
    LLOYD_TRY(call());
    for (int64_t g = 0; g < gpu.count; g++) {
        NEED(draws[g].place >= 0 && draws[g].place + draws[g].most <= room);
        counts[g] = sample_group(lloyd_cpu(kernels), g, &draws[g], round, rows + draws[g].place);
        if (round > 0) gpu.drawn += counts[g];
    }
    return LLOYD_OK;
}

/* Some leaves at a time, as on a GPU. */
static lloyd_status reduce(lloyd_kernels *kernels, const lloyd_reduction *reduction,
                           const lloyd_leaf *leaves, int64_t count, int64_t *done)
{
    lloyd_reduction own = *reduction;
    float *points = NULL;
    LLOYD_TRY(call());
    NEED(reduction->rows && !reduction->points && reduction->at_once >= count);
    LLOYD_TRY(lloyd_alloc(&points, own.count * own.dim, sizeof *points, "points"));
    lloyd_status status = gpu.cpu.rows(kernels, 0, own.rows, own.count, points);
    own.points = points;
    for (*done = 0; *done < count && *done < 3 && status == LLOYD_OK;) {
        int64_t one;
        status = gpu.cpu.reduce(kernels, &own, leaves + *done, 1, &one);
        *done += one;
    }
    lloyd_free(points);
    return status;
}

static void destroy(lloyd_kernels *kernels)
{
    gpu.live--;
    gpu.cpu.destroy(kernels);
}

lloyd_status lloyd_kernels_cuda(const lloyd_kernels_config *config, int device,
                                lloyd_kernels **kernels)
{
    NEED(device == 0);
    LLOYD_TRY(lloyd_kernels_cpu(config, kernels));
    lloyd_kernels *k = *kernels;
    gpu.cpu = *k;
    gpu.live++;
    k->set_groups = set_groups;
    k->set_rows = set_rows;
    k->set_centroids = set_centroids;
    k->assign = assign;
    k->inertia = inertia;
    k->groups_moved = groups_moved;
    k->relocate = relocate;
    k->seed_compare = seed_compare;
    k->groups_sample = groups_sample;
    k->reduce = reduce;
    k->destroy = destroy;
    return LLOYD_OK;
}

int64_t lloyd_kernels_cuda_bytes(const lloyd_kernels_config *config, int64_t set)
{
    (void)config, (void)set;
    return 1 << 20;
}

int64_t lloyd_kernels_cuda_prune_group(const lloyd_kernels_config *config)
{
    return config->prune_group;
}

int64_t lloyd_cuda_reduce_bytes(int64_t points, int64_t dim, int64_t leaves)
{
    (void)points, (void)dim, (void)leaves;
    return 0;
}

static lloyd_status count(int *devices)
{
    *devices = 1;
    return LLOYD_OK;
}

static lloyd_status memory(int device, int64_t *free_bytes, int64_t *total_bytes)
{
    (void)device;
    *free_bytes = *total_bytes = (int64_t)1 << 36;
    return LLOYD_OK;
}

static lloyd_status identity(int device, uint64_t *hash, char *name, size_t bytes)
{
    *hash = 1 + (uint64_t)device;
    snprintf(name, bytes, "a GPU");
    return LLOYD_OK;
}

static lloyd_status host_alloc(int64_t bytes, const char *what, void **out)
{
    return lloyd_alloc(out, bytes, 1, what);
}

static int current(void)
{
    return -1;
}

const lloyd_device lloyd_device_cuda = {
    .name = "cuda",
    .pinned = 1 << 20,
    .count = count,
    .memory = memory,
    .identity = identity,
    .host_alloc = host_alloc,
    .host_free = lloyd_free,
    .current = current,
};
