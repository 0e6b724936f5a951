/* Damaged HDF5 files: cut off at every 512 bytes, and with bits flipped, a few hundred times.
 *
 * Every case runs in a child with a time limit. It must end in an error with a message, or in rows
 * that are right:
 *   - cut off: right is what was written.
 *   - flipped, in files of HDF5's newest format (all metadata have checksums) and in compressed rows
 *     (zlib has one): right is what was written.
 *   - flipped, elsewhere: nothing says that the file is not meant like that, so right is what HDF5
 *     alone, in another child, reads from the same file, or what was written.
 * Nothing of HDF5 may stay open after an error. Where the child crashes or does not end, HDF5 alone is
 * run on the same file, without a function of lloyd: if it does so too, the defect is HDF5's. These
 * are counted and printed, and must be few; any other crash fails the test. */
#include "io/rows.h"

#include <fcntl.h>
#include <ftw.h>
#include <hdf5.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 96, D = 12, BYTES = N * D * 4, SECONDS = 20, FLIPS = 120, HDF5_AT_MOST = 20 };
enum { RIGHT_AS_WRITTEN, RIGHT_AS_HDF5 };

/* What a child has read, in memory shared with it. */
typedef struct outcome {
    enum { DIED, FAILED, READ } end; /* a child that does not come to its end has died */
    int64_t n, d;
    char data[BYTES];
} outcome;

static outcome *ours, *hdf5s;
static float written[N * D];
static int died_in_hdf5, cases, errors;

/* ---- Children ------------------------------------------------------------------------------- */

static hsize_t open_objects(void)
{
    static const H5I_type_t types[] = {H5I_FILE, H5I_GROUP, H5I_DATASET, H5I_ATTR};
    hsize_t all = 0, count = 0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (H5Inmembers(types[i], &count) >= 0) all += count;
    return all;
}

static void read_ours(const char *input)
{
    lloyd_rows *rows;
    lloyd_status status = lloyd_rows_open(&input, 1, &rows);
    if (status == LLOYD_OK) {
        ours->n = lloyd_rows_count(rows);
        ours->d = lloyd_rows_dim(rows);
        int64_t fit = BYTES / (ours->d * (int64_t)lloyd_type_size(lloyd_rows_type(rows)));
        status = lloyd_rows_read(rows, 0, ours->n < fit ? ours->n : fit, ours->data);
        if (status == LLOYD_OK && ours->n > fit) /* and the end, of a shape that has grown */
            status = lloyd_rows_read(rows, ours->n - fit, fit, calloc(BYTES, 1));
        lloyd_rows_close(rows);
    }
    if (open_objects() != 0) abort();
    if (status != LLOYD_OK && lloyd_message()[0] == '\0') abort();
    ours->end = status == LLOYD_OK ? READ : FAILED;
}

static void read_hdf5s(const char *path)
{
    hsize_t extent[32] = {0}, start[2] = {0, 0};
    hdf5s->end = FAILED;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) return;
    hid_t access_list = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_efile_prefix(access_list, "${ORIGIN}");
    hid_t set = H5Dopen2(file, "x", access_list);
    hid_t space = set < 0 ? H5I_INVALID_HID : H5Dget_space(set);
    if (space < 0 || H5Sget_simple_extent_ndims(space) != 2) return;
    H5Sget_simple_extent_dims(space, extent, NULL);
    hid_t stored = H5Dget_type(set), native = H5Tcopy(stored);
    H5Tset_order(native, H5Tget_order(H5T_NATIVE_FLOAT));
    hdf5s->n = (int64_t)extent[0];
    hdf5s->d = (int64_t)extent[1];
    hsize_t row = extent[1] * H5Tget_size(native);
    if (row == 0 || row > BYTES) return;
    if (extent[0] > BYTES / row) extent[0] = BYTES / row;
    hid_t memory = H5Screate_simple(2, extent, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, extent, NULL);
    if (H5Dread(set, native, memory, space, H5P_DEFAULT, hdf5s->data) >= 0) hdf5s->end = READ;
}

/* Runs a reader in a child; in one that dies, `end` stays DIED. */
static void run(outcome *result, void (*read_all)(const char *), const char *input)
{
    memset(result, 0, sizeof *result);
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY);
        if (!getenv("SHOW_MESSAGES")) dup2(nowhere, 2);
        signal(SIGALRM, SIG_DFL);
        signal(SIGSEGV, SIG_DFL); /* cmocka's */
        signal(SIGABRT, SIG_DFL);
        alarm(SECONDS);
        read_all(input);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) result->end = DIED;
}

static int same(const outcome *a, int64_t n, int64_t d, const void *data)
{
    return a->n == n && a->d == d && memcmp(a->data, data, BYTES) == 0;
}

/* One case; `what` and `place` name it. */
static void judge(const char *path, int right, const char *what, long place)
{
    char input[64];
    snprintf(input, sizeof input, "%s%s", path, cases % 2 ? ":/x" : "");
    cases++;
    run(ours, read_ours, input);
    errors += ours->end == FAILED;
    if (ours->end == FAILED || (ours->end == READ && same(ours, N, D, written))) return;
    run(hdf5s, read_hdf5s, path);
    if (ours->end == DIED && hdf5s->end == DIED) {
        died_in_hdf5++;
        return;
    }
    if (ours->end == READ && right == RIGHT_AS_HDF5 && hdf5s->end == READ &&
        same(ours, hdf5s->n, hdf5s->d, hdf5s->data))
        return;
    fail_msg("%s, %s %ld: %s; HDF5 alone: %s", input, what, place,
             ours->end == DIED ? "a crash" : "wrong rows",
             hdf5s->end == DIED   ? "a crash"
             : hdf5s->end == READ ? "rows"
                                  : "an error");
}

/* ---- Files ---------------------------------------------------------------------------------- */

static char *get_bytes(const char *path, long *bytes)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *bytes = ftell(file);
    rewind(file);
    char *data = malloc((size_t)*bytes);
    assert_int_equal(fread(data, 1, (size_t)*bytes, file), *bytes);
    fclose(file);
    return data;
}

static void put_bytes(const char *path, const char *data, long bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, (size_t)bytes, file), bytes);
    fclose(file);
}

/* Damages file `path`, of the dataset in `head`, in every way; flips at [from, to). */
static void damage(const char *head, const char *path, int right, long from, long to)
{
    long bytes;
    char *data = get_bytes(path, &bytes);
    uint32_t random = 1;
    for (long cut = 0; cut < bytes; cut += 512) {
        put_bytes(path, data, cut);
        judge(head, RIGHT_AS_WRITTEN, "cut off at byte", cut);
    }
    if (to == 0) to = bytes;
    for (int i = 0; i < FLIPS; i++) {
        random = random * 1664525U + 1013904223U;
        long at = from + (long)(random >> 8) % (to - from);
        char before = data[at];
        data[at] = (char)(i % 3 == 0 ? before ^ (1 << (random >> 5) % 8) : (int)(random >> 3));
        put_bytes(path, data, bytes);
        judge(head, right, "another value of byte", at);
        data[at] = before;
    }
    put_bytes(path, data, bytes);
    free(data);
    run(ours, read_ours, head);
    assert_true(ours->end == READ && same(ours, N, D, written));
}

/* A file with the rows in dataset x. */
static void put(const char *path, int latest, hid_t creation)
{
    hid_t access_list = H5Pcreate(H5P_FILE_ACCESS);
    hsize_t extent[2] = {N, D};
    if (latest) H5Pset_libver_bounds(access_list, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access_list),
          space = H5Screate_simple(2, extent, NULL);
    hid_t set = H5Dcreate2(file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    assert_true(set >= 0);
    assert_true(H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, written) >= 0);
    H5Dclose(set), H5Sclose(space), H5Fclose(file), H5Pclose(access_list);
    if (creation != H5P_DEFAULT) H5Pclose(creation);
}

static hid_t chunks(int deflate)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t chunk[2] = {20, 7};
    H5Pset_chunk(creation, 2, chunk);
    if (deflate) {
        H5Pset_shuffle(creation);
        H5Pset_deflate(creation, 1);
    }
    return creation;
}

/* Where the rows of a contiguous dataset begin. */
static long rows_begin(const char *path)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), set = H5Dopen2(file, "x", H5P_DEFAULT);
    long begin = (long)H5Dget_offset(set);
    H5Dclose(set), H5Fclose(file);
    return begin;
}

static char home[4096];

static int remove_entry(const char *path, const struct stat *info, int flag, struct FTW *walk)
{
    (void)info, (void)flag, (void)walk;
    return remove(path);
}

static int enter(void **state)
{
    (void)state;
    const char *folder = getenv("TMPDIR");
    int length = snprintf(home, sizeof home, "%s/lloyd-test-hostile-XXXXXX",
                          folder != NULL ? folder : "/tmp");
    if (length < 0 || (size_t)length >= sizeof home) return -1;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    /* cppcheck-suppress invalidFunctionArg */
    ours = mmap(NULL, 2 * sizeof *ours, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ours == MAP_FAILED) return -1;
    hdf5s = ours + 1;
    died_in_hdf5 = cases = errors = 0;
    for (int i = 0; i < N * D; i++) written[i] = (float)(i % 113) - 7;
    return mkdtemp(home) && chdir(home) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    munmap(ours, 2 * sizeof *ours);
    printf("             %d files, %d errors, %d in which HDF5 itself dies\n", cases, errors,
           died_in_hdf5);
    if (chdir("/") != 0) return -1;
    return nftw(home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- Tests ---------------------------------------------------------------------------------- */

static void plain(void **state)
{
    (void)state;
    put("old.h5", 0, H5P_DEFAULT);
    damage("old.h5", "old.h5", RIGHT_AS_HDF5, 0, 0);
    put("new.h5", 1, H5P_DEFAULT);
    damage("new.h5", "new.h5", RIGHT_AS_WRITTEN, 0, rows_begin("new.h5"));
    assert_true(died_in_hdf5 <= HDF5_AT_MOST && errors > 40);
}

static void packed(void **state)
{
    (void)state;
    put("deflate.h5", 0, chunks(1));
    damage("deflate.h5", "deflate.h5", RIGHT_AS_HDF5, 0, 0);
    put("none.h5", 0, chunks(0));
    damage("none.h5", "none.h5", RIGHT_AS_HDF5, 0, 0);
    put("new.h5", 1, chunks(1));
    damage("new.h5", "new.h5", RIGHT_AS_WRITTEN, 0, 0);
    assert_true(died_in_hdf5 <= HDF5_AT_MOST && errors > 100);
}

static void external(void **state)
{
    (void)state;
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(creation, "rows.bin", 8, BYTES);
    put("e.h5", 0, creation);
    damage("e.h5", "e.h5", RIGHT_AS_HDF5, 0, 0);
    damage("e.h5", "rows.bin", RIGHT_AS_HDF5, 0, 0);
    assert_true(died_in_hdf5 <= HDF5_AT_MOST && errors > 25);
}

static void virtual(void **state)
{
    (void)state;
    put("s.h5", 1, chunks(1));
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE), access_list = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access_list, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    hsize_t extent[2] = {N, D};
    hid_t space = H5Screate_simple(2, extent, NULL),
          file = H5Fcreate("v.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access_list);
    H5Pset_virtual(creation, space, "s.h5", "x", space);
    H5Dclose(H5Dcreate2(file, "x", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    H5Sclose(space), H5Pclose(creation), H5Pclose(access_list), H5Fclose(file);
    damage("v.h5", "v.h5", RIGHT_AS_WRITTEN, 0, 0);
    damage("v.h5", "s.h5", RIGHT_AS_WRITTEN, 0, 0);
    assert_true(died_in_hdf5 <= HDF5_AT_MOST && errors > 80);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(plain), TEST(packed), TEST(external), TEST(virtual)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
