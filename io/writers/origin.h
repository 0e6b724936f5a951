/* Whether a file is one that lloyd has written, judged by what is in it. */
#ifndef LLOYD_IO_ORIGIN_H
#define LLOYD_IO_ORIGIN_H

#include "base/status.h"

/* The attribute of the root group that says what a file is: one of these texts. */
#define LLOYD_ORIGIN "lloyd"
#define LLOYD_ORIGIN_MODEL "model"
#define LLOYD_ORIGIN_LABELS "labels"
#define LLOYD_ORIGIN_CHECKPOINT "checkpoint"
#define LLOYD_ORIGIN_SYNTH "synthetic rows"
#define LLOYD_ORIGIN_WRAPPED "wrapped rows"
#define LLOYD_ORIGIN_SELECTED "selected rows"

/* In the first bytes of a page of `lloyd report`. */
#define LLOYD_ORIGIN_PAGE "<meta name=\"generator\" content=\"lloyd report\"/>"

/* *own = 1 for a file that lloyd has written, and for one without a byte. LLOYD_FAILED where it
 * cannot be read. */
lloyd_status lloyd_origin(const char *path, int *own);

#endif
