/* Products of 8-bit integers as in int8_product.h, of some rows with a group of centroids: here the centroids are the lanes, so that
 * rows can be any.
 */
#ifndef LLOYD_KERNELS_CPU_GROUP_PRODUCT_H
#define LLOYD_KERNELS_CPU_GROUP_PRODUCT_H

#include <stdint.h>

/* Centroids of a tile, and words of 32 bits that are worked on together: all arrays are padded to them. */
enum { LLOYD_GROUP_TILE = 32, LLOYD_GROUP_WORDS = 4 };

/* A block of rows. */
typedef struct lloyd_group_rows {
    int64_t words;          /* of a row, a multiple of LLOYD_GROUP_WORDS */
    const int32_t *codes;   /* [row][words]: unsigned bytes */
    const float *factor;    /* of its products */
    const float *threshold; /* that candidates reach */
    const int32_t
        *own; /* its label's place among the centroids in the order of groups, which is left out */
} lloyd_group_rows;

typedef struct lloyd_group_tile {
    int32_t first;             /* the place of the first centroid */
    const int32_t *operand;    /* [words][LLOYD_GROUP_TILE]: signed bytes */
    const int32_t *correction; /* [LLOYD_GROUP_TILE] added to a centroid's products */
    const float *bias;         /* [LLOYD_GROUP_TILE] subtracted from its scores; INFINITY: filler */
} lloyd_group_tile;

/* For the `count` rows of the list: best = max(best, the scores but that of its own label), hits = bits of the centroids but its own label
 * whose scores reach the threshold. 0: no row has any. Scores are those of int8_product.h, which says which processor has which. */
uint32_t lloyd_group_scores_avx512(const lloyd_group_rows *rows, const uint16_t *list, int count,
                                   const lloyd_group_tile *tile, float *best, uint32_t *hits);
uint32_t lloyd_group_scores_avx_vnni(const lloyd_group_rows *rows, const uint16_t *list, int count,
                                     const lloyd_group_tile *tile, float *best, uint32_t *hits);

/* Bit g: bound[g] is not above reach + drift[g], a sum that stops at 65535; of at most 64 groups. */
uint64_t lloyd_group_failing(const uint16_t *bound, const uint16_t *drift, uint16_t reach,
                             int groups);

#endif
