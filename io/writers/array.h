/* Row-shaped datasets of an output (labels, distances, synthetic rows), which all ranks write at
 * the same time: the sequence of calls is that of output.h. */
#ifndef LLOYD_IO_ARRAY_H
#define LLOYD_IO_ARRAY_H

#include "base/status.h"
#include "io/writers/output.h"

#include <stdint.h>

/* One dataset of an output file while its rows are written. */
typedef struct lloyd_array lloyd_array;

typedef enum lloyd_array_type {
    LLOYD_ARRAY_I32, /* labels */
    LLOYD_ARRAY_F32, /* distances, rows */
    LLOYD_ARRAY_F16,
    LLOYD_ARRAY_BF16,
    LLOYD_ARRAY_U8,
    LLOYD_ARRAY_I8,
    LLOYD_ARRAY_I64 /* numbers of rows */
} lloyd_array_type;

/* Creates dataset `name` in the partial file, which is there, and the groups in its path that are not:
 * contiguous, allocated, not filled, [rows] if columns is 0, else [rows, columns]. */
lloyd_status lloyd_array_create(const lloyd_output *output, const char *name, lloyd_array_type type,
                                int64_t rows, int64_t columns);

/* Opens dataset `name` of the partial file for writing rows from this process. */
lloyd_status lloyd_array_open(const lloyd_output *output, const char *name, lloyd_array **array);

/* Writes rows [first, first+count), native byte order. Safe beside other processes that write other
 * rows. */
lloyd_status lloyd_array_write(lloyd_array *array, int64_t first, int64_t count, const void *data);
lloyd_status
lloyd_array_close(lloyd_array *array); /* reports errors that writing deferred; NULL is allowed */

#endif
