/* Assignment on the GPU: filter, certificate, fallback pass (docs/numerics.md, section 2.5).
 *
 * The fused kernels label the rows whose label is proven and list the others;
 * the same kernel then finds, for the listed rows only, every centroid within the bound; dist()
 * decides among those (exact.cu). Nothing returns to the host in between. What the filter needs to know about
 * rows (their norms) is computed once per load, about centroids (operands and bounds) once per
 * iteration: prepare.cu.
 */
#include "kernels/cuda/assign/assign.h"

#include "kernels/cuda/assign/exact.h"
#include "kernels/cuda/assign/filter.h"
#include "kernels/cuda/assign/prepare.h"
#include "kernels/cuda/clock.h"
#include "kernels/cuda/groups.h"
#include "kernels/cuda/int8/choice.h"
#include "kernels/cuda/int8/decide.h"
#include "kernels/cuda/int8/open.h"
#include "kernels/cuda/prune/choice.h"
#include "kernels/cuda/prune/grouping.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/slots.h"
#include "kernels/cuda/update/means.h"

#include <algorithm>

namespace
{

static_assert(LLOYD_GROUPED_ROWS <= FLASH_BLOCK_ROWS, "rows of groups are one block");

constexpr double DIRECT_WORK = 1 << 24; /* elements to compare, at most, without a fallback pass */

int64_t block_rows(const lloyd_kernels_config *config)
{
    int64_t most = std::min(config->n_local, config->chunk_rows);
    return std::max<int64_t>(1, std::min<int64_t>(FLASH_BLOCK_ROWS, most));
}

/* What rows need, and all sets. groups: of rows, one or more. */
void list_row_buffers(cuda_buffers &buffer, cuda_filter *f, const lloyd_kernels_config *config,
                      int64_t groups)
{
    const int64_t block = block_rows(config),
                  places = cuda_divide_up(config->dim, FLASH_STEP) * FLASH_STEP;
    const char *lists = "the filter's lists";
    buffer(f->origin, groups * config->dim, "the filter's origin");
    buffer(f->units, groups, "the filter's units");
    buffer(f->offset, groups * 2 * places,
           "the filter's origin"); /* tiles have up to twice the k-steps */
    buffer(f->norms, config->n_local, "norms of rows");
    buffer(f->counters, 2 * FLASH_COUNTERS, lists);
    buffer(f->listed, block, lists);
    buffer(f->threshold, block, lists);
    buffer(f->found, block, lists);
    buffer(f->candidate, block * FLASH_CANDIDATES, lists);
    buffer(f->undecided, block, lists);
}

/* What the kernel of `c` needs for a set that has so many places in the image. */
void list_set_buffers(cuda_buffers &buffer, cuda_filter *f, const cuda_gpu &gpu,
                      const cuda_assign_config &c, int64_t padded)
{
    const bool filter = c.kernel != nullptr, scratch = filter && c.kernel->scratch_bytes;
    const char *sorted = "the sorted centroids";
    cuda_pruning *p = &f->pruning;
    buffer.optional(filter, f->image, padded * (c.steps + 1) * FLASH_STEP * 2,
                    "operands of the centroids");
    buffer.optional(filter, f->bound, padded, "bounds of centroids");
    buffer.optional(scratch, f->scratch, scratch ? c.kernel->scratch_bytes(gpu, c) : 0,
                    "operands of rows");
    buffer.optional(c.prune, p->length, padded, sorted);
    buffer.optional(c.prune, p->sorted_length, padded, sorted);
    buffer.optional(c.prune, p->number, padded, sorted);
    buffer.optional(c.prune, p->order, padded, sorted);
    buffer.optional(c.prune, p->bias, padded, sorted);
    buffer.optional(c.prune, p->most, c.prune ? padded / c.width : 0, sorted);
    buffer.optional(c.prune, p->sorter, c.prune ? lloyd_cuda_length_sorter_bytes(padded) : 0,
                    sorted);
}

lloyd_status alloc_filter(cuda_kernels *cuda)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    cuda_filter *f;
    LLOYD_TRY(lloyd_alloc(&f, 1, sizeof *f, "the filter"));
    cuda->filter = f;
    f->capacity = (int)block_rows(config);
    const int64_t chunks =
        cuda_divide_up(config->n_local, std::max<int64_t>(1, config->chunk_rows));
    LLOYD_TRY(lloyd_alloc(&f->described, chunks, sizeof *f->described, "norms of rows"));
    LLOYD_TRY(lloyd_alloc(&f->int8.described, chunks, sizeof *f->int8.described, "codes of rows"));
    cuda_buffers reserve = cuda_buffers::reserve(cuda);
    list_row_buffers(reserve, f, config, lloyd_cuda_group_count(cuda));
    LLOYD_TRY(reserve.status());
    return lloyd_cuda_check(cudaMemsetAsync(f->counters, 0, 2 * FLASH_COUNTERS * sizeof(int),
                                            cuda->stream),
                            "the filter's lists");
}

flash_lists lists_of(const cuda_filter *f)
{
    return {f->counters,  f->listed,    f->threshold, f->found,
            f->candidate, f->undecided, f->capacity};
}

/* Everything the fused kernels need, as far as it is not there yet. */
lloyd_status get_ready(cuda_kernels *cuda, int slot_number, const cuda_rows &rows)
{
    cuda_filter *f = cuda->filter;
    cuda_slot *slot = &cuda->slots[slot_number];
    if (!f->ready) LLOYD_TRY(lloyd_cuda_choose_units(cuda, rows));
    if (f->prepared != cuda->centroids) {
        LLOYD_TRY(lloyd_cuda_filter_offsets(cuda));
        LLOYD_TRY(lloyd_cuda_prepare_image(cuda, cuda->centroids, {}));
    }
    if (!slot->described) {
        LLOYD_TRY(lloyd_cuda_describe_slot(cuda, *slot, rows));
        slot->described = true;
    }
    return LLOYD_OK;
}

/* Events around the filter and what follows it, for benchmarks. */
struct stopwatch {
    cudaEvent_t mark[3];
    float ms[2];
};

lloyd_status mark(cuda_kernels *cuda, stopwatch *watch, int which)
{
    if (!watch) return LLOYD_OK;
    CUDA_TRY(cudaEventRecord(watch->mark[which], cuda->stream), "timing the assignment");
    if (which < 2) return LLOYD_OK;
    CUDA_TRY(cudaEventSynchronize(watch->mark[2]), "timing the assignment");
    for (int i = 0; i < 2; i++) {
        float ms = 0;
        CUDA_TRY(cudaEventElapsedTime(&ms, watch->mark[i], watch->mark[i + 1]),
                 "timing the assignment");
        watch->ms[i] += ms;
    }
    return LLOYD_OK;
}

/* Rows [begin, begin + count) of the slot. */
lloyd_status label_block(cuda_kernels *cuda, const flash_params &p, const cuda_decision &d,
                         bool timed, stopwatch *watch)
{
    const cuda_assign_kernel *kernel = cuda->filter->config.kernel;
    LLOYD_TRY(mark(cuda, watch, 0));
    LLOYD_TRY(kernel->launch(cuda->gpu, p, false, cuda->stream));
    LLOYD_TRY(mark(cuda, watch, 1));
    if (timed) LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_ASSIGN));
    if (!p.direct) LLOYD_TRY(kernel->launch(cuda->gpu, p, true, cuda->stream));
    LLOYD_TRY(lloyd_cuda_decide(cuda, d, p.count));
    if (timed) LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_FALLBACK));
    return mark(cuda, watch, 2);
}

/* Whether comparing rows without a certificate with all centroids is less work than starting the two
 * kernels of the fallback pass is. */
bool few_fall_back(const cuda_kernels *cuda)
{
    const cuda_filter *f = cuda->filter;
    return f->fallback >= 0 && !cuda->overrides.fallback_pass &&
           (double)f->fallback * (double)cuda->set * (double)cuda->base.config.dim <= DIRECT_WORK;
}

/* Rows [begin, begin + count) of the slot, by the 8-bit filter, pruned or not; the fallback pass is that of the other filter, p. */
lloyd_status label_int8_block(cuda_kernels *cuda, int slot, bool pruned, const flash_params &p,
                              const cuda_decision &d, bool timed, stopwatch *watch)
{
    const int8_lists lists =
        pruned ? lloyd_cuda_prune_lists(cuda, p.count) : lloyd_cuda_int8_lists(cuda, p.count);
    LLOYD_TRY(mark(cuda, watch, 0));
    LLOYD_TRY(pruned ? lloyd_cuda_prune_find(cuda, slot, p.begin, p.count, d)
                     : lloyd_cuda_int8_find(cuda, slot, p.begin, p.count, d));
    LLOYD_TRY(mark(cuda, watch, 1));
    if (timed) LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_ASSIGN));
    LLOYD_TRY(lloyd_cuda_int8_list_open(cuda, p, d, lists));
    LLOYD_TRY(lloyd_cuda_int8_decide(cuda, slot, d, lists,
                                     pruned ? lloyd_cuda_prune_tightening(cuda, slot)
                                            : prune_tightening{}));
    LLOYD_TRY(cuda->filter->config.kernel->launch(cuda->gpu, p, true, cuda->stream));
    LLOYD_TRY(lloyd_cuda_decide(cuda, d, p.count));
    if (timed) LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_FALLBACK));
    return mark(cuda, watch, 2);
}

lloyd_status launch_turns(const cuda_kernels *cuda, const flash_params &p, flash_turns *turns)
{
    const cuda_assign_kernel *kernel = cuda->filter->config.kernel;
    if (turns->count == 0) return LLOYD_OK;
    LLOYD_TRY(kernel->launch_groups(cuda->gpu, p, *turns, cuda->stream));
    turns->count = turns->pieces = 0;
    return LLOYD_OK;
}

/* The filter for all groups that are active: by one launch, where the kernel can. */
lloyd_status filter_groups(const cuda_kernels *cuda, flash_params p)
{
    const cuda_assign_config &config = cuda->filter->config;
    const cuda_groups *groups = cuda->groups;
    flash_turns turns = {lloyd_cuda_group_table(cuda), 0, 0, {}};
    p.tiles = (int)cuda_divide_up(groups->most, config.width);
    for (int64_t g = 0; g < groups->count; g++) {
        if (!groups->active[g]) continue;
        const cuda_group own = lloyd_cuda_group(cuda, g);
        if (!config.kernel->launch_groups) {
            LLOYD_TRY(
                config.kernel->launch(cuda->gpu,
                                      flash_of_group(p, own, (int)g, groups->moved, config.width),
                                      false, cuda->stream));
            continue;
        }
        turns.turn[turns.count++] = {(int)g, turns.pieces};
        turns.pieces += (int)cuda_divide_up(own.rows, config.kernel->piece_rows);
        if (turns.count == FLASH_TURNS) LLOYD_TRY(launch_turns(cuda, p, &turns));
    }
    return launch_turns(cuda, p, &turns);
}

/* All rows of the slot, each compared with the centroids of its group. There is no fallback pass, which would be one of each group: listed rows
 * have no candidates, and so are compared with all centroids of their group. */
lloyd_status label_groups(cuda_kernels *cuda, flash_params p, cuda_decision d, bool timed)
{
    cuda_filter *f = cuda->filter;
    p.direct = d.direct = false;
    p.lists.counters = d.lists.counters = f->counters + f->counters_at * FLASH_COUNTERS;
    f->counters_at = 1 - f->counters_at;
    d.counters_of_next = f->counters + f->counters_at * FLASH_COUNTERS;
    LLOYD_TRY(filter_groups(cuda, p));
    if (timed) LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_ASSIGN));
    LLOYD_TRY(lloyd_cuda_decide(cuda, d, (int)d.rows.count));
    LLOYD_TRY(lloyd_cuda_end_groups(cuda, d.counters));
    return timed ? lloyd_cuda_mark(cuda, LLOYD_WORK_FALLBACK) : LLOYD_OK;
}

/* timed: an assignment of an iteration, which the kernels' clock is to know. */
lloyd_status label_slot(cuda_kernels *cuda, int slot_number, int64_t *counters, bool timed,
                        stopwatch *watch)
{
    cuda_filter *f = cuda->filter;
    const cuda_slot *slot = &cuda->slots[slot_number];
    const cuda_rows rows = lloyd_cuda_slot_rows(cuda, slot_number);
    if (rows.count == 0) return LLOYD_OK;
    cuda_decision d = {rows,
                       cuda->centroids,
                       cuda->set,
                       cuda->labels + slot->first,
                       reinterpret_cast<unsigned long long *>(counters),
                       lists_of(f),
                       few_fall_back(cuda),
                       nullptr,
                       lloyd_cuda_group_table(cuda)};
    if (!f->config.kernel) {
        LLOYD_TRY(lloyd_cuda_label_few(cuda, d));
        if (cuda->groups) LLOYD_TRY(lloyd_cuda_end_groups(cuda, d.counters));
        return timed ? lloyd_cuda_mark(cuda, LLOYD_WORK_ASSIGN) : LLOYD_OK;
    }
    LLOYD_TRY(get_ready(cuda, slot_number, rows));
    flash_params p = {};
    p.rows = rows;
    p.steps = f->config.steps;
    p.vector = f->config.vector;
    p.image = f->image;
    p.tiles = (int)(lloyd_cuda_places(cuda, cuda->set, f->config.width) / f->config.width);
    p.bound = f->bound;
    p.units = f->units;
    p.offset = f->offset;
    p.norms = f->norms + slot->first;
    p.labels = cuda->labels + slot->first;
    p.moved = reinterpret_cast<unsigned long long *>(counters);
    p.lists = d.lists;
    if (f->config.prune) {
        p.order = f->pruning.order;
        p.bias = f->pruning.bias;
        p.most = f->pruning.most;
    }
    p.direct = d.direct;
    p.score_factor = 64;
    p.scratch = f->scratch;
    if (cuda->groups) return label_groups(cuda, p, d, timed);
    bool pruned;
    LLOYD_TRY(lloyd_cuda_prune_choose(cuda, slot_number, d, timed || watch, &pruned));
    bool int8 = pruned || lloyd_cuda_choose_filter(cuda, timed || watch);
    if (timed) LLOYD_TRY(lloyd_cuda_try_int8(cuda, slot_number, d, &int8));
    if (int8) p.direct = d.direct = false;
    cuda_span *span =
        timed && !pruned && lloyd_cuda_measures(cuda) ? &f->int8.choice.labelling : nullptr;
    if (span) LLOYD_TRY(lloyd_cuda_span_begin(cuda, span));
    for (p.begin = 0; p.begin < rows.count; p.begin += f->capacity) {
        p.count = (int)std::min<int64_t>(f->capacity, rows.count - p.begin);
        p.lists.counters = d.lists.counters = f->counters + f->counters_at * FLASH_COUNTERS;
        f->counters_at = 1 - f->counters_at;
        d.counters_of_next = f->counters + f->counters_at * FLASH_COUNTERS;
        LLOYD_TRY(int8 ? label_int8_block(cuda, slot_number, pruned, p, d, timed, watch)
                       : label_block(cuda, p, d, timed, watch));
    }
    return span ? lloyd_cuda_span_end(cuda, span, rows.count) : LLOYD_OK;
}

void list_centroids(cuda_buffers &buffer, cuda_array<float> &centroids, int64_t set, int64_t dim)
{
    buffer(centroids, set * dim, "centroids");
}

/* Room for `count` centroids, and a kernel for them. */
lloyd_status begin_set(cuda_kernels *cuda, int64_t count)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    const int64_t dim = config->dim;
    if (!cuda->filter) LLOYD_TRY(alloc_filter(cuda));
    cuda_filter *f = cuda->filter;
    cuda->set = count;
    f->prepared = f->int8.prepared = nullptr;
    if (!cuda->overrides.keep_distances) lloyd_cuda_expect(cuda, 0, -1);
    lloyd_cuda_means_stale(cuda);
    LLOYD_TRY(
        lloyd_cuda_choose_assign(cuda->gpu,
                                 {cuda->groups ? cuda->groups->most : count, dim, config->type},
                                 cuda->overrides.assign, &f->config));
    if (cuda->groups)
        f->config.prune = false; /* the tiles of a group are in the order of its centroids */
    cuda_buffers reserve = cuda_buffers::reserve(cuda);
    list_centroids(reserve, cuda->centroids, count, dim);
    const int64_t places = f->config.kernel ? lloyd_cuda_places(cuda, count, f->config.width) : 0;
    list_set_buffers(reserve, f, cuda->gpu, f->config, places);
    lloyd_cuda_int8_list(reserve, &f->int8, cuda->gpu, config, std::min(count, config->k),
                         f->capacity);
    lloyd_cuda_prune_list(reserve, &f->prune, cuda->gpu, config, std::min(count, config->k),
                          f->capacity);
    LLOYD_TRY(reserve.status());
    return cuda->groups ? lloyd_cuda_send_groups(cuda, f->config.kernel ? f->config.width : 1)
                        : LLOYD_OK;
}

/* The centroids are there. */
lloyd_status end_set(cuda_kernels *cuda)
{
    cuda_filter *f = cuda->filter;
    LLOYD_TRY(lloyd_cuda_prepare(cuda, cuda->centroids, {}));
    lloyd_cuda_choose_anew(cuda, false);
    f->int8.since_sorted = f->int8.sorted_for = 0;
    lloyd_cuda_prune_forget(cuda);
    return LLOYD_OK;
}

} // namespace

lloyd_status lloyd_cuda_set_centroids(lloyd_kernels *kernels, int64_t count, const float *centroids)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    LLOYD_TRY(begin_set(cuda, count));
    LLOYD_TRY(lloyd_cuda_copy_in(cuda, cuda->centroids, centroids,
                                 count * kernels->config.dim * (int64_t)sizeof *centroids));
    return end_set(cuda);
}

lloyd_status lloyd_cuda_set_rows(lloyd_kernels *kernels, int64_t count, const int64_t *rows)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    LLOYD_TRY(begin_set(cuda, count));
    LLOYD_TRY(lloyd_cuda_gather(cuda, 0, rows, count, cuda->centroids));
    return end_set(cuda);
}

lloyd_status lloyd_cuda_prepare(cuda_kernels *cuda, const float *centroids,
                                const cuda_inertia &inertia)
{
    cuda_filter *f = cuda->filter;
    if (!f) return LLOYD_OK;
    f->prepared = f->int8.prepared = f->prune.prepared = nullptr;
    f->prune.choice.made = false;
    lloyd_cuda_choose_anew(cuda, true);
    if (!f->ready || !f->config.kernel) return LLOYD_OK;
    LLOYD_TRY(lloyd_cuda_filter_offsets(cuda));
    return lloyd_cuda_prepare_image(cuda, centroids, inertia);
}

lloyd_status lloyd_cuda_nearest(cuda_kernels *cuda, int slot, int64_t *counters)
{
    return label_slot(cuda, slot, counters, false, nullptr);
}

lloyd_status lloyd_cuda_assign(lloyd_kernels *kernels, int slot)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_ROWS));
    cuda->counters_zero = false;
    return label_slot(cuda, slot, cuda->sums + cuda->layout.counters_at, true, nullptr);
}

lloyd_status lloyd_cuda_assign_phases(cuda_kernels *cuda, int slot, float ms[2])
{
    int64_t *counters = cuda->sums + cuda->layout.counters_at;
    stopwatch watch = {};
    cuda->counters_zero = false;
    for (cudaEvent_t &event : watch.mark)
        CUDA_TRY(cudaEventCreate(&event), "timing the assignment");
    lloyd_status status = label_slot(cuda, slot, counters, false, &watch);
    for (int i = 0; i < 2; i++) ms[i] = watch.ms[i];
    for (cudaEvent_t &event : watch.mark) (void)cudaEventDestroy(event);
    return status;
}

void lloyd_cuda_expect(cuda_kernels *cuda, double nearest, int64_t fallback)
{
    if (!cuda->filter) return;
    if (nearest >= 0) cuda->filter->nearest = nearest;
    cuda->filter->fallback = fallback;
}

void lloyd_cuda_filter_free(cuda_kernels *cuda)
{
    cuda_filter *f = cuda->filter;
    cuda_buffers release = cuda_buffers::release(cuda);
    list_centroids(release, cuda->centroids, cuda->set, cuda->base.config.dim);
    if (!f) return;
    list_row_buffers(release, f, &cuda->base.config, 1);
    list_set_buffers(release, f, cuda->gpu, {}, cuda->set);
    lloyd_cuda_int8_list(release, &f->int8, cuda->gpu, &cuda->base.config, cuda->set, f->capacity);
    lloyd_cuda_grouping_free(&f->prune);
    lloyd_cuda_prune_list(release, &f->prune, cuda->gpu, &cuda->base.config, cuda->set,
                          f->capacity);
    lloyd_cuda_span_free(&f->int8.choice.part);
    lloyd_cuda_span_free(&f->int8.choice.sample);
    lloyd_cuda_span_free(&f->int8.choice.labelling);
    lloyd_free(f->int8.described);
    lloyd_free(f->described);
    lloyd_free(f);
    cuda->filter = nullptr;
}

int64_t lloyd_cuda_filter_bytes(const lloyd_kernels_config *config, int64_t set)
{
    const cuda_gpu gpu = lloyd_cuda_planned_gpu();
    const int64_t most = std::max(set, config->k);
    cuda_filter f = {};
    cuda_array<float> centroids = {};
    cuda_buffers count = cuda_buffers::count();
    /* a GPU that has no kernel is refused when it is opened */
    if (lloyd_cuda_choose_assign(gpu, {most, config->dim, config->type}, {}, &f.config) != LLOYD_OK)
        return 0;
    list_centroids(count, centroids, most, config->dim);
    list_row_buffers(count, &f, config, 1);
    list_set_buffers(count, &f, gpu, f.config,
                     f.config.kernel ? lloyd_cuda_padded_set(f.config, most) : 0);
    lloyd_cuda_int8_list(count, &f.int8, gpu, config, config->k, block_rows(config));
    lloyd_cuda_prune_list(count, &f.prune, gpu, config, config->k, block_rows(config));
    return count.bytes();
}
