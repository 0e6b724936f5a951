/* Disk space for files of known sizes: checked before hours of work, and reserved before writing.
 * Private to io/ except lloyd_space_check(). */
#ifndef LLOYD_IO_SPACE_H
#define LLOYD_IO_SPACE_H

#include "base/status.h"

#include <stdint.h>

/* A file that will be made; NULL: none. */
typedef struct lloyd_need {
    const char *path;
    int64_t bytes;
} lloyd_need;

/* LLOYD_FAILED if a file would exceed the size limit of this process (RLIMIT_FSIZE), or if the
 * files together exceed the free space of their file system. A file system that does not report its
 * free space is assumed to have enough. */
lloyd_status lloyd_space_check(const lloyd_need *needs, int count);

/* Only the size limit, which may differ between the nodes of a job. */
lloyd_status lloyd_space_check_limit(const char *path, int64_t bytes);

/* Reserves `bytes` for the file `part` without changing its length. LLOYD_FAILED if there is no
 * room; where the file system cannot reserve, its free space is checked instead. `path` is for the
 * message. */
lloyd_status lloyd_space_reserve(const char *part, int64_t bytes, const char *path);

#endif
