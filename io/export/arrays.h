/* The arrays of a model, or of labels, that are exported: their datasets, and what their files are called.
 * Private to io/. */
#ifndef LLOYD_EXPORT_ARRAYS_H
#define LLOYD_EXPORT_ARRAYS_H

#include "base/status.h"

#include <hdf5.h>
#include <stdint.h>

typedef enum lloyd_export_type {
    LLOYD_EXPORT_F32,
    LLOYD_EXPORT_F64,
    LLOYD_EXPORT_I32,
    LLOYD_EXPORT_I64
} lloyd_export_type;

typedef struct lloyd_export_array {
    const char *dataset; /* "/labels" */
    const char *name;    /* of its file, without an ending */
    lloyd_export_type type;
    int matrix; /* 1: two-dimensional */
} lloyd_export_array;

/* The arrays one by one, from index 0 on; NULL after the last. */
const lloyd_export_array *lloyd_export_array_at(int index);

/* Bytes of an element, and NumPy's name of the type: "float32". */
int64_t lloyd_export_size(lloyd_export_type type);
const char *lloyd_export_type_name(lloyd_export_type type);

/* An open dataset. */
typedef struct lloyd_export_source {
    const lloyd_export_array *array;
    const char *path; /* of the file, borrowed */
    hid_t id;         /* negative: the file has no such dataset */
    int64_t rows, columns;
} lloyd_export_source;

/* Opens the dataset, if it is there. LLOYD_BAD_INPUT if it is no array of numbers of the expected number
 * of dimensions. Close with lloyd_export_source_close(). */
lloyd_status lloyd_export_source_open(hid_t file, const char *path, const lloyd_export_array *array,
                                      lloyd_export_source *source);
void lloyd_export_source_close(lloyd_export_source *source);

/* out[count * columns] = rows [first, first + count), as the array's type. */
lloyd_status lloyd_export_source_read(const lloyd_export_source *source, int64_t first,
                                      int64_t count, void *out);

#endif
