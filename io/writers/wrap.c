/* An HDF5 file around a raw one: HDF5's external storage says where the elements are, nothing is
 * copied, and every program that reads HDF5 can read the vectors. */
#include "io/writers/wrap.h"

#include "io/hdf5/h5.h"
#include "io/path.h"
#include "io/readers/raw.h"
#include "io/writers/origin.h"
#include "io/writers/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first bytes of the raw file and its size. */
static lloyd_status read_header(const char *path, unsigned char *header, size_t *bytes,
                                int64_t *size)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info = {0};
    ssize_t got = 0;
    *bytes = 0;
    if (descriptor < 0 || fstat(descriptor, &info) != 0) {
        lloyd_status status = lloyd_fail(LLOYD_BAD_INPUT, "cannot open %s: %s; check the path",
                                         path, strerror(errno));
        if (descriptor >= 0) close(descriptor);
        return status;
    }
    if (!S_ISREG(info.st_mode)) {
        close(descriptor);
        return lloyd_fail(LLOYD_BAD_INPUT, "cannot wrap %s: it is not a regular file", path);
    }
    while (*bytes < LLOYD_RAW_HEADER &&
           (got = read(descriptor, header + *bytes, LLOYD_RAW_HEADER - *bytes)) != 0) {
        if (got > 0) *bytes += (size_t)got;
        if (got < 0 && errno != EINTR) break;
    }
    lloyd_status status =
        got < 0 ? lloyd_fail(LLOYD_BAD_INPUT, "cannot read %s: %s", path, strerror(errno))
                : LLOYD_OK;
    close(descriptor);
    *size = (int64_t)info.st_size;
    return status;
}

static lloyd_status parse_header(const char *path, const unsigned char *header, size_t bytes,
                                 lloyd_raw *raw)
{
    const char *dot = strrchr(path, '.');
    if (dot && strcmp(dot, ".fbin") == 0) return lloyd_raw_bin(header, bytes, LLOYD_F32, path, raw);
    if (dot && strcmp(dot, ".u8bin") == 0) return lloyd_raw_bin(header, bytes, LLOYD_U8, path, raw);
    if (dot && strcmp(dot, ".i8bin") == 0) return lloyd_raw_bin(header, bytes, LLOYD_I8, path, raw);
    if (dot && strcmp(dot, ".npy") == 0) return lloyd_raw_npy(header, bytes, path, raw);
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot wrap %s: only files named .fbin, .u8bin, .i8bin or .npy can be wrapped", path);
}

static lloyd_status look_at(const char *path, lloyd_raw *raw)
{
    unsigned char *header = malloc(LLOYD_RAW_HEADER);
    if (!header) return lloyd_fail(LLOYD_FAILED, "cannot wrap %s: out of memory", path);
    size_t bytes;
    int64_t size = 0;
    lloyd_status status = read_header(path, header, &bytes, &size);
    if (status == LLOYD_OK) status = parse_header(path, header, bytes, raw);
    free(header);
    if (status != LLOYD_OK || size == raw->offset + raw->bytes) return status;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot wrap %s: it has %lld bytes, but its header (%lld rows of %lld columns) makes %lld; it was not "
        "copied completely, or it is of another format",
        path, (long long)size, (long long)raw->rows, (long long)raw->columns,
        (long long)(raw->offset + raw->bytes));
}

/* The name under which the HDF5 file `target` refers to the raw one: relative where the raw file
 * lies beside or below it, so that both can be moved together, otherwise absolute. Free with free();
 * NULL with the failure stored. */
static char *external_name(const char *raw, const char *target)
{
    char *directory = lloyd_path_folder(target);
    char *real = realpath(raw, NULL), *base = directory ? realpath(directory, NULL) : NULL,
         *name = NULL;
    if (real && base) {
        size_t length = strcmp(base, "/") == 0 ? 0 : strlen(base);
        int below = strncmp(real, base, length) == 0 && real[length] == '/';
        name = strdup(below ? real + length + 1 : real);
    }
    if (!name) lloyd_fail(LLOYD_FAILED, "cannot wrap %s into %s: %s", raw, target, strerror(errno));
    free(directory);
    free(real);
    free(base);
    return name;
}

static lloyd_status create_external(const lloyd_output *output, const char *name,
                                    const lloyd_raw *raw)
{
    hid_t file;
    const char *path = output->path;
    LLOYD_TRY(lloyd_part_create(output, LLOYD_ORIGIN_WRAPPED, &file));
    hsize_t extent[2] = {(hsize_t)raw->rows, (hsize_t)raw->columns};
    hid_t creation = lloyd_part_creation(), space = H5Screate_simple(2, extent, NULL);
    hid_t type = raw->wide ? H5Tcopy(H5T_NATIVE_DOUBLE) : lloyd_h5_native(raw->type);
    H5Tset_order(type, raw->big_endian ? H5T_ORDER_BE : H5T_ORDER_LE);
    H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER);
    herr_t set = H5Pset_external(creation, name, (off_t)raw->offset, (hsize_t)raw->bytes);
    hid_t dataset =
        set < 0 ? H5I_INVALID_HID
                : H5Dcreate2(file, "/train", type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    lloyd_status status = dataset < 0 ? lloyd_part_failed(path, "/train") : LLOYD_OK;
    if (dataset >= 0) H5Dclose(dataset);
    H5Tclose(type);
    H5Sclose(space);
    H5Pclose(creation);
    return lloyd_part_close(path, file, status);
}

lloyd_status lloyd_wrap(const char *raw, const lloyd_output *output, int64_t *rows,
                        int64_t *columns, const char **type)
{
    lloyd_raw shape = {0};
    LLOYD_TRY(look_at(raw, &shape));
    char *name = external_name(raw, output->target);
    if (!name) return LLOYD_FAILED;
    lloyd_status status = create_external(output, name, &shape);
    free(name);
    *rows = shape.rows;
    *columns = shape.columns;
    *type = shape.wide ? "float64" : lloyd_type_name(shape.type);
    return status;
}
