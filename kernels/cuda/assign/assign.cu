/* Assignment on the GPU: filter, certificate, verify (docs/numerics.md, section 2.5).
 *
 * The fused kernels label the rows whose label is proven and list the others;
 * the same kernel then finds, for the listed rows only, every centroid within the bound; dist()
 * decides among those (exact.cu). Nothing returns to the host in between. What the filter needs to know about
 * rows (their norms, units.cu) is computed once per load, about centroids (operands and bounds, prepare.cu) once per
 * iteration.
 */
#include "kernels/cuda/assign/assign.h"

#include "kernels/cuda/assign/filter.h"
#include "kernels/cuda/assign/launch.h"
#include "kernels/cuda/clock.h"
#include "kernels/cuda/update/means.h"

#include <algorithm>

namespace
{

enum { SIFTED_TILE = 128 };
constexpr double DIRECT_WORK = 1 << 24; /* elements to compare, at most, without a second step */

int64_t block_rows(const lloyd_kernels_config *config)
{
    int64_t most = std::min(config->n_local, config->chunk_rows);
    return std::max<int64_t>(1, std::min<int64_t>(FLASH_BLOCK_ROWS, most));
}

lloyd_status alloc_filter(cuda_kernels *cuda)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    cuda_filter *f;
    LLOYD_TRY(lloyd_alloc(&f, 1, sizeof *f, "the filter"));
    cuda->filter = f;
    int64_t block = block_rows(config),
            places = cuda_divide_up(config->dim, FLASH_STEP) * FLASH_STEP;
    const char *what = "the filter's lists";
    LLOYD_TRY(
        lloyd_cuda_alloc(cuda, &f->origin, config->dim, sizeof(float), "the filter's origin"));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->units, 1, sizeof *f->units, "the filter's units"));
    /* kernels in registers round the steps up, by a half at most */
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->offset, 2 * places, sizeof(float), "the filter's origin"));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->norms, config->n_local, sizeof(__half2), "norms of rows"));
    LLOYD_TRY(lloyd_alloc(&f->described,
                          cuda_divide_up(config->n_local, std::max<int64_t>(1, config->chunk_rows)),
                          sizeof *f->described, "norms of rows"));
    f->lists.capacity = (int)block;
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->lists.counters, 2 * FLASH_COUNTERS, sizeof(int), what));
    CUDA_TRY(cudaMemsetAsync(f->lists.counters, 0, 2 * FLASH_COUNTERS * sizeof(int), cuda->stream),
             what);
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->lists.row, block, sizeof(int32_t), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->lists.threshold, block, sizeof(float), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->lists.found, block, sizeof(int32_t), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->lists.candidate, block * FLASH_CANDIDATES, sizeof(int32_t),
                               what));
    return lloyd_cuda_alloc(cuda, &f->lists.undecided, block, sizeof(int32_t), what);
}

/* Room for the image of `set` centroids. */
lloyd_status reserve_image(cuda_kernels *cuda)
{
    cuda_filter *f = cuda->filter;
    int64_t padded = lloyd_cuda_padded_set(f->shape, cuda->set);
    int64_t bytes = padded * (f->shape.steps + 1) * FLASH_STEP * 2;
    if (f->image_bytes < bytes) {
        lloyd_cuda_free(cuda, f->image, f->image_bytes, 1);
        f->image = nullptr, f->image_bytes = 0;
        LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->image, bytes, 1, "operands of the centroids"));
        f->image_bytes = bytes;
    }
    if (f->bound_count < padded) {
        lloyd_cuda_free(cuda, f->bound, f->bound_count, sizeof(float2));
        f->bound = nullptr, f->bound_count = 0;
        LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->bound, padded, sizeof(float2), "bounds of centroids"));
        f->bound_count = padded;
    }
    int64_t scratch = f->shape.path == LLOYD_FLASH_WIDE
                          ? lloyd_flash_wide_scratch(f->shape.steps, cuda->gpu.multiprocessors)
                          : 0;
    if (f->scratch_bytes < scratch) {
        lloyd_cuda_free(cuda, f->scratch, f->scratch_bytes, 1);
        f->scratch = nullptr, f->scratch_bytes = 0;
        LLOYD_TRY(lloyd_cuda_alloc(cuda, &f->scratch, scratch, 1, "operands of rows"));
        f->scratch_bytes = scratch;
    }
    return LLOYD_OK;
}

void free_sifting(cuda_kernels *cuda)
{
    cuda_sifting *sifting = cuda->filter->sifting;
    if (!sifting) return;
    lloyd_cuda_free(cuda, sifting->length, sifting->capacity, sizeof(float));
    lloyd_cuda_free(cuda, sifting->sorted_length, sifting->capacity, sizeof(float));
    lloyd_cuda_free(cuda, sifting->number, sifting->capacity, sizeof(int32_t));
    lloyd_cuda_free(cuda, sifting->order, sifting->capacity, sizeof(int32_t));
    lloyd_cuda_free(cuda, sifting->bias, sifting->capacity, sizeof(float));
    lloyd_cuda_free(cuda, sifting->most, sifting->capacity / SIFTED_TILE, sizeof(float4));
    lloyd_cuda_free(cuda, sifting->sorter, (int64_t)sifting->sorter_bytes, 1);
    lloyd_free(sifting);
    cuda->filter->sifting = nullptr;
}

/* Room for sorting the current set. */
lloyd_status reserve_sifting(cuda_kernels *cuda)
{
    const char *what = "the sorted centroids";
    int64_t padded = lloyd_cuda_padded_set(cuda->filter->shape, cuda->set);
    cuda_sifting *sifting = cuda->filter->sifting;
    if (sifting && sifting->capacity >= padded) return LLOYD_OK;
    free_sifting(cuda);
    LLOYD_TRY(lloyd_alloc(&sifting, 1, sizeof *sifting, what));
    cuda->filter->sifting = sifting;
    sifting->capacity = padded;
    CUDA_TRY(lloyd_cuda_measure_sorter(padded, &sifting->sorter_bytes), what);
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &sifting->length, padded, sizeof(float), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &sifting->sorted_length, padded, sizeof(float), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &sifting->number, padded, sizeof(int32_t), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &sifting->order, padded, sizeof(int32_t), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &sifting->bias, padded, sizeof(float), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &sifting->most, padded / SIFTED_TILE, sizeof(float4), what));
    return lloyd_cuda_alloc(cuda, &sifting->sorter, (int64_t)sifting->sorter_bytes, 1, what);
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

lloyd_status run_flash(cuda_kernels *cuda, const flash_params &p, bool verify)
{
    const lloyd_flash_shape &shape = cuda->filter->shape;
    if (shape.path == LLOYD_FLASH_SM90)
        return lloyd_flash_sm90(p, verify, cuda->gpu.multiprocessors, cuda->stream);
    if (shape.path == LLOYD_FLASH_RESIDENT)
        return lloyd_flash_resident_sm90(p, verify, cuda->gpu.multiprocessors, cuda->stream);
    if (shape.path == LLOYD_FLASH_WIDE)
        return lloyd_flash_wide_sm90(p, verify, cuda->gpu.multiprocessors, cuda->stream);
    return lloyd_flash_sm80(p, verify, cuda->gpu.multiprocessors, cuda->stream);
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
    LLOYD_TRY(mark(cuda, watch, 0));
    LLOYD_TRY(run_flash(cuda, p, false));
    LLOYD_TRY(mark(cuda, watch, 1));
    if (timed) LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_ASSIGN));
    if (!p.direct) LLOYD_TRY(run_flash(cuda, p, true));
    LLOYD_TRY(lloyd_cuda_decide(cuda, d, p.count));
    if (timed) LLOYD_TRY(lloyd_cuda_mark(cuda, LLOYD_WORK_VERIFY));
    return mark(cuda, watch, 2);
}

/* Whether comparing rows without a certificate with all centroids is less work than starting the two
 * kernels of the second step is. */
bool few_to_verify(const cuda_kernels *cuda)
{
    const cuda_filter *f = cuda->filter;
    return f->verified >= 0 && !lloyd_cuda_pretends(cuda, CUDA_BOTH_STEPS) &&
           (double)f->verified * (double)cuda->set * (double)cuda->base.config.dim <= DIRECT_WORK;
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
                       f->lists,
                       few_to_verify(cuda),
                       nullptr};
    if (f->shape.path == LLOYD_FLASH_FEW) {
        LLOYD_TRY(lloyd_cuda_label_few(cuda, d));
        return timed ? lloyd_cuda_mark(cuda, LLOYD_WORK_ASSIGN) : LLOYD_OK;
    }
    LLOYD_TRY(get_ready(cuda, slot_number, rows));
    flash_params p = {};
    p.rows = rows;
    p.steps = f->shape.steps;
    p.vector = f->shape.vector;
    p.image = f->image;
    p.tiles = (int)(lloyd_cuda_padded_set(f->shape, cuda->set) / f->shape.width);
    p.bound = f->bound;
    p.units = f->units;
    p.offset = f->offset;
    p.norms = f->norms + slot->first;
    p.labels = cuda->labels + slot->first;
    p.moved = reinterpret_cast<unsigned long long *>(counters);
    p.lists = f->lists;
    if (f->shape.sift) {
        p.order = f->sifting->order;
        p.bias = f->sifting->bias;
        p.most = f->sifting->most;
    }
    p.direct = d.direct;
    p.shift = 64;
    p.scratch = f->scratch;
    for (p.begin = 0; p.begin < rows.count; p.begin += f->lists.capacity) {
        p.count = (int)std::min<int64_t>(f->lists.capacity, rows.count - p.begin);
        p.lists.counters = d.lists.counters = f->lists.counters + f->turn * FLASH_COUNTERS;
        f->turn = 1 - f->turn;
        d.counters_of_next = f->lists.counters + f->turn * FLASH_COUNTERS;
        LLOYD_TRY(label_block(cuda, p, d, timed, watch));
    }
    return LLOYD_OK;
}

lloyd_status reserve_set(cuda_kernels *cuda, int64_t count)
{
    int64_t dim = cuda->base.config.dim;
    if (count <= cuda->set_capacity) return LLOYD_OK;
    lloyd_cuda_free(cuda, cuda->centroids, cuda->set_capacity * dim, sizeof(float));
    cuda->centroids = nullptr, cuda->set_capacity = 0;
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &cuda->centroids, count * dim, sizeof(float), "centroids"));
    cuda->set_capacity = count;
    return LLOYD_OK;
}

} // namespace

lloyd_status lloyd_cuda_set_centroids(lloyd_kernels *kernels, int64_t count, const float *centroids)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t dim = kernels->config.dim;
    if (!cuda->filter) LLOYD_TRY(alloc_filter(cuda));
    LLOYD_TRY(reserve_set(cuda, count));
    cuda->set = count;
    cuda->filter->prepared = nullptr;
    if (!lloyd_cuda_pretends(cuda, CUDA_KNOWN)) lloyd_cuda_expect(cuda, 0, -1);
    lloyd_cuda_means_stale(cuda);
    lloyd_flash_shape *shape = &cuda->filter->shape;
    *shape =
        lloyd_flash_choose(count, dim, kernels->config.type,
                           cuda->pretended > CUDA_OTHERS ? cuda->pretended : cuda->gpu.capability);
    if (lloyd_cuda_pretends(cuda, CUDA_STREAMED) && shape->path == LLOYD_FLASH_RESIDENT)
        shape->path = LLOYD_FLASH_SM90;
    if (lloyd_cuda_pretends(cuda, CUDA_OTHER_SIFT) && shape->path == LLOYD_FLASH_SM90)
        shape->sift = !shape->sift;
    if (shape->path != LLOYD_FLASH_FEW) LLOYD_TRY(reserve_image(cuda));
    if (shape->sift) LLOYD_TRY(reserve_sifting(cuda));
    CUDA_TRY(cudaMemcpyAsync(cuda->centroids, centroids, (size_t)(count * dim) * sizeof(float),
                             cudaMemcpyHostToDevice, cuda->stream),
             "copying centroids to the GPU");
    return lloyd_cuda_prepare(cuda, cuda->centroids, {});
}

lloyd_status lloyd_cuda_prepare(cuda_kernels *cuda, const float *centroids,
                                const cuda_inertia &inertia)
{
    cuda_filter *f = cuda->filter;
    if (!f) return LLOYD_OK;
    f->prepared = nullptr;
    if (!f->ready || f->shape.path == LLOYD_FLASH_FEW) return LLOYD_OK;
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
    return label_slot(cuda, slot, cuda->sums + cuda->layout.counters_at, true, nullptr);
}

lloyd_status lloyd_cuda_assign_phases(cuda_kernels *cuda, int slot, float ms[2])
{
    int64_t *counters = cuda->sums + cuda->layout.counters_at;
    stopwatch watch = {};
    for (cudaEvent_t &event : watch.mark)
        CUDA_TRY(cudaEventCreate(&event), "timing the assignment");
    lloyd_status status = label_slot(cuda, slot, counters, false, &watch);
    for (int i = 0; i < 2; i++) ms[i] = watch.ms[i];
    for (cudaEvent_t &event : watch.mark) (void)cudaEventDestroy(event);
    return status;
}

void lloyd_cuda_expect(cuda_kernels *cuda, double nearest, int64_t verified)
{
    if (!cuda->filter) return;
    if (nearest >= 0) cuda->filter->nearest = nearest;
    cuda->filter->verified = verified;
}

void lloyd_cuda_pretend(lloyd_kernels *kernels, int pretended)
{
    lloyd_cuda(kernels)->pretended = pretended;
}

void lloyd_cuda_filter_free(cuda_kernels *cuda)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    cuda_filter *f = cuda->filter;
    if (!f) return;
    int64_t block = block_rows(config),
            places = cuda_divide_up(config->dim, FLASH_STEP) * FLASH_STEP;
    lloyd_cuda_free(cuda, f->origin, config->dim, sizeof(float));
    lloyd_cuda_free(cuda, f->units, 1, sizeof *f->units);
    lloyd_cuda_free(cuda, f->offset, 2 * places, sizeof(float));
    lloyd_cuda_free(cuda, f->norms, config->n_local, sizeof(__half2));
    lloyd_free(f->described);
    lloyd_cuda_free(cuda, f->lists.counters, 2 * FLASH_COUNTERS, sizeof(int));
    lloyd_cuda_free(cuda, f->lists.row, block, sizeof(int32_t));
    lloyd_cuda_free(cuda, f->lists.threshold, block, sizeof(float));
    lloyd_cuda_free(cuda, f->lists.found, block, sizeof(int32_t));
    lloyd_cuda_free(cuda, f->lists.candidate, block * FLASH_CANDIDATES, sizeof(int32_t));
    lloyd_cuda_free(cuda, f->lists.undecided, block, sizeof(int32_t));
    lloyd_cuda_free(cuda, f->image, f->image_bytes, 1);
    lloyd_cuda_free(cuda, f->bound, f->bound_count, sizeof(float2));
    lloyd_cuda_free(cuda, f->scratch, f->scratch_bytes, 1);
    free_sifting(cuda);
    lloyd_free(f);
    cuda->filter = nullptr;
}

int64_t lloyd_cuda_filter_bytes(const lloyd_kernels_config *config, int64_t set)
{
    const cuda_gpu gpu = lloyd_cuda_planned_gpu();
    const lloyd_flash_shape shape =
        lloyd_flash_choose(std::max(set, config->k), config->dim, config->type, gpu.capability);
    int64_t padded = lloyd_cuda_padded_set(shape, std::max(set, config->k));
    int64_t places = cuda_divide_up(config->dim, FLASH_STEP) * FLASH_STEP;
    int64_t scratch = shape.path == LLOYD_FLASH_WIDE
                          ? lloyd_flash_wide_scratch(shape.steps, gpu.multiprocessors)
                          : 0;
    size_t sorter = 0;
    int64_t sifting = 0;
    if (shape.sift && lloyd_cuda_measure_sorter(padded, &sorter) == cudaSuccess)
        sifting = padded * 20 + padded / SIFTED_TILE * (int64_t)sizeof(float4) + (int64_t)sorter;
    return config->dim * 4 + (int64_t)sizeof(flash_units) + 2 * FLASH_COUNTERS * 4 +
           2 * places * 4 + config->n_local * 4 +
           block_rows(config) * (4 * 4 + FLASH_CANDIDATES * 4) +
           padded * ((shape.steps + 1) * FLASH_STEP * 2 + 8) + scratch + sifting +
           std::max(set, config->k) * config->dim * 4;
}
