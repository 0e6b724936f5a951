/* A request to stop, from a signal: checked where work can be left, at the beginning of every chunk
 * of rows. It becomes the status LLOYD_STOPPED of the phase, on all ranks when they agree on it. */
#ifndef LLOYD_STOP_H
#define LLOYD_STOP_H

#include "base/status.h"

#include <stdatomic.h>

/* LLOYD_STOPPED once lloyd_stop() was called on this rank. */
lloyd_status lloyd_stop_check(void);

/* The signal that lloyd_stop() was called for, 0: none. */
int lloyd_stop_signal(void);

/* That number where it changes: 0, or the signal. For threads that wait. */
const atomic_int *lloyd_stop_request(void);

/* "SIGTERM" */
const char *lloyd_stop_name(int signal);

/* The request was met: what runs next does not stop for it. */
void lloyd_stop_clear(void);

#endif
