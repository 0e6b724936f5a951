/* The parsers read at most the bytes they are given and trust none of them: every number is
 * bounded before it is used. */
#include "io/readers/raw.h"

#include <string.h>

/* Fills in offset and bytes of a file whose shape and type are known. */
static lloyd_status finish(const char *name, int64_t offset, lloyd_raw *raw)
{
    int64_t size = raw->wide ? 8 : (int64_t)lloyd_type_size(raw->type), end;
    if (raw->rows < 1 || raw->columns < 1) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot wrap %s: its header says %lld rows of %lld columns; there is nothing to cluster",
            name, (long long)raw->rows, (long long)raw->columns);
    }
    if (__builtin_mul_overflow(raw->rows, raw->columns, &raw->bytes) ||
        __builtin_mul_overflow(raw->bytes, size, &raw->bytes) ||
        __builtin_add_overflow(raw->bytes, offset, &end)) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot wrap %s: its header says %lld x %lld elements, more than 2^63 bytes; it is damaged",
            name, (long long)raw->rows, (long long)raw->columns);
    }
    raw->offset = offset;
    return LLOYD_OK;
}

static uint32_t little_endian(const unsigned char *bytes, int count)
{
    uint32_t value = 0;
    for (int i = count - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

lloyd_status lloyd_raw_bin(const unsigned char *header, size_t bytes, lloyd_type type,
                           const char *name, lloyd_raw *raw)
{
    memset(raw, 0, sizeof *raw);
    if (bytes < 8) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "cannot wrap %s: it has %zu bytes, fewer than its header of 8", name,
                          bytes);
    }
    raw->rows = little_endian(header, 4);
    raw->columns = little_endian(header + 4, 4);
    raw->type = type;
    return finish(name, 8, raw);
}

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
    } types[] = {{"f4", LLOYD_F32, 0},
                 {"f2", LLOYD_F16, 0},
                 {"f8", LLOYD_F32, 1},
                 {"u1", LLOYD_U8, 0},
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

lloyd_status lloyd_raw_npy(const unsigned char *header, size_t bytes, const char *name,
                           lloyd_raw *raw)
{
    memset(raw, 0, sizeof *raw);
    if (bytes < 12 || memcmp(header, "\x93NUMPY", 6) != 0 || header[6] < 1 || header[6] > 3) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "cannot wrap %s: it does not begin like a .npy file of version 1, 2 or 3",
                          name);
    }
    size_t start = header[6] == 1 ? 10 : 12;
    size_t length = little_endian(header + 8, header[6] == 1 ? 2 : 4);
    if (length > bytes - start) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "cannot wrap %s: its header is cut off or too long (%zu bytes)", name,
                          length);
    }
    npy_header h;
    const char *text = (const char *)header + start;
    if (!parse_dictionary((cursor){text, text + length}, &h)) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot wrap %s: its .npy header is not understood; save a plain array with numpy.save()",
            name);
    }
    if (!parse_type(h.descr, raw)) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot wrap %s: elements of type '%s' are not read; save it with .astype('float32') or 'uint8'",
            name, h.descr);
    }
    if (h.rank != 2) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot wrap %s: the array has %d dimension%s, but vectors need two (rows x columns)",
            name, h.rank, h.rank == 1 ? "" : "s");
    }
    if (h.fortran) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot wrap %s: it is stored column by column; save it with numpy.ascontiguousarray()",
            name);
    }
    raw->rows = h.extent[0];
    raw->columns = h.extent[1];
    return finish(name, (int64_t)(start + length), raw);
}
