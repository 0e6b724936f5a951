#include "measures.h"

#include "differ.h"
#include "values.h"

#include "base/memory.h"
#include "kernels/numerics.h"

#include <math.h>

lloyd_status measure_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *range)
{
    (void)first;
    return kernels->measure(kernels, slot, range);
}

static lloyd_status measure_weighted_chunk(lloyd_kernels *kernels, int slot, int64_t first,
                                           void *range)
{
    (void)first;
    return kernels->measure_weighted(kernels, slot, range);
}

static lloyd_status square_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *words)
{
    (void)first;
    return kernels->squares(kernels, slot, words);
}

/* An exponent of smallest ordinary values: now and then one for which a wide column needs many digits. */
static int any_ordinary(const lloyd_grid *grid, int top)
{
    return below(3) ? top : top - 2 * grid->bits - (int)below(100);
}

/* The digits of columns that begin at grid.top and end at low[], as for a dataset that may be larger
 * than these rows. */
static void choose_digits(problem *p, const int *low)
{
    lloyd_grid *grid = &p->grid;
    double cut;
    grid->cut = 0;
    for (int64_t j = 0; j < p->c.d; j++) {
        int top = grid->top[j];
        grid->digits[j] = lloyd_grid_digits(grid->bits, top, low[j], any_ordinary(grid, top), &cut);
        if (cut > 0) grid->cut = 1;
    }
    lloyd_grid_number(grid, p->c.d);
    grid->weight_top = grid->bits, grid->weight_digits = 1;
    if (!p->weights) return;
    double greatest = 0;
    int lowest = LLOYD_NO_BITS;
    for (int64_t i = 0; i < p->c.n; i++) {
        double weight = (double)p->weights[i];
        greatest = fmax(greatest, weight);
        if (weight > 0 && lloyd_lowest(weight) < lowest) lowest = lloyd_lowest(weight);
    }
    int top = lloyd_exponent(greatest);
    grid->weight_top = top;
    grid->weight_digits = lloyd_grid_digits(grid->bits, top, lowest, any_ordinary(grid, top), &cut);
    if (cut > 0) grid->cut = 1;
}

static int compare_range(problem *p, float *values, int *low)
{
    int64_t d = p->c.d;
    for (int s = 0; s < SIDES; s++) {
        lloyd_range range = {.min = values + s * 2 * d,
                             .max = values + s * 2 * d + d,
                             .low = low + s * d,
                             .bad_row = -1};
        for (int64_t j = 0; j < d; j++) {
            range.min[j] = INFINITY, range.max[j] = -INFINITY;
            range.low[j] = LLOYD_NO_BITS;
        }
        if (!pass(p, s, "measure", measure_chunk, &range)) return 0;
        /* Which of the two zeros came first is nobody's business. */
        for (int64_t j = 0; j < d; j++) range.min[j] += 0.0F, range.max[j] += 0.0F;
        int64_t bad[SIDES] = {-1, range.bad_row};
        same_count(p, "measure: bad row", bad);
    }
    same(p, "measure: lowest bits", I32, low, low + d, d, 1);
    return same(p, "measure: min, max", F32, values, values + 2 * d, 2 * d, d);
}

static int compare_products(problem *p, double *values, int *low)
{
    int64_t d = p->c.d;
    for (int s = 0; s < SIDES; s++) {
        lloyd_product_range range = {values + s * 2 * d, values + s * 2 * d + d, low + s * d};
        for (int64_t j = 0; j < d; j++) low[s * d + j] = LLOYD_NO_BITS;
        if (!pass(p, s, "measure_weighted", measure_weighted_chunk, &range)) return 0;
    }
    same(p, "measure_weighted: lowest bits", I32, low, low + d, d, 1);
    return same(p, "measure_weighted", F64, values, values + 2 * d, 2 * d, d);
}

/* The words of a column may be carried or not; their sum counts. */
static int compare_squares(problem *p, int64_t *words)
{
    enum { COUNT = LLOYD_SQUARE_DIGITS };
    int64_t d = p->c.d;
    for (int s = 0; s < SIDES; s++) {
        int64_t *own = words + s * COUNT * d;
        if (!pass(p, s, "squares", square_chunk, own)) return 0;
        for (int64_t j = 0; j < d; j++) {
            lloyd_carry(own + COUNT * j, COUNT, p->grid.bits);
            lloyd_total total = {own + COUNT * j, COUNT, p->grid.bits, p->grid.square_top[j]};
            if (s == CPU) p->squares = lloyd_dd_add(p->squares, lloyd_dd_total(total));
        }
    }
    return same(p, "squares: [column][word]", I64, words, words + COUNT * d, COUNT * d, COUNT);
}

int compare_measures(problem *p)
{
    int64_t d = p->c.d;
    float *ranges = new_array(4 * d, sizeof *ranges);
    double *products = new_array(4 * d, sizeof *products);
    int *low = new_array(2 * d, sizeof *low);
    int64_t *words = new_array(2 * LLOYD_SQUARE_DIGITS * d, sizeof *words);
    int good = compare_range(p, ranges, low);
    p->grid.bits = lloyd_bits(p->c.n << (d % 3 == 0 ? 22 : 0), LLOYD_ELEMENT_BITS);
    for (int64_t j = 0; j < d; j++) {
        p->grid.top[j] = lloyd_exponent(fmax(fabs((double)ranges[j]), fabs((double)ranges[d + j])));
        p->grid.square_top[j] = 2 * p->grid.top[j];
    }
    if (p->weights) good = good && compare_products(p, products, low);
    for (int64_t j = 0; j < d && p->weights; j++) {
        p->grid.top[j] = lloyd_exponent(products[j]);
        p->grid.square_top[j] = lloyd_exponent(products[d + j]);
    }
    choose_digits(p, low);
    for (int s = 0; s < SIDES && good; s++)
        good = !failed(p, s, p->side[s]->set_grid(p->side[s], &p->grid), "set_grid");
    good = good && compare_squares(p, words);
    lloyd_free(ranges);
    lloyd_free(products);
    lloyd_free(low);
    lloyd_free(words);
    return good;
}
