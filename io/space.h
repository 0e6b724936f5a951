/* Whether there is room for files of known sizes: asked before hours of work, and taken before it is
 * written to. Private to io/ but for lloyd_space_check(). */
#ifndef LLOYD_IO_SPACE_H
#define LLOYD_IO_SPACE_H

#include "base/status.h"

#include <stdint.h>

/* A file that will be made; NULL: none. */
typedef struct lloyd_need {
    const char *path;
    int64_t bytes;
} lloyd_need;

/* LLOYD_FAILED where a file is larger than this process may make one (RLIMIT_FSIZE), or than what is
 * free on its file system together with the others there. A file system that does not say how much
 * is free has enough. */
lloyd_status lloyd_space_check(const lloyd_need *needs, int count);

/* The first half of it: what differs between the nodes of a job. */
lloyd_status lloyd_space_check_limit(const char *path, int64_t bytes);

/* Takes `bytes` of the file system for the file `part`, which stays as long as it is. LLOYD_FAILED
 * where there are none; a file system that cannot reserve is asked how much is free. `path` is for
 * the message. */
lloyd_status lloyd_space_reserve(const char *part, int64_t bytes, const char *path);

#endif
