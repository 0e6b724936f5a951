/* Rows in memory against the same rows in a file: lloyd_fit_rows() must give what lloyd_fit() does,
 * bit for bit, however the rows are spread over the ranks. And what it refuses, on all ranks.
 */
#include "lloyd/lloyd_mpi.h"

#include "base/types.h"
#include "comm/comm.h"
#include "io/rows.h"
#include "io/writers/model.h"

#include "shared_folder.h"

#include <hdf5.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 700, D = 9, K = 12, ITERATIONS = 6 };

/* --- the rows, in a file and in memory --- */

/* Quarters, with ties. */
static double value_at(int64_t row, int64_t column)
{
    return (double)((row * 7919 + column * 104729 + row * row % 31 * column) % 61) / 4 +
           (double)(row % K);
}

static float weight_at(int64_t row)
{
    return (float)(row % 5) / 2;
}

static void write_dataset(hid_t file, const char *name, hid_t type, int rank, const hsize_t *shape,
                          const void *data)
{
    hid_t space = H5Screate_simple(rank, shape, NULL);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(set >= 0 && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(set);
    H5Sclose(space);
}

static void write_weights(const char *path)
{
    float weights[N];
    const hsize_t shape[] = {N};
    for (int64_t i = 0; i < N; i++) weights[i] = weight_at(i);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    write_dataset(file, "weights", H5T_NATIVE_FLOAT, 1, shape, weights);
    H5Fclose(file);
}

static void write_doubles(const char *path)
{
    double *rows = malloc(sizeof(double) * N * D);
    const hsize_t shape[] = {N, D};
    for (int64_t i = 0; i < N * D; i++) rows[i] = value_at(i / D, i % D) * (1 + 1e-9);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    write_dataset(file, "train", H5T_NATIVE_DOUBLE, 2, shape, rows);
    H5Fclose(file);
    free(rows);
}

/* TYPE.h5 with /train and /weights; float64.h5 has values that no float32 is. */
static void write_file(const char *type)
{
    char name[32], path[600];
    snprintf(name, sizeof name, "%s.h5", type);
    path_of(name, path, sizeof path);
    int wide = strcmp(type, "float64") == 0;
    const lloyd_synth_options options =
        {.rows = N, .dim = D, .clusters = K, .type = type, .seed = 5, .output = path};
    if (!wide) assert_int_equal(lloyd_synth(comm, &options), LLOYD_OK);
    if (wide && comm->rank == 0) write_doubles(path);
    if (comm->rank == 0) write_weights(path);
    assert_int_equal(comm->barrier(comm), LLOYD_OK);
}

/* How the rows are spread. */
typedef enum spread { EVEN, GROWING, LAST_ONLY } spread;

static int64_t first_of(spread how, int rank, int size)
{
    if (how == EVEN) return (int64_t)N * rank / size;
    if (how == GROWING) return (int64_t)N * rank * rank / ((int64_t)size * size);
    return rank < size ? 0 : N;
}

typedef struct memory {
    lloyd_local_rows rows;
    int64_t first;
    void *data;
    float weights[N];
} memory;

/* The rows of this rank, as the file has them. */
static void read_memory(const char *type, spread how, int weighted, memory *m)
{
    char name[32], path[600];
    snprintf(name, sizeof name, "%s.h5", type);
    const char *input = path_of(name, path, sizeof path);
    lloyd_rows *rows;
    m->first = first_of(how, comm->rank, comm->size);
    int64_t count = first_of(how, comm->rank + 1, comm->size) - m->first;
    m->data = malloc(sizeof(double) * N * D);
    if (strcmp(type, "float64") == 0) {
        for (int64_t i = 0; i < count * D; i++)
            ((double *)m->data)[i] = value_at(m->first + i / D, i % D) * (1 + 1e-9);
    } else {
        assert_int_equal(lloyd_rows_open(&input, 1, &rows), LLOYD_OK);
        assert_int_equal(lloyd_rows_read(rows, m->first, count, m->data), LLOYD_OK);
        lloyd_rows_close(rows);
    }
    for (int64_t i = 0; i < count; i++) m->weights[i] = weight_at(m->first + i);
    m->rows = (lloyd_local_rows){.data = count > 0 ? m->data : NULL,
                                 .count = count,
                                 .dim = D,
                                 .type = type,
                                 .weights = weighted && count > 0 ? m->weights : NULL};
}

/* --- both fits --- */

typedef struct arrays {
    float centroids[K * D];
    int64_t counts[K], moved[ITERATIONS];
    int32_t labels[N];
    double inertia[ITERATIONS], seconds[ITERATIONS];
    lloyd_local_result out;
    lloyd_fit_result result;
} arrays;

static void read_labels(const char *path, int32_t *labels)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t set = H5Dopen2(file, "labels", H5P_DEFAULT);
    assert_true(H5Dread(set, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, labels) >= 0);
    H5Dclose(set);
    H5Fclose(file);
}

static lloyd_fit_options defaults(void)
{
    lloyd_fit_options options;
    lloyd_fit_defaults(&options);
    options.k = K;
    options.max_iters = ITERATIONS;
    options.progress = "none";
    return options;
}

/* Every rank compares what the file's model has with what it was given. */
static void compare(const char *path, const memory *m, const arrays *a,
                    const lloyd_fit_result *result)
{
    lloyd_model model;
    int32_t labels[N];
    assert_int_equal(lloyd_model_read(path, &model), LLOYD_OK);
    read_labels(path, labels);
    assert_memory_equal(a->centroids, model.centroids, sizeof a->centroids);
    assert_memory_equal(a->counts, model.counts, sizeof a->counts);
    assert_memory_equal(a->labels, labels + m->first, (size_t)m->rows.count * sizeof *labels);
    assert_int_equal(a->result.iterations, model.iterations);
    size_t bytes = (size_t)model.iterations * 8;
    assert_memory_equal(a->inertia, model.inertia, bytes);
    assert_memory_equal(a->moved, model.moved, bytes);
    assert_memory_equal(&a->result.inertia, &model.final_inertia, sizeof(double));
    assert_int_equal(a->result.converged, model.converged);
    assert_int_equal(a->result.n, N);
    assert_int_equal(a->result.d, D);
    assert_int_equal(a->result.files, 0);
    assert_string_equal(a->result.type, result->type);
    assert_int_equal(a->result.largest, result->largest);
    assert_int_equal(a->result.largest_allowed, model.largest_allowed);
    assert_int_equal(a->result.moved_rows, model.moved_rows);
    assert_memory_equal(&a->result.inertia_before, &model.inertia_before, sizeof(double));
    if (model.max_size > 0) assert_true(result->largest <= model.largest_allowed);
    if (model.max_size > 0) assert_true(model.moved_rows > 0);
    lloyd_model_free(&model);
}

static void fit_memory(const lloyd_fit_options *options, const memory *m, const float *first,
                       arrays *a)
{
    memset(a, 0xee, sizeof *a);
    a->out = (lloyd_local_result){.centroids = a->centroids,
                                  .counts = a->counts,
                                  .labels = a->labels,
                                  .inertia = a->inertia,
                                  .moved = a->moved,
                                  .seconds = a->seconds};
    assert_int_equal(lloyd_fit_rows(comm, options, &m->rows, first, &a->out, &a->result), LLOYD_OK);
}

static void check_same(const char *type, spread how, int weighted, lloyd_fit_options options)
{
    char name[32], input[600], path[600];
    const char *inputs = input;
    lloyd_fit_result result;
    memory m;
    arrays a;
    snprintf(name, sizeof name, "%s.h5", type);
    path_of(name, input, sizeof input);
    path_of("model.h5", path, sizeof path);

    lloyd_fit_options file = options;
    file.inputs = &inputs;
    file.input_count = 1;
    file.output = path;
    file.weights = weighted ? "weights" : NULL;
    assert_int_equal(lloyd_fit(comm, &file, &result), LLOYD_OK);
    read_memory(type, how, weighted, &m);
    fit_memory(&options, &m, NULL, &a);
    compare(path, &m, &a, &result);
    free(m.data);
    assert_int_equal(comm->barrier(comm), LLOYD_OK); /* all have read the model */
}

static void test_types(void **unused)
{
    (void)unused;
    static const char *const types[] = {"float32", "float16", "bfloat16",
                                        "uint8",   "int8",    "float64"};
    for (int t = 0; t < 6; t++) {
        write_file(types[t]);
        for (spread how = EVEN; how <= LAST_ONLY; how++) check_same(types[t], how, 0, defaults());
    }
}

static void test_methods(void **unused)
{
    (void)unused;
    static const char *const methods[] = {"random", "kmeans++", "kmeans-parallel"};
    for (int m = 0; m < 3; m++) {
        for (int weighted = 0; weighted < 2; weighted++) {
            for (int cosine = 0; cosine < 2; cosine++) {
                lloyd_fit_options options = defaults();
                options.init = methods[m];
                options.seed = 3;
                options.metric = cosine ? "cosine" : "l2";
                check_same("float32", m == 0 ? LAST_ONLY : GROWING, weighted, options);
            }
        }
    }
}

static void test_rules(void **unused)
{
    (void)unused;
    lloyd_fit_options options = defaults();
    options.n_init = 3;
    check_same("float32", GROWING, 1, options);
    options = defaults();
    options.max_iters = 0;
    check_same("uint8", GROWING, 0, options);
    options = defaults();
    options.tol = 0.05;
    options.empty = "keep";
    check_same("int8", GROWING, 0, options);
    options = defaults();
    options.max_size = 1.1;
    check_same("float32", LAST_ONLY, 1, options);
    check_same("uint8", GROWING, 0, options);
}

/* Two fits, of which the second begins with the centroids of the first, are one; from the array and
 * from a model. */
static void test_first(void **unused)
{
    (void)unused;
    static arrays whole, half, rest;
    lloyd_fit_options options = defaults();
    memory m;
    options.init = "random"; /* which takes more than two iterations */
    read_memory("float32", GROWING, 0, &m);
    fit_memory(&options, &m, NULL, &whole);
    options.max_iters = 2;
    fit_memory(&options, &m, NULL, &half);
    options.max_iters = ITERATIONS - 2;
    /* Only rank 0's count. */
    if (comm->rank != 0) half.centroids[0] = NAN;
    fit_memory(&options, &m, half.centroids, &rest);
    assert_memory_equal(rest.centroids, whole.centroids, sizeof whole.centroids);
    assert_memory_equal(rest.labels, whole.labels, (size_t)m.rows.count * sizeof *whole.labels);
    assert_true(rest.result.first_inertia == whole.inertia[2]);

    lloyd_model model;
    char path[600];
    options = defaults();
    options.init = path_of("model.h5", path, sizeof path);
    assert_int_equal(lloyd_model_read(path, &model), LLOYD_OK);
    fit_memory(&options, &m, NULL, &whole);
    fit_memory(&options, &m, model.centroids, &rest);
    assert_memory_equal(rest.centroids, whole.centroids, sizeof whole.centroids);
    lloyd_model_free(&model);
    free(m.data);
}

/* Nothing is written where nothing is asked for, on some ranks or on all. */
static void test_results_left_out(void **unused)
{
    (void)unused;
    const lloyd_fit_options options = defaults();
    const lloyd_local_result none = {0};
    float centroids[K * D];
    const lloyd_local_result some = {.centroids = centroids}, far = {.on_gpu = 1};
    static arrays a;
    memory m;
    read_memory("float32", GROWING, 0, &m);
    fit_memory(&options, &m, NULL, &a);
    assert_int_equal(lloyd_fit_rows(comm, &options, &m.rows, NULL,
                                    comm->rank == 0 ? &some : (comm->rank == 1 ? NULL : &none),
                                    NULL),
                     LLOYD_OK);
    if (comm->rank == 0) assert_memory_equal(centroids, a.centroids, sizeof centroids);
    lloyd_fit_options on_cpus = options;
    on_cpus.backend = "cpu";
    assert_int_equal(lloyd_fit_rows(comm, &on_cpus, &m.rows, NULL, &far, NULL), LLOYD_USAGE);
    on_cpus.max_size = 1.1;
    const lloyd_local_result labels = {.labels = a.labels, .on_gpu = 1};
    assert_int_equal(lloyd_fit_rows(comm, &on_cpus, &m.rows, NULL, &labels, NULL), LLOYD_USAGE);
    int64_t told = strstr(lloyd_message(), "cannot be given in memory of a GPU") != NULL;
    assert_int_equal(lloyd_comm_sum_host(comm, &told, 1), LLOYD_OK);
    assert_int_equal(told, 1);
    on_cpus.max_size = 0.5;
    assert_int_equal(lloyd_fit_rows(comm, &on_cpus, &m.rows, NULL, NULL, NULL), LLOYD_USAGE);
    free(m.data);
}

/* --- what is refused --- */

/* All ranks fail with the status, and one of them has the message. */
static void check_refused(const lloyd_fit_options *options, const lloyd_local_rows *rows,
                          const float *first, lloyd_status status, const char *says)
{
    assert_int_equal(lloyd_fit_rows(comm, options, rows, first, NULL, NULL), status);
    int64_t told = strlen(lloyd_message()) > 0;
    if (told && !strstr(lloyd_message(), says)) fail_msg("%s", lloyd_message());
    assert_int_equal(lloyd_comm_sum_host(comm, &told, 1), LLOYD_OK);
    assert_int_equal(told, 1);
}

static void test_refused(void **unused)
{
    (void)unused;
    const int last = comm->rank == comm->size - 1, several = comm->size > 1;
    lloyd_fit_options options = defaults();
    float values[4 * D] = {0}, weights[4] = {1, 1, 1, 1}, first[K * D] = {0};
    for (int i = 0; i < 4 * D; i++) values[i] = (float)i;
    const lloyd_local_rows good = {.data = values, .count = 4, .dim = D, .type = "float32"};
    lloyd_local_rows rows = good;
    options.k = 2;
    check_refused(&options, NULL, NULL, LLOYD_USAGE, "of rank");
    rows.data = NULL;
    check_refused(&options, &rows, NULL, LLOYD_USAGE, "at address NULL");
    rows = good, rows.count = -1;
    check_refused(&options, &rows, NULL, LLOYD_USAGE, "-1 of 9 columns");
    rows = good, rows.dim = 0;
    check_refused(&options, &rows, NULL, LLOYD_USAGE, "of 0 columns");
    rows = good, rows.type = "float128";
    check_refused(&options, &rows, NULL, LLOYD_USAGE, "'float128'");
    rows = good, rows.count = 0;
    check_refused(&options, &rows, NULL, LLOYD_BAD_INPUT, "no rank has any rows");
    rows = good, rows.dim = last ? D - 1 : D;
    if (several)
        check_refused(&options, &rows, NULL, LLOYD_USAGE, "has rows of 8 columns of float32, but");
    rows = good, rows.type = last ? "uint8" : "float32";
    if (several)
        check_refused(&options, &rows, NULL, LLOYD_USAGE, "has rows of 9 columns of uint8, but");
    rows = good, rows.weights = last ? weights : NULL;
    if (several) check_refused(&options, &rows, NULL, LLOYD_USAGE, "some ranks give weights");

    rows = good;
    options.seed = last ? 1 : 0;
    if (several) check_refused(&options, &rows, NULL, LLOYD_USAGE, "has --seed 1, but rank 0 has");
    options.seed = 0, options.metric = last ? "cosine" : "l2";
    if (several) check_refused(&options, &rows, NULL, LLOYD_USAGE, "has --metric cosine, but rank");
    options.metric = last ? "angular" : "l2";
    check_refused(&options, &rows, NULL, LLOYD_USAGE, "--metric cannot be 'angular'");
    options.metric = "l2";

    options.k = (int64_t)4 * comm->size + 1;
    check_refused(&options, &rows, NULL, LLOYD_BAD_INPUT, "is more than the");
    options.k = 2;
    options.backend = "cpu"; /* then nothing is read at this address */
    rows = good, rows.on_gpu = last;
    check_refused(&options, &rows, NULL, LLOYD_USAGE, "in GPU memory, but CPUs compute");
    rows.type = "float64", rows.on_gpu = 1;
    check_refused(&options, &rows, NULL, LLOYD_USAGE, "rows of float64 in GPU memory");
    rows = good;
    options.output = "model.h5";
    check_refused(&options, &rows, NULL, LLOYD_USAGE, "have no files");
    options.output = NULL;
    first[D + 1] = INFINITY;
    check_refused(&options, &rows, first, LLOYD_BAD_INPUT, "centroid 1 ");
    options.n_init = 3;
    check_refused(&options, &rows, first, LLOYD_USAGE, "the same fit 3 times");
    options.n_init = 1;
    if (last) values[2 * D + 3] = NAN;
    char says[128];
    snprintf(says, sizeof says,
             "row 2 of rank %d (row %d of the dataset) holds NaN or infinity, the only such row;",
             comm->size - 1, 4 * (comm->size - 1) + 2);
    check_refused(&options, &rows, NULL, LLOYD_BAD_INPUT, says);
    values[3 * D] = INFINITY;
    snprintf(says, sizeof says, ", the first of %d such rows;", comm->size + 1);
    check_refused(&options, &rows, NULL, LLOYD_BAD_INPUT, says);
    for (int i = 0; i < D; i++) values[i] = 0;
    options.metric = "cosine";
    snprintf(says, sizeof says, "is all zeros and has no direction, the first of %d bad rows;",
             2 * comm->size + 1);
    check_refused(&options, &rows, NULL, LLOYD_BAD_INPUT, says);
    options.metric = "l2";
    values[3 * D] = values[2 * D + 3] = 1;
    rows.weights = weights;
    if (last) weights[3] = -1;
    check_refused(&options, &rows, NULL, LLOYD_BAD_INPUT, "has the weight -1");
    weights[3] = 0;
    assert_int_equal(lloyd_fit_rows(comm, &options, &rows, NULL, NULL, NULL), LLOYD_OK);
}

/* --- communicators --- */

/* Two halves of the ranks work on different data at the same time, each over a communicator that is
 * freed meanwhile; each finds what a process alone finds. */
static void test_halves(void **unused)
{
    (void)unused;
    lloyd_comm *const world = comm;
    static arrays together, alone;
    const char *type = world->rank % 2 ? "int8" : "float32";
    const lloyd_fit_options options = defaults();
    MPI_Comm half;
    memory m;
    MPI_Comm_split(MPI_COMM_WORLD, world->rank % 2, -world->rank, &half);
    assert_int_equal(lloyd_comm_open_mpi(half, &comm), LLOYD_OK);
    MPI_Comm_free(&half);
    assert_int_equal(lloyd_comm_size(comm), (world->size + 1 - world->rank % 2) / 2);
    read_memory(type, GROWING, 0, &m);
    fit_memory(&options, &m, NULL, &together);
    free(m.data);
    lloyd_comm_close(comm);

    assert_int_equal(lloyd_comm_open_self(&comm), LLOYD_OK);
    read_memory(type, EVEN, 0, &m);
    fit_memory(&options, &m, NULL, &alone);
    free(m.data);
    lloyd_comm_close(comm);
    comm = world;
    assert_memory_equal(together.centroids, alone.centroids, sizeof alone.centroids);
    assert_memory_equal(together.counts, alone.counts, sizeof alone.counts);
}

static void test_no_communicator(void **unused)
{
    (void)unused;
    lloyd_comm *none = comm;
    assert_int_equal(lloyd_comm_open_mpi(MPI_COMM_NULL, &none), LLOYD_USAGE);
    assert_null(none);
    assert_non_null(strstr(lloyd_message(), "MPI_COMM_NULL"));
}

static int open_all(void **unused)
{
    (void)unused;
    return open_shared_folder();
}

static int close_all(void **unused)
{
    (void)unused;
    static const char *const names[] = {"float32.h5", "float16.h5", "bfloat16.h5", "uint8.h5",
                                        "int8.h5",    "float64.h5", "model.h5"};
    return close_shared_folder(names, sizeof names / sizeof *names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RANKS_TEST(test_types),  RANKS_TEST(test_methods),          RANKS_TEST(test_rules),
        RANKS_TEST(test_first),  RANKS_TEST(test_results_left_out), RANKS_TEST(test_refused),
        RANKS_TEST(test_halves), RANKS_TEST(test_no_communicator),
    };
    int level;
    lloyd_comm *early = NULL;
    if (lloyd_comm_open_mpi(MPI_COMM_WORLD, &early) != LLOYD_USAGE) return 1; /* no MPI_Init yet */
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    int failed = cmocka_run_group_tests(tests, open_all, close_all);
    int finalised = 0; /* not by lloyd */
    MPI_Finalized(&finalised);
    MPI_Finalize();
    return failed + finalised;
}
