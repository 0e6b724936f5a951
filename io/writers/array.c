/* Row-shaped outputs. HDF5 lays the dataset out once, contiguous and allocated; after that a row
 * is at a known offset of the file, and every process writes its own with pwrite(): parallel
 * writing without parallel HDF5. */
#include "io/writers/array.h"

#include "base/memory.h"
#include "io/hdf5/h5.h"
#include "io/writers/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const size_t WRITE_MAX = (size_t)1
                                << 30; /* the system writes less than 2 GiB with one call */

struct lloyd_array {
    char *path, *part, *name;
    int descriptor;
    int64_t rows, row_bytes;
    int64_t offset; /* of row 0 in the file */
};

static hid_t array_type(lloyd_array_type type)
{
    switch (type) {
    case LLOYD_ARRAY_I32: return H5Tcopy(H5T_NATIVE_INT32);
    case LLOYD_ARRAY_F32: return lloyd_h5_native(LLOYD_F32);
    case LLOYD_ARRAY_F16: return lloyd_h5_native(LLOYD_F16);
    case LLOYD_ARRAY_BF16: return lloyd_h5_native(LLOYD_BF16);
    case LLOYD_ARRAY_U8: return lloyd_h5_native(LLOYD_U8);
    case LLOYD_ARRAY_I8: return lloyd_h5_native(LLOYD_I8);
    case LLOYD_ARRAY_I64: return H5Tcopy(H5T_NATIVE_INT64);
    }
    return H5I_INVALID_HID;
}

lloyd_status lloyd_array_create(const lloyd_output *output, const char *name, lloyd_array_type type,
                                int64_t rows, int64_t columns)
{
    hid_t file;
    const char *path = output->path;
    LLOYD_TRY(lloyd_partial_open(output, &file));
    hsize_t extent[2] = {(hsize_t)rows, (hsize_t)columns};
    hid_t creation = lloyd_partial_creation(), links = H5Pcreate(H5P_LINK_CREATE),
          element = array_type(type), space = H5Screate_simple(columns > 0 ? 2 : 1, extent, NULL);
    H5Pset_layout(creation, H5D_CONTIGUOUS);
    H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY);
    H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER);
    H5Pset_create_intermediate_group(links, 1);
    hid_t dataset = H5Dcreate2(file, name, element, space, links, creation, H5P_DEFAULT);
    lloyd_status status = dataset < 0 ? lloyd_partial_failed(path, name) : LLOYD_OK;
    if (dataset >= 0) H5Dclose(dataset);
    if (space >= 0) H5Sclose(space);
    H5Tclose(element);
    H5Pclose(links);
    H5Pclose(creation);
    return lloyd_partial_close(path, file, status);
}

/* Where HDF5 has put the dataset. */
static lloyd_status locate(lloyd_array *array)
{
    hid_t file;
    LLOYD_TRY(lloyd_h5_open_file(array->part, &file));
    hid_t dataset = H5Dopen2(file, array->name, H5P_DEFAULT);
    lloyd_status status = LLOYD_OK;
    if (dataset < 0) {
        status = lloyd_partial_failed(array->path, array->name);
    } else {
        hsize_t extent[2] = {0, 0};
        int rank = 0;
        status = lloyd_h5_shape(dataset, array->name, 2, &rank, extent);
        hid_t type = H5Dget_type(dataset);
        haddr_t offset = H5Dget_offset(dataset);
        array->rows = (int64_t)extent[0];
        array->row_bytes = (int64_t)H5Tget_size(type) * (rank == 2 ? (int64_t)extent[1] : 1);
        array->offset = offset == HADDR_UNDEF ? -1 : (int64_t)offset;
        if (status == LLOYD_OK && type < 0) {
            status = lloyd_partial_failed(array->path, array->name);
        } else if (status == LLOYD_OK && array->offset < 0 && array->rows > 0) {
            status = lloyd_fail(LLOYD_FAILED, "cannot write %s: HDF5 has not allocated dataset %s",
                                array->path, array->name);
        }
        H5Tclose(type);
        H5Dclose(dataset);
    }
    H5Fclose(file);
    return status;
}

static lloyd_status open_array(lloyd_array *array, const lloyd_output *output, const char *name)
{
    array->path = strdup(output->path);
    array->name = strdup(name);
    array->part = strdup(output->part);
    if (!array->path || !array->name || !array->part)
        return lloyd_fail(LLOYD_FAILED, "cannot write %s: out of memory", output->path);
    if (locate(array) != LLOYD_OK)
        return LLOYD_FAILED; /* a partial file is never the user's bad input */
    array->descriptor = open(array->part, O_WRONLY | O_CLOEXEC);
    if (array->descriptor >= 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED,
                      "cannot open %s for writing: %s; are all ranks on the same file system?",
                      array->part, strerror(errno));
}

static void free_array(lloyd_array *array)
{
    free(array->path);
    free(array->part);
    free(array->name);
    lloyd_free(array);
}

lloyd_status lloyd_array_open(const lloyd_output *output, const char *name, lloyd_array **array)
{
    LLOYD_H5_SCOPE;
    *array = NULL;
    lloyd_array *opened;
    LLOYD_TRY(lloyd_alloc(&opened, 1, sizeof *opened, "an output array"));
    lloyd_status status = open_array(opened, output, name);
    if (status == LLOYD_OK) {
        *array = opened;
    } else {
        free_array(opened);
    }
    return status;
}

static lloyd_status write_failed(const lloyd_array *array)
{
    const char *advice =
        errno == ENOSPC || errno == EDQUOT ? "; make room there or choose another directory" : "";
    return lloyd_fail(LLOYD_FAILED, "cannot write %s to %s: %s%s", array->name, array->path,
                      strerror(errno), advice);
}

lloyd_status lloyd_array_write(lloyd_array *array, int64_t first, int64_t count, const void *data)
{
    if (first < 0 || count < 0 || first > array->rows || count > array->rows - first) {
        return lloyd_fail(
            LLOYD_FAILED,
            "cannot write rows [%lld, %lld + %lld) of %lld to %s: a mistake in the program, please report it",
            (long long)first, (long long)first, (long long)count, (long long)array->rows,
            array->path);
    }
    const char *bytes = data;
    size_t left = (size_t)(count * array->row_bytes);
    off_t at = (off_t)(array->offset + first * array->row_bytes);
    while (left > 0) {
        ssize_t written = pwrite(array->descriptor, bytes, left < WRITE_MAX ? left : WRITE_MAX, at);
        if (written < 0 && errno == EINTR) continue;
        if (written == 0) errno = ENOSPC;
        if (written <= 0) return write_failed(array);
        bytes += written;
        left -= (size_t)written;
        at += written;
    }
    return LLOYD_OK;
}

lloyd_status lloyd_array_close(lloyd_array *array)
{
    if (!array) return LLOYD_OK;
    /* Every process brings its own rows to disk: on a network file system the one that renames
     * cannot do it for the others. */
    lloyd_status status = fsync(array->descriptor) == 0 ? LLOYD_OK : write_failed(array);
    if (close(array->descriptor) != 0 && errno != EINTR && status == LLOYD_OK)
        status = write_failed(array);
    free_array(array);
    return status;
}
