/* See list.h. */
#include "io/hdf5/list.h"

#include "io/hdf5/h5.h"

static lloyd_status check(const char *path, hid_t dataset, const char *name, H5T_class_t class,
                          int64_t *count)
{
    hsize_t extent[1] = {0};
    int rank;
    LLOYD_TRY(lloyd_h5_shape(dataset, path, 1, &rank, extent));
    hid_t type = H5Dget_type(dataset);
    int is_list = rank == 1 && H5Tget_class(type) == class;
    if (type >= 0) H5Tclose(type);
    *count = (int64_t)extent[0];
    return is_list
               ? LLOYD_OK
               : lloyd_fail(LLOYD_BAD_INPUT, "%s of %s is no list of %s, as lloyd writes it", name,
                            path, class == H5T_FLOAT ? "floating-point numbers" : "whole numbers");
}

static lloyd_status open_list(const char *path, hid_t file, const char *name, H5T_class_t class,
                              hid_t *dataset, int64_t *count)
{
    LLOYD_H5_SCOPE;
    *dataset = H5Dopen2(file, name, H5P_DEFAULT);
    if (*dataset < 0)
        return lloyd_fail(LLOYD_BAD_INPUT, "cannot read %s: it has no dataset %s", path, name);
    lloyd_status status = check(path, *dataset, name, class, count);
    if (status == LLOYD_OK) return LLOYD_OK;
    H5Dclose(*dataset);
    *dataset = H5I_INVALID_HID;
    return status;
}

lloyd_status lloyd_h5_list_open(const char *path, hid_t file, const char *name, hid_t *dataset,
                                int64_t *count)
{
    return open_list(path, file, name, H5T_INTEGER, dataset, count);
}

lloyd_status lloyd_h5_reals_open(const char *path, hid_t file, const char *name, hid_t *dataset,
                                 int64_t *count)
{
    return open_list(path, file, name, H5T_FLOAT, dataset, count);
}

lloyd_status lloyd_h5_list_read(const char *path, hid_t dataset, const char *name, hid_t type,
                                int64_t first, int64_t count, void *out)
{
    LLOYD_H5_SCOPE;
    hsize_t start[1] = {(hsize_t)first}, size[1] = {(hsize_t)count};
    char text[256];
    if (count == 0) return LLOYD_OK;
    hid_t stored = H5Dget_space(dataset), memory = H5Screate_simple(1, size, NULL);
    int failed = H5Sselect_hyperslab(stored, H5S_SELECT_SET, start, NULL, size, NULL) < 0 ||
                 H5Dread(dataset, type, memory, stored, H5P_DEFAULT, out) < 0;
    if (failed) lloyd_h5_reason(text, sizeof text);
    H5Sclose(memory);
    H5Sclose(stored);
    return failed ? lloyd_fail(LLOYD_BAD_INPUT, "cannot read %s of %s: %s", name, path, text)
                  : LLOYD_OK;
}
