/* lloyd wrap. */
#include "fixture.h"

#include "io/readers/registry.h"
#include "io/writers/wrap.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_wrap(const char *raw, const char *path, lloyd_type type, const char *type_name,
                       int64_t n, int64_t d)
{
    lloyd_wrapped wrapped;
    const lloyd_output *output = fresh(path);
    if (lloyd_wrapped_write(&raw, 1, NULL, output, &wrapped) != LLOYD_OK)
        fail_msg("%s", lloyd_message());
    assert_int_equal(lloyd_output_commit(output), LLOYD_OK);
    assert_true(wrapped.rows == n && wrapped.columns == d);
    assert_string_equal(wrapped.type, type_name);
    check_rows(open_one(path), type, n, d, 5);
}

static void bad_wrap(const char *raw, const char *a, const char *b)
{
    lloyd_wrapped wrapped;
    const lloyd_output *output = out("bad.h5");
    check_failed(lloyd_wrapped_write(&raw, 1, NULL, output, &wrapped), LLOYD_BAD_INPUT, raw, a, b);
    assert_int_not_equal(access(output->part, F_OK), 0);
}

/* One HDF5 file of several raw ones. */
static void wrap_several(void **state)
{
    (void)state;
    static const char *const paths[] = {"a.fbin", "b.npy", "c.fbin", "none.fbin"};
    char header[128];
    lloyd_wrapped wrapped;
    put_raw_at("a.fbin", "\5\0\0\0\3\0\0\0", 8, LLOYD_F32, 0, 5, 3);
    put_raw_at("b.npy", header,
               npy_header(header, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (7, 3)}"),
               LLOYD_F32, 5, 7, 3);
    put_raw_at("c.fbin", "\1\0\0\0\3\0\0\0", 8, LLOYD_F32, 12, 1, 3);
    put_bytes("none.fbin", "\0\0\0\0\3\0\0\0", 8);
    assert_int_equal(lloyd_wrapped_write(paths, 4, NULL, fresh("all.h5"), &wrapped), LLOYD_OK);
    assert_int_equal(lloyd_output_commit(out("all.h5")), LLOYD_OK);
    assert_true(wrapped.rows == 13 && wrapped.columns == 3);
    check_rows(open_one("all.h5"), LLOYD_F32, 13, 3, 4);
    put_raw_at("wide.fbin", "\1\0\0\0\4\0\0\0", 8, LLOYD_F32, 0, 1, 4);
    const char *columns[] = {"a.fbin", "wide.fbin"}, *types[] = {"a.fbin", "u.u8bin"};
    check_failed(lloyd_wrapped_write(columns, 2, NULL, fresh("x.h5"), &wrapped), LLOYD_BAD_INPUT,
                 "wide.fbin has 4 columns", "a.fbin has 3", NULL);
    put_raw_at("u.u8bin", "\1\0\0\0\3\0\0\0", 8, LLOYD_U8, 0, 1, 3);
    check_failed(lloyd_wrapped_write(types, 2, NULL, fresh("x.h5"), &wrapped), LLOYD_BAD_INPUT,
                 "u.u8bin is of type uint8", "a.fbin is of type float32", NULL);
    put_f32("h.h5", "x", 3, 3, 0);
    bad_wrap("h.h5", "HDF5 file", NULL);
    put_bytes("v.bvecs", "\1\0\0\0\7", 5);
    bad_wrap("v.bvecs", "--input", NULL);
}

static void wrap_bin(void **state)
{
    (void)state;
    const unsigned char header[8] = {12, 0, 0, 0, 3, 0, 0, 0};
    mkdir("d", 0755);
    mkdir("d/e", 0755);
    check_wrap(put_raw("d/a.fbin", header, 8, LLOYD_F32, 0, 0, 12, 3), "d/f.h5", LLOYD_F32,
               "float32", 12, 3);
    check_wrap(put_raw("d/e/b.u8bin", header, 8, LLOYD_U8, 0, 0, 12, 3), "d/u.h5", LLOYD_U8,
               "uint8", 12, 3);
    check_wrap(put_raw("d/e/c.i8bin", header, 8, LLOYD_I8, 0, 0, 12, 3), "abs.h5", LLOYD_I8, "int8",
               12, 3);
    check_wrap("d/a.fbin", "d/e/up.h5", LLOYD_F32, "float32", 12, 3);
    /* From elsewhere, and after both have moved. */
    assert_int_equal(chdir("d/e"), 0);
    check_rows(open_one("../f.h5"), LLOYD_F32, 12, 3, 5);
    check_rows(open_one("../../abs.h5"), LLOYD_I8, 12, 3, 5);
    check_rows(open_one("up.h5"), LLOYD_F32, 12, 3, 5);
    assert_int_equal(chdir("../.."), 0);
    rename("d", "moved");
    check_rows(open_one("moved/f.h5"), LLOYD_F32, 12, 3, 5);
    check_rows(open_one("moved/u.h5"), LLOYD_U8, 12, 3, 5);
    bad_input("abs.h5", "c.i8bin", "missing", NULL);
    /* Sizes that do not match the header. */
    put_raw("long.fbin", header, 8, LLOYD_F32, 0, 0, 13, 3);
    bad_wrap("long.fbin", "164 bytes", "makes 152");
    put_raw("short.fbin", header, 8, LLOYD_F32, 0, 0, 11, 3);
    bad_wrap("short.fbin", "140 bytes", "makes 152");
    put_bytes("tiny.fbin", header, 7);
    bad_wrap("tiny.fbin", "7 bytes", NULL);
    put_bytes("none.u8bin", "\0\0\0\0\3\0\0\0", 8);
    bad_wrap("none.u8bin", "0 rows", NULL);
    put_bytes("vast.fbin", "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    bad_wrap("vast.fbin", "2^63", NULL);
    put_bytes("x.bin", header, 8);
    bad_wrap("x.bin", ".u8bin", ".npy");
    bad_wrap("gone.fbin", "No such file", NULL);
    mkdir("dir.fbin", 0755);
    bad_wrap("dir.fbin", "not a regular file", NULL);
}

static void wrap_npy(void **state)
{
    (void)state;
    static const struct {
        const char *descr, *name;
        lloyd_type type;
        int wide, big;
    } types[] = {{"<f4", "float32", LLOYD_F32, 0, 0}, {">f4", "float32", LLOYD_F32, 0, 1},
                 {"<f2", "float16", LLOYD_F16, 0, 0}, {">f2", "float16", LLOYD_F16, 0, 1},
                 {"<f8", "float64", LLOYD_F32, 1, 0}, {">f8", "float64", LLOYD_F32, 1, 1},
                 {"|u1", "uint8", LLOYD_U8, 0, 0},    {"|i1", "int8", LLOYD_I8, 0, 0}};
    char text[256], header[300];
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        for (int version = 1; version <= 3; version++) {
            snprintf(text, sizeof text,
                     "{'descr': '%s', 'fortran_order': False, 'shape': (9, 4), }%*s\n",
                     types[t].descr, 20, "");
            size_t bytes = npy_header(header, version, text);
            put_raw("x.npy", header, bytes, types[t].type, types[t].wide, types[t].big, 9, 4);
            check_wrap("x.npy", "x.h5", types[t].type, types[t].name, 9, 4);
        }
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"{'descr': '<i8', 'fortran_order': False, 'shape': (9, 4), }", "'<i8'"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (9, 4), }", "ascontiguousarray"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (36,), }", "1 dimension,"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "0 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3, 4), }", "3 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4), }", "0 rows"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9, 99999999999999999999), }",
         "not understood"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9, -4), }", "not understood"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (9, 4), }", "not understood"},
        {"{'descr': '<f4', 'fortran_order': False}", "not understood"},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (9, 4)}", "not understood"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9, 4)", "not understood"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807)}",
         "2^63"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9, 5)}",
         "(9 rows of 5 columns) makes"},
        {"", "not understood"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t bytes = npy_header(header, 1, bad[i].text);
        put_raw("y.npy", header, bytes, LLOYD_F32, 0, 0, 9, 4);
        bad_wrap("y.npy", bad[i].word, NULL);
    }
    put_bytes("y.npy", "\x93NUMPY\4\0xxxxxx", 14);
    bad_wrap("y.npy", "does not begin", NULL);
    put_bytes("y.npy", "\x93NUMPY\2\0\xff\xff\xff\xffxxx", 15);
    bad_wrap("y.npy", "cut off", NULL);
}

/* What is accepted is in bounds. The size of the file is that of the bytes, or the one that the
 * header says. */
static void check_layout(const lloyd_row_reader *reader, const char *path,
                         const unsigned char *bytes, size_t count)
{
    lloyd_raw raw;
    lloyd_raw_head head = {path, bytes, count, (int64_t)count, -1, NULL};
    lloyd_status status = lloyd_raw_layout(reader, &head, &raw);
    if (status != LLOYD_OK && raw.bytes > 0 && raw.bytes <= INT64_MAX - raw.offset) {
        head.size = raw.offset + raw.bytes;
        status = lloyd_raw_layout(reader, &head, &raw);
    }
    if (status != LLOYD_OK) {
        assert_int_equal(status, LLOYD_BAD_INPUT);
        return;
    }
    assert_true(raw.rows >= 0 && raw.columns > 0 && raw.offset >= 0 && raw.bytes >= 0);
    assert_true(raw.offset <= (int64_t)count && raw.offset + raw.bytes == head.size);
}

/* Random changes to a good header: the sanitizers watch, and what is accepted must be in bounds. */
static void wrap_fuzz(void **state)
{
    (void)state;
    static const char good[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (9, 4), }   \n";
    char header[128];
    size_t bytes = npy_header(header, 1, good);
    uint32_t random = 1;
    for (int round = 0; round < 100000; round++) {
        unsigned char *copy = malloc(bytes); /* exactly as large, for the sanitizer */
        memcpy(copy, header, bytes);
        for (int change = 0; change < 1 + round % 4; change++) {
            random = random * 1664525U + 1013904223U;
            copy[(random >> 8) % bytes] =
                (unsigned char)((random >> 24) % 2 ? good[(random >> 16) % 60]
                                                   : (char)(random >> 24));
        }
        size_t given = round % 3 ? bytes : (random >> 4) % bytes;
        check_layout(&lloyd_reader_npy, "x.npy", copy, given);
        check_layout(&lloyd_reader_bin, "x.u8bin", copy, given);
        check_layout(&lloyd_reader_vecs, "x.fvecs", copy, given);
        free(copy);
    }
}

/* More than 2^32 bytes, in a file with a hole. */
static void wrap_large(void **state)
{
    (void)state;
    int64_t n = 50000000, d = 100;
    unsigned char header[8] = {0};
    for (int i = 0; i < 4; i++) {
        header[i] = (unsigned char)(n >> (8 * i) & 0xff);
        header[4 + i] = (unsigned char)(d >> (8 * i) & 0xff);
    }
    put_bytes("big.u8bin", header, 8);
    int descriptor = open("big.u8bin", O_WRONLY);
    assert_true(descriptor >= 0);
    assert_int_equal(pwrite(descriptor, "\1\2\3", 3, (off_t)(8 + n * d - 3)), 3);
    close(descriptor);
    const char *path = "big.u8bin";
    lloyd_wrapped about;
    assert_int_equal(lloyd_wrapped_write(&path, 1, NULL, fresh("big.h5"), &about), LLOYD_OK);
    assert_int_equal(lloyd_output_commit(out("big.h5")), LLOYD_OK);
    lloyd_rows *wrapped = open_one("big.h5");
    uint8_t row[100];
    assert_int_equal(lloyd_rows_read(wrapped, n - 1, 1, row), LLOYD_OK);
    assert_true(row[96] == 0 && row[97] == 1 && row[99] == 3);
    lloyd_rows_close(wrapped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(wrap_several), TEST(wrap_bin), TEST(wrap_npy),
                                       TEST(wrap_fuzz), TEST(wrap_large)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
