/* How many rows a cluster may have: exactly, where a product of doubles would be one off. */
#include "job/balance/balance.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void check(double factor, int64_t n, int64_t k, int64_t cap)
{
    const int64_t found = lloyd_balance_cap(factor, n, k);
    if (found != cap)
        fail_msg("%a * %lld / %lld: %lld is not %lld", factor, (long long)n, (long long)k,
                 (long long)found, (long long)cap);
}

static void whole_factors(void **unused)
{
    (void)unused;
    check(1, 10, 3, 4);
    check(1, 9, 3, 3);
    check(2, 10, 3, 7);
    check(1, 1, 1, 1);
    check(3, 1000000007, 1000000007, 3);
    check(1, INT64_MAX, 1, INT64_MAX);
    check(1, INT64_MAX, INT32_MAX, 4294967299); /* 2^63 - 1 = (2^31 - 1)(2^32 + 2) + 1 */
}

/* 1.1 is a little more than 11/10 as a double, 1.3 a little more than 13/10, 1.9 a little less than 19/10. */
static void doubles_are_what_they_are(void **unused)
{
    (void)unused;
    check(1.1, 30, 10, 4);
    check(1.1, 10, 1, 10); /* at most n */
    check(1.3, 100, 10, 14);
    check(1.9, 100, 10, 19);
    check(1.5, 30, 10, 5);
    check(nextafter(1, 2), 10, 5, 3);
    check(nextafter(1, 2), (int64_t)1 << 53, 2, ((int64_t)1 << 52) + 1);
    check(nextafter(1.5, 2), (int64_t)1 << 60, 4,
          ((int64_t)3 << 57) + ((int64_t)1 << 6)); /* 2^-52 2^60 / 4 more */
}

static void no_more_than_all_rows(void **unused)
{
    (void)unused;
    check(1e300, 1000, 7, 1000);
    check(7, 1000, 7, 1000);
    check(nextafter(7, 0), 1000, 7, 1000);
    check(6.99, 1000, 7, 999);
    check((double)INT32_MAX - 1, INT64_MAX, INT32_MAX,
          INT64_MAX - 4294967298); /* 2^63 - 1 = k (2^32 + 2) + 1 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole_factors),
                                       cmocka_unit_test(doubles_are_what_they_are),
                                       cmocka_unit_test(no_more_than_all_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
