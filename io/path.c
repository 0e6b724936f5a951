/* See path.h. */
#include "io/path.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS = 40 }; /* as many as the system follows */

static lloyd_status no_memory(const char *path)
{
    return lloyd_fail(LLOYD_FAILED, "cannot look at %s: out of memory", path);
}

char *lloyd_path_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Files of an open folder. */
static void remove_files(DIR *folder)
{
    struct dirent *entry;
    /* the stream is this thread's own */
    /* cppcheck-suppress readdirCalled */
    while ((entry = readdir(folder)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
}

int lloyd_path_remove(const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0) return -1;
    if (!S_ISDIR(info.st_mode)) return unlink(path);
    DIR *folder = opendir(path);
    if (!folder) return -1;
    remove_files(folder);
    closedir(folder);
    return rmdir(path);
}

const char *lloyd_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* What the link `path` holds, as a path of its own; NULL without memory. */
static char *linked(const char *path, const char *text)
{
    char *joined;
    if (*text == '/' || !strchr(path, '/')) return strdup(text);
    int folder = (int)(strrchr(path, '/') - path) + 1;
    return asprintf(&joined, "%.*s%s", folder, path, text) < 0 ? NULL : joined;
}

lloyd_status lloyd_path_follow(const char *path, char **target)
{
    char text[PATH_MAX];
    *target = strdup(path);
    for (int i = 0; *target && i < LINKS; i++) {
        ssize_t length = readlink(*target, text, sizeof text - 1);
        if (length < 0) return LLOYD_OK; /* no link */
        text[length] = '\0';
        char *next = linked(*target, text);
        free(*target);
        *target = next;
    }
    if (!*target) return no_memory(path);
    free(*target);
    *target = NULL;
    return lloyd_fail(LLOYD_FAILED, "cannot write %s: %s; choose another name", path,
                      strerror(ELOOP));
}

/* *there: whether something is at `path`, which *info then describes. */
static lloyd_status look_at(const char *path, struct stat *info, int *there)
{
    *there = stat(path, info) == 0;
    if (*there || errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ENAMETOOLONG)
        return LLOYD_OK; /* whoever reads or writes it says what is wrong */
    return lloyd_fail(LLOYD_FAILED, "cannot look at %s: %s", path, strerror(errno));
}

static lloyd_status locate(lloyd_location *location)
{
    struct stat info;
    LLOYD_TRY(look_at(location->target, &info, &location->there));
    if (location->there) {
        location->device = info.st_dev;
        location->file = info.st_ino;
    }
    char *folder = lloyd_path_folder(location->target);
    if (!folder) return no_memory(location->target);
    lloyd_status status = look_at(folder, &info, &location->folder_there);
    free(folder);
    if (status == LLOYD_OK && location->folder_there) {
        location->folder_device = info.st_dev;
        location->folder = info.st_ino;
    }
    return status;
}

lloyd_status lloyd_location_of(const char *path, lloyd_location *location)
{
    *location = (lloyd_location){.target = NULL};
    LLOYD_TRY(lloyd_path_follow(path, &location->target));
    lloyd_status status = locate(location);
    if (status != LLOYD_OK) lloyd_location_free(location);
    return status;
}

void lloyd_location_free(lloyd_location *place)
{
    free(place->target);
    *place = (lloyd_location){.target = NULL};
}

int lloyd_location_beside(const lloyd_location *a, const lloyd_location *b)
{
    return a->folder_there && b->folder_there && a->folder_device == b->folder_device &&
           a->folder == b->folder;
}

int lloyd_location_same(const lloyd_location *a, const lloyd_location *b)
{
    if (a->there && b->there) return a->device == b->device && a->file == b->file;
    return lloyd_location_beside(a, b) &&
           strcmp(lloyd_path_name(a->target), lloyd_path_name(b->target)) == 0;
}
