/* What follows from the sums: inertia and centroids (sections 4 and 5 of the contract). */
#include "kernels/cpu/means.h"

#include "kernels/cpu/assign.h"
#include "kernels/cpu/sums.h"
#include "kernels/dist.h"

#include <omp.h>

/* Terms of the sum over clusters are interleaved over this many partial sums. */
enum { CLUSTER_LANES = 1024 };

static lloyd_total column_total(const cpu_kernels *cpu, int64_t k, int64_t j, int64_t *words)
{
    const lloyd_grid *grid = cpu->grid;
    int count = lloyd_column_words(&cpu->layout, cpu->totals, k, j, grid->digits[j], grid->second,
                                   grid->wide_number, words);
    return (lloyd_total){words, count, grid->bits, grid->top[j]};
}

static lloyd_total mass_total(const cpu_kernels *cpu, int64_t k, int64_t *words)
{
    int count = lloyd_mass_words(&cpu->layout, cpu->totals, k, words);
    return (lloyd_total){words, count, cpu->grid->bits, cpu->grid->weight_top};
}

/* r[k] of the contract; *largest = max(*largest, |c|). */
static lloyd_dd cluster_term(const cpu_kernels *cpu, int64_t k, double *largest)
{
    int64_t dim = cpu->base.config.dim, words[LLOYD_MOST_DIGITS] = {0};
    const float *centroid = cpu->centroids + k * dim;
    lloyd_dd p[LLOYD_LANES] = {{0, 0}}, mass = lloyd_dd_total(mass_total(cpu, k, words));
    for (int64_t j = 0; j < dim; j++) {
        lloyd_dd sum = lloyd_dd_total(column_total(cpu, k, j, words));
        lloyd_dd *lane = &p[j % LLOYD_LANES];
        *lane = lloyd_dd_add(*lane, lloyd_inertia_term(centroid[j], mass, sum));
        *largest = fmax(*largest, fabs((double)centroid[j]));
    }
    return lloyd_dd_tree(p, LLOYD_LANES);
}

lloyd_status lloyd_cpu_inertia(lloyd_kernels *kernels, lloyd_dd squares, lloyd_found *found)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    lloyd_cpu_take_totals(cpu);
    cpu->moved = cpu->sums[cpu->layout.counters_at + LLOYD_COUNT_MOVED];
    int64_t k_count = kernels->config.k, empty = 0;
    const int64_t *counters = cpu->totals + cpu->layout.counters_at;
    double largest = 0;
    lloyd_dd lanes[CLUSTER_LANES] = {{0, 0}};
#pragma omp parallel for num_threads(kernels->config.threads) reduction(+ : empty) reduction(max : largest)
    for (int64_t lane = 0; lane < CLUSTER_LANES; lane++) {
        for (int64_t k = lane; k < k_count; k += CLUSTER_LANES) {
            lanes[lane] = lloyd_dd_add(lanes[lane], cluster_term(cpu, k, &largest));
            empty += lloyd_is_empty(&cpu->layout, cpu->totals, k);
        }
    }
    *found = (lloyd_found){
        .inertia = lloyd_dd_add(squares, lloyd_dd_tree(lanes, CLUSTER_LANES)).high,
        .largest = largest,
        .moved = counters[LLOYD_COUNT_MOVED],
        .fallback_rows = counters[LLOYD_COUNT_FALLBACK],
        .int8_rows = counters[LLOYD_COUNT_INT8],
        .int8_fallback_rows = counters[LLOYD_COUNT_INT8_FALLBACK],
        .int8_candidates = counters[LLOYD_COUNT_CANDIDATES],
        .pruned_rows = counters[LLOYD_COUNT_PRUNED],
        .compared = counters[LLOYD_COUNT_COMPARED],
        .left_out = counters[LLOYD_COUNT_LEFT_OUT],
        .empty = empty,
    };
    return LLOYD_OK;
}

/* Weights that are cut can take a mean out of float32's range. */
static int all_finite(const float *mean, int64_t dim)
{
    for (int64_t j = 0; j < dim; j++) {
        if (!isfinite(mean[j])) return 0;
    }
    return 1;
}

/* Unit length, in place; 0 where there is no direction to keep. */
static int normalise_centroid(float *centroid, int64_t dim)
{
    double square = lloyd_square(centroid, dim);
    if (square == 0) return 0;
    for (int64_t j = 0; j < dim; j++) centroid[j] = lloyd_normalised(centroid[j], sqrt(square));
    return 1;
}

/* Centroid k from the sums, unless it must keep the one it has. `mean`: room for one. */
static void move_centroid(cpu_kernels *cpu, int64_t k, float *mean)
{
    int64_t dim = cpu->base.config.dim, words[LLOYD_MOST_DIGITS] = {0};
    int64_t masses[LLOYD_MOST_DIGITS] = {0};
    if (lloyd_is_empty(&cpu->layout, cpu->totals, k)) return;
    lloyd_total mass = mass_total(cpu, k, masses);
    double inverse = 1 / lloyd_rough(mass);
    for (int64_t j = 0; j < dim; j++)
        mean[j] = lloyd_mean(column_total(cpu, k, j, words), mass, inverse);
    if (!all_finite(mean, dim)) return;
    if (cpu->base.config.cosine && !normalise_centroid(mean, dim)) return;
    memcpy(cpu->centroids + k * dim, mean, (size_t)dim * sizeof *mean);
}

lloyd_status lloyd_cpu_update(lloyd_kernels *kernels)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    lloyd_cpu_take_totals(cpu);
#pragma omp parallel for num_threads(kernels->config.threads)
    for (int64_t k = 0; k < kernels->config.k; k++)
        move_centroid(cpu, k, cpu->scratch[omp_get_thread_num()].row);
    LLOYD_TRY(lloyd_cpu_prepare(cpu));
    return lloyd_prune_update(&cpu->pruning, cpu->centroids, &cpu->int8);
}

lloyd_status lloyd_cpu_empty_clusters(lloyd_kernels *kernels, int64_t count, int32_t *clusters)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    lloyd_cpu_take_totals(cpu);
    int64_t found = 0;
    for (int64_t k = 0; k < kernels->config.k && found < count; k++) {
        if (lloyd_is_empty(&cpu->layout, cpu->totals, k)) clusters[found++] = (int32_t)k;
    }
    return LLOYD_OK;
}
