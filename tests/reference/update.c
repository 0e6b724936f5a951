#include "update.h"

#include "assign.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Adds `sign` times row i to cluster k. */
static void add_row(sums *to, const grid *g, const matrix *x, int64_t i, int64_t k, int sign)
{
    for (int64_t j = 0; j < x->columns; j++)
        add_double(&to->s[k * x->columns + j], digits_of(number_at(g, x, i, j), g->last[j]), sign);
    add_double(&to->n[k], weight_of(g, i), sign);
}

void accumulate(sums *to, const grid *g, const matrix *x, const int32_t *label, int64_t k)
{
    memset(to->s, 0, (size_t)(k * x->columns) * sizeof *to->s);
    memset(to->n, 0, (size_t)k * sizeof *to->n);
    for (int64_t i = 0; i < x->rows; i++) add_row(to, g, x, i, label[i], 1);
}

void relocate(sums *of, const grid *g, const matrix *x, const int32_t *label, const double *own,
              int64_t k)
{
    char *taken = allocate(x->rows, 1), *empty = allocate(k, 1);
    for (int64_t c = 0; c < k; c++) empty[c] = (char)is_zero(&of->n[c]);
    for (int64_t c = 0; c < k; c++) {
        if (!empty[c]) continue;
        int64_t farthest = -1;
        for (int64_t i = 0; i < x->rows; i++) {
            if (taken[i] || weight_of(g, i) == 0) continue;
            if (farthest < 0 || own[i] > own[farthest]) farthest = i;
        }
        if (farthest < 0) break;
        taken[farthest] = 1;
        add_row(of, g, x, farthest, label[farthest], -1);
        memset(of->s + c * x->columns, 0, (size_t)x->columns * sizeof *of->s);
        add_row(of, g, x, farthest, c, 1);
    }
    free(taken);
    free(empty);
}

void move_centroids(matrix *c, const sums *of, int cosine)
{
    int64_t d = c->columns;
    float *mean = allocate(d, sizeof *mean);
    for (int64_t k = 0; k < c->rows; k++) {
        if (is_zero(&of->n[k])) continue;
        int usable = 1, zero = 1;
        for (int64_t j = 0; j < d; j++) {
            mean[j] = float32_quotient(&of->s[k * d + j], &of->n[k]);
            usable = usable && isfinite(mean[j]);
            zero = zero && mean[j] == 0;
        }
        if (!usable || (cosine && zero)) continue;
        if (cosine) normalise(mean, d, "centroid", k);
        memcpy(c->value + k * d, mean, (size_t)d * sizeof *mean);
    }
    free(mean);
}

double inertia_of(const grid *g, const double *own, int64_t n)
{
    exact total = {{0}};
    for (int64_t i = 0; i < n; i++)
        add_double(&total, g->weight ? (double)g->weight[i] * own[i] : own[i], 1);
    return rounded_to_double(&total);
}
