/* .fbin, .u8bin, .i8bin (big-ann-benchmarks): number of rows and of columns as little-endian
 * uint32, then the elements, row by row. */
#include "io/readers/registry.h"

#include <string.h>

enum { HEADER = 8 };

static lloyd_type type_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot && strcmp(dot, ".u8bin") == 0) return LLOYD_U8;
    return dot && strcmp(dot, ".i8bin") == 0 ? LLOYD_I8 : LLOYD_F32;
}

static lloyd_status layout(const lloyd_raw_head *head, lloyd_raw *raw)
{
    if (head->count < HEADER) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "cannot read %s: it has %zu bytes, fewer than its header of %d",
                          head->path, head->count, HEADER);
    }
    raw->rows = lloyd_raw_number(head->bytes, 4);
    raw->columns = lloyd_raw_number(head->bytes + 4, 4);
    raw->offset = HEADER;
    raw->type = type_of(head->path);
    return LLOYD_OK;
}

const lloyd_row_reader lloyd_reader_bin = {
    .name = "big-ann-benchmarks",
    .endings = ".fbin .u8bin .i8bin",
    .layout = layout,
    .access = &lloyd_raw_access,
};
