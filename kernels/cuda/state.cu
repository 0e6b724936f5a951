/* The device memory of the state, in lists. Everything that is needed in every iteration is allocated once. */
#include "kernels/cuda/state.h"

/* What is there from create() to destroy(). */
static void list_state(cuda_buffers &buffer, cuda_kernels *cuda, const lloyd_kernels_config *config)
{
    const int64_t n = config->n_local, dim = config->dim;
    buffer(cuda->columns, dim * CUDA_COLUMN_BYTES, "digits of the columns");
    buffer(cuda->results, CUDA_PINNED, "results");
    buffer(cuda->scratch, lloyd_cuda_scratch_bytes(dim), "working space");
    buffer(cuda->labels, n, "labels");
    buffer.optional(config->cosine, cuda->lengths, n, "lengths of rows");
    buffer.optional(config->weights, cuda->weights, n, "weights");
}

/* Sums come with the grid: of so many words and rows. */
static void list_sums(cuda_buffers &buffer, cuda_kernels *cuda, int64_t words, int64_t rows)
{
    buffer(cuda->sums, words, "sums per cluster");
    buffer(cuda->totals, words, "sums per cluster");
    buffer(cuda->summed, rows, "clusters of the summed rows");
}

lloyd_status lloyd_cuda_alloc_sums(cuda_kernels *cuda, const lloyd_grid *grid)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    cuda->grid = grid;
    cuda->layout = lloyd_layout_of_sums(grid, config->dim, config->k);
    cuda_buffers reserve = cuda_buffers::reserve(cuda);
    list_sums(reserve, cuda, cuda->layout.words, grid ? config->n_local : 0);
    LLOYD_TRY(reserve.status());
    cuda->summed_rows = 0;
    cuda->sums_continued = cuda->counters_zero = false;
    cuda->sums_zero = cuda->totals_stale = true;
    return lloyd_cuda_check(cudaMemsetAsync(cuda->sums, 0,
                                            (size_t)cuda->layout.words * sizeof *cuda->sums,
                                            cuda->stream),
                            "clearing sums");
}

lloyd_status lloyd_cuda_reserve_state(cuda_kernels *cuda)
{
    cuda_buffers reserve = cuda_buffers::reserve(cuda);
    list_state(reserve, cuda, &cuda->base.config);
    return reserve.status();
}

void lloyd_cuda_release_state(cuda_kernels *cuda)
{
    cuda_buffers release = cuda_buffers::release(cuda);
    list_state(release, cuda, &cuda->base.config);
    list_sums(release, cuda, 0, 0);
}

int64_t lloyd_cuda_state_bytes(const lloyd_kernels_config *config)
{
    cuda_kernels none = {};
    cuda_buffers count = cuda_buffers::count();
    list_state(count, &none, config);
    list_sums(count, &none,
              lloyd_planned_sum_words(config->dim, config->k, lloyd_sums_one_digit(config),
                                      config->weights != nullptr),
              config->n_local);
    return count.bytes();
}
