/* See convert.h. */
#include "kernels/convert.h"

#include "kernels/clones.h"

#include <string.h>

LLOYD_CLONES static void from_f16(const uint16_t *in, int64_t n, float *out)
{
    /* Exponent and fraction moved into place are the value times 2^-112, exactly, for normal and
     * subnormal numbers. */
    for (int64_t j = 0; j < n; j++) {
        uint32_t magnitude = (uint32_t)(in[j] & 0x7fff) << 13;
        float value;
        memcpy(&value, &magnitude, sizeof value);
        value *= 0x1p112f;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        bits |= (uint32_t)(in[j] & 0x8000) << 16;
        if ((in[j] & 0x7c00) == 0x7c00) bits |= 0x7f800000;
        memcpy(&out[j], &bits, sizeof bits);
    }
}

LLOYD_CLONES static void from_bf16(const uint16_t *in, int64_t n, float *out)
{
    for (int64_t j = 0; j < n; j++) {
        uint32_t bits = (uint32_t)in[j] << 16;
        memcpy(&out[j], &bits, sizeof bits);
    }
}

LLOYD_CLONES static void from_u8(const uint8_t *in, int64_t n, float *out)
{
    for (int64_t j = 0; j < n; j++) out[j] = (float)in[j];
}

LLOYD_CLONES static void from_i8(const int8_t *in, int64_t n, float *out)
{
    for (int64_t j = 0; j < n; j++) out[j] = (float)in[j];
}

void lloyd_to_float(lloyd_type type, const void *in, int64_t count, float *out)
{
    switch (type) {
    case LLOYD_F16: from_f16(in, count, out); break;
    case LLOYD_BF16: from_bf16(in, count, out); break;
    case LLOYD_U8: from_u8(in, count, out); break;
    case LLOYD_I8: from_i8(in, count, out); break;
    case LLOYD_F32: memcpy(out, in, (size_t)count * sizeof *out); break;
    }
}
