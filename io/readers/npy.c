/* .npy, versions 1 to 3 (NumPy enhancement proposal 1): a header that is a dictionary of Python,
 * and the elements. Two-dimensional arrays in C order are rows. */
#include "io/readers/npy_header.h"
#include "io/readers/registry.h"

#include <string.h>

static int parse_type(const char *descr, lloyd_raw *raw)
{
    static const struct {
        const char *name;
        lloyd_type type;
        int wide;
    } types[] = {{"f4", LLOYD_F32, 0},  {"f2", LLOYD_F16, 0},
                 {"V2", LLOYD_BF16, 0}, /* as NumPy saves the bfloat16 of ml_dtypes */
                 {"f8", LLOYD_F32, 1},  {"u1", LLOYD_U8, 0},
                 {"i1", LLOYD_I8, 0}};
    if (!strchr("<>|=", descr[0]) || descr[0] == '\0') return 0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(descr + 1, types[i].name) != 0) continue;
        raw->type = types[i].type;
        raw->wide = types[i].wide;
        raw->big_endian = descr[0] == '>';
        return 1;
    }
    return 0;
}

/* The dictionary of a header into `raw`, if the array is one of rows. */
static lloyd_status accept(const char *path, const lloyd_npy_header *h, lloyd_raw *raw)
{
    if (!parse_type(h->descr, raw)) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "cannot read %s: elements of type '%s' are not read; save it with "
                          ".astype('float32') or 'uint8'",
                          path, h->descr);
    }
    if (h->rank != 2) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot read %s: the array has %d dimension%s, but vectors need two (rows x columns)",
            path, h->rank, h->rank == 1 ? "" : "s");
    }
    if (h->fortran) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot read %s: it is stored column by column; save it with numpy.ascontiguousarray()",
            path);
    }
    raw->rows = h->extent[0];
    raw->columns = h->extent[1];
    return LLOYD_OK;
}

static lloyd_status layout(const lloyd_raw_head *head, lloyd_raw *raw)
{
    lloyd_npy_header header;
    LLOYD_TRY(lloyd_npy_header_read(head, &header));
    raw->offset = header.offset;
    return accept(head->path, &header, raw);
}

const lloyd_row_reader lloyd_reader_npy = {
    .name = "NumPy",
    .endings = ".npy",
    .recognises = lloyd_npy_recognises,
    .layout = layout,
    .access = &lloyd_raw_access,
};
