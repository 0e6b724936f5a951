/* The CUDA implementation of kernels.h: how it is made and destroyed, and the table of functions. */
extern "C" {
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/seed/reduce.h"
}

#include "kernels/cuda/assign/assign.h"
#include "kernels/cuda/clock.h"
#include "kernels/cuda/column_stats.h"
#include "kernels/cuda/distances.h"
#include "kernels/cuda/groups.h"
#include "kernels/cuda/memory/keep.h"
#include "kernels/cuda/memory/memory.h"
#include "kernels/cuda/prune/image.cuh"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/seed/compare.h"
#include "kernels/cuda/seed/group_sample.h"
#include "kernels/cuda/seed/masses.h"
#include "kernels/cuda/slots.h"
#include "kernels/cuda/state.h"
#include "kernels/cuda/update/means.h"
#include "kernels/cuda/update/sort.h"
#include "kernels/cuda/update/update.h"

#include <algorithm>

/* Into how many parts a GPU is divided while several kernels use it at a time (memory/keep.h): each has the blocks for one of them. With a
 * part that is too small the last ones to be at work leave some of it idle, and the blocks that choose among candidates, which wait for each
 * other, would be too few for a leaf (seed/reduce.cu). */
static constexpr int CUDA_SHARES = 4, CUDA_LEAST_SHARE = 16;

/* --- small functions of the table --- */

static lloyd_status create(lloyd_kernels *kernels, const lloyd_kernels_config *config,
                           lloyd_kernels **created)
{
    return lloyd_kernels_cuda(config, lloyd_cuda(kernels)->device, created);
}

static lloyd_status get_centroids(lloyd_kernels *kernels, float *centroids)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    int64_t bytes = cuda->set * kernels->config.dim * (int64_t)sizeof *centroids;
    return lloyd_cuda_copy_out(cuda, centroids, cuda->centroids, bytes);
}

static lloyd_status forget_labels(lloyd_kernels *kernels)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    size_t bytes = (size_t)kernels->config.n_local * sizeof *cuda->labels;
    lloyd_cuda_forget_marks(cuda); /* of what was no iteration */
    cuda->moved = kernels->config.n_local;
    if (bytes == 0) return LLOYD_OK;
    return lloyd_cuda_check(cudaMemsetAsync(cuda->labels, 0xff, bytes, cuda->stream),
                            "forgetting labels");
}

static lloyd_status labels(lloyd_kernels *kernels, int64_t first, int64_t count, int32_t *out)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    return lloyd_cuda_copy_out(cuda, out, cuda->labels + first, count * (int64_t)sizeof *out);
}

static lloyd_status finish(lloyd_kernels *kernels)
{
    return lloyd_cuda_check(cudaStreamSynchronize(lloyd_cuda(kernels)->stream),
                            "waiting for the GPU");
}

/* --- life and death --- */

static void destroy(lloyd_kernels *kernels)
{
    if (!kernels) return;
    cuda_kernels *cuda = lloyd_cuda(kernels);
    const lloyd_kernels_config *config = &kernels->config;
    (void)lloyd_cuda_select(cuda->device);
    if (cuda->stream) (void)cudaStreamSynchronize(cuda->stream);
    if (cuda->copies) (void)cudaStreamSynchronize(cuda->copies);
    (void)lloyd_cuda_seed_end(kernels);
    cuda->ending = true;
    lloyd_cuda_filter_free(cuda);
    if (cuda->sorter) lloyd_cuda_sorter_free(cuda);
    if (cuda->means) lloyd_cuda_means_free(cuda);
    lloyd_cuda_clock_free(cuda);
    lloyd_cuda_groups_free(cuda);
    for (int s = 0; cuda->slots && s < config->slots; s++)
        lloyd_cuda_free_slot(cuda, &cuda->slots[s]);
    lloyd_free(cuda->slots);
    lloyd_cuda_release_state(cuda);
    lloyd_cuda_free_staging(cuda);
    lloyd_cuda_give_pinned(cuda->stock, cuda->pinned);
    lloyd_cuda_give_event(cuda->stock, cuda->asked);
    lloyd_cuda_give_stream(cuda->stock, cuda->copies);
    lloyd_cuda_give_stream(cuda->stock, cuda->stream);
    lloyd_cuda_give_stock(cuda->stock);
    lloyd_free(cuda);
}

static const lloyd_kernels table = {
    .device = &lloyd_device_cuda,
    .copies = 1,
    .synchronous = 0,
    .seconds = {},
    .config = {},
    .create = create,
    .load = lloyd_cuda_load,
    .load_start = lloyd_cuda_load_start,
    .load_finish = lloyd_cuda_load_finish,
    .loaded = lloyd_cuda_loaded,
    .fill = lloyd_cuda_fill,
    .rows = lloyd_cuda_rows,
    .take = lloyd_cuda_take,
    .measure = lloyd_cuda_measure,
    .measure_weighted = lloyd_cuda_measure_weighted,
    .set_grid = lloyd_cuda_set_grid,
    .squares = lloyd_cuda_squares,
    .set_centroids = lloyd_cuda_set_centroids,
    .get_centroids = get_centroids,
    .forget_labels = forget_labels,
    .begin = lloyd_cuda_begin,
    .assign = lloyd_cuda_assign,
    .accumulate = lloyd_cuda_accumulate,
    .finish = finish,
    .sums = lloyd_cuda_sums,
    .inertia = lloyd_cuda_inertia,
    .update = lloyd_cuda_update_means,
    .empty_clusters = lloyd_cuda_empty_clusters,
    .farthest = lloyd_cuda_farthest,
    .relocate = lloyd_cuda_relocate,
    .labels = labels,
    .count_labels = lloyd_cuda_count_labels,
    .distances = lloyd_cuda_distances,
    .distance_span = lloyd_cuda_distance_span,
    .total_distance = lloyd_cuda_total_distance,
    .seed_begin = lloyd_cuda_seed_begin,
    .seed_compare = lloyd_cuda_seed_compare,
    .seed_total = lloyd_cuda_seed_total,
    .seed_pick = lloyd_cuda_seed_pick,
    .seed_sample = lloyd_cuda_seed_sample,
    .seed_masses = lloyd_cuda_seed_masses,
    .seed_try = lloyd_cuda_seed_try,
    .seed_end = lloyd_cuda_seed_end,
    .reduce = lloyd_cuda_reduce,
    .set_groups = lloyd_cuda_set_groups,
    .set_rows = lloyd_cuda_set_rows,
    .groups_moved = lloyd_cuda_groups_moved,
    .groups_sample = lloyd_cuda_groups_sample,
    .destroy = destroy,
};

/* Never launched: whether the device has code for it tells whether it has code at all. */
static __global__ void probe()
{
}

static lloyd_status refuse_device(const cuda_kernels *cuda, const char *why)
{
    cudaDeviceProp properties;
    CUDA_TRY(cudaGetDeviceProperties(&properties, cuda->device), "asking for the GPU's name");
    return lloyd_fail(
        LLOYD_FAILED,
        "GPU %d (%s) has compute capability %d.%d, %s; use another GPU, or --backend cpu",
        cuda->device, properties.name, cuda->gpu.capability / 10, cuda->gpu.capability % 10, why);
}

static lloyd_status open_device(cuda_kernels *cuda)
{
    LLOYD_TRY(lloyd_cuda_select(cuda->device));
    LLOYD_TRY(lloyd_cuda_look_at(cuda->device, &cuda->gpu));
    if (cuda->gpu.capability < 80) return refuse_device(cuda, "but 8.0 or newer is needed");
    cudaFuncAttributes attributes;
    cudaError_t code = cudaFuncGetAttributes(&attributes, (const void *)probe);
    if (code == cudaErrorNoKernelImageForDevice || code == cudaErrorInvalidDeviceFunction) {
        (void)cudaGetLastError();
        return refuse_device(cuda, "for which this lloyd was built without code");
    }
    CUDA_TRY(code, "loading the kernels");
    /* most kernels have as many blocks as the GPU runs at a time: now there are others */
    if (cuda->stock)
        cuda->gpu.multiprocessors =
            std::min(cuda->gpu.multiprocessors,
                     std::max(CUDA_LEAST_SHARE, cuda->gpu.multiprocessors / CUDA_SHARES));
    CUDA_TRY(lloyd_cuda_take_stream(cuda->stock, &cuda->stream), "creating a stream");
    return LLOYD_OK;
}

static lloyd_status alloc_state(cuda_kernels *cuda)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    const int64_t n = config->n_local;
    LLOYD_TRY(lloyd_cuda_alloc_sums(cuda, nullptr));
    LLOYD_TRY(lloyd_cuda_reserve_state(cuda));
    CUDA_TRY(lloyd_cuda_take_pinned(cuda->stock, CUDA_PINNED + CUDA_PINNED_SAMPLE, &cuda->pinned),
             "allocating pinned memory for results");
    LLOYD_TRY(lloyd_alloc(&cuda->slots, config->slots, sizeof(cuda_slot), "chunk table"));
    if (n > 0)
        CUDA_TRY(cudaMemsetAsync(cuda->labels, 0, (size_t)n * sizeof(int32_t), cuda->stream),
                 "clearing labels");
    if (!config->weights) return LLOYD_OK;
    return lloyd_cuda_copy_in(cuda, cuda->weights, config->weights, n * (int64_t)sizeof(float));
}

lloyd_status lloyd_kernels_cuda(const lloyd_kernels_config *config, int device,
                                lloyd_kernels **kernels)
{
    *kernels = nullptr;
    cuda_kernels *cuda;
    LLOYD_TRY(lloyd_alloc(&cuda, 1, sizeof *cuda, "CUDA kernels"));
    cuda->base = table;
    cuda->base.config = cuda->given = *config;
    cuda->device = device;
    cuda->stock = lloyd_cuda_take_stock();
    lloyd_status status = open_device(cuda);
    if (status == LLOYD_OK) status = alloc_state(cuda);
    if (status != LLOYD_OK) {
        destroy(&cuda->base);
        return status;
    }
    *kernels = &cuda->base;
    return LLOYD_OK;
}

/* --- what a plan asks --- */

int64_t lloyd_kernels_cuda_bytes(const lloyd_kernels_config *config, int64_t set)
{
    /* no two of these are there at a time */
    const int64_t temporary =
        std::max({lloyd_cuda_seed_scratch_bytes(config), lloyd_cuda_distances_bytes(config),
                  lloyd_cuda_relocation_bytes(config)});
    return lloyd_cuda_state_bytes(config) + lloyd_cuda_filter_bytes(config, set) +
           lloyd_cuda_sorter_bytes(config) + lloyd_cuda_means_bytes(config, set) + temporary;
}

int64_t lloyd_kernels_cuda_prune_group(const lloyd_kernels_config *config)
{
    return config->prune_group > 0 ? lloyd_cuda_prune_group(config, config->k) : 0;
}
