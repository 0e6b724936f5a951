/* Collectives by MPI. Large ones go in pieces: MPI 3 counts with an int, and a collective that does
 * not block needs as much memory again. None blocks, so that no rank waits for another beyond the
 * time limit. Sums of device buffers: a CUDA-aware MPI gets the device's pointers, any other the
 * values in host memory.
 */
#include "comm/mpi.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "comm/liveness.h"
#include "comm/staging.h"

#include <limits.h>
#include <mpi.h>
#include <stdlib.h>
#include <time.h>

#ifdef OPEN_MPI
#include <mpi-ext.h> /* MPIX_CUDA_AWARE_SUPPORT */
#endif

enum { PIECE = 4 << 20 }; /* elements per call */

typedef struct mpi_state {
    MPI_Comm comm;
    int finalize;   /* we initialised MPI */
    int cuda_aware; /* of all ranks: MPI takes pointers to device memory */
    int *counts;    /* [3 * ranks] of an exchange */
    lloyd_staging *staging;
    lloyd_liveness *liveness;
} mpi_state;

static MPI_Comm handle(const lloyd_comm *comm)
{
    return ((const mpi_state *)comm->state)->comm;
}

static lloyd_liveness *liveness_of(const lloyd_comm *comm)
{
    return ((const mpi_state *)comm->state)->liveness;
}

static void break_off(lloyd_comm *comm)
{
    if (comm->broken) return;
    comm->broken = 1;
    if (!lloyd_liveness_fail(liveness_of(comm))) (void)lloyd_fail(LLOYD_FAILED, "%s", "");
}

static lloyd_status check(lloyd_comm *comm, int code, const char *what)
{
    if (code == MPI_SUCCESS) return LLOYD_OK;
    char text[MPI_MAX_ERROR_STRING] = "unknown error";
    int length = 0;
    (void)MPI_Error_string(code, text, &length);
    (void)lloyd_fail(
        LLOYD_FAILED,
        "MPI failed in %s on rank %d of %d: %s; look at the other ranks and at the network", what,
        comm->rank, comm->size, text);
    break_off(comm);
    return LLOYD_FAILED;
}

/* --- waiting --- */

static void take_nap(double seconds)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)(seconds * 1e9)}, NULL);
}

static void end(lloyd_comm *comm, lloyd_status status)
{
    (void)comm;
    (void)MPI_Abort(MPI_COMM_WORLD, status);
    _Exit(status);
}

/* Ends all ranks when rank 0 has saved what it keeps. Nothing is unwound: what this rank waits for may hold
 * its memory or its GPU. */
static void leave(lloyd_comm *comm)
{
    if (comm->rank == 0 && comm->rescue) comm->rescue(comm->rescued);
    lloyd_liveness_leave(liveness_of(comm));
    end(comm, LLOYD_FAILED);
}

static void give_up(lloyd_comm *comm, const char *what, double seconds)
{
    if (lloyd_liveness_check(liveness_of(comm), what, seconds)) lloyd_complain();
    leave(comm);
}

static double watch(lloyd_comm *comm, lloyd_wait *wait, const char *what)
{
    const double look = 0.01;
    double now = lloyd_seconds();
    if (wait->began == 0) wait->began = wait->looked = now;
    double seconds = now - wait->began;
    if (now - wait->looked < look) return seconds;
    wait->looked = now;
    if (comm->rank == 0 && lloyd_liveness_has_failure(liveness_of(comm))) {
        lloyd_liveness_acknowledge(liveness_of(comm));
        leave(comm);
    }
    if (seconds > comm->timeout || lloyd_liveness_is_checked(liveness_of(comm)))
        give_up(comm, what, seconds);
    return seconds;
}

/* After the call that has begun `request`. MPI moves the data only while it is called: this naps only where a
 * rank is late, not in a long transfer. */
static lloyd_status finish(lloyd_comm *comm, int code, MPI_Request *request, const char *what)
{
    lloyd_wait wait = {0};
    int done = 0;
    LLOYD_TRY(check(comm, code, what));
    for (;;) {
        LLOYD_TRY(check(comm, MPI_Test(request, &done, MPI_STATUS_IGNORE), what));
        if (done) return LLOYD_OK;
        if (watch(comm, &wait, what) > 1) take_nap(0.001);
    }
}

/* Returns when all ranks have arrived here. */
static lloyd_status meet(lloyd_comm *comm, const char *what)
{
    MPI_Request request;
    return finish(comm, MPI_Ibarrier(handle(comm), &request), &request, what);
}

/* --- collectives --- */

static lloyd_status sum_values(void *context, int64_t *values, int64_t count)
{
    lloyd_comm *comm = context;
    for (int64_t at = 0; at < count; at += PIECE) {
        int piece = (int)(count - at < PIECE ? count - at : PIECE);
        MPI_Request request;
        int code = MPI_Iallreduce(MPI_IN_PLACE, values + at, piece, MPI_INT64_T, MPI_SUM,
                                  handle(comm), &request);
        LLOYD_TRY(finish(comm, code, &request, "a sum over ranks"));
    }
    return LLOYD_OK;
}

/* Open MPI takes device memory only in reductions that block; so all ranks meet before, and what
 * blocks is the transfer. */
static lloyd_status sum_aware(lloyd_comm *comm, int64_t *values, int64_t count)
{
    const char *what = "a sum over GPUs";
    LLOYD_TRY(meet(comm, what));
    for (int64_t at = 0; at < count; at += PIECE) {
        int piece = (int)(count - at < PIECE ? count - at : PIECE);
        LLOYD_TRY(check(comm,
                        MPI_Allreduce(MPI_IN_PLACE, values + at, piece, MPI_INT64_T, MPI_SUM,
                                      handle(comm)),
                        what));
    }
    return LLOYD_OK;
}

static lloyd_status sum_device(lloyd_comm *comm, lloyd_buffer buffer, int64_t count)
{
    mpi_state *state = comm->state;
    if (!state->cuda_aware)
        return lloyd_staging_sum(&state->staging, buffer, count, sum_values, comm);
    LLOYD_TRY(lloyd_staging_wait(buffer));
    return sum_aware(comm, buffer.data, count);
}

static lloyd_status sum(lloyd_comm *comm, lloyd_buffer buffer, int64_t count)
{
    if (buffer.place == LLOYD_HOST) return sum_values(comm, buffer.data, count);
    if (comm->size == 1) return LLOYD_OK;
    lloyd_status status = sum_device(comm, buffer, count);
    if (status != LLOYD_OK) break_off(comm); /* the other ranks wait for this one's values */
    return status;
}

static lloyd_status max(lloyd_comm *comm, double *values, int64_t count)
{
    for (int64_t at = 0; at < count; at += PIECE) {
        int piece = (int)(count - at < PIECE ? count - at : PIECE);
        MPI_Request request;
        int code = MPI_Iallreduce(MPI_IN_PLACE, values + at, piece, MPI_DOUBLE, MPI_MAX,
                                  handle(comm), &request);
        LLOYD_TRY(finish(comm, code, &request, "a maximum over ranks"));
    }
    return LLOYD_OK;
}

static lloyd_status broadcast(lloyd_comm *comm, void *data, int64_t bytes, int root)
{
    char *at = data;
    for (int64_t left = bytes; left > 0; left -= PIECE, at += PIECE) {
        int piece = (int)(left < PIECE ? left : PIECE);
        MPI_Request request;
        int code = MPI_Ibcast(at, piece, MPI_BYTE, root, handle(comm), &request);
        LLOYD_TRY(finish(comm, code, &request, "a broadcast"));
    }
    return LLOYD_OK;
}

static lloyd_status exclusive_scan(lloyd_comm *comm, int64_t *value)
{
    int64_t own = *value, before = 0;
    MPI_Request request;
    int code = MPI_Iexscan(&own, &before, 1, MPI_INT64_T, MPI_SUM, handle(comm), &request);
    LLOYD_TRY(finish(comm, code, &request, "a scan over ranks"));
    *value = comm->rank == 0 ? 0 : before;
    return LLOYD_OK;
}

/* Bytes of a block, where it begins, for the call of MPI. */
static void lay_out(int64_t room, size_t size, int ranks, int *bytes, int *begin)
{
    for (int r = 0; r < ranks; r++) {
        bytes[r] *= (int)size;
        begin[r] = (int)(r * room * (int64_t)size);
    }
}

static lloyd_status exchange(lloyd_comm *comm, const void *send, void *receive, int64_t room,
                             size_t size, int64_t *counts)
{
    const char *what = "an exchange between ranks";
    const int ranks = comm->size;
    int *sent = ((mpi_state *)comm->state)->counts, *got = sent + ranks, *begin = got + ranks;
    MPI_Request request;
    for (int r = 0; r < ranks; r++) sent[r] = (int)counts[r];
    int code = MPI_Ialltoall(sent, 1, MPI_INT, got, 1, MPI_INT, handle(comm), &request);
    LLOYD_TRY(finish(comm, code, &request, what));
    for (int r = 0; r < ranks; r++) counts[r] = got[r];
    lay_out(room, size, ranks, sent, begin);
    lay_out(room, size, ranks, got, begin);
    code = MPI_Ialltoallv(send, sent, begin, MPI_BYTE, receive, got, begin, MPI_BYTE, handle(comm),
                          &request);
    return finish(comm, code, &request, what);
}

static lloyd_status barrier(lloyd_comm *comm)
{
    return meet(comm, "a barrier");
}

static lloyd_status agree(lloyd_comm *comm, lloyd_status status)
{
    int mine = status == LLOYD_OK ? INT_MAX : comm->rank, first = INT_MAX, agreed = status;
    const char *what = "an agreement";
    MPI_Request request;
    int code = MPI_Iallreduce(&mine, &first, 1, MPI_INT, MPI_MIN, handle(comm), &request);
    LLOYD_TRY(finish(comm, code, &request, what));
    if (first == INT_MAX) return LLOYD_OK;
    code = MPI_Ibcast(&agreed, 1, MPI_INT, first, handle(comm), &request);
    LLOYD_TRY(finish(comm, code, &request, what));
    if (first == comm->rank) return status; /* its message is the one to be read */
    return lloyd_fail((lloyd_status)agreed, "%s", "");
}

/* --- start and end --- */

static void free_comm(lloyd_comm *comm)
{
    mpi_state *state = comm ? comm->state : NULL;
    if (state) {
        lloyd_liveness_close(state->liveness);
        lloyd_free(state->counts);
    }
    lloyd_free(state);
    lloyd_free(comm);
}

static void destroy(lloyd_comm *comm)
{
    if (!comm) return;
    mpi_state *state = comm->state;
    if (!comm->broken && meet(comm, "the last barrier") != LLOYD_OK)
        lloyd_complain(); /* nobody else would */
    if (comm->broken) {
        lloyd_complain(); /* unless the caller did: nothing comes after this */
        lloyd_liveness_leave(state->liveness);
        end(comm, LLOYD_FAILED);
    }
    int finalize = state->finalize;
    lloyd_staging_free(state->staging);
    (void)MPI_Comm_free(&state->comm);
    free_comm(comm);
    if (finalize) (void)MPI_Finalize();
}

static lloyd_status start_mpi(int *started)
{
    int initialised = 0, finalised = 0, level = 0;
    *started = 0;
    (void)MPI_Initialized(&initialised);
    (void)MPI_Finalized(&finalised);
    if (finalised)
        return lloyd_fail(LLOYD_USAGE,
                          "MPI has ended already, and cannot start again in this process");
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
    MPI_Request request;
    int code = MPI_Iallreduce(MPI_IN_PLACE, aware, 1, MPI_INT, MPI_MIN, handle(comm), &request);
    return finish(comm, code, &request, "the start");
}

static lloyd_status connect_ranks(lloyd_comm *comm, MPI_Comm mpi)
{
    mpi_state *state = comm->state;
    LLOYD_TRY(check(comm, MPI_Comm_dup(mpi, &state->comm), "the start"));
    (void)MPI_Comm_set_errhandler(state->comm, MPI_ERRORS_RETURN);
    LLOYD_TRY(find_place(comm));
    LLOYD_TRY(lloyd_liveness_open(state->liveness, state->comm));
    return agree_on_cuda(comm);
}

/* The memory of a communicator of `size` ranks; to be freed also after a failure. */
static lloyd_status make_comm(int size, lloyd_comm **out)
{
    lloyd_comm *comm = NULL;
    mpi_state *state = NULL;
    *out = NULL;
    LLOYD_TRY(lloyd_alloc(&comm, 1, sizeof *comm, "communicator"));
    *out = comm;
    LLOYD_TRY(lloyd_alloc(&state, 1, sizeof *state, "communicator"));
    *comm = (lloyd_comm){
        .name = "mpi",
        .timeout = LLOYD_TIMEOUT,
        .state = state,
        .sum = sum,
        .max = max,
        .broadcast = broadcast,
        .exclusive_scan = exclusive_scan,
        .exchange = exchange,
        .barrier = barrier,
        .agree = agree,
        .watch = watch,
        .break_off = break_off,
        .abort = end,
        .destroy = destroy,
    };
    LLOYD_TRY(
        lloyd_alloc(&state->counts, 3 * (int64_t)size, sizeof *state->counts, "communicator"));
    return lloyd_liveness_make(size, &state->liveness);
}

/* Whether one of the ranks of `mpi` has failed, before there is a communicator to agree with: the
 * others would wait for it in MPI_Comm_dup() without a time limit. */
static lloyd_status agree_before(MPI_Comm mpi, lloyd_status status)
{
    int rank = 0, failed[2]; /* a status, and the rank that keeps its message: the lowest */
    (void)MPI_Comm_rank(mpi, &rank);
    failed[0] = status;
    failed[1] = status != LLOYD_OK ? -rank : INT_MIN;
    if (MPI_Allreduce(MPI_IN_PLACE, failed, 2, MPI_INT, MPI_MAX, mpi) != MPI_SUCCESS) {
        (void)lloyd_fail(LLOYD_FAILED, "MPI failed in the start; look at the other ranks and at "
                                       "the network");
        lloyd_complain();
        end(NULL, LLOYD_FAILED);
    }
    if (failed[0] != LLOYD_OK && failed[1] != -rank) (void)lloyd_fail(LLOYD_FAILED, "%s", "");
    return status != LLOYD_OK ? status : (lloyd_status)failed[0];
}

/* Over the ranks of `mpi`. */
static lloyd_status open_comm(MPI_Comm mpi, lloyd_comm **out)
{
    lloyd_comm *comm = NULL;
    int size = 1;
    *out = NULL;
    (void)MPI_Comm_size(mpi, &size);
    lloyd_status status = agree_before(mpi, make_comm(size, &comm));
    if (status != LLOYD_OK) {
        free_comm(comm);
        return status;
    }
    if (connect_ranks(comm, mpi) != LLOYD_OK) {
        lloyd_complain();
        end(comm, LLOYD_FAILED);
    }
    *out = comm;
    return LLOYD_OK;
}

lloyd_status lloyd_comm_world(lloyd_comm **comm)
{
    int started = 0;
    *comm = NULL;
    LLOYD_TRY(start_mpi(&started));
    lloyd_status status = open_comm(MPI_COMM_WORLD, comm);
    if (status == LLOYD_OK) {
        ((mpi_state *)(*comm)->state)->finalize = started;
    } else if (started) {
        lloyd_complain(); /* now: a rank without a message may end first, and with it all */
        (void)MPI_Finalize();
    }
    return status;
}

lloyd_status lloyd_comm_over(MPI_Comm mpi, lloyd_comm **comm)
{
    int initialised = 0, finalised = 0, bridge = 0;
    *comm = NULL;
    (void)MPI_Initialized(&initialised);
    (void)MPI_Finalized(&finalised);
    if (!initialised || finalised) {
        return lloyd_fail(LLOYD_USAGE,
                          "MPI is not initialised; a communicator over MPI's is opened "
                          "between MPI_Init() and MPI_Finalize()");
    }
    if (mpi != MPI_COMM_NULL) (void)MPI_Comm_test_inter(mpi, &bridge);
    if (mpi == MPI_COMM_NULL || bridge) {
        return lloyd_fail(LLOYD_USAGE,
                          "MPI's communicator is %s; give one of the ranks that work "
                          "together, such as MPI_COMM_WORLD",
                          bridge ? "an intercommunicator" : "MPI_COMM_NULL");
    }
    return open_comm(mpi, comm);
}
