/* See permutation.h. */
#include "algorithm/permutation.h"

#include "base/memory.h"
#include "base/philox.h"

#include <stdlib.h>
#include <string.h>

/* Position `index` of the permutation of [0, n): a Feistel network of eight rounds of Philox on the
 * next power of four, walked until it lands below n. */
int64_t lloyd_permuted(int64_t n, uint64_t seed, int64_t index)
{
    int half = 1;
    while (half < 31 && ((int64_t)1 << (2 * half)) < n) half++;
    uint64_t mask = ((uint64_t)1 << half) - 1, value = (uint64_t)index;
    do {
        uint64_t left = value >> half, right = value & mask;
        for (uint32_t round = 0; round < 8; round++) {
            uint64_t next =
                left ^ (lloyd_philox64(seed, LLOYD_DRAW_PERMUTATION, right, round) & mask);
            left = right;
            right = next;
        }
        value = left << half | right;
    } while (value >= (uint64_t)n);
    return (int64_t)value;
}

static int compare_rows_by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

lloyd_status lloyd_permuted_fill_up(const lloyd_problem *p, uint64_t seed, int64_t *rows,
                                    int64_t count)
{
    int64_t *taken = NULL, taken_count = count;
    LLOYD_TRY(lloyd_alloc(&taken, count, sizeof *taken, "seed rows"));
    memcpy(taken, rows, (size_t)count * sizeof *taken);
    qsort(taken, (size_t)taken_count, sizeof *taken, compare_rows_by_number);
    for (int64_t i = 0; count < p->k; i++) {
        int64_t row = lloyd_permuted(p->n, seed, i);
        if (!bsearch(&row, taken, (size_t)taken_count, sizeof *taken, compare_rows_by_number))
            rows[count++] = row;
    }
    lloyd_free(taken);
    return LLOYD_OK;
}
