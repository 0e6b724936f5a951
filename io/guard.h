/* Compares all paths of a command, so that no output replaces an input or another output. Paths are
 * added in any order and compared in the end. */
#ifndef LLOYD_IO_GUARD_H
#define LLOYD_IO_GUARD_H

#include "base/status.h"
#include "io/rows.h"

typedef struct lloyd_guard {
    struct lloyd_guarded *items;
    int count, capacity;
} lloyd_guard; /* all zeros to begin with */

/* A file that is read: `what` ("the model") is for the message, and borrowed. NULL: none. */
lloyd_status lloyd_guard_read(lloyd_guard *guard, const char *what, const char *path);

/* The files that hold the rows: the inputs, and all that these refer to. */
lloyd_status lloyd_guard_read_rows(lloyd_guard *guard, const lloyd_rows *rows);

/* A model, and all that its centroids refer to. */
lloyd_status lloyd_guard_read_model(lloyd_guard *guard, const char *path);

/* A file that is written, with the option that names it ("--output"; borrowed). NULL: none. */
lloyd_status lloyd_guard_write(lloyd_guard *guard, const char *option, const char *path);

/* LLOYD_USAGE if two paths are one file, or one has a name reserved for the partial files of
 * another. */
lloyd_status lloyd_guard_check(const lloyd_guard *guard);

void lloyd_guard_free(lloyd_guard *guard);

#endif
