/* The CPU kernels' own state. Files: cpu.c (create, load, the table), rows.c (stored rows to
 * float32, minima and maxima), assign.c (filter, certificate, fallback pass), int8.c (the filter on
 * 8-bit integers), prune.c and prune_rows.c (what bounds of distances rule out), sums.c (sums per cluster), means.c (inertia, centroids), seed.c (distances to the
 * centroids chosen so far), distances.c (distances to own centroids, rows for empty clusters).
 */
#ifndef LLOYD_KERNELS_CPU_CPU_H
#define LLOYD_KERNELS_CPU_CPU_H

#include "kernels/cpu/buffers.h"
#include "kernels/cpu/int8.h"
#include "kernels/cpu/prune.h"
#include "kernels/kernels.h"
#include "kernels/numerics.h"

/* Tile shapes of the filter. 256 rows x 256 centroids of scores are 256 KiB: they stay in a core's
 * L2 cache beside the packed operands of the product. A K-slice of 256 columns bounds the error of a
 * product's sum: slices are summed apart and then added. */
enum { LLOYD_CPU_ROWS = 256, LLOYD_CPU_CENTROIDS = 256, LLOYD_CPU_SLICE = 256 };

typedef struct cpu_slot {
    const char *rows;
    int64_t first, count;
} cpu_slot;

typedef struct cpu_scratch cpu_scratch;

typedef struct cpu_kernels {
    lloyd_kernels base; /* first: a lloyd_kernels * is a cpu_kernels * */
    cpu_slot *slots;
    int32_t *labels; /* [n_local] */

    /* the centroid set */
    int64_t set, set_capacity;
    float *centroids;  /* [set*D] */
    float *operand;    /* [set*D] c^ = (c - centre) * scale */
    double *half_norm; /* [set] |c^|^2 / 2 */
    float *bias;       /* [set] */
    float *centre;     /* [D] */
    double scale;      /* a power of two */
    double greatest_half_norm;
    lloyd_int8_set int8;
    lloyd_pruning pruning;
    double point_slack, centroid_slack, underflow_slack; /* P, W, tau of docs/numerics.md */

    /* sums */
    const lloyd_grid *grid; /* NULL until set_grid() */
    lloyd_sum_layout layout;
    double *digit_scale; /* [2*D] 2^(b - M); 0 for wide columns; then -2^(b - M) */
    double mass_scale;   /* 2^(b - M_w) */
    double least_mass;   /* 2^(b T_w - M_w) */
    int64_t *sums;    /* as `layout` says: of this rank's rows, kept from iteration to iteration */
    int64_t *totals;  /* the same after sums(), which may be summed over ranks */
    int32_t *summed;  /* [n_local] the cluster in whose sums a row is, -1: in none */
    int64_t moved;    /* labels that changed in the last iteration; all, where nothing is known */
    int totals_stale; /* totals are not yet those of `sums` */
    uint32_t *order;  /* [chunk_rows] rows of a slot sorted by cluster */
    int64_t *histogram; /* [threads*K] */

    /* seeding */
    double *nearest_distance; /* [n_local] */
    int32_t *nearest;         /* [n_local] */

    cpu_scratch *scratch; /* [threads] */
} cpu_kernels;

/* What one thread needs beside the shared state. */
struct cpu_scratch {
    float *points;   /* [ROWS*D] filter operands of a block of rows */
    float *scores;   /* [CENTROIDS*ROWS] */
    float *partial;  /* [CENTROIDS*ROWS] where D takes more than one K-slice */
    float *row;      /* [D] one row as float32 */
    int64_t *sum;    /* [2*D] first and second digits of a run of rows */
    int64_t *wide;   /* [wide * most_digits] all digits of the wide columns */
    uint64_t *limbs; /* [6*D] */

    _Alignas(64) lloyd_int8_scratch int8;
    int64_t open[LLOYD_CPU_ROWS]; /* rows that it left open */
    int open_count;
    lloyd_prune_scratch pruning;

    /* rows without a certificate, collected until there is a block of them */
    float *pool_points; /* [ROWS*D] operands */
    float *pool_rows;   /* [ROWS*D] float32 values */
    int64_t pool_row[LLOYD_CPU_ROWS];
    float pool_threshold[LLOYD_CPU_ROWS];
    int pool_count;
};

static inline cpu_kernels *lloyd_cpu(lloyd_kernels *kernels)
{
    return (cpu_kernels *)kernels;
}

/* The CPU: OpenMP threads, a BLAS for the filter, AVX-512, AVX2 or portable code chosen at run
 * time. */
lloyd_status lloyd_kernels_cpu(const lloyd_kernels_config *config, lloyd_kernels **kernels);

/* Bytes lloyd_kernels_cpu() and everything it does with at most `set` centroids at a time
 * allocates; seeding's LLOYD_SEED_ROW_BYTES a row are not in it. */
int64_t lloyd_kernels_cpu_bytes(const lloyd_kernels_config *config, int64_t set);

#endif
