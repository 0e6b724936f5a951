#include "grids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

void grid_of_digits(const lloyd_range *range, int d, int digits, lloyd_grid *grid)
{
    *grid = (lloyd_grid){.bits = 30, .weight_top = 30, .weight_digits = 1};
    assert_int_equal(lloyd_grid_alloc(grid, d), LLOYD_OK);
    for (int j = 0; j < d; j++) {
        float greatest = fmaxf(fabsf(range->min[j]), fabsf(range->max[j]));
        grid->top[j] = 1 + (int)floor(log2((double)greatest));
        grid->square_top[j] = 2 * grid->top[j];
        grid->digits[j] = digits;
    }
    lloyd_grid_number(grid, d);
}

int64_t *sums_of(lloyd_kernels *kernels)
{
    lloyd_buffer sums;
    assert_int_equal(kernels->sums(kernels, &sums), LLOYD_OK);
    return sums.data;
}

__int128 total_of(const lloyd_grid *grid, const lloyd_sum_layout *layout, const int64_t *sums,
                  int64_t k, int64_t j)
{
    int64_t words[LLOYD_MOST_DIGITS];
    int count = lloyd_column_words(layout, sums, k, j, grid->digits[j], grid->second,
                                   grid->wide_number, words);
    __int128 total = 0;
    for (int t = 0; t < count; t++) total = total * ((__int128)1 << grid->bits) + words[t];
    return total;
}
