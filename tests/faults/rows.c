/* A program with MPI of its own and rows in its memory, for faults.py: lloyd_fit_rows() and lloyd_predict_rows()
 * where calls fail.
 *
 *     lloyd_faults_rows TYPE INIT       TYPE: float32 or float64; INIT: given, or a method of --init
 *
 * Prints a checksum of all that they gave, on all ranks. After an error it tries once more, since an error
 * leaves a program as it was: that must succeed. Ends with the status of the first attempt. Its memory is
 * static and its own MPI calls are none of those that fail (calls.h).
 */
#include "lloyd/lloyd_mpi.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { N = 60, D = 5, K = 4, ITERATIONS = 3 }; /* N rows in all */

static double wide[N * D];
static float narrow[N * D], weights[N], first[K * D], centroids[K * D];
static int64_t counts[K], moved[ITERATIONS];
static int32_t labels[N], nearest[N];
static double distances[N], all_distances[N * K];
static double inertia[ITERATIONS], seconds[ITERATIONS];

static void make_rows(void)
{
    for (int i = 0; i < N * D; i++) {
        int row = i / D;
        wide[i] = (double)(row * 7919 % 61) / 4 + (double)(i % D * row % 7) + 1e-9;
        narrow[i] = (float)wide[i];
    }
    for (int i = 0; i < N; i++) weights[i] = (float)(1 + i % 3) / 2;
    memcpy(first, narrow + N * D / 2, sizeof first);
}

static uint64_t hash(uint64_t h, const void *data, size_t bytes)
{
    const unsigned char *at = data;
    for (size_t i = 0; i < bytes; i++) h = (h ^ at[i]) * 0x100000001b3U;
    return h;
}

/* Of this rank. */
static uint64_t checksum(const lloyd_fit_result *result, int64_t begin, int64_t count)
{
    size_t steps = (size_t)result->iterations;
    uint64_t h = hash((uint64_t)begin, labels + begin, (size_t)count * sizeof *labels);
    h = hash(h, nearest + begin, (size_t)count * sizeof *nearest);
    h = hash(h, distances + begin, (size_t)count * sizeof *distances);
    h = hash(h, all_distances + begin * K, (size_t)(count * K) * sizeof *all_distances);
    h = hash(h, centroids, sizeof centroids);
    h = hash(h, counts, sizeof counts);
    h = hash(h, inertia, steps * sizeof *inertia);
    h = hash(h, moved, steps * sizeof *moved);
    return hash(h, &result->inertia, sizeof result->inertia);
}

static lloyd_status predict(lloyd_comm *comm, const lloyd_local_rows *rows, const char *metric,
                            int64_t begin)
{
    lloyd_predict_options options;
    const lloyd_local_model model = {.centroids = centroids, .k = K, .metric = metric};
    const lloyd_local_prediction out = {.labels = nearest + begin,
                                        .distances = distances + begin,
                                        .all_distances = all_distances + begin * K};
    memset(nearest, 0xff, sizeof nearest);
    memset(distances, 0xff, sizeof distances);
    memset(all_distances, 0xff, sizeof all_distances);
    lloyd_predict_defaults(&options);
    return lloyd_predict_rows(comm, &options, rows, &model, &out, NULL);
}

static lloyd_status fit(const char *type, const char *init, int rank, int ranks, uint64_t *sum)
{
    lloyd_comm *comm;
    lloyd_fit_options options;
    lloyd_fit_result result;
    int given = strcmp(init, "given") == 0, is_wide = strcmp(type, "float64") == 0;
    int64_t begin = (int64_t)N * rank / ranks, count = (int64_t)N * (rank + 1) / ranks - begin;
    const lloyd_local_rows rows = {.data = is_wide ? (const void *)(wide + begin * D)
                                                   : (const void *)(narrow + begin * D),
                                   .count = count,
                                   .dim = D,
                                   .type = type,
                                   .weights = given ? weights + begin : NULL};
    const lloyd_local_result out = {.centroids = centroids,
                                    .counts = counts,
                                    .labels = labels + begin,
                                    .inertia = inertia,
                                    .moved = moved,
                                    .seconds = seconds};
    memset(labels, 0xff, sizeof labels); /* nothing of an earlier attempt */
    memset(centroids, 0xff, sizeof centroids);
    memset(counts, 0xff, sizeof counts);
    memset(inertia, 0xff, sizeof inertia);
    memset(moved, 0xff, sizeof moved);
    lloyd_fit_defaults(&options);
    options.k = K;
    options.max_iters = ITERATIONS;
    options.progress = "none";
    if (!given) {
        options.init = init;
        options.n_init = 2;
        options.metric = "cosine";
    }
    lloyd_status status = lloyd_comm_open_mpi(MPI_COMM_WORLD, &comm);
    if (status != LLOYD_OK) return status;
    status = lloyd_fit_rows(comm, &options, &rows, given ? first : NULL, &out, &result);
    if (status == LLOYD_OK) status = predict(comm, &rows, options.metric, begin);
    lloyd_comm_close(comm);
    if (status == LLOYD_OK) *sum = checksum(&result, begin, count);
    return status;
}

/* One rank has the message. */
static void complain(void)
{
    if (*lloyd_message() != '\0') fprintf(stderr, "lloyd: %s\n", lloyd_message());
}

int main(int argc, char **argv)
{
    int rank = 0, ranks = 1;
    uint64_t sum = 0, all = 0;
    if (argc != 3 || MPI_Init(&argc, &argv) != MPI_SUCCESS) return 2;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    make_rows();
    lloyd_status status = fit(argv[1], argv[2], rank, ranks, &sum), again = status;
    if (status != LLOYD_OK) {
        complain();
        again = fit(argv[1], argv[2], rank, ranks, &sum);
        if (again != LLOYD_OK) complain();
    }
    MPI_Reduce(&sum, &all, 1, MPI_UINT64_T, MPI_SUM, 0, MPI_COMM_WORLD);
    if (rank == 0 && again == LLOYD_OK) printf("%016llx\n", (unsigned long long)all);
    MPI_Finalize();
    return status;
}
