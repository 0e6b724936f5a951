/* See space.h. */
#include "io/space.h"

#include "base/text.h"
#include "io/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

lloyd_status lloyd_space_check_limit(const char *path, int64_t bytes)
{
    char need[32], most[32];
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        (uint64_t)bytes <= limit.rlim_cur)
        return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED,
                      "cannot write %s: it takes %s, and the limit on the size of a file is %s; "
                      "raise it (ulimit -f)",
                      path, lloyd_text_bytes(bytes, need, sizeof need),
                      lloyd_text_bytes((int64_t)limit.rlim_cur, most, sizeof most));
}

/* *bytes = what is free where `folder` is, -1 where that is not known. */
static void look_for_room(const char *folder, int64_t *bytes)
{
    struct statvfs info;
    *bytes = -1;
    if (statvfs(folder, &info) != 0 || info.f_blocks == 0) return;
    uint64_t blocks = geteuid() == 0 ? info.f_bfree : info.f_bavail, all;
    if (!__builtin_mul_overflow(blocks, (uint64_t)info.f_frsize, &all) && all <= INT64_MAX)
        *bytes = (int64_t)all;
}

static lloyd_status no_room(const char *path, int64_t bytes, int64_t room)
{
    char need[32], have[32];
    return lloyd_fail(LLOYD_FAILED,
                      "cannot write %s: it takes %s, and %s are free there; make room, or choose "
                      "another place",
                      path, lloyd_text_bytes(bytes, need, sizeof need),
                      lloyd_text_bytes(room, have, sizeof have));
}

/* *folder = where the file will be: a link is made by nobody, the file that it leads to is. */
static lloyd_status find_folder(const char *path, char **folder)
{
    char *target;
    LLOYD_TRY(lloyd_path_follow(path, &target));
    *folder = lloyd_path_folder(target);
    free(target);
    return *folder ? LLOYD_OK : lloyd_fail(LLOYD_FAILED, "cannot write %s: out of memory", path);
}

static lloyd_status check_room(const lloyd_need *need, int64_t *device, int64_t others)
{
    int64_t room = -1;
    struct stat info;
    char *folder;
    *device = -1;
    LLOYD_TRY(find_folder(need->path, &folder));
    if (stat(folder, &info) == 0) {
        *device = (int64_t)info.st_dev;
        look_for_room(folder, &room);
    }
    free(folder);
    if (room < 0 || need->bytes + others <= room) return LLOYD_OK;
    return no_room(need->path, need->bytes, room > others ? room - others : 0);
}

lloyd_status lloyd_space_check(const lloyd_need *needs, int count)
{
    enum { MOST = 4 };
    int64_t device[MOST];
    for (int i = 0; i < count && i < MOST; i++) {
        int64_t others = 0;
        device[i] = -1;
        if (!needs[i].path) continue;
        LLOYD_TRY(lloyd_space_check_limit(needs[i].path, needs[i].bytes));
        LLOYD_TRY(check_room(&needs[i], &device[i], 0));
        for (int other = 0; other < i; other++)
            if (device[other] >= 0 && device[other] == device[i]) others += needs[other].bytes;
        if (others > 0) LLOYD_TRY(check_room(&needs[i], &device[i], others));
    }
    return LLOYD_OK;
}

/* The system's own call: where a file system cannot, posix_fallocate() writes to every block. The
 * file keeps its size, which HDF5 takes for the end of what it has written. 0, or what is wrong. */
static int reserve(const char *part, int64_t bytes)
{
    int descriptor = open(part, O_WRONLY | O_CLOEXEC), failed = 0;
    if (descriptor < 0) return errno;
    while (fallocate(descriptor, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) != 0) {
        failed = errno;
        if (failed != EINTR) break;
        failed = 0;
    }
    if (close(descriptor) != 0 && failed == 0) failed = errno;
    return failed;
}

lloyd_status lloyd_space_reserve(const char *part, int64_t bytes, const char *path)
{
    LLOYD_TRY(lloyd_space_check_limit(path, bytes));
    if (bytes <= 0) return LLOYD_OK;
    int failed = reserve(part, bytes);
    if (failed == EOPNOTSUPP || failed == ENOSYS || failed == EINVAL || failed == ENODEV) {
        const lloyd_need need = {path, bytes};
        int64_t device;
        return check_room(&need, &device, 0);
    }
    if (failed == 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "cannot write %s: %s; make room there, or choose another place",
                      path, strerror(failed));
}
