/* See numbers.h. */
#include "io/numbers.h"

#include "base/memory.h"
#include "io/bytes.h"
#include "io/hdf5/h5.h"
#include "io/input.h"
#include "io/readers/npy_header.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lloyd_numbers {
    lloyd_input_list files; /* one */
    const char *path;
    int64_t count;

    /* of .npy; descriptor -1: HDF5 */
    int descriptor, size, is_signed; /* bytes of a number */
    int64_t offset;

    /* of HDF5 */
    hid_t file, dataset;
};

/* ---- .npy ----------------------------------------------------------------------------------- */

/* "<i8": signed or not, of 1 to 8 bytes, in the order of this machine. */
static int take_type(const char *descr, lloyd_numbers *n)
{
    n->is_signed = descr[0] != '\0' && descr[1] == 'i';
    n->size = descr[0] != '\0' && descr[1] != '\0' ? descr[2] - '0' : 0;
    return strchr("<|=", descr[0]) && (n->is_signed || descr[1] == 'u') && descr[3] == '\0' &&
           (n->size == 1 || n->size == 2 || n->size == 4 || n->size == 8);
}

static lloyd_status adopt_npy(const lloyd_raw_head *head, lloyd_numbers *n)
{
    lloyd_npy_header header;
    int64_t bytes;
    LLOYD_TRY(lloyd_npy_header_read(head, &header));
    if (header.rank != 1 || !take_type(header.descr, n)) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s is no list of row numbers: it has %d dimension%s, of type '%s'; save a "
            "one-dimensional array with .astype('int64')",
            n->path, header.rank, header.rank == 1 ? "" : "s", header.descr);
    }
    n->offset = header.offset;
    n->count = header.extent[0];
    if (!__builtin_mul_overflow(n->count, n->size, &bytes) && bytes == head->size - n->offset)
        return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot read %s: its header says %lld numbers, but its size is that of others; "
        "it was not copied completely",
        n->path, (long long)n->count);
}

/* *found: whether the file is .npy. */
static lloyd_status open_npy(lloyd_numbers *n, int *found)
{
    unsigned char *bytes;
    lloyd_raw_head head = {.descriptor = -1};
    LLOYD_TRY(lloyd_alloc(&bytes, LLOYD_RAW_HEADER, 1, "the header of a file"));
    lloyd_status status = lloyd_raw_open_head(n->path, bytes, LLOYD_RAW_HEADER, &head);
    *found = status == LLOYD_OK && lloyd_npy_recognises(&head);
    if (*found && n->files.items[0].dataset) {
        status =
            lloyd_fail(LLOYD_BAD_INPUT,
                       "%s is a .npy file, which has no datasets; give its name alone", n->path);
    } else if (*found) {
        status = adopt_npy(&head, n);
    }
    lloyd_free(bytes);
    n->descriptor = *found ? head.descriptor : -1;
    if (!*found && head.descriptor >= 0) close(head.descriptor);
    return status;
}

static int64_t value_of(const lloyd_numbers *n, const unsigned char *bytes)
{
    uint64_t value = 0;
    for (int b = n->size - 1; b >= 0; b--) value = value << 8 | bytes[b];
    const int shift = 64 - 8 * n->size;
    if (n->is_signed) return (int64_t)(value << shift) >> shift;
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

/* The numbers are read to the end of `out`, and unpacked from its beginning. */
static lloyd_status read_npy(const lloyd_numbers *n, int64_t first, int64_t count, int64_t *out)
{
    const size_t bytes = (size_t)(count * n->size);
    unsigned char *packed = (unsigned char *)out + (size_t)count * sizeof *out - bytes;
    ssize_t got =
        lloyd_bytes_read(n->descriptor, (off_t)(n->offset + first * n->size), packed, bytes);
    if (got == (ssize_t)bytes) {
        for (int64_t i = 0; i < count; i++) out[i] = value_of(n, packed + i * n->size);
        return LLOYD_OK;
    }
    return lloyd_fail(LLOYD_BAD_INPUT, "cannot read %s: %s", n->path,
                      got < 0 ? strerror(errno) : "it has become shorter");
}

/* ---- HDF5 ----------------------------------------------------------------------------------- */

static lloyd_status refuse(const lloyd_numbers *n, const char *name)
{
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "%s:%s is no list of row numbers: it must be a one-dimensional dataset of whole "
        "numbers",
        n->path, name);
}

static lloyd_status open_dataset(lloyd_numbers *n, const char *name)
{
    hsize_t extent[1] = {0};
    int rank = 0;
    n->dataset = H5Dopen2(n->file, name, H5P_DEFAULT);
    if (n->dataset < 0) {
        char text[512];
        return lloyd_fail(LLOYD_BAD_INPUT, "%s has no dataset %s; %s", n->path, name,
                          lloyd_h5_list_text(n->file, 1, text, sizeof text));
    }
    LLOYD_TRY(lloyd_h5_shape(n->dataset, n->path, 1, &rank, extent));
    hid_t type = H5Dget_type(n->dataset);
    int is_whole = type >= 0 && H5Tget_class(type) == H5T_INTEGER;
    if (type >= 0) H5Tclose(type);
    n->count = (int64_t)extent[0];
    return rank == 1 && is_whole ? LLOYD_OK : refuse(n, name);
}

/* The dataset that is meant where none is named. */
static lloyd_status open_default(lloyd_numbers *n)
{
    lloyd_h5_list list;
    char text[512];
    if (H5Lexists(n->file, "/rows", H5P_DEFAULT) > 0) return open_dataset(n, "/rows");
    lloyd_h5_list_datasets(n->file, 1, &list);
    lloyd_status status =
        list.count == 1
            ? open_dataset(n, list.names[0])
            : lloyd_fail(
                  LLOYD_BAD_INPUT,
                  "%s does not say which of its datasets has the row numbers; name it, as in "
                  "FILE:/NAME (%s)",
                  n->path, lloyd_h5_list_text(n->file, 1, text, sizeof text));
    lloyd_h5_list_free(&list);
    return status;
}

static lloyd_status open_hdf5(lloyd_numbers *n)
{
    LLOYD_H5_SCOPE;
    LLOYD_TRY(lloyd_h5_open_file(n->path, &n->file));
    const char *name = n->files.items[0].dataset;
    return name ? open_dataset(n, name) : open_default(n);
}

static lloyd_status read_hdf5(const lloyd_numbers *n, int64_t first, int64_t count, int64_t *out)
{
    LLOYD_H5_SCOPE;
    hsize_t start[1] = {(hsize_t)first}, size[1] = {(hsize_t)count};
    hid_t stored = H5Dget_space(n->dataset), memory = H5Screate_simple(1, size, NULL);
    int failed = stored < 0 || memory < 0 ||
                 H5Sselect_hyperslab(stored, H5S_SELECT_SET, start, NULL, size, NULL) < 0 ||
                 H5Dread(n->dataset, H5T_NATIVE_INT64, memory, stored, H5P_DEFAULT, out) < 0;
    char text[256];
    if (failed) lloyd_h5_reason(text, sizeof text);
    if (stored >= 0) H5Sclose(stored);
    if (memory >= 0) H5Sclose(memory);
    return failed
               ? lloyd_fail(LLOYD_BAD_INPUT, "cannot read the row numbers of %s: %s", n->path, text)
               : LLOYD_OK;
}

/* ---- Both ----------------------------------------------------------------------------------- */

static lloyd_status open_all(const char *input, lloyd_numbers *n)
{
    const lloyd_input_form form = {0};
    int is_npy;
    LLOYD_TRY(lloyd_input_expand(input, &form, &n->files));
    if (n->files.count != 1) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "%s stands for %d files; name the one with the row numbers", input,
                          n->files.count);
    }
    n->path = n->files.items[0].path;
    LLOYD_TRY(open_npy(n, &is_npy));
    return is_npy ? LLOYD_OK : open_hdf5(n);
}

lloyd_status lloyd_numbers_open(const char *input, lloyd_numbers **numbers)
{
    LLOYD_TRY(lloyd_alloc(numbers, 1, sizeof **numbers, "a list of numbers"));
    lloyd_numbers *n = *numbers;
    n->descriptor = -1;
    n->file = n->dataset = H5I_INVALID_HID;
    lloyd_status status = open_all(input, n);
    if (status == LLOYD_OK) return LLOYD_OK;
    lloyd_numbers_close(n);
    *numbers = NULL;
    return status;
}

void lloyd_numbers_close(lloyd_numbers *numbers)
{
    if (!numbers) return;
    LLOYD_H5_SCOPE;
    if (numbers->descriptor >= 0) close(numbers->descriptor);
    if (numbers->dataset >= 0) H5Dclose(numbers->dataset);
    if (numbers->file >= 0) H5Fclose(numbers->file);
    lloyd_input_free(&numbers->files);
    lloyd_free(numbers);
}

int64_t lloyd_numbers_count(const lloyd_numbers *numbers)
{
    return numbers->count;
}

const char *lloyd_numbers_path(const lloyd_numbers *numbers)
{
    return numbers->path;
}

lloyd_status lloyd_numbers_read(const lloyd_numbers *numbers, int64_t first, int64_t count,
                                int64_t *out)
{
    return numbers->descriptor >= 0 ? read_npy(numbers, first, count, out)
                                    : read_hdf5(numbers, first, count, out);
}
