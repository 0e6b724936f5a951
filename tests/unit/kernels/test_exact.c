/* kernels/exact.h: digits, totals, double-doubles and means against integers of 128 bits, and means that
 * lie on a boundary between two float32 numbers or one unit away from it. */
#include "kernels/exact.h"

#include "kernels/grid.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t state = 88172645463325252U;

static uint64_t word(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static int below(int n)
{
    return (int)(word() % (uint64_t)n);
}

/* Of `bits` bits at most, below 2^top. */
static double number(int bits, int top)
{
    double value = ldexp((double)(word() >> (64 - bits)), top - bits);
    return below(2) ? value : -value;
}

static void test_lowest(void **unused)
{
    (void)unused;
    for (int round = 0; round < 10000; round++) {
        int e = below(1900) - 1000;
        double odd = (double)(2 * (word() >> 12) + 1);
        assert_int_equal(lloyd_lowest(ldexp(below(2) ? odd : -odd, e)), e);
    }
    assert_int_equal(lloyd_lowest(0x1p-1074), -1074);
    assert_int_equal(lloyd_lowest(3 * 0x1p-1073), -1073);
}

/* Digits add up to the number, rounded to the last of them, and stay below 2^bits. */
static void test_digits(void **unused)
{
    (void)unused;
    for (int round = 0; round < 100000; round++) {
        int bits = 18 + below(13), count = 1 + below(6), top = below(300) - 150;
        double value = number(1 + below(53), top - below(bits * count));
        int64_t digit[LLOYD_MOST_DIGITS];
        lloyd_digits_of(value, top, bits, count, digit);
        int unit = top - bits * count;
        double kept = ldexp(rint(ldexp(value, -unit)), unit);
        assert_true(lloyd_kept(value, unit) == kept);
        double sum = 0; /* from the lowest: exact, as no bit is outside of the number's own */
        for (int t = count - 1; t >= 0; t--) {
            assert_true(llabs(digit[t]) <= (int64_t)1 << bits);
            assert_true(t == 0 || llabs(digit[t]) < (int64_t)1 << bits);
            sum += ldexp((double)digit[t], top - bits * (t + 1));
        }
        assert_true(sum == kept);
        if (count == 2) {
            lloyd_pair pair = lloyd_pair_of(value, ldexp(1, bits - top), ldexp(1, bits));
            assert_true(((__int128)pair.high * ((int64_t)1 << bits)) + pair.low ==
                        ((__int128)digit[0] * ((int64_t)1 << bits)) + digit[1]);
        }
    }
}

/* The sum of squares is exact where 6 words hold it. */
static void test_squares(void **unused)
{
    (void)unused;
    for (int round = 0; round < 20000; round++) {
        int64_t words[LLOYD_SQUARE_DIGITS] = {0};
        unsigned __int128 expected = 0; /* in units of 2^-88 */
        for (int i = 0; i < 50; i++) {
            float x = (float)number(24, 0), weight = below(2) ? 1 : (float)fabs(number(20, 0));
            if (fabsf(x) < 0x1p-10F || weight < 0x1p-10F) continue;
            double product = (double)weight * (double)x;
            lloyd_add_square(product, x, 0, 30, words);
            /* |product| < 1 of at most 54 bits below 2^0, x of 34: in units of 2^-54 and 2^-34 */
            unsigned __int128 p = (unsigned __int128)ldexp(fabs(product), 54);
            expected += p * (uint64_t)ldexp(fabs((double)x), 34);
        }
        lloyd_carry(words, LLOYD_SQUARE_DIGITS, 30);
        lloyd_total total = {words, LLOYD_SQUARE_DIGITS, 30, 0};
        lloyd_dd sum = lloyd_dd_total(total);
        long double right = ldexpl((long double)expected, -88);
        assert_true(fabsl((long double)sum.high + (long double)sum.low - right) <=
                    0x1p-60L * right);
    }
}

static float mean_of(lloyd_total total, lloyd_total divisor)
{
    return lloyd_mean(total, divisor, 1 / lloyd_rough(divisor));
}

static __int128 joined(const int64_t *words, int count, int bits)
{
    __int128 sum = 0;
    for (int t = 0; t < count; t++) sum = sum * ((__int128)1 << bits) + words[t];
    return sum;
}

/* Totals of one and two words are exact as double-doubles, also where they cancel. */
static void test_totals(void **unused)
{
    (void)unused;
    for (int round = 0; round < 100000; round++) {
        int count = 1 + below(2), bits = 30;
        int64_t words[2] = {(int64_t)word() >> (2 + below(60)), (int64_t)word() >> (2 + below(60))};
        if (count == 2 && below(4) == 0) words[1] = -words[0] * ((int64_t)1 << below(4));
        lloyd_dd sum = lloyd_dd_total((lloyd_total){words, count, bits, bits * count});
        __int128 back = (__int128)sum.high + (__int128)sum.low;
        assert_true(back == joined(words, count, bits));
        double rough = lloyd_rough((lloyd_total){words, count, bits, bits * count});
        double exact = (double)back;
        assert_true(fabs(rough - exact) <= 0x1p-52 * fabs(exact));
    }
}

/* A term is c (n c - 2 s), to 2^-100 of its parts. */
static void test_terms(void **unused)
{
    (void)unused;
    for (int round = 0; round < 20000; round++) {
        int64_t n = 1 + below(1 << 20), c = (int64_t)(word() >> 44), s = (int64_t)(word() >> 20);
        lloyd_dd term = lloyd_inertia_term((float)c, lloyd_dd_word(n, 0), lloyd_dd_word(s, 0));
        __int128 right = (__int128)c * ((__int128)n * c - 2 * (__int128)s);
        __int128 found = (__int128)term.high + (__int128)term.low;
        assert_true(found == right);
    }
}

/* Puts value (in units of 2^-bits*(count-1) of the last word's) into words that have not been carried. */
static void spread(__int128 value, int64_t *words, int count, int bits)
{
    for (int t = count - 1; t > 0; t--) {
        int64_t low = (int64_t)(value & (((int64_t)1 << bits) - 1));
        value = (value - low) >> bits;
        int64_t moved = below(1000) - 500; /* to this word from the one before */
        words[t] = low + moved * ((int64_t)1 << bits);
        value -= moved;
    }
    words[0] = (int64_t)value;
}

/* The boundary between a and the float32 after it times n, and one unit more and less. */
static void check_boundary(float a, int64_t n, int count)
{
    float b = nextafterf(a, INFINITY);
    uint32_t bits_of_a;
    memcpy(&bits_of_a, &a, sizeof bits_of_a);
    double boundary = ((double)a + (double)b) / 2;
    int bits = 30, unit = lloyd_lowest(boundary) - below(12);
    __int128 times = (__int128)ldexp(boundary, -unit) * n;
    const float expected[] = {a, bits_of_a & 1 ? b : a, b};
    for (int by = -1; by <= 1; by++) {
        int64_t words[LLOYD_MOST_DIGITS];
        spread(times + by, words, count, bits);
        lloyd_total total = {words, count, bits, unit + bits * count};
        lloyd_total divisor = {&n, 1, bits, bits};
        float mean = mean_of(total, divisor);
        if (mean != expected[by + 1] || (mean == 0 && signbit(mean)))
            print_error("%a (%d words, n %lld, by %d): %a\n", (double)a, count, (long long)n, by,
                        (double)mean);
        assert_true(mean == expected[by + 1]);
        assert_false(mean == 0 && signbit(mean));
    }
}

static void test_means(void **unused)
{
    (void)unused;
    for (int round = 0; round < 100000; round++) {
        float a = (float)number(24, below(60) - 30);
        int64_t n = 1 + (int64_t)(word() >> (28 + below(35)));
        check_boundary(a, n, 2 + below(3));
    }
    for (int round = 0; round < 1000; round++) {
        check_boundary(ldexpf((float)(1 + below(1000)), -149), 1 + below(1000), 3);
        check_boundary(-ldexpf((float)(1 + below(1000)), -149), 1 + below(1000), 3);
        check_boundary(0, 1 + below(1000), 2);
        check_boundary(-ldexpf(1, -149), 1 + below(1000), 2);
    }
    /* the end of the range: the mean of rows that are the largest float32 is that */
    for (int64_t n = 1; n < 100; n++) {
        int64_t words[] = {((int64_t)1 << 24) - 1, 0};
        words[0] *= n;
        lloyd_total total = {words, 2, 30, 104 + 60}, divisor = {&n, 1, 30, 30};
        words[1] = words[0], words[0] = 0;
        assert_true(mean_of(total, divisor) == FLT_MAX);
        words[1] = -words[1];
        assert_true(mean_of(total, divisor) == -FLT_MAX);
    }
}

/* Weights that have three digits: the divisor is such a total as well. */
static void test_weighted_means(void **unused)
{
    (void)unused;
    for (int round = 0; round < 20000; round++) {
        int64_t mass[3], words[4];
        __int128 n = 1 + (__int128)(word() >> 10), times;
        float a = (float)number(24, 10), b = nextafterf(a, INFINITY);
        double boundary = ((double)a + (double)b) / 2;
        int unit = lloyd_lowest(boundary);
        if (boundary == 0) continue;
        times = (__int128)ldexp(boundary, -unit) * n;
        spread(n, mass, 3, 30);
        lloyd_total divisor = {mass, 3, 30, 7 + 90}; /* in units of 2^7 */
        for (int by = -1; by <= 1; by += 2) {
            spread(times + by, words, 4, 30);
            lloyd_total total = {words, 4, 30, unit + 7 + 120};
            assert_true(mean_of(total, divisor) == (by < 0 ? a : b));
        }
    }
}

/* Digits by the table of docs/numerics.md. */
static void test_grid(void **unused)
{
    (void)unused;
    const struct {
        int top, low, ordinary, digits, cut;
    } cases[] = {
        {8, 0, 0, 1, 0},      {0, LLOYD_NO_BITS, 0, 1, 0}, {16, -14, 0, 1, 0},
        {16, -15, 0, 2, 0},   {3, -50, 0, 2, 0},           {30, -30, 0, 2, 0},
        {30, -31, 30, 2, 1},  {123, -23, 1, 5, 0},         {123, -40, 1, 5, 1},
        {123, -27, -3, 5, 0}, {128, -149, -140, 10, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double cut;
        assert_int_equal(lloyd_grid_digits(30, cases[i].top, cases[i].low, cases[i].ordinary, &cut),
                         cases[i].digits);
        assert_true(cases[i].cut ? cut == ldexp(1, cases[i].top - 30 * cases[i].digits - 1)
                                 : cut == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lowest),         cmocka_unit_test(test_digits),
        cmocka_unit_test(test_squares),        cmocka_unit_test(test_totals),
        cmocka_unit_test(test_terms),          cmocka_unit_test(test_means),
        cmocka_unit_test(test_weighted_means), cmocka_unit_test(test_grid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
