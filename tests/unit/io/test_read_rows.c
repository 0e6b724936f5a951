/* lloyd_read_rows(): any rows of files, as float32. */
#include "fixture.h"

#include "lloyd/lloyd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { D = 3 };

static lloyd_status read_from(const char *input, int64_t first, int64_t count, float *out)
{
    const lloyd_read_options options = {.inputs = &input, .input_count = 1};
    return lloyd_read_rows(&options, first, count, out, NULL, NULL);
}

static void check_read(const char *input, lloyd_type type, int64_t first, int64_t count)
{
    float *out = calloc((size_t)(count * D + 1), sizeof *out);
    assert_non_null(out);
    out[count * D] = 77; /* beyond the end */
    assert_int_equal(read_from(input, first, count, out), LLOYD_OK);
    for (int64_t i = 0; i < count * D; i++)
        assert_true(out[i] == sample(first + i / D, i % D, type == LLOYD_U8));
    assert_true(out[count * D] == 77);
    free(out);
}

static void all_types(void **state)
{
    (void)state;
    for (int type = LLOYD_F32; type <= LLOYD_I8; type++) {
        char name[32];
        snprintf(name, sizeof name, "%d.h5", type);
        put(name, "train", file_type((lloyd_type)type, H5T_ORDER_LE), H5P_DEFAULT, 2, 50, D, 0);
        check_read(name, (lloyd_type)type, 0, 50);
        check_read(name, (lloyd_type)type, 7, 31);
        check_read(name, (lloyd_type)type, 50, 0);
    }
}

/* More than a piece, of a type that is converted. */
static void pieces(void **state)
{
    (void)state;
    const int64_t n = (16 << 20) / (2 * D) + 1000;
    put("long.h5", "train", file_type(LLOYD_F16, H5T_ORDER_BE), H5P_DEFAULT, 2, n, D, 0);
    check_read("long.h5", LLOYD_F16, 0, n);
}

static void several_files(void **state)
{
    (void)state;
    int64_t n = 0, dim = 0;
    const char *inputs[] = {"a.h5", "b.h5:second"};
    const lloyd_read_options options = {.inputs = inputs, .input_count = 2};
    float out[4 * D];
    put_f32("a.h5", "train", 5, D, 0);
    put_f32("b.h5", "other", 6, D, 40);
    put_f32("b.h5", "second", 6, D, 5);
    assert_int_equal(lloyd_read_rows(&options, 0, 0, NULL, &n, &dim), LLOYD_OK);
    assert_int_equal(n, 11);
    assert_int_equal(dim, D);
    assert_int_equal(lloyd_read_rows(&options, 3, 4, out, NULL, NULL), LLOYD_OK);
    for (int i = 0; i < 4 * D; i++) assert_true(out[i] == sample(3 + i / D, i % D, 0));
}

static void check_refused(const char *input, int64_t first, int64_t count, float *out,
                          lloyd_status status, const char *text)
{
    assert_int_equal(read_from(input, first, count, out), status);
    if (!strstr(lloyd_message(), text)) fail_msg("'%s' is not in: %s", text, lloyd_message());
}

static void refused(void **state)
{
    (void)state;
    float out[5 * D];
    const lloyd_read_options none = {.inputs = NULL};
    put_f32("a.h5", "train", 5, D, 0);
    check_refused("a.h5", 0, 6, out, LLOYD_USAGE, "there are 5");
    check_refused("a.h5", 6, 0, out, LLOYD_USAGE, "there are 5");
    check_refused("a.h5", -1, 2, out, LLOYD_USAGE, "-1 on");
    check_refused("a.h5", 2, -1, out, LLOYD_USAGE, "-1 rows");
    check_refused("a.h5", 1, INT64_MAX, out, LLOYD_USAGE, "there are 5");
    check_refused("a.h5", 0, 5, NULL, LLOYD_USAGE, "NULL");
    check_refused("gone.h5", 0, 1, out, LLOYD_BAD_INPUT, "gone.h5");
    assert_int_equal(lloyd_read_rows(&none, 0, 1, out, NULL, NULL), LLOYD_USAGE);
    lloyd_stop(15);
    check_refused("a.h5", 0, 5, out, LLOYD_STOPPED, "SIGTERM");
    assert_int_equal(read_from("a.h5", 0, 5, out), LLOYD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(all_types), TEST(pieces), TEST(several_files),
                                       TEST(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
