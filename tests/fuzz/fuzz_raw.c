/* Headers of raw vector files, as `lloyd wrap` reads them. The first byte says which parser gets the
 * rest. What is accepted must be a shape that a file can have. */
#include "io/readers/raw.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const lloyd_type types[] = {LLOYD_F32, LLOYD_U8, LLOYD_I8};
    if (bytes == 0 || bytes - 1 > LLOYD_RAW_HEADER) return 0;
    lloyd_raw raw;
    int parser = data[0] % 4;
    lloyd_status status = parser < 3
                              ? lloyd_raw_bin(data + 1, bytes - 1, types[parser], "a file", &raw)
                              : lloyd_raw_npy(data + 1, bytes - 1, "a file", &raw);
    int64_t size = raw.wide ? 8 : (int64_t)lloyd_type_size(raw.type), product;
    if (status == LLOYD_OK) {
        if (raw.rows < 1 || raw.columns < 1 || raw.offset < 8 || raw.offset > (int64_t)bytes - 1 ||
            raw.bytes > INT64_MAX - raw.offset ||
            __builtin_mul_overflow(raw.rows, raw.columns, &product) ||
            __builtin_mul_overflow(product, size, &product) || product != raw.bytes)
            abort();
    } else if (status != LLOYD_BAD_INPUT || lloyd_message()[0] == '\0') {
        abort();
    }
    return 0;
}
