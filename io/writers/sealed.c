/* See sealed.h. */
#include "io/writers/sealed.h"

#include "base/memory.h"
#include "io/hdf5/attribute.h"
#include "io/hdf5/h5.h"
#include "io/writers/origin.h"
#include "io/writers/partial.h"
#include "io/writers/seal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* ---- In memory ------------------------------------------------------------------------------- */

lloyd_status lloyd_sealed_create(const char *path, hid_t *file)
{
    enum { STEP = 1 << 16 }; /* in which its memory grows */
    int entered = lloyd_h5_enter();
    hid_t access_list = lloyd_h5_file_access(), creation = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_userblock(creation, LLOYD_SEAL);
    *file = H5Pset_fapl_core(access_list, STEP, 0) < 0
                ? H5I_INVALID_HID
                : H5Fcreate(path, H5F_ACC_TRUNC, creation, access_list);
    lloyd_status status = *file < 0 ? lloyd_partial_failed(path, "a new file") : LLOYD_OK;
    H5Pclose(creation);
    H5Pclose(access_list);
    if (status != LLOYD_OK) lloyd_h5_leave(&entered);
    return status;
}

lloyd_status lloyd_sealed_mark(const char *path, hid_t root)
{
    const int format = LLOYD_SEALED_FORMAT;
    LLOYD_TRY(lloyd_partial_number(path, root, "checkpoint", H5T_NATIVE_INT, &format));
    return lloyd_partial_text(path, root, LLOYD_ORIGIN, LLOYD_ORIGIN_CHECKPOINT);
}

lloyd_status lloyd_sealed_draft(const char *path, hid_t file, lloyd_status status,
                                lloyd_saved_image *image)
{
    if (status == LLOYD_OK && H5Fflush(file, H5F_SCOPE_GLOBAL) < 0)
        status = lloyd_partial_failed(path, "the last bytes");
    image->draft = file;
    return status == LLOYD_OK ? LLOYD_OK : lloyd_partial_close(path, file, status);
}

static lloyd_status make_image_room(lloyd_saved_image *image, int64_t bytes)
{
    if (bytes <= image->room) return LLOYD_OK;
    lloyd_saved_discard(image);
    LLOYD_TRY(lloyd_alloc(&image->bytes, bytes + bytes / 64, 1, "the checkpoint in memory"));
    image->room = bytes + bytes / 64; /* the history grows */
    return LLOYD_OK;
}

/* HDF5 gives a file's bytes without those that are left to the user. */
static lloyd_status copy_draft(const char *path, lloyd_saved_image *image)
{
    static const char signature[] = {'\211', 'H', 'D', 'F'};
    hid_t file = (hid_t)image->draft;
    ssize_t bytes = H5Fget_file_image(file, NULL, 0);
    image->count = 0;
    if (bytes <= 0) return lloyd_partial_failed(path, "the checkpoint in memory");
    LLOYD_TRY(make_image_room(image, LLOYD_SEAL + (int64_t)bytes));
    if (!image->bytes ||
        H5Fget_file_image(file, image->bytes + LLOYD_SEAL, (size_t)bytes) != bytes ||
        memcmp(image->bytes + LLOYD_SEAL, signature, sizeof signature) != 0)
        return lloyd_partial_failed(path, "the checkpoint in memory");
    image->count = LLOYD_SEAL + (int64_t)bytes;
    return LLOYD_OK;
}

lloyd_status lloyd_sealed_adopt(const char *path, lloyd_saved_image *image)
{
    hid_t file = (hid_t)image->draft;
    return lloyd_partial_close(path, file, copy_draft(path, image));
}

/* ---- Reading -------------------------------------------------------------------------------- */

/* The seal was right: where HDF5 cannot read now, the disk or the memory has failed since. What it
 * reads and is not as it should be was never written by lloyd. */

static lloyd_status check_format(const lloyd_sealed *from)
{
    int format = 0;
    LLOYD_TRY(lloyd_h5_number(from->path, from->file, "checkpoint", H5T_NATIVE_INT, &format));
    if (format == 0) return lloyd_seal_damaged(from->path, "it lacks the attribute checkpoint");
    if (format == LLOYD_SEALED_FORMAT) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "%s is a checkpoint of format %d, but this lloyd reads %d; continue "
                      "with the lloyd that wrote it",
                      from->path, format, LLOYD_SEALED_FORMAT);
}

lloyd_status lloyd_sealed_open(const char *path, lloyd_sealed *from)
{
    struct stat info;
    *from = (lloyd_sealed){.path = path};
    if (stat(path, &info) != 0) return lloyd_seal_unreadable(path, strerror(errno));
    LLOYD_TRY(lloyd_seal_check(path));
    LLOYD_TRY(lloyd_h5_open_file(path, &from->file));
    from->bytes = (int64_t)info.st_size;
    lloyd_status status = check_format(from);
    if (status != LLOYD_OK) H5Fclose(from->file);
    return status;
}

lloyd_status lloyd_sealed_is_split(const lloyd_sealed *from, int *is_split)
{
    *is_split = 0;
    return lloyd_h5_number(from->path, from->file, "split", H5T_NATIVE_INT, is_split);
}

lloyd_status lloyd_sealed_array(const lloyd_sealed *from, const char *name, hid_t type, int rank,
                                const int64_t *extent, void *data)
{
    int64_t count = extent[0] * (rank == 2 ? extent[1] : 1);
    size_t size = H5Tget_size(type);
    hsize_t stored[2] = {0, 0};
    int dimensions = 0;
    void *values = NULL;
    hid_t dataset = H5Dopen2(from->file, name, H5P_DEFAULT);
    if (dataset < 0) return lloyd_seal_unreadable(from->path, name);
    lloyd_status status = lloyd_h5_shape(dataset, name, 2, &dimensions, stored);
    hid_t element = H5Dget_type(dataset);
    htri_t equal = H5Tequal(element, type);
    if (status != LLOYD_OK || equal < 0) {
        status = lloyd_seal_unreadable(from->path, name);
    } else if (!equal || dimensions != rank || stored[0] != (hsize_t)extent[0] ||
               (rank == 2 && stored[1] != (hsize_t)extent[1])) {
        status = lloyd_seal_damaged(from->path, name);
    } else {
        status = lloyd_alloc(&values, count, size, "a checkpoint");
        if (status == LLOYD_OK && count > 0 &&
            H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
            status = lloyd_seal_unreadable(from->path, name);
    }
    H5Tclose(element);
    H5Dclose(dataset);
    memcpy(data, &values, sizeof values); /* freed with the rest, read or not */
    return status;
}
