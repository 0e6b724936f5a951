/* Random numbers that depend on what is drawn, not on who draws: Philox4x32-10 (Salmon et al. 2011,
 * from Random123), key = seed, counter = (what is drawn, index low, index high, round). */
#ifndef LLOYD_BASE_PHILOX_H
#define LLOYD_BASE_PHILOX_H

#include <Random123/philox.h>
#include <stdint.h>

/* What is drawn. Never renumber: results depend on it. */
enum {
    LLOYD_DRAW_PERMUTATION = 1, /* the keyed permutation of the row numbers */
    LLOYD_DRAW_RESTART = 2,     /* the seed of restart `index` */
    LLOYD_DRAW_KMEANSPP = 3,    /* centroid number `index` of kmeans++ */
    LLOYD_DRAW_KMEANSPAR = 4,   /* row `index` in a round of kmeans|| */
    LLOYD_DRAW_REDUCE =
        5, /* centroid number `index` of the kmeans++ over the candidates of kmeans|| */
    LLOYD_DRAW_SELECT = 6, /* the key of cluster `index` of level `round` */
    LLOYD_DRAW_SYNTH = 16  /* and following: lloyd synth */
};

static inline void lloyd_philox(uint64_t seed, uint32_t what, uint64_t index, uint32_t round,
                                uint32_t out[4])
{
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t counter = {{what, (uint32_t)index, (uint32_t)(index >> 32), round}};
    philox4x32_ctr_t random = philox4x32(counter, key);
    for (int i = 0; i < 4; i++) out[i] = random.v[i];
}

/* The first 64 bits of a draw. */
static inline uint64_t lloyd_philox64(uint64_t seed, uint32_t what, uint64_t index, uint32_t round)
{
    uint32_t random[4];
    lloyd_philox(seed, what, index, round, random);
    return (uint64_t)random[1] << 32 | random[0];
}

#endif
