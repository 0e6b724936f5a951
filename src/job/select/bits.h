/* Sets of whole numbers from 0 on, a bit each: number i is bit i mod 64 of word i / 64. */
#ifndef LLOYD_SELECT_BITS_H
#define LLOYD_SELECT_BITS_H

#include <stdint.h>

static inline int64_t lloyd_bits_words(int64_t count)
{
    return count / 64 + 1;
}

static inline int lloyd_bits_has(const uint64_t *bits, int64_t i)
{
    return (int)(bits[i / 64] >> (i % 64) & 1);
}

/* Other threads may add others at the same time. */
static inline void lloyd_bits_add(uint64_t *bits, int64_t i)
{
    __atomic_fetch_or(&bits[i / 64], (uint64_t)1 << (i % 64), __ATOMIC_RELAXED);
}

static inline void lloyd_bits_remove(uint64_t *bits, int64_t i)
{
    bits[i / 64] &= ~((uint64_t)1 << (i % 64));
}

/* How many of the numbers [first, end) there are. */
static inline int64_t lloyd_bits_count(const uint64_t *bits, int64_t first, int64_t end)
{
    int64_t count = 0, i = first;
    for (; i < end && i % 64 != 0; i++) count += lloyd_bits_has(bits, i);
    for (; i + 64 <= end; i += 64) count += __builtin_popcountll(bits[i / 64]);
    for (; i < end; i++) count += lloyd_bits_has(bits, i);
    return count;
}

#endif
