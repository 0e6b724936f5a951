/* See partial.h. */
#include "io/writers/partial.h"

#include "io/hdf5/h5.h"
#include "io/writers/origin.h"

lloyd_status lloyd_partial_failed(const char *path, const char *what)
{
    char text[256];
    lloyd_h5_reason(text, sizeof text);
    return lloyd_fail(LLOYD_FAILED,
                      "cannot write %s to %s: %s; check the space and the permissions there", what,
                      path, text);
}

/* After lloyd_h5_enter(): the lock is kept for lloyd_partial_close(). */
static lloyd_status opened(const lloyd_output *output, hid_t file, int *entered)
{
    if (file >= 0) return LLOYD_OK;
    lloyd_status status = lloyd_partial_failed(output->path, "a new file");
    lloyd_h5_leave(entered);
    return status;
}

lloyd_status lloyd_partial_create(const lloyd_output *output, const char *kind, hid_t *file)
{
    int entered = lloyd_h5_enter();
    hid_t access_list = lloyd_h5_file_access();
    *file = H5Fcreate(output->part, H5F_ACC_EXCL, H5P_DEFAULT, access_list);
    lloyd_status status = opened(output, *file, &entered);
    H5Pclose(access_list);
    if (status != LLOYD_OK) return status;
    status = lloyd_partial_text(output->path, *file, LLOYD_ORIGIN, kind);
    return status == LLOYD_OK ? LLOYD_OK : lloyd_partial_close(output->path, *file, status);
}

lloyd_status lloyd_partial_open(const lloyd_output *output, hid_t *file)
{
    int entered = lloyd_h5_enter();
    hid_t access_list = lloyd_h5_file_access();
    *file = H5Fopen(output->part, H5F_ACC_RDWR, access_list);
    lloyd_status status = opened(output, *file, &entered);
    H5Pclose(access_list);
    return status;
}

lloyd_status lloyd_partial_close(const char *path, hid_t file, lloyd_status status)
{
    if (status == LLOYD_OK && H5Fflush(file, H5F_SCOPE_GLOBAL) < 0)
        status = lloyd_partial_failed(path, "the last bytes");
    if (H5Fclose(file) < 0 && status == LLOYD_OK)
        status = lloyd_partial_failed(path, "the last bytes");
    int entered = 0; /* by lloyd_partial_open() */
    lloyd_h5_leave(&entered);
    return status;
}

hid_t lloyd_partial_creation(void)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(creation, 0);
    return creation;
}

lloyd_status lloyd_partial_text(const char *path, hid_t object, const char *name, const char *text)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    lloyd_status status = LLOYD_OK;
    if (attribute < 0 || H5Awrite(attribute, type, &text) < 0)
        status = lloyd_partial_failed(path, name);
    if (attribute >= 0) H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
    return status;
}

lloyd_status lloyd_partial_number(const char *path, hid_t object, const char *name, hid_t type,
                                  const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    lloyd_status status = LLOYD_OK;
    if (attribute < 0 || H5Awrite(attribute, type, value) < 0)
        status = lloyd_partial_failed(path, name);
    if (attribute >= 0) H5Aclose(attribute);
    H5Sclose(space);
    return status;
}

lloyd_status lloyd_partial_dataset(const char *path, hid_t file, const char *name, hid_t type,
                                   int rank, const hsize_t *extent, const void *data)
{
    hid_t creation = lloyd_partial_creation(), space = H5Screate_simple(rank, extent, NULL);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    lloyd_status status = LLOYD_OK;
    int empty = extent[0] == 0;
    if (dataset < 0 ||
        (!empty && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)) {
        status = lloyd_partial_failed(path, name);
    }
    if (dataset >= 0) H5Dclose(dataset);
    if (space >= 0) H5Sclose(space);
    H5Pclose(creation);
    return status;
}
