/* Rows in memory against the same rows in a file: lloyd_predict_rows() must give what lloyd_predict() does,
 * however the rows are spread over the ranks. And what it refuses, on all ranks.
 */
#include "lloyd/lloyd_mpi.h"

#include "base/types.h"
#include "comm/comm.h"
#include "io/rows.h"
#include "io/writers/model.h"
#include "kernels/dist.h"

#include "shared_folder.h"

#include <hdf5.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 500, D = 37, K = 11 };

/* --- the file, its model and its labels --- */

static void read_array(const char *path, const char *name, hid_t type, void *data)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    assert_true(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(set);
    H5Fclose(file);
}

/* rows.h5, model.h5 and labels.h5 */
static void write_files(const char *type, const char *metric)
{
    char rows[600], model[600], labels[600];
    const char *input = path_of("rows.h5", rows, sizeof rows);
    const lloyd_synth_options synth =
        {.rows = N, .dim = D, .clusters = K, .type = type, .seed = 9, .output = rows};
    assert_int_equal(lloyd_synth(comm, &synth), LLOYD_OK);

    lloyd_fit_options fit;
    lloyd_fit_defaults(&fit);
    fit.inputs = &input;
    fit.input_count = 1;
    fit.k = K;
    fit.max_iters = 2;
    fit.metric = metric;
    fit.progress = "none";
    fit.output = path_of("model.h5", model, sizeof model);
    assert_int_equal(lloyd_fit(comm, &fit, NULL), LLOYD_OK);

    lloyd_predict_options predict;
    lloyd_predict_defaults(&predict);
    predict.inputs = &input;
    predict.input_count = 1;
    predict.model = model;
    predict.output = path_of("labels.h5", labels, sizeof labels);
    predict.distances = 1;
    assert_int_equal(lloyd_predict(comm, &predict, NULL), LLOYD_OK);
}

typedef struct memory {
    lloyd_local_rows rows;
    int64_t first;
    void *data;
} memory;

/* The rows of this rank: more, the higher the rank. */
static void read_memory(const char *type, memory *m)
{
    char path[600];
    const char *input = path_of("rows.h5", path, sizeof path);
    const int64_t rank = comm->rank, size = comm->size;
    lloyd_rows *rows;
    m->first = N * rank * rank / (size * size);
    int64_t count = N * (rank + 1) * (rank + 1) / (size * size) - m->first;
    m->data = malloc(sizeof(float) * N * D);
    assert_int_equal(lloyd_rows_open(&input, 1, &rows), LLOYD_OK);
    assert_int_equal(lloyd_rows_read(rows, m->first, count, m->data), LLOYD_OK);
    lloyd_rows_close(rows);
    m->rows = (lloyd_local_rows){.data = count > 0 ? m->data : NULL,
                                 .count = count,
                                 .dim = D,
                                 .type = type};
}

static lloyd_predict_options defaults(void)
{
    lloyd_predict_options options;
    lloyd_predict_defaults(&options);
    return options;
}

/* --- what is given --- */

typedef struct arrays {
    int32_t labels[N], second[N];
    double distances[N], all[N * K], second_distances[N];
} arrays;

/* All of them. */
static lloyd_local_prediction into(arrays *a)
{
    return (lloyd_local_prediction){.labels = a->labels,
                                    .distances = a->distances,
                                    .all_distances = a->all,
                                    .second = a->second,
                                    .second_distances = a->second_distances};
}

static void predict(const memory *m, const lloyd_local_model *model, arrays *a)
{
    const lloyd_predict_options options = defaults();
    const lloyd_local_prediction out = into(a);
    lloyd_predict_result result;
    memset(a, 0xee, sizeof *a);
    assert_int_equal(lloyd_predict_rows(comm, &options, &m->rows, model, &out, &result), LLOYD_OK);
    assert_int_equal(result.n, N);
    assert_int_equal(result.d, D);
    assert_int_equal(result.k, K);
    assert_int_equal(result.files, 0);
    assert_int_equal(result.skipped, 0);
    assert_string_equal(result.type, m->rows.type);
}

/* The nearest of all but the label, the first of equals. */
static void check_second(const arrays *a, int64_t i)
{
    const double *all = a->all + i * K;
    int32_t nearest = a->labels[i] == 0;
    for (int32_t k = 0; k < K; k++)
        if (k != a->labels[i] && all[k] < all[nearest]) nearest = k;
    assert_int_equal(a->second[i], nearest);
    assert_true(a->second_distances[i] == all[nearest]);
}

/* Every rank compares with what the file has. */
static void compare(const memory *m, const lloyd_local_model *model, const arrays *a)
{
    char path[600];
    static int32_t labels[N];
    static float distances[N];
    path_of("labels.h5", path, sizeof path);
    read_array(path, "labels", H5T_NATIVE_INT32, labels);
    read_array(path, "distances", H5T_NATIVE_FLOAT, distances);
    const int is_plain = strcmp(m->rows.type, "float32") == 0 && strcmp(model->metric, "l2") == 0;
    for (int64_t i = 0; i < m->rows.count; i++) {
        const double *all = a->all + i * K;
        assert_int_equal(a->labels[i], labels[m->first + i]);
        assert_true((float)a->distances[i] == distances[m->first + i]);
        assert_true(all[a->labels[i]] == a->distances[i]);
        check_second(a, i);
        for (int64_t k = 0; k < K; k++) {
            assert_true(all[k] > a->distances[i] || k >= a->labels[i]);
            if (is_plain)
                assert_true(all[k] == lloyd_dist((const float *)m->data + i * D,
                                                 model->centroids + k * D, D));
        }
    }
}

static void check_same(const char *type, const char *metric)
{
    char path[600];
    static arrays a;
    static float wrong[K * D];
    memory m;
    lloyd_model file;
    write_files(type, metric);
    assert_int_equal(lloyd_model_read(path_of("model.h5", path, sizeof path), &file), LLOYD_OK);
    read_memory(type, &m);
    lloyd_local_model model = {.centroids = file.centroids, .k = K, .metric = metric};
    const lloyd_local_model other = {.centroids = wrong, .k = K, .metric = metric};
    predict(&m, comm->rank == 0 ? &model : &other, &a); /* only rank 0's count */
    compare(&m, &model, &a);
    lloyd_model_free(&file);
    free(m.data);
    assert_int_equal(comm->barrier(comm), LLOYD_OK);
}

static void test_types(void **unused)
{
    (void)unused;
    static const char *const types[] = {"float32", "float16", "bfloat16", "uint8", "int8"};
    for (int t = 0; t < 5; t++) check_same(types[t], "l2");
    check_same("float32", "cosine");
    check_same("int8", "cosine");
}

/* However many rows are worked on at a time. */
static void test_chunks(void **unused)
{
    (void)unused;
    enum { ROWS = 400, WIDE = 2000 };
    float *values = malloc(sizeof(float) * ROWS * WIDE);
    static float centroids[K * WIDE];
    static arrays whole, cut;
    for (int i = 0; i < ROWS * WIDE; i++)
        values[i] = (float)((i % 7907 + comm->rank) * 7919 % 1013) / 8;
    for (int i = 0; i < K * WIDE; i++) centroids[i] = (float)(i * 31 % 149);
    const lloyd_local_rows rows = {.data = values, .count = ROWS, .dim = WIDE, .type = "float32"};
    const lloyd_local_model model = {.centroids = centroids, .k = K, .metric = "l2"};
    const lloyd_local_prediction out[] = {into(&whole), into(&cut)};
    lloyd_predict_options options = defaults();
    assert_int_equal(lloyd_predict_rows(comm, &options, &rows, &model, &out[0], NULL), LLOYD_OK);
    options.chunk_rows = 170;
    assert_int_equal(lloyd_predict_rows(comm, &options, &rows, &model, &out[1], NULL), LLOYD_OK);
    assert_memory_equal(cut.labels, whole.labels, ROWS * sizeof *cut.labels);
    assert_memory_equal(cut.distances, whole.distances, ROWS * sizeof *cut.distances);
    assert_memory_equal(cut.all, whole.all, ROWS * K * sizeof *cut.all);
    assert_memory_equal(cut.second, whole.second, ROWS * sizeof *cut.second);
    assert_memory_equal(cut.second_distances, whole.second_distances,
                        ROWS * sizeof *cut.second_distances);
    for (int64_t i = 0; i < (int64_t)ROWS * K; i++)
        assert_true(whole.all[i] ==
                    lloyd_dist(values + i / K * WIDE, centroids + i % K * WIDE, WIDE));
    free(values);
}

/* float64 is rounded first, as in files. */
static void test_float64(void **unused)
{
    (void)unused;
    static float narrow[N * D], centroids[K * D];
    static double wide[N * D];
    static arrays a, b;
    for (int i = 0; i < N * D; i++) {
        wide[i] = (double)(i * 7919 % 1013) / 7 + comm->rank;
        narrow[i] = (float)wide[i];
    }
    for (int i = 0; i < K * D; i++) centroids[i] = (float)(i * 31 % 149);
    const lloyd_local_model model = {.centroids = centroids, .k = K, .metric = "l2"};
    const int64_t count = N / comm->size + (comm->rank < N % comm->size);
    memory m = {.rows = {.data = wide, .count = count, .dim = D, .type = "float64"}};
    const lloyd_predict_options options = defaults();
    const lloyd_local_prediction out = into(&a);
    assert_int_equal(lloyd_predict_rows(comm, &options, &m.rows, &model, &out, NULL), LLOYD_OK);
    m.rows.data = narrow, m.rows.type = "float32";
    predict(&m, &model, &b);
    assert_memory_equal(a.labels, b.labels, (size_t)count * sizeof *a.labels);
    assert_memory_equal(a.all, b.all, (size_t)count * K * sizeof *a.all);
}

/* Nothing is written where nothing is asked for, on some ranks or on all. */
static void test_results_left_out(void **unused)
{
    (void)unused;
    char path[600];
    static arrays a, b;
    memory m;
    lloyd_model file;
    write_files("float32", "l2");
    assert_int_equal(lloyd_model_read(path_of("model.h5", path, sizeof path), &file), LLOYD_OK);
    read_memory("float32", &m);
    const lloyd_local_model model = {.centroids = file.centroids, .k = K, .metric = "l2"};
    const lloyd_predict_options options = defaults();
    const lloyd_local_prediction some = {.distances = b.distances},
                                 every = {.all_distances = b.all},
                                 second = {.second_distances = b.second_distances}, none = {0};
    predict(&m, &model, &a);
    assert_int_equal(lloyd_predict_rows(comm, &options, &m.rows, &model,
                                        comm->rank == 0 ? &some : (comm->rank == 1 ? NULL : &none),
                                        NULL),
                     LLOYD_OK);
    if (comm->rank == 0)
        assert_memory_equal(b.distances, a.distances, (size_t)m.rows.count * sizeof *b.distances);
    assert_int_equal(lloyd_predict_rows(comm, &options, &m.rows, &model, &every, NULL), LLOYD_OK);
    assert_memory_equal(b.all, a.all, (size_t)m.rows.count * K * sizeof *b.all);
    assert_int_equal(lloyd_predict_rows(comm, &options, &m.rows, &model, &second, NULL), LLOYD_OK);
    assert_memory_equal(b.second_distances, a.second_distances,
                        (size_t)m.rows.count * sizeof *b.second_distances);
    lloyd_model_free(&file);
    free(m.data);
    assert_int_equal(comm->barrier(comm), LLOYD_OK);
}

/* --- what is refused --- */

/* All ranks fail with the status, and one of them has the message. */
static void check_refused(const lloyd_predict_options *options, const lloyd_local_rows *rows,
                          const lloyd_local_model *model, const lloyd_local_prediction *out,
                          lloyd_status status, const char *says)
{
    assert_int_equal(lloyd_predict_rows(comm, options, rows, model, out, NULL), status);
    int64_t told = strlen(lloyd_message()) > 0;
    if (told && !strstr(lloyd_message(), says)) fail_msg("%s", lloyd_message());
    assert_int_equal(lloyd_comm_sum_host(comm, &told, 1), LLOYD_OK);
    assert_int_equal(told, 1);
}

static void test_refused(void **unused)
{
    (void)unused;
    const int last = comm->rank == comm->size - 1, several = comm->size > 1;
    float values[4 * D] = {0}, centroids[2 * D] = {0};
    const lloyd_local_model good = {.centroids = centroids, .k = 2, .metric = "l2"};
    const lloyd_local_rows sound = {.data = values, .count = 4, .dim = D, .type = "float32"};
    lloyd_predict_options options = defaults();
    lloyd_local_model model = good;
    lloyd_local_rows rows = sound;
    check_refused(&options, &rows, NULL, NULL, LLOYD_USAGE, "are no model");
    model.k = 0;
    check_refused(&options, &rows, &model, NULL, LLOYD_USAGE, "0 centroids are no model");
    model = good, model.centroids = NULL;
    check_refused(&options, &rows, &model, NULL, LLOYD_USAGE, "at address NULL");
    model = good, model.metric = "angular";
    check_refused(&options, &rows, &model, NULL, LLOYD_USAGE, "cannot be 'angular'");
    model = good, model.k = last ? 1 : 2;
    if (several) check_refused(&options, &rows, &model, NULL, LLOYD_USAGE, "1 centroids and");
    model = good, rows.dim = last ? D - 1 : D;
    if (several) check_refused(&options, &rows, &model, NULL, LLOYD_USAGE, "rows of 36 columns");
    rows = sound, rows.count = 0;
    check_refused(&options, &rows, &model, NULL, LLOYD_BAD_INPUT, "no rank has any rows");
    rows = sound, rows.type = "float128";
    check_refused(&options, &rows, &model, NULL, LLOYD_USAGE, "'float128'");

    rows = sound;
    options.output = "labels.h5";
    check_refused(&options, &rows, &model, NULL, LLOYD_USAGE, "have no files");
    options = defaults(), options.chunk_rows = -1;
    check_refused(&options, &rows, &model, NULL, LLOYD_USAGE, "chunk_rows -1: must be at least 0");
    options = defaults(), options.backend = "cpu";
    const lloyd_local_prediction far = {.on_gpu = last};
    check_refused(&options, &rows, &model, &far, LLOYD_USAGE, "in GPU memory, but CPUs compute");

    options = defaults();
    centroids[D + 1] = NAN;
    check_refused(&options, &rows, &model, NULL, LLOYD_BAD_INPUT, "centroid 1 holds NaN");
    centroids[D + 1] = 0;
    if (last) values[2 * D] = INFINITY;
    check_refused(&options, &rows, &model, NULL, LLOYD_BAD_INPUT, "holds NaN or infinity");
    values[2 * D] = 0;
    lloyd_stop(15);
    check_refused(&options, &rows, &model, NULL, LLOYD_STOPPED, "stopped by SIGTERM");
    lloyd_stop(15);
    lloyd_stop(0);
    assert_int_equal(lloyd_predict_rows(comm, &options, &rows, &model, NULL, NULL), LLOYD_OK);
}

static int open_all(void **unused)
{
    (void)unused;
    return open_shared_folder();
}

static int close_all(void **unused)
{
    (void)unused;
    static const char *const names[] = {"rows.h5", "model.h5", "labels.h5"};
    return close_shared_folder(names, sizeof names / sizeof *names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RANKS_TEST(test_types),   RANKS_TEST(test_chunks),
        RANKS_TEST(test_float64), RANKS_TEST(test_results_left_out),
        RANKS_TEST(test_refused),
    };
    int level;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    int failed = cmocka_run_group_tests(tests, open_all, close_all);
    MPI_Finalize();
    return failed;
}
