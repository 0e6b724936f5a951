/* Errors inside the library, on top of those that its callers see (lloyd/status.h).
 *
 * A function that can fail returns lloyd_status. On failure it has stored one sentence (what was
 * being done, to which file, row or rank, and what to do about it) with lloyd_fail(); the caller
 * passes the status up unchanged, so main() has nothing to translate.
 */
#ifndef LLOYD_BASE_STATUS_H
#define LLOYD_BASE_STATUS_H

#include "lloyd/status.h"

/* Of a message, its end included; longer ones are cut. */
#define LLOYD_MESSAGE_BYTES 2048

#endif
