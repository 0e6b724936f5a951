/* Rows that are kept, by their numbers: whatever the files are, the rows that are read are those that were
 * asked for, and of no other share. And the files that such numbers come from. */
#include "fixture.h"

#include "base/memory.h"
#include "io/kept.h"
#include "io/numbers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 1500, D = 7 };

/* ---- Arithmetic ----------------------------------------------------------------------------- */

static void runs_and_spans(void **state)
{
    (void)state;
    const int64_t numbers[] = {3, 4, 5, 9, 10, 30, 31, 33};
    enum { COUNT = sizeof numbers / sizeof *numbers };
    const int64_t runs[COUNT] = {3, 2, 1, 2, 1, 2, 1, 1};
    for (int i = 0; i < COUNT; i++)
        for (int64_t most = 1; most <= COUNT - i; most++)
            assert_int_equal(lloyd_kept_run(numbers + i, most), most < runs[i] ? most : runs[i]);
    assert_int_equal(lloyd_kept_span(numbers, COUNT, 0, 100), 3);
    assert_int_equal(lloyd_kept_span(numbers, COUNT, 2, 100), 3);
    assert_int_equal(lloyd_kept_span(numbers, COUNT, 3, 100), 5);
    assert_int_equal(lloyd_kept_span(numbers, COUNT, 3, 8), 5);
    assert_int_equal(lloyd_kept_span(numbers, COUNT, 3, 7), 4);
    assert_int_equal(lloyd_kept_span(numbers, COUNT, 100, 1), 1);
    assert_int_equal(lloyd_kept_span(numbers, COUNT, 100, 100), COUNT);
}

/* ---- Rows of files -------------------------------------------------------------------------- */

static void put_all_kinds(void)
{
    put_f32("contiguous.h5", "x", N, D, 0);
    put("packed.h5", "x", file_type(LLOYD_F32, H5T_ORDER_LE), chunks(40, 3, 1), 2, N, D, 0);
    put("big.h5", "x", file_type(LLOYD_F32, H5T_ORDER_BE), H5P_DEFAULT, 2, N, D, 0);
    put("wide.h5", "x", H5Tcopy(H5T_IEEE_F64LE), chunks(64, D, 0), 2, N, D, 0);
    put_vecs("x.fvecs", LLOYD_F32, 0, N, D);
    put_f32("part-1.h5", "x", 1, D, 0);
    put_vecs("part-2.fvecs", LLOYD_F32, 1, 600, D);
    put("part-3.h5", "x", file_type(LLOYD_F32, H5T_ORDER_LE), chunks(11, D, 0), 2, N - 601, D, 601);
}

static const char *const inputs[] = {"contiguous.h5", "packed.h5", "big.h5",
                                     "wide.h5",       "x.fvecs",   "part-*"};
enum { INPUTS = sizeof inputs / sizeof *inputs };

/* Numbers of [0, N): so many of a thousand, in runs of about `run`. */
static int64_t choose(int64_t *numbers, int of_thousand, int run)
{
    int64_t count = 0;
    int keep = 0;
    for (int64_t row = 0; row < N; row++) {
        if (row % run == 0) keep = rand() % 1000 < of_thousand;
        if (keep) numbers[count++] = row;
    }
    if (count == 0) numbers[count++] = rand() % N;
    return count;
}

static void check_range(lloyd_rows *rows, const int64_t *numbers, int64_t first, int64_t count)
{
    float *data = malloc((size_t)((count + 1) * D) * sizeof *data);
    data[count * D] = 12345;
    if (lloyd_rows_read(rows, first, count, data) != LLOYD_OK) fail_msg("%s", lloyd_message());
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(lloyd_rows_original(rows, first + i), numbers[first + i]);
        for (int64_t j = 0; j < D; j++)
            assert_true(data[i * D + j] == sample(numbers[first + i], j, 0));
    }
    assert_true(data[count * D] == 12345); /* nothing behind */
    free(data);
}

/* A share of the numbers, in pieces. */
static void check_share(lloyd_rows *rows, const int64_t *numbers, int64_t all, int64_t first,
                        int64_t count)
{
    int64_t *share;
    float one[2 * D];
    assert_int_equal(lloyd_alloc(&share, count, sizeof *share, "numbers"), LLOYD_OK);
    if (count > 0) memcpy(share, numbers + first, (size_t)count * sizeof *share);
    lloyd_rows_keep(rows, share, first, count, all);
    assert_int_equal(lloyd_rows_count(rows), all);
    assert_int_equal(lloyd_rows_stored(rows), N);
    for (int64_t at = 0, here; at < count; at += here) {
        here = 1 + rand() % (count - at);
        check_range(rows, numbers, first + at, here);
        assert_int_equal(lloyd_rows_run(rows, first + at, here),
                         lloyd_kept_run(numbers + first + at, here));
        assert_int_equal(lloyd_rows_check(rows, first + at, here), LLOYD_OK);
    }
    if (first > 0)
        check_failed(lloyd_rows_read(rows, first - 1, 1, one), LLOYD_FAILED, "mistake", NULL, NULL);
    if (first + count < all)
        check_failed(lloyd_rows_read(rows, first + count, 1, one), LLOYD_FAILED, "mistake", NULL,
                     NULL);
}

static void any_rows(void **state)
{
    (void)state;
    srand(3);
    put_all_kinds();
    for (int i = 0; i < 2 * INPUTS; i++) {
        if (i % 2) setenv("LLOYD_DIRECT_IO", "1", 1);
        lloyd_rows *rows = open_one(inputs[i / 2]);
        for (int t = 0; t < 60; t++) {
            int64_t numbers[N], all = choose(numbers, 1 + rand() % 1000, 1 + rand() % 50);
            int64_t first = t % 3 ? rand() % all : 0, count = t % 3 ? rand() % (all - first) : all;
            check_share(rows, numbers, all, first, count);
        }
        lloyd_rows_keep(rows, NULL, 0, 0, 0);
        check_rows(rows, LLOYD_F32, N, D, 77); /* all are there again */
        unsetenv("LLOYD_DIRECT_IO");
    }
}

/* More rows than a thread reads, and rows that are larger than what is read together. */
static void many_and_large(void **state)
{
    (void)state;
    enum { MANY = 90000, WIDE = 150000, FEW = 12 };
    int64_t *numbers, count = 0;
    put_f32("many.h5", "x", MANY, 4, 0);
    put_f32("large.h5", "x", FEW, WIDE, 0);
    lloyd_rows *rows = open_one("many.h5");
    assert_int_equal(lloyd_alloc(&numbers, MANY, sizeof *numbers, "numbers"), LLOYD_OK);
    for (int64_t row = 0; row < MANY; row++)
        if (row % 1000 > 400 || row % 7 == 0) numbers[count++] = row;
    lloyd_rows_keep(rows, numbers, 0, count, count);
    float *data = malloc((size_t)count * 4 * sizeof *data);
    assert_int_equal(lloyd_rows_read(rows, 0, count, data), LLOYD_OK);
    for (int64_t i = 0; i < count * 4; i++)
        assert_true(data[i] == sample(numbers[i / 4], i % 4, 0));
    free(data);
    lloyd_rows_close(rows);
    for (int direct = 0; direct < 2; direct++) {
        if (direct) setenv("LLOYD_DIRECT_IO", "1", 1);
        rows = open_one("large.h5");
        assert_int_equal(lloyd_alloc(&numbers, 3, sizeof *numbers, "numbers"), LLOYD_OK);
        numbers[0] = 1, numbers[1] = 2, numbers[2] = 11;
        lloyd_rows_keep(rows, numbers, 0, 3, 3);
        data = malloc((size_t)3 * WIDE * sizeof *data);
        assert_int_equal(lloyd_rows_read(rows, 0, 3, data), LLOYD_OK);
        for (int64_t i = 0; i < 3 * WIDE; i++)
            assert_true(data[i] == sample(numbers[i / WIDE], i % WIDE, 0));
        free(data);
        lloyd_rows_close(rows);
        unsetenv("LLOYD_DIRECT_IO");
    }
}

static void weights_too(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    int64_t *numbers;
    float weights[COUNT];
    put_f32("x.h5", "x", N, D, 0);
    put("x.h5", "w", H5Tcopy(H5T_IEEE_F64LE), H5P_DEFAULT, 1, N, 1, 0);
    lloyd_rows *rows = open_one("x.h5");
    assert_int_equal(lloyd_rows_open_weights(rows, "w"), LLOYD_OK);
    assert_int_equal(lloyd_alloc(&numbers, COUNT, sizeof *numbers, "numbers"), LLOYD_OK);
    for (int64_t i = 0; i < COUNT; i++) numbers[i] = 7 * i + i % 2;
    lloyd_rows_keep(rows, numbers, 0, COUNT, COUNT);
    assert_int_equal(lloyd_rows_read_weights(rows, 3, COUNT - 3, weights), LLOYD_OK);
    for (int64_t i = 3; i < COUNT; i++) assert_true(weights[i - 3] == sample(numbers[i], 0, 0));
    lloyd_rows_close(rows);
}

static void failures_name_the_row(void **state)
{
    (void)state;
    int64_t *numbers;
    char data[2 * D * 4], where[64];
    put_f32("x.h5", "x", N, D, 0);
    lloyd_rows *rows = open_one("x.h5");
    assert_int_equal(lloyd_alloc(&numbers, 2, sizeof *numbers, "numbers"), LLOYD_OK);
    numbers[0] = 5, numbers[1] = N - 1;
    lloyd_rows_keep(rows, numbers, 0, 2, 2);
    lloyd_rows_where(rows, 1, where, sizeof where);
    assert_string_equal(where, "x.h5:/x row 1499");
    assert_int_equal(lloyd_rows_read(rows, 0, 1, data), LLOYD_OK);
    size_t bytes;
    free(get_bytes("x.h5", &bytes));
    assert_int_equal(truncate("x.h5", (off_t)bytes - 3), 0);
    check_failed(lloyd_rows_read(rows, 0, 2, data), LLOYD_BAD_INPUT, "row 1499", "x.h5",
                 "truncated");
    lloyd_rows_close(rows);
}

/* ---- Files with numbers --------------------------------------------------------------------- */

static void check_numbers(const char *input, const int64_t *expected, int64_t count)
{
    lloyd_numbers *numbers;
    int64_t got[8];
    if (lloyd_numbers_open(input, &numbers) != LLOYD_OK) fail_msg("%s", lloyd_message());
    assert_int_equal(lloyd_numbers_count(numbers), count);
    for (int64_t first = 0; first < count; first++) {
        assert_int_equal(lloyd_numbers_read(numbers, first, count - first, got), LLOYD_OK);
        assert_memory_equal(got, expected + first, (size_t)(count - first) * sizeof *got);
    }
    lloyd_numbers_close(numbers);
}

static void put_list(const char *descr, const void *data, size_t bytes, int count)
{
    char text[160], all[400];
    snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (%d,), }", descr,
             count);
    size_t length = npy_header(all, 1, text);
    memcpy(all + length, data, bytes);
    put_bytes("n.npy", all, length + bytes);
}

static void lists(void **state)
{
    (void)state;
    static const int64_t wide[3] = {5, -1, INT64_MAX}, none[1];
    static const uint64_t vast[3] = {5, UINT64_MAX, 1};
    static const int64_t clipped[3] = {5, INT64_MAX, 1};
    static const int16_t narrow[3] = {5, -1, 300};
    static const int64_t widened[3] = {5, -1, 300};
    static const uint8_t bytes[3] = {5, 255, 0};
    static const int64_t of_bytes[3] = {5, 255, 0};
    put_list("<i8", wide, sizeof wide, 3);
    check_numbers("n.npy", wide, 3);
    put_list("<u8", vast, sizeof vast, 3);
    check_numbers("n.npy", clipped, 3);
    put_list("<i2", narrow, sizeof narrow, 3);
    check_numbers("n.npy", widened, 3);
    put_list("|u1", bytes, sizeof bytes, 3);
    check_numbers("n.npy", of_bytes, 3);
    put_list("<i8", none, 0, 0);
    check_numbers("n.npy", none, 0);
    static const int64_t stored[4] = {-100, -69, -38, -7};
    put("n.h5", "only", H5Tcopy(H5T_STD_I32BE), H5P_DEFAULT, 1, 4, 1, 0);
    check_numbers("n.h5", stored, 4);
    put("n.h5", "x", H5Tcopy(H5T_STD_I64LE), H5P_DEFAULT, 2, 4, 2, 0);
    put("n.h5", "other", H5Tcopy(H5T_STD_I64LE), H5P_DEFAULT, 1, 4, 1, 9);
    check_numbers("n.h5:only", stored, 4);
    lloyd_numbers *numbers;
    check_failed(lloyd_numbers_open("n.h5", &numbers), LLOYD_BAD_INPUT, "n.h5", "/only", "/other");
    check_failed(lloyd_numbers_open("n.h5:x", &numbers), LLOYD_BAD_INPUT, "n.h5:/x",
                 "one-dimensional", NULL);
    put("n.h5", "rows", H5Tcopy(H5T_STD_I64LE), H5P_DEFAULT, 1, 4, 1, 0);
    check_numbers("n.h5", stored, 4);
    put_list(">i8", wide, sizeof wide, 3);
    check_failed(lloyd_numbers_open("n.npy", &numbers), LLOYD_BAD_INPUT, "n.npy", "'>i8'", "int64");
    put_list("<f8", wide, sizeof wide, 3);
    check_failed(lloyd_numbers_open("n.npy", &numbers), LLOYD_BAD_INPUT, "n.npy", "'<f8'", NULL);
    put_list("<i8", wide, sizeof wide, 4);
    check_failed(lloyd_numbers_open("n.npy", &numbers), LLOYD_BAD_INPUT, "n.npy", "not copied",
                 NULL);
    put_list("<i8", wide, sizeof wide, 3);
    check_failed(lloyd_numbers_open("n.npy:x", &numbers), LLOYD_BAD_INPUT, "n.npy", "no datasets",
                 NULL);
    put_bytes("text", "1\n2\n", 4);
    check_failed(lloyd_numbers_open("text", &numbers), LLOYD_BAD_INPUT, "text", NULL, NULL);
    check_failed(lloyd_numbers_open("n.*", &numbers), LLOYD_BAD_INPUT, "n.*", "2 files", NULL);
    check_failed(lloyd_numbers_open("gone", &numbers), LLOYD_BAD_INPUT, "gone", "No such file",
                 NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(runs_and_spans),        TEST(any_rows),
                                       TEST(many_and_large),        TEST(weights_too),
                                       TEST(failures_name_the_row), TEST(lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
