#include "values.h"

#include "base/half.h"

#include <math.h>

static uint64_t state;

uint64_t next_word(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

void seed_words(uint64_t seed)
{
    state = (seed + 1) * 0x9e3779b97f4a7c15;
    for (int i = 0; i < 8; i++) next_word();
}

int64_t below(int64_t limit)
{
    return (int64_t)(next_word() % (uint64_t)limit);
}

float bell(void)
{
    uint64_t word = next_word();
    int sum = 0;
    for (int i = 0; i < 64; i += 16) sum += (int)(word >> i & 0xffff);
    return (float)(sum - 2 * 65535) * 0x1p-15F;
}

int is_float(lloyd_type type)
{
    return type == LLOYD_F32 || type == LLOYD_F16 || type == LLOYD_BF16;
}

static float clamp(float value, float least, float most)
{
    return value < least ? least : value > most ? most : value;
}

char *element_at(const problem *p, int64_t i, int64_t j)
{
    return p->rows + (i * p->c.d + j) * (int64_t)lloyd_type_size(p->c.type);
}

void store(problem *p, int64_t i, int64_t j, float value)
{
    char *at = element_at(p, i, j);
    uint16_t half;
    switch (p->c.type) {
    case LLOYD_F32: memcpy(at, &value, sizeof value); break;
    case LLOYD_F16:
        half = lloyd_f16_from_float(clamp(value, -65504, 65504));
        memcpy(at, &half, sizeof half);
        break;
    case LLOYD_BF16:
        half = lloyd_bf16_from_float(clamp(value, -1e38F, 1e38F));
        memcpy(at, &half, sizeof half);
        break;
    case LLOYD_U8: *(uint8_t *)at = (uint8_t)lrintf(clamp(value, 0, 255)); break;
    case LLOYD_I8: *(int8_t *)at = (int8_t)lrintf(clamp(value, -128, 127)); break;
    }
}

float stored(const problem *p, int64_t i, int64_t j)
{
    const char *at = element_at(p, i, j);
    float value;
    uint16_t half;
    switch (p->c.type) {
    case LLOYD_F16: memcpy(&half, at, sizeof half); return lloyd_f16_to_float(half);
    case LLOYD_BF16: memcpy(&half, at, sizeof half); return lloyd_bf16_to_float(half);
    case LLOYD_U8: return (float)*(const uint8_t *)at;
    case LLOYD_I8: return (float)*(const int8_t *)at;
    case LLOYD_F32: break;
    }
    memcpy(&value, at, sizeof value);
    return value;
}
