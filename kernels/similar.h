/* Rows whose directions are nearly the same: the contract's decision (section 11 of docs/numerics.md), with products in
 * float32 for the pairs that these are enough for. */
#ifndef LLOYD_KERNELS_SIMILAR_H
#define LLOYD_KERNELS_SIMILAR_H

#include <stdint.h>

/* Rows, and what follows from them. */
typedef struct lloyd_directions {
    int64_t dim;     /* below 2^31 */
    float *rows;     /* [capacity * dim] */
    float *unit;     /* [capacity * dim] of length 1, but for rows of zeros */
    double *squares; /* [capacity] their squared lengths, summed as dist() is */
} lloyd_directions;

/* Bytes of each row that there is room for. */
int64_t lloyd_directions_bytes(int64_t dim);

/* Fills in unit and squares of rows [0, count). Returns the first one that holds NaN or infinity, or -1. */
int64_t lloyd_directions_measure(lloyd_directions *d, int64_t count, int threads);

/* Scores that a thread has room for. */
enum { LLOYD_SIMILARITY_SCRATCH = 128 * 256 };

typedef struct lloyd_similarity {
    double threshold; /* above 0 and below 1 */
    int with_all;     /* a row is compared with 1: all rows before it; 0: those of them that stay */
    int threads;
    float *scratch; /* [threads * LLOYD_SIMILARITY_SCRATCH] */
    void (*compared)(void *context,
                     int64_t pairs); /* called now and then in large groups; or NULL */
    void *context;
} lloyd_similarity;

/* 1: the cosine similarity of the two rows is above the threshold; xx, yy: their squared lengths. */
int lloyd_is_similar(const float *x, double xx, const float *y, double yy, int64_t dim,
                     double threshold);

/* Thins out each of `groups` groups, of rows [begin[g], begin[g + 1]): its rows in their order, those left out that
 * are similar to one that they are compared with. kept[g] of them stay, and places[begin[g] + i] is the row that the
 * i-th of these was. Unless with_all is set, these have moved to the beginning of their group. */
void lloyd_similarity_thin(const lloyd_similarity *s, lloyd_directions *d, const int64_t *begin,
                           int64_t groups, int64_t *places, int64_t *kept);

/* dropped[i] = whether row i < count of `others` is similar to one of rows [0, first) of d. */
void lloyd_similarity_compare(const lloyd_similarity *s, const lloyd_directions *d, int64_t first,
                              const lloyd_directions *others, int64_t count, char *dropped);

#endif
