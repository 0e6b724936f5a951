/* Communicators over MPI. The only header of comm that shows MPI's types. */
#ifndef LLOYD_COMM_MPI_H
#define LLOYD_COMM_MPI_H

#include "comm/comm.h"

#include <mpi.h>

/* All ranks of MPI_COMM_WORLD. Initialises MPI if nobody has; then destroy() finalises it, as does a
 * failure of this call, whose message is printed before. A failure of MPI itself is reported, and ends all
 * ranks. */
lloyd_status lloyd_comm_world(lloyd_comm **comm);

/* All ranks of `mpi`, an intracommunicator, which is duplicated and stays the caller's; MPI stays
 * initialised. LLOYD_USAGE where that cannot be. Else as lloyd_comm_world(). Collective over `mpi`. */
lloyd_status lloyd_comm_over(MPI_Comm mpi, lloyd_comm **comm);

#endif
