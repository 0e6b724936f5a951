/* The roll call: which ranks wait, when one of them has waited too long.
 *
 * It costs nothing until then. The rank whose limit passes first tells all others that it is there;
 * a rank that waits and hears of it does the same, and after a moment whoever has not been heard of
 * is missing. The messages go over a communicator of their own, and nobody goes on after a roll
 * call, so none of them is ever in the way.
 */
#ifndef LLOYD_COMM_ROLL_H
#define LLOYD_COMM_ROLL_H

#include "base/status.h"

#include <mpi.h>

typedef struct lloyd_roll lloyd_roll;

/* The memory for a roll call of `size` ranks. *roll is to be closed also after a failure. */
lloyd_status lloyd_roll_make(int size, lloyd_roll **roll);

/* Connects the ranks of `comm`. Collective. */
lloyd_status lloyd_roll_open(lloyd_roll *roll, MPI_Comm comm);

/* Whether another rank has called the roll. */
int lloyd_roll_is_called(const lloyd_roll *roll);

/* Calls or answers it; takes some seconds. Returns 1 on the lowest rank that is there, with the
 * failure stored: `what` the ranks wait in, for `seconds`, and which ranks are missing. Returns 0 on
 * the others. */
int lloyd_roll_call(lloyd_roll *roll, const char *what, double seconds);

/* After a failure that the others cannot be told of by an agreement, since they may wait elsewhere:
 * returns 1 on one of the ranks that have failed at about the same time, 0 on the others. Takes half
 * a second. */
int lloyd_roll_speaks(lloyd_roll *roll);

void lloyd_roll_close(lloyd_roll *roll); /* NULL is allowed */

#endif
