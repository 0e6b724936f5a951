/* What surrounds an output (io/): the names of partial files and what killed jobs have left of
 * them, paths compared (guard.c), whose file is there (origin.c), room for it (space.c). Files are
 * made in a temporary directory, the current one meanwhile. */
#include "base/log.h"
#include "io/guard.h"
#include "io/path.h"
#include "io/space.h"
#include "io/writers/origin.h"
#include "io/writers/output.h"
#include "io/writers/partial_name.h"

#include <fcntl.h>
#include <ftw.h>
#include <hdf5.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char home[4096];

static int remove_entry(const char *path, const struct stat *info, int flag, struct FTW *where)
{
    (void)info, (void)flag, (void)where;
    return remove(path);
}

static int enter(void **state)
{
    (void)state;
    const char *folder = getenv("TMPDIR");
    int length = snprintf(home, sizeof home, "%s/lloyd-test-outputs-XXXXXX",
                          folder != NULL ? folder : "/tmp");
    if (length < 0 || (size_t)length >= sizeof home) return -1;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    lloyd_log_quiet(1);
    return mkdtemp(home) && chdir(home) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    if (chdir("/") != 0) return -1;
    return nftw(home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void put_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static void check_message(const char *a, const char *b)
{
    if (!strstr(lloyd_message(), a) || !strstr(lloyd_message(), b))
        fail_msg("'%s' says nothing of %s or %s", lloyd_message(), a, b);
}

/* ---- Part files -------------------------------------------------------------------------- */

static void part_names(void **state)
{
    (void)state;
    char name[NAME_MAX + 2];
    char *one = lloyd_partial_name("d/m.h5"), *two = lloyd_partial_name("d/m.h5");
    assert_string_not_equal(one, two);
    assert_int_equal(strncmp(one, "d/m.h5.", 7), 0);
    assert_true(lloyd_partial_is_of(one + 2, "m.h5"));
    assert_true(lloyd_partial_is_of("m.h5.part", "m.h5"));
    assert_false(lloyd_partial_is_of("m.h5", "m.h5"));
    assert_false(lloyd_partial_is_of("n.h5.part", "m.h5"));
    assert_false(lloyd_partial_is_of("m.h55.part", "m.h5"));
    assert_false(lloyd_partial_is_of("m.h5.parts", "m.h5"));
    free(one), free(two);
    /* as long as names may be */
    memset(name, 'n', NAME_MAX);
    name[NAME_MAX] = '\0';
    char *longest = lloyd_partial_name(name);
    assert_true(strlen(longest) <= NAME_MAX);
    assert_true(lloyd_partial_is_of(longest, name));
    free(longest);
}

/* The partial file that a process makes and leaves, by its own name. */
static void leave_part(const char *path, char *part, size_t bytes)
{
    int pipe_ends[2], status;
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    if (child == 0) {
        lloyd_output output;
        if (lloyd_output_open(path, 0, &output) != LLOYD_OK) _exit(1);
        size_t length = strlen(output.part) + 1;
        _exit(write(pipe_ends[1], output.part, length) == (ssize_t)length ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    ssize_t got = read(pipe_ends[0], part, bytes);
    assert_true(got > 0 && part[got - 1] == '\0');
    close(pipe_ends[0]), close(pipe_ends[1]);
    put_text(part, "half a file");
}

static void leftovers(void **state)
{
    (void)state;
    char dead[256], other[256];
    static const char *const kept[] = {"m.h5.node7-123-00000001-0badcafe.part", "m.h5.part",
                                       "m.h5.x-1-2.part", "n.h5.node7-123-00000001-0badcafe.part"};
    lloyd_output output;
    leave_part("m.h5", dead, sizeof dead);
    leave_part("n.h5", other, sizeof other);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) put_text(kept[i], "");
    assert_int_equal(lloyd_output_open("m.h5", 0, &output), LLOYD_OK);
    put_text(output.part, "");
    assert_int_equal(lloyd_output_tidy(&output), LLOYD_OK);
    assert_false(is_there(dead)); /* its process has ended */
    assert_true(is_there(other)); /* of another output */
    assert_true(is_there(output.part));
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) assert_true(is_there(kept[i]));
    lloyd_output_close(&output);

    /* a process that runs: this one */
    assert_int_equal(lloyd_output_open("m.h5", 0, &output), LLOYD_OK);
    char *own = lloyd_partial_name("m.h5");
    put_text(own, "");
    assert_int_equal(lloyd_output_tidy(&output), LLOYD_OK);
    assert_true(is_there(own));
    free(own);
    lloyd_output_close(&output);
}

/* Links are followed, and stay. */
static void links(void **state)
{
    (void)state;
    lloyd_output output;
    struct stat info;
    mkdir("d", 0755);
    put_text("d/real.txt", "old");
    assert_int_equal(symlink("d/real.txt", "one"), 0);
    assert_int_equal(symlink("one", "two"), 0);
    assert_int_equal(symlink("d/none.txt", "new"), 0);
    assert_int_equal(symlink("circle", "circle"), 0);
    const char *const names[] = {"two", "new"}, *const targets[] = {"d/real.txt", "d/none.txt"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lloyd_output_open(names[i], 1, &output), LLOYD_OK);
        assert_string_equal(output.target, targets[i]);
        assert_int_equal(strncmp(output.part, "d/", 2), 0);
        assert_int_equal(lloyd_output_text(&output, "new", 3), LLOYD_OK);
        assert_int_equal(lloyd_output_commit(&output), LLOYD_OK);
        lloyd_output_close(&output);
        assert_int_equal(lstat(names[i], &info), 0);
        assert_true(S_ISLNK(info.st_mode));
        assert_int_equal(lstat(targets[i], &info), 0);
        assert_true(S_ISREG(info.st_mode) && info.st_size == 3);
    }
    assert_int_equal(lloyd_output_open("circle", 1, &output), LLOYD_FAILED);
    check_message("circle", "symbolic links");
}

/* A log continues in its own file when another takes its name. */
static void streams(void **state)
{
    (void)state;
    char text[16] = "";
    FILE *first = lloyd_output_stream("log"), *second = lloyd_output_stream("log");
    assert_non_null(first);
    assert_non_null(second);
    fputs("second\n", second), fputs("first\n", first);
    fclose(first), fclose(second);
    FILE *log = fopen("log", "re");
    assert_int_equal(fread(text, 1, sizeof text, log), 7);
    fclose(log);
    assert_string_equal(text, "second\n");
    assert_null(lloyd_output_stream("none/log"));
}

/* ---- Paths ------------------------------------------------------------------------------- */

/* A command that reads and writes these (NULL: none). */
static lloyd_status compare(const char *read, const char *output, const char *log)
{
    lloyd_guard guard = {.items = NULL};
    assert_int_equal(lloyd_guard_write(&guard, "--output", output), LLOYD_OK);
    assert_int_equal(lloyd_guard_read(&guard, "the input", read), LLOYD_OK);
    assert_int_equal(lloyd_guard_write(&guard, "--log", log), LLOYD_OK);
    lloyd_status status = lloyd_guard_check(&guard);
    lloyd_guard_free(&guard);
    return status;
}

static void guard_of_names(void **state)
{
    (void)state;
    mkdir("d", 0755);
    assert_int_equal(symlink("d", "e"), 0);
    put_text("in", "x");
    assert_int_equal(link("in", "d/hard"), 0);
    assert_int_equal(symlink("../in", "d/soft"), 0);
    assert_int_equal(symlink("d/new", "dangling"), 0);
    static const struct {
        const char *read, *output, *log;
        lloyd_status status;
    } cases[] = {{"in", "out", "log", LLOYD_OK},
                 {"in", "in", NULL, LLOYD_USAGE},
                 {"in", "./in", NULL, LLOYD_USAGE},
                 {"in", "d/../in", NULL, LLOYD_USAGE},
                 {"in", "d/hard", NULL, LLOYD_USAGE},
                 {"in", "e/soft", NULL, LLOYD_USAGE},
                 {"in", "out", "in", LLOYD_USAGE},
                 {"in", "out", "out", LLOYD_USAGE},
                 {"in", "out", "./out", LLOYD_USAGE},
                 {"in", "d/out", "e/out", LLOYD_USAGE},
                 {"in", "d/out", "out", LLOYD_OK},
                 {"in", "e/new", "dangling", LLOYD_USAGE},
                 {"in", "out", "out.part", LLOYD_USAGE},
                 {"in", "log.part", "log", LLOYD_USAGE},
                 {"in", "d/out", "e/out.host-1-2-3.part", LLOYD_USAGE},
                 {"in", "d/out", "out.part", LLOYD_OK},
                 {"out.part", "out", NULL, LLOYD_USAGE},
                 {"none/in", "out", "none/out", LLOYD_OK}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lloyd_status status = compare(cases[i].read, cases[i].output, cases[i].log);
        if (status != cases[i].status)
            fail_msg("%s, %s, %s: status %d", cases[i].read, cases[i].output,
                     cases[i].log ? cases[i].log : "", status);
    }
    assert_int_equal(compare("in", "./in", NULL), LLOYD_USAGE);
    check_message("--output ./in", "replace the input in");
}

/* ---- Whose file it is -------------------------------------------------------------------- */

static int is_own(const char *path)
{
    int own = -1;
    assert_int_equal(lloyd_origin(path, &own), LLOYD_OK);
    return own;
}

static void origins(void **state)
{
    (void)state;
    lloyd_output output;
    put_text("text", "a text that somebody has written");
    put_text("empty", "");
    put_text("page", "<!DOCTYPE html>\n<head>" LLOYD_ORIGIN_PAGE);
    assert_int_equal(is_own("text"), 0);
    assert_int_equal(is_own("empty"), 1);
    assert_int_equal(is_own("page"), 1);
    hid_t file = H5Fcreate("h.h5", H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    assert_int_equal(is_own("h.h5"), 0);
    assert_int_equal(lloyd_output_open("h.h5", 0, &output), LLOYD_USAGE);
    check_message("h.h5", "--force");
    assert_int_equal(lloyd_output_open("h.h5", 1, &output), LLOYD_OK);
    assert_int_equal(lloyd_output_create(&output, LLOYD_ORIGIN_LABELS, 0), LLOYD_OK);
    assert_int_equal(lloyd_output_commit(&output), LLOYD_OK);
    lloyd_output_close(&output);
    assert_int_equal(is_own("h.h5"), 1);
}

/* ---- Room -------------------------------------------------------------------------------- */

static void room(void **state)
{
    (void)state;
    struct rlimit before, limit;
    struct stat info;
    const lloyd_need small[] = {{"a", 1000}, {NULL, 0}, {"b", 1000}}, vast = {"a", INT64_MAX / 2};
    assert_int_equal(lloyd_space_check(small, 3), LLOYD_OK);
    assert_int_equal(lloyd_space_check(&vast, 1), LLOYD_FAILED);
    check_message("cannot write a", "free");
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 999;
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(lloyd_space_check(small, 1), LLOYD_FAILED);
    check_message("cannot write a", "ulimit -f");
    setrlimit(RLIMIT_FSIZE, &before);
    /* what is reserved does not change what a file holds */
    put_text("a", "text");
    assert_int_equal(lloyd_space_reserve("a", 1 << 20, "a"), LLOYD_OK);
    assert_int_equal(stat("a", &info), 0);
    assert_int_equal(info.st_size, 4);
    assert_int_equal(lloyd_space_reserve("none", 1, "x.h5"), LLOYD_FAILED);
    check_message("x.h5", "No such file");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(part_names),     TEST(leftovers), TEST(links), TEST(streams),
        TEST(guard_of_names), TEST(origins),   TEST(room),
    };
    return cmocka_run_group_tests_name("outputs", tests, NULL, NULL);
}
