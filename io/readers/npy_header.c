/* See npy_header.h. */
#include "io/readers/npy_header.h"

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

static int take_entry(cursor *c, lloyd_npy_header *h)
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

static int parse_dictionary(cursor c, lloyd_npy_header *h)
{
    memset(h, 0, sizeof *h);
    if (!take(&c, "{")) return 0;
    while (!take(&c, "}")) {
        if (!take_entry(&c, h)) return 0;
        if (!take(&c, ",")) return take(&c, "}") && h->found == 7;
    }
    return h->found == 7;
}

int lloyd_npy_recognises(const lloyd_raw_head *head)
{
    return head->count >= MAGIC && memcmp(head->bytes, magic, MAGIC) == 0;
}

lloyd_status lloyd_npy_header_read(const lloyd_raw_head *head, lloyd_npy_header *h)
{
    const unsigned char *bytes = head->bytes;
    if (head->count < 12 || !lloyd_npy_recognises(head) || bytes[6] < 1 || bytes[6] > 3) {
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
    const char *text = (const char *)bytes + start;
    if (!parse_dictionary((cursor){text, text + length}, h)) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot read %s: its .npy header is not understood; save a plain array with "
            "numpy.save()",
            head->path);
    }
    h->offset = (int64_t)(start + length);
    return LLOYD_OK;
}
