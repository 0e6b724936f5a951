/* See local_rows.h. */
#include "job/memory/local_rows.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

/* float64 becomes float32, as it does on reading. */
static lloyd_status find_type(const char *name, lloyd_type *type, int *wide)
{
    *wide = name && strcmp(name, "float64") == 0;
    *type = LLOYD_F32;
    if (*wide) return LLOYD_OK;
    for (; *type <= LLOYD_I8; ++*type)
        if (name && strcmp(name, lloyd_type_name(*type)) == 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE,
                      "rows of type '%s' cannot be clustered; they are float32, float64, float16, "
                      "bfloat16, uint8 or int8",
                      name ? name : "");
}

static lloyd_status check_rows(const lloyd_comm *comm, const lloyd_local_rows *rows)
{
    int64_t bytes;
    if (rows && rows->count >= 0 && rows->dim >= 1 && rows->dim <= INT32_MAX &&
        (rows->data || rows->count == 0) &&
        !__builtin_mul_overflow(rows->count, rows->dim * (int64_t)sizeof(double), &bytes))
        return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE,
                      "the rows of rank %d cannot be: %lld of %lld columns%s; give 0 or more, of 1 "
                      "to %d columns, in memory",
                      comm->rank, rows ? (long long)rows->count : 0,
                      rows ? (long long)rows->dim : 0, rows && rows->data ? "" : " at address NULL",
                      INT32_MAX);
}

static lloyd_status round_rows(const lloyd_local_rows *rows, lloyd_taken_rows *taken)
{
    const double *wide = rows->data;
    int64_t values = rows->count * rows->dim;
    LLOYD_TRY(lloyd_alloc(&taken->rounded, values, sizeof *taken->rounded, "the rows as float32"));
    for (int64_t i = 0; i < values; i++) taken->rounded[i] = (float)wide[i];
    taken->data = taken->rounded;
    return LLOYD_OK;
}

lloyd_status lloyd_local_rows_take(const lloyd_comm *comm, const lloyd_local_rows *rows,
                                   lloyd_taken_rows *taken)
{
    int wide;
    *taken = (lloyd_taken_rows){.data = NULL};
    LLOYD_TRY(check_rows(comm, rows));
    LLOYD_TRY(find_type(rows->type, &taken->type, &wide));
    if (wide && rows->on_gpu)
        return lloyd_fail(LLOYD_USAGE,
                          "rows of float64 in GPU memory are not supported; round them to "
                          "float32 there, or give them in host memory");
    taken->data = rows->data;
    return wide ? round_rows(rows, taken) : LLOYD_OK;
}

/* CPUs cannot reach the memory of a GPU. */
lloyd_status lloyd_local_rows_check_place(const lloyd_comm *comm, int cuda, int on_gpu)
{
    if (cuda || !on_gpu) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_USAGE,
        "rank %d has rows or results in GPU memory, but CPUs compute; set the backend to "
        "\"cuda\", or give host memory",
        comm->rank);
}

static lloyd_status check_finite(const float *centroids, int64_t k, int64_t dim, const char *what)
{
    for (int64_t i = 0; i < k * dim; i++) {
        if (isfinite(centroids[i])) continue;
        return lloyd_fail(LLOYD_BAD_INPUT, "%s %lld holds NaN or infinity; give finite ones", what,
                          (long long)(i / dim));
    }
    return LLOYD_OK;
}

lloyd_status lloyd_local_centroids_share(lloyd_comm *comm, const float *centroids, int64_t k,
                                         int64_t dim, const char *what, float **shared)
{
    LLOYD_TRY(lloyd_comm_alloc(comm, shared, k * dim, sizeof **shared, what));
    lloyd_status status = LLOYD_OK;
    size_t bytes = (size_t)(k * dim) * sizeof **shared;
    if (comm->rank == 0) {
        status = check_finite(centroids, k, dim, what);
        memcpy(*shared, centroids, bytes);
    }
    LLOYD_TRY(comm->agree(comm, status));
    return comm->broadcast(comm, *shared, (int64_t)bytes, 0);
}
