/* See origin.h. */
#include "io/origin.h"

#include "io/checkpoint.h"
#include "io/h5.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Files of earlier versions have no such attribute. Of theirs, models and synthetic rows can be told
 * from others'. */
static int is_early_model(hid_t file)
{
    static const char *const names[] = {"version", "options", "backend", "seed", "iterations"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (H5Aexists(file, names[i]) <= 0) return 0;
    return H5Lexists(file, "/centroids", H5P_DEFAULT) > 0;
}

static int is_early_synth(hid_t file)
{
    return H5Lexists(file, "/train", H5P_DEFAULT) > 0 &&
           H5Aexists_by_name(file, "/train", "description", H5P_DEFAULT) > 0;
}

static int is_own(hid_t file)
{
    return H5Aexists(file, LLOYD_ORIGIN) > 0 || is_early_model(file) || is_early_synth(file);
}

/* The first bytes of the file: a page is told by these. */
static lloyd_status look_at_text(const char *path, int *own)
{
    char text[512];
    struct stat info;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t count = descriptor < 0 ? -1 : pread(descriptor, text, sizeof text, 0);
    int failed = count < 0 || fstat(descriptor, &info) != 0 ? errno : 0;
    if (descriptor >= 0) close(descriptor);
    if (failed) {
        return lloyd_fail(LLOYD_FAILED, "cannot tell what %s is, which is to be replaced: %s", path,
                          strerror(failed));
    }
    *own = info.st_size == 0 ||
           memmem(text, (size_t)count, LLOYD_ORIGIN_PAGE, sizeof LLOYD_ORIGIN_PAGE - 1) != NULL;
    return LLOYD_OK;
}

lloyd_status lloyd_origin(const char *path, int *own)
{
    LLOYD_H5_SCOPE;
    LLOYD_TRY(look_at_text(path, own));
    if (*own) return LLOYD_OK;
    if (lloyd_saved_is_one(path)) {
        *own = 1;
        return LLOYD_OK;
    }
    hid_t access_list = lloyd_h5_file_access();
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, access_list);
    H5Pclose(access_list);
    if (file < 0) return LLOYD_OK; /* no HDF5, or damaged: nothing of lloyd's */
    *own = is_own(file);
    H5Fclose(file);
    return LLOYD_OK;
}
