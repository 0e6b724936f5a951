/* Rows from HDF5 files.
 *
 * Opening looks at every file once and closes it again; reading opens a file when its rows are
 * wanted and keeps the few that were used last, so that hundreds of files need no more than a
 * handful of descriptors. Rows that are stored as they are wanted are read past HDF5, by several
 * threads (plain.c, packed.c). All else is read by HDF5, with a memory type that differs from the
 * file's at most in byte order; only float64 is rounded here, by the compiler's conversion, which is
 * to nearest, ties to even.
 */
#include "io/rows.h"

#include "base/memory.h"
#include "io/gaps.h"
#include "io/hdf5/h5.h"
#include "io/hdf5/packed.h"
#include "io/hdf5/sources.h"
#include "io/hdf5/storage.h"
#include "io/input.h"
#include "io/readers/plain.h"
#include "io/scratch.h"
#include "io/watch.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { KEEP_OPEN = 4 };
static const int64_t CACHES_BYTES = (int64_t)64 << 20;
static const int64_t ROUND_BYTES = (int64_t)8
                                   << 20; /* buffer for values that are rounded after reading */
static const int64_t CONVERSION_BYTES = (int64_t)2 << 20; /* HDF5's own, for byte order */

/* One dataset of a file: how it is stored, and its id while the file is open. */
typedef struct row_set {
    char *name;
    lloyd_storage storage;
    enum { BY_HDF5, PLAIN, PACKED } way; /* in which it is read */
    hid_t id;
    int64_t bytes;      /* of its file when it was opened */
    lloyd_plain *plain; /* of that way, while the file is open */
    lloyd_packed *packed;
} row_set;

typedef struct row_file {
    char *path;
    int64_t first, rows; /* global number of the first row, number of rows */
    int wide;            /* stored as float64 */
    row_set data, weights;
    lloyd_watch watch; /* of this file and those that it refers to */
    hid_t id;
    int64_t used; /* when it was used last */
} row_file;

struct lloyd_rows {
    row_file *files;
    int file_count;
    int64_t count, dim; /* rows of all files */
    lloyd_gaps gaps;    /* rows that are left out */
    lloyd_type type;
    int rounded, weighted;
    int unbuffered; /* LLOYD_DIRECT_IO=1: past the page cache */
    lloyd_scratch scratch;
    pthread_mutex_t lock; /* of whoever reads */
    int64_t clock;        /* for row_file.used */
    double *wide;         /* ROUND_BYTES or one row, for float64 and weights */
    int64_t wide_count;
};

static void name_where(const row_file *file, const char *dataset, char *text, size_t bytes)
{
    snprintf(text, bytes, "%s:%s", file->path, dataset);
}

static void close_set(row_set *set)
{
    lloyd_plain_close(set->plain);
    lloyd_packed_close(set->packed);
    set->plain = NULL;
    set->packed = NULL;
    if (set->id >= 0) H5Dclose(set->id);
    set->id = H5I_INVALID_HID;
}

static void close_file(row_file *file)
{
    close_set(&file->data);
    close_set(&file->weights);
    if (file->id >= 0) H5Fclose(file->id);
    file->id = H5I_INVALID_HID;
}

static int64_t row_bytes(const lloyd_rows *rows)
{
    return rows->dim * (int64_t)lloyd_type_size(rows->type);
}

static int64_t file_memory(const lloyd_rows *rows, const row_file *file)
{
    int64_t weights = lloyd_storage_memory(&file->weights.storage);
    if (file->data.way == PACKED)
        return lloyd_packed_memory(&file->data.storage, row_bytes(rows)) + weights;
    return lloyd_storage_memory(&file->data.storage) + weights;
}

/* Bytes that open files may hold together: small chunk caches stay, a large one only as long as
 * it is the only one. */
static int64_t memory_limit(const lloyd_rows *rows)
{
    int64_t limit = CACHES_BYTES, all = 0;
    for (int i = 0; i < rows->file_count; i++) {
        int64_t bytes = file_memory(rows, &rows->files[i]);
        if (bytes > limit) limit = bytes;
        if (i < KEEP_OPEN || bytes > CACHES_BYTES) all += bytes;
    }
    return all < limit ? all : limit;
}

/* Closes the files that were not used for longest, until there is room for one that needs
 * `bytes`. */
static void make_room(lloyd_rows *rows, int64_t bytes)
{
    int64_t limit = memory_limit(rows);
    for (;;) {
        int open = 0;
        int64_t held = bytes;
        row_file *oldest = NULL;
        for (int i = 0; i < rows->file_count; i++) {
            row_file *other = &rows->files[i];
            if (other->id < 0) continue;
            open++;
            held += file_memory(rows, other);
            if (!oldest || other->used < oldest->used) oldest = other;
        }
        if (!oldest || (open < KEEP_OPEN && held <= limit)) return;
        close_file(oldest);
    }
}

static lloyd_status use_file(lloyd_rows *rows, row_file *file)
{
    file->used = ++rows->clock;
    if (file->id >= 0) return LLOYD_OK;
    make_room(rows, file_memory(rows, file));
    LLOYD_TRY(lloyd_h5_open_file(file->path, &file->id));
    lloyd_status status = lloyd_watch_file(&file->watch, file->path, lloyd_h5_descriptor(file->id));
    if (status != LLOYD_OK) close_file(file);
    return status;
}

/* The file that an external link has led to, if it is another one. */
static lloyd_status check_link(row_file *file, const row_set *set)
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

/* HDF5 reads zeros beyond the end of a file, without a word. */
static lloyd_status check_size(const row_file *file, const row_set *set)
{
    LLOYD_H5_SCOPE;
    int64_t bytes = set_bytes(set);
    if (bytes < 0 || bytes >= set->bytes) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "cannot read %s:%s: the file was truncated while it was read; it has %lld "
                      "bytes, and had %lld before",
                      file->path, set->name, (long long)bytes, (long long)set->bytes);
}

/* How the rows of an open file are read. */
static void choose_way(const lloyd_rows *rows, const row_file *file, row_set *set)
{
    set->way = BY_HDF5;
    if (file->wide || !lloyd_h5_is_native(set->id)) return;
    if (lloyd_plain_suits(set->id, &set->storage, file->rows * row_bytes(rows))) {
        set->way = PLAIN;
    } else if (lloyd_packed_suits(set->id, &set->storage)) {
        set->way = PACKED;
    }
}

static lloyd_status open_way(const lloyd_rows *rows, const row_file *file, row_set *set)
{
    lloyd_plain_name name = {file->path, set->name, row_bytes(rows)};
    if (set->way == PLAIN) {
        return lloyd_plain_open(set->id, &set->storage, &name, file->rows * name.row_bytes,
                                rows->unbuffered, &set->plain);
    }
    return set->way == PACKED ? lloyd_packed_open(set->id, rows->type, &name, &set->packed)
                              : LLOYD_OK;
}

static lloyd_status use_set(lloyd_rows *rows, row_file *file, row_set *set)
{
    LLOYD_TRY(use_file(rows, file));
    if (set->id >= 0) return LLOYD_OK;
    LLOYD_TRY(lloyd_storage_reopen(file->id, file->path, set->name, &set->storage, &set->id));
    set->bytes = set_bytes(set);
    lloyd_status status = check_link(file, set);
    if (status == LLOYD_OK) status = lloyd_watch_check(&file->watch);
    if (status == LLOYD_OK) status = open_way(rows, file, set);
    if (status != LLOYD_OK) close_set(set);
    return status;
}

/* Opens a set for the first time. A name that is not there is answered with what is. */
static lloyd_status open_set(row_file *file, row_set *set)
{
    lloyd_status status =
        lloyd_storage_open(file->id, file->path, set->name, &file->watch, &set->storage, &set->id);
    if (status == LLOYD_OK) return check_link(file, set);
    hid_t object = H5Oopen(file->id, set->name, H5P_DEFAULT);
    H5I_type_t kind = object >= 0 ? H5Iget_type(object) : H5I_BADID;
    if (object >= 0) H5Oclose(object);
    int unreadable = kind == H5I_BADID && H5Lexists(file->id, set->name, H5P_DEFAULT) > 0;
    if (kind == H5I_DATASET || unreadable)
        return status; /* with the message that says what is wrong with it */
    char text[1024];
    int rank = set == &file->weights ? 1 : 2;
    return lloyd_fail(LLOYD_BAD_INPUT, "cannot read %s:%s: there is no dataset of that name%s; %s",
                      file->path, set->name, kind == H5I_BADID ? "" : " (but a group or a type)",
                      lloyd_h5_list_text(file->id, rank, text, sizeof text));
}

/* Shape and type of a file's rows against those of the files before it. */
static lloyd_status accept_file(lloyd_rows *rows, row_file *file)
{
    char where[1024];
    int rank;
    hsize_t extent[2];
    lloyd_type type;
    name_where(file, file->data.name, where, sizeof where);
    LLOYD_TRY(lloyd_h5_shape(file->data.id, where, 2, &rank, extent));
    if (rank != 2) {
        char text[1024];
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "%s has %d dimension%s, but vectors need two (rows x columns); %s", where,
                          rank, rank == 1 ? "" : "s",
                          lloyd_h5_list_text(file->id, 2, text, sizeof text));
    }
    LLOYD_TRY(lloyd_h5_type(file->data.id, file->path, file->data.name, &type, &file->wide));
    if (extent[1] == 0)
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "%s has rows of zero columns; there is nothing to cluster", where);
    uint64_t elements;
    if (__builtin_mul_overflow((uint64_t)extent[0] + (uint64_t)rows->count,
                               (uint64_t)extent[1] * sizeof(double), &elements) ||
        elements > INT64_MAX || extent[1] > INT64_MAX / sizeof(double)) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s has %llu x %llu elements, more than 2^63 bytes; the file may be damaged", where,
            (unsigned long long)extent[0], (unsigned long long)extent[1]);
    }
    if (file == rows->files) {
        rows->dim = (int64_t)extent[1];
        rows->type = type;
    }
    char other[1024];
    name_where(rows->files, rows->files->data.name, other, sizeof other);
    if ((int64_t)extent[1] != rows->dim) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s has %lld columns, but %s has %lld; all inputs must have the same number", where,
            (long long)extent[1], other, (long long)rows->dim);
    }
    if (type != rows->type) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s is of type %s, but %s is of type %s; all inputs must have the same type", where,
            lloyd_type_name(type), other, lloyd_type_name(rows->type));
    }
    rows->rounded |= file->wide;
    file->first = rows->count;
    file->rows = (int64_t)extent[0];
    rows->count += file->rows;
    return LLOYD_OK;
}

static lloyd_status look_at(lloyd_rows *rows, row_file *file)
{
    LLOYD_TRY(use_file(rows, file));
    if (!file->data.name) LLOYD_TRY(lloyd_input_default(file->id, file->path, &file->data.name));
    LLOYD_TRY(open_set(file, &file->data));
    LLOYD_TRY(accept_file(rows, file));
    LLOYD_TRY(lloyd_storage_check_written(&file->data.storage, file->data.id, file->path,
                                          file->data.name));
    choose_way(rows, file, &file->data);
    close_file(file); /* reopened with the right chunk cache */
    return LLOYD_OK;
}

static lloyd_status open_all(lloyd_input_list *list, lloyd_rows *rows)
{
    LLOYD_TRY(
        lloyd_alloc(&rows->files, list->count, sizeof *rows->files, "the list of input files"));
    rows->file_count = list->count;
    for (int i = 0; i < list->count; i++) {
        row_file *file = &rows->files[i];
        file->path = list->items[i].path;
        file->data.name = list->items[i].dataset;
        file->id = file->data.id = file->weights.id = H5I_INVALID_HID;
        list->items[i] = (lloyd_input){0};
    }
    for (int i = 0; i < rows->file_count; i++) LLOYD_TRY(look_at(rows, &rows->files[i]));
    if (rows->count > 0) return LLOYD_OK;
    char where[1024];
    name_where(rows->files, rows->files->data.name, where, sizeof where);
    return lloyd_fail(LLOYD_BAD_INPUT, "%s%s has no rows; there is nothing to cluster", where,
                      rows->file_count > 1 ? " (like all other inputs)" : "");
}

lloyd_status lloyd_rows_open(const char *const *inputs, int count, lloyd_rows **rows)
{
    return lloyd_rows_open_dataset(inputs, count, NULL, rows);
}

lloyd_status lloyd_rows_open_dataset(const char *const *inputs, int count, const char *dataset,
                                     lloyd_rows **rows)
{
    LLOYD_H5_SCOPE;
    *rows = NULL;
    if (count < 1)
        return lloyd_fail(LLOYD_USAGE, "no input is given; name one with --input FILE[:DATASET]");
    lloyd_rows *opened;
    LLOYD_TRY(lloyd_alloc(&opened, 1, sizeof *opened, "the list of inputs"));
    pthread_mutex_init(&opened->lock, NULL);
    const char *direct = getenv("LLOYD_DIRECT_IO");
    opened->unbuffered = direct && strcmp(direct, "1") == 0;
    lloyd_input_list list = {0};
    lloyd_status status = lloyd_scratch_open(&opened->scratch);
    for (int i = 0; i < count && status == LLOYD_OK; i++)
        status = lloyd_input_expand(inputs[i], dataset, &list);
    if (status == LLOYD_OK) status = open_all(&list, opened);
    lloyd_input_free(&list);
    if (status == LLOYD_OK) {
        *rows = opened;
    } else {
        lloyd_rows_close(opened);
    }
    return status;
}

void lloyd_rows_close(lloyd_rows *rows)
{
    if (!rows) return;
    LLOYD_H5_SCOPE;
    lloyd_scratch_close(&rows->scratch);
    pthread_mutex_destroy(&rows->lock);
    for (int i = 0; i < rows->file_count; i++) {
        row_file *file = &rows->files[i];
        close_file(file);
        lloyd_storage_free(&file->data.storage);
        lloyd_storage_free(&file->weights.storage);
        free(file->path);
        free(file->data.name);
        free(file->weights.name);
        lloyd_watch_free(&file->watch);
    }
    lloyd_gaps_free(&rows->gaps);
    lloyd_free(rows->files);
    lloyd_free(rows->wide);
    lloyd_free(rows);
}

int64_t lloyd_rows_count(const lloyd_rows *rows)
{
    return rows->count - rows->gaps.rows;
}

lloyd_status lloyd_rows_skip(lloyd_rows *rows, const int64_t *pairs, int64_t count)
{
    return lloyd_gaps_make(pairs, count, &rows->gaps);
}

int64_t lloyd_rows_skipped(const lloyd_rows *rows)
{
    return rows->gaps.rows;
}

int64_t lloyd_rows_original(const lloyd_rows *rows, int64_t row)
{
    return lloyd_gaps_original(&rows->gaps, row);
}

int64_t lloyd_rows_run(const lloyd_rows *rows, int64_t row, int64_t count)
{
    return lloyd_gaps_run(&rows->gaps, row, count);
}

int64_t lloyd_rows_dim(const lloyd_rows *rows)
{
    return rows->dim;
}

lloyd_type lloyd_rows_type(const lloyd_rows *rows)
{
    return rows->type;
}

int lloyd_rows_rounded(const lloyd_rows *rows)
{
    return rows->rounded;
}

int lloyd_rows_files(const lloyd_rows *rows)
{
    return rows->file_count;
}

const char *lloyd_rows_file(const lloyd_rows *rows, int index)
{
    return rows->files[index].path;
}

const char *lloyd_rows_dataset(const lloyd_rows *rows, int index)
{
    return rows->files[index].data.name;
}

const char *lloyd_rows_weights_dataset(const lloyd_rows *rows, int index)
{
    return rows->files[index].weights.name;
}

static lloyd_status describe(lloyd_rows *rows, row_file *file, lloyd_rows_about *about)
{
    LLOYD_H5_SCOPE;
    LLOYD_TRY(use_set(rows, file, &file->data));
    about->path = file->path;
    about->dataset = file->data.name;
    about->type = file->wide ? "float64" : lloyd_type_name(rows->type);
    about->rows = file->rows;
    about->stored = (int64_t)H5Dget_storage_size(file->data.id);
    lloyd_storage_text(&file->data.storage, file->data.id, about->storage, sizeof about->storage);
    return LLOYD_OK;
}

lloyd_status lloyd_rows_describe(lloyd_rows *rows, int index, lloyd_rows_about *about)
{
    row_file *file = &rows->files[index];
    pthread_mutex_lock(&rows->lock);
    lloyd_status status = describe(rows, file, about);
    pthread_mutex_unlock(&rows->lock);
    return status;
}

/* Elements of the buffer for values that are rounded after reading. */
static int64_t wide_elements(const lloyd_rows *rows)
{
    int64_t count = ROUND_BYTES / (int64_t)sizeof(double);
    return rows->rounded && rows->dim > count ? rows->dim : count;
}

int64_t lloyd_rows_memory(const lloyd_rows *rows)
{
    int64_t rounding =
        rows->rounded || rows->weighted ? wide_elements(rows) * (int64_t)sizeof(double) : 0;
    int64_t thread = 0; /* buffer of each thread that reads */
    for (int i = 0; i < rows->file_count; i++) {
        const row_set *set = &rows->files[i].data;
        int64_t bytes = set->way == PLAIN    ? lloyd_plain_memory(rows->unbuffered)
                        : set->way == PACKED ? lloyd_packed_thread_memory(&set->storage)
                                             : 0;
        if (bytes > thread) thread = bytes;
    }
    return memory_limit(rows) + CONVERSION_BYTES + rounding + rows->scratch.threads * thread +
           rows->gaps.count * (int64_t)sizeof(lloyd_gap);
}

/* The file that holds a global row. */
static int find_file(const lloyd_rows *rows, int64_t row)
{
    int low = 0, high = rows->file_count - 1;
    while (low < high) {
        int middle = high - (high - low) / 2;
        if (rows->files[middle].first <= row) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

void lloyd_rows_where(const lloyd_rows *rows, int64_t row, char *text, size_t bytes)
{
    row = lloyd_gaps_original(&rows->gaps, row);
    const row_file *file = &rows->files[find_file(rows, row)];
    snprintf(text, bytes, "%s:%s row %lld", file->path, file->data.name,
             (long long)(row - file->first));
}

void lloyd_rows_fact(const lloyd_rows *rows, int index, char *text, size_t bytes)
{
    const row_file *file = &rows->files[index];
    struct stat info;
    long long size = stat(file->path, &info) == 0 ? (long long)info.st_size : -1;
    snprintf(text, bytes, "%s:%s, %lld rows x %lld columns of %s, %lld bytes", file->path,
             file->data.name, (long long)file->rows, (long long)rows->dim,
             file->wide ? "float64" : lloyd_type_name(rows->type), size);
}

/* One call of H5Dread: elements [first, first+count) along the first dimension of a dataset, of
 * `columns` elements each (0: a one-dimensional dataset). */
static lloyd_status read_piece(const row_file *file, const row_set *set, hid_t type, int64_t first,
                               int64_t count, int64_t columns, void *out)
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

static lloyd_status wide_buffer(lloyd_rows *rows)
{
    if (rows->wide && rows->wide_count >= wide_elements(rows)) return LLOYD_OK;
    lloyd_free(rows->wide);
    rows->wide_count = 0;
    LLOYD_TRY(lloyd_alloc(&rows->wide, wide_elements(rows), sizeof(double),
                          "the buffer for rounding to float32"));
    rows->wide_count = wide_elements(rows);
    return LLOYD_OK;
}

/* Reads numbers of any type as double and rounds them. Rows have `columns` elements, 0 for a
 * one-dimensional dataset. */
static lloyd_status read_rounded(lloyd_rows *rows, const row_file *file, const row_set *set,
                                 int64_t first, int64_t count, int64_t columns, float *out)
{
    LLOYD_TRY(wide_buffer(rows));
    int64_t width = columns > 0 ? columns : 1, most = rows->wide_count / width;
    while (count > 0) {
        int64_t piece = lloyd_storage_piece(&set->storage, width * (int64_t)sizeof(double), first,
                                            count < most ? count : most);
        LLOYD_TRY(read_piece(file, set, H5T_NATIVE_DOUBLE, first, piece, columns, rows->wide));
        for (int64_t i = 0; i < piece * width; i++) out[i] = (float)rows->wide[i];
        out += piece * width;
        first += piece;
        count -= piece;
    }
    return LLOYD_OK;
}

static lloyd_status read_stored(const lloyd_rows *rows, const row_file *file, int64_t first,
                                int64_t count, char *out)
{
    int64_t bytes = row_bytes(rows);
    hid_t type = lloyd_h5_native(rows->type);
    lloyd_status status = LLOYD_OK;
    while (count > 0 && status == LLOYD_OK) {
        int64_t piece = lloyd_storage_piece(&file->data.storage, bytes, first, count);
        status = read_piece(file, &file->data, type, first, piece, rows->dim, out);
        out += piece * bytes;
        first += piece;
        count -= piece;
    }
    H5Tclose(type);
    return status;
}

static lloyd_status check_range(const lloyd_rows *rows, int64_t first, int64_t count)
{
    int64_t n = lloyd_rows_count(rows);
    if (first >= 0 && count >= 0 && first <= n && count <= n - first) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_FAILED,
        "cannot read rows [%lld, %lld + %lld) of %lld: a mistake in the program, please report it",
        (long long)first, (long long)first, (long long)count, (long long)n);
}

/* Opens what is needed for rows [first, first+count) of a file. */
static lloyd_status prepare(lloyd_rows *rows, row_file *file, row_set *set, int64_t first,
                            int64_t count)
{
    LLOYD_H5_SCOPE;
    LLOYD_TRY(use_set(rows, file, set));
    return lloyd_sources_require(&set->storage, file->id, set->id, file->path, set->name, first,
                                 count);
}

static lloyd_status read_by_hdf5(lloyd_rows *rows, row_file *file, row_set *set, int64_t first,
                                 int64_t count, char *out)
{
    LLOYD_H5_SCOPE;
    if (set == &file->weights || file->wide) {
        return read_rounded(rows, file, set, first, count, set == &file->weights ? 0 : rows->dim,
                            (float *)(void *)out);
    }
    return read_stored(rows, file, first, count, out);
}

/* Rows, or weights, [first, first+count) of one file. */
static lloyd_status read_file(lloyd_rows *rows, row_file *file, row_set *set, int64_t first,
                              int64_t count, char *out)
{
    LLOYD_TRY(prepare(rows, file, set, first, count));
    if (set->plain) {
        return lloyd_plain_read(set->plain, &rows->scratch, first * row_bytes(rows),
                                count * row_bytes(rows), out);
    }
    lloyd_status status = set->packed
                              ? lloyd_packed_read(set->packed, &rows->scratch, first, count, out)
                              : read_by_hdf5(rows, file, set, first, count, out);
    LLOYD_TRY(check_size(file, set)); /* also the better message if reading failed over it */
    return status;
}

/* Reads the rows (or, with `weights`, the weights) of a range of the dataset file by file. */
static lloyd_status read_files(lloyd_rows *rows, int64_t first, int64_t count, int weights,
                               char *out)
{
    int64_t bytes = weights ? (int64_t)sizeof(float) : row_bytes(rows);
    for (int i = count > 0 ? find_file(rows, first) : 0; count > 0; i++) {
        row_file *file = &rows->files[i];
        int64_t from = first - file->first, here = file->rows - from;
        if (here > count) here = count;
        if (here == 0) continue; /* a file without rows */
        LLOYD_TRY(read_file(rows, file, weights ? &file->weights : &file->data, from, here, out));
        out += here * bytes;
        first += here;
        count -= here;
    }
    return LLOYD_OK;
}

/* Between two rows that are left out, those that stay follow each other. */
static lloyd_status read_runs(lloyd_rows *rows, int64_t first, int64_t count, int weights,
                              char *out)
{
    int64_t bytes = weights ? (int64_t)sizeof(float) : row_bytes(rows);
    LLOYD_TRY(check_range(rows, first, count));
    while (count > 0) {
        int64_t here = lloyd_gaps_run(&rows->gaps, first, count);
        LLOYD_TRY(read_files(rows, lloyd_gaps_original(&rows->gaps, first), here, weights, out));
        out += here * bytes;
        first += here;
        count -= here;
    }
    return LLOYD_OK;
}

static lloyd_status read_range(lloyd_rows *rows, int64_t first, int64_t count, int weights,
                               char *out)
{
    pthread_mutex_lock(&rows->lock);
    lloyd_status status = read_runs(rows, first, count, weights, out);
    pthread_mutex_unlock(&rows->lock);
    return status;
}

lloyd_status lloyd_rows_read(lloyd_rows *rows, int64_t first, int64_t count, void *out)
{
    return read_range(rows, first, count, 0, out);
}

lloyd_status lloyd_rows_check(const lloyd_rows *rows, int64_t first, int64_t count)
{
    LLOYD_TRY(check_range(rows, first, count));
    if (count == 0) return LLOYD_OK;
    int64_t last = lloyd_gaps_original(&rows->gaps, first + count - 1);
    for (int i = find_file(rows, lloyd_gaps_original(&rows->gaps, first));
         i < rows->file_count && rows->files[i].first <= last; i++)
        LLOYD_TRY(lloyd_watch_check(&rows->files[i].watch));
    return LLOYD_OK;
}

/* A file's weights: one number per row. */
static lloyd_status accept_weights(const row_file *file)
{
    char where[1024];
    int rank;
    hsize_t extent[1];
    name_where(file, file->weights.name, where, sizeof where);
    LLOYD_TRY(lloyd_h5_shape(file->weights.id, where, 1, &rank, extent));
    if (rank != 1 || (int64_t)extent[0] != file->rows) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s has %d dimension%s and %llu elements, but weights are one number for each of the %lld rows",
            where, rank, rank == 1 ? "" : "s", (unsigned long long)extent[0],
            (long long)file->rows);
    }
    hid_t type = H5Dget_type(file->weights.id);
    H5T_class_t class = H5Tget_class(type);
    H5Tclose(type);
    if (class == H5T_FLOAT || class == H5T_INTEGER) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "%s does not hold numbers; weights are floating-point or integer numbers",
                      where);
}

lloyd_status lloyd_rows_open_weights(lloyd_rows *rows, const char *dataset)
{
    LLOYD_H5_SCOPE;
    if (*dataset == '\0')
        return lloyd_fail(LLOYD_USAGE, "the name of the weights' dataset is empty");
    for (int i = 0; i < rows->file_count; i++) {
        row_file *file = &rows->files[i];
        close_file(file);
        lloyd_storage_free(&file->weights.storage);
        free(file->weights.name);
        file->weights.name = lloyd_h5_join(*dataset == '/' ? "" : "/", dataset);
        if (!file->weights.name)
            return lloyd_fail(LLOYD_FAILED, "cannot open the weights: out of memory");
        LLOYD_TRY(use_file(rows, file));
        LLOYD_TRY(open_set(file, &file->weights));
        LLOYD_TRY(accept_weights(file));
        LLOYD_TRY(lloyd_storage_check_written(&file->weights.storage, file->weights.id, file->path,
                                              file->weights.name));
        close_file(file);
    }
    rows->weighted = 1;
    return LLOYD_OK;
}

lloyd_status lloyd_rows_read_weights(lloyd_rows *rows, int64_t first, int64_t count, float *out)
{
    if (!rows->weighted)
        return lloyd_fail(LLOYD_FAILED,
                          "cannot read weights before they are opened: a mistake in the program");
    return read_range(rows, first, count, 1, (char *)out);
}
