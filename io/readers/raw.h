/* Headers of raw vector files, parsed from memory: pure functions that know no file, so that
 * they can be tested with any bytes. Private to io/. */
#ifndef LLOYD_IO_RAW_H
#define LLOYD_IO_RAW_H

#include "base/status.h"
#include "base/types.h"

#include <stddef.h>
#include <stdint.h>

typedef struct lloyd_raw {
    int64_t rows, columns;
    int64_t offset; /* of the first element in the file */
    int64_t bytes;  /* of all elements; offset + bytes is the size the file must have */
    lloyd_type type;
    int wide; /* 1: float64, and type is LLOYD_F32 */
    int big_endian;
} lloyd_raw;

/* No header that is accepted is longer; give the parsers that many bytes, or the whole file if
 * it is shorter. */
enum { LLOYD_RAW_HEADER = 1 << 16 };

/* .fbin, .u8bin, .i8bin (big-ann-benchmarks): number of rows and columns as little-endian
 * uint32, then the elements, here of type `type`. `name` is for messages. Errors:
 * LLOYD_BAD_INPUT. */
lloyd_status lloyd_raw_bin(const unsigned char *header, size_t bytes, lloyd_type type,
                           const char *name, lloyd_raw *raw);

/* .npy, versions 1 to 3 (NumPy enhancement proposal 1): two-dimensional, C order. */
lloyd_status lloyd_raw_npy(const unsigned char *header, size_t bytes, const char *name,
                           lloyd_raw *raw);

#endif
