/* Sums of device buffers by NCCL; host memory, and everything else, is the business of the
 * communicator it wraps, which also carries NCCL's unique id to all ranks. NCCL's communicator does
 * not block: a call begins something, until_enqueued() waits until NCCL has enqueued it and finish() for
 * the stream, and both look at NCCL's errors, at the time limit and at failures of other ranks meanwhile.
 */
#include "comm/nccl.h"

#include "base/clock.h"
#include "base/memory.h"

#include <cuda_runtime_api.h>
#include <nccl.h>
#include <stddef.h>
#include <time.h>

typedef struct nccl_state {
    lloyd_comm *base;
    ncclComm_t nccl;      /* NULL: one rank */
    cudaEvent_t own_work; /* this rank's own work before a sum; NULL: one rank */
    int device;
} nccl_state;

static nccl_state *state_of(const lloyd_comm *comm)
{
    return comm->state;
}

/* --- errors --- */

/* After a failure: no rank can count on NCCL any more, and some may wait inside it. */
static lloyd_status broken(lloyd_comm *comm)
{
    lloyd_comm *base = state_of(comm)->base;
    comm->broken = 1;
    base->break_off(base);
    return LLOYD_FAILED;
}

/* After a call of the base: a failure of it is one of this communicator. */
static lloyd_status pass(lloyd_comm *comm, lloyd_status status)
{
    if (state_of(comm)->base->broken) comm->broken = 1;
    return status;
}

static lloyd_status check(lloyd_comm *comm, ncclResult_t code, const char *what)
{
    if (code == ncclSuccess) return LLOYD_OK;
    const nccl_state *state = state_of(comm);
    const char *details = ncclGetLastError(state->nccl);
    (void)lloyd_fail(LLOYD_FAILED,
                     "NCCL failed in %s on rank %d of %d (GPU %d): %s%s%s; look at the other ranks "
                     "and at the network, or use --comm mpi",
                     what, comm->rank, comm->size, state->device, ncclGetErrorString(code),
                     details && *details ? ": " : "", details ? details : "");
    return broken(comm);
}

static lloyd_status check_cuda(lloyd_comm *comm, cudaError_t code, const char *what)
{
    if (code == cudaSuccess) return LLOYD_OK;
    (void)lloyd_fail(LLOYD_FAILED,
                     "CUDA failed in %s on rank %d of %d (GPU %d): %s; look at the GPU with "
                     "nvidia-smi",
                     what, comm->rank, comm->size, state_of(comm)->device,
                     cudaGetErrorString(code));
    return broken(comm);
}

/* --- waiting --- */

/* Between two looks. NCCL needs no help from this thread, so after some milliseconds it sleeps, for a
 * hundredth of the time waited so far: that much later it sees the end at worst. */
static void nap(double waited)
{
    const double spin = 0.005, most = 0.001;
    double seconds = waited / 100 < most ? waited / 100 : most;
    if (waited < spin) return;
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)(seconds * 1e9)}, NULL);
}

static void wait_more(lloyd_comm *comm, lloyd_wait *wait, const char *what)
{
    lloyd_comm *base = state_of(comm)->base;
    nap(base->watch(base, wait, what));
}

/* After a call of NCCL that returned `code`: what it returns when it has done its work on the host. */
static ncclResult_t until_enqueued(lloyd_comm *comm, ncclResult_t code, const char *what)
{
    lloyd_wait wait = {0};
    while (code == ncclInProgress) {
        wait_more(comm, &wait, what);
        ncclResult_t asked = ncclCommGetAsyncError(state_of(comm)->nccl, &code);
        if (asked != ncclSuccess) return asked;
    }
    return code;
}

/* A failure of NCCL's own threads, or on another rank. */
static lloyd_status check_async(lloyd_comm *comm, const char *what)
{
    ncclResult_t result = ncclSuccess;
    LLOYD_TRY(check(comm, ncclCommGetAsyncError(state_of(comm)->nccl, &result), what));
    return result == ncclInProgress ? LLOYD_OK : check(comm, result, what);
}

/* Returns when this rank has done its own work before the sum. Others wait for it meanwhile, and it
 * for nobody: the time limit is theirs. */
static lloyd_status until_own_work_is_done(lloyd_comm *comm, const char *what)
{
    double began = lloyd_seconds();
    cudaError_t code;
    while ((code = cudaEventQuery(state_of(comm)->own_work)) == cudaErrorNotReady) {
        LLOYD_TRY(check_async(comm, what));
        nap(lloyd_seconds() - began);
    }
    return check_cuda(comm, code, what);
}

/* Returns when what was queued on the stream is done on this rank. */
static lloyd_status finish(lloyd_comm *comm, cudaStream_t stream, const char *what)
{
    lloyd_wait wait = {0};
    cudaError_t code;
    LLOYD_TRY(until_own_work_is_done(comm, what));
    while ((code = cudaStreamQuery(stream)) == cudaErrorNotReady) {
        LLOYD_TRY(check_async(comm, what));
        wait_more(comm, &wait, what);
    }
    LLOYD_TRY(check_cuda(comm, code, what));
    code = cudaGetLastError(); /* "not ready" is no error to whoever asks next */
    if (code != cudaErrorNotReady) LLOYD_TRY(check_cuda(comm, code, what));
    return check_async(comm, what);
}

/* --- sums --- */

static lloyd_status sum(lloyd_comm *comm, lloyd_buffer buffer, int64_t count)
{
    const nccl_state *state = state_of(comm);
    const char *what = "a sum over ranks";
    if (buffer.place == LLOYD_HOST) return pass(comm, state->base->sum(state->base, buffer, count));
    if (comm->size == 1 || count == 0) return LLOYD_OK;
    LLOYD_TRY(check_cuda(comm, cudaEventRecord(state->own_work, buffer.stream), what));
    ncclResult_t code = ncclAllReduce(buffer.data, buffer.data, (size_t)count, ncclInt64, ncclSum,
                                      state->nccl, buffer.stream);
    LLOYD_TRY(check(comm, until_enqueued(comm, code, what), what));
    return finish(comm, buffer.stream, what);
}

/* --- what the base does --- */

static lloyd_status max(lloyd_comm *comm, double *values, int64_t count)
{
    lloyd_comm *base = state_of(comm)->base;
    return pass(comm, base->max(base, values, count));
}

static lloyd_status broadcast(lloyd_comm *comm, void *data, int64_t bytes, int root)
{
    lloyd_comm *base = state_of(comm)->base;
    return pass(comm, base->broadcast(base, data, bytes, root));
}

static lloyd_status exclusive_scan(lloyd_comm *comm, int64_t *value)
{
    lloyd_comm *base = state_of(comm)->base;
    return pass(comm, base->exclusive_scan(base, value));
}

static lloyd_status exchange(lloyd_comm *comm, const void *send, void *receive, int64_t room,
                             size_t size, int64_t *counts)
{
    lloyd_comm *base = state_of(comm)->base;
    return pass(comm, base->exchange(base, send, receive, room, size, counts));
}

static lloyd_status barrier(lloyd_comm *comm)
{
    lloyd_comm *base = state_of(comm)->base;
    return pass(comm, base->barrier(base));
}

static lloyd_status agree(lloyd_comm *comm, lloyd_status status)
{
    lloyd_comm *base = state_of(comm)->base;
    return pass(comm, base->agree(base, status));
}

static void end(lloyd_comm *comm, lloyd_status status)
{
    lloyd_comm *base = state_of(comm)->base;
    base->abort(base, status);
}

/* --- start and end --- */

/* The work is done and agreed on by now: a failure to end well is none of the job. */
static void leave(lloyd_comm *comm)
{
    nccl_state *state = state_of(comm);
    int well =
        !comm->broken && !state->base->broken &&
        until_enqueued(comm, ncclCommFinalize(state->nccl), "the end of NCCL") == ncclSuccess;
    (void)(well ? ncclCommDestroy(state->nccl) : ncclCommAbort(state->nccl));
}

static void destroy(lloyd_comm *comm)
{
    if (!comm) return;
    nccl_state *state = comm->state;
    if (state->nccl) leave(comm);
    if (state->own_work) (void)cudaEventDestroy(state->own_work);
    lloyd_free(state);
    lloyd_free(comm);
}

/* The unique id of rank 0, on all ranks. */
static lloyd_status share_id(lloyd_comm *comm, ncclUniqueId *id)
{
    lloyd_status status = LLOYD_OK;
    if (comm->rank == 0) {
        ncclResult_t code = ncclGetUniqueId(id);
        if (code != ncclSuccess)
            status = lloyd_fail(LLOYD_FAILED, "NCCL does not start: %s; use --comm mpi",
                                ncclGetErrorString(code));
    }
    LLOYD_TRY(agree(comm, status));
    return broadcast(comm, id, sizeof *id, 0);
}

static lloyd_status connect(lloyd_comm *comm)
{
    nccl_state *state = state_of(comm);
    ncclUniqueId id;
    LLOYD_TRY(share_id(comm, &id));
    const char *what = "the start of NCCL";
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    LLOYD_TRY(check_cuda(comm, cudaSetDevice(state->device), what));
    LLOYD_TRY(
        check_cuda(comm, cudaEventCreateWithFlags(&state->own_work, cudaEventDisableTiming), what));
    ncclResult_t code = ncclCommInitRankConfig(&state->nccl, comm->size, id, comm->rank, &config);
    /* Not agreed on before: the others wait inside NCCL for a rank that has failed. */
    LLOYD_TRY(check(comm, until_enqueued(comm, code, what), what));
    return agree(comm, LLOYD_OK);
}

static lloyd_status new_comm(lloyd_comm *base, int device, lloyd_comm **comm)
{
    nccl_state *state = NULL;
    LLOYD_TRY(lloyd_alloc(&state, 1, sizeof *state, "communicator"));
    lloyd_status status = lloyd_alloc(comm, 1, sizeof **comm, "communicator");
    if (status != LLOYD_OK) {
        lloyd_free(state);
        return status;
    }
    *state = (nccl_state){.base = base, .device = device};
    **comm = (lloyd_comm){
        .name = "nccl",
        .rank = base->rank,
        .size = base->size,
        .local_rank = base->local_rank,
        .local_size = base->local_size,
        .state = state,
        .sum = sum,
        .max = max,
        .broadcast = broadcast,
        .exclusive_scan = exclusive_scan,
        .exchange = exchange,
        .barrier = barrier,
        .agree = agree,
        .abort = end,
        .destroy = destroy,
    };
    return LLOYD_OK;
}

lloyd_status lloyd_comm_nccl(lloyd_comm *base, int device, lloyd_comm **comm)
{
    *comm = NULL;
    lloyd_status status = base->agree(base, new_comm(base, device, comm));
    if (status == LLOYD_OK && *comm && base->size > 1) status = connect(*comm);
    if (status != LLOYD_OK) {
        destroy(*comm);
        *comm = NULL;
    }
    return status;
}
