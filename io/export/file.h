/* A file that an array is exported to: .npy, .fvecs or .csv, written row by row. Private to io/. */
#ifndef LLOYD_EXPORT_FILE_H
#define LLOYD_EXPORT_FILE_H

#include "base/status.h"
#include "io/export/arrays.h"

#include <stdint.h>

typedef enum lloyd_export_format {
    LLOYD_EXPORT_NPY,
    LLOYD_EXPORT_FVECS, /* of matrices; others are .npy */
    LLOYD_EXPORT_CSV
} lloyd_export_format;

/* *format = the one of that name: "npy", "fvecs" or "csv". */
lloyd_status lloyd_export_format_find(const char *name, lloyd_export_format *format);

/* The ending of the file of an array: ".npy". */
const char *lloyd_export_ending(lloyd_export_format format, const lloyd_export_array *array);

/* Bytes of the file, at least (of .csv, whose size depends on the numbers). */
int64_t lloyd_export_bytes(lloyd_export_format format, const lloyd_export_source *source);

/* Writes the array to a new file, in pieces, and syncs it. shown: the name in messages. */
lloyd_status lloyd_export_write(lloyd_export_format format, const lloyd_export_source *source,
                                const char *path, const char *shown);

#endif
