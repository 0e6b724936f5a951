/* All that touches every vector, behind one struct of functions. cpu/ and cuda/ implement it; what
 * they compute is defined bit for bit by docs/numerics.md, so they are interchangeable.
 *
 * One `lloyd_kernels` serves one rank: n_local rows, of which a chunk at a time is loaded into a
 * slot. Rows stay in the type they are stored in; kernels turn them into float32 (and unit length,
 * for cosine) while they read. A slot that is loaded once and never again is a resident chunk. Row
 * numbers in this interface are local: 0 .. n_local-1. Labels belong to the kernels (int32; seeding
 * uses them as working space).
 *
 * One iteration is: begin, then per chunk assign and accumulate, then one all-reduce of sums(),
 * then inertia and update.
 */
#ifndef LLOYD_KERNELS_KERNELS_H
#define LLOYD_KERNELS_KERNELS_H

#include "base/status.h"
#include "base/types.h"
#include "kernels/device.h"
#include "kernels/grid.h"
#include "kernels/reduce.h"

#include <stdint.h>

/* Which filter assigns rows: the one that costs less, or always the same, for tests and studies. INT8 is FLOAT
 * where there is no filter on 8-bit integers. Labels do not depend on it. */
typedef enum lloyd_filter { LLOYD_FILTER_AUTO, LLOYD_FILTER_INT8, LLOYD_FILTER_FLOAT } lloyd_filter;

/* Whether iterations skip comparisons that bounds of distances rule out (kernels/prune_bound.h): where that costs
 * less, from the second iteration on, or never. Labels do not depend on it. */
typedef enum lloyd_prune { LLOYD_PRUNE_AUTO, LLOYD_PRUNE_ON, LLOYD_PRUNE_OFF } lloyd_prune;

typedef struct lloyd_kernels_config {
    int64_t n_local;    /* rows of this rank */
    int64_t dim;        /* D >= 1 */
    int64_t k;          /* K >= 1: clusters whose sums are kept */
    int64_t chunk_rows; /* the most rows a slot holds, < 2^31 */
    int slots;
    lloyd_type type;
    int cosine;           /* 1: rows are normalised while they are read */
    const float *weights; /* [n_local], borrowed, finite and >= 0; NULL: every row weighs 1 */
    int threads;          /* CPU threads of this rank */
    int timed;            /* 1: lloyd_kernels.seconds are wanted, also where they cost time */
    lloyd_filter filter;
    lloyd_prune prune;
    int64_t
        prune_group; /* centroids that share the bounds of rows; 0: no bounds are kept, whatever `prune` says */
} lloyd_kernels_config;

/* Whether columns surely have one digit. */
static inline int lloyd_sums_one_digit(const lloyd_kernels_config *config)
{
    return (config->type == LLOYD_U8 || config->type == LLOYD_I8) && !config->weights &&
           !config->cosine;
}

/* What rows are brought into a slot for: anything, or assign() and accumulate() of the iteration that has begun, and nothing
 * else. */
typedef enum lloyd_load_need { LLOYD_ALL_ROWS, LLOYD_ROWS_TO_LABEL } lloyd_load_need;

/* What the time of an iteration goes to. */
typedef enum lloyd_work {
    LLOYD_WORK_ROWS,     /* waiting for the rows of a slot */
    LLOYD_WORK_ASSIGN,   /* the filter and its certificate */
    LLOYD_WORK_FALLBACK, /* the fallback pass: rows without a certificate */
    LLOYD_WORK_UPDATE,   /* sums of clusters, inertia, new centroids */
    LLOYD_WORK_SUM,      /* the sum over ranks, and waiting for them */
    LLOYD_WORKS
} lloyd_work;

/* Of the rows that were measured: column minima and maxima, the lowest bit of any element
 * (lloyd_lowest(); 0 for bytes), arrays of D, and the first row that cannot be clustered. */
typedef enum lloyd_defect { LLOYD_SOUND, LLOYD_NOT_FINITE, LLOYD_ZERO_ROW } lloyd_defect;

typedef struct lloyd_range {
    float *min, *max;
    int *low;
    int64_t bad_row; /* local, -1: none */
    lloyd_defect defect;
} lloyd_range;

/* Of the products w x, arrays of D: the largest |w x|, the largest (w x) x, the lowest bit of any w x. */
typedef struct lloyd_product_range {
    double *greatest, *square;
    int *low;
} lloyd_product_range;

/* Of numbers that are not negative: the exponent of the largest and the lowest bit of any; there is
 * none yet if top < low. */
typedef struct lloyd_span {
    int top, low;
} lloyd_span;

enum { LLOYD_NO_TOP = -(1 << 20) };

/* The most rows that are tried for one initial centroid. */
enum { LLOYD_MOST_TRIALS = 256 };

/* What seeding keeps of a row: its distance to the nearest centroid so far, and which one that is. */
enum { LLOYD_SEED_ROW_BYTES = sizeof(double) + sizeof(int32_t) };

/* What an iteration has found, of all ranks. */
typedef struct lloyd_found {
    double inertia; /* C of the contract, from the sums; may be far off where most has cancelled */
    double largest; /* |c| of any element of a centroid */
    int64_t moved;  /* labels that changed */
    int64_t fallback_rows; /* rows without a certificate */
    /* rows that the filter on 8-bit integers labelled, those of them without a certificate, and the
     * candidates that these had together */
    int64_t int8_rows, int8_fallback_rows, int8_candidates;
    /* rows that were labelled with the help of bounds, and the comparisons of these with centroids */
    int64_t pruned_rows, compared;
    int64_t left_out; /* rows that kept their labels without being copied to the GPU */
    int64_t empty;    /* clusters */
} lloyd_found;

/* A row far from its centroid, a candidate for an empty cluster. */
typedef struct lloyd_far_row {
    double distance;
    int64_t row;
    int32_t label;
} lloyd_far_row;

/* Several problems in one: each group of rows has centroids of its own, and is compared with these alone. Group g has the local rows
 * [rows[g], rows[g + 1]) and of the set the centroids [centroids[g], centroids[g + 1]), at least one of both. */
typedef struct lloyd_groups {
    int64_t count;
    const int64_t *rows;      /* [count + 1] from 0 to n_local */
    const int64_t *centroids; /* [count + 1] from 0 to the size of the set */
    const unsigned char
        *active; /* [count] 0: a group's labels would stay the same, and may be left as they are */
} lloyd_groups;

/* The most rows of kernels with groups. */
enum { LLOYD_GROUPED_ROWS = 1 << 22 };

/* What a group draws in a round of kmeans||. */
typedef struct lloyd_group_draw {
    int64_t oversampling;
    uint64_t seed;
    int64_t most;  /* rows */
    int64_t place; /* where they go in the array of all groups */
} lloyd_group_draw;

typedef struct lloyd_kernels lloyd_kernels;

struct lloyd_kernels {
    const lloyd_device *device;
    int copies;      /* 1: load() copies the rows */
    int synchronous; /* 1: work is done when the call returns, so a clock can time it */
    /* Of all iterations since the kernels were created. Where synchronous, FALLBACK only; else all, by
     * the device's clock, if config.timed. */
    double seconds[LLOYD_WORKS];
    lloyd_kernels_config config;

    /* New kernels of the same kind, on the same device. */
    lloyd_status (*create)(lloyd_kernels *self, const lloyd_kernels_config *config,
                           lloyd_kernels **kernels);

    /* --- rows: into slots, and out of them --- */

    /* Rows [first, first+count) into a slot, from host memory ("cuda": or that of a GPU); the same
     * ones whenever they are loaded. Where `copies`, that memory is free again when load() returns;
     * else it must stay as it is while the slot is in use. */
    lloyd_status (*load)(lloyd_kernels *self, int slot, int64_t first, int64_t count,
                         const void *rows);
    /* load() in two halves, so that copies overlap with computing. load_start() returns at once:
     * the copy is stream-ordered after all prior work of the kernels, and `rows` must stay as they
     * are until loaded() has returned for the slot. load_finish() does not wait either: what is
     * asked after it finds the rows in the slot. Rows from device->host_alloc() are copied fastest; where they are needed for
     * labels only, those that keep theirs for certain are left out. */
    lloyd_status (*load_start)(lloyd_kernels *self, int slot, int64_t first, int64_t count,
                               const void *rows, lloyd_load_need need);
    lloyd_status (*load_finish)(lloyd_kernels *self, int slot);
    /* Waits until the last copy into the slot has left host memory; at once if there was none. */
    lloyd_status (*loaded)(lloyd_kernels *self, int slot);
    /* A slot in pieces, where `copies` (else NULL): load() with rows = NULL reserves `count` rows,
     * and fill() copies rows [at, at+count) of the slot. All must be there before anything else
     * uses it. */
    lloyd_status (*fill)(lloyd_kernels *self, int slot, int64_t at, int64_t count,
                         const void *rows);

    /* Rows of the slot as float32 as the kernels see them (unit length for cosine): out[count * D].
     */
    lloyd_status (*rows)(lloyd_kernels *self, int slot, const int64_t *rows, int64_t count,
                         float *out);
    /* The same, into rows [at, at+count) of a slot of other kernels of the same kind on the same device,
     * whose rows are float32. Where `copies`, else NULL. */
    lloyd_status (*take)(lloyd_kernels *self, int slot, const int64_t *rows, int64_t count,
                         lloyd_kernels *to, int to_slot, int64_t at);

    /* --- rows, once, before the first iteration --- */

    /* Widens range to the rows of the slot, and notes the first defect unless one is there already.
     */
    lloyd_status (*measure)(lloyd_kernels *self, int slot, lloyd_range *range);
    /* Widens range to the products of the slot. Weighted only. */
    lloyd_status (*measure_weighted)(lloyd_kernels *self, int slot, lloyd_product_range *range);
    /* The grid of the sums, borrowed until the kernels are destroyed. Makes room for the sums; before,
     * there are only the counters. */
    lloyd_status (*set_grid)(lloyd_kernels *self, const lloyd_grid *grid);
    /* Adds the slot's squares (section 5 of the contract) into words[0 .. LLOYD_SQUARE_DIGITS D): column
     * j owns words of b bits, highest first, whose total alone counts. */
    lloyd_status (*squares)(lloyd_kernels *self, int slot, int64_t *words);

    /* --- centroids --- */

    /* The set to assign to from now on: centroids[count * D] in host memory. For an iteration,
     * count = K. */
    lloyd_status (*set_centroids)(lloyd_kernels *self, int64_t count, const float *centroids);
    /* Into host memory ("cuda": or that of a GPU). */
    lloyd_status (*get_centroids)(lloyd_kernels *self, float *centroids);

    /* --- one iteration --- */

    /* All labels to -1: a new start. */
    lloyd_status (*forget_labels)(lloyd_kernels *self);
    /* Counters to zero, and a new iteration, of which accumulate() is called once for all rows. */
    lloyd_status (*begin)(lloyd_kernels *self);
    /* The exact nearest centroid of every row of the slot; adds to the counters. */
    lloyd_status (*assign)(lloyd_kernels *self, int slot);
    /* The slot's rows are in the sums and counts of their clusters then, and in no others: where few rows have moved,
     * only these are looked at. */
    lloyd_status (*accumulate)(lloyd_kernels *self, int slot);
    /* Waits until all work that was enqueued is done; for callers that time it where not `synchronous`. */
    lloyd_status (*finish)(lloyd_kernels *self);
    /* *sums = the sums of digits, the masses and the counters (kernels/grid.h), int64; to be summed over
     * ranks in place. The kernels keep those of their own rows elsewhere. */
    lloyd_status (*sums)(lloyd_kernels *self, lloyd_buffer *sums);
    /* After that sum. `squares` is Q of the contract. */
    lloyd_status (*inertia)(lloyd_kernels *self, lloyd_dd squares, lloyd_found *found);
    /* Centroids from sums; a cluster without mass, or whose mean has no float32 or (cosine) no
     * direction, keeps its own. */
    lloyd_status (*update)(lloyd_kernels *self);

    /* --- empty clusters --- */

    /* The clusters without mass, in increasing order. */
    lloyd_status (*empty_clusters)(lloyd_kernels *self, int64_t count, int32_t *clusters);
    /* Keeps in list[0 .. *count) the `want` rows farthest from their own centroid among those there
     * and those of the slot (ties: the lowest row), farthest first. Rows without mass are left out.
     */
    lloyd_status (*farthest)(lloyd_kernels *self, int slot, int64_t want, lloyd_far_row *list,
                             int64_t *count);
    /* Moves one row from cluster `from` to the empty cluster `to`: its digits and mass, as one row of
     * lloyd_row_words() of an array of sums. */
    lloyd_status (*relocate)(lloyd_kernels *self, int32_t from, int32_t to, const int64_t *words);

    /* --- results: labels and distances --- */

    /* out[0 .. count) = labels of rows [first, first+count), in host memory ("cuda": or that of a
     * GPU). */
    lloyd_status (*labels)(lloyd_kernels *self, int64_t first, int64_t count, int32_t *out);
    /* counts[0 .. K) += rows per label over all local rows. */
    lloyd_status (*count_labels)(lloyd_kernels *self, int64_t *counts);
    /* out[0 .. rows of the slot) = dist() of every row to the centroid of its label. */
    lloyd_status (*distances)(lloyd_kernels *self, int slot, double *out);
    /* Widens span to w dist() of every row of the slot to the centroid of its label. */
    lloyd_status (*distance_span)(lloyd_kernels *self, int slot, lloyd_span *span);
    /* total[t] += digit t of w dist() of every row of the slot to the centroid of its label, for `count`
     * digits of `bits` bits below 2^top. */
    lloyd_status (*total_distance)(lloyd_kernels *self, int slot, int top, int bits, int count,
                                   int64_t *total);
    /* --- seeding: every row keeps its squared distance to the centroids chosen so far, and which
     * one it is --- */

    /* Forgets; the state takes LLOYD_SEED_ROW_BYTES a row until seed_end(). */
    lloyd_status (*seed_begin)(lloyd_kernels *self);
    /* Compares with the current centroid set, whose first member has number `base`; *mass =
     * max(*mass, w d^2) over the slot. With groups, each with its own. */
    lloyd_status (*seed_compare)(lloyd_kernels *self, int slot, int64_t base, double *mass);
    /* A row's mass is w d^2; before the first comparison it is w. All of these are over all local
     * rows. *total = the sum of the fixed-point masses lloyd_fixed_mass(mass, exponent, bits). */
    lloyd_status (*seed_total)(lloyd_kernels *self, int exponent, int bits, int64_t *total);
    /* The row where the running sum of fixed-point masses first exceeds `target` (0 <= target <
     * total). */
    lloyd_status (*seed_pick)(lloyd_kernels *self, int exponent, int bits, int64_t target,
                              int64_t *row);
    /* kmeans||: row i is taken if floor(u total / 2^64) < oversampling * mass(i), u = Philox(seed,
     * row_offset + i, round). The first `capacity` of them, in rows[0 .. *count). */
    lloyd_status (*seed_sample)(lloyd_kernels *self, int exponent, int bits, int64_t total,
                                int64_t oversampling, uint64_t seed, int round, int64_t row_offset,
                                int64_t capacity, int64_t *rows, int64_t *count);
    /* masses[nearest candidate] += 1, or the row's weight in fixed point (set_grid() was called),
     * for every local row. */
    lloyd_status (*seed_masses)(lloyd_kernels *self, int64_t *masses);
    /* totals[c] += the fixed-point masses that the slot's rows would have if member c of the current
     * set, of at most LLOYD_MOST_TRIALS, were chosen too. Changes nothing. */
    lloyd_status (*seed_try)(lloyd_kernels *self, int slot, int exponent, int bits,
                             int64_t *totals);
    lloyd_status (*seed_end)(lloyd_kernels *self);
    /* Of kmeans||, after seed_end(): chooses in the first of these leaves, as many as are done at a time.
     * *done = how many these are, at least one of `count` >= 1. */
    lloyd_status (*reduce)(lloyd_kernels *self, const lloyd_reduction *reduction,
                           const lloyd_leaf *leaves, int64_t count, int64_t *done);

    /* --- groups of rows; all NULL where there are none --- */

    /* From the next set_centroids() or set_rows() on, which brings groups->centroids[groups->count] of them; for the first time before any other set. All rows,
     * at most LLOYD_GROUPED_ROWS, are in slot 0, without weights, the filter is LLOYD_FILTER_FLOAT, and no bounds are kept. The number of groups and their rows
     * stay. `active` is borrowed, and may change; the rest is copied. */
    lloyd_status (*set_groups)(lloyd_kernels *self, const lloyd_groups *groups);
    /* set_centroids() with these rows of slot 0, as rows() gives them. */
    lloyd_status (*set_rows)(lloyd_kernels *self, int64_t count, const int64_t *rows);
    /* moved[g] = labels of group g that the last assign() changed. After inertia(). */
    lloyd_status (*groups_moved)(lloyd_kernels *self, int64_t *moved);
    /* After seed_compare(): what seed_sample() gives each group, as if its rows were all there are, for the exponent of its greatest mass
     * and LLOYD_MASS_BITS. rows[draws[g].place ...] = their numbers among all, increasing; counts[g] = how many. `room`: of rows[]. */
    lloyd_status (*groups_sample)(lloyd_kernels *self, const lloyd_group_draw *draws, int round,
                                  int64_t room, int64_t *rows, int64_t *counts);

    void (*destroy)(lloyd_kernels *self);
};

#endif
