/* Rows in chunks, against HDF5. */
#include "replaced.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static void packed_same(void **state)
{
    (void)state;
    enum { N = 101, D = 11 };
    static const int64_t shapes[][2] = {{10, D}, {32, 4}, {N, D}, {150, 30}, {1, 1}, {N, 1}};
    hid_t types[] = {H5T_IEEE_F32LE, H5T_STD_U8LE, f16(), H5T_IEEE_F32BE};
    for (int t = 0; t < 4; t++)
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
            for (int filter = 0; filter < FILTERS; filter++) {
                reset();
                put("p.h5", "x", H5Tcopy(types[t]), chunks(shapes[s][0], shapes[s][1], filter), N,
                    D);
                check_same("p.h5", "x");
                int deflated = filter == DEFLATE || filter == BOTH;
                assert_int_equal(reads.inflated > 0, deflated && t != 3);
                remove("p.h5");
            }
    H5Tclose(types[2]);
}

static void packed_once(void **state)
{
    (void)state;
    enum { N = 1000, D = 64 };
    static const int64_t shapes[][2] = {{100, D}, {100, 5}, {7, 1}, {1000, D}, {333, 20}};
    char *data = malloc((size_t)N * D * 4);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        put("o.h5", "x", H5Tcopy(H5T_IEEE_F32LE), chunks(shapes[s][0], shapes[s][1], BOTH), N, D);
        int64_t all = ((N - 1) / shapes[s][0] + 1) * ((D - 1) / shapes[s][1] + 1);
        static const int64_t pieces[] = {1, 37, 100, 450, N};
        for (int p = 0; p < 5; p++) {
            lloyd_rows *rows = open_one("o.h5");
            reset();
            for (int64_t first = 0; first < N; first += pieces[p])
                assert_int_equal(lloyd_rows_read(rows, first,
                                                 N - first < pieces[p] ? N - first : pieces[p],
                                                 data),
                                 LLOYD_OK);
            assert_int_equal(reads.inflated, all);
            lloyd_rows_close(rows);
        }
        remove("o.h5");
    }
    free(data);
}

/* Threads that unpack call HDF5 one at a time. */
static void packed_alone(void **state)
{
    (void)state;
    put("p.h5", "x", H5Tcopy(H5T_IEEE_F32LE), chunks(10, 64, DEFLATE), 1000, 64);
    lloyd_rows *rows = open_one("p.h5");
    char *data = malloc(1000 * 64 * 4);
    reset();
    reads.slow_hdf5 = 500;
    for (int i = 0; i < 3; i++) assert_int_equal(lloyd_rows_read(rows, 0, 1000, data), LLOYD_OK);
    assert_int_equal(reads.together, 0);
    free(data);
    lloyd_rows_close(rows);
}

/* Chunks written as they are: without some filters, missing, compressed carelessly. */
static void packed_odd_chunks(void **state)
{
    (void)state;
    enum { N = 64, D = 6, ROWS = 8, COLUMNS = 4, ELEMENTS = ROWS * COLUMNS };
    for (int filled = 0; filled < 3; filled++) {
        hid_t file = H5Fcreate("m.h5", H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
              creation = chunks(ROWS, COLUMNS, BOTH);
        hsize_t extent[2] = {N, D};
        hid_t space = H5Screate_simple(2, extent, NULL);
        float value = -7.25F;
        if (filled == 1) H5Pset_fill_value(creation, H5T_NATIVE_FLOAT, &value);
        if (filled == 2) H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER);
        hid_t set =
            H5Dcreate2(file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
        float shuffled[ELEMENTS], plain[ELEMENTS];
        for (int c = 0; c < 2 * N / ROWS; c++) {
            hsize_t at[2] = {(hsize_t)(c / 2 * ROWS), (hsize_t)(c % 2 * COLUMNS)};
            for (int i = 0; i < ELEMENTS; i++) plain[i] = (float)(1000 * c + i);
            for (int i = 0; i < ELEMENTS * 4; i++)
                ((char *)shuffled)[i % 4 * ELEMENTS + i / 4] = ((char *)plain)[i];
            char packed[4096];
            uLongf bytes = sizeof packed;
            unsigned mask = (unsigned)(c % 5); /* 4: as 0, but wastefully */
            const float *in = mask & 1 ? plain : shuffled;
            if (c % 7 == 3) continue; /* not written */
            if (mask == 4) {
                z_stream z = {.next_in = (Bytef *)shuffled,
                              .next_out = (Bytef *)packed,
                              .avail_out = sizeof packed};
                deflateInit(&z, 0);
                for (int i = 0; i < ELEMENTS * 4; i += 16) {
                    z.avail_in = 16;
                    deflate(&z, i + 16 < ELEMENTS * 4 ? Z_FULL_FLUSH : Z_FINISH);
                }
                bytes = z.total_out;
                deflateEnd(&z);
                assert_true(bytes > compressBound(sizeof plain));
                mask = 0;
            } else if (mask & 2) {
                memcpy(packed, in, bytes = sizeof plain);
            } else {
                assert_int_equal(compress((Bytef *)packed, &bytes, (const Bytef *)in, sizeof plain),
                                 Z_OK);
            }
            assert_true(H5Dwrite_chunk(set, H5P_DEFAULT, mask, at, bytes, packed) >= 0);
        }
        H5Dclose(set), H5Pclose(creation), H5Sclose(space), H5Fclose(file);
        reset();
        check_same("m.h5", "x");
        assert_true(reads.inflated > 0);
    }
}

/* A dataset of which nothing was written, and one that was made larger since. */
static void packed_unwritten(void **state)
{
    (void)state;
    hid_t file = H5Fcreate("e.h5", H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT),
          creation = chunks(16, 3, DEFLATE);
    hsize_t extent[2] = {50, 5}, more[2] = {100, 5}, most[2] = {H5S_UNLIMITED, 5};
    hid_t space = H5Screate_simple(2, extent, most);
    float value = 3, data[250];
    for (int i = 0; i < 250; i++) data[i] = (float)i;
    H5Pset_fill_value(creation, H5T_NATIVE_FLOAT, &value);
    H5Dclose(H5Dcreate2(file, "empty", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    hid_t set =
        H5Dcreate2(file, "grown", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    H5Dset_extent(set, more);
    H5Dclose(set), H5Sclose(space), H5Pclose(creation), H5Fclose(file);
    check_same("e.h5", "empty");
    check_same("e.h5", "grown");
}

/* Edge chunks without filters, which HDF5's newest format can do. */
static void packed_edge_option(void **state)
{
    (void)state;
    hid_t access_list = H5Pcreate(H5P_FILE_ACCESS), creation = chunks(16, 3, DEFLATE);
    H5Pset_libver_bounds(access_list, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    H5Fclose(H5Fcreate("l.h5", H5F_ACC_EXCL, H5P_DEFAULT, access_list));
    H5Pset_chunk_opts(creation, H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS);
    put("l.h5", "edges", H5Tcopy(H5T_IEEE_F32LE), creation, 50, 5);
    put("l.h5", "latest", H5Tcopy(H5T_IEEE_F32LE), chunks(16, 3, DEFLATE), 50, 5);
    H5Pclose(access_list);
    check_same("l.h5", "edges");
    reset();
    check_same("l.h5", "latest");
    assert_true(reads.inflated > 0);
}

/* Chunks that are wrong: each is an error that names the rows, none a wrong row. */
static void packed_damaged(void **state)
{
    (void)state;
    enum { ROWS = 10, D = 8, BYTES = ROWS * D * 4 };
    static const struct {
        int filter;
        uLong inflated; /* bytes that are compressed; 0: rubbish is written */
        size_t bytes;   /* of rubbish */
        unsigned mask;
        const char *word;
    } bad[] = {{DEFLATE, BYTES - 4, 0, 0, "another size"},
               {DEFLATE, BYTES + 4, 0, 0, "not inflate"},
               {DEFLATE, 0, 50, 0, "not inflate"},
               {DEFLATE, 0, 50, 1, "number of bytes"},
               {DEFLATE, 0, 3000, 0, "more bytes than"},
               {BOTH, BYTES / 2, 0, 0, "another size"},
               {BOTH, 0, BYTES - 1, 2, "number of bytes"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put("w.h5", "x", H5Tcopy(H5T_IEEE_F32LE), chunks(ROWS, D, bad[i].filter), 100, D);
        hid_t file = H5Fopen("w.h5", H5F_ACC_RDWR, H5P_DEFAULT),
              set = H5Dopen2(file, "x", H5P_DEFAULT);
        hsize_t at[2] = {50, 0};
        char content[2 * BYTES] = {0}, packed[4096] = "rubbish";
        uLongf bytes = sizeof packed;
        if (bad[i].inflated > 0)
            compress((Bytef *)packed, &bytes, (Bytef *)content, bad[i].inflated);
        else
            bytes = bad[i].bytes;
        assert_true(H5Dwrite_chunk(set, H5P_DEFAULT, bad[i].mask, at, bytes, packed) >= 0);
        H5Dclose(set), H5Fclose(file);
        lloyd_rows *rows = open_one("w.h5");
        float data[100 * D];
        check_failed(lloyd_rows_read(rows, 0, 100, data), LLOYD_BAD_INPUT, "rows 50 to 59 of",
                     "w.h5:/x", bad[i].word);
        /* What was unpacked before is not taken for what it was after a failure. */
        float before[D], after[D];
        assert_int_equal(lloyd_rows_read(rows, 45, 1, before), LLOYD_OK);
        check_failed(lloyd_rows_read(rows, 55, 1, data), LLOYD_BAD_INPUT, "rows 50 to 59 of",
                     bad[i].word, NULL);
        assert_int_equal(lloyd_rows_read(rows, 45, 1, after), LLOYD_OK);
        assert_memory_equal(before, after, sizeof before);
        assert_int_equal(lloyd_rows_read(rows, 60, 40, data), LLOYD_OK);
        lloyd_rows_close(rows);
        remove("w.h5");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(packed_same),      TEST(packed_once),
                                       TEST(packed_alone),     TEST(packed_odd_chunks),
                                       TEST(packed_unwritten), TEST(packed_edge_option),
                                       TEST(packed_damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
