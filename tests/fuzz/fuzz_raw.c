/* Headers of raw formats. The first byte says which reader of the registry, and which of its
 * endings, gets the rest. What is accepted must be a shape that the file can have. */
#include "io/readers/registry.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Ending number `which`, counted over all formats with a layout; modulo their number. */
static const lloyd_row_reader *choose(int which, char *path, size_t bytes)
{
    for (;;) {
        for (int i = 0; lloyd_reader_at(i); i++) {
            const lloyd_row_reader *reader = lloyd_reader_at(i);
            char endings[128], *rest = NULL;
            snprintf(endings, sizeof endings, "%s", reader->endings);
            for (char *e = strtok_r(endings, " ", &rest); e; e = strtok_r(NULL, " ", &rest)) {
                if (which-- > 0 || !reader->layout) continue;
                snprintf(path, bytes, "x%s", e);
                return reader;
            }
        }
    }
}

static void check(const lloyd_raw_head *head, const lloyd_raw *raw)
{
    int64_t size = raw->wide ? 8 : (int64_t)lloyd_type_size(raw->type), product;
    if (raw->rows < 0 || raw->columns < 1 || raw->offset < 0 ||
        raw->offset > (int64_t)head->count || raw->bytes > INT64_MAX - raw->offset ||
        __builtin_mul_overflow(raw->columns, size, &product) ||
        __builtin_add_overflow(product, raw->prefix, &product) || product != raw->stride ||
        __builtin_mul_overflow(product, raw->rows, &product) || product != raw->bytes ||
        raw->offset + raw->bytes != head->size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char path[64];
    lloyd_raw raw;
    if (bytes == 0 || bytes - 1 > LLOYD_RAW_HEADER) return 0;
    const lloyd_row_reader *reader = choose(data[0], path, sizeof path);
    lloyd_raw_head head = {path, data + 1, bytes - 1, (int64_t)bytes - 1, -1, NULL};
    lloyd_status status = lloyd_raw_layout(reader, &head, &raw);
    if (status == LLOYD_BAD_INPUT && raw.bytes > 0 && raw.bytes <= INT64_MAX - raw.offset) {
        head.size = raw.offset + raw.bytes; /* a file of the size that the header says */
        status = lloyd_raw_layout(reader, &head, &raw);
    }
    if (status == LLOYD_OK) {
        check(&head, &raw);
    } else if (status != LLOYD_BAD_INPUT || lloyd_message()[0] == '\0') {
        abort();
    }
    return 0;
}
