/* Outputs: checked before work begins, written under another name, renamed when complete. */
#include "io/writers/output.h"

#include "io/path.h"
#include "io/space.h"
#include "io/writers/origin.h"
#include "io/writers/partial.h"
#include "io/writers/partial_name.h"

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

static lloyd_status check_directory(const char *path, const char *target)
{
    char *directory = lloyd_path_folder(target);
    if (!directory) return no_memory(path);
    struct stat info;
    lloyd_status status = LLOYD_OK;
    if (stat(directory, &info) != 0) {
        status = lloyd_fail(LLOYD_FAILED, "cannot write %s: the directory %s: %s; make it first",
                            path, directory, strerror(errno));
    } else if (!S_ISDIR(info.st_mode)) {
        status =
            lloyd_fail(LLOYD_FAILED, "cannot write %s: %s is not a directory", path, directory);
    } else if (access(directory, W_OK | X_OK) != 0) {
        status =
            lloyd_fail(LLOYD_FAILED, "cannot write %s: the directory %s: %s; choose another one",
                       path, directory, strerror(errno));
    }
    free(directory);
    return status;
}

/* A file that is there is replaced only if it is one of lloyd's. */
static lloyd_status check_origin(const char *path, const char *target)
{
    int own;
    LLOYD_TRY(lloyd_origin(target, &own));
    if (own) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE,
                      "%s is there, and lloyd has not written it; choose another name, or give "
                      "--force to replace it",
                      path);
}

/* What is there already must be something that may be replaced. */
static lloyd_status check_existing(const char *path, const char *target, int force)
{
    struct stat info;
    if (stat(target, &info) != 0) {
        if (errno == ENOENT) return LLOYD_OK;
        return lloyd_fail(LLOYD_FAILED, "cannot write %s: %s; choose another name", path,
                          strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) {
        return lloyd_fail(LLOYD_FAILED, "cannot write %s: it is a directory; add a file name",
                          path);
    }
    if (!S_ISREG(info.st_mode)) {
        return lloyd_fail(LLOYD_FAILED,
                          "cannot write %s: it is not a regular file; choose another name", path);
    }
    return force ? LLOYD_OK : check_origin(path, target);
}

static lloyd_status check_target(const char *path, const char *target, int force)
{
    LLOYD_TRY(check_directory(path, target));
    size_t length = strlen(target);
    if (length == 0 || target[length - 1] == '/') {
        return lloyd_fail(LLOYD_FAILED, "cannot write %s: it is a directory; add a file name",
                          path);
    }
    return check_existing(path, target, force);
}

static lloyd_status name_output(const char *path, int force, lloyd_output *output)
{
    if (*path == '\0')
        return lloyd_fail(LLOYD_USAGE,
                          "the name of the output file is empty; name one with --output");
    LLOYD_TRY(lloyd_path_follow(path, &output->target));
    LLOYD_TRY(check_target(path, output->target, force));
    output->path = strdup(path);
    output->part = lloyd_partial_name(output->target);
    return output->path && output->part ? LLOYD_OK : no_memory(path);
}

lloyd_status lloyd_output_open(const char *path, int force, lloyd_output *output)
{
    *output = (lloyd_output){.path = NULL};
    lloyd_status status = name_output(path, force, output);
    if (status != LLOYD_OK) lloyd_output_close(output);
    return status;
}

lloyd_status lloyd_output_take(const char *path, const char *target, const char *part,
                               lloyd_output *output)
{
    *output = (lloyd_output){strdup(path), strdup(target), strdup(part)};
    if (output->path && output->target && output->part) return LLOYD_OK;
    lloyd_output_close(output);
    return no_memory(path);
}

void lloyd_output_close(lloyd_output *output)
{
    free(output->path);
    free(output->target);
    free(output->part);
    *output = (lloyd_output){.path = NULL};
}

/* fsync of a file or directory. Some file systems have none for directories: then there is
 * nothing to be done. */
static int sync_path(const char *path, int flags)
{
    int descriptor = open(path, flags | O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return -1;
    int result = fsync(descriptor);
    if (result != 0 && (errno == EINVAL || errno == ENOTSUP)) result = 0;
    int saved = errno;
    close(descriptor);
    errno = saved;
    return result;
}

/* What has to be synced before and after the renaming. */
enum { SYNC_FILE = 1, SYNC_DIRECTORY = 2 };

static lloyd_status commit(const lloyd_output *output, int sync)
{
    const char *path = output->path, *part = output->part;
    char *directory = lloyd_path_folder(output->target);
    if (!directory) return no_memory(path);
    lloyd_status status = LLOYD_OK;
    if ((sync & SYNC_FILE) && sync_path(part, 0) != 0) {
        status = lloyd_fail(LLOYD_FAILED, "cannot complete %s: writing %s to disk: %s", path, part,
                            strerror(errno));
    } else if (rename(part, output->target) != 0) {
        status = lloyd_fail(LLOYD_FAILED, "cannot complete %s: renaming %s: %s", path, part,
                            strerror(errno));
    } else if ((sync & SYNC_DIRECTORY) && sync_path(directory, O_DIRECTORY) != 0) {
        status =
            lloyd_fail(LLOYD_FAILED, "%s is complete, but writing its directory to disk failed: %s",
                       path, strerror(errno));
    }
    free(directory);
    return status;
}

lloyd_status lloyd_output_sync(const char *path)
{
    char *target = NULL, *directory = NULL;
    LLOYD_TRY(lloyd_path_follow(path, &target));
    directory = lloyd_path_folder(target);
    int failed = !directory || sync_path(target, 0) != 0 || sync_path(directory, O_DIRECTORY) != 0;
    int error = errno;
    free(directory);
    free(target);
    if (!failed) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "writing %s to disk: %s", path, strerror(error));
}

lloyd_status lloyd_output_commit(const lloyd_output *output)
{
    return commit(output, SYNC_FILE | SYNC_DIRECTORY);
}

lloyd_status lloyd_output_rename(const lloyd_output *output, int hurry)
{
    return commit(output, hurry ? 0 : SYNC_DIRECTORY);
}

void lloyd_output_discard(const lloyd_output *output)
{
    if (output->part) unlink(output->part);
}

lloyd_status lloyd_output_tidy(const lloyd_output *output)
{
    return lloyd_partial_tidy(output);
}

lloyd_status lloyd_output_create(const lloyd_output *output, const char *kind, int64_t bytes)
{
    hid_t file;
    LLOYD_TRY(lloyd_partial_create(output, kind, &file));
    LLOYD_TRY(lloyd_partial_close(output->path, file, LLOYD_OK));
    return lloyd_space_reserve(output->part, bytes, output->path);
}

lloyd_status lloyd_output_attribute(const lloyd_output *output, const char *object,
                                    const char *name, const char *text)
{
    hid_t file;
    LLOYD_TRY(lloyd_partial_open(output, &file));
    hid_t id = H5Oopen(file, object, H5P_DEFAULT);
    lloyd_status status = id < 0 ? lloyd_partial_failed(output->path, name)
                                 : lloyd_partial_text(output->path, id, name, text);
    if (id >= 0) H5Oclose(id);
    return lloyd_partial_close(output->path, file, status);
}

lloyd_status lloyd_output_text(const lloyd_output *output, const char *text, size_t bytes)
{
    FILE *file = fopen(output->part, "wxe");
    int failed = !file || fwrite(text, 1, bytes, file) != bytes, error = errno;
    if (file && fclose(file) != 0 && !failed) {
        failed = 1;
        error = errno;
    }
    return failed ? lloyd_fail(LLOYD_FAILED,
                               "cannot write %s: %s; check the space and the permissions there",
                               output->path, strerror(error))
                  : LLOYD_OK;
}

FILE *lloyd_output_stream(const char *path)
{
    char *target, *part = NULL;
    FILE *file = NULL;
    if (lloyd_path_follow(path, &target) != LLOYD_OK) return NULL;
    part = lloyd_partial_name(target);
    if (part) file = fopen(part, "wxe");
    if (file && rename(part, target) != 0) {
        int failed = errno;
        fclose(file);
        unlink(part);
        file = NULL;
        errno = failed;
    }
    free(part);
    free(target);
    return file;
}
