/* The sort of members: every pattern that is bad for a quicksort, equal distances, and lengths around the limits. */
#include "job/results/order.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MOST = 20000, PATTERNS = 10 };

/* Distances of a pattern; rows are given in the order that makes the pattern one of keys. */
static double pattern(int which, int64_t i, int64_t n)
{
    switch (which) {
    case 0: return (double)i;
    case 1: return (double)(n - i);
    case 2: return 0; /* rows decide */
    case 3: return (double)(i < n / 2 ? i : n - i);
    case 4: return (double)(i * 7919 % 10007);
    case 5: return (double)(i % 3);
    case 6: return (double)(i % 2 ? i : n / 2 + i); /* against the median of three */
    case 7: return (double)(rand() % 1000) / 7;
    case 8: return ldexp(1 + rand() % 3, rand() % 2000 - 1000); /* of all magnitudes */
    default:
        return i == n / 3 ? 1e300
                          : 1 + (double)(rand() % 50) * 0x1p-52; /* one far from the others */
    }
}

static int compare(const void *a, const void *b)
{
    return lloyd_member_before(a, b) ? -1 : lloyd_member_before(b, a);
}

static void check(const lloyd_member *given, int64_t n)
{
    lloyd_member *sorted = malloc((size_t)(n + 1) * sizeof *sorted),
                 *expected = malloc((size_t)(n + 1) * sizeof *expected);
    memcpy(sorted, given, (size_t)n * sizeof *sorted);
    memcpy(expected, given, (size_t)n * sizeof *expected);
    sorted[n] = (lloyd_member){-1, -1}; /* behind the end */
    qsort(expected, (size_t)n, sizeof *expected, compare);
    lloyd_members_sort(sorted, n);
    for (int64_t i = 0; i < n; i++) {
        assert_true(sorted[i].distance == expected[i].distance);
        assert_true(sorted[i].row == expected[i].row);
    }
    assert_true(sorted[n].row == -1);
    free(sorted);
    free(expected);
}

static void test_patterns(void **unused)
{
    (void)unused;
    static lloyd_member members[MOST];
    const int64_t lengths[] = {0, 1, 2, 3, 23, 24, 25, 26, 100, 1023, MOST};
    for (int which = 0; which < PATTERNS; which++) {
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            int64_t n = lengths[l];
            for (int64_t i = 0; i < n; i++)
                members[i] =
                    (lloyd_member){pattern(which, i, n), ((int64_t)1 << 40) + i * 7919 % n};
            check(members, n);
        }
    }
}

/* Musser's killer of the median of three: without the heapsort, the time is quadratic. */
static void test_killer(void **unused)
{
    (void)unused;
    static lloyd_member members[MOST];
    for (int64_t i = 0, half = MOST / 2; i < half; i++) {
        members[i] = (lloyd_member){(double)(i % 2 == 0 ? i + 1 : half + i), i};
        members[half + i] = (lloyd_member){(double)(2 * (i + 1)), half + i};
    }
    check(members, MOST);
}

/* Numbers have the order of the members. */
static void test_numbers(void **unused)
{
    (void)unused;
    const lloyd_member members[] = {{0, 0}, {0, 1},   {0, (int64_t)1 << 40}, {5e-324, 0}, {1, 7},
                                    {1, 8}, {1e77, 0}};
    for (int i = 0; i < 6; i++) {
        assert_true(lloyd_member_before(&members[i], &members[i + 1]));
        assert_false(lloyd_member_before(&members[i + 1], &members[i]));
        assert_true(lloyd_member_number(&members[i]) < lloyd_member_number(&members[i + 1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_killer),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
