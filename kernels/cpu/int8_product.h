/* Products of rows and centroids in 8-bit integers, for the filter of int8.c: 64 rows against 48 centroids at a
 * time, summed exactly in 32 bits, and turned into scores. One function for each kind of processor.
 *
 * Elements of rows are unsigned (0 ... 255), those of centroids signed (-127 ... 127), as the
 * instructions want them. Elements of four neighbouring columns are packed into a word of 32 bits; a row or
 * centroid has `words` of them, the last ones filled with zeros.
 */
#ifndef LLOYD_KERNELS_CPU_INT8_PRODUCT_H
#define LLOYD_KERNELS_CPU_INT8_PRODUCT_H

#include "kernels/cpu/group_product.h"

#include <stdint.h>

enum { LLOYD_INT8_ROWS = 64, LLOYD_INT8_CENTROIDS = 48 };

/* Columns of a word, and the most columns: 255 * 127 * D stays below 2^31. */
enum { LLOYD_INT8_COLUMNS = 4, LLOYD_INT8_MOST_COLUMNS = 65536 };

/* A tile of centroids, LLOYD_INT8_CENTROIDS of each. */
typedef struct lloyd_int8_tile {
    const void *centroids;     /* [centroid][words] */
    const int32_t *correction; /* added to a centroid's products */
    const float *bias;         /* subtracted from its scores */
} lloyd_int8_tile;

typedef struct lloyd_int8_product {
    const char *name;
    double cost; /* of a product, where one in float32 by a BLAS on the same processor costs 1 */
    int (*is_supported)(void); /* 1: by this processor */
    /* scores[centroid][row] = fl(fl(product + correction) * factor[row] - bias), the last two operations
     * one fma. rows: [words][row] words. */
    void (*scores)(const void *rows, const float *factor, const lloyd_int8_tile *tile,
                   int64_t words, float *scores);
    /* Bit `row` of hits[centroid]: scores[centroid][row] >= threshold[row]. */
    void (*hits)(const float *scores, const float *threshold, uint64_t *hits);
    /* Of any rows with a tile of a group: lloyd_group_scores_avx512(). */
    uint32_t (*group_scores)(const lloyd_group_rows *rows, const uint16_t *list, int count,
                             const lloyd_group_tile *tile, float *best, uint32_t *hits);
} lloyd_int8_product;

/* The fastest that this processor supports, NULL for none; and all of them. */
const lloyd_int8_product *lloyd_int8_product_best(void);

const lloyd_int8_product *lloyd_int8_products(int *count);

#endif
