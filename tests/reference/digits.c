#include "digits.h"

#include <Random123/philox.h>
#include <math.h>
#include <stdlib.h>

/* u(what, index, round) of the key 0 */
static uint64_t draw(uint32_t what, uint64_t index, uint32_t round)
{
    philox4x32_ctr_t counter = {{what, (uint32_t)index, (uint32_t)(index >> 32), round}};
    philox4x32_key_t key = {{0, 0}};
    philox4x32_ctr_t random = philox4x32_R(10, counter, key);
    return (uint64_t)random.v[0] + ((uint64_t)random.v[1] << 32);
}

/* Row number pi(i) of n with the key 0: a Feistel network on 2h bits, walked until it is below n. */
static int64_t permuted(int64_t i, int64_t n)
{
    int h = 1;
    while (((int64_t)1 << 2 * h) < n) h++;
    uint64_t mask = ((uint64_t)1 << h) - 1, at = (uint64_t)i;
    do {
        uint64_t left = at >> h, right = at & mask;
        for (uint32_t round = 0; round < 8; round++) {
            uint64_t next = left ^ (draw(1, right, round) & mask);
            left = right;
            right = next;
        }
        at = left << h | right;
    } while (at >= (uint64_t)n);
    return (int64_t)at;
}

/* The smallest integer e with |value| < 2^e; 0 for 0. */
static int exponent_of(double value)
{
    int e = 0;
    if (value != 0) frexp(value, &e); /* value = m * 2^e with 1/2 <= |m| < 1 */
    return e;
}

/* The largest integer e such that value, not 0, is a multiple of 2^e. */
static int lowest_bit_of(double value)
{
    int e = 0;
    int64_t mantissa = (int64_t)ldexp(frexp(value, &e), 53);
    e -= 53;
    while (mantissa % 2 == 0) {
        mantissa /= 2;
        e++;
    }
    return e;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* m of the numbers of a column; `lowest` is L. */
static int ordinary_exponent(const double *value, const int64_t *sample, int64_t count, int lowest)
{
    double *size = allocate(count, sizeof *size);
    int64_t found = 0;
    for (int64_t s = 0; s < count; s++) {
        double v = fabs(value[sample[s]]);
        if (v != 0) size[found++] = v;
    }
    qsort(size, (size_t)found, sizeof *size, compare_doubles);
    int m = found == 0 ? lowest + 24 : exponent_of(size[found < 4 ? 0 : 3]);
    free(size);
    return m;
}

/* M - bT of a column of the numbers `value`, [n]. */
static int last_of_column(const double *value, int64_t n, const int64_t *sample, int64_t count)
{
    int log2n = 0; /* ceil(log2 n) */
    while (((int64_t)1 << log2n) < n) log2n++;
    int b = smaller(30, 62 - log2n), any = 0, M = 0, L = 0;
    for (int64_t i = 0; i < n; i++) {
        if (value[i] == 0) continue;
        M = any ? larger(M, exponent_of(value[i])) : exponent_of(value[i]);
        L = any ? smaller(L, lowest_bit_of(value[i])) : lowest_bit_of(value[i]);
        any = 1;
    }
    int B = M - L;
    if (B > 2 * b) {
        int m = ordinary_exponent(value, sample, count, L);
        B = smaller(M - L, larger(2 * b, M - m + 24));
    }
    int T = larger(1, (B + b - 1) / b);
    return M - b * T;
}

double number_at(const grid *g, const matrix *x, int64_t i, int64_t j)
{
    double value = (double)x->value[i * x->columns + j];
    return g->weight ? (double)g->weight[i] * value : value;
}

grid make_grid(const matrix *x, const float *weight)
{
    int64_t n = x->rows, d = x->columns, count = n < 4096 ? n : 4096;
    grid g = {weight, allocate(d, sizeof(int)), 0};
    int64_t *sample = allocate(count, sizeof *sample);
    double *value = allocate(n, sizeof *value);
    for (int64_t s = 0; s < count; s++) sample[s] = permuted(s, n);
    for (int64_t j = 0; j < d; j++) {
        for (int64_t i = 0; i < n; i++) value[i] = number_at(&g, x, i, j);
        g.last[j] = last_of_column(value, n, sample, count);
    }
    if (weight) {
        for (int64_t i = 0; i < n; i++) value[i] = (double)weight[i];
        g.weight_last = last_of_column(value, n, sample, count);
    }
    free(value);
    free(sample);
    return g;
}

double digits_of(double value, int last)
{
    return ldexp(rint(ldexp(value, -last)), last); /* ties to even, the default rounding mode */
}

double weight_of(const grid *g, int64_t i)
{
    return g->weight ? digits_of((double)g->weight[i], g->weight_last) : 1;
}
