/* Rows of a slot as kernels see them. */
#ifndef LLOYD_KERNELS_CUDA_ROWS_CUH
#define LLOYD_KERNELS_CUDA_ROWS_CUH

#include "kernels/cuda/element.cuh"
#include "kernels/cuda/state.h"

/* The rows of a slot, passed to kernels by value. */
struct cuda_rows {
    const char *data;      /* [count*D] */
    const double *lengths; /* [count], NULL unless cosine */
    const float *weights;  /* [count], NULL without */
    int64_t count, dim;
    lloyd_type type;
};

static inline cuda_rows lloyd_cuda_slot_rows(const cuda_kernels *cuda, int slot)
{
    const cuda_slot *s = &cuda->slots[slot];
    return {s->rows,
            cuda->lengths ? cuda->lengths + s->first : nullptr,
            cuda->weights ? cuda->weights + s->first : nullptr,
            s->count,
            cuda->base.config.dim,
            cuda->base.config.type};
}

/* Rows [begin, begin + count) of these rows. */
__host__ __device__ static inline cuda_rows cuda_part(cuda_rows rows, int64_t begin, int64_t count)
{
    rows.data += begin * rows.dim * cuda_element_bytes(rows.type);
    if (rows.lengths) rows.lengths += begin;
    if (rows.weights) rows.weights += begin;
    rows.count = count;
    return rows;
}

/* Element j of row i: float32, of a row of unit length for cosine. */
template <lloyd_type T>
__device__ inline float cuda_value(const cuda_rows &rows, int64_t i, int64_t j)
{
    using element = cuda_element<T>;
    const auto *data = reinterpret_cast<const typename element::type *>(rows.data);
    float x = element::value(data[i * rows.dim + j]);
    return rows.lengths ? lloyd_normalised(x, rows.lengths[i]) : x;
}

#endif
