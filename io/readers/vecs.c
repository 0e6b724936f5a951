/* .fvecs, .bvecs (corpus-texmex.irisa.fr): before the elements of each row their number, a
 * little-endian int32. It is the same in all rows: the first row's gives the shape, that of each
 * other row is compared when the row is read. */
#include "io/readers/registry.h"

#include <string.h>

enum { PREFIX = 4 };

static lloyd_status layout(const lloyd_raw_head *head, lloyd_raw *raw)
{
    const char *dot = strrchr(head->path, '.');
    if (head->count < PREFIX) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot read %s: it has %zu bytes, fewer than the %d of its first row's number of "
            "columns",
            head->path, head->count, PREFIX);
    }
    raw->type = dot && strcmp(dot, ".bvecs") == 0 ? LLOYD_U8 : LLOYD_F32;
    raw->prefix = PREFIX;
    raw->columns = (int32_t)lloyd_raw_number(head->bytes, PREFIX);
    if (raw->columns < 1) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot read %s: its first row says that it has %lld columns; the file is damaged, or "
            "of another format",
            head->path, (long long)raw->columns);
    }
    int64_t row = PREFIX + raw->columns * (int64_t)lloyd_type_size(raw->type);
    raw->rows = head->size / row;
    if (raw->rows > 0 && head->size % row == 0) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot read %s: its %lld bytes are no whole number of rows of %lld bytes (%lld columns); "
        "it was not copied completely, or it is of another format",
        head->path, (long long)head->size, (long long)row, (long long)raw->columns);
}

const lloyd_row_reader lloyd_reader_vecs = {
    .name = "TEXMEX",
    .endings = ".fvecs .bvecs",
    .layout = layout,
    .access = &lloyd_raw_access,
};
