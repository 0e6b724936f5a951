/* See origin.h. */
#include "io/writers/origin.h"

#include "io/hdf5/h5.h"
#include "io/writers/checkpoint.h"
#include "io/writers/npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static lloyd_status unreadable(const char *path, const char *why)
{
    return lloyd_fail(
        LLOYD_FAILED,
        "cannot tell what %s is, which is to be replaced: %s; choose another name, or "
        "give --force",
        path, why);
}

/* An HDF5 file, and whether something could not be read of it. */
typedef struct looked_at {
    hid_t file;
    int failed;
} looked_at;

static int yes(looked_at *l, htri_t answer)
{
    if (answer < 0) l->failed = 1;
    return answer > 0;
}

/* Files of earlier versions have no such attribute. Their models and synthetic rows are recognised
 * by what they hold. */
static int is_early_model(looked_at *l)
{
    static const char *const names[] = {"version", "options", "backend", "seed", "iterations"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!yes(l, H5Aexists(l->file, names[i]))) return 0;
    return yes(l, H5Lexists(l->file, "/centroids", H5P_DEFAULT));
}

static int is_early_synth(looked_at *l)
{
    return yes(l, H5Lexists(l->file, "/train", H5P_DEFAULT)) &&
           yes(l, H5Aexists_by_name(l->file, "/train", "description", H5P_DEFAULT));
}

static lloyd_status look_inside(const char *path, int *own)
{
    char text[256];
    hid_t access_list = lloyd_h5_read_access(path);
    looked_at l = {.file = H5Fopen(path, H5F_ACC_RDONLY, access_list)};
    if (l.file < 0) lloyd_h5_reason(text, sizeof text);
    H5Pclose(access_list);
    if (l.file < 0) return H5Fis_hdf5(path) > 0 ? unreadable(path, text) : LLOYD_OK;
    *own = yes(&l, H5Aexists(l.file, LLOYD_ORIGIN)) || is_early_model(&l) || is_early_synth(&l);
    if (l.failed) lloyd_h5_reason(text, sizeof text);
    H5Fclose(l.file);
    return l.failed ? unreadable(path, text) : LLOYD_OK;
}

/* The first bytes of the file: a report page and a list of row numbers are recognised by these. */
static lloyd_status look_at_text(const char *path, int *own)
{
    char text[512];
    struct stat info = {0};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t count = descriptor < 0 ? -1 : pread(descriptor, text, sizeof text, 0);
    int failed = count < 0 || fstat(descriptor, &info) != 0 ? errno : 0;
    if (descriptor >= 0) close(descriptor);
    if (failed) return unreadable(path, strerror(failed));
    *own = info.st_size == 0 || lloyd_npy_is_list(text, (size_t)count) ||
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
    return look_inside(path, own);
}
