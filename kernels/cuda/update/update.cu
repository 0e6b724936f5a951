/* Which way the rows of a slot are summed: sorted by label, or in shared memory. */
#include "kernels/cuda/update/update.h"

#include "kernels/cuda/assign/assign.h"
#include "kernels/cuda/clock.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/update/means.h"
#include "kernels/cuda/update/shared.h"
#include "kernels/cuda/update/sort.h"
#include "kernels/cuda/update/sorted.h"

namespace
{

using arithmetic = cuda_arithmetic;

/* Whether the scales of all columns are float32 numbers. */
bool scales_are_floats(const lloyd_grid *grid, int64_t dim)
{
    for (int64_t j = 0; j < dim; j++) {
        int p = grid->bits - grid->top[j];
        if (grid->wide_number[j] < 0 && (p < -126 || p > 127)) return false;
    }
    return true;
}

} // namespace

cuda_arithmetic lloyd_cuda_arithmetic(const cuda_kernels *cuda)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    if (cuda->weights || config->cosine) return arithmetic::DEFINITION;
    if (config->type == LLOYD_U8 || config->type == LLOYD_I8) return arithmetic::INTEGER;
    if (!scales_are_floats(cuda->grid, config->dim)) return arithmetic::DEFINITION;
    return cuda->grid->most_digits == 1 ? arithmetic::FLOAT : arithmetic::PAIR;
}

void lloyd_cuda_summands(const cuda_kernels *cuda, int slot, int64_t at, cuda_summands *s)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    const lloyd_sum_layout *l = &cuda->layout;
    const cuda_rows rows = lloyd_cuda_slot_rows(cuda, slot);
    s->row_bytes = (uint32_t)(config->dim * (int64_t)lloyd_type_size(config->type));
    s->data = rows.data + at * (int64_t)s->row_bytes;
    s->lengths = rows.lengths ? rows.lengths + at : nullptr;
    s->weights = rows.weights ? rows.weights + at : nullptr;
    s->dim = (int)config->dim;
    s->bits = l->bits;
    s->seconds = (int)l->seconds;
    s->clusters = (int)config->k;
    s->scale = cuda->digit_scale;
    s->second = cuda->second;
    s->mass_scale = l->weight_digits > 2 ? 0 : cuda->mass_scale; /* else they are summed apart */
    s->second_mass = l->weight_digits == 2;
    s->sums = cuda->sums;
    s->second_sums = cuda->sums + l->seconds_at;
    s->masses = cuda->sums + l->masses_at;
}

lloyd_status lloyd_cuda_accumulate(lloyd_kernels *kernels, int slot)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t count = cuda->slots[slot].count;
    if (count == 0) return LLOYD_OK;
    lloyd_cuda_means_stale(cuda);
    bool wide = cuda->layout.wide > 0 || cuda->layout.weight_digits > 2;
    if (!wide && !cuda->overrides.sorted_sums &&
        lloyd_cuda_shares_sums(&kernels->config, lloyd_cuda_arithmetic(cuda),
                               lloyd_cuda_shared_bytes(cuda))) {
        LLOYD_TRY(lloyd_cuda_add_shared(cuda, slot));
        return lloyd_cuda_mark(cuda, LLOYD_WORK_UPDATE);
    }
    int64_t capacity = lloyd_cuda_sorted_rows(&kernels->config);
    for (int64_t at = 0; at < count; at += capacity)
        LLOYD_TRY(
            lloyd_cuda_add_sorted(cuda, slot, at, count - at < capacity ? count - at : capacity));
    return lloyd_cuda_mark(cuda, LLOYD_WORK_UPDATE);
}
