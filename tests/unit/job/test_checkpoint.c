/* The checkpoint file (io/writers/checkpoint.c), the options around it (src/job/options.c), the wish to stop
 * (src/base/stop.c) and the hash. Files are made in a temporary directory, the current one meanwhile. */
#include "algorithm/history.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/stop.h"
#include "io/writers/checkpoint.h"
#include "io/writers/model.h"
#include "io/writers/output.h"
#include "job/options.h"
#include "lloyd/lloyd.h"

#include <glob.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char FILE_NAME[] = "fit.ck";

/* A checkpoint with everything in it. */
static double inertias[] = {9.5, 7.25, 7.0, 6.5}, times[] = {0.5, 0.25, 0.125, 1};
static int64_t moves[] = {100, 30, 7, 2};
static float centroids[] = {1, 2, 3, 4, 5, 6}, others[] = {-1, -2, -3, -4, -5, 6e30F};

/* Files in this folder that are not complete. */
static int part_files(void)
{
    glob_t found = {0};
    int count = glob("*.part", 0, NULL, &found) == 0 ? (int)found.gl_pathc : 0;
    globfree(&found);
    return count;
}

static lloyd_saved example(void)
{
    return (lloyd_saved){
        .n = 100,
        .d = 2,
        .k = 3,
        .type = (char *)"uint8",
        .inputs = (char *)"a.h5\nb.h5",
        .version = (char *)"0.1.0",
        .command = (char *)"lloyd fit",
        .options = (char *)"-k 3\n--seed 7\n",
        .max_iters = 25,
        .data = UINT64_MAX - 5,
        .restart = 2,
        .run = {3, inertias, times, moves, centroids},
        .known = 1,
        .moved = 12,
        .inertia = 6.75,
        .best = {4, inertias, times, moves, others},
        .best_inertia = 6.25,
        .best_converged = 1,
    };
}

static void check_run(const lloyd_saved_run *got, const lloyd_saved_run *expected)
{
    assert_int_equal(got->iterations, expected->iterations);
    size_t bytes = (size_t)expected->iterations * 8;
    assert_memory_equal(got->inertia, expected->inertia, bytes);
    assert_memory_equal(got->seconds, expected->seconds, bytes);
    assert_memory_equal(got->moved, expected->moved, bytes);
    assert_memory_equal(got->centroids, expected->centroids, sizeof centroids);
}

static void check_saved(const lloyd_saved *expected)
{
    lloyd_saved got;
    assert_int_equal(lloyd_saved_read(FILE_NAME, &got), LLOYD_OK);
    check_run(&got.run, &expected->run);
    if (expected->best.centroids)
        check_run(&got.best, &expected->best);
    else
        assert_null(got.best.centroids);
    assert_true(got.n == 100 && got.d == 2 && got.k == 3 && got.max_iters == 25);
    assert_true(got.data == expected->data && got.restart == expected->restart);
    assert_true(got.known == 1 && got.moved == 12 && got.inertia == 6.75);
    assert_true(got.best_inertia == expected->best_inertia &&
                got.best_converged == expected->best_converged);
    assert_string_equal(got.inputs, "a.h5\nb.h5");
    assert_string_equal(got.options, expected->options);
    assert_string_equal(got.type, "uint8");
    assert_string_equal(got.version, "0.1.0");
    assert_string_equal(got.command, "lloyd fit");
    lloyd_saved_free(&got);
}

static void comes_back(void **state)
{
    (void)state;
    lloyd_saved saved = example();
    assert_false(lloyd_saved_exists(FILE_NAME));
    assert_int_equal(lloyd_saved_write(FILE_NAME, &saved), LLOYD_OK);
    assert_true(lloyd_saved_exists(FILE_NAME));
    assert_int_equal(part_files(), 0);
    check_saved(&saved);
    assert_int_equal(lloyd_saved_check_replaceable(FILE_NAME), LLOYD_OK);

    saved.best = (lloyd_saved_run){0}; /* the first start, at its first centroids */
    saved.best_inertia = saved.best_converged = 0;
    saved.restart = saved.run.iterations = 0;
    assert_int_equal(lloyd_saved_write(FILE_NAME, &saved), LLOYD_OK);
    check_saved(&saved);

    int64_t seeds[] = {99, 0, 42}; /* in a seeding */
    saved.run = (lloyd_saved_run){0};
    saved.known = 0;
    saved.drawn = 3, saved.rows = seeds, saved.steps = 2;
    lloyd_saved got;
    assert_int_equal(lloyd_saved_write(FILE_NAME, &saved), LLOYD_OK);
    assert_int_equal(lloyd_saved_read(FILE_NAME, &got), LLOYD_OK);
    assert_true(got.drawn == 3 && got.steps == 2 && got.run.iterations == 0);
    assert_memory_equal(got.rows, seeds, sizeof seeds);
    assert_null(got.run.centroids);
    lloyd_saved_free(&got);
    seeds[1] = 100; /* there are rows 0 to 99 */
    assert_int_equal(lloyd_saved_write(FILE_NAME, &saved), LLOYD_OK);
    assert_int_equal(lloyd_saved_read(FILE_NAME, &got), LLOYD_BAD_INPUT);
    saved = example();
    assert_int_equal(lloyd_saved_write(FILE_NAME, &saved), LLOYD_OK);

    lloyd_model model; /* and a model */
    assert_int_equal(lloyd_model_read(FILE_NAME, &model), LLOYD_OK);
    assert_true(model.k == 3 && model.d == 2);
    assert_memory_equal(model.centroids, centroids, sizeof centroids);
    lloyd_model_free(&model);
}

/* All bytes of the file, and how many. */
static char *read_bytes(size_t *bytes)
{
    struct stat info;
    assert_int_equal(stat(FILE_NAME, &info), 0);
    *bytes = (size_t)info.st_size;
    char *content = malloc(*bytes);
    FILE *file = fopen(FILE_NAME, "rb");
    assert_non_null(file);
    assert_non_null(content);
    assert_int_equal(fread(content, 1, *bytes, file), *bytes);
    fclose(file);
    return content;
}

static void write_bytes(const char *content, size_t bytes)
{
    FILE *file = fopen(FILE_NAME, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, bytes, file), bytes);
    fclose(file);
}

/* Reads what may be damaged: an error that names the file, or else exactly what was written. */
static int is_refused(const lloyd_saved *expected)
{
    lloyd_saved got;
    lloyd_status status = lloyd_saved_read(FILE_NAME, &got);
    if (status == LLOYD_OK) {
        lloyd_saved_free(&got);
        check_saved(expected);
        return 0;
    }
    if (status != LLOYD_BAD_INPUT || !strstr(lloyd_message(), FILE_NAME))
        fail_msg("status %d: %s", status, lloyd_message());
    return 1;
}

static void damage_is_found(void **state)
{
    (void)state;
    lloyd_saved saved = example();
    size_t bytes;
    int refused = 0, tried = 0;
    assert_int_equal(lloyd_saved_write(FILE_NAME, &saved), LLOYD_OK);
    char *content = read_bytes(&bytes);
    for (size_t size = 0; size < bytes; size += 97) { /* cut off */
        write_bytes(content, size);
        assert_true(is_refused(&saved));
    }
    for (size_t at = 0; at < bytes; at += 13, tried++) { /* one bit changed */
        content[at] ^= (char)(1 << (at / 13) % 8);
        write_bytes(content, bytes);
        refused += is_refused(&saved);
        content[at] ^= (char)(1 << (at / 13) % 8);
    }
    assert_int_equal(refused, tried);
    for (size_t i = 0; i < sizeof centroids; i++) { /* a bit of the centroids: always */
        char *place = memmem(content, bytes, centroids, sizeof centroids);
        assert_non_null(place);
        place[i] ^= 1;
        write_bytes(content, bytes);
        assert_true(is_refused(&saved));
        place[i] ^= 1;
    }
    free(content);
    assert_int_equal(unlink(FILE_NAME), 0);
    assert_true(is_refused(&saved));
}

static void other_files_are_kept(void **state)
{
    (void)state;
    const lloyd_model model = {.n = 3, .d = 2, .k = 3, .centroids = centroids, .counts = moves};
    lloyd_output output;
    assert_int_equal(lloyd_output_open(FILE_NAME, 0, &output), LLOYD_OK);
    assert_int_equal(lloyd_model_write(&output, &model, NULL, NULL), LLOYD_OK);
    assert_int_equal(lloyd_output_commit(&output), LLOYD_OK);
    lloyd_output_close(&output);
    lloyd_saved saved = example();
    assert_int_equal(lloyd_saved_check_replaceable(FILE_NAME), LLOYD_USAGE);
    assert_true(is_refused(&saved));
    write_bytes("text", 4);
    assert_int_equal(lloyd_saved_check_replaceable(FILE_NAME), LLOYD_USAGE);
    assert_true(is_refused(&saved));
    assert_int_equal(lloyd_saved_check_writable(FILE_NAME), LLOYD_OK);
    assert_int_equal(part_files(), 0);
    assert_int_equal(lloyd_saved_check_writable("no/fit.ck"), LLOYD_FAILED);
    assert_non_null(strstr(lloyd_message(), "no/fit.ck"));
}

/* When there is no room, the old file stays, and with room again the next one is written. */
static void no_room(void **state)
{
    (void)state;
    lloyd_saved saved = example(), large = example();
    struct rlimit before, limit;
    enum { K = 50000 };
    float *many = calloc((size_t)K * 2, sizeof *many);
    assert_non_null(many);
    large.k = K;
    large.run.centroids = large.best.centroids = many;
    assert_int_equal(lloyd_saved_write(FILE_NAME, &saved), LLOYD_OK);
    getrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t room = 0; room < 400000; room += 39999) {
        limit = before;
        limit.rlim_cur = room;
        setrlimit(RLIMIT_FSIZE, &limit);
        assert_int_equal(lloyd_saved_write(FILE_NAME, &large), LLOYD_FAILED);
        assert_non_null(strstr(lloyd_message(), FILE_NAME));
        setrlimit(RLIMIT_FSIZE, &before);
        assert_int_equal(part_files(), 0);
        check_saved(&saved);
        saved.data++;
        assert_int_equal(lloyd_saved_write(FILE_NAME, &saved), LLOYD_OK);
        check_saved(&saved);
    }
    free(many);
}

/* ---- Options ----------------------------------------------------------------------------- */

static void check_every(const char *text, int64_t iterations, double seconds)
{
    lloyd_every every;
    assert_int_equal(lloyd_options_every(text, "iterations", &every), LLOYD_OK);
    assert_true(every.count == iterations && every.seconds == seconds);
}

static void times_and_numbers(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",     "0",  "0s", "-1",   "5 ",         "5ms", "s",
                                        "1.5h", "5d", "5S", "10 m", "1234567890", "+5"};
    check_every(NULL, 0, 600);
    check_every("5", 5, 0);
    check_every("90s", 0, 90);
    check_every("10m", 0, 600);
    check_every("1h", 0, 3600);
    check_every("999999999", 999999999, 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        lloyd_every every;
        if (lloyd_options_every(wrong[i], "iterations", &every) != LLOYD_USAGE)
            fail_msg("'%s'", wrong[i]);
        assert_non_null(strstr(lloyd_message(), "--checkpoint-every"));
    }
}

static void check_lines(const lloyd_fit_options *options, const char *expected)
{
    char *lines;
    assert_int_equal(lloyd_options_deciding(options, 0x1234, &lines), LLOYD_OK);
    assert_string_equal(lines, expected);
    free(lines);
}

static void deciding_options(void **state)
{
    (void)state;
    lloyd_fit_options options;
    lloyd_fit_defaults(&options);
    options.k = 8;
    check_lines(
        &options,
        "no --sample\nno --sample-per-centroid\n-k 8\n--init kmeans-parallel\nno --init-trials\nno --init-sample\n--seed 0\n--n-init 1\n--tol 0\nno --max-size\n--metric l2\n"
        "no --weights\n--empty relocate\nno --skip-bad-rows\n");
    options.init = "some/model.h5";
    options.weights = "w";
    options.tol = 0.1;
    options.skip_bad_rows = 1;
    check_lines(
        &options,
        "no --sample\nno --sample-per-centroid\n-k 8\n--init MODEL (with the centroids 0000000000001234)\nno --init-trials\nno --init-sample\n--seed 0\n"
        "--n-init 1\n--tol 0.10000000000000001\nno --max-size\n--metric l2\n--weights w\n"
        "--empty relocate\n--skip-bad-rows\n");
}

/* ---- The rest ---------------------------------------------------------------------------- */

static void stop(void **state)
{
    (void)state;
    assert_int_equal(lloyd_stop_check(), LLOYD_OK);
    lloyd_stop(SIGUSR1);
    assert_int_equal(lloyd_stop_check(), LLOYD_STOPPED);
    assert_string_equal(lloyd_message(), "stopped by SIGUSR1");
    assert_int_equal(lloyd_stop_signal(), SIGUSR1);
    lloyd_stop_clear();
    assert_int_equal(lloyd_stop_check(), LLOYD_OK);
}

static void history_extends(void **state)
{
    (void)state;
    lloyd_history whole = {0}, part = {0};
    for (int64_t t = 0; t < 70; t++) {
        const lloyd_iteration iteration = {.inertia = (double)t, .seconds = -1.0, .moved = 3 * t};
        assert_int_equal(lloyd_history_add(&whole, &iteration), LLOYD_OK);
        if (t < 33) assert_int_equal(lloyd_history_add(&part, &iteration), LLOYD_OK);
    }
    assert_int_equal(lloyd_history_extend(&part, &whole), LLOYD_OK);
    assert_int_equal(part.iterations, 70);
    assert_memory_equal(part.inertia, whole.inertia, 70 * sizeof(double));
    assert_memory_equal(part.seconds, whole.seconds, 70 * sizeof(double));
    assert_memory_equal(part.moved, whole.moved, 70 * sizeof(int64_t));
    assert_int_equal(lloyd_history_extend(&part, &whole), LLOYD_OK);
    assert_int_equal(part.iterations, 70);
    lloyd_history_free(&whole);
    lloyd_history_free(&part);
}

/* Any bit changes the hash, and so do bytes of zero at the end. */
static void hash(void **state)
{
    (void)state;
    unsigned char data[19] = {1, 2, 3};
    uint64_t plain = lloyd_hash(0, data, sizeof data);
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_true(lloyd_hash(0, data, sizeof data) != plain);
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_true(lloyd_hash(0, data, sizeof data - 1) != plain);
    assert_true(lloyd_hash(1, data, sizeof data) != plain);
}

/* ------------------------------------------------------------------------------------------ */

static char home[4096];

static int enter(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    snprintf(home, sizeof home, "%s/lloyd-checkpoint-XXXXXX", temporary ? temporary : "/tmp");
    return mkdtemp(home) && chdir(home) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    (void)unlink(FILE_NAME);
    return chdir("/") == 0 && rmdir(home) == 0 ? 0 : -1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(comes_back), TEST(damage_is_found),   TEST(other_files_are_kept),
        TEST(no_room),    TEST(times_and_numbers), TEST(deciding_options),
        TEST(stop),       TEST(history_extends),   TEST(hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
