/* Rows from HDF5 files.
 *
 * Rows that are stored as they are wanted are read without HDF5, by several threads (extents.h,
 * packed.h). All else is read by HDF5, with a memory type that differs from the file's at most in
 * byte order; only float64 is rounded here, by the compiler's conversion, which is to nearest, ties
 * to even.
 */
#include "io/readers/registry.h"

#include "base/memory.h"
#include "io/hdf5/default.h"
#include "io/hdf5/h5.h"
#include "io/hdf5/packed.h"
#include "io/hdf5/sources.h"
#include "io/hdf5/storage.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const int64_t ROUND_BYTES = (int64_t)8 << 20; /* of values that are rounded after reading */

/* One dataset of a file: how it is stored, and its id while it is open. */
typedef struct row_set {
    const char *name; /* borrowed */
    lloyd_storage storage;
    hid_t id;
    int64_t bytes; /* of its file when it was opened */
} row_set;

typedef struct state {
    hid_t id; /* of the file */
    row_set data, weights;
    lloyd_extent whole;   /* a contiguous dataset */
    lloyd_packed *packed; /* of an open file whose chunks are unpacked here */
    int is_packed;
} state;

static void close_set(row_set *set)
{
    if (set->id >= 0) H5Dclose(set->id);
    set->id = H5I_INVALID_HID;
}

static int64_t row_bytes(const lloyd_row_file *file)
{
    return file->columns * (int64_t)lloyd_type_size(file->type);
}

static lloyd_status use_file(lloyd_row_file *file)
{
    state *s = file->state;
    if (s->id >= 0) return LLOYD_OK;
    LLOYD_TRY(lloyd_h5_open_file(file->path, &s->id));
    return lloyd_watch_file(&file->watch, file->path, lloyd_h5_descriptor(s->id));
}

/* The file that an external link has led to, if it is another one. */
static lloyd_status check_link(lloyd_row_file *file, const row_set *set)
{
    char path[PATH_MAX] = "";
    if (H5Fget_name(set->id, path, sizeof path) < 0 || strcmp(path, file->path) == 0)
        return LLOYD_OK;
    LLOYD_TRY(lloyd_h5_check_unused(path));
    return lloyd_watch_file(&file->watch, path, lloyd_h5_descriptor(set->id));
}

/* Bytes of the file that an open dataset lies in, -1 if unknown. */
static int64_t set_bytes(const row_set *set)
{
    struct stat info;
    return fstat(lloyd_h5_descriptor(set->id), &info) == 0 ? (int64_t)info.st_size : -1;
}

/* HDF5 reads zeros beyond the end of a file, and reports nothing. */
static lloyd_status check_size(const lloyd_row_file *file, const row_set *set)
{
    int64_t bytes = set_bytes(set);
    if (bytes < 0 || bytes >= set->bytes) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "cannot read %s:%s: the file was truncated while it was read; it has %lld "
                      "bytes, and had %lld before",
                      file->path, set->name, (long long)bytes, (long long)set->bytes);
}

/* ---- The first look ------------------------------------------------------------------------- */

static int recognises(const lloyd_raw_head *head)
{
    return head->descriptor >= 0 && lloyd_h5_recognises(head->descriptor);
}

/* Opens a set for the first time. A name that is not there is answered with what is. */
static lloyd_status open_set(lloyd_row_file *file, row_set *set)
{
    state *s = file->state;
    lloyd_status status =
        lloyd_storage_open(s->id, file->path, set->name, &file->watch, &set->storage, &set->id);
    if (status == LLOYD_OK) return check_link(file, set);
    hid_t object = H5Oopen(s->id, set->name, H5P_DEFAULT);
    H5I_type_t kind = object >= 0 ? H5Iget_type(object) : H5I_BADID;
    if (object >= 0) H5Oclose(object);
    int unreadable = kind == H5I_BADID && H5Lexists(s->id, set->name, H5P_DEFAULT) > 0;
    if (kind == H5I_DATASET || unreadable)
        return status; /* with the message that says what is wrong with it */
    char text[1024];
    int rank = set == &s->weights ? 1 : 2;
    return lloyd_fail(LLOYD_BAD_INPUT, "cannot read %s:%s: there is no dataset of that name%s; %s",
                      file->path, set->name, kind == H5I_BADID ? "" : " (but a group or a type)",
                      lloyd_h5_list_text(s->id, rank, text, sizeof text));
}

/* The shape and the type of the rows. */
static lloyd_status read_shape(lloyd_row_file *file)
{
    const state *s = file->state;
    int rank;
    hsize_t extent[2];
    uint64_t bytes;
    LLOYD_TRY(lloyd_h5_shape(s->data.id, file->where, 2, &rank, extent));
    if (rank != 2) {
        char text[1024];
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "%s has %d dimension%s, but vectors need two (rows x columns); %s",
                          file->where, rank, rank == 1 ? "" : "s",
                          lloyd_h5_list_text(s->id, 2, text, sizeof text));
    }
    LLOYD_TRY(lloyd_h5_type(s->data.id, file->path, file->dataset, &file->type, &file->wide));
    if (extent[1] > INT64_MAX / sizeof(double) ||
        __builtin_mul_overflow((uint64_t)extent[0], (uint64_t)extent[1] * sizeof(double), &bytes) ||
        extent[0] > INT64_MAX || bytes > INT64_MAX) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s has %llu x %llu elements, more than 2^63 bytes; the file may be damaged",
            file->where, (unsigned long long)extent[0], (unsigned long long)extent[1]);
    }
    file->rows = (int64_t)extent[0];
    file->columns = (int64_t)extent[1];
    return LLOYD_OK;
}

/* Whether the rows of a dataset of a native type lie in one file, or external ones, as in
 * memory. */
static int is_plain(const lloyd_row_file *file, const row_set *set)
{
    int64_t bytes = file->rows * row_bytes(file);
    if (set->storage.external > 0) return 1;
    haddr_t offset = set->storage.layout == H5D_CONTIGUOUS ? H5Dget_offset(set->id) : HADDR_UNDEF;
    return offset != HADDR_UNDEF && offset <= (haddr_t)(INT64_MAX - bytes) &&
           H5Dget_storage_size(set->id) >= (hsize_t)bytes && lloyd_h5_descriptor(set->id) >= 0;
}

/* How the rows of an open file are read. */
static void choose_way(lloyd_row_file *file)
{
    state *s = file->state;
    if (file->wide || !lloyd_h5_is_native(s->data.id)) return;
    file->native = is_plain(file, &s->data);
    s->is_packed = !file->native && lloyd_packed_suits(s->data.id, &s->data.storage);
}

static lloyd_status name_dataset(lloyd_row_file *file)
{
    state *s = file->state;
    if (!file->dataset) LLOYD_TRY(lloyd_default_dataset(s->id, file->path, &file->dataset));
    s->data.name = file->dataset;
    if (asprintf(&file->where, "%s:%s", file->path, file->dataset) >= 0) return LLOYD_OK;
    file->where = NULL;
    return lloyd_fail(LLOYD_FAILED, "cannot open %s: out of memory", file->path);
}

static void close_file(lloyd_row_file *file)
{
    state *s = file->state;
    if (!s) return;
    LLOYD_H5_SCOPE;
    lloyd_packed_close(s->packed);
    s->packed = NULL;
    close_set(&s->data);
    close_set(&s->weights);
    if (s->id >= 0) H5Fclose(s->id);
    s->id = H5I_INVALID_HID;
}

static lloyd_status inspect_open(lloyd_row_file *file)
{
    state *s = file->state;
    LLOYD_TRY(use_file(file));
    LLOYD_TRY(name_dataset(file));
    LLOYD_TRY(open_set(file, &s->data));
    LLOYD_TRY(read_shape(file));
    LLOYD_TRY(lloyd_storage_check_written(&s->data.storage, s->data.id, file->path, file->dataset));
    if (file->columns > 0) choose_way(file);
    return LLOYD_OK;
}

static lloyd_status inspect(lloyd_row_file *file)
{
    LLOYD_H5_SCOPE;
    state *s;
    LLOYD_TRY(lloyd_alloc(&s, 1, sizeof *s, "a file of rows"));
    s->id = s->data.id = s->weights.id = H5I_INVALID_HID;
    file->state = s;
    lloyd_status status = inspect_open(file);
    close_file(file); /* reopened with the right chunk cache */
    return status;
}

static void release(lloyd_row_file *file)
{
    state *s = file->state;
    if (!s) return;
    lloyd_storage_free(&s->data.storage);
    lloyd_storage_free(&s->weights.storage);
    lloyd_free(s);
    file->state = NULL;
}

/* ---- Reading -------------------------------------------------------------------------------- */

static lloyd_status use_set(lloyd_row_file *file, row_set *set)
{
    const state *s = file->state;
    if (set->id >= 0) return LLOYD_OK;
    LLOYD_TRY(lloyd_storage_reopen(s->id, file->path, set->name, &set->storage, &set->id));
    set->bytes = set_bytes(set);
    LLOYD_TRY(check_link(file, set));
    return lloyd_watch_check(&file->watch);
}

static lloyd_status open_file(lloyd_row_file *file)
{
    LLOYD_H5_SCOPE;
    state *s = file->state;
    LLOYD_TRY(use_file(file));
    LLOYD_TRY(use_set(file, &s->data));
    return s->is_packed
               ? lloyd_packed_open(s->data.id, file->type, file->where, row_bytes(file), &s->packed)
               : LLOYD_OK;
}

static lloyd_extents_of extents(const lloyd_row_file *file)
{
    LLOYD_H5_SCOPE;
    state *s = file->state;
    lloyd_extents_of of = {file->where, s->data.storage.extents, s->data.storage.external, -1,
                           row_bytes(file)};
    if (of.count > 0) return of;
    s->whole =
        (lloyd_extent){file->path, (int64_t)H5Dget_offset(s->data.id), file->rows * of.row_bytes};
    of.items = &s->whole;
    of.count = 1;
    of.descriptor = lloyd_h5_descriptor(s->data.id);
    return of;
}

/* One call of H5Dread: elements [first, first+count) along the first dimension of a dataset, of
 * `columns` elements each (0: a one-dimensional dataset). */
static lloyd_status read_piece(const lloyd_row_file *file, const row_set *set, hid_t type,
                               int64_t first, int64_t count, int64_t columns, void *out)
{
    int rank = columns > 0 ? 2 : 1;
    hsize_t start[2] = {(hsize_t)first, 0}, size[2] = {(hsize_t)count, (hsize_t)columns};
    hid_t stored = H5Dget_space(set->id), memory = H5Screate_simple(rank, size, NULL);
    int failed = stored < 0 || memory < 0 ||
                 H5Sselect_hyperslab(stored, H5S_SELECT_SET, start, NULL, size, NULL) < 0 ||
                 H5Dread(set->id, type, memory, stored, H5P_DEFAULT, out) < 0;
    char text[256];
    if (failed) lloyd_h5_reason(text, sizeof text);
    if (stored >= 0) H5Sclose(stored);
    if (memory >= 0) H5Sclose(memory);
    if (!failed) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot read rows %lld to %lld of %s:%s: %s; the file may be damaged or the disk failing",
        (long long)first, (long long)(first + count - 1), file->path, set->name, text);
}

/* Rows of `width` numbers that are rounded at a time. */
static int64_t rows_rounded(int64_t width)
{
    int64_t rows = ROUND_BYTES / (int64_t)sizeof(double) / width;
    return rows < 1 ? 1 : rows;
}

/* Reads numbers of any type as double and rounds them. Rows have `columns` elements, 0 for a
 * one-dimensional dataset. */
static lloyd_status read_rounded(const lloyd_row_file *file, const row_set *set,
                                 lloyd_scratch *scratch, int64_t first, int64_t count,
                                 int64_t columns, float *out)
{
    int64_t width = columns > 0 ? columns : 1, most = rows_rounded(width);
    char *buffer;
    LLOYD_TRY(lloyd_scratch_buffer(scratch, 0, most * width * (int64_t)sizeof(double), &buffer));
    const double *wide = (const double *)(void *)buffer;
    while (count > 0) {
        int64_t piece = lloyd_storage_piece(&set->storage, width * (int64_t)sizeof(double), first,
                                            count < most ? count : most);
        LLOYD_TRY(read_piece(file, set, H5T_NATIVE_DOUBLE, first, piece, columns, buffer));
        for (int64_t i = 0; i < piece * width; i++) out[i] = (float)wide[i];
        out += piece * width;
        first += piece;
        count -= piece;
    }
    return LLOYD_OK;
}

static lloyd_status read_stored(const lloyd_row_file *file, int64_t first, int64_t count, char *out)
{
    const state *s = file->state;
    int64_t bytes = row_bytes(file);
    hid_t type = lloyd_h5_native(file->type);
    lloyd_status status = LLOYD_OK;
    while (count > 0 && status == LLOYD_OK) {
        int64_t piece = lloyd_storage_piece(&s->data.storage, bytes, first, count);
        status = read_piece(file, &s->data, type, first, piece, file->columns, out);
        out += piece * bytes;
        first += piece;
        count -= piece;
    }
    H5Tclose(type);
    return status;
}

/* Of a virtual dataset, whose sources are looked at when their rows are wanted. */
static lloyd_status require(const lloyd_row_file *file, row_set *set, int64_t first, int64_t count)
{
    const state *s = file->state;
    return lloyd_sources_require(&set->storage, s->id, set->id, file->path, set->name, first,
                                 count);
}

static lloyd_status read_by_hdf5(const lloyd_row_file *file, lloyd_scratch *scratch, int64_t first,
                                 int64_t count, char *out)
{
    LLOYD_H5_SCOPE;
    state *s = file->state;
    LLOYD_TRY(require(file, &s->data, first, count));
    lloyd_status status = file->wide ? read_rounded(file, &s->data, scratch, first, count,
                                                    file->columns, (float *)(void *)out)
                                     : read_stored(file, first, count, out);
    LLOYD_TRY(check_size(file, &s->data)); /* also the better message if reading failed over it */
    return status;
}

/* The threads that unpack take the lock of HDF5 by themselves. */
static lloyd_status read_packed(const lloyd_row_file *file, lloyd_scratch *scratch, int64_t first,
                                int64_t count, char *out)
{
    const state *s = file->state;
    lloyd_status status = lloyd_packed_read(s->packed, scratch, first, count, out);
    LLOYD_H5_SCOPE;
    LLOYD_TRY(check_size(file, &s->data));
    return status;
}

static lloyd_status read_rows(lloyd_row_file *file, lloyd_scratch *scratch, int64_t first,
                              int64_t count, char *out)
{
    const state *s = file->state;
    return s->packed ? read_packed(file, scratch, first, count, out)
                     : read_by_hdf5(file, scratch, first, count, out);
}

/* ---- Weights -------------------------------------------------------------------------------- */

/* A file's weights: one number per row. */
static lloyd_status accept_weights(const lloyd_row_file *file, const row_set *set)
{
    char where[1024];
    int rank;
    hsize_t extent[1];
    snprintf(where, sizeof where, "%s:%s", file->path, set->name);
    LLOYD_TRY(lloyd_h5_shape(set->id, where, 1, &rank, extent));
    if (rank != 1 || (int64_t)extent[0] != file->rows) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s has %d dimension%s and %llu elements, but weights are one number for each of the %lld rows",
            where, rank, rank == 1 ? "" : "s", (unsigned long long)extent[0],
            (long long)file->rows);
    }
    hid_t type = H5Dget_type(set->id);
    H5T_class_t class = H5Tget_class(type);
    H5Tclose(type);
    if (class == H5T_FLOAT || class == H5T_INTEGER) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "%s does not hold numbers; weights are floating-point or integer numbers",
                      where);
}

static lloyd_status inspect_weights_open(lloyd_row_file *file, row_set *set)
{
    LLOYD_TRY(use_file(file));
    LLOYD_TRY(open_set(file, set));
    LLOYD_TRY(accept_weights(file, set));
    return lloyd_storage_check_written(&set->storage, set->id, file->path, set->name);
}

static lloyd_status inspect_weights(lloyd_row_file *file)
{
    LLOYD_H5_SCOPE;
    state *s = file->state;
    lloyd_storage_free(&s->weights.storage);
    s->weights.name = file->weights;
    lloyd_status status = inspect_weights_open(file, &s->weights);
    close_file(file);
    return status;
}

static lloyd_status read_weights(lloyd_row_file *file, lloyd_scratch *scratch, int64_t first,
                                 int64_t count, float *out)
{
    LLOYD_H5_SCOPE;
    state *s = file->state;
    LLOYD_TRY(use_set(file, &s->weights));
    LLOYD_TRY(require(file, &s->weights, first, count));
    lloyd_status status = read_rounded(file, &s->weights, scratch, first, count, 0, out);
    LLOYD_TRY(check_size(file, &s->weights));
    return status;
}

/* ---- Sizes and words ------------------------------------------------------------------------ */

static int64_t memory(const lloyd_row_file *file)
{
    const state *s = file->state;
    int64_t weights = lloyd_storage_memory(&s->weights.storage);
    return weights + (s->is_packed ? lloyd_packed_memory(&s->data.storage, row_bytes(file))
                                   : lloyd_storage_memory(&s->data.storage));
}

static int64_t thread_memory(const lloyd_row_file *file)
{
    const state *s = file->state;
    return s->is_packed ? lloyd_packed_thread_memory(&s->data.storage) : 0;
}

static int64_t together(const lloyd_row_file *file)
{
    const state *s = file->state;
    return s->data.storage.layout == H5D_CHUNKED ? s->data.storage.chunk_rows : 1;
}

/* The buffer in which rows, or weights, are rounded. */
static int64_t shared_memory(const lloyd_row_file *file)
{
    if (!file->wide && !file->weights) return 0;
    int64_t width = file->wide ? file->columns : 1;
    int64_t bytes = rows_rounded(width) * width * (int64_t)sizeof(double);
    return bytes < ROUND_BYTES ? ROUND_BYTES : bytes;
}

static void describe(const lloyd_row_file *file, int64_t *stored, char *text, size_t bytes)
{
    LLOYD_H5_SCOPE;
    const state *s = file->state;
    *stored = (int64_t)H5Dget_storage_size(s->data.id);
    lloyd_storage_text(&s->data.storage, s->data.id, text, bytes);
}

static const lloyd_row_access access_hdf5 = {
    .inspect = inspect,
    .open = open_file,
    .close = close_file,
    .release = release,
    .extents = extents,
    .read = read_rows,
    .together = together,
    .inspect_weights = inspect_weights,
    .read_weights = read_weights,
    .memory = memory,
    .thread_memory = thread_memory,
    .shared_memory = shared_memory,
    .describe = describe,
};

const lloyd_row_reader lloyd_reader_hdf5 = {
    .name = "HDF5",
    .endings = "",
    .recognises = recognises,
    .access = &access_hdf5,
};
