/* Stored rows to float32, and the first pass: minima, maxima, and the first row that cannot be
 * clustered. A row is converted where it is used, every time: the data stays in its stored type, a
 * quarter of the bytes for uint8. */
#include "kernels/cpu/rows.h"

#include "kernels/clones.h"
#include "kernels/convert.h"
#include "kernels/dist.h"

#include <omp.h>

LLOYD_CLONES static void normalise(const float *in, int64_t n, double length, float *out)
{
    for (int64_t j = 0; j < n; j++) out[j] = lloyd_normalised(in[j], length);
}

/* The row as stored, in float32: a pointer into the slot where it is that already, else `buffer`.
 */
static const float *stored_row(const cpu_kernels *cpu, const cpu_slot *slot, int64_t i,
                               float *buffer)
{
    int64_t dim = cpu->base.config.dim;
    const void *row = slot->rows + i * dim * (int64_t)lloyd_type_size(cpu->base.config.type);
    if (cpu->base.config.type == LLOYD_F32) return row;
    lloyd_to_float(cpu->base.config.type, row, dim, buffer);
    return buffer;
}

const float *lloyd_cpu_row(const cpu_kernels *cpu, const cpu_slot *slot, int64_t i, float *buffer)
{
    const float *row = stored_row(cpu, slot, i, buffer);
    if (!cpu->base.config.cosine) return row;
    int64_t dim = cpu->base.config.dim;
    normalise(row, dim, sqrt(lloyd_square(row, dim)), buffer);
    return buffer;
}

/* Widens min, max and the lowest bit; 0 if an element is not finite. */
LLOYD_CLONES static int widen(const float *row, int64_t n, float *min, float *max, int32_t *low)
{
    uint32_t greatest = 0;
    for (int64_t j = 0; j < n; j++) {
        uint32_t bits;
        memcpy(&bits, &row[j], sizeof bits);
        bits &= 0x7fffffff;
        /* The lowest bit set of the significand as a float32, an exact power of two, has its position
         * in its exponent. */
        uint32_t normal = bits >= 0x00800000, significand = (bits & 0x007fffff) | normal << 23;
        float lowest = (float)(int32_t)(significand & -significand);
        uint32_t exponent;
        memcpy(&exponent, &lowest, sizeof exponent);
        int32_t at =
            (int32_t)(exponent >> 23) - 127 + (int32_t)(bits >> 23) - 149 - (int32_t)normal;
        at = bits == 0 ? LLOYD_NO_BITS : at;
        low[j] = at < low[j] ? at : low[j];
        greatest = bits > greatest ? bits : greatest;
        min[j] = row[j] < min[j] ? row[j] : min[j];
        max[j] = row[j] > max[j] ? row[j] : max[j];
    }
    return greatest < 0x7f800000;
}

static lloyd_defect check_row(const cpu_kernels *cpu, const cpu_slot *slot, int64_t i,
                              float *buffer, float *min, float *max, int32_t *low)
{
    int64_t dim = cpu->base.config.dim;
    const float *row = stored_row(cpu, slot, i, buffer);
    if (!cpu->base.config.cosine)
        return widen(row, dim, min, max, low) ? LLOYD_SOUND : LLOYD_NOT_FINITE;
    double square = lloyd_square(row, dim);
    if (square == 0) return LLOYD_ZERO_ROW;
    if (!isfinite(square))
        return LLOYD_NOT_FINITE; /* float32 squares cannot overflow a double sum */
    normalise(row, dim, sqrt(square), buffer);
    (void)widen(buffer, dim, min, max, low);
    return LLOYD_SOUND;
}

lloyd_status lloyd_cpu_measure(lloyd_kernels *kernels, int slot_number, lloyd_range *range)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    const cpu_slot *slot = &cpu->slots[slot_number];
    int64_t dim = kernels->config.dim, bad_row = INT64_MAX;
    lloyd_defect defect = LLOYD_SOUND;
    lloyd_type type = kernels->config.type;
    int whole = (type == LLOYD_U8 || type == LLOYD_I8) && !kernels->config.cosine;
#pragma omp parallel num_threads(kernels->config.threads)
    {
        cpu_scratch *scratch = &cpu->scratch[omp_get_thread_num()];
        float *min = scratch->points, *max = scratch->points + dim;
        int32_t *low = (int32_t *)scratch->sum; /* room of 2 D words that is free now */
        for (int64_t j = 0; j < dim; j++) low[j] = LLOYD_NO_BITS;
        memcpy(min, range->min, (size_t)dim * sizeof *min);
        memcpy(max, range->max, (size_t)dim * sizeof *max);
#pragma omp barrier
#pragma omp for
        for (int64_t i = 0; i < slot->count; i++) {
            lloyd_defect found = check_row(cpu, slot, i, scratch->row, min, max, low);
            if (found == LLOYD_SOUND) continue;
#pragma omp critical(lloyd_cpu_defect)
            if (slot->first + i < bad_row) {
                bad_row = slot->first + i;
                defect = found;
            }
        }
#pragma omp critical(lloyd_cpu_range)
        for (int64_t j = 0; j < dim; j++) {
            range->min[j] = min[j] < range->min[j] ? min[j] : range->min[j];
            range->max[j] = max[j] > range->max[j] ? max[j] : range->max[j];
            if (whole) low[j] = 0;
            range->low[j] = low[j] < range->low[j] ? low[j] : range->low[j];
        }
    }
    if (range->bad_row < 0 && bad_row != INT64_MAX) {
        range->bad_row = bad_row;
        range->defect = defect;
    }
    return LLOYD_OK;
}

/* Widens the range of w x, and of its product with x. */
static void widen_products(const float *row, double weight, int64_t n, double *greatest,
                           double *square, int *low)
{
    for (int64_t j = 0; j < n; j++) {
        double product = lloyd_mul(weight, (double)row[j]);
        if (product == 0) continue;
        int at = lloyd_lowest(product);
        greatest[j] = fmax(greatest[j], fabs(product));
        square[j] = fmax(square[j], lloyd_mul(product, (double)row[j]));
        low[j] = at < low[j] ? at : low[j];
    }
}

lloyd_status lloyd_cpu_measure_weighted(lloyd_kernels *kernels, int slot_number,
                                        lloyd_product_range *range)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    const cpu_slot *slot = &cpu->slots[slot_number];
    int64_t dim = kernels->config.dim;
#pragma omp parallel num_threads(kernels->config.threads)
    {
        cpu_scratch *scratch = &cpu->scratch[omp_get_thread_num()];
        double *greatest = (double *)scratch->limbs, *square = greatest + dim; /* free now */
        int *low = (int *)(square + dim);
        memset(greatest, 0, 2 * (size_t)dim * sizeof *greatest);
        for (int64_t j = 0; j < dim; j++) low[j] = LLOYD_NO_BITS;
#pragma omp for
        for (int64_t i = 0; i < slot->count; i++) {
            const float *row = lloyd_cpu_row(cpu, slot, i, scratch->row);
            widen_products(row, (double)kernels->config.weights[slot->first + i], dim, greatest,
                           square, low);
        }
#pragma omp critical(lloyd_cpu_range)
        for (int64_t j = 0; j < dim; j++) {
            range->greatest[j] = fmax(range->greatest[j], greatest[j]);
            range->square[j] = fmax(range->square[j], square[j]);
            range->low[j] = low[j] < range->low[j] ? low[j] : range->low[j];
        }
    }
    return LLOYD_OK;
}

lloyd_status lloyd_cpu_rows(lloyd_kernels *kernels, int slot_number, const int64_t *rows,
                            int64_t count, float *out)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    const cpu_slot *slot = &cpu->slots[slot_number];
    int64_t dim = kernels->config.dim;
#pragma omp parallel for num_threads(kernels->config.threads) if (count > 256)
    for (int64_t i = 0; i < count; i++) {
        const float *row =
            lloyd_cpu_row(cpu, slot, rows[i] - slot->first, cpu->scratch[omp_get_thread_num()].row);
        memcpy(out + i * dim, row, (size_t)dim * sizeof *row);
    }
    return LLOYD_OK;
}
