/* The files that rows are read from, as they were when they were first opened. A dataset is one set of
 * rows: a file that is replaced, written to or cut off while it is read, in one pass or between two,
 * would be clustered partly as it was and partly as it is. Private to io/. */
#ifndef LLOYD_IO_WATCH_H
#define LLOYD_IO_WATCH_H

#include "base/status.h"

#include <sys/stat.h>

typedef struct lloyd_watch {
    struct lloyd_watched *files;
    int count, room;
} lloyd_watch;

/* Remembers a file, at first, and later compares it with what is remembered: device, inode, size and
 * time of the last change. descriptor: of the open file, or -1: whatever has that name now. A watch of
 * NULL remembers nothing. LLOYD_BAD_INPUT if it is not the same file any more. */
lloyd_status lloyd_watch_file(lloyd_watch *watch, const char *path, int descriptor);

/* Compares all files with what now has their names. Safe beside lloyd_watch_file() in another thread. */
lloyd_status lloyd_watch_check(const lloyd_watch *watch);

void lloyd_watch_free(lloyd_watch *watch);

#endif
