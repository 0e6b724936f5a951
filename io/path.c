/* See path.h. */
#include "io/path.h"

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

lloyd_status lloyd_location_of(const char *path, lloyd_location *place)
{
    struct stat info;
    *place = (lloyd_location){.target = NULL};
    LLOYD_TRY(lloyd_path_follow(path, &place->target));
    char *folder = lloyd_path_folder(place->target);
    if (!folder) {
        lloyd_location_free(place);
        return no_memory(path);
    }
    if (stat(place->target, &info) == 0) {
        place->there = 1;
        place->device = info.st_dev;
        place->file = info.st_ino;
    }
    if (stat(folder, &info) == 0) {
        place->folder_there = 1;
        place->folder_device = info.st_dev;
        place->folder = info.st_ino;
    }
    free(folder);
    return LLOYD_OK;
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
