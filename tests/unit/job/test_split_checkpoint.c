/* The checkpoint file of a split (io/writers/split_checkpoint.c). Files are made in a temporary directory, the current
 * one meanwhile. */
#include "base/memory.h"
#include "base/stop.h"
#include "io/writers/checkpoint.h"
#include "io/writers/model.h"
#include "io/writers/split_checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char FILE_NAME[] = "split.ck";

static int64_t clusters[] = {0, 3, 4}, iterations[] = {7, 25, 0}, converged[] = {1, 0, 1};
static double inertias[] = {1.5, 0, 1e300};

static lloyd_saved_split example(void)
{
    return (lloyd_saved_split){
        .n = 100,
        .d = 2,
        .k = 5,
        .filled = 4,
        .type = (char *)"uint8",
        .inputs = (char *)"a.h5\nb.h5",
        .version = (char *)"0.1.0",
        .command = (char *)"lloyd split",
        .options = (char *)"-k 3\n--seed 7\n",
        .clusters = UINT64_MAX - 3,
        .data = 5,
        .done = 3,
        .cluster = clusters,
        .inertia = inertias,
        .iterations = iterations,
        .converged = converged,
        .parts = 7,
    };
}

/* Centroids are numbers in their order. */
typedef struct counting {
    float next;
    int64_t d, calls;
} counting;

static void fill(void *context, int64_t count, float *room)
{
    counting *c = context;
    for (int64_t i = 0; i < count * c->d; i++) room[i] = c->next++;
    c->calls++;
}

static lloyd_status save(const lloyd_saved_split *saved, int64_t *calls)
{
    lloyd_saved_image image = {.bytes = NULL};
    counting c = {.d = saved->d};
    const lloyd_saved_centroids centroids = {fill, &c};
    lloyd_status status = lloyd_saved_split_draw(FILE_NAME, saved, &centroids, &image);
    if (status == LLOYD_OK) status = lloyd_saved_store(FILE_NAME, &image, lloyd_stop_request());
    lloyd_saved_discard(&image);
    if (calls) *calls = c.calls;
    return status;
}

static void check(const lloyd_saved_split *expected)
{
    lloyd_saved_split got;
    assert_int_equal(lloyd_saved_split_read(FILE_NAME, &got), LLOYD_OK);
    assert_true(got.n == 100 && got.d == expected->d && got.k == 5 && got.filled == 4);
    assert_true(got.clusters == UINT64_MAX - 3 && got.data == 5);
    assert_true(got.done == 3 && got.parts == expected->parts);
    assert_memory_equal(got.cluster, clusters, sizeof clusters);
    assert_memory_equal(got.inertia, inertias, sizeof inertias);
    assert_memory_equal(got.iterations, iterations, sizeof iterations);
    assert_memory_equal(got.converged, converged, sizeof converged);
    for (int64_t i = 0; i < got.parts * got.d; i++)
        if (got.centroids[i] != (float)i) fail_msg("centroid %lld", (long long)(i / got.d));
    assert_string_equal(got.type, "uint8");
    assert_string_equal(got.inputs, "a.h5\nb.h5");
    assert_string_equal(got.version, "0.1.0");
    assert_string_equal(got.command, "lloyd split");
    assert_string_equal(got.options, "-k 3\n--seed 7\n");
    lloyd_saved_split_free(&got);
}

static void comes_back(void **state)
{
    (void)state;
    lloyd_saved_split saved = example();
    int64_t calls;
    int is_one = 0;
    assert_int_equal(save(&saved, NULL), LLOYD_OK);
    check(&saved);
    assert_int_equal(lloyd_saved_split_is_one(FILE_NAME, &is_one), LLOYD_OK);
    assert_true(is_one && lloyd_saved_is_one(FILE_NAME));
    saved.d = 500; /* centroids of several megabytes: piece by piece */
    saved.parts = 5001;
    assert_int_equal(save(&saved, &calls), LLOYD_OK);
    assert_true(calls > 1);
    check(&saved);
}

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

static void expect_refused(const char *content, size_t bytes)
{
    lloyd_saved_split got;
    FILE *file = fopen(FILE_NAME, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, bytes, file), bytes);
    fclose(file);
    assert_int_equal(lloyd_saved_split_read(FILE_NAME, &got), LLOYD_BAD_INPUT);
    assert_non_null(strstr(lloyd_message(), FILE_NAME));
}

static void damage_is_found(void **state)
{
    (void)state;
    lloyd_saved_split saved = example();
    size_t bytes;
    assert_int_equal(save(&saved, NULL), LLOYD_OK);
    char *content = read_bytes(&bytes);
    for (size_t size = 0; size < bytes; size += 197) expect_refused(content, size);
    for (size_t at = 0; at < bytes; at += 31) {
        content[at] ^= (char)(1 << (at / 31) % 8);
        expect_refused(content, bytes);
        content[at] ^= (char)(1 << (at / 31) % 8);
    }
    free(content);
}

/* Sealed as it should be, but never written by a split. */
static void nonsense_is_refused(void **state)
{
    (void)state;
    int64_t twice[] = {0, 3, 3}, outside[] = {0, 3, 5}, negative[] = {-1, 3, 4};
    int64_t *wrong[] = {twice, outside, negative};
    lloyd_saved_split got;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        lloyd_saved_split saved = example();
        saved.cluster = wrong[i];
        assert_int_equal(save(&saved, NULL), LLOYD_OK);
        assert_int_equal(lloyd_saved_split_read(FILE_NAME, &got), LLOYD_BAD_INPUT);
        assert_non_null(strstr(lloyd_message(), "/clusters"));
    }
    lloyd_saved_split saved = example();
    saved.parts = 2; /* fewer than clusters */
    assert_int_equal(save(&saved, NULL), LLOYD_OK);
    assert_int_equal(lloyd_saved_split_read(FILE_NAME, &got), LLOYD_BAD_INPUT);
}

/* The checkpoint of a fit is none of a split, nor the other way round; and it is no model. */
static void kinds_are_told_apart(void **state)
{
    (void)state;
    float centroids[] = {1, 2, 3, 4};
    double one = 1;
    int64_t moved = 1;
    const lloyd_saved fit = {.n = 10,
                             .d = 2,
                             .k = 2,
                             .type = (char *)"uint8",
                             .inputs = (char *)"a.h5",
                             .version = (char *)"1",
                             .command = (char *)"",
                             .options = (char *)"",
                             .run = {1, &one, &one, &moved, centroids}};
    lloyd_saved read;
    lloyd_saved_split got;
    lloyd_model model;
    int is_one = 1;
    assert_int_equal(lloyd_saved_write(FILE_NAME, &fit), LLOYD_OK);
    assert_int_equal(lloyd_saved_split_read(FILE_NAME, &got), LLOYD_USAGE);
    assert_non_null(strstr(lloyd_message(), "of a fit"));
    assert_int_equal(lloyd_saved_split_is_one(FILE_NAME, &is_one), LLOYD_OK);
    assert_false(is_one);
    const lloyd_saved_split saved = example();
    assert_int_equal(save(&saved, NULL), LLOYD_OK);
    assert_int_equal(lloyd_saved_read(FILE_NAME, &read), LLOYD_USAGE);
    assert_non_null(strstr(lloyd_message(), "of a split"));
    assert_int_equal(lloyd_model_read(FILE_NAME, &model), LLOYD_BAD_INPUT);
}

static char home[4096];

static int enter(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    snprintf(home, sizeof home, "%s/lloyd-split-XXXXXX", temporary ? temporary : "/tmp");
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
        TEST(comes_back),
        TEST(damage_is_found),
        TEST(nonsense_is_refused),
        TEST(kinds_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
