/* The CPU implementation of kernels.h: state, memory and the table of functions. The plain twin of
 * the GPU kernels, and their oracle. */
#include "kernels/cpu/cpu.h"

#include "base/memory.h"
#include "kernels/cpu/assign.h"
#include "kernels/cpu/device.h"
#include "kernels/cpu/distances.h"
#include "kernels/cpu/means.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/seed.h"
#include "kernels/cpu/sums.h"

#include <stdlib.h>

/* A BLAS is called from inside OpenMP threads, one thread each: OpenBLAS has a switch for it. */
extern void openblas_set_num_threads(int) __attribute__((weak));

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
    memset(lloyd_cpu(kernels)->labels, 0xff, (size_t)kernels->config.n_local * sizeof(int32_t));
    return LLOYD_OK;
}

static lloyd_buffer sums(lloyd_kernels *kernels)
{
    return (lloyd_buffer){lloyd_cpu(kernels)->sums, LLOYD_HOST, NULL};
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

static void destroy(lloyd_kernels *kernels)
{
    if (!kernels) return;
    cpu_kernels *cpu = lloyd_cpu(kernels);
    for (int t = 0; cpu->scratch && t < kernels->config.threads; t++) {
        cpu_scratch *scratch = &cpu->scratch[t];
        lloyd_free(scratch->points);
        lloyd_free(scratch->scores);
        lloyd_free(scratch->partial);
        lloyd_free(scratch->row);
        lloyd_free(scratch->sum);
        lloyd_free(scratch->wide);
        lloyd_free(scratch->limbs);
        lloyd_free(scratch->pool_points);
        lloyd_free(scratch->pool_rows);
        if (scratch->int8) lloyd_int8_close_scratch(scratch->int8);
        lloyd_free(scratch->int8);
    }
    lloyd_free(cpu->scratch);
    lloyd_free(cpu->slots);
    lloyd_free(cpu->labels);
    lloyd_int8_close(&cpu->int8);
    lloyd_free(cpu->centroids);
    lloyd_free(cpu->operand);
    lloyd_free(cpu->half_norm);
    lloyd_free(cpu->bias);
    lloyd_free(cpu->centre);
    lloyd_free(cpu->digit_scale);
    lloyd_free(cpu->sums);
    lloyd_free(cpu->order);
    lloyd_free(cpu->histogram);
    lloyd_free(cpu->nearest_distance);
    lloyd_free(cpu->nearest);
    lloyd_free(cpu);
}

static const lloyd_kernels table = {
    .device = &lloyd_device_cpu,
    .copies = 0,
    .synchronous = 1,
    .create = create,
    .load = load,
    .load_start = load,
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
    .sums = sums,
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

static lloyd_status alloc_scratch(const cpu_kernels *cpu, cpu_scratch *scratch)
{
    const lloyd_kernels_config *config = &cpu->base.config;
    int64_t dim = config->dim, block = LLOYD_CPU_ROWS * dim,
            tile = LLOYD_CPU_ROWS * LLOYD_CPU_CENTROIDS;
    const char *what = "working space of a thread";
    LLOYD_TRY(lloyd_alloc(&scratch->points, block, sizeof(float), what));
    LLOYD_TRY(lloyd_alloc(&scratch->scores, tile, sizeof(float), what));
    if (dim > LLOYD_CPU_SLICE) LLOYD_TRY(lloyd_alloc(&scratch->partial, tile, sizeof(float), what));
    LLOYD_TRY(lloyd_alloc(&scratch->row, dim, sizeof(float), what));
    LLOYD_TRY(lloyd_alloc(&scratch->sum, 2 * dim, sizeof(int64_t), what));
    LLOYD_TRY(lloyd_alloc(&scratch->limbs, LLOYD_SQUARE_DIGITS * dim, sizeof(uint64_t), what));
    LLOYD_TRY(lloyd_alloc(&scratch->pool_points, block, sizeof(float), what));
    LLOYD_TRY(lloyd_alloc(&scratch->pool_rows, block, sizeof(float), what));
    LLOYD_TRY(lloyd_alloc(&scratch->int8, 1, sizeof *scratch->int8, what));
    return lloyd_int8_open_scratch(&cpu->int8, scratch->int8);
}

static lloyd_status alloc_state(const lloyd_kernels_config *config, cpu_kernels *cpu)
{
    lloyd_int8_open(&cpu->int8, lloyd_int8_product_best(), config->type, config->cosine,
                    config->dim);
    LLOYD_TRY(lloyd_alloc(&cpu->slots, config->slots, sizeof(cpu_slot), "chunk table"));
    LLOYD_TRY(lloyd_alloc(&cpu->labels, config->n_local, sizeof(int32_t), "labels"));
    LLOYD_TRY(lloyd_alloc(&cpu->centre, config->dim, sizeof(float), "filter origin"));
    LLOYD_TRY(lloyd_alloc(&cpu->digit_scale, config->dim, sizeof(double), "scales of the columns"));
    cpu->layout = lloyd_layout_of_sums(NULL, config->dim, config->k);
    LLOYD_TRY(lloyd_alloc(&cpu->sums, cpu->layout.words, sizeof(int64_t), "counters"));
    LLOYD_TRY(
        lloyd_alloc(&cpu->order, config->chunk_rows, sizeof(uint32_t), "rows sorted by label"));
    LLOYD_TRY(lloyd_alloc(&cpu->histogram, config->threads * config->k, sizeof(int64_t),
                          "label histograms"));
    LLOYD_TRY(lloyd_alloc(&cpu->scratch, config->threads, sizeof(cpu_scratch),
                          "working space of the threads"));
    for (int t = 0; t < config->threads; t++) LLOYD_TRY(alloc_scratch(cpu, &cpu->scratch[t]));
    return LLOYD_OK;
}

lloyd_status lloyd_kernels_cpu(const lloyd_kernels_config *config, lloyd_kernels **kernels)
{
    *kernels = NULL;
    cpu_kernels *cpu;
    LLOYD_TRY(lloyd_alloc(&cpu, 1, sizeof *cpu, "CPU kernels"));
    cpu->base = table;
    cpu->base.config = *config;
    if (openblas_set_num_threads) openblas_set_num_threads(1);
    lloyd_status status = alloc_state(config, cpu);
    if (status != LLOYD_OK) {
        destroy(&cpu->base);
        return status;
    }
    *kernels = &cpu->base;
    return LLOYD_OK;
}

int64_t lloyd_kernels_cpu_bytes(const lloyd_kernels_config *config, int64_t set)
{
    int64_t dim = config->dim, k = config->k, threads = config->threads;
    int64_t block = LLOYD_CPU_ROWS * dim * 4,
            tile = (int64_t)LLOYD_CPU_ROWS * LLOYD_CPU_CENTROIDS * 4;
    int64_t thread = 3 * block + (dim > LLOYD_CPU_SLICE ? 2 : 1) * tile + dim * 68 +
                     (int64_t)sizeof(cpu_scratch) + (int64_t)sizeof(lloyd_int8_scratch) +
                     lloyd_int8_scratch_bytes(dim);
    int64_t per_centroid = 2 * dim * 4 + 12;
    return config->n_local * 4 + config->chunk_rows * 4 + (set > k ? set : k) * per_centroid +
           lloyd_int8_bytes(set > k ? set : k, dim) +
           lloyd_planned_sum_words(dim, k, lloyd_sums_one_digit(config), config->weights != NULL) *
               8 +
           threads * k * 8 + dim * 12 + threads * thread;
}
