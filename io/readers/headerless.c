/* Files without a header: elements row by row, as NumPy's tofile() and memmap() write them. Type and
 * number of columns are what the user says. */
#include "io/readers/registry.h"

static int recognises(const lloyd_raw_head *head)
{
    return head->headerless && head->headerless->columns > 0;
}

static lloyd_status layout(const lloyd_raw_head *head, lloyd_raw *raw)
{
    if (!recognises(head)) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "cannot read %s: it has no header; give --raw TYPE and --dim D",
                          head->path);
    }
    const lloyd_headerless *said = head->headerless;
    const int64_t element = said->wide ? 8 : (int64_t)lloyd_type_size(said->type);
    int64_t row;
    raw->columns = said->columns;
    raw->type = said->type;
    raw->wide = said->wide;
    if (__builtin_mul_overflow(said->columns, element, &row)) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "cannot read %s: a row of --dim %lld columns has more than 2^63 bytes; "
                          "check --dim",
                          head->path, (long long)said->columns);
    }
    raw->rows = head->size / row;
    if (head->size % row == 0) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot read %s: its %lld bytes are no whole number of rows of %lld bytes (--dim %lld of "
        "%s); check --raw and --dim, or it was not copied completely",
        head->path, (long long)head->size, (long long)row, (long long)said->columns,
        said->wide ? "float64" : lloyd_type_name(said->type));
}

const lloyd_row_reader lloyd_reader_headerless = {
    .name = "headerless",
    .endings = "",
    .recognises = recognises,
    .layout = layout,
    .access = &lloyd_raw_access,
};
