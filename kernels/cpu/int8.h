/* The filter on 8-bit integers: for each row the centroids that can be its nearest (section 2.6 of
 * docs/numerics.md). Rows of uint8 and int8 are used as they are, all others are rounded, as are the
 * centroids; the products are exact, and what the rounding can change is measured.
 */
#ifndef LLOYD_KERNELS_CPU_INT8_H
#define LLOYD_KERNELS_CPU_INT8_H

#include "base/status.h"
#include "base/types.h"
#include "kernels/cpu/buffers.h"
#include "kernels/cpu/int8_product.h"

#include <stdint.h>

/* The most candidates that are kept of a row. */
enum { LLOYD_INT8_CANDIDATES = 48 };

/* The set of centroids as the filter sees it. */
typedef struct lloyd_int8_set {
    const lloyd_int8_product
        *product;  /* NULL: this processor or these columns have no such filter */
    int exact;     /* rows are integers of one byte, used as they are */
    int is_signed; /* int8 */
    int usable;    /* 1: the current centroids are within its range */
    int threads;
    int64_t dim, words, count, capacity;
    float *centre;       /* [D] m */
    int16_t *middle;     /* [D] the same, where rows are used as they are */
    int32_t *operand;    /* [capacity][words] */
    int32_t *correction; /* [capacity] */
    float *bias;         /* [capacity] */
    int16_t *codes;      /* [threads][D], padded: one centroid of each thread */
    double scale;        /* the unit of the operands */
    double residual;     /* the greatest |C - c^| */
    double length;       /* the greatest |c^| */
    double reach;        /* the greatest |C|, |m| with it where rows are used as they are */
    double greatest_bias;
    double centre_length; /* |m| where rows are used as they are */
} lloyd_int8_set;

/* A row as the filter sees it, with the names of 2.6. */
typedef struct lloyd_int8_row {
    float factor;    /* of its operand, times the centroids' scale */
    double distance; /* Z */
    double spread;   /* F */
    double rounding; /* eta */
} lloyd_int8_row;

/* What one thread needs. */
typedef struct lloyd_int8_scratch {
    int32_t *words;                /* [words][64] */
    int8_t *codes;                 /* [D] one row */
    float factor[LLOYD_INT8_ROWS]; /* of the rows' operands, times the centroids' scale */
    float best[LLOYD_INT8_ROWS], threshold[LLOYD_INT8_ROWS];
    lloyd_int8_row row[LLOYD_INT8_ROWS];
    float scores[LLOYD_INT8_CENTROIDS * LLOYD_INT8_ROWS];
    uint64_t hits[LLOYD_INT8_CENTROIDS];
    /* The result: candidates in increasing order; a count of 0: any centroid may be the nearest. */
    int count[LLOYD_INT8_ROWS];
    int32_t candidate[LLOYD_INT8_ROWS][LLOYD_INT8_CANDIDATES];
    float score[LLOYD_INT8_ROWS][LLOYD_INT8_CANDIDATES];
} lloyd_int8_scratch;

/* An empty set for rows of `dim` columns of `type`, cosine: of unit length. `product`: NULL for none. */
void lloyd_int8_open(lloyd_int8_set *set, const lloyd_int8_product *product, lloyd_type type,
                     int cosine, int64_t dim, int threads);

/* The memory of a set of at most `count` centroids, and of what a thread needs; none where the set has no
 * product. */
void lloyd_int8_list_set(cpu_buffers *buffers, lloyd_int8_set *set, int64_t count);
void lloyd_int8_list_scratch(cpu_buffers *buffers, const lloyd_int8_set *set,
                             lloyd_int8_scratch *scratch);

/* Derives the set from centroids[count][dim]; centre[dim]: a point amid them, for rows that are rounded. */
lloyd_status lloyd_int8_prepare(lloyd_int8_set *set, const float *centroids, int64_t count,
                                const float *centre);

/* The words of a row, `stride` apart: as stored where the set is exact, else as float32. codes[D]: working space. 0: it does not fit. */
int lloyd_int8_encode(const lloyd_int8_set *set, const void *row, int8_t *codes, int32_t *words,
                      int64_t stride, lloyd_int8_row *encoded);

/* Centroids whose score is below this are farther from the row than one at this distance, a dist(). Rounded down. */
float lloyd_int8_threshold(const lloyd_int8_row *row, double distance);

/* Takes row i (of at most 64) of a block: as stored where the set is exact, else as float32. */
void lloyd_int8_take(const lloyd_int8_set *set, lloyd_int8_scratch *scratch, int i,
                     const void *row);

/* A centroid at this distance, a dist() of row i, is known: none that is farther is a candidate. After
 * lloyd_int8_take(). */
void lloyd_int8_limit(lloyd_int8_scratch *scratch, int i, double distance);

/* Finds the candidates of the first `rows` rows taken. */
void lloyd_int8_find(const lloyd_int8_set *set, lloyd_int8_scratch *scratch, int rows);

#endif
