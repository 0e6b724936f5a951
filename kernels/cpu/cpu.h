/* The CPU kernels' own state. Files: cpu.c (create, load, the table), rows.c (stored rows to
 * float32, minima and maxima), dist.c (the contract's distance), assign.c (filter, certificate,
 * fallback pass), sums.c (sums per cluster), means.c (inertia, centroids), seed.c (distances to the centroids
 * chosen so far), distances.c (distances to own centroids, rows for empty clusters).
 *
 * Loops over elements are leaf functions compiled several times (LLOYD_CLONES) and picked at run
 * time; they contain no OpenMP region, because an outlined region would not be cloned. Rounding is
 * the same in every clone: no contraction, fma() where the contract says fma. LLOYD_ONE_TARGET
 * leaves only the compiler's own target (a test compares them).
 */
#ifndef LLOYD_KERNELS_CPU_CPU_H
#define LLOYD_KERNELS_CPU_CPU_H

#include "kernels/cpu/int8.h"
#include "kernels/kernels.h"
#include "kernels/numerics.h"

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(LLOYD_ONE_TARGET)
#define LLOYD_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LLOYD_CLONES
#endif

/* Tile shapes of the filter. 256 rows x 256 centroids of scores are 256 KiB: they stay in a core's
 * L2 cache beside the packed operands of the product. A K-slice of 256 columns bounds the error of a
 * product's sum: slices are summed apart and then added. */
enum { LLOYD_CPU_ROWS = 256, LLOYD_CPU_CENTROIDS = 256, LLOYD_CPU_SLICE = 256 };

/* Up to this many centroids dist() to all of them is cheaper than a filter. */
enum { LLOYD_CPU_FEW = 4 };

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
    double point_slack, centroid_slack, underflow_slack; /* P, W, tau of docs/numerics.md */

    /* sums */
    const lloyd_grid *grid; /* NULL until set_grid() */
    lloyd_sum_layout layout;
    double *digit_scale; /* [D] 2^(b - M); 0 for wide columns */
    double mass_scale;   /* 2^(b - M_w) */
    double least_mass;   /* 2^(b T_w - M_w) */
    int64_t *sums;       /* as `layout` says */
    uint32_t *order;     /* [chunk_rows] rows of a slot sorted by label */
    int64_t *histogram;  /* [threads*K] */

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

    lloyd_int8_scratch *int8;
    int64_t open[LLOYD_CPU_ROWS]; /* rows that it left open */
    int open_count;

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

/* rows.c */
const float *lloyd_cpu_row(const cpu_kernels *cpu, const cpu_slot *slot, int64_t i, float *buffer);
lloyd_status lloyd_cpu_measure(lloyd_kernels *kernels, int slot, lloyd_range *range);
lloyd_status lloyd_cpu_measure_weighted(lloyd_kernels *kernels, int slot,
                                        lloyd_product_range *range);
lloyd_status lloyd_cpu_rows(lloyd_kernels *kernels, int slot, const int64_t *rows, int64_t count,
                            float *out);

/* dist.c */
double lloyd_cpu_dist(const float *x, const float *c, int64_t dim);
/* 1: dist() is surely above `distance`, itself a dist() or infinity; found in float32. 0: it may be. */
int lloyd_cpu_is_farther(const float *x, const float *c, int64_t dim, double distance);
double lloyd_cpu_square(const float *x, int64_t dim);

/* assign.c */
lloyd_status lloyd_cpu_set_centroids(lloyd_kernels *kernels, int64_t count, const float *centroids);
lloyd_status lloyd_cpu_prepare(cpu_kernels *cpu);
lloyd_status lloyd_cpu_assign(lloyd_kernels *kernels, int slot);
void lloyd_cpu_nearest(cpu_kernels *cpu, int slot, int64_t *moved, int64_t *fallback);

/* sums.c */
lloyd_status lloyd_cpu_set_grid(lloyd_kernels *kernels, const lloyd_grid *grid);
lloyd_status lloyd_cpu_squares(lloyd_kernels *kernels, int slot, int64_t *words);
lloyd_status lloyd_cpu_begin(lloyd_kernels *kernels);
lloyd_status lloyd_cpu_accumulate(lloyd_kernels *kernels, int slot);
lloyd_status lloyd_cpu_relocate(lloyd_kernels *kernels, int32_t from, int32_t to,
                                const int64_t *words);

/* means.c */
lloyd_status lloyd_cpu_inertia(lloyd_kernels *kernels, lloyd_dd squares, lloyd_found *found);
lloyd_status lloyd_cpu_update(lloyd_kernels *kernels);
lloyd_status lloyd_cpu_empty_clusters(lloyd_kernels *kernels, int64_t count, int32_t *clusters);

/* distances.c */
lloyd_status lloyd_cpu_distances(lloyd_kernels *kernels, int slot, double *out);
lloyd_status lloyd_cpu_distance_span(lloyd_kernels *kernels, int slot, lloyd_span *span);
lloyd_status lloyd_cpu_total_distance(lloyd_kernels *kernels, int slot, int top, int bits,
                                      int count, int64_t *total);
lloyd_status lloyd_cpu_farthest(lloyd_kernels *kernels, int slot, int64_t want, lloyd_far_row *list,
                                int64_t *count);

/* seed.c */
lloyd_status lloyd_cpu_seed_begin(lloyd_kernels *kernels);
lloyd_status lloyd_cpu_seed_compare(lloyd_kernels *kernels, int slot, int64_t base, double *mass);
lloyd_status lloyd_cpu_seed_total(lloyd_kernels *kernels, int exponent, int bits, int64_t *total);
lloyd_status lloyd_cpu_seed_pick(lloyd_kernels *kernels, int exponent, int bits, int64_t target,
                                 int64_t *row);
lloyd_status lloyd_cpu_seed_sample(lloyd_kernels *kernels, int exponent, int bits, int64_t total,
                                   int64_t oversampling, uint64_t seed, int round,
                                   int64_t row_offset, int64_t capacity, int64_t *rows,
                                   int64_t *count);
lloyd_status lloyd_cpu_seed_masses(lloyd_kernels *kernels, int64_t *masses);
lloyd_status lloyd_cpu_seed_try(lloyd_kernels *kernels, int slot, int exponent, int bits,
                                int64_t *totals);
lloyd_status lloyd_cpu_seed_end(lloyd_kernels *kernels);

/* reduce.c */
lloyd_status lloyd_cpu_reduce(lloyd_kernels *kernels, const lloyd_reduction *reduction,
                              const lloyd_leaf *leaves, int64_t count, int64_t *done);

#endif
