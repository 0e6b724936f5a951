/* See watch.h. */
#include "io/watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct lloyd_watched {
    char *path;
    struct stat seen;
};

/* Rows are read ahead, and files opened, in a thread, while another is at the end of a pass. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static lloyd_status changed(const char *path, const char *how)
{
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "%s %s while it was read, so its rows are not one dataset; start again when "
                      "nothing writes there",
                      path, how);
}

static lloyd_status compare(const char *path, const struct stat *was, const struct stat *is)
{
    if (was->st_dev != is->st_dev || was->st_ino != is->st_ino)
        return changed(path, "was replaced by another file");
    if (is->st_size < was->st_size) return changed(path, "was truncated");
    if (is->st_size != was->st_size || is->st_mtim.tv_sec != was->st_mtim.tv_sec ||
        is->st_mtim.tv_nsec != was->st_mtim.tv_nsec)
        return changed(path, "was written to");
    return LLOYD_OK;
}

static lloyd_status look(const char *path, int descriptor, struct stat *info)
{
    if ((descriptor >= 0 ? fstat(descriptor, info) : stat(path, info)) == 0) return LLOYD_OK;
    if (errno == ENOENT) return changed(path, "was removed or renamed");
    return lloyd_fail(LLOYD_BAD_INPUT, "cannot look at %s again: %s; check the path", path,
                      strerror(errno));
}

static lloyd_status add(lloyd_watch *watch, const char *path, const struct stat *info)
{
    if (watch->count == watch->room) {
        int room = watch->room ? 2 * watch->room : 2;
        struct lloyd_watched *files = realloc(watch->files, (size_t)room * sizeof *files);
        if (!files) return lloyd_fail(LLOYD_FAILED, "cannot open %s: out of memory", path);
        watch->files = files;
        watch->room = room;
    }
    struct lloyd_watched *file = &watch->files[watch->count];
    *file = (struct lloyd_watched){strdup(path), *info};
    if (!file->path) return lloyd_fail(LLOYD_FAILED, "cannot open %s: out of memory", path);
    watch->count++;
    return LLOYD_OK;
}

static lloyd_status remember(lloyd_watch *watch, const char *path, const struct stat *info)
{
    for (int i = 0; i < watch->count; i++) {
        if (strcmp(watch->files[i].path, path) == 0)
            return compare(path, &watch->files[i].seen, info);
    }
    return add(watch, path, info);
}

lloyd_status lloyd_watch_file(lloyd_watch *watch, const char *path, int descriptor)
{
    struct stat info;
    if (!watch) return LLOYD_OK;
    LLOYD_TRY(look(path, descriptor, &info));
    pthread_mutex_lock(&lock);
    lloyd_status status = remember(watch, path, &info);
    pthread_mutex_unlock(&lock);
    return status;
}

lloyd_status lloyd_watch_check(const lloyd_watch *watch)
{
    lloyd_status status = LLOYD_OK;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < watch->count && status == LLOYD_OK; i++) {
        struct stat info;
        status = look(watch->files[i].path, -1, &info);
        if (status == LLOYD_OK)
            status = compare(watch->files[i].path, &watch->files[i].seen, &info);
    }
    pthread_mutex_unlock(&lock);
    return status;
}

void lloyd_watch_free(lloyd_watch *watch)
{
    for (int i = 0; i < watch->count; i++) free(watch->files[i].path);
    free(watch->files);
    *watch = (lloyd_watch){0};
}
