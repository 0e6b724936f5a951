/* The CUDA implementation of kernels.h: state, memory and the table of functions.
 *
 * A slot owns device memory and load() copies into it. Rows in pageable memory pass through two
 * pinned buffers, so that the host fills one while the other is on its way; rows in pinned memory
 * go directly. load_start() copies on a stream of its own: the copy waits for what was enqueued
 * before it, and what follows load_finish() waits for the copy. Everything that is needed in every iteration is allocated here, once.
 */
#include "kernels/cuda/cuda.h"

#include <assert.h>
#include <string.h>

static const int64_t STAGING_BYTES = 16 << 20, /* of either buffer */
    STAGED_BYTES = 1 << 18,                    /* less than this is not worth the buffers */
    PIECE_BYTES = 1 << 20;                     /* that a thread copies at a time */

struct cuda_staging {
    char *memory[2];
    cudaEvent_t sent[2]; /* what was in the buffer has left it */
    int next;
};

/* --- errors and memory --- */

lloyd_status lloyd_cuda_check(cudaError_t code, const char *what)
{
    if (code == cudaSuccess) return LLOYD_OK;
    (void)cudaGetLastError(); /* or the next launch would report it again */
    return lloyd_fail(LLOYD_FAILED,
                      "on the GPU, %s: %s (%s); --backend cpu gives the same results without a GPU",
                      what, cudaGetErrorString(code), cudaGetErrorName(code));
}

lloyd_status lloyd_cuda_alloc(cuda_kernels *cuda, void *out, int64_t count, size_t size,
                              const char *what)
{
    void *memory = nullptr;
    size_t bytes;
    memcpy(out, &memory, sizeof memory);
    if (count < 0 || __builtin_mul_overflow((size_t)count, size, &bytes) ||
        bytes > (size_t)INT64_MAX) {
        return lloyd_fail(LLOYD_FAILED,
                          "cannot allocate %s: %lld elements of %zu bytes are more than any memory",
                          what, (long long)count, size);
    }
    cudaError_t code = cudaMalloc(&memory, bytes > 0 ? bytes : 1);
    if (code == cudaErrorMemoryAllocation) {
        size_t left = 0, total = 0;
        (void)cudaGetLastError();
        (void)cudaMemGetInfo(&left, &total);
        return lloyd_fail(
            LLOYD_FAILED,
            "cannot allocate %.3f GB for %s on GPU %d (%.3f of its %.3f GB are free); use more GPUs, or a smaller "
            "--chunk-rows",
            (double)bytes / 1e9, what, cuda->device, (double)left / 1e9, (double)total / 1e9);
    }
    CUDA_TRY(code, what);
    cuda->allocated += (int64_t)bytes;
    if (cuda->allocated > cuda->peak) cuda->peak = cuda->allocated;
    memcpy(out, &memory, sizeof memory);
    return LLOYD_OK;
}

void lloyd_cuda_free(cuda_kernels *cuda, void *memory, int64_t count, size_t size)
{
    if (!memory) return;
    (void)cudaFree(memory);
    cuda->allocated -= count * (int64_t)size;
}

lloyd_status lloyd_cuda_fetch(cuda_kernels *cuda, void *host, const void *device, size_t bytes)
{
    assert(bytes <= CUDA_PINNED);
    CUDA_TRY(cudaMemcpyAsync(cuda->pinned, device, bytes, cudaMemcpyDeviceToHost, cuda->stream),
             "copying results to the host");
    CUDA_TRY(cudaStreamSynchronize(cuda->stream), "waiting for results");
    memcpy(host, cuda->pinned, bytes);
    return LLOYD_OK;
}

/* --- rows and other arrays on their way in --- */

static lloyd_status new_staging(cuda_kernels *cuda)
{
    LLOYD_TRY(lloyd_alloc(&cuda->staging, 1, sizeof *cuda->staging, "copies to the GPU"));
    for (int b = 0; b < 2; b++) {
        CUDA_TRY(cudaMallocHost(&cuda->staging->memory[b], STAGING_BYTES),
                 "allocating pinned memory for copies");
        CUDA_TRY(cudaEventCreateWithFlags(&cuda->staging->sent[b], cudaEventDisableTiming),
                 "creating an event for copies");
    }
    return LLOYD_OK;
}

static void free_staging(cuda_kernels *cuda)
{
    if (!cuda->staging) return;
    for (int b = 0; b < 2; b++) {
        if (cuda->staging->sent[b]) (void)cudaEventDestroy(cuda->staging->sent[b]);
        (void)cudaFreeHost(cuda->staging->memory[b]);
    }
    lloyd_free(cuda->staging);
    cuda->staging = nullptr;
}

/* memcpy() by several threads: one core copies slower than the bus. */
static void copy_on_host(char *to, const char *from, int64_t bytes, int threads)
{
    (void)threads; /* without OpenMP there is one */
#if defined(_OPENMP)
#pragma omp parallel for num_threads(threads)
#endif
    for (int64_t at = 0; at < bytes; at += PIECE_BYTES) {
        int64_t here = bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
        memcpy(to + at, from + at, (size_t)here);
    }
}

static lloyd_status copy_staged(cuda_kernels *cuda, char *to, const char *from, int64_t bytes)
{
    if (!cuda->staging) LLOYD_TRY(new_staging(cuda));
    cuda_staging *staging = cuda->staging;
    for (int64_t at = 0; at < bytes; at += STAGING_BYTES) {
        int64_t here = bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES;
        int b = staging->next;
        staging->next = 1 - b;
        CUDA_TRY(cudaEventSynchronize(staging->sent[b]), "waiting for a copy to the GPU");
        copy_on_host(staging->memory[b], from + at, here, cuda->base.config.threads);
        CUDA_TRY(cudaMemcpyAsync(to + at, staging->memory[b], (size_t)here, cudaMemcpyHostToDevice,
                                 cuda->stream),
                 "copying to the GPU");
        CUDA_TRY(cudaEventRecord(staging->sent[b], cuda->stream), "copying to the GPU");
    }
    return LLOYD_OK;
}

/* Memory CUDA knows (pinned, managed, of a device) is copied from where it is. */
static bool is_known(const void *memory)
{
    cudaPointerAttributes attributes;
    if (cudaPointerGetAttributes(&attributes, memory) != cudaSuccess) {
        (void)cudaGetLastError();
        return false;
    }
    return attributes.type != cudaMemoryTypeUnregistered;
}

/* Copies into device memory, in the order of the stream. `from` is free again on return. */
static lloyd_status copy_in(cuda_kernels *cuda, void *to, const void *from, int64_t bytes)
{
    if (bytes == 0) return LLOYD_OK;
    if (bytes >= STAGED_BYTES && !is_known(from))
        return copy_staged(cuda, (char *)to, (const char *)from, bytes);
    CUDA_TRY(cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDefault, cuda->stream),
             "copying to the GPU");
    return lloyd_cuda_check(cudaStreamSynchronize(cuda->stream), "copying to the GPU");
}

/* To wherever the caller wants it. */
static lloyd_status copy_out(cuda_kernels *cuda, void *to, const void *from, int64_t bytes)
{
    if (bytes == 0) return LLOYD_OK;
    CUDA_TRY(cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDefault, cuda->stream),
             "copying results");
    return lloyd_cuda_check(cudaStreamSynchronize(cuda->stream), "copying results");
}

/* --- slots --- */

static int64_t row_bytes(const lloyd_kernels_config *config)
{
    return config->dim * (int64_t)lloyd_type_size(config->type);
}

/* Memory for `count` rows. What comes and goes through a slot is mostly as large as before. */
static lloyd_status reserve(cuda_kernels *cuda, cuda_slot *slot, int64_t count)
{
    int64_t bytes = count * row_bytes(&cuda->base.config);
    if (slot->rows && bytes <= slot->bytes) return LLOYD_OK;
    lloyd_cuda_free(cuda, slot->rows, slot->bytes, 1);
    slot->rows = nullptr;
    slot->bytes = 0;
    LLOYD_TRY(lloyd_cuda_alloc(cuda, &slot->rows, bytes, 1, "the rows of this rank"));
    slot->bytes = bytes;
    return LLOYD_OK;
}

/* The slot becomes rows [first, first + count), which are not in it yet. */
static lloyd_status assign_slot(cuda_kernels *cuda, cuda_slot *slot, int64_t first, int64_t count)
{
    slot->described = false;
    slot->first = first;
    slot->count = 0;
    LLOYD_TRY(reserve(cuda, slot, count));
    slot->count = count;
    return LLOYD_OK;
}

static lloyd_status fill(lloyd_kernels *kernels, int slot_number, int64_t at, int64_t count,
                         const void *rows)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    cuda_slot *slot = &cuda->slots[slot_number];
    int64_t bytes = row_bytes(&kernels->config);
    assert(at >= 0 && count >= 0 && at + count <= slot->count);
    slot->described = false;
    LLOYD_TRY(copy_in(cuda, slot->rows + at * bytes, rows, count * bytes));
    return kernels->config.cosine ? lloyd_cuda_lengths(cuda, slot_number, at, count) : LLOYD_OK;
}

static lloyd_status load(lloyd_kernels *kernels, int slot_number, int64_t first, int64_t count,
                         const void *rows)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    cuda_slot *slot = &cuda->slots[slot_number];
    if (slot->copied)
        CUDA_TRY(cudaStreamWaitEvent(cuda->stream, slot->copied, 0), "ordering a copy to the GPU");
    LLOYD_TRY(assign_slot(cuda, slot, first, count));
    return rows ? fill(kernels, slot_number, 0, count, rows) : LLOYD_OK;
}

/* --- copies beside the computing --- */

static lloyd_status open_copies(cuda_kernels *cuda)
{
    const char *what = "preparing copies to the GPU";
    CUDA_TRY(cudaEventCreateWithFlags(&cuda->asked, cudaEventDisableTiming), what);
    return lloyd_cuda_check(cudaStreamCreateWithFlags(&cuda->copies, cudaStreamNonBlocking), what);
}

/* Whatever reads the slot is on the stream by now, so the copy waits for the stream as it is. */
static lloyd_status load_start(lloyd_kernels *kernels, int slot_number, int64_t first,
                               int64_t count, const void *rows)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    cuda_slot *slot = &cuda->slots[slot_number];
    const char *what = "starting a copy to the GPU";
    size_t bytes = (size_t)(count * row_bytes(&kernels->config));
    if (!cuda->copies) LLOYD_TRY(open_copies(cuda));
    if (!slot->copied)
        CUDA_TRY(cudaEventCreateWithFlags(&slot->copied, cudaEventDisableTiming), what);
    LLOYD_TRY(assign_slot(cuda, slot, first, count));
    CUDA_TRY(cudaEventRecord(cuda->asked, cuda->stream), what);
    CUDA_TRY(cudaStreamWaitEvent(cuda->copies, cuda->asked, 0), what);
    CUDA_TRY(cudaMemcpyAsync(slot->rows, rows, bytes, cudaMemcpyHostToDevice, cuda->copies), what);
    return lloyd_cuda_check(cudaEventRecord(slot->copied, cuda->copies), what);
}

static lloyd_status load_finish(lloyd_kernels *kernels, int slot_number)
{
    cuda_kernels *cuda = lloyd_cuda(kernels);
    const cuda_slot *slot = &cuda->slots[slot_number];
    CUDA_TRY(cudaStreamWaitEvent(cuda->stream, slot->copied, 0), "ordering a copy to the GPU");
    return kernels->config.cosine ? lloyd_cuda_lengths(cuda, slot_number, 0, slot->count)
                                  : LLOYD_OK;
}

static lloyd_status loaded(lloyd_kernels *kernels, int slot)
{
    cudaEvent_t copied = lloyd_cuda(kernels)->slots[slot].copied;
    return copied ? lloyd_cuda_check(cudaEventSynchronize(copied), "copying rows to the GPU")
                  : LLOYD_OK;
}

/* Pinning memory that is there, in huge pages, takes a fraction of the time of cudaMallocHost(). */
static lloyd_status host_alloc(lloyd_kernels *kernels, int64_t bytes, const char *what,
                               void **memory)
{
    (void)kernels;
    LLOYD_TRY(lloyd_alloc(memory, bytes, 1, what));
    cudaError_t code = cudaHostRegister(*memory, (size_t)bytes, cudaHostRegisterDefault);
    if (code == cudaSuccess) return LLOYD_OK;
    (void)cudaGetLastError();
    lloyd_free(*memory);
    *memory = nullptr;
    return lloyd_fail(LLOYD_FAILED,
                      "cannot pin %.3f GB of host memory for %s: %s; use a smaller "
                      "--max-host-memory",
                      (double)bytes / 1e9, what, cudaGetErrorString(code));
}

static void host_free(lloyd_kernels *kernels, void *memory)
{
    (void)kernels;
    if (!memory) return;
    (void)cudaHostUnregister(memory);
    lloyd_free(memory);
}

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
    return copy_out(cuda, centroids, cuda->centroids, bytes);
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
    return copy_out(cuda, out, cuda->labels + first, count * (int64_t)sizeof *out);
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
    free_staging(cuda);
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
    .load = load,
    .load_start = load_start,
    .load_finish = load_finish,
    .loaded = loaded,
    .host_alloc = host_alloc,
    .host_free = host_free,
    .fill = fill,
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

static cudaError_t look_at(int device, cuda_gpu *gpu)
{
    int major = 0, minor = 0;
    const struct {
        cudaDeviceAttr which;
        int *value;
    } wanted[] = {{cudaDevAttrComputeCapabilityMajor, &major},
                  {cudaDevAttrComputeCapabilityMinor, &minor},
                  {cudaDevAttrMultiProcessorCount, &gpu->multiprocessors},
                  {cudaDevAttrMaxSharedMemoryPerBlockOptin, &gpu->shared_bytes}};
    for (const auto &w : wanted) {
        cudaError_t code = cudaDeviceGetAttribute(w.value, w.which, device);
        if (code != cudaSuccess) return code;
    }
    gpu->capability = 10 * major + minor;
    return cudaSuccess;
}

static lloyd_status open_device(cuda_kernels *cuda)
{
    CUDA_TRY(cudaSetDevice(cuda->device), "selecting the GPU");
    CUDA_TRY(look_at(cuda->device, &cuda->gpu), "asking what the GPU is");
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
    return copy_in(cuda, cuda->weights, config->weights, n * (int64_t)sizeof(float));
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

cuda_gpu lloyd_cuda_planned_gpu(void)
{
    const cuda_gpu h200 = {132, 90, 227 << 10};
    cuda_gpu gpu;
    int device;
    if (cudaGetDevice(&device) == cudaSuccess && look_at(device, &gpu) == cudaSuccess) return gpu;
    (void)cudaGetLastError();
    return h200;
}

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

extern "C" lloyd_status lloyd_cuda_devices(int *count)
{
    *count = 0;
    cudaError_t code = cudaGetDeviceCount(count);
    if (code == cudaErrorNoDevice || code == cudaErrorInsufficientDriver ||
        code == cudaErrorStubLibrary) {
        (void)cudaGetLastError();
        *count = 0;
        return LLOYD_OK;
    }
    return lloyd_cuda_check(code, "counting GPUs");
}

extern "C" lloyd_status lloyd_cuda_memory(int device, int64_t *free_bytes, int64_t *total_bytes)
{
    size_t left, total;
    CUDA_TRY(cudaSetDevice(device), "selecting the GPU");
    CUDA_TRY(cudaMemGetInfo(&left, &total), "asking for the GPU's memory");
    *free_bytes = (int64_t)left;
    *total_bytes = (int64_t)total;
    return LLOYD_OK;
}
