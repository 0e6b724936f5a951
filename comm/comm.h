/* Everything that crosses ranks, behind one struct of functions.
 *
 * Collective calls are made by all ranks in the same order. Sums are of 64-bit integers, hence the
 * same for any algorithm, order and number of ranks. A local failure becomes everybody's through
 * agree(): after it either all ranks continue, or all ranks return the same status, and exactly one of
 * them still holds the message.
 */
#ifndef LLOYD_COMM_COMM_H
#define LLOYD_COMM_COMM_H

#include "base/status.h"
#include "base/types.h"

#include <stdint.h>

typedef struct lloyd_comm lloyd_comm;

/* Seconds that a rank waits for others if nobody says otherwise. Generous: ranks whose files are slower, or
 * whose share takes longer, arrive late and are waited for. */
#define LLOYD_TIMEOUT 1800.0

/* One wait for other ranks; {0} when it begins. */
typedef struct lloyd_wait {
    double began, looked; /* lloyd_seconds() */
} lloyd_wait;

struct lloyd_comm {
    const char *name; /* "self", "mpi", "nccl" */
    int rank, size;
    int local_rank, local_size; /* among the ranks of this node */
    int threads; /* that this rank may use; 0: what OMP_NUM_THREADS or its share of the node allows */
    int broken; /* 1 after a failure of the communication itself: no rank can reach the others any
                   more */
    double timeout; /* seconds that this rank waits for others in one call; then all ranks end */
    /* What rank 0 saves where all ranks end without a return to their callers: after `timeout`, and where
     * another rank has failed in a way that no agreement carries. NULL: nothing. It may not
     * communicate. */
    void (*rescue)(void *context);
    void *rescued; /* its context */
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
    /* Records of `size` bytes from all ranks to all, in host memory: block r of `send`, with room for `room`
     * records, begins with counts[r] for rank r; afterwards block r of `receive` begins with those that
     * rank r had for this one, and counts[r] is how many. room and size are the same on all ranks, and
     * blocks of all ranks together below 2^31 bytes. */
    lloyd_status (*exchange)(lloyd_comm *comm, const void *send, void *receive, int64_t room,
                             size_t size, int64_t *counts);
    lloyd_status (*barrier)(lloyd_comm *comm);
    /* All ranks give their status. If all are LLOYD_OK, so is the result. Otherwise all ranks get
     * the status of the lowest rank that failed; its message stays, that of all others becomes "".
     */
    lloyd_status (*agree)(lloyd_comm *comm, lloyd_status status);
    /* To be called over and over while this rank waits for others in `what` ("a sum over ranks").
     * Returns the seconds since the wait began. Once they are more than the time limit, here or on
     * another rank that waits, it reports which ranks have not arrived, lets rank 0 rescue what it keeps, and
     * ends all ranks; the same on rank 0 once another has called break_off(). NULL but in "mpi". */
    double (*watch)(lloyd_comm *comm, lloyd_wait *wait, const char *what);
    /* After a failure (its message stored) while others may wait where agree() does not reach them:
     * the communicator is broken, rank 0 learns of it when it waits, and of the ranks that fail so at about
     * the same time one keeps its message. NULL but in "mpi". */
    void (*break_off)(lloyd_comm *comm);
    /* Ends all ranks at once with `status`; does not return. For failures that the other ranks
     * cannot wait for. */
    void (*abort)(lloyd_comm *comm, lloyd_status status);
    /* If broken, ends all ranks instead, as soon as rank 0 has rescued what it keeps: some may wait for
     * this one for ever. */
    void (*destroy)(lloyd_comm *comm);
};

/* lloyd_alloc() on all ranks: all have their memory, or none and all fail. Collective. */
lloyd_status lloyd_comm_alloc(lloyd_comm *comm, void *out, int64_t count, size_t size,
                              const char *what);

/* The sum of one array of int64 in host memory. */
static inline lloyd_status lloyd_comm_sum_host(lloyd_comm *comm, int64_t *values, int64_t count)
{
    return comm->sum(comm, (lloyd_buffer){values, LLOYD_HOST, NULL}, count);
}

#endif
