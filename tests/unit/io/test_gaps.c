/* Rows that are left out: numbers and runs of those that stay, against a list of all rows. */
#include "io/gaps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

enum { ROWS = 60 };

static void check(const char *mask, const int64_t *pairs, int64_t count)
{
    lloyd_gaps gaps;
    int64_t stay[ROWS], n = 0;
    assert_int_equal(lloyd_gaps_make(pairs, count, &gaps), LLOYD_OK);
    for (int64_t row = 0; row < ROWS; row++)
        if (!mask[row]) stay[n++] = row;
    assert_int_equal(gaps.rows, ROWS - n);
    for (int64_t row = 0; row < n; row++) {
        assert_int_equal(lloyd_gaps_original(&gaps, row), stay[row]);
        int64_t run = 1;
        while (row + run < n && stay[row + run] == stay[row] + run) run++;
        for (int64_t most = 1; most <= n - row; most++)
            assert_int_equal(lloyd_gaps_run(&gaps, row, most), most < run ? most : run);
    }
    lloyd_gaps_free(&gaps);
}

/* Gaps as one rank finds them, and cut in two where the next rank begins. */
static void any_rows(void **state)
{
    (void)state;
    srand(5);
    for (int t = 0; t < 2000; t++) {
        char mask[ROWS];
        int64_t pairs[2 * ROWS], count = 0;
        int share = t % 101, cut = rand() % ROWS;
        for (int row = 0; row < ROWS; row++) {
            mask[row] = (char)(rand() % 100 < share);
            if (!mask[row]) continue;
            if (row > 0 && mask[row - 1] && row != cut) {
                pairs[2 * count - 1]++;
            } else {
                pairs[2 * count] = row;
                pairs[2 * count++ + 1] = 1;
            }
        }
        check(mask, pairs, count);
    }
}

static void no_gaps(void **state)
{
    (void)state;
    lloyd_gaps gaps = {0};
    assert_int_equal(lloyd_gaps_original(&gaps, 7), 7);
    assert_int_equal(lloyd_gaps_run(&gaps, 7, 1000), 1000);
    lloyd_gaps_free(&gaps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_rows), cmocka_unit_test(no_gaps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
