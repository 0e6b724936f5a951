/* Outputs: checked before work begins, written under another name, renamed when complete. */
#include "io/output.h"

#include "io/h5.h"
#include "io/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *lloyd_part_name(const char *path)
{
    char *part = lloyd_h5_join(path, ".part");
    if (!part) lloyd_fail(LLOYD_FAILED, "cannot write %s: out of memory", path);
    return part;
}

/* The directory of a path; free with free(). NULL without memory, with the failure stored. */
static char *directory_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory =
        !slash ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (!directory) lloyd_fail(LLOYD_FAILED, "cannot write %s: out of memory", path);
    return directory;
}

static lloyd_status check_directory(const char *path)
{
    char *directory = directory_name(path);
    if (!directory) return LLOYD_FAILED;
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

static lloyd_status check_apart(const char *name, const char *file)
{
    struct stat output, input;
    errno = 0;
    if (stat(name, &output) != 0 || stat(file, &input) != 0) {
        if (errno == ENOENT) return LLOYD_OK; /* one of them is not there */
        return lloyd_fail(LLOYD_FAILED, "cannot tell the output %s from the input %s: %s", name,
                          file, strerror(errno));
    }
    if (input.st_dev != output.st_dev || input.st_ino != output.st_ino) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE, "the output %s would replace the input %s; choose another name",
                      name, file);
}

/* An existing file at `name` must be one that may be replaced, and no input. */
static lloyd_status check_existing(const char *path, const char *name, const lloyd_rows *inputs)
{
    struct stat info;
    if (stat(name, &info) != 0) {
        if (errno == ENOENT) return LLOYD_OK;
        return lloyd_fail(LLOYD_FAILED, "cannot write %s: %s; choose another name", path,
                          strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) {
        return lloyd_fail(LLOYD_FAILED, "cannot write %s: %s is a directory; add a file name", path,
                          name);
    }
    if (!S_ISREG(info.st_mode)) {
        return lloyd_fail(LLOYD_FAILED,
                          "cannot write %s: %s is not a regular file; choose another name", path,
                          name);
    }
    for (int i = 0; inputs && i < lloyd_rows_files(inputs); i++) {
        LLOYD_TRY(check_apart(name, lloyd_rows_file(inputs, i)));
    }
    return LLOYD_OK;
}

lloyd_status lloyd_output_check(const char *path, const lloyd_rows *inputs)
{
    size_t length = strlen(path);
    if (length == 0)
        return lloyd_fail(LLOYD_USAGE,
                          "the name of the output file is empty; name one with --output");
    LLOYD_TRY(check_directory(path));
    if (path[length - 1] == '/') {
        return lloyd_fail(LLOYD_FAILED, "cannot write %s: it is a directory; add a file name",
                          path);
    }
    LLOYD_TRY(check_existing(path, path, inputs));
    char *part = lloyd_part_name(path);
    if (!part) return LLOYD_FAILED;
    lloyd_status status = check_existing(path, part, inputs);
    free(part);
    return status;
}

lloyd_status lloyd_output_check_apart(const char *path, const char *input)
{
    LLOYD_TRY(check_apart(path, input));
    char *part = lloyd_part_name(path);
    if (!part) return LLOYD_FAILED;
    lloyd_status status = check_apart(part, input);
    free(part);
    return status;
}

/* Whether two paths, of files that may not exist yet, are one file. */
static int same_file(const char *a, const char *b)
{
    struct stat one, other;
    if (stat(a, &one) == 0 && stat(b, &other) == 0)
        return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
    const char *slash_a = strrchr(a, '/'), *slash_b = strrchr(b, '/');
    if (strcmp(slash_a ? slash_a + 1 : a, slash_b ? slash_b + 1 : b) != 0) return 0;
    char *folder_a = directory_name(a), *folder_b = directory_name(b);
    int same = folder_a && folder_b && stat(folder_a, &one) == 0 && stat(folder_b, &other) == 0 &&
               one.st_dev == other.st_dev && one.st_ino == other.st_ino;
    free(folder_a);
    free(folder_b);
    return same;
}

lloyd_status lloyd_output_check_distinct(const char *option, const char *path,
                                         const char *other_option, const char *other)
{
    char *part = lloyd_part_name(path), *other_part = lloyd_part_name(other);
    lloyd_status status = part && other_part ? LLOYD_OK : LLOYD_FAILED;
    if (status == LLOYD_OK &&
        (same_file(path, other) || same_file(part, other) || same_file(path, other_part))) {
        status = lloyd_fail(LLOYD_USAGE,
                            "%s %s and %s %s are one file, or one is the other's unfinished file; "
                            "give each a name of its own",
                            option, path, other_option, other);
    }
    free(part);
    free(other_part);
    return status;
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

static lloyd_status commit(const char *path, int sync)
{
    char *part = lloyd_part_name(path), *directory = directory_name(path);
    lloyd_status status = LLOYD_OK;
    if (!part || !directory) {
        status = LLOYD_FAILED;
    } else if ((sync & SYNC_FILE) && sync_path(part, 0) != 0) {
        status = lloyd_fail(LLOYD_FAILED, "cannot complete %s: writing %s to disk: %s", path, part,
                            strerror(errno));
    } else if (rename(part, path) != 0) {
        status = lloyd_fail(LLOYD_FAILED, "cannot complete %s: renaming %s: %s", path, part,
                            strerror(errno));
    } else if ((sync & SYNC_DIRECTORY) && sync_path(directory, O_DIRECTORY) != 0) {
        status =
            lloyd_fail(LLOYD_FAILED, "%s is complete, but writing its directory to disk failed: %s",
                       path, strerror(errno));
    }
    free(part);
    free(directory);
    return status;
}

lloyd_status lloyd_output_sync(const char *path)
{
    char *directory = directory_name(path);
    if (!directory) return LLOYD_FAILED;
    int failed = sync_path(path, 0) != 0 || sync_path(directory, O_DIRECTORY) != 0;
    int error = errno;
    free(directory);
    if (!failed) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "writing %s to disk: %s", path, strerror(error));
}

lloyd_status lloyd_output_commit(const char *path)
{
    return commit(path, SYNC_FILE | SYNC_DIRECTORY);
}

lloyd_status lloyd_output_rename(const char *path, int hurry)
{
    return commit(path, hurry ? 0 : SYNC_DIRECTORY);
}

void lloyd_output_discard(const char *path)
{
    char *part = lloyd_h5_join(path, ".part");
    if (part) unlink(part);
    free(part);
}

lloyd_status lloyd_part_failed(const char *path, const char *what)
{
    char text[256];
    lloyd_h5_reason(text, sizeof text);
    return lloyd_fail(LLOYD_FAILED,
                      "cannot write %s to %s: %s; check the space and the permissions there", what,
                      path, text);
}

lloyd_status lloyd_part_open(const char *path, int fresh, hid_t *file)
{
    *file = H5I_INVALID_HID;
    char *part = lloyd_part_name(path);
    if (!part) return LLOYD_FAILED;
    int entered = lloyd_h5_enter();
    hid_t access_list = lloyd_h5_file_access();
    if (!fresh && access(part, F_OK) == 0) {
        *file = H5Fopen(part, H5F_ACC_RDWR, access_list);
    } else {
        *file = H5Fcreate(part, H5F_ACC_TRUNC, H5P_DEFAULT, access_list);
    }
    lloyd_status status = *file < 0 ? lloyd_part_failed(path, "a new file") : LLOYD_OK;
    H5Pclose(access_list);
    free(part);
    if (status != LLOYD_OK) lloyd_h5_leave(&entered);
    return status;
}

lloyd_status lloyd_part_close(const char *path, hid_t file, lloyd_status status)
{
    if (status == LLOYD_OK && H5Fflush(file, H5F_SCOPE_GLOBAL) < 0)
        status = lloyd_part_failed(path, "the last bytes");
    if (H5Fclose(file) < 0 && status == LLOYD_OK)
        status = lloyd_part_failed(path, "the last bytes");
    int entered = 0; /* by lloyd_part_open() */
    lloyd_h5_leave(&entered);
    return status;
}

hid_t lloyd_part_creation(void)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(creation, 0);
    return creation;
}

lloyd_status lloyd_part_text(const char *path, hid_t object, const char *name, const char *text)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    lloyd_status status = LLOYD_OK;
    if (attribute < 0 || H5Awrite(attribute, type, &text) < 0)
        status = lloyd_part_failed(path, name);
    if (attribute >= 0) H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
    return status;
}

lloyd_status lloyd_output_attribute(const char *path, const char *object, const char *name,
                                    const char *text)
{
    hid_t file;
    LLOYD_TRY(lloyd_part_open(path, 0, &file));
    hid_t id = H5Oopen(file, object, H5P_DEFAULT);
    lloyd_status status =
        id < 0 ? lloyd_part_failed(path, name) : lloyd_part_text(path, id, name, text);
    if (id >= 0) H5Oclose(id);
    return lloyd_part_close(path, file, status);
}

lloyd_status lloyd_output_text(const char *path, const char *text, size_t bytes)
{
    char *part = lloyd_part_name(path);
    if (!part) return LLOYD_FAILED;
    FILE *file = fopen(part, "we");
    int failed = !file || fwrite(text, 1, bytes, file) != bytes, error = errno;
    if (file && fclose(file) != 0 && !failed) {
        failed = 1;
        error = errno;
    }
    free(part);
    return failed ? lloyd_fail(LLOYD_FAILED,
                               "cannot write %s: %s; check the space and the permissions there",
                               path, strerror(error))
                  : LLOYD_OK;
}
