/* Reading ahead. */
#include "replaced.h"

#include "base/memory.h"
#include "io/readahead.h"
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

enum { AHEAD_N = 5000, AHEAD_D = 16, AHEAD_PIECE = 130, BUFFERS = 3 };

static void ahead_same(void **state)
{
    (void)state;
    put("p.h5", "x", H5Tcopy(H5T_IEEE_F32LE), chunks(64, AHEAD_D, BOTH), AHEAD_N, AHEAD_D);
    put("c.h5", "x", H5Tcopy(H5T_IEEE_F32LE), H5P_DEFAULT, AHEAD_N, AHEAD_D);
    put("b.h5", "x", H5Tcopy(H5T_IEEE_F32BE), H5P_DEFAULT, AHEAD_N, AHEAD_D);
    const char *files[] = {"p.h5", "c.h5", "b.h5"};
    int64_t row_bytes = AHEAD_D * 4, n;
    for (int f = 0; f < 3; f++) {
        char *expected = all_rows(files[f], "x", &n, &row_bytes);
        lloyd_rows *rows = open_one(files[f]);
        lloyd_readahead *ahead;
        void *buffers[BUFFERS];
        for (int b = 0; b < BUFFERS; b++) buffers[b] = malloc((size_t)(AHEAD_PIECE * row_bytes));
        assert_int_equal(lloyd_readahead_open(rows, buffers, BUFFERS, &ahead), LLOYD_OK);
        for (int pass = 0; pass < 4; pass++) { /* more ranges than the queue has at first */
            for (int64_t i = 0; i < AHEAD_N; i += AHEAD_PIECE)
                assert_int_equal(lloyd_readahead_queue(ahead, i,
                                                       AHEAD_N - i < AHEAD_PIECE ? AHEAD_N - i
                                                                                 : AHEAD_PIECE),
                                 LLOYD_OK);
        }
        int held = -1;
        for (int pass = 0; pass < 4; pass++)
            for (int64_t i = 0; i < AHEAD_N; i += AHEAD_PIECE) {
                int buffer;
                const void *data;
                int64_t count = AHEAD_N - i < AHEAD_PIECE ? AHEAD_N - i : AHEAD_PIECE;
                if (lloyd_readahead_take(ahead, &buffer, &data) != LLOYD_OK)
                    fail_msg("%s", lloyd_message());
                assert_true(buffer != held && data == buffers[buffer]);
                assert_memory_equal(data, expected + i * row_bytes, (size_t)(count * row_bytes));
                if (held >= 0) lloyd_readahead_release(ahead, held); /* one later than taken */
                held = buffer;
                /* Meanwhile others read, and write through HDF5. */
                char row[AHEAD_D * 4];
                if (i % 7 == 0) {
                    assert_int_equal(lloyd_rows_read(rows, i, 1, row), LLOYD_OK);
                    assert_memory_equal(row, expected + i * row_bytes, (size_t)row_bytes);
                    lloyd_output output;
                    assert_int_equal(lloyd_output_open("o.h5", 0, &output), LLOYD_OK);
                    assert_int_equal(lloyd_output_create(&output, "labels", 81), LLOYD_OK);
                    assert_int_equal(lloyd_array_create(&output, "/l", LLOYD_ARRAY_U8, 9, 9),
                                     LLOYD_OK);
                    lloyd_output_discard(&output);
                    lloyd_output_close(&output);
                }
            }
        int buffer;
        const void *data;
        check_failed(lloyd_readahead_take(ahead, &buffer, &data), LLOYD_FAILED, "none are queued",
                     "mistake", NULL);
        lloyd_readahead_release(ahead, held);
        lloyd_readahead_close(ahead);
        lloyd_rows_close(rows);
        for (int b = 0; b < BUFFERS; b++) free(buffers[b]);
        free(expected);
    }
}

static void ahead_failures(void **state)
{
    (void)state;
    put("c.h5", "x", H5Tcopy(H5T_IEEE_F32LE), H5P_DEFAULT, 1000, 16);
    lloyd_rows *rows = open_one("c.h5");
    lloyd_readahead *ahead;
    float a[1600], b[1600];
    void *buffers[2] = {a, b};
    const void *data;
    int one, two;
    assert_int_equal(lloyd_readahead_open(rows, buffers, 2, &ahead), LLOYD_OK);
    lloyd_readahead_queue(ahead, 0, 100);
    lloyd_readahead_queue(ahead, 1000, 100); /* there are none */
    lloyd_readahead_queue(ahead, 100, 100);
    lloyd_readahead_queue(ahead, 200, 100);
    assert_int_equal(lloyd_readahead_take(ahead, &one, &data), LLOYD_OK);
    lloyd_fail(LLOYD_OK, "another message of this thread");
    check_failed(lloyd_readahead_take(ahead, &two, &data), LLOYD_FAILED, "[1000, 1000 + 100)",
                 "of 1000", NULL);
    assert_int_equal(lloyd_readahead_take(ahead, &two, &data), LLOYD_OK);
    assert_true(one != two);
    check_failed(lloyd_readahead_take(ahead, &two, &data), LLOYD_FAILED, "all buffers are taken",
                 "mistake", NULL);
    lloyd_readahead_release(ahead, one);
    assert_int_equal(lloyd_readahead_take(ahead, &one, &data), LLOYD_OK);
    /* Closing forgets what waits, and a failure that nobody asked for. */
    reset();
    reads.slow = 20000;
    lloyd_readahead_release(ahead, one);
    lloyd_readahead_queue(ahead, 1000, 1);
    for (int i = 0; i < 500; i++) lloyd_readahead_queue(ahead, i, 1);
    usleep(50000);
    lloyd_readahead_close(ahead);
    assert_true(reads.calls < 100);
    lloyd_readahead_close(NULL);
    lloyd_rows_close(rows);
}

/* The thread reads while nobody waits for it. */
static void ahead_of_use(void **state)
{
    (void)state;
    put("c.h5", "x", H5Tcopy(H5T_IEEE_F32LE), H5P_DEFAULT, 1000, 16);
    lloyd_rows *rows = open_one("c.h5");
    lloyd_readahead *ahead;
    float a[1600], b[1600];
    void *buffers[2] = {a, b};
    const void *data;
    int buffer;
    assert_int_equal(lloyd_rows_read(rows, 0, 1, a), LLOYD_OK); /* opens the file */
    assert_int_equal(lloyd_readahead_open(rows, buffers, 2, &ahead), LLOYD_OK);
    reset();
    for (int i = 0; i < 5; i++) lloyd_readahead_queue(ahead, 100 * i, 100);
    for (int wait = 0; reads.calls < 2 && wait < 5000; wait++) usleep(1000);
    usleep(20000);
    assert_int_equal(reads.calls, 2); /* as many as there are buffers, and no more */
    assert_int_equal(lloyd_readahead_take(ahead, &buffer, &data), LLOYD_OK);
    lloyd_readahead_release(ahead, buffer);
    for (int wait = 0; reads.calls < 3 && wait < 5000; wait++) usleep(1000);
    assert_int_equal(reads.calls, 3);
    lloyd_readahead_close(ahead);
    lloyd_rows_close(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(ahead_same), TEST(ahead_failures), TEST(ahead_of_use)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
