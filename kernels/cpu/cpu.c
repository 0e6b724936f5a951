/* The CPU implementation of kernels.h: state, memory and the table of functions. The plain twin of
 * the GPU kernels, and their oracle. */
#include "kernels/cpu/cpu.h"

#include "base/memory.h"
#include "kernels/blas.h"
#include "kernels/cpu/assign.h"
#include "kernels/cpu/device.h"
#include "kernels/cpu/distances.h"
#include "kernels/cpu/means.h"
#include "kernels/cpu/prune_rows.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/seed.h"
#include "kernels/cpu/sums.h"

#include <stdlib.h>

static lloyd_status create(lloyd_kernels *kernels, const lloyd_kernels_config *config,
                           lloyd_kernels **created)
{
    (void)kernels;
    return lloyd_kernels_cpu(config, created);
}

static lloyd_status load(lloyd_kernels *kernels, int slot, int64_t first, int64_t count,
                         const void *rows)
{
    lloyd_cpu(kernels)->slots[slot] = (cpu_slot){rows, first, count};
    return LLOYD_OK;
}

/* Rows are used where they are: nothing is under way after load(). */
static lloyd_status nothing_to_wait_for(lloyd_kernels *kernels, int slot)
{
    (void)kernels, (void)slot;
    return LLOYD_OK;
}

static lloyd_status finish(lloyd_kernels *kernels)
{
    (void)kernels;
    return LLOYD_OK;
}

static lloyd_status get_centroids(lloyd_kernels *kernels, float *centroids)
{
    const cpu_kernels *cpu = lloyd_cpu(kernels);
    memcpy(centroids, cpu->centroids, (size_t)(cpu->set * kernels->config.dim) * sizeof *centroids);
    return LLOYD_OK;
}

static lloyd_status forget_labels(lloyd_kernels *kernels)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    lloyd_prune_forget(&cpu->pruning);
    memset(cpu->labels, 0xff, (size_t)kernels->config.n_local * sizeof *cpu->labels);
    cpu->moved = kernels->config.n_local;
    return LLOYD_OK;
}

static lloyd_status labels(lloyd_kernels *kernels, int64_t first, int64_t count, int32_t *out)
{
    memcpy(out, lloyd_cpu(kernels)->labels + first, (size_t)count * sizeof *out);
    return LLOYD_OK;
}

static lloyd_status count_labels(lloyd_kernels *kernels, int64_t *counts)
{
    const int32_t *stored = lloyd_cpu(kernels)->labels;
    for (int64_t i = 0; i < kernels->config.n_local; i++) counts[stored[i]]++;
    return LLOYD_OK;
}

static lloyd_status reduce(lloyd_kernels *kernels, const lloyd_reduction *reduction,
                           const lloyd_leaf *leaves, int64_t count, int64_t *done)
{
    (void)kernels;
    *done = count < 1 ? count : 1;
    return *done > 0 ? lloyd_reduce_leaf(reduction, leaves) : LLOYD_OK;
}

/* --- life and death --- */

/* What is there from create() to destroy(), but for the working space of the threads and the sums. */
static void list_state(cpu_buffers *buffers, cpu_kernels *cpu)
{
    const lloyd_kernels_config *config = &cpu->base.config;
    CPU_BUFFER(buffers, cpu->slots, config->slots, "chunk table");
    CPU_BUFFER(buffers, cpu->labels, config->n_local, "labels");
    CPU_BUFFER(buffers, cpu->centre, config->dim, "filter origin");
    CPU_BUFFER(buffers, cpu->digit_scale, 2 * config->dim, "scales of the columns");
    CPU_BUFFER(buffers, cpu->order, config->chunk_rows, "rows sorted by cluster");
    CPU_BUFFER(buffers, cpu->histogram, config->threads * config->k, "label histograms");
    CPU_BUFFER(buffers, cpu->scratch, config->threads, "working space of the threads");
    lloyd_prune_list(buffers, &cpu->pruning);
}

static void list_scratch(cpu_buffers *buffers, const cpu_kernels *cpu, cpu_scratch *scratch)
{
    int64_t dim = cpu->base.config.dim, block = LLOYD_CPU_ROWS * dim,
            tile = LLOYD_CPU_ROWS * LLOYD_CPU_CENTROIDS;
    const char *what = "working space of a thread";
    CPU_BUFFER(buffers, scratch->points, block, what);
    CPU_BUFFER(buffers, scratch->scores, tile, what);
    if (dim > LLOYD_CPU_SLICE) CPU_BUFFER(buffers, scratch->partial, tile, what);
    CPU_BUFFER(buffers, scratch->row, dim, what);
    CPU_BUFFER(buffers, scratch->sum, 2 * dim, what);
    CPU_BUFFER(buffers, scratch->limbs, LLOYD_SQUARE_DIGITS * dim, what);
    CPU_BUFFER(buffers, scratch->pool_points, block, what);
    CPU_BUFFER(buffers, scratch->pool_rows, block, what);
    lloyd_int8_list_scratch(buffers, &cpu->int8, &scratch->int8);
    lloyd_prune_list_scratch(buffers, &cpu->pruning, &scratch->pruning);
}

static void destroy(lloyd_kernels *kernels)
{
    if (!kernels) return;
    cpu_kernels *cpu = lloyd_cpu(kernels);
    cpu_buffers buffers = {.work = CPU_BUFFERS_RELEASE};
    (void)lloyd_cpu_seed_end(kernels);
    lloyd_cpu_list_set(&buffers, cpu, 0);
    lloyd_int8_list_set(&buffers, &cpu->int8, 0);
    lloyd_cpu_list_sums(&buffers, cpu, 0, 0, 0);
    for (int t = 0; cpu->scratch && t < kernels->config.threads; t++)
        list_scratch(&buffers, cpu, &cpu->scratch[t]);
    list_state(&buffers, cpu);
    lloyd_free(cpu);
}

/* Nothing is copied. */
static lloyd_status load_start(lloyd_kernels *kernels, int slot, int64_t first, int64_t count,
                               const void *rows, lloyd_load_need need)
{
    (void)need;
    return load(kernels, slot, first, count, rows);
}

static const lloyd_kernels table = {
    .device = &lloyd_device_cpu,
    .copies = 0,
    .synchronous = 1,
    .create = create,
    .load = load,
    .load_start = load_start,
    .load_finish = nothing_to_wait_for,
    .loaded = nothing_to_wait_for,
    .measure = lloyd_cpu_measure,
    .measure_weighted = lloyd_cpu_measure_weighted,
    .set_grid = lloyd_cpu_set_grid,
    .squares = lloyd_cpu_squares,
    .set_centroids = lloyd_cpu_set_centroids,
    .get_centroids = get_centroids,
    .forget_labels = forget_labels,
    .begin = lloyd_cpu_begin,
    .assign = lloyd_cpu_assign,
    .accumulate = lloyd_cpu_accumulate,
    .finish = finish,
    .sums = lloyd_cpu_sums,
    .inertia = lloyd_cpu_inertia,
    .update = lloyd_cpu_update,
    .empty_clusters = lloyd_cpu_empty_clusters,
    .farthest = lloyd_cpu_farthest,
    .relocate = lloyd_cpu_relocate,
    .labels = labels,
    .count_labels = count_labels,
    .distances = lloyd_cpu_distances,
    .distance_span = lloyd_cpu_distance_span,
    .total_distance = lloyd_cpu_total_distance,
    .rows = lloyd_cpu_rows,
    .seed_begin = lloyd_cpu_seed_begin,
    .seed_compare = lloyd_cpu_seed_compare,
    .seed_total = lloyd_cpu_seed_total,
    .seed_pick = lloyd_cpu_seed_pick,
    .seed_sample = lloyd_cpu_seed_sample,
    .seed_masses = lloyd_cpu_seed_masses,
    .seed_try = lloyd_cpu_seed_try,
    .seed_end = lloyd_cpu_seed_end,
    .reduce = reduce,
    .destroy = destroy,
};

static lloyd_status alloc_state(cpu_kernels *cpu)
{
    const lloyd_kernels_config *config = &cpu->base.config;
    cpu_buffers buffers = {.work = CPU_BUFFERS_RESERVE};
    lloyd_int8_open(&cpu->int8, lloyd_int8_product_best(), config->type, config->cosine,
                    config->dim, config->threads);
    lloyd_prune_open(&cpu->pruning, config);
    cpu->layout = lloyd_layout_of_sums(NULL, config->dim, config->k);
    list_state(&buffers, cpu);
    for (int t = 0; cpu->scratch && t < config->threads; t++)
        list_scratch(&buffers, cpu, &cpu->scratch[t]);
    lloyd_cpu_list_sums(&buffers, cpu, cpu->layout.words, 0, 0);
    return buffers.status;
}

lloyd_status lloyd_kernels_cpu(const lloyd_kernels_config *config, lloyd_kernels **kernels)
{
    *kernels = NULL;
    cpu_kernels *cpu;
    LLOYD_TRY(lloyd_alloc(&cpu, 1, sizeof *cpu, "CPU kernels"));
    cpu->base = table;
    cpu->base.config = *config;
    lloyd_blas_use_one_thread(config->threads);
    lloyd_status status = alloc_state(cpu);
    if (status != LLOYD_OK) {
        destroy(&cpu->base);
        return status;
    }
    *kernels = &cpu->base;
    return LLOYD_OK;
}

/* --- what a plan asks --- */

int64_t lloyd_kernels_cpu_bytes(const lloyd_kernels_config *config, int64_t set)
{
    /* the same for all processors, also for those without such products */
    const lloyd_int8_product any = {.cost = 1};
    cpu_kernels none = {.base.config = *config};
    cpu_scratch thread = {.points = NULL};
    cpu_buffers all = {.work = CPU_BUFFERS_COUNT}, one = all;
    int64_t most = set > config->k ? set : config->k;
    lloyd_int8_open(&none.int8, &any, config->type, config->cosine, config->dim, config->threads);
    lloyd_prune_open(&none.pruning, config);
    list_state(&all, &none);
    lloyd_cpu_list_set(&all, &none, most);
    lloyd_int8_list_set(&all, &none.int8, most);
    lloyd_cpu_list_sums(&all, &none,
                        lloyd_planned_sum_words(config->dim, config->k,
                                                lloyd_sums_one_digit(config),
                                                config->weights != NULL),
                        config->n_local, 0);
    list_scratch(&one, &none, &thread);
    return all.bytes + config->threads * one.bytes + lloyd_prune_bytes(&none.pruning);
}
