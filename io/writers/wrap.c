/* HDF5's external storage says where the elements are, nothing is copied, and every program that
 * reads HDF5 can read the vectors. */
#include "io/writers/wrap.h"

#include "base/memory.h"
#include "io/hdf5/h5.h"
#include "io/path.h"
#include "io/readers/registry.h"
#include "io/writers/origin.h"
#include "io/writers/partial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Why a file of a format without headers cannot be wrapped. */
static lloyd_status refuse(const char *path, const lloyd_row_reader *reader)
{
    unsigned char first[1];
    lloyd_raw_head head;
    LLOYD_TRY(lloyd_raw_open_head(path, first, sizeof first, &head)); /* it is not there, perhaps */
    close(head.descriptor);
    return lloyd_fail(LLOYD_BAD_INPUT, "cannot wrap %s: it is an %s file, which needs no wrapping",
                      path, reader->name);
}

/* The layout of a file whose rows HDF5 can point to. */
static lloyd_status look_at(const char *path, const lloyd_headerless *headerless, lloyd_raw *raw)
{
    const lloyd_row_reader *reader;
    LLOYD_TRY(lloyd_reader_find(path, headerless, &reader));
    if (!reader->layout) return refuse(path, reader);
    LLOYD_TRY(lloyd_raw_inspect(reader, path, headerless, NULL, raw));
    if (raw->prefix == 0) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot wrap %s: a number lies before each of its rows, and HDF5's external storage has "
        "no gaps; give the file itself to --input",
        path);
}

static const char *type_name(const lloyd_raw *raw)
{
    return raw->wide ? "float64" : lloyd_type_name(raw->type);
}

/* Adds the rows of one more file, which must be like those of the first. */
static lloyd_status add_shape(const char *const *paths, const lloyd_raw *raws, int i,
                              lloyd_wrapped *wrapped)
{
    const lloyd_raw *first = &raws[0], *raw = &raws[i];
    if (raw->columns != first->columns) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s has %lld columns, but %s has %lld; all files must have the same number", paths[i],
            (long long)raw->columns, paths[0], (long long)first->columns);
    }
    if (raw->type != first->type || raw->wide != first->wide ||
        raw->big_endian != first->big_endian) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s is of type %s%s, but %s is of type %s%s; all files must have the same type",
            paths[i], type_name(raw), raw->big_endian ? ", big-endian" : "", paths[0],
            type_name(first), first->big_endian ? ", big-endian" : "");
    }
    wrapped->rows += raw->rows; /* of files that are there: no overflow */
    return LLOYD_OK;
}

static lloyd_status look_at_all(const char *const *paths, int count,
                                const lloyd_headerless *headerless, lloyd_raw *raws,
                                lloyd_wrapped *wrapped)
{
    for (int i = 0; i < count; i++) {
        LLOYD_TRY(look_at(paths[i], headerless, &raws[i]));
        LLOYD_TRY(add_shape(paths, raws, i, wrapped));
    }
    wrapped->columns = raws[0].columns;
    wrapped->type = type_name(&raws[0]);
    if (wrapped->rows > 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "cannot wrap %s%s: it has 0 rows; there is nothing to cluster", paths[0],
                      count > 1 ? " and the others" : "");
}

/* The name under which the HDF5 file `target` refers to the raw one: relative where the raw file
 * lies beside or below it, so that both can be moved together, otherwise absolute. Free with
 * free(); NULL with the failure stored. */
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

/* Appends the rows of a raw file to the dataset. */
static lloyd_status add_external(hid_t creation, const char *path, const lloyd_output *output,
                                 const lloyd_raw *raw)
{
    if (raw->rows == 0) return LLOYD_OK;
    char *name = external_name(path, output->target);
    if (!name) return LLOYD_FAILED;
    herr_t set = H5Pset_external(creation, name, (off_t)raw->offset, (hsize_t)raw->bytes);
    free(name);
    return set < 0 ? lloyd_partial_failed(output->path, "/train") : LLOYD_OK;
}

static lloyd_status create_dataset(hid_t file, hid_t creation, const lloyd_output *output,
                                   const lloyd_raw *raw, int64_t rows)
{
    hsize_t extent[2] = {(hsize_t)rows, (hsize_t)raw->columns};
    hid_t space = H5Screate_simple(2, extent, NULL);
    hid_t type = raw->wide ? H5Tcopy(H5T_NATIVE_DOUBLE) : lloyd_h5_native(raw->type);
    H5Tset_order(type, raw->big_endian ? H5T_ORDER_BE : H5T_ORDER_LE);
    H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER);
    hid_t dataset = H5Dcreate2(file, "/train", type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    lloyd_status status = dataset < 0 ? lloyd_partial_failed(output->path, "/train") : LLOYD_OK;
    if (dataset >= 0) H5Dclose(dataset);
    H5Tclose(type);
    H5Sclose(space);
    return status;
}

static lloyd_status create_external(const lloyd_output *output, const char *const *paths, int count,
                                    const lloyd_raw *raws, int64_t rows)
{
    hid_t file;
    LLOYD_TRY(lloyd_partial_create(output, LLOYD_ORIGIN_WRAPPED, &file));
    hid_t creation = lloyd_partial_creation();
    lloyd_status status = LLOYD_OK;
    for (int i = 0; i < count && status == LLOYD_OK; i++)
        status = add_external(creation, paths[i], output, &raws[i]);
    if (status == LLOYD_OK) status = create_dataset(file, creation, output, &raws[0], rows);
    H5Pclose(creation);
    return lloyd_partial_close(output->path, file, status);
}

lloyd_status lloyd_wrapped_write(const char *const *paths, int count,
                                 const lloyd_headerless *headerless, const lloyd_output *output,
                                 lloyd_wrapped *wrapped)
{
    lloyd_raw *raws;
    *wrapped = (lloyd_wrapped){0};
    LLOYD_TRY(lloyd_alloc(&raws, count, sizeof *raws, "the list of raw files"));
    lloyd_status status = look_at_all(paths, count, headerless, raws, wrapped);
    if (status == LLOYD_OK) status = create_external(output, paths, count, raws, wrapped->rows);
    lloyd_free(raws);
    return status;
}
