/* Which way the rows of a slot are summed: all of them, sorted by label or in shared memory, or those that
 * have moved.
 *
 * The sums of a rank's rows are kept from iteration to iteration, and with them the cluster in whose sums each
 * row is. An iteration either begins with sums of nothing and adds all rows, or continues with those that are
 * there, and moves the digits of rows whose label is another one. Both give the same bits: docs/numerics.md, section 3.
 */
#include "kernels/cuda/update/update.h"

#include "kernels/cuda/assign/assign.h"
#include "kernels/cuda/clock.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/update/means.h"
#include "kernels/cuda/update/moved.h"
#include "kernels/cuda/update/shared.h"
#include "kernels/cuda/update/sort.h"
#include "kernels/cuda/update/sorted.h"

#include <algorithm>

namespace
{

using arithmetic = cuda_arithmetic;

/* For short copies within the GPU, which take the driver longer than a launch does: words of V. */
enum { COPY_THREADS = 256, COPY_WAVES = 8 };

template <class V>
__global__ void __launch_bounds__(COPY_THREADS) copy(V *to, const V *from, int64_t count)
{
    cuda_await();
    for (int64_t i = (int64_t)blockIdx.x * COPY_THREADS + threadIdx.x; i < count;
         i += (int64_t)gridDim.x * COPY_THREADS)
        to[i] = from[i];
}

template <class V>
lloyd_status launch_copy(const cuda_kernels *cuda, void *to, const void *from, int64_t bytes,
                         const char *what)
{
    const int64_t count = bytes / (int64_t)sizeof(V), most = COPY_WAVES * cuda->gpu.multiprocessors;
    const int64_t blocks = std::min(cuda_divide_up(count, COPY_THREADS), most);
    return cuda_launch_after(cuda->stream, cuda->gpu.capability, copy<V>, blocks, COPY_THREADS, 0,
                             what, static_cast<V *>(to), static_cast<const V *>(from), count);
}

/* Bytes are a multiple of four, as are both places; > 0. */
lloyd_status copy_within(const cuda_kernels *cuda, void *to, const void *from, int64_t bytes,
                         const char *what)
{
    const uintptr_t all = (uintptr_t)to | (uintptr_t)from | (uintptr_t)bytes;
    return all % sizeof(uint4) == 0 ? launch_copy<uint4>(cuda, to, from, bytes, what)
                                    : launch_copy<uint32_t>(cuda, to, from, bytes, what);
}

/* What a row that moves costs, in rows that are summed with all others, is at least
 *     MOVE          two atomic additions of 8 bytes for each digit, and a read on its own. Additions of neighbouring lanes to
 *                   one row of the sums come at some 4 10^11 a second, all rows at 3.3 TB/s of their elements,
 * and where clusters are few
 *     MEET / K D    additions to the same word, which wait for each other. */
constexpr double MOVE = 16, MEET = 8192;

/* Whether the sums are continued: all rows are in them, and looking at those that move costs less than summing all. */
bool continues(const cuda_kernels *cuda)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    if (!cuda->grid || cuda->summed_rows != config->n_local) return false;
    const double sums = (double)config->k * (double)config->dim;
    return cuda->overrides.moved_sums ||
           (double)cuda->moved * (MOVE + MEET / sums) <= (double)config->n_local;
}

/* Adds all rows of a slot. */
lloyd_status add_all(cuda_kernels *cuda, int slot)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    const int64_t count = cuda->slots[slot].count, capacity = lloyd_cuda_sorted_rows(config);
    const bool wide = cuda->layout.wide > 0 || cuda->layout.weight_digits > 2;
    if (!wide && !cuda->overrides.sorted_sums &&
        lloyd_cuda_shares_sums(config, lloyd_cuda_arithmetic(cuda), lloyd_cuda_shared_bytes(cuda)))
        return lloyd_cuda_add_shared(cuda, slot);
    for (int64_t at = 0; at < count; at += capacity)
        LLOYD_TRY(
            lloyd_cuda_add_sorted(cuda, slot, at, count - at < capacity ? count - at : capacity));
    return LLOYD_OK;
}

/* Notes in whose sums the rows of a slot are now. */
lloyd_status note_clusters(cuda_kernels *cuda, int slot)
{
    const int64_t first = cuda->slots[slot].first, count = cuda->slots[slot].count;
    cuda->summed_rows += count;
    return copy_within(cuda, cuda->summed + first, cuda->labels + first,
                       count * (int64_t)sizeof(int32_t), "noting the clusters of the summed rows");
}

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

lloyd_status lloyd_cuda_begin(lloyd_kernels *kernels)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    cuda->sums_continued = continues(cuda);
    cuda->sums_zero = !cuda->sums_continued;
    cuda->totals_stale = true;
    if (!cuda->sums_continued) cuda->summed_rows = 0;
    const int64_t kept = cuda->sums_continued ? cuda->layout.counters_at : 0;
    if (!cuda->sums_continued || !cuda->counters_zero)
        CUDA_TRY(cudaMemsetAsync(cuda->sums + kept, 0,
                                 (size_t)(cuda->layout.words - kept) * sizeof(int64_t),
                                 cuda->stream),
                 "setting the sums to zero");
    cuda->counters_zero = false;
    lloyd_cuda_means_stale(cuda);
    return lloyd_cuda_mark(cuda, CUDA_UNTIMED);
}

lloyd_status lloyd_cuda_accumulate(lloyd_kernels *kernels, int slot)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    if (cuda->slots[slot].count == 0) return LLOYD_OK;
    lloyd_cuda_means_stale(cuda);
    cuda->totals_stale = true;
    if (cuda->sums_continued) {
        LLOYD_TRY(lloyd_cuda_add_moved(cuda, slot));
    } else {
        LLOYD_TRY(add_all(cuda, slot));
        LLOYD_TRY(note_clusters(cuda, slot));
    }
    return lloyd_cuda_mark(cuda, LLOYD_WORK_UPDATE);
}

lloyd_status lloyd_cuda_take_totals(cuda_kernels *cuda)
{
    if (!cuda->totals_stale) return LLOYD_OK;
    cuda->totals_stale = false;
    return copy_within(cuda, cuda->totals, cuda->sums,
                       cuda->layout.words * (int64_t)sizeof(int64_t), "copying the sums");
}

lloyd_status lloyd_cuda_sums(lloyd_kernels *kernels, lloyd_buffer *sums)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    LLOYD_TRY(lloyd_cuda_take_totals(cuda));
    *sums = {cuda->totals, LLOYD_CUDA, cuda->stream};
    return lloyd_cuda_mark(cuda, LLOYD_WORK_UPDATE);
}
