/* The 8-bit filter: its memory and its launch. docs/numerics.md, section 2.7. */
#include "kernels/cuda/int8/filter.h"

#include "kernels/cuda/assign/exact.h"
#include "kernels/cuda/assign/filter.h"
#include "kernels/cuda/assign/prepare.h"
#include "kernels/cuda/int8/kernel.h"
#include "kernels/cuda/int8/prepare.h"

#include <algorithm>
#include <cmath>

namespace
{

/* Candidates are numbered in 32 bits; few centroids are not worth it. */
enum { LEAST_SET = 256, MOST_SET = 1 << 26 };

/* Rows that have codes beside them: all where each chunk has a slot of its own, or a plan does not know the slots yet; else as many
 * as the slots hold. */
int64_t code_rows(const lloyd_kernels_config *config)
{
    if (config->slots == 0 || lloyd_cuda_int8_by_row(config)) return config->n_local;
    return config->slots * config->chunk_rows;
}

/* Rows of a segment: all that a block of the filter has. */
int64_t segment_rows(const cuda_gpu &gpu, int64_t dim, int64_t rows)
{
    const int tile = lloyd_cuda_int8_tile_rows(dim);
    return cuda_divide_up(cuda_divide_up(rows, tile), gpu.multiprocessors) * tile;
}

/* The codes as a tensor of bytes, `rows` of them. */
lloyd_status describe_tensor(const uint8_t *codes, int64_t columns, int64_t stride, int64_t rows,
                             CUtensorMap *map)
{
    static decltype(&cuTensorMapEncodeTiled)
        encode; /* of the driver, which lloyd is not linked to */
    const char *what = "describing the rows to the copy engine";
    if (!encode) {
        void *function = nullptr;
        cudaDriverEntryPointQueryResult result;
#if CUDART_VERSION >= 12050
        CUDA_TRY(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                                  cudaEnableDefault, &result),
                 what);
#else
        CUDA_TRY(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault,
                                         &result),
                 what);
#endif
        if (result != cudaDriverEntryPointSuccess)
            return lloyd_fail(LLOYD_FAILED, "%s: the driver lacks cuTensorMapEncodeTiled", what);
        encode = (decltype(encode))function;
    }
    const cuuint64_t size[2] = {(cuuint64_t)columns, (cuuint64_t)rows};
    const cuuint64_t strides[1] = {(cuuint64_t)stride};
    const cuuint32_t box[2] = {INT8_CHUNK, INT8_GROUP}, step[2] = {1, 1};
    const CUresult result =
        encode(map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, (void *)codes, size, strides, box, step,
               CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
               CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    return result == CUDA_SUCCESS
               ? LLOYD_OK
               : lloyd_fail(LLOYD_FAILED, "%s: error %d of the CUDA driver", what, (int)result);
}

} // namespace

int8_lists lloyd_cuda_int8_lists(const cuda_kernels *cuda, int count)
{
    const cuda_int8 *f = &cuda->filter->int8;
    return {f->rows_of,
            f->row,
            f->found,
            f->start,
            f->candidate,
            f->order,
            (int)segment_rows(cuda->gpu, cuda->base.config.dim, count)};
}

double lloyd_cuda_int8_reach(const cuda_kernels *cuda)
{
    return 255 * std::sqrt((double)cuda->base.config.dim);
}

int64_t lloyd_cuda_int8_wave(const cuda_kernels *cuda)
{
    return (int64_t)cuda->gpu.multiprocessors * lloyd_cuda_int8_tile_rows(cuda->base.config.dim);
}

bool lloyd_cuda_int8_serves(const cuda_gpu &gpu, const lloyd_kernels_config *config, int64_t set)
{
    const int64_t least = config->filter == LLOYD_FILTER_INT8 ? FLASH_FEW + 1 : LEAST_SET;
    return config->filter != LLOYD_FILTER_FLOAT && set >= least && set <= MOST_SET &&
           lloyd_cuda_int8_supports(gpu, config->dim);
}

void lloyd_cuda_int8_list(cuda_buffers &buffer, cuda_int8 *f, const cuda_gpu &gpu,
                          const lloyd_kernels_config *config, int64_t set, int64_t block)
{
    const int64_t stride = lloyd_cuda_int8_stride(config->dim), dim = config->dim;
    const bool serves = lloyd_cuda_int8_serves(gpu, config, set);
    const bool beside = serves && !lloyd_cuda_int8_in_place(config);
    const int64_t padded = cuda_divide_up(set, INT8_TILE) * INT8_TILE;
    const int64_t segments = gpu.multiprocessors;
    const int64_t listed = serves ? segments * segment_rows(gpu, dim, block) : 0;
    const char *lists = "the 8-bit filter's lists";
    buffer.optional(serves, f->origin, dim, "the 8-bit filter's origin");
    buffer.optional(serves, f->range, 2 * dim, "the 8-bit filter's origin");
    buffer.optional(serves, f->units, 1, "the 8-bit filter's units");
    buffer.optional(serves, f->rows, config->n_local, "bounds of rows");
    buffer.optional(beside, f->codes, code_rows(config) * stride, "codes of rows");
    buffer.optional(serves, f->image, padded * lloyd_cuda_int8_steps(dim) * INT8_STEP,
                    "codes of the centroids");
    buffer.optional(serves, f->tile, padded / INT8_TILE, "codes of the centroids");
    buffer.optional(serves, f->key, set, "the sorted centroids");
    buffer.optional(serves, f->sorted_key, set, "the sorted centroids");
    buffer.optional(serves, f->number, set, "the sorted centroids");
    buffer.optional(serves, f->order, set, "the sorted centroids");
    buffer.optional(serves, f->sorter, serves ? lloyd_cuda_length_sorter_bytes(set) : 0,
                    "the sorted centroids");
    buffer.optional(serves, f->digits, 2 * set * stride, "codes of the centroids");
    buffer.optional(serves, f->own_bias, set, "codes of the centroids");
    buffer.optional(serves, f->bias, set, "codes of the centroids");
    buffer.optional(serves, f->rows_of, segments, lists);
    buffer.optional(serves, f->row, listed, lists);
    buffer.optional(serves, f->found, listed, lists);
    buffer.optional(serves, f->start, listed, lists);
    buffer.optional(serves, f->candidate, listed * FLASH_CANDIDATES, lists);
    buffer.optional(serves, f->sampled, INT8_SAMPLED, lists);
}

int8_params lloyd_cuda_int8_params(cuda_kernels *cuda, int slot, int64_t begin, int count,
                                   const cuda_decision &d)
{
    const cuda_int8 *f = &cuda->filter->int8;
    const lloyd_kernels_config *config = &cuda->base.config;
    int8_params p = {};
    p.stride = lloyd_cuda_int8_stride(config->dim);
    p.codes = lloyd_cuda_int8_codes(cuda, slot) + begin * p.stride;
    p.rows = f->rows + cuda->slots[slot].first + begin;
    p.begin = begin;
    p.count = count;
    p.pieces = (int)(p.stride / INT8_PIECE);
    p.steps = lloyd_cuda_int8_steps(config->dim);
    p.tiles = (int)cuda_divide_up(cuda->set, INT8_TILE);
    p.set = (int32_t)cuda->set;
    p.reach = lloyd_cuda_int8_reach(cuda);
    p.image = f->image;
    p.tile = f->tile;
    p.order = f->order;
    p.digits = f->digits;
    p.own_bias = f->own_bias;
    p.units = f->units;
    p.labels = d.labels;
    p.counters = d.counters;
    p.lists = lloyd_cuda_int8_lists(cuda, count);
    p.open = &d.lists.counters[FLASH_OPEN];
    return p;
}

static lloyd_status find(cuda_kernels *cuda, int slot, int64_t begin, int count,
                         const cuda_decision &d, unsigned long long *counters, int *open,
                         bool counts_only)
{
    LLOYD_TRY(lloyd_cuda_int8_prepare(cuda, slot));
    int8_params p = lloyd_cuda_int8_params(cuda, slot, begin, count, d);
    LLOYD_TRY(describe_tensor(p.codes, p.stride, p.stride, count, &p.map));
    p.counters = counters;
    p.counts_only = counts_only;
    p.open = open;
    return lloyd_cuda_int8_launch(cuda->gpu, p, lloyd_cuda_int8_unsigned(&cuda->base.config),
                                  cuda->stream);
}

lloyd_status lloyd_cuda_int8_find(cuda_kernels *cuda, int slot, int64_t begin, int count,
                                  const cuda_decision &d)
{
    return find(cuda, slot, begin, count, d, d.counters, &d.lists.counters[FLASH_OPEN], false);
}

/* While the first rows are looked at the first time, the host enqueues what is measured; and the kernel is loaded by then. */
lloyd_status lloyd_cuda_int8_sample(cuda_kernels *cuda, int slot, int first, int count,
                                    const cuda_decision &d, cuda_span *part, cuda_span *all)
{
    unsigned long long *sampled = cuda->filter->int8.sampled;
    const struct {
        int rows;
        cuda_span *span;
    } tries[] = {{first, nullptr}, {first, part}, {count, all}};
    for (const auto &one : tries) {
        CUDA_TRY(cudaMemsetAsync(sampled, 0, INT8_SAMPLED * sizeof *sampled, cuda->stream),
                 "trying the 8-bit filter");
        if (one.span) LLOYD_TRY(lloyd_cuda_span_begin(cuda, one.span));
        LLOYD_TRY(find(cuda, slot, 0, one.rows, d, sampled,
                       reinterpret_cast<int *>(&sampled[LLOYD_COUNTERS]), true));
        if (one.span) LLOYD_TRY(lloyd_cuda_span_end(cuda, one.span, one.rows));
    }
    return LLOYD_OK;
}
