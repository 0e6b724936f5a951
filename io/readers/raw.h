/* Raw formats: a header, and rows of equal size after each other. What all of them have in common:
 * a format only says, as a pure function of the first bytes and the size of a file, where the rows
 * lie. Private to io/. */
#ifndef LLOYD_IO_RAW_H
#define LLOYD_IO_RAW_H

#include "base/status.h"
#include "base/types.h"
#include "io/input.h"

#include <stddef.h>
#include <stdint.h>

struct lloyd_row_access; /* reader.h */
struct lloyd_row_reader;

/* How a file begins. */
typedef struct lloyd_raw_head {
    const char *path; /* also for messages */
    const unsigned char *bytes;
    size_t count;   /* of the bytes: those asked for, or the whole file if it is shorter */
    int64_t size;   /* of the file */
    int descriptor; /* of the file, -1: none */
    const lloyd_headerless *headerless; /* what is said of it; NULL or 0 columns: nothing */
} lloyd_raw_head;

typedef struct lloyd_raw {
    int64_t rows, columns;
    int64_t offset; /* of the first row in the file */
    /* Bytes before the elements of each row, 0 or 4: the row's number of columns, a little-endian
     * int32, which is checked when the row is read. */
    int64_t prefix;
    int64_t stride; /* bytes of a row, its prefix included */
    int64_t bytes;  /* of all rows; offset + bytes is the size of the file */
    lloyd_type type;
    int wide; /* 1: float64, and type is LLOYD_F32 */
    int big_endian;
} lloyd_raw;

enum {
    LLOYD_RAW_FIRST = 16,       /* bytes that tell formats apart */
    LLOYD_RAW_HEADER = 1 << 16, /* and no header that is accepted is longer */
};

/* Opens a regular file and reads up to `most` of its first bytes, which are borrowed by the head.
 * The caller closes head->descriptor, and says more of the file. LLOYD_BAD_INPUT, with nothing
 * open. */
lloyd_status lloyd_raw_open_head(const char *path, unsigned char *bytes, size_t most,
                                 lloyd_raw_head *head);

/* Stride and bytes of a layout, from its other members. LLOYD_BAD_INPUT where they do not fit the
 * size of the file, or are none that a matrix has. */
lloyd_status lloyd_raw_layout(const struct lloyd_row_reader *reader, const lloyd_raw_head *head,
                              lloyd_raw *raw);

/* The same of a file: reads its header, if it has one. *descriptor: the open file, unless it is
 * NULL. */
lloyd_status lloyd_raw_inspect(const struct lloyd_row_reader *reader, const char *path,
                               const lloyd_headerless *headerless, int *descriptor, lloyd_raw *raw);

/* A little-endian number of `count` bytes, at most 4. */
uint32_t lloyd_raw_number(const unsigned char *bytes, int count);

/* How such files are read. */
extern const struct lloyd_row_access lloyd_raw_access;

#endif
