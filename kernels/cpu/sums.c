/* Sums per cluster in fixed point, and what follows from them: inertia and centroids (sections 3 to
 * 5 of the contract).
 *
 * Sort-inverse update: the rows of a slot are sorted by label (a counting sort), then every thread
 * walks through pieces of the sorted order and sums each run of equal labels apart, in registers
 * and cache; only a run that may continue in a neighbouring piece is added atomically. No sums per
 * thread, so memory does not grow with threads x K x D. Integers make any order the same.
 */
#include "kernels/cpu/cpu.h"

#include <omp.h>

enum {
    PIECE = 2048, /* rows a thread takes at a time */
    AHEAD = 16    /* rows between asking for one and using it */
};

/* Terms of the sum over clusters are interleaved over this many partial sums. */
enum { CLUSTER_LANES = 1024 };

lloyd_status lloyd_cpu_set_grid(lloyd_kernels *kernels, const lloyd_grid *grid)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    cpu->grid = grid;
    for (int64_t j = 0; j < kernels->config.dim; j++) {
        cpu->to_fixed[j] = lloyd_exp2(grid->bits - grid->weighted_exponent[j]);
        cpu->from_fixed[j] = lloyd_exp2(grid->weighted_exponent[j] - grid->bits);
    }
    return LLOYD_OK;
}

/* What a row adds to its cluster's count: 1, or its weight in fixed point. */
int64_t lloyd_cpu_mass(const cpu_kernels *cpu, int64_t row)
{
    const float *weights = cpu->base.config.weights;
    if (!weights) return 1;
    return lloyd_fixed(weights[row], lloyd_exp2(cpu->grid->bits - cpu->grid->weight_exponent));
}

/* --- squares --- */

LLOYD_CLONES static void add_squares(const float *row, const float *shift, const double *scale,
                                     int64_t dim, uint64_t *low, uint64_t *high)
{
    for (int64_t j = 0; j < dim; j++) {
        int64_t q = lloyd_fixed(lloyd_centred(row[j], shift[j]), scale[j]);
        uint64_t square = (uint64_t)(q * q);
        low[j] += square & 0xffffffff;
        high[j] += square >> 32;
    }
}

/* With weights the square is w y * y: the weighted element times the plain one, each on its own
 * grid. */
static void add_weighted_squares(const cpu_kernels *cpu, const float *row, float weight,
                                 uint64_t *low, uint64_t *high)
{
    for (int64_t j = 0; j < cpu->base.config.dim; j++) {
        float y = lloyd_centred(row[j], cpu->grid->shift[j]);
        int64_t weighted = lloyd_fixed_weighted(y, weight, cpu->to_fixed[j]);
        int64_t plain = lloyd_fixed(y, lloyd_exp2(cpu->grid->bits - cpu->grid->exponent[j]));
        uint64_t square = (uint64_t)(weighted * plain);
        low[j] += square & 0xffffffff;
        high[j] += square >> 32;
    }
}

lloyd_status lloyd_cpu_squares(lloyd_kernels *kernels, int slot_number, int64_t *limbs)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    const cpu_slot *slot = &cpu->slots[slot_number];
    const float *weights = kernels->config.weights;
    int64_t dim = kernels->config.dim;
#pragma omp parallel num_threads(kernels->config.threads)
    {
        cpu_scratch *scratch = &cpu->scratch[omp_get_thread_num()];
        uint64_t *low = scratch->limbs, *high = scratch->limbs + dim;
        memset(low, 0, 2 * (size_t)dim * sizeof *low);
#pragma omp for
        for (int64_t i = 0; i < slot->count; i++) {
            const float *row = lloyd_cpu_row(cpu, slot, i, scratch->row);
            if (weights)
                add_weighted_squares(cpu, row, weights[slot->first + i], low, high);
            else
                add_squares(row, cpu->grid->shift, cpu->to_fixed, dim, low, high);
        }
#pragma omp critical(lloyd_cpu_squares)
        for (int64_t j = 0; j < dim; j++) {
            uint64_t middle = high[j] + (low[j] >> 32);
            limbs[3 * j] += (int64_t)(low[j] & 0xffffffff);
            limbs[3 * j + 1] += (int64_t)(middle & 0xffffffff);
            limbs[3 * j + 2] += (int64_t)(middle >> 32);
        }
    }
    return LLOYD_OK;
}

/* --- sums --- */

lloyd_status lloyd_cpu_begin(lloyd_kernels *kernels)
{
    int64_t words = kernels->config.k * (kernels->config.dim + 1) + 2;
    memset(lloyd_cpu(kernels)->sums, 0, (size_t)words * sizeof(int64_t));
    return LLOYD_OK;
}

/* order = the slot's rows sorted by label, stable. Each thread counts and places its own range of
 * rows. */
static void sort_by_label(cpu_kernels *cpu, const cpu_slot *slot)
{
    const int32_t *labels = cpu->labels + slot->first;
    int64_t k_count = cpu->base.config.k, total = 0;
#pragma omp parallel num_threads(cpu->base.config.threads)
    {
        int64_t team = omp_get_num_threads(); /* OpenMP may give fewer threads than asked for */
        int64_t *count = cpu->histogram + omp_get_thread_num() * k_count;
        memset(count, 0, (size_t)k_count * sizeof *count);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < slot->count; i++) count[labels[i]]++;
#pragma omp single
        for (int64_t k = 0; k < k_count; k++) {
            for (int64_t t = 0; t < team; t++) {
                int64_t here = cpu->histogram[t * k_count + k];
                cpu->histogram[t * k_count + k] = total;
                total += here;
            }
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < slot->count; i++) cpu->order[count[labels[i]]++] = (uint32_t)i;
    }
}

LLOYD_CLONES static void add_row(const float *row, const float *shift, const double *scale,
                                 int64_t dim, int64_t *sum)
{
    for (int64_t j = 0; j < dim; j++)
        sum[j] += lloyd_fixed(lloyd_centred(row[j], shift[j]), scale[j]);
}

LLOYD_CLONES static void add_weighted_row(const float *row, float weight, const float *shift,
                                          const double *scale, int64_t dim, int64_t *sum)
{
    for (int64_t j = 0; j < dim; j++) {
        sum[j] += lloyd_fixed_weighted(lloyd_centred(row[j], shift[j]), weight, scale[j]);
    }
}

/* The sorted order jumps through memory: asks for the first bytes of a row that is a few rows
 * ahead; the processor goes on from there. */
static void prefetch_row(const cpu_kernels *cpu, const cpu_slot *slot, int64_t i)
{
    enum { LINE = 64, MOST = 8 * LINE };
    int64_t bytes = cpu->base.config.dim * (int64_t)lloyd_type_size(cpu->base.config.type);
    const char *row = slot->rows + i * bytes;
    for (int64_t at = 0; at < bytes && at < MOST; at += LINE) __builtin_prefetch(row + at);
}

/* Adds positions [begin, end) of the order, all of cluster k. `shared`: another thread may be
 * adding to that cluster. */
static void add_run(cpu_kernels *cpu, const cpu_slot *slot, cpu_scratch *scratch, int32_t k,
                    int64_t begin, int64_t end, int shared)
{
    const float *weights = cpu->base.config.weights;
    int64_t dim = cpu->base.config.dim, mass = 0;
    int64_t *sum = shared ? scratch->sum : cpu->sums + k * dim;
    if (shared) memset(sum, 0, (size_t)dim * sizeof *sum);
    for (int64_t at = begin; at < end; at++) {
        int64_t i = cpu->order[at];
        if (at + AHEAD < slot->count) prefetch_row(cpu, slot, cpu->order[at + AHEAD]);
        const float *row = lloyd_cpu_row(cpu, slot, i, scratch->row);
        if (weights)
            add_weighted_row(row, weights[slot->first + i], cpu->grid->shift, cpu->to_fixed, dim,
                             sum);
        else
            add_row(row, cpu->grid->shift, cpu->to_fixed, dim, sum);
        mass += lloyd_cpu_mass(cpu, slot->first + i);
    }
    int64_t *total_mass = cpu->sums + cpu->base.config.k * dim + k;
    if (!shared) {
        *total_mass += mass;
        return;
    }
    int64_t *total = cpu->sums + k * dim;
    for (int64_t j = 0; j < dim; j++) {
#pragma omp atomic
        total[j] += sum[j];
    }
#pragma omp atomic
    *total_mass += mass;
}

lloyd_status lloyd_cpu_accumulate(lloyd_kernels *kernels, int slot_number)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    const cpu_slot *slot = &cpu->slots[slot_number];
    const int32_t *labels = cpu->labels + slot->first;
    sort_by_label(cpu, slot);
#pragma omp parallel for num_threads(kernels->config.threads) schedule(dynamic)
    for (int64_t piece = 0; piece < slot->count; piece += PIECE) {
        int64_t piece_end = piece + PIECE < slot->count ? piece + PIECE : slot->count;
        for (int64_t begin = piece, end; begin < piece_end; begin = end) {
            int32_t k = labels[cpu->order[begin]];
            for (end = begin + 1; end < piece_end && labels[cpu->order[end]] == k;) end++;
            add_run(cpu, slot, &cpu->scratch[omp_get_thread_num()], k, begin, end,
                    begin == piece || end == piece_end);
        }
    }
    return LLOYD_OK;
}

/* --- what follows from the sums --- */

lloyd_status lloyd_cpu_inertia(lloyd_kernels *kernels, double squares, double *value,
                               int64_t *moved, int64_t *verified, int64_t *empty)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    int64_t dim = kernels->config.dim, k_count = kernels->config.k, empty_count = 0;
    const int64_t *masses = cpu->sums + k_count * dim;
    double unit =
        kernels->config.weights ? lloyd_exp2(cpu->grid->weight_exponent - cpu->grid->bits) : 1;
    double lanes[CLUSTER_LANES] = {0};
#pragma omp parallel for num_threads(kernels->config.threads) reduction(+ : empty_count)
    for (int64_t lane = 0; lane < CLUSTER_LANES; lane++) {
        for (int64_t k = lane; k < k_count; k += CLUSTER_LANES) {
            double p[LLOYD_LANES] = {0}, mass = lloyd_mul((double)masses[k], unit);
            for (int64_t j = 0; j < dim; j++) {
                double sum = lloyd_mul((double)cpu->sums[k * dim + j], cpu->from_fixed[j]);
                double term =
                    lloyd_inertia_term(cpu->centroids[k * dim + j], cpu->grid->shift[j], mass, sum);
                p[j % LLOYD_LANES] = lloyd_add(p[j % LLOYD_LANES], term);
            }
            lanes[lane] = lloyd_add(lanes[lane], lloyd_tree(p, LLOYD_LANES));
            empty_count += masses[k] == 0;
        }
    }
    *value = lloyd_add(squares, lloyd_tree(lanes, CLUSTER_LANES));
    *moved = masses[k_count];
    *verified = masses[k_count + 1];
    *empty = empty_count;
    return LLOYD_OK;
}

/* Rows of hardly any weight can sum to a mean that is out of float32's range. */
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
    double square = lloyd_cpu_square(centroid, dim);
    if (square == 0) return 0;
    for (int64_t j = 0; j < dim; j++) centroid[j] = lloyd_normalised(centroid[j], sqrt(square));
    return 1;
}

lloyd_status lloyd_cpu_update(lloyd_kernels *kernels)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    int64_t dim = kernels->config.dim, k_count = kernels->config.k;
    const int64_t *masses = cpu->sums + k_count * dim;
    const lloyd_grid *grid = cpu->grid;
#pragma omp parallel num_threads(kernels->config.threads)
    {
        float *mean = cpu->scratch[omp_get_thread_num()].row;
#pragma omp for
        for (int64_t k = 0; k < k_count; k++) {
            if (masses[k] == 0) continue;
            for (int64_t j = 0; j < dim; j++) {
                /* sum * 2^(e - b) over mass * 2^(ew - b) */
                double unit = kernels->config.weights
                                  ? lloyd_exp2(grid->weighted_exponent[j] - grid->weight_exponent)
                                  : cpu->from_fixed[j];
                mean[j] = lloyd_mean(cpu->sums[k * dim + j], masses[k], unit, grid->shift[j]);
            }
            if (kernels->config.cosine && !normalise_centroid(mean, dim)) continue;
            if (!all_finite(mean, dim)) continue;
            memcpy(cpu->centroids + k * dim, mean, (size_t)dim * sizeof *mean);
        }
    }
    return lloyd_cpu_prepare(cpu);
}

lloyd_status lloyd_cpu_empty_clusters(lloyd_kernels *kernels, int64_t count, int32_t *clusters)
{
    const int64_t *masses = lloyd_cpu(kernels)->sums + kernels->config.k * kernels->config.dim;
    int64_t found = 0;
    for (int64_t k = 0; k < kernels->config.k && found < count; k++) {
        if (masses[k] == 0) clusters[found++] = (int32_t)k;
    }
    return LLOYD_OK;
}

lloyd_status lloyd_cpu_relocate(lloyd_kernels *kernels, int32_t from, int32_t to, const int64_t *q,
                                int64_t mass)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    int64_t dim = kernels->config.dim;
    int64_t *masses = cpu->sums + kernels->config.k * dim;
    for (int64_t j = 0; j < dim; j++) {
        cpu->sums[from * dim + j] -= q[j];
        cpu->sums[to * dim + j] = q[j]; /* what rows of mass 0 have left there goes */
    }
    masses[from] -= mass;
    masses[to] = mass;
    return LLOYD_OK;
}
