/* Outputs and models: what is written is what is read. */
#include "fixture.h"

#include "base/half.h"
#include "io/inspect.h"
#include "io/writers/model.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether a name of an output is accepted, with or without force. */
static lloyd_status named(const char *path, int force)
{
    lloyd_output output;
    lloyd_status status = lloyd_output_open(path, force, &output);
    if (status == LLOYD_OK) lloyd_output_close(&output);
    return status;
}

static void output_check(void **state)
{
    (void)state;
    put_f32("in.h5", "x", 5, 2, 0);
    mkdir("dir", 0755);
    mkfifo("pipe", 0644);
    assert_int_equal(named("out.h5", 0), LLOYD_OK);
    assert_int_equal(named("dir/out.h5", 0), LLOYD_OK);
    assert_int_equal(named("in.h5", 1), LLOYD_OK);
    assert_int_not_equal(access("out.h5", F_OK), 0);
    check_failed(named("in.h5", 0), LLOYD_USAGE, "in.h5", "--force", NULL);
    check_failed(named("", 0), LLOYD_USAGE, "empty", NULL, NULL);
    check_failed(named("none/out.h5", 0), LLOYD_FAILED, "none", "make it first", NULL);
    check_failed(named("in.h5/out.h5", 0), LLOYD_FAILED, "in.h5", NULL, NULL);
    check_failed(named("dir", 1), LLOYD_FAILED, "is a directory", NULL, NULL);
    check_failed(named("dir/", 0), LLOYD_FAILED, "is a directory", NULL, NULL);
    check_failed(named("pipe", 1), LLOYD_FAILED, "not a regular file", NULL, NULL);
    check_failed(named("/proc/none/x.h5", 0), LLOYD_FAILED, "/proc", NULL, NULL);
    if (geteuid() != 0) {
        chmod("dir", 0555);
        check_failed(named("dir/out.h5", 0), LLOYD_FAILED, "Permission denied", NULL, NULL);
    }
    check_failed(lloyd_output_commit(out("never.h5")), LLOYD_FAILED, "never.h5", ".part", NULL);
    lloyd_output_discard(out("never.h5"));
}

static void output_array(void **state)
{
    (void)state;
    static const lloyd_type types[] = {LLOYD_F32,  LLOYD_F32, LLOYD_F16,
                                       LLOYD_BF16, LLOYD_U8,  LLOYD_I8};
    enum { N = 100, D = 7 };
    for (int t = LLOYD_ARRAY_F32; t <= LLOYD_ARRAY_I8; t++) {
        lloyd_type type = types[t];
        char data[N * D * 4];
        size_t size = lloyd_type_size(type);
        for (int64_t i = 0; i < N * D; i++) {
            float f = sample(i / D, i % D, type == LLOYD_U8);
            uint16_t half = type == LLOYD_F16 ? lloyd_f16_from_float(f) : lloyd_bf16_from_float(f);
            uint8_t byte = type == LLOYD_U8 ? (uint8_t)f : (uint8_t)(int8_t)f;
            const void *from = size == 4 ? (void *)&f : size == 2 ? (void *)&half : (void *)&byte;
            memcpy(data + i * (int64_t)size, from, size);
        }
        lloyd_output *a = begun("a.h5");
        put_array(a, "/train", (lloyd_array_type)t, data, N, D, D * (int64_t)size, 33);
        assert_int_equal(lloyd_output_attribute(a, "/train", "note", "a remark"), LLOYD_OK);
        assert_int_not_equal(access("a.h5", F_OK), 0);
        assert_int_equal(lloyd_output_commit(a), LLOYD_OK);
        assert_int_not_equal(access(a->part, F_OK), 0);
        check_rows(open_one("a.h5"), type, N, D, 11);
        remove("a.h5");
    }
}

static void output_same_bytes(void **state)
{
    (void)state;
    int32_t labels[1000];
    float distances[1000];
    for (int i = 0; i < 1000; i++) labels[i] = i * 7, distances[i] = (float)i;
    size_t a, b;
    put_array(begun("one.h5"), "/labels", LLOYD_ARRAY_I32, labels, 1000, 0, 4, 1000);
    put_array(out("one.h5"), "/distances", LLOYD_ARRAY_F32, distances, 1000, 0, 4, 1000);
    sleep(1);
    put_array(begun("two.h5"), "/labels", LLOYD_ARRAY_I32, labels, 1000, 0, 4, 7);
    put_array(out("two.h5"), "/distances", LLOYD_ARRAY_F32, distances, 1000, 0, 4, 999);
    char *one = get_bytes(out("one.h5")->part, &a), *two = get_bytes(out("two.h5")->part, &b);
    assert_int_equal(a, b);
    assert_memory_equal(one, two, a);
    free(one), free(two);
    int32_t read[3];
    int64_t total;
    assert_int_equal(lloyd_output_commit(out("one.h5")), LLOYD_OK);
    assert_int_equal(lloyd_inspect_labels("one.h5", 997, 3, &total, read), LLOYD_OK);
    assert_int_equal(total, 1000);
    assert_int_equal(read[2], 999 * 7);
    lloyd_output_discard(out("two.h5"));
    assert_int_not_equal(access(out("two.h5")->part, F_OK), 0);
}

static void output_array_edges(void **state)
{
    (void)state;
    lloyd_array *array;
    char row[4] = {0};
    for (int d = 0; d < 2; d++) { /* no rows */
        lloyd_output *z = begun("z.h5");
        assert_int_equal(lloyd_array_create(z, "x", LLOYD_ARRAY_I32, 0, d), LLOYD_OK);
        assert_int_equal(lloyd_array_open(z, "x", &array), LLOYD_OK);
        assert_int_equal(lloyd_array_write(array, 0, 0, row), LLOYD_OK);
        check_failed(lloyd_array_write(array, 0, 1, row), LLOYD_FAILED, "mistake", NULL, NULL);
        assert_int_equal(lloyd_array_close(array), LLOYD_OK);
    }
    assert_int_equal(lloyd_array_close(NULL), LLOYD_OK);
    check_failed(lloyd_array_open(out("none.h5"), "x", &array), LLOYD_FAILED, "none.h5", ".part",
                 NULL);
    check_failed(lloyd_array_open(out("z.h5"), "y", &array), LLOYD_FAILED, "z.h5", NULL, NULL);
    assert_null(array);
    check_failed(lloyd_array_create(out("none.h5"), "x", LLOYD_ARRAY_I32, 5, 0), LLOYD_FAILED,
                 "none.h5", NULL, NULL);
    check_failed(lloyd_array_create(out("z.h5"), "x", LLOYD_ARRAY_I32, 5, 0), LLOYD_FAILED, "z.h5",
                 NULL, NULL);
    check_failed(lloyd_output_create(out("z.h5"), "labels", 0), LLOYD_FAILED, "z.h5", NULL, NULL);
    /* A write that fails: the file may not grow beyond a limit. */
    struct rlimit before, limit;
    getrlimit(RLIMIT_FSIZE, &before);
    lloyd_output *full = begun("full.h5");
    assert_int_equal(lloyd_array_create(full, "x", LLOYD_ARRAY_U8, 100000, 1), LLOYD_OK);
    assert_int_equal(lloyd_array_open(full, "x", &array), LLOYD_OK);
    signal(SIGXFSZ, SIG_IGN);
    limit = before;
    limit.rlim_cur = 50000;
    setrlimit(RLIMIT_FSIZE, &limit);
    char *data = calloc(100000, 1);
    check_failed(lloyd_array_write(array, 0, 100000, data), LLOYD_FAILED, "full.h5",
                 "File too large", NULL);
    free(data);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(lloyd_array_close(array), LLOYD_OK);
}

/* More than 2^32 bytes and elements; the file has a hole, so this is quick. */
static void output_large(void **state)
{
    (void)state;
    lloyd_array *array;
    int64_t n = 50000000, d = 100;
    char row[100], read[100];
    for (int j = 0; j < 100; j++) row[j] = (char)(j + 1);
    lloyd_output *big = begun("big.h5");
    assert_int_equal(lloyd_array_create(big, "/train", LLOYD_ARRAY_I8, n, d), LLOYD_OK);
    assert_int_equal(lloyd_array_open(big, "/train", &array), LLOYD_OK);
    assert_int_equal(lloyd_array_write(array, n - 2, 1, row), LLOYD_OK);
    assert_int_equal(lloyd_array_close(array), LLOYD_OK);
    lloyd_rows *rows = open_one(big->part);
    assert_int_equal(lloyd_rows_count(rows), n);
    assert_int_equal(lloyd_rows_read(rows, n - 2, 1, read), LLOYD_OK);
    assert_memory_equal(row, read, 100);
    assert_int_equal(lloyd_rows_read(rows, n - 1, 1, read), LLOYD_OK);
    assert_int_equal(read[5], 0);
    lloyd_rows_close(rows);
}

static void model_round_trip(void **state)
{
    (void)state;
    float centroids[6] = {1, 2, 3, 4, 5, -6.5F};
    int64_t counts[3] = {4, 0, 3}, moved[2] = {7, 2};
    double inertia[2] = {9.5, 8.25}, seconds[2] = {0.125, 0.5};
    int32_t labels[7] = {0, 2, 0, 2, 0, 2, 0};
    enum { INPUTS = 5000 };
    char **inputs = calloc(INPUTS, sizeof *inputs);
    for (int i = 0; i < INPUTS; i++) {
        inputs[i] = malloc(64);
        snprintf(inputs[i], 64, "/a/directory with a name/file %d.h5", i);
    }
    lloyd_model model = {.n = 7,
                         .d = 2,
                         .k = 3,
                         .centroids = centroids,
                         .counts = counts,
                         .iterations = 2,
                         .inertia = inertia,
                         .moved = moved,
                         .seconds = seconds,
                         .final_inertia = 8.125,
                         .converged = 1,
                         .seed = UINT64_MAX - 1,
                         .ranks = 5,
                         .cosine = 1,
                         .version = "0.1.0",
                         .command = "lloyd fit \xc3\xa4",
                         .options = "{\"k\": 3}",
                         .backend = "cpu",
                         .inputs = inputs,
                         .input_count = INPUTS};
    char *bytes[2];
    size_t size[2];
    for (int round = 0; round < 2; round++) {
        lloyd_array *array;
        if (round) sleep(1); /* no times in the file */
        assert_int_equal(lloyd_model_write(fresh("m.h5"), &model, &(lloyd_row_outputs){.labels = 1},
                                           NULL),
                         LLOYD_OK);
        assert_int_equal(lloyd_array_open(out("m.h5"), "/labels", &array), LLOYD_OK);
        assert_int_equal(lloyd_array_write(array, 0, 7, labels), LLOYD_OK);
        assert_int_equal(lloyd_array_close(array), LLOYD_OK);
        assert_int_equal(lloyd_output_commit(out("m.h5")), LLOYD_OK);
        bytes[round] = get_bytes("m.h5", &size[round]);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    free(bytes[0]), free(bytes[1]);
    lloyd_model read;
    if (lloyd_model_read("m.h5", &read) != LLOYD_OK) fail_msg("%s", lloyd_message());
    assert_true(read.n == 7 && read.d == 2 && read.k == 3 && read.iterations == 2 &&
                read.final_inertia == 8.125);
    assert_true(read.converged == 1 && read.seed == UINT64_MAX - 1 && read.ranks == 5 &&
                read.cosine == 1);
    assert_memory_equal(read.centroids, centroids, sizeof centroids);
    assert_memory_equal(read.counts, counts, sizeof counts);
    assert_memory_equal(read.inertia, inertia, sizeof inertia);
    assert_memory_equal(read.moved, moved, sizeof moved);
    assert_memory_equal(read.seconds, seconds, sizeof seconds);
    assert_string_equal(read.version, model.version);
    assert_string_equal(read.command, model.command);
    assert_string_equal(read.options, model.options);
    assert_string_equal(read.backend, model.backend);
    assert_int_equal(read.input_count, INPUTS);
    assert_string_equal(read.inputs[4999], inputs[4999]);
    lloyd_model_free(&read);
    int32_t stored[7];
    int64_t total;
    assert_int_equal(lloyd_inspect_labels("m.h5", 0, 7, &total, stored), LLOYD_OK);
    assert_memory_equal(stored, labels, sizeof labels);
    /* Without labels, without iterations. */
    model.iterations = 0;
    model.input_count = 0;
    model.version = NULL;
    assert_int_equal(lloyd_model_write(fresh("n.h5"), &model, NULL, NULL), LLOYD_OK);
    assert_int_equal(lloyd_output_commit(out("n.h5")), LLOYD_OK);
    check_failed(lloyd_inspect_labels("n.h5", 0, 0, &total, NULL), LLOYD_BAD_INPUT,
                 "no dataset /labels", NULL, NULL);
    assert_int_equal(lloyd_model_read("n.h5", &read), LLOYD_OK);
    assert_true(read.iterations == 0 && read.input_count == 0 && read.k == 3);
    assert_string_equal(read.version, "");
    lloyd_model_free(&read);
    mkdir("no", 0755);
    const lloyd_output *no = out("no/m.h5");
    rmdir("no");
    check_failed(lloyd_model_write(no, &model, &(lloyd_row_outputs){.labels = 1}, NULL),
                 LLOYD_FAILED, "no/m.h5", NULL, NULL);
    for (int i = 0; i < INPUTS; i++) free(inputs[i]);
    free(inputs);
}

static void model_from_elsewhere(void **state)
{
    (void)state;
    lloyd_model read;
    put("c.h5", "centroids", float_type(8, 11, 52, 1023, H5T_ORDER_BE), chunks(2, 2, 1), 2, 5, 3,
        0);
    put("c.h5", "counts", H5Tcopy(H5T_STD_I32LE), H5P_DEFAULT, 1, 4, 1, 0); /* of something else */
    assert_int_equal(lloyd_model_read("c.h5", &read), LLOYD_OK);
    assert_true(read.k == 5 && read.d == 3 && !read.counts && !read.inertia &&
                read.iterations == 0);
    for (int i = 0; i < 15; i++) assert_true(read.centroids[i] == sample(i / 3, i % 3, 0));
    lloyd_model_free(&read);
    put("u.h5", "centroids", H5Tcopy(H5T_STD_U8LE), H5P_DEFAULT, 2, 5, 3, 0);
    assert_int_equal(lloyd_model_read("u.h5", &read), LLOYD_OK);
    assert_true(read.centroids[14] == sample(4, 2, 1));
    lloyd_model_free(&read);
    hid_t file = H5Fopen("u.h5", H5F_ACC_RDWR, H5P_DEFAULT),
          dataset = H5Dopen2(file, "centroids", H5P_DEFAULT);
    H5Dclose(dataset), H5Fclose(file);
    put_f32("nan.h5", "centroids", 5, 3, 0);
    file = H5Fopen("nan.h5", H5F_ACC_RDWR, H5P_DEFAULT),
    dataset = H5Dopen2(file, "centroids", H5P_DEFAULT);
    float data[15] = {0};
    data[7] = NAN;
    H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    H5Dclose(dataset), H5Fclose(file);
    check_failed(lloyd_model_read("nan.h5", &read), LLOYD_BAD_INPUT, "nan.h5", "centroid 2", NULL);
    put("one.h5", "centroids", file_type(LLOYD_F32, H5T_ORDER_LE), H5P_DEFAULT, 1, 5, 1, 0);
    check_failed(lloyd_model_read("one.h5", &read), LLOYD_BAD_INPUT, "two-dimensional", NULL, NULL);
    put_f32("x.h5", "x", 5, 3, 0);
    check_failed(lloyd_model_read("x.h5", &read), LLOYD_BAD_INPUT, "no dataset /centroids", "x.h5",
                 NULL);
    put_f32("e.h5", "centroids", 0, 3, 0);
    check_failed(lloyd_model_read("e.h5", &read), LLOYD_BAD_INPUT, "at least one row", NULL, NULL);
    check_failed(lloyd_model_read("gone.h5", &read), LLOYD_BAD_INPUT, "gone.h5", "No such file",
                 NULL);
    lloyd_model_free(&read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(output_check),        TEST(output_array),
                                       TEST(output_same_bytes),   TEST(output_array_edges),
                                       TEST(output_large),        TEST(model_round_trip),
                                       TEST(model_from_elsewhere)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
