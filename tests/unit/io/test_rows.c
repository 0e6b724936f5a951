/* Rows of HDF5 files: every storage, type and byte order, names and several files, and the values,
 * not only the status. */
#include "fixture.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void rows_types_and_storage(void **state)
{
    (void)state;
    enum { N = 157, D = 13 };
    for (int type = LLOYD_F32; type <= LLOYD_I8; type++)
        for (int big = 0; big < 2; big++)
            for (int storage = 0; storage < 7; storage++) {
                hid_t creation = H5P_DEFAULT;
                if (storage == 1) creation = chunks(10, D, 0);
                if (storage == 2) creation = chunks(10, D, 1);
                if (storage == 3) creation = chunks(16, 5, 1); /* chunks that divide nothing */
                if (storage == 4) creation = chunks(1, 1, 0);
                if (storage == 5) creation = chunks(N, 3, 1);
                if (storage == 6) {
                    creation = H5Pcreate(H5P_DATASET_CREATE);
                    H5Pset_layout(creation, H5D_COMPACT);
                }
                put("t.h5", "data", file_type((lloyd_type)type, big ? H5T_ORDER_BE : H5T_ORDER_LE),
                    creation, 2, N, D, 0);
                check_rows(open_one("t.h5"), (lloyd_type)type, N, D, 1 + 13 * storage);
                check_rows(open_one("t.h5"), (lloyd_type)type, N, D, N);
                remove("t.h5");
            }
}

static void rows_float64(void **state)
{
    (void)state;
    static const double stored[6] = {1 + 0x1p-24, 1 + 3 * 0x1p-24, 1 + 0x1p-24 + 0x1p-50,
                                     1e300,       -1e-60,          3.4028235e38};
    for (int big = 0; big < 2; big++) {
        hid_t file = H5Fcreate("d.h5", H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
        hsize_t extent[2] = {2, 3};
        hid_t space = H5Screate_simple(2, extent, NULL),
              type = float_type(8, 11, 52, 1023, big ? H5T_ORDER_BE : H5T_ORDER_LE);
        hid_t dataset =
            H5Dcreate2(file, "train", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, stored);
        H5Dclose(dataset), H5Sclose(space), H5Tclose(type), H5Fclose(file);
        lloyd_rows *rows = open_one("d.h5");
        float read[6];
        assert_int_equal(lloyd_rows_rounded(rows), 1);
        assert_int_equal(lloyd_rows_type(rows), LLOYD_F32);
        assert_int_equal(lloyd_rows_read(rows, 0, 2, read), LLOYD_OK);
        for (int i = 0; i < 6; i++) assert_true(read[i] == (float)stored[i]);
        assert_true(isinf(read[3]));
        lloyd_rows_close(rows);
    }
    put("n.h5", "train", float_type(8, 11, 52, 1023, H5T_ORDER_BE), chunks(7, 2, 1), 2, 100, 5, 0);
    check_rows(open_one("n.h5"), LLOYD_F32, 100, 5, 9);
    put_f32("f.h5", "train", 3, 5, 0);
    lloyd_rows *rows = open_one("f.h5");
    assert_int_equal(lloyd_rows_rounded(rows), 0);
    lloyd_rows_close(rows);
}

/* A filter that copies, and counts how often it decodes. */
static int decoded;
static size_t count_filter(unsigned flags, size_t parameters, const unsigned values[], size_t bytes,
                           size_t *size, void **buffer)
{
    (void)parameters, (void)values, (void)size, (void)buffer;
    if (flags & H5Z_FLAG_REVERSE) decoded++;
    return bytes;
}

static void rows_decode_once(void **state)
{
    (void)state;
    const H5Z_class2_t filter = {H5Z_CLASS_T_VERS, 300, 1, 1, "counting", NULL, NULL, count_filter};
    assert_true(H5Zregister(&filter) >= 0);
    static const int64_t chunk[4][2] = {{100, 64}, {100, 5}, {7, 1}, {1000, 64}};
    for (int c = 0; c < 4; c++) {
        enum { N = 1000, D = 64 };
        hid_t creation = chunks(chunk[c][0], chunk[c][1], 0);
        H5Pset_filter(creation, 300, 0, 0, NULL);
        put("c.h5", "train", file_type(LLOYD_F32, H5T_ORDER_LE), creation, 2, N, D, 0);
        decoded = 0;
        check_rows(open_one("c.h5"), LLOYD_F32, N, D, 37);
        int64_t all = (N + chunk[c][0] - 1) / chunk[c][0] * ((D + chunk[c][1] - 1) / chunk[c][1]);
        assert_int_equal(decoded, all);
        remove("c.h5");
    }
    /* Without the filter the message says what is missing. */
    hid_t creation = chunks(10, 4, 0);
    H5Pset_filter(creation, 300, 0, 0, NULL);
    put("c.h5", "train", file_type(LLOYD_F32, H5T_ORDER_LE), creation, 2, 50, 4, 0);
    H5Zunregister(300);
    bad_input("c.h5", "filter 300", "HDF5_PLUGIN_PATH", "c.h5");
}

static void rows_names(void **state)
{
    (void)state;
    mkdir("sub", 0755);
    put_f32("sub/a.h5", "only", 5, 3, 0);
    check_rows(open_one("sub/a.h5"), LLOYD_F32, 5, 3, 5);
    check_rows(open_one("sub/a.h5:only"), LLOYD_F32, 5, 3, 5);
    check_rows(open_one("sub/a.h5:/only"), LLOYD_F32, 5, 3, 5);
    check_rows(open_one("sub/[a].h5:only"), LLOYD_F32, 5, 3, 5);
    put_f32("b:c.h5", "one", 6, 3, 0);
    check_rows(open_one("b:c.h5"), LLOYD_F32, 6, 3, 5);
    check_rows(open_one("b:c.h5:one"), LLOYD_F32, 6, 3, 5);
    check_rows(open_one("b:?.h5"), LLOYD_F32, 6, 3, 5);
    put_f32("[x].h5", "one", 4, 3, 0);
    check_rows(open_one("[x].h5"), LLOYD_F32, 4, 3, 5);
    put_f32("m.h5", "test", 4, 3, 50);
    put_f32("m.h5", "train", 7, 3, 0);
    put("m.h5", "label", H5Tcopy(H5T_STD_I32LE), H5P_DEFAULT, 1, 7, 1, 0);
    check_rows(open_one("m.h5"), LLOYD_F32, 7, 3, 2);
    put_f32("z.h5", "one", 4, 3, 0);
    put_f32("z.h5", "two", 4, 3, 0);
    bad_input("z.h5", "/one, /two", "FILE:DATASET", NULL);
    bad_input("z.h5:three", "no dataset of that name", "/one, /two", NULL);
    bad_input("z.h5:", "no dataset is named", NULL, NULL);
    char name[16];
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "d%02d", i);
        put_f32("many.h5", name, 2, 2, 0);
    }
    bad_input("many.h5", "/d07 and more", NULL, NULL);
    put("none.h5", "label", H5Tcopy(H5T_STD_I32LE), H5P_DEFAULT, 1, 7, 1, 0);
    bad_input("none.h5", "no two-dimensional dataset", NULL, NULL);
    put("wrong.h5", "train", file_type(LLOYD_F32, H5T_ORDER_LE), H5P_DEFAULT, 1, 7, 1, 0);
    bad_input("wrong.h5", "1 dimension,", "two", NULL);
    hid_t file = H5Fopen("none.h5", H5F_ACC_RDWR, H5P_DEFAULT);
    H5Lcreate_external("m.h5", "/train", file, "train", H5P_DEFAULT,
                       H5P_DEFAULT); /* links are followed */
    H5Gclose(H5Gcreate2(file, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Fclose(file);
    check_rows(open_one("none.h5"), LLOYD_F32, 7, 3, 2);
    bad_input("none.h5:group", "but a group", NULL, NULL);
}

static void rows_many_files(void **state)
{
    (void)state;
    enum { FILES = 200, EACH = 3 };
    char path[64];
    for (int i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "s%03d.h5", i);
        put(path, "train", file_type(LLOYD_I8, H5T_ORDER_LE), i % 2 ? chunks(2, 2, 1) : H5P_DEFAULT,
            2, EACH, 4, i * EACH);
    }
    struct rlimit before, few = {40, 40};
    getrlimit(RLIMIT_NOFILE, &before);
    few.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_NOFILE, &few);
    lloyd_rows *rows = open_one("s*.h5:train");
    assert_int_equal(lloyd_rows_files(rows), FILES);
    assert_string_equal(lloyd_rows_file(rows, 7), "s007.h5");
    char text[128];
    lloyd_rows_where(rows, 31, text, sizeof text);
    assert_string_equal(text, "s010.h5:/train row 1");
    int8_t row[4];
    for (int64_t i = FILES * EACH; i-- > 0;) { /* backwards too */
        assert_int_equal(lloyd_rows_read(rows, i, 1, row), LLOYD_OK);
        assert_true((float)row[3] == sample(i, 3, 0));
    }
    check_failed(lloyd_rows_read(rows, FILES * EACH, 1, row), LLOYD_FAILED, "mistake", NULL, NULL);
    assert_int_equal(lloyd_rows_read(rows, FILES * EACH, 0, row), LLOYD_OK);
    check_rows(rows, LLOYD_I8, FILES * EACH, 4, 100);
    setrlimit(RLIMIT_NOFILE, &before);
}

static void rows_several_inputs(void **state)
{
    (void)state;
    put_f32("b.h5", "x", 4, 3, 0);
    put_f32("empty.h5", "x", 0, 3, 0);
    put("a.h5", "y", float_type(8, 11, 52, 1023, H5T_ORDER_BE), H5P_DEFAULT, 2, 5, 3, 4);
    const char *order[] = {"b.h5", "empty.h5", "a.h5:y", "empty.h5"};
    lloyd_rows *rows;
    assert_int_equal(lloyd_rows_open(order, 4, &rows), LLOYD_OK);
    assert_int_equal(lloyd_rows_rounded(rows), 1);
    char text[64];
    lloyd_rows_where(rows, 4, text, sizeof text);
    assert_string_equal(text, "a.h5:/y row 0");
    check_rows(rows, LLOYD_F32, 9, 3, 4);
    put_f32("wide.h5", "x", 4, 5, 0);
    const char *wide[] = {"b.h5", "wide.h5"};
    check_failed(lloyd_rows_open(wide, 2, &rows), LLOYD_BAD_INPUT, "wide.h5:/x has 5 columns",
                 "b.h5:/x has 3", NULL);
    put("u8.h5", "x", H5Tcopy(H5T_STD_U8LE), H5P_DEFAULT, 2, 4, 3, 0);
    const char *types[] = {"b.h5", "u8.h5"};
    check_failed(lloyd_rows_open(types, 2, &rows), LLOYD_BAD_INPUT, "u8.h5:/x is of type uint8",
                 "b.h5:/x is of type float32", NULL);
    const char *missing[] = {"b.h5", "missing.h5:/x"};
    check_failed(lloyd_rows_open(missing, 2, &rows), LLOYD_BAD_INPUT, "missing.h5: No such file",
                 NULL, NULL);
    assert_null(rows);
    const char *empty[] = {"empty.h5", "empty.h5"};
    check_failed(lloyd_rows_open(empty, 2, &rows), LLOYD_BAD_INPUT, "no rows", "like all other",
                 NULL);
    check_failed(lloyd_rows_open(NULL, 0, &rows), LLOYD_USAGE, "no input", NULL, NULL);
    lloyd_rows_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(rows_types_and_storage), TEST(rows_float64),
                                       TEST(rows_decode_once),       TEST(rows_names),
                                       TEST(rows_many_files),        TEST(rows_several_inputs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
