/* Weights, and rows that lie in other files: external storage, virtual datasets. */
#include "fixture.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void rows_weights(void **state)
{
    (void)state;
    put_f32("a.h5", "x", 6, 2, 0);
    put_f32("b.h5", "x", 5, 2, 6);
    put("a.h5", "w", float_type(2, 5, 10, 15, H5T_ORDER_BE), H5P_DEFAULT, 1, 6, 1, 0);
    put("b.h5", "w", H5Tcopy(H5T_STD_I32BE), H5P_DEFAULT, 1, 5, 1, 6);
    put("a.h5", "short", file_type(LLOYD_F32, H5T_ORDER_LE), H5P_DEFAULT, 1, 5, 1, 0);
    const char *inputs[] = {"a.h5:x", "b.h5:x"};
    lloyd_rows *rows;
    float weights[11], data[22];
    assert_int_equal(lloyd_rows_open(inputs, 2, &rows), LLOYD_OK);
    check_failed(lloyd_rows_read_weights(rows, 0, 11, weights), LLOYD_FAILED,
                 "before they are opened", NULL, NULL);
    check_failed(lloyd_rows_open_weights(rows, "short"), LLOYD_BAD_INPUT,
                 "a.h5:/short has 1 dimension and 5", "6 rows", NULL);
    check_failed(lloyd_rows_open_weights(rows, "x"), LLOYD_BAD_INPUT, "2 dimensions", NULL, NULL);
    check_failed(lloyd_rows_open_weights(rows, "gone"), LLOYD_BAD_INPUT, "a.h5:/gone", "no dataset",
                 NULL);
    check_failed(lloyd_rows_open_weights(rows, ""), LLOYD_USAGE, "empty", NULL, NULL);
    assert_int_equal(lloyd_rows_open_weights(rows, "/w"), LLOYD_OK);
    assert_int_equal(lloyd_rows_open_weights(rows, "w"), LLOYD_OK);
    assert_int_equal(lloyd_rows_read_weights(rows, 0, 11, weights), LLOYD_OK);
    for (int i = 0; i < 11; i++) assert_true(weights[i] == sample(i, 0, 0));
    assert_int_equal(lloyd_rows_read(rows, 0, 11, data), LLOYD_OK);
    assert_true(data[21] == sample(10, 1, 0));
    assert_int_equal(lloyd_rows_read_weights(rows, 5, 2, weights), LLOYD_OK);
    assert_true(weights[1] == sample(6, 0, 0));
    lloyd_rows_close(rows);
}

static void rows_external(void **state)
{
    (void)state;
    mkdir("d", 0755);
    for (int where = 0; where < 2;
         where++) { /* the data beside the HDF5 file; in the current directory */
        const char *path = "d/x.h5", *raw = where ? "raw.bin" : "d/raw.bin";
        if (where == 0 && chdir("d") != 0) fail();
        hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
        H5Pset_external(creation, "raw.bin", 16, 100 * 4);
        H5Pset_external(creation, "more.bin", 0, H5F_UNLIMITED);
        put(where ? path : "x.h5", "x", file_type(LLOYD_F32, H5T_ORDER_BE), creation, 2, 50, 4, 0);
        if (where == 0 && chdir("..") != 0) fail();
        check_rows(open_one(path), LLOYD_F32, 50, 4, 7);
        assert_int_equal(truncate(raw, 415), 0);
        bad_input(path, "raw.bin", "has 415 bytes instead of 416", path);
        remove(raw);
        bad_input(path, "raw.bin", "missing", path);
        remove(path);
        remove(where ? "more.bin" : "d/more.bin");
    }
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    char absolute[4200];
    snprintf(absolute, sizeof absolute, "%s/abs.bin", home);
    H5Pset_external(creation, absolute, 0, 800);
    put("d/y.h5", "x", file_type(LLOYD_F32, H5T_ORDER_LE), creation, 2, 50, 4, 0);
    assert_int_equal(chdir("d"), 0);
    check_rows(open_one("y.h5"), LLOYD_F32, 50, 4, 7);
    assert_int_equal(chdir(".."), 0);
}

static void put_external(const char *path, const char *raw)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(creation, raw, 0, 120);
    put(path, "x", file_type(LLOYD_F32, H5T_ORDER_LE), creation, 2, 10, 3, 10);
}

static void rows_virtual(void **state)
{
    (void)state;
    mkdir("d", 0755);
    put_f32("d/a.h5", "x", 10, 3, 0);
    put("d/b.h5", "x", H5Tcopy(H5T_STD_I16BE), chunks(3, 3, 1), 2, 10, 3, 10);
    const char *files[] = {"a.h5", "b.h5"};
    put_virtual("d/v.h5", 2, files, 10, 3, 0, 10);
    check_rows(open_one("d/v.h5"), LLOYD_F32, 20, 3, 7);
    const char *same[] = {"."};
    put_f32("same.h5", "x", 10, 3, 0);
    put_virtual("same.h5", 1, same, 10, 3, 0, 10);
    check_rows(open_one("same.h5:v"), LLOYD_F32, 10, 3, 10);
    /* A source that is missing is only noticed by who reads its rows. */
    rename("d/b.h5", "d/gone.h5");
    lloyd_rows *rows = open_one("d/v.h5");
    float data[60];
    assert_int_equal(lloyd_rows_read(rows, 0, 10, data), LLOYD_OK);
    check_failed(lloyd_rows_read(rows, 9, 2, data), LLOYD_BAD_INPUT, "source file b.h5", "missing",
                 "d/v.h5");
    lloyd_rows_close(rows);
    put_bytes("d/b.h5", "rubbish", 7);
    bad_read("d/v.h5", "source file b.h5", NULL, NULL);
    remove("d/b.h5");
    put_f32("d/b.h5", "y", 10, 3, 10);
    bad_read("d/v.h5", "virtual dataset /v", "x", "b.h5");
    remove("d/b.h5");
    put_f32("d/b.h5", "x", 9, 3, 10);
    bad_read("d/v.h5", "smaller", "b.h5", NULL);
    /* A source that is itself external: HDF5 finds its data by absolute name, and not beside it. */
    remove("d/b.h5");
    char raw[4200];
    snprintf(raw, sizeof raw, "%s/d/raw.bin", home);
    put_external("d/b.h5", raw);
    check_rows(open_one("d/v.h5"), LLOYD_F32, 20, 3, 7);
    assert_int_equal(truncate(raw, 50), 0);
    bad_read("d/v.h5", "raw.bin", "50 bytes", NULL);
    remove("d/b.h5");
    assert_int_equal(chdir("d"), 0);
    put_external("b.h5", "raw.bin");
    check_rows(open_one("v.h5"), LLOYD_F32, 20, 3, 7);
    assert_int_equal(chdir(".."), 0);
    bad_read("d/v.h5", "raw.bin", "missing", "HDF5_EXTFILE_PREFIX");
}

static void rows_virtual_whole(void **state)
{
    (void)state;
    /* Mapped whole to whole, as H5S_ALL, and read from elsewhere through a symbolic link. */
    mkdir("d", 0755);
    mkdir("e", 0755);
    put_f32("d/a.h5", "x", 10, 3, 0);
    hid_t file = H5Fcreate("d/v.h5", H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
          creation = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t extent[2] = {10, 3};
    hid_t space = H5Screate_simple(2, extent, NULL);
    H5Pset_virtual(creation, space, "a.h5", "x", space);
    H5Dclose(H5Dcreate2(file, "v", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    H5Sclose(space), H5Pclose(creation), H5Fclose(file);
    assert_int_equal(symlink("../d/v.h5", "e/link.h5"), 0);
    check_rows(open_one("e/link.h5"), LLOYD_F32, 10, 3, 4);
    rename("d/a.h5", "d/a2.h5");
    bad_read("e/link.h5", "a.h5", "missing", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(rows_weights), TEST(rows_external), TEST(rows_virtual),
                                       TEST(rows_virtual_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
