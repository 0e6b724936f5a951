/* Clusters rows that an MPI program has in memory: a simulation's particles, a model's embeddings.
 * Each rank gives its own rows and gets their labels; all get the same centroids.
 *
 *     mpicc cluster_my_rows.c $(pkg-config --cflags --libs lloyd) -o cluster_my_rows
 *     mpirun -n 2 ./cluster_my_rows
 */
#include <lloyd/lloyd_mpi.h>

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 20000, DIM = 3, CLUSTERS = 4 };

/* This rank's rows: points around the corners of a tetrahedron, each rank with its own. */
static void make_rows(int rank, float *rows)
{
    static const float corners[CLUSTERS][DIM] = {{0, 0, 0}, {9, 9, 0}, {9, 0, 9}, {0, 9, 9}};
    unsigned state = 12345U + (unsigned)rank;
    for (int i = 0; i < ROWS * DIM; i++) {
        state = state * 1664525U + 1013904223U;
        float noise = (float)(state >> 16) / 65536 - 0.5F;
        rows[i] = corners[i / DIM % CLUSTERS][i % DIM] + 2 * noise;
    }
}

static lloyd_status cluster(lloyd_comm *comm, const float *data, int32_t *labels)
{
    lloyd_fit_options options;
    lloyd_fit_defaults(&options);
    options.k = CLUSTERS;
    options.init = "kmeans++";
    options.progress = "none";

    const lloyd_local_rows rows = {.data = data, .count = ROWS, .dim = DIM, .type = "float32"};
    float centroids[CLUSTERS * DIM];
    int64_t counts[CLUSTERS];
    const lloyd_local_result out = {.centroids = centroids, .counts = counts, .labels = labels};
    lloyd_fit_result result;
    LLOYD_TRY(lloyd_fit_rows(comm, &options, &rows, NULL, &out, &result));

    if (lloyd_comm_rank(comm) != 0) return LLOYD_OK;
    printf("%lld rows, %lld iterations, inertia %.6g\n", (long long)result.n,
           (long long)result.iterations, result.inertia);
    for (int k = 0; k < CLUSTERS; k++) {
        printf("cluster %d: %6lld rows around (%.2f, %.2f, %.2f)\n", k, (long long)counts[k],
               (double)centroids[k * DIM], (double)centroids[k * DIM + 1],
               (double)centroids[k * DIM + 2]);
    }
    return LLOYD_OK;
}

int main(int argc, char **argv)
{
    int rank, level;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);

    float *rows = malloc(sizeof *rows * ROWS * DIM);
    int32_t *labels = malloc(sizeof *labels * ROWS);
    if (rows == NULL || labels == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
    make_rows(rank, rows);

    lloyd_comm *comm = NULL;
    lloyd_status status = lloyd_comm_open_mpi(MPI_COMM_WORLD, &comm);
    if (status == LLOYD_OK) status = cluster(comm, rows, labels);
    lloyd_comm_close(comm);
    if (status == LLOYD_OK) printf("rank %d: its first row is in cluster %d\n", rank, labels[0]);
    /* One of the ranks has the message. */
    else if (lloyd_message()[0] != '\0')
        fprintf(stderr, "cluster_my_rows: %s\n", lloyd_message());

    free(rows);
    free(labels);
    MPI_Finalize();
    return status;
}
