/* See grid.h. */
#include "kernels/grid.h"

#include "base/memory.h"

lloyd_status lloyd_grid_alloc(lloyd_grid *grid, int64_t dim)
{
    const char *what = "digits of the columns";
    LLOYD_TRY(lloyd_alloc(&grid->top, dim, sizeof *grid->top, what));
    LLOYD_TRY(lloyd_alloc(&grid->digits, dim, sizeof *grid->digits, what));
    LLOYD_TRY(lloyd_alloc(&grid->square_top, dim, sizeof *grid->square_top, what));
    LLOYD_TRY(lloyd_alloc(&grid->second, dim, sizeof *grid->second, what));
    LLOYD_TRY(lloyd_alloc(&grid->wide_number, dim, sizeof *grid->wide_number, what));
    return lloyd_alloc(&grid->wide_column, dim, sizeof *grid->wide_column, what);
}

void lloyd_grid_free(lloyd_grid *grid)
{
    lloyd_free(grid->top);
    lloyd_free(grid->digits);
    lloyd_free(grid->square_top);
    lloyd_free(grid->second);
    lloyd_free(grid->wide_number);
    lloyd_free(grid->wide_column);
}

int lloyd_grid_digits(int bits, int top, int low, int ordinary, double *cut)
{
    int span = low == LLOYD_NO_BITS ? 0 : top - low, kept = span;
    *cut = 0;
    if (span > 2 * bits) {
        int wanted = top - ordinary + 24;
        kept = wanted > 2 * bits ? wanted : 2 * bits;
        if (kept > span) kept = span;
    }
    int digits = kept <= bits ? 1 : (kept + bits - 1) / bits;
    if (digits * bits < span) *cut = lloyd_exp2(top - bits * digits - 1);
    return digits;
}

void lloyd_grid_number(lloyd_grid *grid, int64_t dim)
{
    grid->most_digits = 1;
    grid->seconds = grid->wide = 0;
    for (int64_t j = 0; j < dim; j++) {
        int digits = grid->digits[j];
        if (digits > grid->most_digits) grid->most_digits = digits;
        grid->second[j] = digits > 1 ? (int32_t)grid->seconds++ : -1;
        grid->wide_number[j] = digits > 2 ? (int32_t)grid->wide : -1;
        if (digits > 2) grid->wide_column[grid->wide++] = (int32_t)j;
    }
}
