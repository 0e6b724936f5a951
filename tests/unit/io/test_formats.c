/* Every format beside HDF5, through the registry: the rows are those that were written, whatever is
 * asked for and in whatever way; a file that is cut off, too long, changed while it is read or
 * damaged is refused. A new format needs a row in `samples`, without which `all_have_samples`
 * fails. */
#include "fixture.h"

#include "io/readers/registry.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { N = 37, D = 5 };

/* ---- A file of each format ------------------------------------------------------------------ */

static void put_npy(const char *path, lloyd_type type, int64_t first, int64_t n, int64_t d)
{
    static const char *const descr[] = {[LLOYD_F32] = "<f4",
                                        [LLOYD_F16] = "<f2",
                                        [LLOYD_BF16] = "<V2",
                                        [LLOYD_U8] = "|u1",
                                        [LLOYD_I8] = "|i1"};
    char text[256], header[300];
    snprintf(text, sizeof text,
             "{'descr': '%s', 'fortran_order': False, 'shape': (%ld, %ld), }%*s\n", descr[type],
             (long)n, (long)d, (int)(first % 7), "");
    put_raw_at(path, header, npy_header(header, 1 + (int)(first % 3), text), type, first, n, d);
}

static void put_bin(const char *path, lloyd_type type, int64_t first, int64_t n, int64_t d)
{
    unsigned char header[8];
    for (int b = 0; b < 4; b++) {
        header[b] = (unsigned char)(n >> (8 * b) & 0xff);
        header[4 + b] = (unsigned char)(d >> (8 * b) & 0xff);
    }
    put_raw_at(path, header, sizeof header, type, first, n, d);
}

/* Writes rows [first, first+n) of sample(). */
static const struct sample_file {
    const char *ending;
    lloyd_type type;
    void (*write)(const char *path, lloyd_type type, int64_t first, int64_t n, int64_t d);
} samples[] = {
    {".npy", LLOYD_F32, put_npy},   {".npy", LLOYD_F16, put_npy},  {".npy", LLOYD_BF16, put_npy},
    {".npy", LLOYD_U8, put_npy},    {".npy", LLOYD_I8, put_npy},   {".fbin", LLOYD_F32, put_bin},
    {".u8bin", LLOYD_U8, put_bin},  {".i8bin", LLOYD_I8, put_bin}, {".fvecs", LLOYD_F32, put_vecs},
    {".bvecs", LLOYD_U8, put_vecs},
};
enum { SAMPLES = sizeof samples / sizeof samples[0] };

/* "NAME.ENDING" into text, which is returned. */
static const char *named(const struct sample_file *s, const char *name, char text[64])
{
    snprintf(text, 64, "%s%s", name, s->ending);
    return text;
}

static const char *put_sample(const struct sample_file *s, const char *name, int64_t first,
                              int64_t n, char text[64])
{
    s->write(named(s, name, text), s->type, first, n, D);
    return text;
}

static void all_have_samples(void **state)
{
    (void)state;
    for (int i = 0; lloyd_reader_at(i); i++) {
        char endings[128], *rest = NULL;
        snprintf(endings, sizeof endings, "%s", lloyd_reader_at(i)->endings);
        for (char *e = strtok_r(endings, " ", &rest); e; e = strtok_r(NULL, " ", &rest)) {
            int found = 0;
            for (int s = 0; s < SAMPLES; s++) found |= strcmp(samples[s].ending, e) == 0;
            if (!found) fail_msg("the format %s has no row in `samples`", e);
        }
    }
}

/* ---- What is read --------------------------------------------------------------------------- */

static void rows_are_right(void **state)
{
    (void)state;
    char path[64];
    for (int s = 0; s < 2 * SAMPLES; s++) {
        const struct sample_file *sample_file = &samples[s / 2];
        if (s % 2) setenv("LLOYD_DIRECT_IO", "1", 1);
        put_sample(sample_file, "x", s % 3, N, path);
        for (int64_t piece = 1; piece <= N; piece += 6) {
            lloyd_rows *rows = open_one(path);
            char data[(N + 1) * D * 4], one[D * 4];
            int64_t bytes = D * (int64_t)lloyd_type_size(sample_file->type);
            for (int64_t first = 0; first + piece <= N; first++) { /* every range of so many rows */
                memset(data, 0x5a, sizeof data);
                assert_int_equal(lloyd_rows_read(rows, first, piece, data), LLOYD_OK);
                for (int64_t i = 0; i < piece; i++)
                    for (int64_t j = 0; j < D; j++)
                        assert_true(element(sample_file->type, data, i * D + j) ==
                                    sample(s % 3 + first + i, j, sample_file->type == LLOYD_U8));
                memset(one, 0x5a, sizeof one);
                assert_memory_equal(data + piece * bytes, one, (size_t)bytes); /* nothing behind */
            }
            assert_false(lloyd_rows_rounded(rows));
            assert_null(lloyd_rows_dataset(rows, 0));
            lloyd_rows_close(rows);
        }
        unsetenv("LLOYD_DIRECT_IO");
    }
}

/* More than a thread reads at a time. */
static void many_rows(void **state)
{
    (void)state;
    char path[64];
    enum { MANY = 120000 };
    for (int s = 0; s < SAMPLES; s++) {
        put_sample(&samples[s], "many", 0, MANY, path);
        check_rows(open_one(path), samples[s].type, MANY, D, MANY);
        check_rows(open_one(path), samples[s].type, MANY, D, 77777);
        unlink(path);
    }
}

/* Bits are not looked at: NaN with a payload, infinity, -0, subnormal numbers. */
static void bits_stay(void **state)
{
    (void)state;
    static const uint32_t bits[4] = {0x7fc12345, 0xff800000, 0x80000000, 0x00000001};
    uint32_t got[4];
    unsigned char bin[24] = {2, 0, 0, 0, 2}, vecs[20] = {4};
    memcpy(bin + 8, bits, 16), memcpy(vecs + 4, bits, 16);
    put_bytes("x.fbin", bin, 24);
    put_bytes("x.fvecs", vecs, 20);
    for (int i = 0; i < 2; i++) {
        lloyd_rows *rows = open_one(i ? "x.fvecs" : "x.fbin");
        assert_int_equal(lloyd_rows_read(rows, 0, lloyd_rows_count(rows), got), LLOYD_OK);
        assert_memory_equal(got, bits, sizeof bits);
        lloyd_rows_close(rows);
    }
}

/* float64 is rounded as that of HDF5 is: to nearest, ties to even, too large to infinity. */
static void float64_is_rounded(void **state)
{
    (void)state;
    static const double values[6] = {1 + 0x1p-24, 1 + 0x1.8p-23, 1e300, -0.0, 0x1p-149, 0x1p-150};
    static const float expected[6] = {1, 1 + 0x1p-22F, INFINITY, -0.0F, 0x1p-149F, 0};
    char header[200], all[260];
    float got[6];
    size_t length =
        npy_header(header, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2)}");
    memcpy(all, header, length);
    memcpy(all + length, values, sizeof values);
    put_bytes("x.npy", all, length + sizeof values);
    lloyd_rows *rows = open_one("x.npy");
    assert_true(lloyd_rows_rounded(rows));
    assert_int_equal(lloyd_rows_read(rows, 0, 3, got), LLOYD_OK);
    assert_memory_equal(got, expected, sizeof got);
    lloyd_rows_close(rows);
}

static void several_files(void **state)
{
    (void)state;
    char a[64], b[64], c[64];
    for (int s = 0; s < SAMPLES; s++) {
        const struct sample_file *sample_file = &samples[s];
        put_sample(sample_file, "p-1", 0, 10, a);
        put_sample(sample_file, "p-2", 10, 1, b);
        put_sample(sample_file, "p-3", 11, N - 11, c);
        const char *inputs[] = {a, b, c}, *pattern = named(sample_file, "p-?", a);
        lloyd_rows *rows;
        assert_int_equal(lloyd_rows_open(&pattern, 1, &rows), LLOYD_OK);
        assert_int_equal(lloyd_rows_files(rows), 3);
        check_rows(rows, sample_file->type, N, D, 4);
        named(sample_file, "p-1", a);
        assert_int_equal(lloyd_rows_open(inputs, 3, &rows), LLOYD_OK);
        check_rows(rows, sample_file->type, N, D, N);
        sample_file->write("q-2.tmp", sample_file->type, 0, 3, D + 1);
        rename("q-2.tmp", named(sample_file, "p-2", b));
        check_failed(lloyd_rows_open(inputs, 3, &rows), LLOYD_BAD_INPUT, b, "6 columns", a);
        unlink(a), unlink(b), unlink(c);
    }
    /* Formats of one type are one dataset. */
    const char *mixed[] = {"a.fvecs", "b.npy", "c.h5:/x", "d.fbin"};
    lloyd_rows *rows;
    put_vecs("a.fvecs", LLOYD_F32, 0, 5, D);
    put_npy("b.npy", LLOYD_F32, 5, 6, D);
    put_f32("c.h5", "x", 7, D, 11);
    put_bin("d.fbin", LLOYD_F32, 18, 8, D);
    assert_int_equal(lloyd_rows_open(mixed, 4, &rows), LLOYD_OK);
    char where[64];
    lloyd_rows_where(rows, 12, where, sizeof where);
    assert_string_equal(where, "c.h5:/x row 1");
    lloyd_rows_where(rows, 19, where, sizeof where);
    assert_string_equal(where, "d.fbin row 1");
    check_rows(rows, LLOYD_F32, 26, D, 9);
    put_bin("d.u8bin", LLOYD_U8, 0, 8, D);
    mixed[3] = "d.u8bin";
    check_failed(lloyd_rows_open(mixed, 4, &rows), LLOYD_BAD_INPUT, "d.u8bin is of type uint8",
                 "a.fvecs is of type float32", NULL);
}

/* ---- What is refused ------------------------------------------------------------------------ */

/* Opens and reads an input; what comes out is right, or an error with the name of the file. */
static lloyd_status right_or_refused(const struct sample_file *s, const char *path, int64_t n)
{
    lloyd_rows *rows;
    char data[(N + 1) * D * 4];
    lloyd_status status = lloyd_rows_open(&path, 1, &rows);
    if (status == LLOYD_OK) {
        assert_true(lloyd_rows_count(rows) <= n && lloyd_rows_dim(rows) == D);
        int64_t count = lloyd_rows_count(rows);
        status = lloyd_rows_read(rows, 0, count, data);
        for (int64_t i = 0; status == LLOYD_OK && i < count * D; i++)
            assert_true(element(s->type, data, i) == sample(i / D, i % D, s->type == LLOYD_U8));
        lloyd_rows_close(rows);
    }
    if (status != LLOYD_OK) {
        assert_int_equal(status, LLOYD_BAD_INPUT);
        assert_non_null(strstr(lloyd_message(), path));
    }
    return status;
}

static void cut_off_or_too_long(void **state)
{
    (void)state;
    char path[64];
    for (int s = 0; s < SAMPLES; s++) {
        const struct sample_file *sample_file = &samples[s];
        size_t bytes;
        char *whole = get_bytes(put_sample(sample_file, "x", 0, N, path), &bytes);
        for (size_t length = bytes; length-- > 0;) {
            assert_int_equal(truncate(path, (off_t)length), 0);
            lloyd_status status = right_or_refused(sample_file, path, N - 1);
            /* rows that say nothing of their number can only be cut inside a row */
            if (status == LLOYD_OK) assert_true(strstr(path, "vecs") && length % (bytes / N) == 0);
        }
        whole[bytes] = 0; /* get_bytes() has one byte more */
        put_bytes(path, whole, bytes + 1);
        assert_int_equal(right_or_refused(sample_file, path, N), LLOYD_BAD_INPUT);
        free(whole);
    }
}

static void changed_while_read(void **state)
{
    (void)state;
    char path[64], other[64], data[N * D * 4];
    for (int s = 0; s < SAMPLES; s++) {
        struct stat info;
        put_sample(&samples[s], "x", 0, N, path);
        assert_int_equal(stat(path, &info), 0);
        lloyd_rows *rows = open_one(path);
        assert_int_equal(lloyd_rows_read(rows, 0, 3, data), LLOYD_OK);
        assert_int_equal(lloyd_rows_check(rows, 0, N), LLOYD_OK);
        assert_int_equal(truncate(path, info.st_size - 1), 0);
        check_failed(lloyd_rows_read(rows, 0, N, data), LLOYD_BAD_INPUT, path, "row 36",
                     "truncated");
        check_failed(lloyd_rows_check(rows, 0, N), LLOYD_BAD_INPUT, path, "truncated", NULL);
        lloyd_rows_close(rows);
        put_sample(&samples[s], "x", 0, N, path);
        rows = open_one(path);
        rename(put_sample(&samples[s], "y", 0, N, other), path);
        check_failed(lloyd_rows_read(rows, 0, N, data), LLOYD_BAD_INPUT, path, "replaced", NULL);
        lloyd_rows_close(rows);
        rows = open_one(path);
        unlink(path);
        check_failed(lloyd_rows_read(rows, 0, N, data), LLOYD_BAD_INPUT, path, "removed", NULL);
        lloyd_rows_close(rows);
    }
}

/* Opens and reads a file of at most `bytes` bytes: no more rows than it has. */
static void read_damaged(const char *path, size_t bytes, char *data)
{
    lloyd_rows *rows;
    lloyd_status status = lloyd_rows_open(&path, 1, &rows);
    if (status == LLOYD_OK) {
        int64_t n = lloyd_rows_count(rows);
        int64_t row = lloyd_rows_dim(rows) * (int64_t)lloyd_type_size(lloyd_rows_type(rows));
        assert_true(n * row <= (int64_t)bytes);
        status = lloyd_rows_read(rows, 0, n, data);
        lloyd_rows_close(rows);
    }
    assert_true(status == LLOYD_OK || status == LLOYD_BAD_INPUT);
}

/* A bit flipped in the first bytes, all of them in the very first: right, refused, or (in the
 * elements) another value; never a crash, and never rows that the file does not have. */
static void flipped(void **state)
{
    (void)state;
    char path[64], *data = malloc(1 << 20);
    for (int s = 0; s < SAMPLES; s++) {
        size_t bytes;
        char *whole = get_bytes(put_sample(&samples[s], "x", 0, N, path), &bytes);
        int descriptor = open(path, O_WRONLY);
        assert_true(descriptor >= 0);
        for (size_t byte = 0; byte < bytes && byte < 150; byte++) {
            for (int bit = byte < 16 ? 0 : (int)byte % 8; bit < 8; bit += byte < 16 ? 1 : 8) {
                char changed = (char)(whole[byte] ^ (1 << bit));
                assert_int_equal(pwrite(descriptor, &changed, 1, (off_t)byte), 1);
                read_damaged(path, bytes, data);
                assert_int_equal(pwrite(descriptor, whole + byte, 1, (off_t)byte), 1);
            }
        }
        close(descriptor);
        free(whole);
    }
    free(data);
}

static void no_datasets(void **state)
{
    (void)state;
    char path[64], input[80];
    const lloyd_input_form form = {.dataset = "train"};
    for (int s = 0; s < SAMPLES; s++) {
        lloyd_rows *rows;
        const char *given = put_sample(&samples[s], "x", 0, N, path);
        snprintf(input, sizeof input, "%s:/train", path);
        bad_input(input, path, "/train", "no datasets");
        check_failed(lloyd_rows_open_form(&given, 1, &form, &rows), LLOYD_BAD_INPUT, path,
                     "no datasets", NULL);
        rows = open_one(path);
        check_failed(lloyd_rows_open_weights(rows, "w"), LLOYD_BAD_INPUT, path, "weights", "HDF5");
        lloyd_rows_close(rows);
    }
}

/* ---- Files without a header ----------------------------------------------------------------- */

static lloyd_input_form said(const char *type, int64_t columns)
{
    lloyd_input_form form;
    assert_int_equal(lloyd_input_form_make(NULL, type, columns, &form), LLOYD_OK);
    return form;
}

static lloyd_rows *open_headerless(const char *const *paths, int count, const char *type,
                                   int64_t columns)
{
    lloyd_rows *rows;
    const lloyd_input_form form = said(type, columns);
    if (lloyd_rows_open_form(paths, count, &form, &rows) != LLOYD_OK)
        fail_msg("%s", lloyd_message());
    return rows;
}

static void headerless_rows(void **state)
{
    (void)state;
    static const char *const pattern[] = {"h-*"}, *const three[] = {"h-1", "h-2:x", "h-3.bin"};
    for (lloyd_type type = LLOYD_F32; type <= LLOYD_I8; type++) {
        put_raw_at("h-1", "", 0, type, 0, 10, D);
        put_raw_at("h-2:x", "", 0, type, 10, 0, D); /* no rows; a name with a colon */
        put_raw_at("h-3.bin", "", 0, type, 10, 120000, D);
        for (int direct = 0; direct < 2; direct++) {
            if (direct) setenv("LLOYD_DIRECT_IO", "1", 1);
            check_rows(open_headerless(three, 3, lloyd_type_name(type), D), type, 120010, D, 7);
            check_rows(open_headerless(pattern, 1, lloyd_type_name(type), D), type, 120010, D,
                       99999);
            unsetenv("LLOYD_DIRECT_IO");
        }
    }
    static const double values[4] = {1 + 0x1p-24, 1 + 0x1.8p-23, 1e300, 0x1p-149};
    static const float expected[4] = {1, 1 + 0x1p-22F, INFINITY, 0x1p-149F};
    static const char *const wide[] = {"wide"};
    float got[4];
    put_bytes("wide", values, sizeof values);
    lloyd_rows *rows = open_headerless(wide, 1, "float64", 2);
    assert_true(lloyd_rows_rounded(rows) && lloyd_rows_count(rows) == 2);
    assert_int_equal(lloyd_rows_read(rows, 0, 2, got), LLOYD_OK);
    assert_memory_equal(got, expected, sizeof got);
    lloyd_rows_close(rows);
}

static void bad_headerless(const char *path, const char *type, int64_t columns, const char *a,
                           const char *b)
{
    lloyd_rows *rows;
    const lloyd_input_form form = said(type, columns);
    check_failed(lloyd_rows_open_form(&path, 1, &form, &rows), LLOYD_BAD_INPUT, path, a, b);
    assert_null(rows);
}

static void headerless_refused(void **state)
{
    (void)state;
    lloyd_input_form form;
    lloyd_rows *rows;
    const char *path = "h";
    put_raw_at("h", "", 0, LLOYD_F32, 0, N, D);
    for (off_t length = N * D * 4; length-- > 0;) {
        assert_int_equal(truncate("h", length), 0);
        if (length % (D * 4) > 0) bad_headerless("h", "float32", D, "no whole number", "--dim 5");
    }
    bad_headerless("h", "float32", D, "has no rows", NULL);
    bad_headerless("gone", "float32", D, "No such file", NULL);
    bad_headerless(".", "float32", D, NULL, NULL);
    bad_headerless("h", "float64", INT64_MAX / 4, "2^63", "--dim");
    put_npy("named", LLOYD_F32, 0, N, D);
    bad_headerless("named", "float32", 1, "NumPy", "leave --raw");
    put_f32("hdf5", "x", N, D, 0);
    bad_headerless("hdf5", "uint8", 1, "HDF5", "leave --raw");
    put_bin("x.fbin", LLOYD_F32, 0, N, D);
    bad_headerless("x.fbin", "float32", 1, "ending", "another name");
    put_raw_at("h", "", 0, LLOYD_F32, 0, N, D);
    bad_input("h", "not an HDF5 file", "--raw TYPE --dim D", NULL);
    form = said("float32", D);
    assert_int_equal(lloyd_rows_open_form(&path, 1, &form, &rows), LLOYD_OK);
    check_failed(lloyd_rows_open_weights(rows, "w"), LLOYD_BAD_INPUT, "h is a", "weights", "HDF5");
    lloyd_rows_close(rows);
    check_failed(lloyd_input_form_make(NULL, "float32", 0, &form), LLOYD_USAGE, "--raw float32",
                 "needs --dim", NULL);
    check_failed(lloyd_input_form_make(NULL, "float32", -3, &form), LLOYD_USAGE, "needs --dim",
                 NULL, NULL);
    check_failed(lloyd_input_form_make(NULL, NULL, 5, &form), LLOYD_USAGE, "--dim 5", "--raw TYPE",
                 NULL);
    check_failed(lloyd_input_form_make("train", "uint8", 5, &form), LLOYD_USAGE, "--raw uint8",
                 "--dataset", NULL);
    check_failed(lloyd_input_form_make(NULL, "int32", 5, &form), LLOYD_USAGE, "--raw int32",
                 "float64", NULL);
}

/* ---- What each format refuses --------------------------------------------------------------- */

static void bad_npy(const char *text, const char *a, const char *b)
{
    char header[300];
    put_raw("x.npy", header, npy_header(header, 1, text), LLOYD_F32, 0, 0, 9, 4);
    bad_input("x.npy", "x.npy", a, b);
}

static void npy_refused(void **state)
{
    (void)state;
    bad_npy("{'descr': '<f4', 'fortran_order': True, 'shape': (9, 4)}", "column by column",
            "ascontiguousarray");
    bad_npy("{'descr': '>f4', 'fortran_order': False, 'shape': (9, 4)}", "big-endian", "astype");
    bad_npy("{'descr': '|O', 'fortran_order': False, 'shape': (9, 4)}", "'|O'", "float32");
    bad_npy("{'descr': '<i4', 'fortran_order': False, 'shape': (9, 4)}", "'<i4'", "float32");
    bad_npy("{'descr': '|b1', 'fortran_order': False, 'shape': (9, 4)}", "'|b1'", NULL);
    bad_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (36,)}", "1 dimension,", NULL);
    bad_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3, 4)}", "3 dimensions", NULL);
    bad_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9, 0)}", "0 columns", NULL);
    bad_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9, -4)}", "not understood", NULL);
    bad_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-9, 4)}", "not understood", NULL);
    bad_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", "2^63",
            NULL);
    bad_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (8, 4)}", "8 rows", "makes");
    put_bytes("x.npy", "", 0);
    bad_input("x.npy", "x.npy", "does not begin", NULL);
    put_bytes("x.npy", "\x93NUMPY\4\0xxxxxxxx", 16);
    bad_input("x.npy", "version", NULL, NULL);
    put_bytes("x.npy", "\x93NUMPY\2\0\xff\xff\xff\x7f{'de", 16);
    bad_input("x.npy", "cut off", NULL, NULL);
    /* By content, whatever the name is; without rows, as long as another file has some. */
    const char *two[] = {"none.npy", "text"};
    char header[300];
    lloyd_rows *rows;
    put_npy("text", LLOYD_F32, 0, N, D);
    check_rows(open_one("text"), LLOYD_F32, N, D, 7);
    put_bytes("none.npy", header,
              npy_header(header, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 5)}"));
    assert_int_equal(lloyd_rows_open(two, 2, &rows), LLOYD_OK);
    check_rows(rows, LLOYD_F32, N, D, N);
    bad_input("none.npy", "none.npy has no rows", NULL, NULL);
}

static void bin_refused(void **state)
{
    (void)state;
    put_bytes("x.fbin", "", 0);
    bad_input("x.fbin", "x.fbin", "0 bytes", NULL);
    put_bytes("x.fbin", "\1\0\0\0\0\0\0\0", 8);
    bad_input("x.fbin", "0 columns", NULL, NULL);
    put_bytes("x.fbin", "\0\0\0\0\5\0\0\0", 8);
    bad_input("x.fbin", "has no rows", NULL, NULL);
    put_bytes("x.fbin", "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    bad_input("x.fbin", "2^63", NULL, NULL);
    put_bytes("x.u8bin", "\xff\xff\xff\x7f\xff\xff\xff\x7f", 8);
    bad_input("x.u8bin", "8 bytes", "makes", NULL);
    put_bytes("x.fbi", "\1\0\0\0\1\0\0\0xxxx", 12);
    bad_input("x.fbi", "not an HDF5 file", ".fbin", ".bvecs");
    put_f32("hdf5.fbin", "x", N, D, 0); /* content decides */
    check_rows(open_one("hdf5.fbin"), LLOYD_F32, N, D, 5);
}

/* A file whose rows have other numbers of columns than the first. */
static void vecs_refused(void **state)
{
    (void)state;
    put_bytes("x.fvecs", "", 0);
    bad_input("x.fvecs", "0 bytes", NULL, NULL);
    put_bytes("x.fvecs", "\0\0\0\0", 4);
    bad_input("x.fvecs", "0 columns", NULL, NULL);
    put_bytes("x.fvecs", "\xff\xff\xff\xff", 4);
    bad_input("x.fvecs", "-1 columns", NULL, NULL);
    put_bytes("x.fvecs", "\xff\xff\xff\x7fxxxx", 8);
    bad_input("x.fvecs", "8 bytes", "2147483647 columns", NULL);
    put_bytes("x.bvecs", "\1\0\0\0x\1\0\0", 8);
    bad_input("x.bvecs", "8 bytes are no whole number of rows of 5 bytes", NULL, NULL);
    put_bytes("x.bvecs", "\0\0\0\x80xxxx", 8);
    bad_input("x.bvecs", "-2147483648 columns", NULL, NULL);
    size_t bytes;
    put_vecs("x.bvecs", LLOYD_U8, 0, N, D);
    char *whole = get_bytes("x.bvecs", &bytes);
    for (int row = 1; row < N; row++) {
        for (int byte = 0; byte < 4; byte++) {
            char *at = whole + row * (D + 4) + byte;
            *at ^= 1;
            put_bytes("x.bvecs", whole, bytes);
            char text[32];
            snprintf(text, sizeof text, "row %d of x.bvecs", row);
            bad_read("x.bvecs", text, "columns, but row 0 has 5", NULL);
            lloyd_rows *rows = open_one("x.bvecs");
            char data[N * D];
            assert_int_equal(lloyd_rows_read(rows, 0, row, data), LLOYD_OK); /* those before it */
            lloyd_rows_close(rows);
            *at ^= 1;
        }
    }
    free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_have_samples),    TEST(rows_are_right),     TEST(many_rows),
        TEST(bits_stay),           TEST(float64_is_rounded), TEST(several_files),
        TEST(cut_off_or_too_long), TEST(changed_while_read), TEST(flipped),
        TEST(no_datasets),         TEST(npy_refused),        TEST(bin_refused),
        TEST(vecs_refused),        TEST(headerless_rows),    TEST(headerless_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
