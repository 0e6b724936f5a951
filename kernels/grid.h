/* In how many digits every column is summed, and where the sums of digits lie (section 3 of the
 * contract). For host and device.
 *
 * An array of sums is, for K clusters: the first digits of all columns [K][D]; the second digits of the
 * `seconds` columns that have one [K][seconds]; of the `wide` columns, which have more than two, digits
 * 2, 3, ... most_digits - 1, each [K][wide]; the masses, of which digit t is [K] at masses + t K; then
 * the counters of an iteration.
 */
#ifndef LLOYD_KERNELS_GRID_H
#define LLOYD_KERNELS_GRID_H

#include "base/status.h"
#include "kernels/exact.h"

enum { LLOYD_NO_BITS = 1 << 20 }; /* a lowest bit where all are zero */

/* The same on all ranks. Arrays of D unless it says otherwise. */
typedef struct lloyd_grid {
    int bits;        /* b */
    int *top;        /* M: of |x|, with weights of |w x| */
    int *digits;     /* T */
    int *square_top; /* Z: of x^2, with weights of w x^2 */
    int weight_top;  /* M_w; without weights it makes a mass of 1 the number 1 */
    int weight_digits;
    int most_digits; /* the largest T */
    int64_t seconds, wide;
    int32_t *second; /* number among the columns with two digits or more, -1: not one of them */
    int32_t *wide_number; /* number among the wide columns, -1: not one of them */
    int32_t *wide_column; /* [wide] the column of each */
    int cut;              /* some column is cut */
} lloyd_grid;

/* The counters, each over all rows of an iteration. */
enum {
    LLOYD_COUNT_MOVED,    /* labels that changed */
    LLOYD_COUNT_FALLBACK, /* rows without a certificate */
    LLOYD_COUNT_INT8, /* rows that the filter on 8-bit integers labelled; another one did the rest */
    LLOYD_COUNT_INT8_FALLBACK, /* of these, rows without a certificate */
    LLOYD_COUNT_CANDIDATES,    /* centroids that were compared with those by dist() */
    LLOYD_COUNT_PRUNED,        /* rows that were labelled with the help of bounds */
    LLOYD_COUNT_COMPARED, /* centroids that those were compared with: scores that were computed */
    LLOYD_COUNT_LEFT_OUT, /* rows that kept their labels without being loaded */
    LLOYD_COUNTERS
};

/* Offsets, in words, of the parts of an array of sums. */
typedef struct lloyd_sum_layout {
    int64_t dim, clusters, seconds, wide;
    int bits, most_digits, weight_digits;
    int64_t seconds_at, wide_at, masses_at, counters_at, words;
} lloyd_sum_layout;

/* grid: NULL where nothing is summed, and the counters are all there is. */
static inline lloyd_sum_layout lloyd_layout_of_sums(const lloyd_grid *grid, int64_t dim,
                                                    int64_t clusters)
{
    lloyd_sum_layout layout;
    memset(&layout, 0, sizeof layout);
    layout.dim = dim;
    layout.clusters = clusters;
    layout.words = LLOYD_COUNTERS;
    if (!grid) return layout;
    layout.seconds = grid->seconds;
    layout.wide = grid->wide;
    layout.bits = grid->bits;
    layout.most_digits = grid->most_digits;
    layout.weight_digits = grid->weight_digits;
    layout.seconds_at = clusters * dim;
    layout.wide_at = layout.seconds_at + clusters * grid->seconds;
    int64_t more = grid->wide > 0 ? grid->most_digits - 2 : 0;
    layout.masses_at = layout.wide_at + more * clusters * grid->wide;
    layout.counters_at = layout.masses_at + clusters * grid->weight_digits;
    layout.words = layout.counters_at + LLOYD_COUNTERS;
    return layout;
}

/* Words of one row in digits: as a row of each part of an array of sums, one after the other. */
static inline int64_t lloyd_row_words(const lloyd_sum_layout *layout)
{
    int64_t more = layout->wide > 0 ? layout->most_digits - 2 : 0;
    return layout->dim + layout->seconds + more * layout->wide + layout->weight_digits;
}

/* Gathers the words of column j of cluster k: at most T of them. Returns their number. */
LLOYD_HD int lloyd_column_words(const lloyd_sum_layout *layout, const int64_t *sums, int64_t k,
                                int64_t j, int digits, const int32_t *second,
                                const int32_t *wide_number, int64_t *words)
{
    words[0] = sums[k * layout->dim + j];
    if (digits > 1) words[1] = sums[layout->seconds_at + k * layout->seconds + second[j]];
    for (int t = 2; t < digits; t++) {
        words[t] = sums[layout->wide_at + ((t - 2) * layout->clusters + k) * layout->wide +
                        wide_number[j]];
    }
    return digits;
}

/* The same of the mass of cluster k. */
LLOYD_HD int lloyd_mass_words(const lloyd_sum_layout *layout, const int64_t *sums, int64_t k,
                              int64_t *words)
{
    for (int t = 0; t < layout->weight_digits; t++)
        words[t] = sums[layout->masses_at + t * layout->clusters + k];
    return layout->weight_digits;
}

LLOYD_HD int lloyd_is_empty(const lloyd_sum_layout *layout, const int64_t *sums, int64_t k)
{
    int64_t any = 0;
    for (int t = 0; t < layout->weight_digits; t++)
        any |= sums[layout->masses_at + t * layout->clusters + k];
    return any == 0;
}

/* digit[0 .. count) of a number: the rounding is to the last one. */
LLOYD_HD void lloyd_digits_of(double value, int top, int bits, int count, int64_t *digit)
{
    double kept = lloyd_kept(value, top - bits * count);
    for (int t = 0; t < count; t++)
        digit[t] = lloyd_digit(kept, top - bits * (t + 1), bits, t == 0);
}

/* How many sums are planned for before the data are known: one digit for bytes, two for all else. More
 * are rare, and cost their memory when they are found. */
static inline int64_t lloyd_planned_sum_words(int64_t dim, int64_t clusters, int one_digit,
                                              int weighted)
{
    return clusters * (dim * (one_digit ? 1 : 2) + (weighted ? 2 : 1)) + LLOYD_COUNTERS;
}

/* --- kernels/grid.c --- */

/* Makes room for the arrays of a grid of `dim` columns; free with lloyd_grid_free(), also after a
 * failure. */
lloyd_status lloyd_grid_alloc(lloyd_grid *grid, int64_t dim);
void lloyd_grid_free(lloyd_grid *grid);

/* T of a column: top = M, low = L (LLOYD_NO_BITS: all are zero), ordinary = m, which only counts where
 * M - L > 2b. *cut = delta of the contract, 2^(M - bT - 1), where the column is cut, else 0. */
int lloyd_grid_digits(int bits, int top, int low, int ordinary, double *cut);

/* Fills in what follows from grid->digits: the numbers of columns, and how many there are of which. */
void lloyd_grid_number(lloyd_grid *grid, int64_t dim);

#endif
