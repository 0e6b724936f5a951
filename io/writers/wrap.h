/* An HDF5 file around raw ones. */
#ifndef LLOYD_IO_WRAP_H
#define LLOYD_IO_WRAP_H

#include "base/status.h"
#include "io/input.h"
#include "io/writers/output.h"

#include <stdint.h>

/* What was wrapped. */
typedef struct lloyd_wrapped {
    int64_t rows, columns;
    const char *type; /* "float32" */
} lloyd_wrapped;

/* Makes the partial file of an HDF5 file whose dataset /train is the rows of `count` raw files, one
 * after the other: of formats that are a header and rows (.npy, .fbin, ...), or without a header, as
 * `headerless` says (0 columns: they have one); all with the same number of columns and the same type. Nothing is copied: the dataset points into them (external
 * storage). Checks the headers against the sizes of the files. LLOYD_BAD_INPUT, LLOYD_FAILED. */
lloyd_status lloyd_wrapped_write(const char *const *paths, int count,
                                 const lloyd_headerless *headerless, const lloyd_output *output,
                                 lloyd_wrapped *wrapped);

#endif
