/* Collectives by MPI. Counts above 2^31 go in pieces: MPI 3 counts with an int. Sums of device
 * buffers: a CUDA-aware MPI gets the device's pointers, any other the values in host memory.
 */
#include "comm/comm.h"

#include "base/memory.h"
#include "comm/staging.h"

#include <limits.h>
#include <mpi.h>
#include <stdlib.h>

#ifdef OPEN_MPI
#include <mpi-ext.h> /* MPIX_CUDA_AWARE_SUPPORT */
#endif

enum { PIECE = 1 << 28 }; /* elements per call */

typedef struct mpi_state {
    MPI_Comm comm;
    int finalize;   /* we initialised MPI */
    int cuda_aware; /* of all ranks: MPI takes pointers to device memory */
    lloyd_staging *staging;
} mpi_state;

static MPI_Comm handle(const lloyd_comm *comm)
{
    return ((const mpi_state *)comm->state)->comm;
}

static lloyd_status check(lloyd_comm *comm, int code, const char *what)
{
    if (code == MPI_SUCCESS) return LLOYD_OK;
    comm->broken = 1;
    char text[MPI_MAX_ERROR_STRING] = "unknown error";
    int length = 0;
    (void)MPI_Error_string(code, text, &length);
    return lloyd_fail(
        LLOYD_FAILED,
        "MPI failed in %s on rank %d of %d: %s; look at the other ranks and at the network", what,
        comm->rank, comm->size, text);
}

/* values[0 .. count): wherever MPI can reach them. */
static lloyd_status sum_values(void *context, int64_t *values, int64_t count)
{
    lloyd_comm *comm = context;
    for (int64_t at = 0; at < count; at += PIECE) {
        int piece = (int)(count - at < PIECE ? count - at : PIECE);
        LLOYD_TRY(check(comm,
                        MPI_Allreduce(MPI_IN_PLACE, values + at, piece, MPI_INT64_T, MPI_SUM,
                                      handle(comm)),
                        "a sum over ranks"));
    }
    return LLOYD_OK;
}

static lloyd_status sum_device(lloyd_comm *comm, lloyd_buffer buffer, int64_t count)
{
    mpi_state *state = comm->state;
    if (!state->cuda_aware)
        return lloyd_staging_sum(&state->staging, buffer, count, sum_values, comm);
    LLOYD_TRY(lloyd_staging_wait(buffer));
    return sum_values(comm, buffer.data, count);
}

static lloyd_status sum(lloyd_comm *comm, lloyd_buffer buffer, int64_t count)
{
    if (buffer.place == LLOYD_HOST) return sum_values(comm, buffer.data, count);
    if (comm->size == 1) return LLOYD_OK;
    lloyd_status status = sum_device(comm, buffer, count);
    if (status != LLOYD_OK) comm->broken = 1; /* the other ranks wait inside MPI */
    return status;
}

static lloyd_status max(lloyd_comm *comm, double *values, int64_t count)
{
    for (int64_t at = 0; at < count; at += PIECE) {
        int piece = (int)(count - at < PIECE ? count - at : PIECE);
        LLOYD_TRY(check(comm,
                        MPI_Allreduce(MPI_IN_PLACE, values + at, piece, MPI_DOUBLE, MPI_MAX,
                                      handle(comm)),
                        "a maximum over ranks"));
    }
    return LLOYD_OK;
}

static lloyd_status broadcast(lloyd_comm *comm, void *data, int64_t bytes, int root)
{
    char *at = data;
    for (int64_t left = bytes; left > 0; left -= PIECE, at += PIECE) {
        int piece = (int)(left < PIECE ? left : PIECE);
        LLOYD_TRY(check(comm, MPI_Bcast(at, piece, MPI_BYTE, root, handle(comm)), "a broadcast"));
    }
    return LLOYD_OK;
}

static lloyd_status exclusive_scan(lloyd_comm *comm, int64_t *value)
{
    int64_t own = *value, before = 0;
    LLOYD_TRY(check(comm, MPI_Exscan(&own, &before, 1, MPI_INT64_T, MPI_SUM, handle(comm)),
                    "a scan over ranks"));
    *value = comm->rank == 0 ? 0 : before;
    return LLOYD_OK;
}

static lloyd_status barrier(lloyd_comm *comm)
{
    return check(comm, MPI_Barrier(handle(comm)), "a barrier");
}

static lloyd_status agree(lloyd_comm *comm, lloyd_status status)
{
    int mine[2] = {status == LLOYD_OK ? INT_MAX : comm->rank, status}, first = INT_MAX;
    LLOYD_TRY(check(comm, MPI_Allreduce(&mine[0], &first, 1, MPI_INT, MPI_MIN, handle(comm)),
                    "an agreement"));
    if (first == INT_MAX) return LLOYD_OK;
    int agreed = status;
    LLOYD_TRY(check(comm, MPI_Bcast(&agreed, 1, MPI_INT, first, handle(comm)), "an agreement"));
    if (first == comm->rank) return status; /* its message is the one to be read */
    return lloyd_fail((lloyd_status)agreed, "%s", "");
}

static void end(lloyd_comm *comm, lloyd_status status)
{
    (void)MPI_Abort(handle(comm), status);
    _Exit(status);
}

static void destroy(lloyd_comm *comm)
{
    if (!comm) return;
    mpi_state *state = comm->state;
    if (comm->broken) end(comm, LLOYD_FAILED);
    lloyd_staging_free(state->staging);
    (void)MPI_Comm_free(&state->comm);
    if (state->finalize) (void)MPI_Finalize();
    lloyd_free(state);
    lloyd_free(comm);
}

static lloyd_status start_mpi(int *started)
{
    int initialised = 0, level = 0;
    *started = 0;
    (void)MPI_Initialized(&initialised);
    if (initialised) return LLOYD_OK;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS) {
        return lloyd_fail(
            LLOYD_FAILED,
            "MPI did not start; is this program run by the mpirun or srun it was built for?");
    }
    *started = 1;
    return LLOYD_OK;
}

static lloyd_status find_place(lloyd_comm *comm)
{
    MPI_Comm node;
    LLOYD_TRY(check(comm, MPI_Comm_rank(handle(comm), &comm->rank), "a look at the ranks"));
    LLOYD_TRY(check(comm, MPI_Comm_size(handle(comm), &comm->size), "a look at the ranks"));
    LLOYD_TRY(check(comm,
                    MPI_Comm_split_type(handle(comm), MPI_COMM_TYPE_SHARED, comm->rank,
                                        MPI_INFO_NULL, &node),
                    "a look at the ranks of this node"));
    (void)MPI_Comm_rank(node, &comm->local_rank);
    (void)MPI_Comm_size(node, &comm->local_size);
    (void)MPI_Comm_free(&node);
    return LLOYD_OK;
}

/* All ranks send from the same kind of memory, in pieces of the same size. */
static lloyd_status agree_on_cuda(lloyd_comm *comm)
{
    int *aware = &((mpi_state *)comm->state)->cuda_aware;
#ifdef MPIX_CUDA_AWARE_SUPPORT
    *aware = MPIX_Query_cuda_support() != 0;
#endif
    return check(comm, MPI_Allreduce(MPI_IN_PLACE, aware, 1, MPI_INT, MPI_MIN, handle(comm)),
                 "the start");
}

lloyd_status lloyd_comm_world(lloyd_comm **out)
{
    lloyd_comm *comm = NULL;
    mpi_state *state;
    *out = NULL;
    LLOYD_TRY(lloyd_alloc(&state, 1, sizeof *state, "communicator"));
    lloyd_status status = lloyd_alloc(&comm, 1, sizeof *comm, "communicator");
    if (status == LLOYD_OK) status = start_mpi(&state->finalize);
    if (status != LLOYD_OK) {
        lloyd_free(comm);
        lloyd_free(state);
        return status;
    }
    *comm = (lloyd_comm){
        .name = "mpi",
        .state = state,
        .sum = sum,
        .max = max,
        .broadcast = broadcast,
        .exclusive_scan = exclusive_scan,
        .barrier = barrier,
        .agree = agree,
        .abort = end,
        .destroy = destroy,
    };
    status = check(comm, MPI_Comm_dup(MPI_COMM_WORLD, &state->comm), "the start");
    if (status == LLOYD_OK) (void)MPI_Comm_set_errhandler(state->comm, MPI_ERRORS_RETURN);
    if (status == LLOYD_OK) status = find_place(comm);
    if (status == LLOYD_OK) status = agree_on_cuda(comm);
    if (status != LLOYD_OK) {
        destroy(comm);
        return status;
    }
    *out = comm;
    return LLOYD_OK;
}
