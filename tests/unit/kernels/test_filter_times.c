/* Which of two filters the GPU takes, from the times that were measured, and when it tries the other one. */
#include "kernels/cuda/int8/times.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* --- times --- */

static int faster(double float16, double int8, int in_use)
{
    const lloyd_filter_times times = {float16, int8};
    return lloyd_int8_is_faster(&times, in_use);
}

static void test_needs_both_times(void **state)
{
    (void)state;
    assert_int_equal(faster(0, 0, 0), -1);
    assert_int_equal(faster(1, 0, 0), -1);
    assert_int_equal(faster(0, 1, 1), -1);
}

static void test_takes_the_faster_one(void **state)
{
    (void)state;
    for (int in_use = 0; in_use < 2; in_use++) {
        assert_int_equal(faster(1, 0.9, in_use), 1);
        assert_int_equal(faster(1, 1.1, in_use), 0);
    }
}

static void test_stays_where_both_are_as_fast(void **state)
{
    (void)state;
    assert_int_equal(faster(1, 1.01, 1), 1);
    assert_int_equal(faster(1, 1.01, 0), 0);
    assert_int_equal(faster(1, 0.99, 0), 0);
    assert_int_equal(faster(1, 1.03, 1), 0);
}

static void test_one_slow_iteration_does_not_count(void **state)
{
    (void)state;
    assert_true(lloyd_float16_time(1.2, 1) == 1.2);
    assert_true(lloyd_float16_time(0.9, 1) == 0.9);
    assert_true(lloyd_float16_time(5, 1) < 2);
    assert_true(lloyd_float16_time(0.08, 0.026) == 0.08);
}

/* --- samples --- */

static void test_sample_is_a_small_part_in_whole_waves(void **state)
{
    (void)state;
    const int64_t wave = 25344, many = INT64_C(1) << 40;
    /* 3.2 million rows have room for fifteen waves in an eighth; fewer do where these take long */
    assert_int_equal(lloyd_sample_rows(3200000, many, wave, 5e3), 15 * wave);
    assert_int_equal(lloyd_sample_rows(3200000, many, wave, 30e3), 4 * wave);
    assert_int_equal(lloyd_sample_rows(3200000, many, wave, 1e9), 3 * wave);
    assert_int_equal(lloyd_sample_rows(many, many, wave, 5e3), 21 * wave);
    /* three waves at least, but no more rows than there are, and than the lists have room for */
    assert_int_equal(lloyd_sample_rows(100000, many, wave, 5e3), 3 * wave);
    assert_int_equal(lloyd_sample_rows(20000, many, wave, 5e3), 20000);
    assert_int_equal(lloyd_sample_rows(many, 4 * wave + 1, wave, 5e3), 4 * wave);
    assert_int_equal(lloyd_sample_rows(many, wave - 1, wave, 5e3), wave - 1);
}

static void test_sampled_time_counts_what_follows(void **state)
{
    (void)state;
    /* the first wave has another 20 us, which no other wave has */
    lloyd_sample_times s = {220e3, 60e3, 50e3, 10e3, 0};
    assert_true(lloyd_sampled_time(&s, 0) == 4 && lloyd_sampled_time(&s, 1) == 4);
    s.others = 100e3;
    assert_true(lloyd_sampled_time(&s, 0) == 6);
    const double later = lloyd_sampled_time(&s, 1);
    assert_true(later > 4.5 && later < 5.5);
}

static void test_short_sample_says_nothing(void **state)
{
    (void)state;
    static const lloyd_sample_times shorts[] = {
        {20e3, 10e3, 20e3, 10e3, 1e6}, /* the difference */
        {200e3, 0, 20e3, 10e3, 1e6},   /* one of both was not measured */
        {0, 10e3, 20e3, 10e3, 1e6},
        {200e3, 100e3, 10e3, 10e3, 1e6}, /* no more rows than the first wave has */
    };
    for (size_t i = 0; i < sizeof shorts / sizeof *shorts; i++)
        for (int later = 0; later < 2; later++)
            assert_true(lloyd_sampled_time(&shorts[i], later) == 0);
}

/* --- when --- */

/* Iterations from the second one on, in each of which a sample is taken where one is due: the first in which the 8-bit filter labels,
 * and when samples were taken. faster: whether it is. */
static int run(int iterations, int is_faster, int samples[8])
{
    int count = 0;
    lloyd_filter_schedule s = lloyd_schedule_begin();
    for (int t = 2; t < 2 + iterations; t++) {
        lloyd_schedule_next(&s, is_faster);
        if (s.int8) return t;
        if (!s.due) continue;
        assert_true(count < 8);
        samples[count++] = t;
        s.sampled = 1;
    }
    return 0;
}

static void test_first_sample_is_in_the_second_iteration(void **state)
{
    (void)state;
    int samples[8] = {0};
    assert_int_equal(run(8, 1, samples), 3);
    assert_int_equal(samples[0], 2);
}

static void test_samples_become_rare(void **state)
{
    (void)state;
    int samples[8] = {0};
    assert_int_equal(run(60, 0, samples), 0);
    /* each is judged in the iteration after it, and the next one comes 3, 9, 27 iterations later */
    assert_int_equal(samples[0], 2);
    assert_int_equal(samples[1], 6);
    assert_int_equal(samples[2], 16);
    assert_int_equal(samples[3], 44);
    assert_int_equal(samples[4], 0);
}

static void test_sample_that_did_not_come_back_is_due_again(void **state)
{
    (void)state;
    lloyd_filter_schedule s = lloyd_schedule_begin();
    lloyd_schedule_next(&s, 1);
    assert_true(s.due);
    lloyd_schedule_next(&s, 1);
    assert_true(s.due);
    assert_false(s.int8);
}

static void test_is_waited_for_where_that_is_short(void **state)
{
    (void)state;
    assert_false(lloyd_sample_decides_now(0));
    assert_false(lloyd_sample_decides_now(1e6));
    assert_true(lloyd_sample_decides_now(1e7));
}

/* It is used from the iteration of its sample on, and judged by the next one. */
static void test_is_taken_at_once(void **state)
{
    (void)state;
    lloyd_filter_schedule s = lloyd_schedule_begin();
    lloyd_schedule_next(&s, 0);
    assert_true(s.due);
    s.due = 0;
    s.sampled = 1;
    lloyd_schedule_take(&s);
    assert_true(s.int8 && !s.again && !s.sampled);
    lloyd_schedule_next(&s, 1);
    assert_true(s.int8 && s.again);
    lloyd_schedule_next(&s, 0);
    assert_false(s.int8 || s.due);
}

static void test_continues_while_it_is_faster(void **state)
{
    (void)state;
    lloyd_filter_schedule s = lloyd_schedule_begin();
    lloyd_schedule_next(&s, 0);
    s.sampled = 1;
    lloyd_schedule_next(&s, 1);
    assert_true(s.int8 && !s.again && !s.due);
    lloyd_schedule_next(&s, 1);
    assert_true(s.int8 && s.again && !s.due);
    lloyd_schedule_next(&s, 0);
    assert_true(!s.int8 && !s.again && !s.due);
    for (int t = 1; t <= 3; t++) {
        lloyd_schedule_next(&s, 1); /* nothing is to be judged */
        assert_false(s.int8);
        assert_int_equal(s.due, t == 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_needs_both_times),
        cmocka_unit_test(test_takes_the_faster_one),
        cmocka_unit_test(test_stays_where_both_are_as_fast),
        cmocka_unit_test(test_one_slow_iteration_does_not_count),
        cmocka_unit_test(test_sample_is_a_small_part_in_whole_waves),
        cmocka_unit_test(test_sampled_time_counts_what_follows),
        cmocka_unit_test(test_short_sample_says_nothing),
        cmocka_unit_test(test_first_sample_is_in_the_second_iteration),
        cmocka_unit_test(test_samples_become_rare),
        cmocka_unit_test(test_sample_that_did_not_come_back_is_due_again),
        cmocka_unit_test(test_is_waited_for_where_that_is_short),
        cmocka_unit_test(test_is_taken_at_once),
        cmocka_unit_test(test_continues_while_it_is_faster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
