/* See folder.h. */
#include "io/export/folder.h"

#include "io/export/arrays.h"
#include "io/export/file.h"
#include "io/path.h"
#include "io/writers/partial_name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static lloyd_status no_memory(const char *path)
{
    return lloyd_fail(LLOYD_FAILED, "cannot write %s: out of memory", path);
}

/* ---- What is there -------------------------------------------------------------------------- */

/* Whether an export has files of this name. */
static int is_ours(const char *name)
{
    char own[64];
    if (strcmp(name, LLOYD_EXPORT_ABOUT) == 0) return 1;
    for (int i = 0; lloyd_export_array_at(i); i++) {
        const lloyd_export_array *array = lloyd_export_array_at(i);
        for (int format = LLOYD_EXPORT_NPY; format <= LLOYD_EXPORT_CSV; format++) {
            snprintf(own, sizeof own, "%s%s", array->name,
                     lloyd_export_ending((lloyd_export_format)format, array));
            if (strcmp(name, own) == 0) return 1;
        }
    }
    return 0;
}

/* *count = entries of the folder; LLOYD_USAGE if one of them is no file of an export. */
static lloyd_status look_at_entries(const char *path, DIR *entries, int *count)
{
    struct dirent *entry;
    *count = 0;
    errno = 0;
    /* the stream is this thread's own */
    /* cppcheck-suppress readdirCalled */
    while ((entry = readdir(entries)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        ++*count;
        if (is_ours(entry->d_name)) continue;
        return lloyd_fail(LLOYD_USAGE,
                          "%s is a folder with other files, such as %s, and exporting replaces the "
                          "whole folder; choose a new name",
                          path, entry->d_name);
    }
    if (errno == 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "cannot list %s: %s; choose another name", path,
                      strerror(errno));
}

static int has_mark(const char *target)
{
    char *about, text[sizeof LLOYD_EXPORT_MARK] = "";
    if (asprintf(&about, "%s/%s", target, LLOYD_EXPORT_ABOUT) < 0) return 0;
    FILE *file = fopen(about, "re");
    size_t count = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) fclose(file);
    free(about);
    return count == sizeof text - 1 && memcmp(text, LLOYD_EXPORT_MARK, count) == 0;
}

static lloyd_status check_folder(const char *path, const char *target, int force)
{
    int count;
    DIR *entries = opendir(target);
    if (!entries) {
        return lloyd_fail(LLOYD_FAILED, "cannot write %s: %s; choose another name", path,
                          strerror(errno));
    }
    lloyd_status status = look_at_entries(path, entries, &count);
    closedir(entries);
    if (status != LLOYD_OK || count == 0 || force || has_mark(target)) return status;
    return lloyd_fail(LLOYD_USAGE,
                      "%s is there, and lloyd has not written it; choose another name, or give "
                      "--force to replace it",
                      path);
}

static lloyd_status check_target(const char *path, const char *target, int force)
{
    struct stat info;
    if (stat(target, &info) != 0) {
        if (errno == ENOENT) return LLOYD_OK;
        return lloyd_fail(LLOYD_FAILED, "cannot write %s: %s; choose another name", path,
                          strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) return check_folder(path, target, force);
    return lloyd_fail(LLOYD_USAGE, "cannot export to %s: it is not a folder; choose another name",
                      path);
}

/* Without the '/' that ends it. */
static char *trimmed(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    return strndup(path, length);
}

static lloyd_status name_folder(const char *path, int force, lloyd_output *folder)
{
    folder->path = trimmed(path);
    if (!folder->path) return no_memory(path);
    LLOYD_TRY(lloyd_path_follow(folder->path, &folder->target));
    LLOYD_TRY(check_target(folder->path, folder->target, force));
    const char *name = lloyd_path_name(folder->target);
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return lloyd_fail(
            LLOYD_USAGE,
            "cannot export to %s: this folder is made anew; give the name of one in it", path);
    }
    folder->part = lloyd_partial_name(folder->target);
    return folder->part ? LLOYD_OK : no_memory(path);
}

lloyd_status lloyd_export_folder_open(const char *path, int force, lloyd_output *folder)
{
    *folder = (lloyd_output){.path = NULL};
    lloyd_status status = name_folder(path, force, folder);
    if (status != LLOYD_OK) lloyd_output_close(folder);
    return status;
}

/* ---- Making it ------------------------------------------------------------------------------ */

lloyd_status lloyd_export_folder_create(const lloyd_output *folder)
{
    if (mkdir(folder->part, 0777) == 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED,
                      "cannot make %s: %s; make the folder that it lies in first, or "
                      "choose another place",
                      folder->path, strerror(errno));
}

static int sync_folder(const char *path)
{
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return -1;
    int result = fsync(descriptor);
    if (result != 0 && (errno == EINVAL || errno == ENOTSUP)) result = 0;
    int error = errno;
    close(descriptor);
    errno = error;
    return result;
}

/* Where the file system cannot exchange two names: the older folder steps aside first. */
static int exchange_in_two(const lloyd_output *folder)
{
    char *aside = lloyd_partial_name(folder->target);
    int result = -1;
    if (!aside) return -1;
    if (rename(folder->target, aside) == 0) {
        result = rename(folder->part, folder->target);
        int error = errno;
        if (result != 0)
            (void)rename(aside, folder->target);
        else
            (void)lloyd_path_remove(aside);
        errno = error;
    }
    free(aside);
    return result;
}

/* A folder without entries is replaced by renaming; another one changes its name with the new one. */
static int put_in_place(const lloyd_output *folder)
{
    if (rename(folder->part, folder->target) == 0) return 0;
    if (errno != ENOTEMPTY && errno != EEXIST) return -1;
    if (renameat2(AT_FDCWD, folder->part, AT_FDCWD, folder->target, RENAME_EXCHANGE) == 0)
        return lloyd_path_remove(folder->part);
    return errno == EINVAL || errno == ENOSYS ? exchange_in_two(folder) : -1;
}

lloyd_status lloyd_export_folder_commit(const lloyd_output *folder)
{
    char *above = lloyd_path_folder(folder->target);
    if (!above) return no_memory(folder->path);
    int failed =
        sync_folder(folder->part) != 0 || put_in_place(folder) != 0 || sync_folder(above) != 0;
    free(above);
    if (!failed) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "cannot complete %s: %s", folder->path, strerror(errno));
}

void lloyd_export_folder_discard(const lloyd_output *folder)
{
    if (folder->part) (void)lloyd_path_remove(folder->part);
}
