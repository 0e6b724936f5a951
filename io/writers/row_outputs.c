/* See row_outputs.h. */
#include "io/writers/row_outputs.h"

#include "io/writers/array.h"

int64_t lloyd_row_outputs_bytes(const lloyd_row_outputs *o, const lloyd_row_shape *shape)
{
    int64_t each = (o->labels ? (int64_t)sizeof(int32_t) : 0) +
                   (o->distances ? (int64_t)sizeof(float) : 0) +
                   (o->second ? (int64_t)(sizeof(int32_t) + sizeof(float)) : 0) +
                   (o->rows ? (int64_t)sizeof(int64_t) : 0);
    int64_t members = o->members ? (shape->n + shape->k + 1) * (int64_t)sizeof(int64_t) : 0;
    return (shape->n + shape->skipped) * each + members;
}

static lloyd_status create_distances(const lloyd_output *output, const char *name, int64_t rows,
                                     int cosine)
{
    LLOYD_TRY(lloyd_array_create(output, name, LLOYD_ARRAY_F32, rows, 0));
    return lloyd_output_attribute(output, name, "quantity",
                                  cosine ? "2 - 2 cos" : "squared Euclidean distance");
}

lloyd_status lloyd_row_outputs_create(const lloyd_output *output, const lloyd_row_outputs *o,
                                      const lloyd_row_shape *shape)
{
    const int64_t rows = shape->n + shape->skipped;
    if (o->labels) LLOYD_TRY(lloyd_array_create(output, "/labels", LLOYD_ARRAY_I32, rows, 0));
    if (o->distances) LLOYD_TRY(create_distances(output, "/distances", rows, shape->cosine));
    if (o->second) {
        LLOYD_TRY(lloyd_array_create(output, "/second/labels", LLOYD_ARRAY_I32, rows, 0));
        LLOYD_TRY(create_distances(output, "/second/distances", rows, shape->cosine));
    }
    if (o->rows) LLOYD_TRY(lloyd_array_create(output, "/rows", LLOYD_ARRAY_I64, rows, 0));
    if (!o->members) return LLOYD_OK;
    LLOYD_TRY(lloyd_array_create(output, "/members", LLOYD_ARRAY_I64, shape->n, 0));
    return lloyd_array_create(output, "/offsets", LLOYD_ARRAY_I64, shape->k + 1, 0);
}
