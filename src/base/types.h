/* Element types of a dataset, and the places memory can be in. Nothing here knows k-means. */
#ifndef LLOYD_BASE_TYPES_H
#define LLOYD_BASE_TYPES_H

#include <stddef.h>
#include <stdint.h>

/* How an element is stored. float64 datasets are rounded to float32 while reading, so they are
 * LLOYD_F32 here. */
typedef enum lloyd_type { LLOYD_F32, LLOYD_F16, LLOYD_BF16, LLOYD_U8, LLOYD_I8 } lloyd_type;

/* Bytes of one element. */
static inline size_t lloyd_type_size(lloyd_type type)
{
    return type == LLOYD_F32 ? 4 : type == LLOYD_F16 || type == LLOYD_BF16 ? 2 : 1;
}

/* "float32", "float16", "bfloat16", "uint8" or "int8". */
const char *lloyd_type_name(lloyd_type type);

typedef enum lloyd_place { LLOYD_HOST, LLOYD_CUDA } lloyd_place;

/* Memory handed from one folder to another (kernels to comm, through src): where it is, and the
 * stream whose work must be done before anyone reads it (NULL on the host). Does not own the
 * memory. */
typedef struct lloyd_buffer {
    void *data;
    lloyd_place place;
    void *stream;
} lloyd_buffer;

#endif
