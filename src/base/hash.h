/* A 64-bit hash that notices accidental changes: of data between two runs, of bytes in a file. Not
 * for adversaries. The same on every machine of the same byte order. */
#ifndef LLOYD_BASE_HASH_H
#define LLOYD_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The finalizer of SplitMix64 (Steele et al. 2014): one-to-one, every bit depends on every bit. */
static inline uint64_t lloyd_hash_word(uint64_t hash, uint64_t word)
{
    uint64_t z = (hash ^ word) + 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* `hash`, continued over `bytes` bytes of data and their number. */
static inline uint64_t lloyd_hash(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)data;
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word = 0;
        memcpy(&word, at + i, bytes - i < 8 ? bytes - i : 8);
        hash = lloyd_hash_word(hash, word);
    }
    return lloyd_hash_word(hash, (uint64_t)bytes);
}

#endif
