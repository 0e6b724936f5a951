/* Reading past HDF5 against HDF5: the same rows for every storage, any range, any way in which the
 * system answers a read; and reading ahead. pread() and uncompress() are replaced here, to fail as
 * a system does and to see who is called. */
#include "base/memory.h"
#include "io/readahead.h"
#include "io/rows.h"
#include "io/threads.h"
#include "io/writers/array.h"
#include "io/writers/output.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <hdf5.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

/* ---- The system, replaced ------------------------------------------------------------------- */

static struct {
    atomic_int calls;     /* of pread() since reset() */
    atomic_int threads;   /* of them, by other threads than main's */
    atomic_int unaligned; /* of them, on a descriptor with O_DIRECT and not of whole blocks */
    atomic_int direct;    /* of them, on such a descriptor */
    atomic_int inflated;  /* calls of uncompress() */
    size_t most;          /* bytes a call reads at most; 0: all */
    int interrupt;        /* every second call fails with EINTR */
    int fail_from;        /* from that call (1, 2, ...) on all fail with EIO; 0: none */
    int slow;             /* microseconds that a call takes longer */
    int slow_hdf5;        /* and one of H5Dget_chunk_storage_size() */
    atomic_int in_hdf5;   /* threads that are there now */
    atomic_int together;  /* times that one was not alone there */
    pthread_t main;
} reads;

static void reset(void)
{
    memset(&reads, 0, sizeof reads);
    reads.main = pthread_self();
}

ssize_t pread(int descriptor, void *out, size_t bytes, off_t at)
{
    int call = ++reads.calls;
    if (!pthread_equal(pthread_self(), reads.main)) reads.threads++;
    if (fcntl(descriptor, F_GETFL) & O_DIRECT) {
        reads.direct++;
        if (((uintptr_t)out | bytes | (size_t)at) % 512 != 0) reads.unaligned++;
    }
    if (reads.slow > 0) usleep((useconds_t)reads.slow);
    if (reads.fail_from > 0 && call >= reads.fail_from) {
        errno = EIO;
        return -1;
    }
    if (reads.interrupt && call % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    ssize_t got = syscall(SYS_pread64, descriptor, out, bytes, at);
    return reads.most > 0 && got > (ssize_t)reads.most ? (ssize_t)reads.most : got;
}

int uncompress(Bytef *out, uLongf *bytes, const Bytef *in, uLong in_bytes)
{
    static int (*real)(Bytef *, uLongf *, const Bytef *, uLong);
    reads.inflated++;
    if (!real) {
        void *symbol = dlsym(RTLD_NEXT, "uncompress");
        memcpy(&real, &symbol, sizeof real);
    }
    return real(out, bytes, in, in_bytes);
}

herr_t H5Dget_chunk_storage_size(hid_t set, const hsize_t *at, hsize_t *bytes)
{
    static herr_t (*real)(hid_t, const hsize_t *, hsize_t *);
    if (++reads.in_hdf5 > 1) reads.together++;
    if (reads.slow_hdf5 > 0) usleep((useconds_t)reads.slow_hdf5);
    if (!real) {
        void *symbol = dlsym(RTLD_NEXT, "H5Dget_chunk_storage_size");
        memcpy(&real, &symbol, sizeof real);
    }
    herr_t result = real(set, at, bytes);
    reads.in_hdf5--;
    return result;
}

/* ---- Helpers -------------------------------------------------------------------------------- */

static uint64_t random_state;
static int64_t below(int64_t limit)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return (int64_t)((random_state >> 33) % (uint64_t)limit);
}

static int remove_entry(const char *path, const struct stat *info, int flag, struct FTW *walk)
{
    (void)info, (void)flag, (void)walk;
    return remove(path);
}

static char home[4096];

static int enter(void **state)
{
    (void)state;
    const char *folder = getenv("TMPDIR");
    int length =
        snprintf(home, sizeof home, "%s/lloyd-test-read-XXXXXX", folder != NULL ? folder : "/tmp");
    if (length < 0 || (size_t)length >= sizeof home) return -1;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    reset();
    random_state = 1;
    return mkdtemp(home) && chdir(home) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    reset();
    unsetenv("LLOYD_DIRECT_IO");
    if (chdir("/") != 0) return -1;
    return nftw(home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static lloyd_rows *open_one(const char *input)
{
    lloyd_rows *rows;
    lloyd_status status = lloyd_rows_open(&input, 1, &rows);
    if (status != LLOYD_OK) fail_msg("%s", lloyd_message());
    return rows;
}

/* The last call has failed like that, with these words (up to three) in its message. */
static void check_failed(lloyd_status got, lloyd_status expected, const char *a, const char *b,
                         const char *c)
{
    const char *words[3] = {a, b, c};
    if (got != expected) fail_msg("status %d, not %d: %s", got, expected, lloyd_message());
    for (int i = 0; i < 3; i++)
        if (words[i] && !strstr(lloyd_message(), words[i]))
            fail_msg("'%s' is not in: %s", words[i], lloyd_message());
    if (getenv("SHOW_MESSAGES")) printf("    %s\n", lloyd_message());
}

/* The whole dataset as HDF5 reads it; free with free(). */
static char *all_rows(const char *path, const char *name, int64_t *n, int64_t *row_bytes)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT), type = H5Dget_type(set),
          space = H5Dget_space(set), native = H5Tcopy(type);
    H5Tset_order(native, H5Tget_order(H5T_NATIVE_FLOAT));
    hsize_t extent[2];
    assert_int_equal(H5Sget_simple_extent_dims(space, extent, NULL), 2);
    *n = (int64_t)extent[0];
    *row_bytes = (int64_t)(extent[1] * H5Tget_size(type));
    char *data = calloc((size_t)*n, (size_t)*row_bytes);
    assert_true(H5Dread(set, native, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Tclose(native), H5Tclose(type), H5Sclose(space), H5Dclose(set), H5Fclose(file);
    return data;
}

/* Reads ranges, in order, at random and whole, and compares with what HDF5 reads. */
static void check_same(const char *path, const char *name)
{
    int64_t n, row_bytes;
    char *expected = all_rows(path, name, &n, &row_bytes), input[300];
    char *got = malloc((size_t)(n * row_bytes));
    snprintf(input, sizeof input, "%s:%s", path, name);
    lloyd_rows *rows = open_one(input);
    assert_int_equal(lloyd_rows_count(rows), n);
    int64_t step = 1 + below(n);
    for (int i = 0; i < 40; i++) {
        int64_t first = i < 20 ? below(n) : (i - 20) * step % n, count = 1 + below(n - first);
        if (i == 0) first = 0, count = n;
        if (i >= 20 && count > step) count = step;
        memset(got, 0x5a, (size_t)(n * row_bytes));
        if (lloyd_rows_read(rows, first, count, got) != LLOYD_OK) fail_msg("%s", lloyd_message());
        if (memcmp(got, expected + first * row_bytes, (size_t)(count * row_bytes)) != 0)
            fail_msg("%s: rows %ld + %ld of %ld differ", input, (long)first, (long)count, (long)n);
        for (int64_t b = count * row_bytes; b < n * row_bytes && b < count * row_bytes + 64; b++)
            assert_int_equal(got[b], 0x5a); /* nothing is written behind */
    }
    lloyd_rows_close(rows);
    free(got), free(expected);
}

/* Random bytes as a dataset; `type` and `creation` are closed. */
static void put(const char *path, const char *name, hid_t type, hid_t creation, int64_t n,
                int64_t d)
{
    hid_t file = access(path, F_OK) == 0 ? H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT)
                                         : H5Fcreate(path, H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT);
    hsize_t extent[2] = {(hsize_t)n, (hsize_t)d}, most[2] = {H5S_UNLIMITED, H5S_UNLIMITED};
    int chunked = creation != H5P_DEFAULT && H5Pget_layout(creation) == H5D_CHUNKED;
    hid_t space = H5Screate_simple(2, extent, chunked ? most : NULL);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    assert_true(set >= 0);
    int64_t bytes = n * d * (int64_t)H5Tget_size(type);
    char *data = malloc((size_t)bytes);
    for (int64_t i = 0; i < bytes; i++) data[i] = (char)(below(7) * (i % 3)); /* compressible */
    assert_true(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    free(data);
    H5Dclose(set), H5Sclose(space), H5Tclose(type), H5Fclose(file);
    if (creation != H5P_DEFAULT) H5Pclose(creation);
}

enum { NO_FILTER, DEFLATE, SHUFFLE, BOTH, FLETCHER, FILTERS };

static hid_t chunks(int64_t rows, int64_t columns, int filter)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t chunk[2] = {(hsize_t)rows, (hsize_t)columns};
    H5Pset_chunk(creation, 2, chunk);
    if (filter == SHUFFLE || filter == BOTH) H5Pset_shuffle(creation);
    if (filter == DEFLATE || filter == BOTH) H5Pset_deflate(creation, 4);
    if (filter == FLETCHER) H5Pset_fletcher32(creation);
    return creation;
}

static hid_t f16(void)
{
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
    return type;
}

/* ---- Threads -------------------------------------------------------------------------------- */

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

/* ---- Plain rows ----------------------------------------------------------------------------- */

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

/* ---- Packed rows ---------------------------------------------------------------------------- */

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

/* ---- Reading ahead -------------------------------------------------------------------------- */

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pool),
        TEST(plain_same),
        TEST(plain_threads),
        TEST(plain_user_block),
        TEST(plain_unwritten),
        TEST(plain_external),
        TEST(plain_failures),
        TEST(packed_same),
        TEST(packed_once),
        TEST(packed_alone),
        TEST(packed_odd_chunks),
        TEST(packed_unwritten),
        TEST(packed_edge_option),
        TEST(packed_damaged),
        TEST(ahead_same),
        TEST(ahead_failures),
        TEST(ahead_of_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
