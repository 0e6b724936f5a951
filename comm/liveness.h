/* The liveness check: which ranks respond, when one of them has waited too long or has failed where
 * no agreement reaches the others.
 *
 * It costs nothing until then. The rank whose time limit passes first sends all others an empty
 * message; a rank that waits and sees one sends its own, and whoever has sent none after a moment does
 * not respond. A rank that fails sends such messages too, so that rank 0 can save what it keeps before
 * all ranks end. The messages travel on a communicator of their own, and no rank continues after a
 * check, so none of them can be mistaken for another.
 */
#ifndef LLOYD_COMM_LIVENESS_H
#define LLOYD_COMM_LIVENESS_H

#include "base/status.h"

#include <mpi.h>

typedef struct lloyd_liveness lloyd_liveness;

/* The memory for checks of `size` ranks. *liveness is to be closed also after a failure. */
lloyd_status lloyd_liveness_make(int size, lloyd_liveness **liveness);

/* Connects the ranks of `comm`. Collective. */
lloyd_status lloyd_liveness_open(lloyd_liveness *liveness, MPI_Comm comm);

/* Whether another rank has begun a check. */
int lloyd_liveness_is_checked(const lloyd_liveness *liveness);

/* Whether another rank has failed where no agreement reaches this one. */
int lloyd_liveness_has_failure(const lloyd_liveness *liveness);

/* Begins or answers a check; takes two seconds. Returns 1 on the lowest rank that responds, with the
 * failure stored: `what` the ranks wait in, for `seconds`, and which of them do not respond. Returns 0
 * on the others. */
int lloyd_liveness_check(lloyd_liveness *liveness, const char *what, double seconds);

/* After a failure of this rank that no agreement can carry, since the others may wait elsewhere: sends it to
 * them. Returns 1 on one of the ranks that fail at about the same time, which is to print its message,
 * 0 on the others. Takes half a second, no time before lloyd_liveness_open(). */
int lloyd_liveness_fail(lloyd_liveness *liveness);

/* On rank 0 after lloyd_liveness_has_failure(): the failed rank waits from now on until this one has
 * left. */
void lloyd_liveness_acknowledge(lloyd_liveness *liveness);

/* Before this rank ends all ranks after a check or a failure; it has printed its message and saved what
 * it keeps. Returns when the rank with the message and rank 0 have come here too, or do not seem to. */
void lloyd_liveness_leave(lloyd_liveness *liveness);

void lloyd_liveness_close(lloyd_liveness *liveness); /* NULL is allowed */

#endif
