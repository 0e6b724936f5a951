/* Seeding: every row keeps its squared distance to the nearest centroid chosen so far, in double,
 * and that centroid's number. Masses for sampling are fixed-point integers, so that their prefix
 * sums are the same for any split of the rows. */
#include "kernels/cpu/seed.h"

#include "base/philox.h"
#include "kernels/cpu/assign.h"
#include "kernels/cpu/rows.h"
#include "kernels/dist.h"

#include <omp.h>

/* LLOYD_SEED_ROW_BYTES a row. */
static lloyd_status visit_rows(cpu_kernels *cpu, cpu_buffer_work work)
{
    cpu_buffers buffers = {.work = work};
    CPU_BUFFER(&buffers, cpu->nearest_distance, cpu->base.config.n_local, "distances to the seeds");
    CPU_BUFFER(&buffers, cpu->nearest, cpu->base.config.n_local, "nearest seeds");
    return buffers.status;
}

lloyd_status lloyd_cpu_seed_begin(lloyd_kernels *kernels)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    int64_t rows = kernels->config.n_local;
    LLOYD_TRY(visit_rows(cpu, CPU_BUFFERS_RESERVE));
    for (int64_t i = 0; i < rows; i++) cpu->nearest_distance[i] = INFINITY;
    return LLOYD_OK;
}

/* Of a row at this squared distance from its nearest seed. */
static double mass_at(const cpu_kernels *cpu, int64_t row, double distance)
{
    double weight = cpu->base.config.weights ? (double)cpu->base.config.weights[row] : 1;
    return isinf(distance) ? weight : lloyd_mul(weight, distance);
}

static double row_mass(const cpu_kernels *cpu, int64_t row)
{
    return mass_at(cpu, row, cpu->nearest_distance[row]);
}

static int64_t fixed_mass(const cpu_kernels *cpu, int64_t row, int exponent, int bits)
{
    return lloyd_fixed_mass(row_mass(cpu, row), exponent, bits);
}

/* Takes member k of the set as the row's nearest where it is nearer than all before. */
static void compare(cpu_kernels *cpu, int64_t row, const float *x, int64_t base, int64_t k)
{
    int64_t dim = cpu->base.config.dim;
    const float *centroid = cpu->centroids + k * dim;
    if (lloyd_is_farther(x, centroid, dim, cpu->nearest_distance[row])) return;
    double distance = lloyd_dist(x, centroid, dim);
    if (distance >= cpu->nearest_distance[row]) return;
    cpu->nearest_distance[row] = distance;
    cpu->nearest[row] = (int32_t)(base + k);
}

lloyd_status lloyd_cpu_seed_compare(lloyd_kernels *kernels, int slot_number, int64_t base,
                                    double *mass)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    const cpu_slot *slot = &cpu->slots[slot_number];
    int64_t counters[LLOYD_COUNTERS] = {0};
    int few = cpu->set <= LLOYD_CPU_FEW;
    double greatest = *mass;
    /* The labels are free to use until the first iteration. */
    if (!few) lloyd_cpu_nearest(cpu, slot_number, counters);
#pragma omp parallel for num_threads(kernels->config.threads) reduction(max : greatest)
    for (int64_t i = 0; i < slot->count; i++) {
        int64_t row = slot->first + i;
        const float *x = lloyd_cpu_row(cpu, slot, i, cpu->scratch[omp_get_thread_num()].row);
        for (int64_t k = 0; few && k < cpu->set; k++) compare(cpu, row, x, base, k);
        if (!few) compare(cpu, row, x, base, cpu->labels[row]);
        greatest = fmax(greatest, row_mass(cpu, row));
    }
    *mass = greatest;
    return LLOYD_OK;
}

lloyd_status lloyd_cpu_seed_total(lloyd_kernels *kernels, int exponent, int bits, int64_t *total)
{
    const cpu_kernels *cpu = lloyd_cpu(kernels);
    int64_t sum = 0;
#pragma omp parallel for num_threads(kernels->config.threads) reduction(+ : sum)
    for (int64_t row = 0; row < kernels->config.n_local; row++)
        sum += fixed_mass(cpu, row, exponent, bits);
    *total = sum;
    return LLOYD_OK;
}

lloyd_status lloyd_cpu_seed_try(lloyd_kernels *kernels, int slot_number, int exponent, int bits,
                                int64_t *totals)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    const cpu_slot *slot = &cpu->slots[slot_number];
    const int64_t dim = kernels->config.dim, set = cpu->set;
#pragma omp parallel num_threads(kernels->config.threads)
    {
        int64_t own[LLOYD_MOST_TRIALS] = {0};
#pragma omp for nowait
        for (int64_t i = 0; i < slot->count; i++) {
            int64_t row = slot->first + i;
            const float *x = lloyd_cpu_row(cpu, slot, i, cpu->scratch[omp_get_thread_num()].row);
            int64_t mass = fixed_mass(cpu, row, exponent, bits);
            for (int64_t c = 0; c < set; c++) {
                const float *centroid = cpu->centroids + c * dim;
                double nearest = cpu->nearest_distance[row], distance = nearest;
                if (!lloyd_is_farther(x, centroid, dim, nearest))
                    distance = lloyd_dist(x, centroid, dim);
                own[c] += distance < nearest
                              ? lloyd_fixed_mass(mass_at(cpu, row, distance), exponent, bits)
                              : mass;
            }
        }
#pragma omp critical
        for (int64_t c = 0; c < set; c++) totals[c] += own[c];
    }
    return LLOYD_OK;
}

lloyd_status lloyd_cpu_seed_pick(lloyd_kernels *kernels, int exponent, int bits, int64_t target,
                                 int64_t *row)
{
    const cpu_kernels *cpu = lloyd_cpu(kernels);
    int64_t sum = 0, i = 0;
    for (; i + 1 < kernels->config.n_local; i++) {
        sum += fixed_mass(cpu, i, exponent, bits);
        if (sum > target) break;
    }
    *row = i;
    return LLOYD_OK;
}

lloyd_status lloyd_cpu_seed_sample(lloyd_kernels *kernels, int exponent, int bits, int64_t total,
                                   int64_t oversampling, uint64_t seed, int round,
                                   int64_t row_offset, int64_t capacity, int64_t *rows,
                                   int64_t *count)
{
    enum { BLOCK = 4096 };
    const cpu_kernels *cpu = lloyd_cpu(kernels);
    int64_t n = kernels->config.n_local, taken = 0;
#pragma omp parallel for num_threads(kernels->config.threads) ordered schedule(static, 1)
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        int64_t here[BLOCK], found = 0, end = begin + BLOCK < n ? begin + BLOCK : n;
        for (int64_t row = begin; row < end; row++) {
            uint64_t number = (uint64_t)(row_offset + row);
            uint64_t u = lloyd_philox64(seed, LLOYD_DRAW_KMEANSPAR, number, (uint32_t)round);
            unsigned __int128 point = ((unsigned __int128)u * (uint64_t)total) >> 64;
            unsigned __int128 mass = (uint64_t)fixed_mass(cpu, row, exponent, bits);
            if (point < mass * (uint64_t)oversampling) here[found++] = row;
        }
#pragma omp ordered
        for (int64_t i = 0; i < found && taken < capacity; i++) rows[taken++] = here[i];
    }
    *count = taken;
    return LLOYD_OK;
}

lloyd_status lloyd_cpu_seed_masses(lloyd_kernels *kernels, int64_t *masses)
{
    const cpu_kernels *cpu = lloyd_cpu(kernels);
    const float *weights = kernels->config.weights;
    for (int64_t row = 0; row < kernels->config.n_local; row++)
        masses[cpu->nearest[row]] +=
            weights ? lloyd_weight_digit(weights[row], cpu->mass_scale) : 1;
    return LLOYD_OK;
}

lloyd_status lloyd_cpu_seed_end(lloyd_kernels *kernels)
{
    return visit_rows(lloyd_cpu(kernels), CPU_BUFFERS_RELEASE);
}
