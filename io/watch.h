/* Detects files that change while a job reads them. A file that is replaced, written to or
 * truncated, during a pass or between two, would be clustered partly as it was and partly as it is.
 * Private to io/. */
#ifndef LLOYD_IO_WATCH_H
#define LLOYD_IO_WATCH_H

#include "base/status.h"

#include <sys/stat.h>

typedef struct lloyd_watch {
    struct lloyd_watched *files;
    int count, room;
} lloyd_watch;

/* The first call for a path stores the file's device, inode, size and time of last change; later
 * calls compare them. descriptor: of the open file, or -1 for the file that has that name now.
 * watch may be NULL: nothing is stored. LLOYD_BAD_INPUT if the file has changed. */
lloyd_status lloyd_watch_file(lloyd_watch *watch, const char *path, int descriptor);

/* Compares all files with those that have their names now. Thread-safe. */
lloyd_status lloyd_watch_check(const lloyd_watch *watch);

void lloyd_watch_free(lloyd_watch *watch);

#endif
