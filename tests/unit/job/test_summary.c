/* What a person reads after a fit (src/job/summary.c), and its numbers (src/base/text.c). */
#include "base/text.h"
#include "job/summary.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void numbers_have_one_style(void **state)
{
    static const struct {
        double value;
        const char *text;
    } seconds[] = {{0, "0 s"},
                   {1.5, "1.5 s"},
                   {0.25, "0.25 s"},
                   {0.01234, "0.0123 s"},
                   {99.95, "100 s"},
                   {999.4, "999 s"},
                   {999.6, "1,000 s"},
                   {123456.7, "123,457 s"},
                   {4.123e-5, "0.0000412 s"},
                   {1e-4, "0.0001 s"}},
      scaled[] = {{0, "0 rows/s"},         {999.4, "999 rows/s"},  {999.6, "1.0 krows/s"},
                  {12345, "12.3 krows/s"}, {99951, "100 krows/s"}, {1.5e9, "1.5 Grows/s"},
                  {1e21, "1000 Erows/s"}};
    char text[64];
    (void)state;
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++)
        assert_string_equal(lloyd_text_seconds(seconds[i].value, text, sizeof text),
                            seconds[i].text);
    for (size_t i = 0; i < sizeof scaled / sizeof *scaled; i++)
        assert_string_equal(lloyd_text_scaled(scaled[i].value, "rows/s", text, sizeof text),
                            scaled[i].text);
    assert_true(lloyd_text_change(200, 100) == -50 && lloyd_text_change(200, 200) == 0);
    assert_true(lloyd_text_change(1e9, 1e9 + 1) > 0); /* centroids are rounded to float32 */
    assert_true(isnan(lloyd_text_change(1e-13, 2.03e-13)) && isnan(lloyd_text_change(0, 0)));
    assert_true(isnan(lloyd_text_change(NAN, 1)) && isnan(lloyd_text_change(1, NAN)));
}

static char *printed_summary(const lloyd_fit_result *result, int fancy)
{
    const char *const inputs[] = {"part-*.h5"};
    lloyd_fit_options options;
    char *text = NULL;
    size_t bytes = 0;
    lloyd_fit_defaults(&options);
    options.inputs = inputs;
    options.input_count = 1;
    options.output = "model.h5";
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    lloyd_summary_print(out, &options, result, 3, fancy);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void check_summary(const lloyd_fit_result *result, const char *has, const char *lacks)
{
    char *text = printed_summary(result, 0);
    if (has && !strstr(text, has)) fail_msg("no '%s' in %s", has, text);
    if (lacks && strstr(text, lacks)) fail_msg("'%s' in %s", lacks, text);
    free(text);
}

/* What this call did, and what was done before it. */
static void summary_of_a_resumed_fit(void **state)
{
    const double inertia[] = {9, 8, 7, 6, 5}, seconds[] = {100, 300, 2, 3, 4};
    const int64_t counts[] = {5, 5};
    lloyd_fit_result result =
        {.n = 10, .d = 1, .k = 2, .inertia = 5, .seconds = 12, .type = "int8"};
    (void)state;
    assert_int_equal(lloyd_summary_describe(inertia, seconds, 5, counts, 2, &result), LLOYD_OK);
    check_summary(&result, "  time        12 s in all, 81.8 s per iteration\n", "resumed");
    result.resumed = 1;
    result.resumed_iterations = 2;
    assert_int_equal(lloyd_summary_describe(inertia, seconds, 5, counts, 2, &result), LLOYD_OK);
    assert_true(result.iteration_seconds == 3 && result.resumed_seconds == 400);
    check_summary(&result,
                  "  time        12 s since it was resumed, 3 s per iteration (iterations 3 to 5)\n"
                  "              before that 400 s in iterations 1 to 2, 200 s per iteration\n",
                  "in all");
    result.resumed_iterations = 4;
    assert_int_equal(lloyd_summary_describe(inertia, seconds, 5, counts, 2, &result), LLOYD_OK);
    check_summary(&result, " 4 s per iteration (iteration 5)\n", NULL);
    result.resumed_iterations = 5; /* the run that was kept had ended before */
    assert_int_equal(lloyd_summary_describe(inertia, seconds, 5, counts, 2, &result), LLOYD_OK);
    check_summary(&result,
                  "  time        12 s since it was resumed\n"
                  "              before that 409 s in iterations 1 to 5, 81.8 s per iteration\n",
                  NULL);
}

static void summary_claims_what_is_known(void **state)
{
    const double inertia[] = {1e-13, 1e-13}, seconds[] = {1, 1};
    int64_t counts[100] = {50, 50, 50, 50, 50, 50, 50, 50, 50, 50};
    lloyd_fit_result result = {.n = 500, .d = 1, .k = 100, .inertia = 2.03e-13, .type = "int8"};
    (void)state;
    assert_int_equal(lloyd_summary_describe(inertia, seconds, 2, counts, 100, &result), LLOYD_OK);
    check_summary(&result, "inertia     2.03e-13, at first 1e-13\n", "only");
    assert_int_equal(lloyd_summary_distinct(0, 100, result.empty_clusters), 10);
    assert_int_equal(lloyd_summary_distinct(1e-300, 100, result.empty_clusters), 0);
    assert_int_equal(lloyd_summary_distinct(0, 100, 0), 0);
    result.inertia = 0;
    result.distinct_rows = 10;
    check_summary(&result, "(-100.0 %)", NULL);
    check_summary(&result, "\n              only 10 distinct rows, 90 clusters are empty\n", NULL);
    result.distinct_rows = 99, result.empty_clusters = 1;
    check_summary(&result, "only 99 distinct rows, 1 cluster is empty\n", NULL);
    result.inertia = 0.5e-13, result.n = 100; /* K = N */
    check_summary(&result, "inertia     5e-14, at first 1e-13\n", NULL);

    lloyd_model model = {.k = 100, .version = "0.1.0", .options = "{\"weights\":null}"};
    assert_int_equal(lloyd_summary_model_distinct(&model, 90), 10);
    model.max_size = 2; /* equal rows may have several labels then */
    assert_int_equal(lloyd_summary_model_distinct(&model, 90), 0);
    model.max_size = 0;
    model.options = "{\"log\":\"\\\"weights\\\":null\",\"weights\":\"w\"}";
    assert_int_equal(lloyd_summary_model_distinct(&model, 90), 0);
    model.options = "{\"weights\":null}", model.cosine = 1;
    assert_int_equal(lloyd_summary_model_distinct(&model, 90), 0);
    model.cosine = 0, model.version = "";
    assert_int_equal(lloyd_summary_model_distinct(&model, 90), 0);
}

static void check_moved(int64_t limit, int64_t moved, double before, double inertia,
                        const char *says)
{
    char text[256];
    const lloyd_summary_sizes sizes = {20000, limit, moved, before, inertia};
    assert_string_equal(lloyd_summary_moved(&sizes, text, sizeof text), says);
}

static void summary_of_limited_sizes(void **state)
{
    (void)state;
    check_moved(
        1293, 1234, 1000, 1012,
        "1,234 rows (6.2 %) were moved to keep clusters at 1,293 rows or less; inertia 1.2 % "
        "higher");
    check_moved(
        1, 1, 1000, 1000.01,
        "1 row (0.005 %) was moved to keep clusters at 1 row or less; inertia 0.001 % higher");
    check_moved(5, 0, 7, 7, "no row had to be moved to keep clusters at 5 rows or less");
    check_moved(
        5, 2, 0, 3.5,
        "2 rows (0.01 %) were moved to keep clusters at 5 rows or less; inertia 3.5 instead of "
        "0");
    check_moved(
        5, 2, 7, 7,
        "2 rows (0.01 %) were moved to keep clusters at 5 rows or less; inertia 7 instead of "
        "7");
    const int64_t counts[] = {5, 5};
    lloyd_fit_result result =
        {.n = 10, .d = 1, .k = 2, .type = "int8", .inertia = 3, .inertia_before = 2};
    assert_int_equal(lloyd_summary_describe(NULL, NULL, 0, counts, 2, &result), LLOYD_OK);
    check_summary(&result, "  sizes", "max size");
    result.largest_allowed = 5, result.moved_rows = 1;
    check_summary(
        &result,
        "  max size    1 row (10.0 %) was moved to keep clusters at 5 rows or less; inertia "
        "50.0 % higher\n",
        NULL);
}

static void summary_sizes_have_ranges(void **state)
{
    const int64_t counts[] = {0, 1, 9, 10, 10, 30, 20, 0}; /* mean 10 */
    lloyd_fit_result result = {.n = 80, .d = 1, .k = 8, .type = "int8"};
    (void)state;
    assert_int_equal(lloyd_summary_describe(NULL, NULL, 0, counts, 8, &result), LLOYD_OK);
    check_summary(
        &result,
        "              clusters by cluster size / mean size:\n"
        "          < 1/8  1/8-1/4  1/4-1/2    1/2-1      1-2      2-4      4-8     >= 8\n"
        "              1        0        0        1        2        2        0        0\n",
        NULL);
    char *text = printed_summary(&result, 1);
    assert_non_null(strstr(text, "\n              ▅                          ▅        █        █"));
    free(text);
}

static void summary_figures(void **state)
{
    double inertia[100], seconds[100];
    const int64_t counts[] = {0, 1, 9, 10, 10, 30, 20, 0}; /* mean 10 */
    lloyd_fit_result result =
        {.n = 1234567, .d = 3, .k = 8, .inertia = 5, .files = 2, .type = "int8"};
    (void)state;
    for (int i = 0; i < 100; i++) {
        inertia[i] = 200 - i;
        seconds[i] = 0.5;
    }
    assert_int_equal(lloyd_summary_describe(inertia, seconds, 100, counts, 8, &result), LLOYD_OK);
    assert_int_equal(result.iterations, 100);
    assert_int_equal(result.curve_points, LLOYD_CURVE_POINTS);
    assert_true(result.curve[0] == 200 && result.curve[LLOYD_CURVE_POINTS - 1] == 101);
    assert_true(result.first_inertia == 200 && result.iteration_seconds == 0.5);
    assert_int_equal(result.smallest, 0);
    assert_int_equal(result.median, 10);
    assert_int_equal(result.largest, 30);
    assert_int_equal(result.empty_clusters, 2);
    const int64_t bins[LLOYD_SIZE_BINS] = {1, 0, 0, 1, 2, 2, 0, 0};
    assert_memory_equal(result.size_bins, bins, sizeof bins);

    for (int fancy = 0; fancy < 2; fancy++) {
        char *text = printed_summary(&result, fancy);
        assert_non_null(
            strstr(text, "Clustered 1,234,567 rows x 3 columns of int8 into 8 clusters"));
        assert_non_null(strstr(text, "part-*.h5 (2 files)"));
        assert_non_null(strstr(text, "2 empty"));
        assert_non_null(strstr(text, "model.h5"));
        for (const char *c = text; *c != '\0' && !fancy; c++) assert_true((unsigned char)*c < 0x80);
        free(text);
    }
    assert_int_equal(lloyd_summary_describe(inertia, seconds, 0, counts, 1, &result), LLOYD_OK);
    assert_int_equal(result.curve_points, 0);
}

static void prediction_summary(void **state)
{
    const char *const inputs[] = {"new.h5", "more.h5"};
    const lloyd_predict_options options = {.model = "m.h5",
                                           .inputs = inputs,
                                           .input_count = 2,
                                           .output = "l.h5"};
    const lloyd_predict_result result =
        {.n = 1234567, .d = 3, .k = 1000, .seconds = 1.5, .files = 2, .type = "int8"};
    char *text = NULL;
    size_t bytes = 0;
    (void)state;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    lloyd_summary_print_prediction(out, &options, &result, 3);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "Labelled 1,234,567 rows x 3 columns of int8 by 1,000 centroids\n"
                              "  input       new.h5 ... (2 files)\n"
                              "  ranks       3\n"
                              "  model       m.h5\n"
                              "  time        1.5 s\n"
                              "  labels      l.h5\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_have_one_style),
                                       cmocka_unit_test(summary_of_a_resumed_fit),
                                       cmocka_unit_test(summary_claims_what_is_known),
                                       cmocka_unit_test(summary_of_limited_sizes),
                                       cmocka_unit_test(summary_sizes_have_ranges),
                                       cmocka_unit_test(summary_figures),
                                       cmocka_unit_test(prediction_summary)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
