/* .npy, versions 1 to 3 (NumPy enhancement proposal 1): a header that is a dictionary of Python,
 * and the elements. Two-dimensional arrays in C order are rows. */
#include "io/readers/registry.h"

#include <string.h>

static const char magic[] = "\x93NUMPY";
enum { MAGIC = sizeof magic - 1 };

/* What is left of a text. */
typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
        c->at++;
}

/* Takes `mark` after white space, if it is next. */
static int take(cursor *c, const char *mark)
{
    size_t length = strlen(mark);
    skip_space(c);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, mark, length) != 0) return 0;
    c->at += length;
    return 1;
}

/* Takes a quoted string without escapes into text. */
static int take_string(cursor *c, char *text, size_t bytes)
{
    skip_space(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"')) return 0;
    const char *start = c->at + 1;
    const char *close = memchr(start, *c->at, (size_t)(c->end - start));
    if (!close || (size_t)(close - start) >= bytes) return 0;
    memcpy(text, start, (size_t)(close - start));
    text[close - start] = '\0';
    c->at = close + 1;
    return 1;
}

static int take_number(cursor *c, int64_t *value)
{
    skip_space(c);
    const char *start = c->at;
    *value = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, *c->at - '0', value))
            return 0;
    }
    return c->at > start;
}

/* Takes "(a, b)" into extent[0 .. 2); *rank may be any number. */
static int take_shape(cursor *c, int *rank, int64_t extent[2])
{
    *rank = 0;
    if (!take(c, "(")) return 0;
    while (!take(c, ")")) {
        int64_t value;
        if (!take_number(c, &value)) return 0;
        if (*rank < 2) extent[*rank] = value;
        ++*rank;
        if (!take(c, ",")) return take(c, ")");
    }
    return 1;
}

/* What the dictionary of a .npy header says. */
typedef struct npy_header {
    char descr[32];
    int fortran, rank;
    int64_t extent[2];
    int found; /* a bit for each of the three keys */
} npy_header;

static int take_entry(cursor *c, npy_header *h)
{
    char key[32];
    if (!take_string(c, key, sizeof key) || !take(c, ":")) return 0;
    if (strcmp(key, "descr") == 0) {
        h->found |= 1;
        return take_string(c, h->descr, sizeof h->descr);
    }
    if (strcmp(key, "fortran_order") == 0) {
        h->found |= 2;
        h->fortran = take(c, "True");
        return h->fortran || take(c, "False");
    }
    h->found |= 4;
    return strcmp(key, "shape") == 0 && take_shape(c, &h->rank, h->extent);
}

static int parse_dictionary(cursor c, npy_header *h)
{
    memset(h, 0, sizeof *h);
    if (!take(&c, "{")) return 0;
    while (!take(&c, "}")) {
        if (!take_entry(&c, h)) return 0;
        if (!take(&c, ",")) return take(&c, "}") && h->found == 7;
    }
    return h->found == 7;
}

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
static lloyd_status accept(const char *path, const npy_header *h, lloyd_raw *raw)
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

static int recognises(const lloyd_raw_head *head)
{
    return head->count >= MAGIC && memcmp(head->bytes, magic, MAGIC) == 0;
}

static lloyd_status layout(const lloyd_raw_head *head, lloyd_raw *raw)
{
    const unsigned char *bytes = head->bytes;
    if (head->count < 12 || !recognises(head) || bytes[6] < 1 || bytes[6] > 3) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "cannot read %s: it does not begin like a .npy file of version 1, 2 or 3",
                          head->path);
    }
    size_t start = bytes[6] == 1 ? 10 : 12;
    size_t length = lloyd_raw_number(bytes + 8, bytes[6] == 1 ? 2 : 4);
    if (length > head->count - start) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "cannot read %s: its header is cut off or too long (%zu bytes)",
                          head->path, length);
    }
    npy_header h;
    const char *text = (const char *)bytes + start;
    if (!parse_dictionary((cursor){text, text + length}, &h)) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot read %s: its .npy header is not understood; save a plain array with "
            "numpy.save()",
            head->path);
    }
    raw->offset = (int64_t)(start + length);
    return accept(head->path, &h, raw);
}

const lloyd_row_reader lloyd_reader_npy = {
    .name = "NumPy",
    .endings = ".npy",
    .recognises = recognises,
    .layout = layout,
    .access = &lloyd_raw_access,
};
