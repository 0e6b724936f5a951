/* Rows that lie in a file as in memory, against HDF5: the same for any range, and any way in which
 * the system answers a read. */
#include "replaced.h"

#include "base/memory.h"
#include "base/threads.h"
#include "io/writers/array.h"
#include "io/writers/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

typedef struct counting {
    atomic_int done[1000];
    int fail_from;   /* parts from here on fail; -1: none */
    int lowest_last; /* of the failures, the one that counts comes last; 0: first */
} counting;

static lloyd_status count_part(void *task, int64_t part, int worker)
{
    counting *c = task;
    assert_true(worker >= 0 && worker < 5);
    c->done[part]++;
    if (part % 7 == 0) usleep(100);
    if (c->fail_from >= 0 && part >= c->fail_from)
        usleep((part == c->fail_from) == c->lowest_last ? 4000 : 1000);
    if (c->fail_from >= 0 && part >= c->fail_from)
        return lloyd_fail(LLOYD_FAILED, "part %d", (int)part);
    return LLOYD_OK;
}

static void pool(void **state)
{
    (void)state;
    lloyd_pool *threads;
    assert_true(lloyd_pool_size() >= 4 && lloyd_pool_size() <= LLOYD_POOL_MOST);
    assert_int_equal(lloyd_pool_open(5, &threads), LLOYD_OK);
    for (int round = 0; round < 200; round++) {
        counting c = {.fail_from = round % 3 == 2 ? round % 50 : -1, .lowest_last = round % 2};
        int parts = round % 10 == 0 ? round / 10 % 3 : 5 * round;
        lloyd_status status = lloyd_pool_run(threads, parts, count_part, &c);
        if (c.fail_from >= 0 && c.fail_from < parts) {
            char text[64];
            snprintf(text, sizeof text, "part %d", c.fail_from);
            assert_int_equal(status, LLOYD_FAILED);
            assert_string_equal(lloyd_message(), text);
            for (int i = 0; i < parts; i++)
                assert_true(i < c.fail_from ? c.done[i] == 1 : c.done[i] <= 1);
        } else {
            assert_int_equal(status, LLOYD_OK);
            for (int i = 0; i < 1000; i++) assert_int_equal(c.done[i], i < parts);
        }
    }
    lloyd_pool_close(threads);
    lloyd_pool_close(NULL);
}

static void plain_same(void **state)
{
    (void)state;
    put("a.h5", "small", H5Tcopy(H5T_IEEE_F32LE), H5P_DEFAULT, 50, 7);
    put("a.h5", "large", H5Tcopy(H5T_IEEE_F32LE), H5P_DEFAULT, 30011, 67); /* 8 MB */
    put("a.h5", "byte", H5Tcopy(H5T_STD_I8BE), H5P_DEFAULT, 100003, 31);
    put("a.h5", "half", f16(), H5P_DEFAULT, 40001, 33);
    put("a.h5", "big", H5Tcopy(H5T_IEEE_F32BE), H5P_DEFAULT, 301, 67); /* by HDF5 */
    const char *names[] = {"small", "large", "byte", "half", "big"};
    for (int direct = 0; direct < 2; direct++) {
        if (direct) setenv("LLOYD_DIRECT_IO", "1", 1);
        for (int i = 0; i < 5; i++) {
            reset();
            check_same("a.h5", names[i]);
            if (i == 0 || i == 4) assert_int_equal(reads.threads, 0);
        }
        reset();
        reads.most = 10000;
        reads.interrupt = 1;
        check_same("a.h5", "large");
        assert_int_equal(reads.unaligned, 0);
        if (!direct) assert_int_equal(reads.direct, 0);
    }
}

/* Several threads take part, if they get the time. */
static void plain_threads(void **state)
{
    (void)state;
    put("a.h5", "x", H5Tcopy(H5T_IEEE_F32LE), H5P_DEFAULT, 30011, 67);
    lloyd_rows *rows = open_one("a.h5");
    char *data = malloc((size_t)30011 * 67 * 4);
    reset();
    reads.slow = 1000;
    for (int i = 0; i < 200 && reads.threads == 0; i++)
        assert_int_equal(lloyd_rows_read(rows, 0, 30011, data), LLOYD_OK);
    assert_true(reads.threads > 0);
    free(data);
    lloyd_rows_close(rows);
}

/* A dataset behind a user block: HDF5's addresses begin behind it. */
static void plain_user_block(void **state)
{
    (void)state;
    hid_t creation = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_userblock(creation, 2048);
    H5Fclose(H5Fcreate("u.h5", H5F_ACC_EXCL, creation, H5P_DEFAULT));
    H5Pclose(creation);
    put("u.h5", "x", H5Tcopy(H5T_IEEE_F32LE), H5P_DEFAULT, 500, 9);
    check_same("u.h5", "x");
}

/* Created and never written: the fill value, which HDF5 knows. */
static void plain_unwritten(void **state)
{
    (void)state;
    hid_t file = H5Fcreate("n.h5", H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT),
          creation = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t extent[2] = {20, 3};
    hid_t space = H5Screate_simple(2, extent, NULL);
    float value = 2.5F, data[60];
    H5Pset_fill_value(creation, H5T_NATIVE_FLOAT, &value);
    H5Dclose(H5Dcreate2(file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    H5Pclose(creation), H5Sclose(space), H5Fclose(file);
    lloyd_rows *rows = open_one("n.h5");
    assert_int_equal(lloyd_rows_read(rows, 0, 20, data), LLOYD_OK);
    for (int i = 0; i < 60; i++) assert_true(data[i] == value);
    lloyd_rows_close(rows);
}

static void plain_external(void **state)
{
    (void)state;
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(creation, "a.bin", 16, 1000000);
    H5Pset_external(creation, "b.bin", 7, 3);
    H5Pset_external(creation, "a.bin", 2000001, 1500001);
    H5Pset_external(creation, "c.bin", 0, H5F_UNLIMITED);
    put("x.h5", "x", H5Tcopy(H5T_IEEE_F32LE), creation, 30011, 67);
    for (int direct = 0; direct < 2; direct++) {
        if (direct) setenv("LLOYD_DIRECT_IO", "1", 1);
        reset();
        check_same("x.h5", "x");
        assert_int_equal(reads.unaligned, 0);
    }
    lloyd_rows *rows = open_one("x.h5");
    char *data = malloc((size_t)30011 * 67 * 4);
    assert_int_equal(lloyd_rows_read(rows, 0, 1, data), LLOYD_OK);
    assert_int_equal(lloyd_rows_check(rows, 0, 30011), LLOYD_OK);
    assert_int_equal(truncate("c.bin", 67 * 4 * 1000), 0);
    /* a, b and a hold 2,500,004 bytes: 9328 rows and 100 bytes. */
    check_failed(lloyd_rows_read(rows, 0, 30011, data), LLOYD_BAD_INPUT, "row 10328 of x.h5:/x",
                 "c.bin ends after 268000 bytes", "truncated");
    assert_int_equal(lloyd_rows_read(rows, 0, 10328, data), LLOYD_OK);
    check_failed(lloyd_rows_check(rows, 0, 1), LLOYD_BAD_INPUT, "c.bin", "was truncated", "again");
    rename("c.bin", "d.bin");
    rename("b.bin", "e.bin");
    check_failed(lloyd_rows_read(rows, 0, 30011, data), LLOYD_BAD_INPUT, "b.bin",
                 "cannot be opened: No such file", "x.h5");
    free(data);
    lloyd_rows_close(rows);
}

static void plain_failures(void **state)
{
    (void)state;
    enum { N = 30000, D = 64 }; /* 7.7 MB */
    put("a.h5", "x", H5Tcopy(H5T_IEEE_F32LE), H5P_DEFAULT, N, D);
    put("b.h5", "x", H5Tcopy(H5T_IEEE_F32BE), H5P_DEFAULT, N, D);
    put("c.h5", "x", H5Tcopy(H5T_IEEE_F32LE), chunks(100, D, NO_FILTER), N, D);
    put("d.h5", "x", H5Tcopy(H5T_IEEE_F32LE), chunks(100, D, DEFLATE), N, D);
    const char *files[] = {"a.h5", "b.h5", "c.h5", "d.h5"};
    char *data = malloc((size_t)N * D * 4);
    for (int i = 0; i < 4; i++) {
        for (int direct = 0; direct < 2; direct++) {
            setenv("LLOYD_DIRECT_IO", direct ? "1" : "0", 1);
            lloyd_rows *rows = open_one(files[i]);
            assert_int_equal(lloyd_rows_read(rows, 0, 10, data), LLOYD_OK);
            for (int n = 1; n <= 3; n++) {
                reset();
                reads.fail_from = n;
                lloyd_status status = lloyd_rows_read(rows, 0, N, data);
                if (reads.calls < n) continue; /* HDF5 reads all with fewer */
                if (i == 0)
                    check_failed(status, LLOYD_FAILED, "cannot read row", "Input/output error",
                                 "a.h5:/x");
                else
                    check_failed(status, LLOYD_BAD_INPUT, "cannot read rows", files[i], NULL);
            }
            reset();
            assert_int_equal(lloyd_rows_read(rows, 0, N, data), LLOYD_OK); /* as if nothing was */
            struct stat info;
            assert_int_equal(stat(files[i], &info), 0);
            if (direct) {
                assert_int_equal(truncate(files[i], info.st_size / 2), 0);
                lloyd_status status = lloyd_rows_read(rows, 0, N, data);
                if (i == 0) {
                    char row[64];
                    int64_t offset = info.st_size - (int64_t)N * D * 4;
                    snprintf(row, sizeof row, "row %ld of a.h5:/x",
                             (long)((info.st_size / 2 - offset) / (D * 4)));
                    check_failed(status, LLOYD_BAD_INPUT, row, "truncated", NULL);
                } else {
                    check_failed(status, LLOYD_BAD_INPUT, "was truncated while it was read",
                                 files[i], NULL);
                }
            }
            lloyd_rows_close(rows);
        }
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(pool),
                                       TEST(plain_same),
                                       TEST(plain_threads),
                                       TEST(plain_user_block),
                                       TEST(plain_unwritten),
                                       TEST(plain_external),
                                       TEST(plain_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
