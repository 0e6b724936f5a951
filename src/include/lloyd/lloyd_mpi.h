/* lloyd for programs that have initialised MPI themselves. Apart from lloyd.h, which needs no
 * mpi.h. */
#ifndef LLOYD_MPI_H
#define LLOYD_MPI_H

#include "lloyd.h"

#include <mpi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A communicator of all ranks of `mpi`, an intracommunicator: MPI_COMM_WORLD or a part of it.
 * Collective over `mpi`. It is duplicated, so messages of the caller and of lloyd never meet, and
 * the caller may free its own at any time. Initialise MPI before, with MPI_THREAD_FUNNELED or more
 * (lloyd has threads, of which the one that calls it calls MPI), and close the communicator before
 * MPI_Finalize(). LLOYD_USAGE where MPI is not initialised or `mpi` is none of that kind.
 *
 * Errors of lloyd's functions leave MPI as it is. Only where the ranks cannot reach each other any
 * more (a rank is missed beyond the time limit, or MPI itself fails) the whole job is ended by
 * MPI_Abort(MPI_COMM_WORLD), with the reason on standard error; lloyd_comm_abort() does the same. */
LLOYD_API lloyd_status lloyd_comm_open_mpi(MPI_Comm mpi, lloyd_comm **comm);

#ifdef __cplusplus
}
#endif
#endif
