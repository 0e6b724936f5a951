/* synth and info, as commands. */
#include "fixture.h"

#include "base/half.h"
#include "comm/self.h"
#include "io/inspect.h"
#include "io/writers/model.h"
#include "io/writers/wrap.h"
#include "lloyd/lloyd.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Runs `lloyd info` and returns what it prints; free with free(). */
static char *info_text(const char *file, lloyd_status expected)
{
    lloyd_comm *comm;
    size_t bytes;
    assert_int_equal(lloyd_comm_self(&comm), LLOYD_OK);
    fflush(stdout);
    int saved = dup(1), out = open("info.txt", O_CREAT | O_WRONLY | O_TRUNC, 0644);
    dup2(out, 1);
    lloyd_status status = lloyd_info(comm, file);
    fflush(stdout);
    dup2(saved, 1);
    close(saved), close(out);
    comm->destroy(comm);
    if (status != expected) fail_msg("%s", lloyd_message());
    char *text = get_bytes("info.txt", &bytes);
    if (getenv("SHOW_MESSAGES")) printf("%s", text);
    return text;
}

static void check_info(const char *file, const char *a, const char *b, const char *c)
{
    char *text = info_text(file, LLOYD_OK);
    const char *words[3] = {a, b, c};
    for (int i = 0; i < 3; i++)
        if (words[i] && !strstr(text, words[i])) fail_msg("'%s' is not in:\n%s", words[i], text);
    free(text);
}

static void synth(void **state)
{
    (void)state;
    static const char *const types[] = {"float32", "float16", "bfloat16", "uint8", "int8"};
    lloyd_comm *comm;
    assert_int_equal(lloyd_comm_self(&comm), LLOYD_OK);
    lloyd_synth_options options = {.rows = 3000,
                                   .dim = 50,
                                   .clusters = 1,
                                   .seed = 9,
                                   .output = "s.h5"};
    for (int t = LLOYD_F32; t <= LLOYD_I8; t++) {
        options.type = types[t];
        if (lloyd_synth(comm, &options) != LLOYD_OK) fail_msg("%s", lloyd_message());
        lloyd_rows *rows = open_one("s.h5:/train");
        assert_int_equal(lloyd_rows_type(rows), t);
        char *data = malloc(3000 * 50 * 4);
        assert_int_equal(lloyd_rows_read(rows, 0, 3000, data), LLOYD_OK);
        double sigma = t >= LLOYD_U8 ? 12 : 1;
        for (int j = 0; j < 50; j++) { /* one cluster: a column is a Gaussian */
            double sum = 0, squares = 0;
            for (int i = 0; i < 3000; i++) {
                double x = (double)element((lloyd_type)t, data, i * 50 + j);
                sum += x, squares += x * x;
            }
            double mean = sum / 3000, spread = sqrt(squares / 3000 - mean * mean);
            assert_true(spread > 0.9 * sigma && spread < 1.1 * sigma);
            assert_true(t == LLOYD_U8   ? mean > 39 && mean < 216
                        : t == LLOYD_I8 ? fabs(mean) < 89
                                        : fabs(mean) < 10.2);
        }
        free(data);
        lloyd_rows_close(rows);
    }
    size_t a, b;
    options.clusters = 7;
    options.rows = 200;
    assert_int_equal(lloyd_synth(comm, &options), LLOYD_OK);
    char *one = get_bytes("s.h5", &a);
    assert_int_equal(lloyd_synth(comm, &options), LLOYD_OK);
    char *two = get_bytes("s.h5", &b);
    assert_int_equal(a, b);
    assert_memory_equal(one, two, a);
    free(one), free(two);
    lloyd_synth_options bad = options;
    bad.rows = 0;
    check_failed(lloyd_synth(comm, &bad), LLOYD_USAGE, "--rows", NULL, NULL);
    bad = options, bad.dim = 0;
    check_failed(lloyd_synth(comm, &bad), LLOYD_USAGE, "--dim", NULL, NULL);
    bad = options, bad.clusters = -1;
    check_failed(lloyd_synth(comm, &bad), LLOYD_USAGE, "--clusters", NULL, NULL);
    bad = options, bad.type = "int64";
    check_failed(lloyd_synth(comm, &bad), LLOYD_USAGE, "int64", "bfloat16", NULL);
    bad = options, bad.rows = INT64_MAX / 2;
    check_failed(lloyd_synth(comm, &bad), LLOYD_USAGE, "more than a file", NULL, NULL);
    bad = options, bad.output = "none/x.h5";
    check_failed(lloyd_synth(comm, &bad), LLOYD_FAILED, "none/x.h5", NULL, NULL);
    comm->destroy(comm);
}

/* The first elements of a dataset, fixed: the generator must never change. */
static void synth_known(void **state)
{
    (void)state;
    lloyd_comm *comm;
    assert_int_equal(lloyd_comm_self(&comm), LLOYD_OK);
    lloyd_synth_options options =
        {.rows = 10, .dim = 6, .clusters = 4, .type = "float32", .seed = 42, .output = "k.h5"};
    assert_int_equal(lloyd_synth(comm, &options), LLOYD_OK);
    lloyd_rows *rows = open_one("k.h5");
    float data[60];
    assert_int_equal(lloyd_rows_read(rows, 0, 10, data), LLOYD_OK);
    lloyd_rows_close(rows);
    uint32_t bits[60], hash = 2166136261U;
    memcpy(bits, data, sizeof bits);
    for (int i = 0; i < 60; i++) hash = (hash ^ bits[i]) * 16777619U;
    if (hash != 0x5ea18fe6U) fail_msg("0x%08x %a %a", hash, (double)data[0], (double)data[59]);
    comm->destroy(comm);
}

static void info(void **state)
{
    (void)state;
    lloyd_comm *comm;
    assert_int_equal(lloyd_comm_self(&comm), LLOYD_OK);
    put("x.h5", "x", float_type(8, 11, 52, 1023, H5T_ORDER_LE), chunks(10, 4, 1), 2, 1234, 4, 0);
    check_info("x.h5", "1,234 rows x 4 columns of float32 (float64 is rounded)",
               "chunks of 10 x 4, shuffle, deflate", "-100 to 100, mean");
    put_f32("y.h5", "x", 3, 2, 0);
    hid_t file = H5Fopen("y.h5", H5F_ACC_RDWR, H5P_DEFAULT),
          dataset = H5Dopen2(file, "x", H5P_DEFAULT);
    float data[6] = {0, 0, 1, INFINITY, 2, 3};
    H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    H5Dclose(dataset), H5Fclose(file);
    check_info("y.h5", "1 values are NaN or infinite, the first in y.h5:/x row 1", "zero rows    1",
               "0 to 3");
    check_info("[x].h5:x", "Vectors", NULL, NULL);
    float centroids[4] = {1, 2, 3, 4};
    int64_t counts[2] = {0, 700}, moved[30];
    double inertia[30], seconds[30];
    for (int i = 0; i < 30; i++) moved[i] = 1000 - i, inertia[i] = 100 - i, seconds[i] = 0.5;
    lloyd_model model = {.n = 700,
                         .d = 2,
                         .k = 2,
                         .centroids = centroids,
                         .counts = counts,
                         .iterations = 30,
                         .inertia = inertia,
                         .moved = moved,
                         .seconds = seconds,
                         .version = "0.1.0",
                         .ranks = 2,
                         .backend = "cpu"};
    assert_int_equal(lloyd_model_write(fresh("m.h5"), &model, NULL, NULL), LLOYD_OK);
    assert_int_equal(lloyd_output_commit(out("m.h5")), LLOYD_OK);
    check_info("m.h5", "Model: 2 centroids x 2 columns", "largest 700 rows; 1 empty", "...");
    check_info("m.h5:centroids", "Vectors: 2 rows x 2 columns", "1 to 4, mean 2.5", NULL);
    int32_t labels[5] = {3, 1, 3, 3, 0};
    put_array(begun("l.h5"), "/labels", LLOYD_ARRAY_I32, labels, 5, 0, 4, 5);
    assert_int_equal(lloyd_output_commit(out("l.h5")), LLOYD_OK);
    check_info("l.h5", "Labels: of 5 rows", "3 distinct, from 0 to 3", "cluster 3, 3 rows");
    put_raw("r.fbin", "\2\0\0\0\2\0\0\0", 8, LLOYD_F32, 0, 0, 2, 2);
    const char *raw[] = {"r.fbin", "r.fbin"};
    lloyd_wrap_options wrap = {.inputs = raw, .input_count = 2, .output = "r.h5"};
    assert_int_equal(lloyd_wrap(comm, &wrap), LLOYD_OK);
    check_info("r.h5", "Vectors: 4 rows x 2 columns", "external, in r.fbin", NULL);
    const char *sources[] = {"y.h5"};
    put_virtual("v.h5", 1, sources, 3, 2, 0, 3);
    check_info("v.h5", "virtual, 1 source", NULL, NULL);
    free(info_text("gone.h5", LLOYD_BAD_INPUT));
    raw[1] = "gone.fbin", wrap.output = "w.h5";
    check_failed(lloyd_wrap(comm, &wrap), LLOYD_BAD_INPUT, "gone.fbin", NULL, NULL);
    comm->destroy(comm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(synth), TEST(synth_known), TEST(info)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
