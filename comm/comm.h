/* Everything that crosses ranks, behind one struct of functions.
 *
 * Collective calls are made by all ranks in the same order. Sums are of 64-bit integers, hence the
 * same for any algorithm, order and number of ranks. A local failure becomes everybody's through
 * agree(): after it either all ranks go on, or all ranks return the same status, and exactly one of
 * them still holds the message.
 */
#ifndef LLOYD_COMM_COMM_H
#define LLOYD_COMM_COMM_H

#include "base/status.h"
#include "base/types.h"

#include <stdint.h>

typedef struct lloyd_comm lloyd_comm;

struct lloyd_comm {
    const char *name; /* "self", "mpi", "nccl" */
    int rank, size;
    int local_rank, local_size; /* among the ranks of this node */
    int broken; /* 1 after a failure of the communication itself: no rank can reach the others any
                   more */
    void *state;

    /* buffer[0 .. count) int64 = the sum over ranks, in place. In host memory or (buffer.place) in
     * device memory, the same on all ranks; then it comes after the work on buffer.stream, and is
     * done when this returns. */
    lloyd_status (*sum)(lloyd_comm *comm, lloyd_buffer buffer, int64_t count);
    /* values[0 .. count) = the maximum over ranks, in place, in host memory. No NaN. */
    lloyd_status (*max)(lloyd_comm *comm, double *values, int64_t count);
    /* data[0 .. bytes) of rank `root`, to all ranks, in host memory. */
    lloyd_status (*broadcast)(lloyd_comm *comm, void *data, int64_t bytes, int root);
    /* *value = the sum of *value over the ranks before this one. */
    lloyd_status (*exclusive_scan)(lloyd_comm *comm, int64_t *value);
    lloyd_status (*barrier)(lloyd_comm *comm);
    /* All ranks give their status. If all are LLOYD_OK, so is the result. Otherwise all ranks get
     * the status of the lowest rank that failed; its message stays, that of all others becomes "".
     */
    lloyd_status (*agree)(lloyd_comm *comm, lloyd_status status);
    /* Ends all ranks at once with `status`; does not return. For failures that the other ranks
     * cannot wait for. */
    void (*abort)(lloyd_comm *comm, lloyd_status status);
    /* If broken, ends all ranks instead: some may wait for this one for ever. */
    void (*destroy)(lloyd_comm *comm);
};

/* A communicator of one. */
lloyd_status lloyd_comm_self(lloyd_comm **comm);

/* All ranks of MPI_COMM_WORLD (initialises MPI if nobody has, and then destroy() finalises it). */
lloyd_status lloyd_comm_world(lloyd_comm **comm);

/* Sums of device buffers by NCCL, over the ranks of `base`, which does all else and must live
 * longer; destroy() ends NCCL only, and a failure of NCCL breaks `base` too. `device`: the GPU of
 * this rank, no other rank's. NCCL is not started for one rank. Collective. In builds with NCCL
 * only. */
lloyd_status lloyd_comm_nccl(lloyd_comm *base, int device, lloyd_comm **comm);

/* The sum of one array of int64 in host memory. */
static inline lloyd_status lloyd_comm_sum_host(lloyd_comm *comm, int64_t *values, int64_t count)
{
    return comm->sum(comm, (lloyd_buffer){values, LLOYD_HOST, NULL}, count);
}

#endif
