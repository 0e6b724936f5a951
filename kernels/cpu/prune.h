/* Pruning on the CPU: bounds of rows for groups of centroids (docs/numerics.md, section 2.8), and when they are worth having. The pass
 * that uses them is in prune_rows.c.
 */
#ifndef LLOYD_KERNELS_CPU_PRUNE_H
#define LLOYD_KERNELS_CPU_PRUNE_H

#include "base/status.h"
#include "kernels/cpu/buffers.h"
#include "kernels/cpu/int8.h"
#include "kernels/kernels.h"

#include <stdint.h>

/* Of all blocks, the share that keeps bounds where the others do without: one of these. */
enum { LLOYD_PRUNE_SAMPLE = 32 };

/* Groups whose lists of rows are made together, centroids of a tile in float32, and candidates that are noted together of a row. */
enum { LLOYD_PRUNE_SLICE = 64, LLOYD_PRUNE_TILE = 64, LLOYD_PRUNE_HITS = 4 };

/* Which blocks of rows a pass labels with the help of bounds. */
typedef enum lloyd_prune_extent {
    LLOYD_PRUNE_NONE,
    LLOYD_PRUNE_SOME, /* one of LLOYD_PRUNE_SAMPLE, to see what it would cost for all */
    LLOYD_PRUNE_ALL
} lloyd_prune_extent;

/* What rows cost without bounds and with them: of a pass so far, of all threads. */
typedef struct lloyd_prune_cost {
    double rows[2], seconds[2]; /* [1]: with bounds */
} lloyd_prune_cost;

typedef struct lloyd_pruning {
    lloyd_prune when;                    /* --prune */
    int64_t rows, dim, k, group, groups; /* group: 0 for no pruning */
    int threads;
    int kept;      /* 1: there are groups, and all rows have bounds */
    int64_t begun; /* passes with this extent; the first one finds bounds, and has none to use */
    lloyd_prune_extent extent;
    lloyd_prune_cost cost;
    double
        dense; /* seconds of a row without bounds, from the last pass with such rows; 0: none yet */
    double per_unit;     /* 0: not chosen yet */
    uint16_t *bounds;    /* [rows][groups] */
    double *drift;       /* [groups] */
    uint16_t *whole;     /* [groups] drift, rounded up */
    float *previous;     /* [K][dim] the centroids that drift has counted */
    double *moved;       /* [K] dist() of the last movement */
    int32_t *order;      /* [groups * group] the centroid at a place, -1: filler */
    int32_t *place;      /* [K] */
    int64_t words;       /* of an operand, padded */
    int32_t *operand;    /* [groups * group / 32][words][32] 8-bit operands in that order */
    int32_t *correction; /* [groups * group] */
    float *bias;         /* [groups * group] */
} lloyd_pruning;

/* A centroid whose dist() to a row is known; -1: none. */
typedef struct cpu_known {
    int32_t label;
    double distance;
} cpu_known;

/* A candidate of row `row` of a block. */
typedef struct lloyd_prune_hit {
    int32_t row, place;
} lloyd_prune_hit;

/* What a thread needs for a block of rows. */
typedef struct lloyd_prune_scratch {
    int32_t *
        codes; /* [block][words] of rows; or [LLOYD_CPU_ROWS][dim] float32 operands of listed rows */
    float *tile; /* [LLOYD_PRUNE_TILE][dim] float32 operands of centroids */
    /* [block] of rows: */
    cpu_known *nearest; /* the centroid of the label, and the nearer ones found since */
    double
        *own; /* dist() to the centroid of the label; until there are candidates, a little more */
    double
        *half; /* half of the squared distance is at least this less the score, but for `spread` */
    float *spread, *factor, *threshold;
    int32_t *place;   /* of the label's centroid; -1: the row is left to another filter */
    uint16_t *reach;  /* in units, rounded up */
    uint8_t *decided; /* 1: dist() has decided among candidates */
    /* of LLOYD_PRUNE_SLICE groups at a time, the rows that fail them */
    uint16_t *list; /* [LLOYD_PRUNE_SLICE][block] */
    /* [block] of a group's list */
    float *best, *listed_half, *listed_spread, *listed_threshold;
    int32_t *listed_place;
    uint32_t *reached;
    uint16_t *bound;
    /* candidates, and the same in the order of rows */
    lloyd_prune_hit *hits; /* [LLOYD_PRUNE_HITS * block] */
    int32_t *sorted;       /* [LLOYD_PRUNE_HITS * block] centroids */
    int32_t *begins;       /* [block + 1] */
    int hit_count;
} lloyd_prune_scratch;

/* For kernels of this configuration. */
void lloyd_prune_open(lloyd_pruning *pruning, const lloyd_kernels_config *config);
void lloyd_prune_list(cpu_buffers *buffers, lloyd_pruning *pruning);

/* Bytes that lloyd_prune_update() takes while it runs. */
int64_t lloyd_prune_bytes(const lloyd_pruning *pruning);

/* Bounds and costs are forgotten: centroids are set anew, or rows have no labels. */
void lloyd_prune_forget(lloyd_pruning *pruning);

/* The centroids have been updated. Chooses the extent of the next pass. set: as it is after that. */
lloyd_status lloyd_prune_update(lloyd_pruning *pruning, const float *centroids,
                                const lloyd_int8_set *set);

/* Whether block number `block` of rows is labelled with the help of bounds. Any number of threads may ask. */
int lloyd_prune_takes(const lloyd_pruning *pruning, int64_t block);

/* What some rows cost. Any number of threads may say so. */
void lloyd_prune_count(lloyd_pruning *pruning, int pruned, int64_t rows, double seconds);

/* Row `row` has another label than `old`, found without bounds. */
void lloyd_prune_relabel(lloyd_pruning *pruning, int64_t row, int32_t old);

#endif
