/* What the program prints for a person: warnings, and notes that are worth a line. Results go to files,
 * progress to src/job/progress.c. Only rank 0 speaks: the others are silenced at start, but for the failure that
 * ends them all. */
#ifndef LLOYD_BASE_LOG_H
#define LLOYD_BASE_LOG_H

#include "base/status.h"

/* After lloyd_log_quiet(1) this process says nothing any more. */
void lloyd_log_quiet(int quiet);

/* stderr ends in a line without its end (1), which is redrawn and which the next line of this module ends; or it does not
 * (0). Returns what it was. */
int lloyd_log_open(int open);

/* One line to stderr: "lloyd: ..." */
void lloyd_note(const char *format, ...) LLOYD_PRINTF(1, 2);

/* The message of this thread's latest failure, if there is one, as one line to stderr; of any rank.
 * Then there is none any more. */
void lloyd_complain(void);

#endif
