/* File locks: of a writer, of a file system that has none, and what HDF5_USE_FILE_LOCKING makes of
 * them. flock() is ours, for HDF5 too. HDF5 asks for the variable once, so every case has a process
 * of its own. */
#include "io/rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROWS = 20, COLUMNS = 3 };

static int lock_error, interruptions, calls;

int flock(int descriptor, int operation)
{
    calls++;
    if (interruptions > 0) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    if (!lock_error) return (int)syscall(SYS_flock, descriptor, operation);
    errno = lock_error;
    return -1;
}

static void put_rows(const char *path)
{
    float data[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++) data[i] = (float)(i + 1);
    hsize_t extent[2] = {ROWS, COLUMNS};
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
          space = H5Screate_simple(2, extent, NULL),
          set =
              H5Dcreate2(file, "x", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(set), H5Sclose(space), H5Fclose(file);
}

/* All of x of `source`, as a virtual dataset. */
static void put_virtual(const char *path, const char *source)
{
    hsize_t extent[2] = {ROWS, COLUMNS};
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
          space = H5Screate_simple(2, extent, NULL), creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_virtual(creation, space, source, "x", space);
    H5Dclose(H5Dcreate2(file, "x", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    H5Pclose(creation), H5Sclose(space), H5Fclose(file);
}

/* What a child has read, in memory shared with it. */
typedef struct outcome {
    lloyd_status status;
    int calls; /* of flock() */
    char message[LLOYD_MESSAGE_BYTES];
} outcome;

static outcome *child;

/* All rows of the inputs: they are right, or it fails. */
static lloyd_status read_rows(const char *const *inputs, int count)
{
    float data[2 * ROWS * COLUMNS];
    lloyd_rows *rows;
    LLOYD_TRY(lloyd_rows_open(inputs, count, &rows));
    lloyd_status status = lloyd_rows_read(rows, 0, (int64_t)count * ROWS, data);
    for (int i = 0; status == LLOYD_OK && i < count * ROWS * COLUMNS; i++)
        if (data[i] != (float)(i % (ROWS * COLUMNS) + 1))
            status = lloyd_fail(LLOYD_FAILED, "element %d is wrong: %g", i, (double)data[i]);
    lloyd_rows_close(rows);
    return status;
}

/* In a child, with this value of the variable (NULL: none) and this error of flock(). */
static lloyd_status read_in_child(const char *asked, int error, const char *const *inputs,
                                  int count)
{
    pid_t process = fork();
    if (process == 0) {
        if (asked) setenv("HDF5_USE_FILE_LOCKING", asked, 1);
        if (!asked) unsetenv("HDF5_USE_FILE_LOCKING");
        lock_error = error;
        calls = 0;
        child->status = read_rows(inputs, count);
        snprintf(child->message, sizeof child->message, "%s", lloyd_message());
        child->calls = calls;
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(process, &status, 0), process);
    assert_int_equal(status, 0);
    return child->status;
}

static void check_read(const char *asked, int error, const char *input)
{
    if (read_in_child(asked, error, &input, 1) != LLOYD_OK) fail_msg("%s", child->message);
}

static void check_refused(const char *asked, int error, const char *input, const char *a,
                          const char *b)
{
    assert_int_equal(read_in_child(asked, error, &input, 1), LLOYD_BAD_INPUT);
    if (!strstr(child->message, a) || !strstr(child->message, b))
        fail_msg("'%s' or '%s' is not in: %s", a, b, child->message);
}

static void locked_by_writer(void **state)
{
    static const char *const asked[] = {NULL, "TRUE", "1", "BEST_EFFORT", "anything"};
    (void)state;
    int writer = open("a.h5", O_RDWR);
    assert_int_equal(flock(writer, LOCK_EX), 0);
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        check_refused(asked[i], 0, "a.h5", "a.h5", "in use");
        check_refused(asked[i], 0, "v.h5", "a.h5", "in use");
    }
    check_read("FALSE", 0, "a.h5");
    assert_int_equal(child->calls, 0);
    check_read("0", 0, "v.h5");
    assert_int_equal(child->calls, 0);
    assert_int_equal(flock(writer, LOCK_UN), 0);
    check_read(NULL, 0, "a.h5");
    assert_int_equal(flock(writer, LOCK_SH), 0);
    check_read(NULL, 0, "v.h5");
    close(writer);
}

/* HDF5 opens the sources of virtual datasets itself, and every file as the variable says: whether
 * it does depends on the version and on how it was built. */
static void check_or_advise(const char *asked, int error, const char *const *inputs, int count)
{
    if (read_in_child(asked, error, inputs, count) == LLOYD_OK) return;
    assert_int_equal(child->status, LLOYD_BAD_INPUT);
    if (!strstr(child->message, "HDF5_USE_FILE_LOCKING=FALSE")) fail_msg("%s", child->message);
}

static void no_locks(void **state)
{
    static const int errors[] = {ENOSYS, EOPNOTSUPP, ENOLCK, EINVAL};
    const char *both[] = {"a.h5", "v.h5"};
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        check_read(NULL, errors[i], "a.h5");
        check_or_advise("BEST_EFFORT", errors[i], both, 1);
        check_or_advise(NULL, errors[i], both, 2);
        check_or_advise("BEST_EFFORT", errors[i], both, 2);
        check_refused("TRUE", errors[i], "a.h5", "a.h5", "BEST_EFFORT or FALSE");
        assert_int_equal(read_in_child("FALSE", errors[i], both, 2), LLOYD_OK);
    }
    assert_int_equal(read_in_child(NULL, 0, both, 2), LLOYD_OK);
}

static void interrupted(void **state)
{
    (void)state;
    interruptions = 3;
    check_read(NULL, 0, "a.h5");
    interruptions = 0;
}

int main(void)
{
    char home[] = "/tmp/lloyd-locks-XXXXXX";
    if (!mkdtemp(home) || chdir(home) != 0) return 1;
    /* cppcheck-suppress invalidFunctionArg */
    child = mmap(NULL, sizeof *child, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (child == MAP_FAILED) return 1;
    pid_t writer = fork();
    if (writer == 0) {
        put_rows("a.h5");
        put_virtual("v.h5", "a.h5");
        _exit(0);
    }
    if (waitpid(writer, NULL, 0) != writer) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(locked_by_writer),
                                       cmocka_unit_test(no_locks), cmocka_unit_test(interrupted)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink("a.h5"), unlink("v.h5");
    if (chdir("/") != 0 || rmdir(home) != 0) return 1;
    return failed;
}
