/* The CUDA implementation of kernels.h: state, and the table of functions. Everything that is needed in every iteration is allocated
 * here, once.
 */
#include "kernels/cuda/cuda.h"

#include "kernels/cuda/assign/assign.h"
#include "kernels/cuda/clock.h"
#include "kernels/cuda/column_stats.h"
#include "kernels/cuda/distances.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/seed/reduce.h"
#include "kernels/cuda/seed/seed.h"
#include "kernels/cuda/slots.h"
#include "kernels/cuda/update/means.h"
#include "kernels/cuda/update/sort.h"
#include "kernels/cuda/update/update.h"

#include <cassert>
#include <cstring>

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
    if (bytes == 0) return LLOYD_OK;
    return lloyd_cuda_check(cudaMemsetAsync(cuda->labels, 0xff, bytes, cuda->stream),
                            "forgetting labels");
}

static lloyd_buffer sums(lloyd_kernels *kernels)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    return {cuda->sums, LLOYD_CUDA, cuda->stream};
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

/* The tables of the grid, D entries each. */
static void free_grid(cuda_kernels *cuda)
{
    int64_t dim = cuda->base.config.dim;
    lloyd_cuda_free(cuda, cuda->digit_scale, dim, sizeof(double));
    lloyd_cuda_free(cuda, cuda->top, dim, sizeof(int));
    lloyd_cuda_free(cuda, cuda->digits, dim, sizeof(int));
    lloyd_cuda_free(cuda, cuda->square_top, dim, sizeof(int));
    lloyd_cuda_free(cuda, cuda->second, dim, sizeof(int32_t));
    lloyd_cuda_free(cuda, cuda->wide_number, dim, sizeof(int32_t));
    lloyd_cuda_free(cuda, cuda->wide_column, dim, sizeof(int32_t));
}

enum { GRID_BYTES = 8 + 6 * 4 }; /* of a column */

lloyd_status lloyd_cuda_alloc_sums(cuda_kernels *cuda, const lloyd_grid *grid)
{
    const char *what = "sums per cluster";
    const lloyd_kernels_config *config = &cuda->base.config;
    lloyd_cuda_free(cuda, cuda->sums, cuda->layout.words, sizeof *cuda->sums);
    cuda->sums = nullptr;
    cuda->grid = grid;
    cuda->layout = lloyd_layout_of_sums(grid, config->dim, config->k);
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &cuda->sums, cuda->layout.words, sizeof *cuda->sums, what));
    return lloyd_cuda_check(cudaMemsetAsync(cuda->sums, 0,
                                            (size_t)cuda->layout.words * sizeof *cuda->sums,
                                            cuda->stream),
                            "clearing sums");
}

static void destroy(lloyd_kernels *kernels)
{
    if (!kernels) return;
    cuda_kernels *cuda = lloyd_cuda(kernels);
    const lloyd_kernels_config *config = &kernels->config;
    (void)cudaSetDevice(cuda->device);
    if (cuda->stream) (void)cudaStreamSynchronize(cuda->stream);
    (void)lloyd_cuda_seed_end(kernels);
    if (cuda->filter) lloyd_cuda_filter_free(cuda);
    if (cuda->sorter) lloyd_cuda_sorter_free(cuda);
    if (cuda->means) lloyd_cuda_means_free(cuda);
    lloyd_cuda_clock_free(cuda);
    if (cuda->copies) (void)cudaStreamSynchronize(cuda->copies);
    for (int s = 0; cuda->slots && s < config->slots; s++) {
        lloyd_cuda_free(cuda, cuda->slots[s].rows, cuda->slots[s].bytes, 1);
        if (cuda->slots[s].copied) (void)cudaEventDestroy(cuda->slots[s].copied);
    }
    lloyd_free(cuda->slots);
    lloyd_cuda_free(cuda, cuda->labels, config->n_local, sizeof(int32_t));
    lloyd_cuda_free(cuda, cuda->weights, config->n_local, sizeof(float));
    lloyd_cuda_free(cuda, cuda->lengths, config->n_local, sizeof(double));
    lloyd_cuda_free(cuda, cuda->centroids, cuda->set_capacity * config->dim, sizeof(float));
    lloyd_cuda_free(cuda, cuda->sums, cuda->layout.words, sizeof(int64_t));
    lloyd_cuda_free(cuda, cuda->results, CUDA_PINNED, 1);
    lloyd_cuda_free(cuda, cuda->scratch, lloyd_cuda_scratch_bytes(config->dim), 1);
    free_grid(cuda);
    lloyd_cuda_free_staging(cuda);
    (void)cudaFreeHost(cuda->pinned);
    if (cuda->asked) (void)cudaEventDestroy(cuda->asked);
    if (cuda->copies) (void)cudaStreamDestroy(cuda->copies);
    if (cuda->stream) (void)cudaStreamDestroy(cuda->stream);
    lloyd_free(cuda);
}

static const lloyd_kernels table = {
    .name = "cuda",
    .copies = 1,
    .synchronous = 0,
    .seconds = {},
    .config = {},
    .create = create,
    .load = lloyd_cuda_load,
    .load_start = lloyd_cuda_load_start,
    .load_finish = lloyd_cuda_load_finish,
    .loaded = lloyd_cuda_loaded,
    .host_alloc = lloyd_cuda_host_alloc,
    .host_free = lloyd_cuda_host_free,
    .fill = lloyd_cuda_fill,
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
    .sums = sums,
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
    .rows = lloyd_cuda_rows,
    .take = lloyd_cuda_take,
    .seed_begin = lloyd_cuda_seed_begin,
    .seed_compare = lloyd_cuda_seed_compare,
    .seed_total = lloyd_cuda_seed_total,
    .seed_pick = lloyd_cuda_seed_pick,
    .seed_sample = lloyd_cuda_seed_sample,
    .seed_masses = lloyd_cuda_seed_masses,
    .seed_try = lloyd_cuda_seed_try,
    .seed_end = lloyd_cuda_seed_end,
    .reduce = lloyd_cuda_reduce,
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
    CUDA_TRY(cudaSetDevice(cuda->device), "selecting the GPU");
    CUDA_TRY(lloyd_cuda_look_at(cuda->device, &cuda->gpu), "asking what the GPU is");
    if (cuda->gpu.capability < 80) return refuse_device(cuda, "but 8.0 or newer is needed");
    cudaFuncAttributes attributes;
    cudaError_t code = cudaFuncGetAttributes(&attributes, (const void *)probe);
    if (code == cudaErrorNoKernelImageForDevice || code == cudaErrorInvalidDeviceFunction) {
        (void)cudaGetLastError();
        return refuse_device(cuda, "for which this lloyd was built without code");
    }
    CUDA_TRY(code, "loading the kernels");
    CUDA_TRY(cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking), "creating a stream");
    return LLOYD_OK;
}

static lloyd_status alloc_grid(cuda_kernels *cuda)
{
    int64_t dim = cuda->base.config.dim;
    const char *what = "digits of the columns";
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &cuda->digit_scale, dim, sizeof(double), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &cuda->top, dim, sizeof(int), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &cuda->digits, dim, sizeof(int), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &cuda->square_top, dim, sizeof(int), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &cuda->second, dim, sizeof(int32_t), what));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &cuda->wide_number, dim, sizeof(int32_t), what));
    return lloyd_cuda_alloc(cuda, &cuda->wide_column, dim, sizeof(int32_t), what);
}

/* The arrays that are as long as the rank has rows. */
static lloyd_status alloc_rows(cuda_kernels *cuda)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    int64_t n = config->n_local;
    LLOYD_TRY(lloyd_alloc(&cuda->slots, config->slots, sizeof(cuda_slot), "chunk table"));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &cuda->labels, n, sizeof(int32_t), "labels"));
    if (n > 0) {
        CUDA_TRY(cudaMemsetAsync(cuda->labels, 0, (size_t)n * sizeof(int32_t), cuda->stream),
                 "clearing labels");
    }
    if (config->cosine)
        LLOYD_TRY(lloyd_cuda_alloc(cuda, &cuda->lengths, n, sizeof(double), "lengths of rows"));
    if (!config->weights) return LLOYD_OK;
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &cuda->weights, n, sizeof(float), "weights"));
    return lloyd_cuda_copy_in(cuda, cuda->weights, config->weights, n * (int64_t)sizeof(float));
}

static lloyd_status alloc_state(cuda_kernels *cuda)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    LLOYD_TRY(lloyd_cuda_alloc_sums(cuda, nullptr));
    LLOYD_TRY(alloc_grid(cuda));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &cuda->results, CUDA_PINNED, 1, "results"));
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &cuda->scratch, lloyd_cuda_scratch_bytes(config->dim), 1,
                               "working space"));
    CUDA_TRY(cudaMallocHost(&cuda->pinned, CUDA_PINNED), "allocating pinned memory for results");
    return alloc_rows(cuda);
}

extern "C" lloyd_status lloyd_kernels_cuda(const lloyd_kernels_config *config, int device,
                                           lloyd_kernels **kernels)
{
    *kernels = nullptr;
    cuda_kernels *cuda;
    LLOYD_TRY(lloyd_alloc(&cuda, 1, sizeof *cuda, "CUDA kernels"));
    cuda->base = table;
    cuda->base.config = *config;
    cuda->device = device;
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

extern "C" int64_t lloyd_kernels_cuda_bytes(const lloyd_kernels_config *config, int64_t set)
{
    int64_t n = config->n_local, dim = config->dim;
    int64_t per_row = 4 + (config->weights ? 4 : 0) + (config->cosine ? 8 : 0);
    int64_t sums = lloyd_planned_sum_words(dim, config->k, lloyd_sums_one_digit(config),
                                           config->weights != nullptr);
    int64_t seeding = lloyd_cuda_seed_scratch_bytes(config),
            distances = lloyd_cuda_distances_bytes(config);
    return n * per_row + sums * (int64_t)sizeof(int64_t) + dim * GRID_BYTES +
           lloyd_cuda_scratch_bytes(dim) + CUDA_PINNED + lloyd_cuda_filter_bytes(config, set) +
           lloyd_cuda_sorter_bytes(config) + lloyd_cuda_means_bytes(config, set) +
           (seeding > distances ? seeding : distances);
}
