/* What the kernels of the 8-bit filter share: its units, what a launch is given, and the lists it fills. docs/numerics.md, section 2.7.
 */
#ifndef LLOYD_KERNELS_CUDA_INT8_INT8_CUH
#define LLOYD_KERNELS_CUDA_INT8_INT8_CUH

#include "kernels/cuda/assign/certificate.cuh"
#include "kernels/int8_bound.h"

#include <cuda.h> /* CUtensorMap */

constexpr int INT8_STEP = 32;   /* columns of one matrix instruction */
constexpr int INT8_CHUNK = 128; /* columns of a piece of a row in shared memory */
constexpr int INT8_TILE = 128;  /* centroids of a tile */
constexpr int INT8_GROUP = 64;  /* rows that a warpgroup takes at a time */
constexpr int INT8_BLOCK = 32;  /* centroids that are looked at together */
constexpr int INT8_PIECE = 16;  /* rows of codes are multiples of so many bytes long */

/* g: the unit of the centroids' first digit. */
__device__ inline double int8_centroid_unit(const int8_units &units)
{
    return lloyd_bound_centroid_unit(&units);
}

/* What is known of the centroids of a tile. */
struct alignas(16) int8_tile {
    int32_t bias[INT8_TILE];
    int32_t most[INT8_TILE / INT8_BLOCK]; /* the greatest bias of each block */
};

/* What is known of a row: Z and |dx|, rounded up. */
typedef float2 int8_row;

/* Rows with several candidates. The list is cut into one segment for each block of the filter, so that nobody waits for a place in it. */
struct int8_lists {
    int *rows_of; /* [segments] rows in the segment */
    int32_t *row; /* [segments * segment_rows] of the slot */
    /* number of candidates of each; of a row that is left open, minus the number of those that were noted */
    int32_t *found;
    int32_t *start;     /* where they are in the segment's part of `candidate` */
    int32_t *candidate; /* [segments * segment_rows * FLASH_CANDIDATES] places of the image, and */
    const int32_t *order; /* which centroids these are */
    int segment_rows;
};

struct int8_params {
    CUtensorMap map; /* of the rows' codes, in boxes of INT8_GROUP rows and INT8_CHUNK columns */
    const uint8_t *codes; /* the same in memory: `stride` bytes a row */
    int64_t stride;
    const int8_row *rows; /* of the rows of the launch */
    int64_t begin;        /* their first, of the slot */
    int count;
    int pieces;             /* INT8_PIECEs of a row */
    int steps;              /* INT8_STEPs of a row */
    int tiles;              /* of centroids */
    int32_t set;            /* centroids */
    double reach;           /* |x^| in codes, at most */
    const uint8_t *image;   /* the centroids' first digits, tile by tile, step by step */
    const int8_tile *tile;  /* [tiles] */
    const int32_t *order;   /* [set] which centroid is in a place of the image */
    const int8_t *digits;   /* [set][2][pieces * INT8_PIECE] */
    const double *own_bias; /* [set] of a centroid with both digits */
    const int8_units *units;
    int32_t *labels;              /* of the slot */
    unsigned long long *counters; /* [LLOYD_COUNTERS] */
    bool counts_only;             /* no row is labelled */
    int8_lists lists;
    int *open; /* += rows with more candidates than there is room for */
};

/* The score that a centroid must reach to be nearest, for a row with one centroid at a distance that follows from `score`: that of this
 * centroid with both digits, not in units. */
__device__ inline int32_t int8_threshold(const int8_params &p, const int8_units &units,
                                         const int8_row &row, double score)
{
    return lloyd_bound_threshold(&units, p.reach, row.x, row.y, score);
}

#endif
