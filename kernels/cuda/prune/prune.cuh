/* What the kernels of pruning share. docs/numerics.md, section 2.8.
 *
 * Centroids are in groups of neighbours, of whole tiles, one after the other in `order`. Bounds are kept tile of rows by tile of rows, there
 * group by group: a warp reads those of a group for neighbouring rows.
 */
#ifndef LLOYD_KERNELS_CUDA_PRUNE_PRUNE_CUH
#define LLOYD_KERNELS_CUDA_PRUNE_PRUNE_CUH

#include "kernels/cuda/int8/int8.cuh"
#include "kernels/prune_bound.h"

constexpr int PRUNE_TOO_MANY = 224; /* candidates beside its own with which a row is left open */
constexpr int PRUNE_ROOM =
    6; /* candidates beside its own that there is room for, of a row in the mean */
constexpr int PRUNE_SCAN = 256; /* rows whose bounds a warp looks at together */
constexpr int PRUNE_FARTHEST =
    32766; /* the greatest reach: with PRUNE_MOST_DRIFT and 1 more it has 16 bits */

/* What is known of a row before it is compared. */
struct prune_row {
    float z, spread;   /* Z less what the bound of a score takes off, and F */
    int32_t threshold; /* the score that a centroid must reach to be nearest */
    int32_t own;       /* the place of the centroid that it has */
};

/* A centroid that a row may have: its place. */
struct prune_hit {
    int32_t row, place;
};

/* Where the candidates of a row leave what is known of their distances: bounds that were found without them. */
struct prune_tightening {
    uint16_t *bounds; /* as in prune_params; NULL: there are none */
    const double *drift;
    double per_unit;
    int64_t first; /* the first row of the slot, local */
    int tile_rows, groups, group_centroids;
};

struct prune_params {
    int8_params
        f; /* its rows are those of the launch; `order` and `lists.order` are of the groups */
    int64_t first;     /* the first row of the launch, local */
    int64_t part;      /* the tile of rows that it is in; others may be in it too */
    int tile_rows;     /* rows that a warp takes at a time: a power of two, PRUNE_SCAN or more */
    int groups, tiles; /* tiles of centroids in a group */
    int group_centroids;
    int digits;           /* of the centroids, that scores have */
    const uint8_t *image; /* image.cuh, as are */
    const int32_t *bias;  /* of scores */
    const double *drift;  /* [groups], and in whole units: */
    const int32_t *whole_drift;
    double per_unit;
    uint16_t *bounds;     /* [tiles of rows][groups][tile_rows] */
    const prune_row *row; /* [count] of the rows of the launch */
    uint16_t *reach;      /* the same, from the first row of `part` on */
    int32_t *hits;        /* [count] centroids beside its own that a row may have */
    prune_hit *hit; /* [most_hits] all of them, but for rows that are left open for want of room */
    unsigned most_hits;
    unsigned long long *next; /* 0: pairs of a tile and a group that were taken; 1: hits */
    bool hits_follow; /* bounds are of the other centroids; hits will lower them (prune_lower()) */
    int segments;     /* of the lists, and */
    int *taken;       /* [segments] candidates in each */
};

/* The bound of a local row. */
template <class Params>
__device__ inline uint16_t *prune_bounds_of(const Params &p, int64_t row, int group)
{
    const int64_t tile = row / p.tile_rows;
    return p.bounds + (tile * p.groups + group) * p.tile_rows + row % p.tile_rows;
}

/* What the sum of a reach and the drift of a group is compared with, as `bound` >= it: in both halves. */
__device__ inline uint32_t prune_twice(int32_t whole_drift)
{
    return (uint32_t)(whole_drift + 1) * 0x10001u;
}

/* Lowers the bound of row i of the slot to what a candidate's distance is at least. Other lanes may do so for the same row. */
__device__ inline void prune_lower(const prune_tightening &t, int64_t i, int32_t place,
                                   double least)
{
    const int group = place / t.group_centroids;
    unsigned short *at = prune_bounds_of(t, t.first + i, group);
    const unsigned short bound = lloyd_group_bound(least, t.per_unit, t.drift[group]);
    for (unsigned short now = *at; bound < now;) {
        const unsigned short before = atomicCAS(at, now, bound);
        if (before == now) break;
        now = before;
    }
}

#endif
