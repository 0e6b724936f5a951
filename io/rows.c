/* Files put together to one dataset.
 *
 * Opening looks at every file once and closes it again; reading opens a file when its rows are
 * wanted and keeps the few that were used last, so that hundreds of files need no more than a
 * handful of descriptors. What a file of a format is and how it is read, its reader knows
 * (io/readers/reader.h); rows that lie in a file as they are wanted in memory are read here, by
 * several threads.
 */
#include "io/rows.h"

#include "base/memory.h"
#include "io/gaps.h"
#include "io/input.h"
#include "io/kept.h"
#include "io/readers/registry.h"
#include "io/scratch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    KEEP_OPEN = 4,
    SPAN_BYTES = 16 << 20, /* of rows that are kept and what lies between them, read at once */
    GAP_BYTES = 64 << 10   /* what is not worth another read */
};
static const int64_t CACHES_BYTES = (int64_t)64 << 20;
static const int64_t CONVERSION_BYTES = (int64_t)2 << 20; /* HDF5's own, for byte order */

struct lloyd_rows {
    lloyd_row_file *files;
    int file_count;
    int64_t count, dim; /* rows of all files */
    lloyd_gaps gaps;    /* rows that are left out */
    lloyd_kept kept;    /* or those that are kept */
    lloyd_type type;
    int rounded, weighted;
    int unbuffered; /* LLOYD_DIRECT_IO=1: past the page cache */
    lloyd_scratch scratch;
    char *spans;          /* for kept rows that lie apart, or NULL */
    pthread_mutex_t lock; /* of whoever reads */
    int64_t clock;        /* for lloyd_row_file.used */
};

static void close_file(lloyd_row_file *file)
{
    lloyd_extents_close(file->extents);
    file->extents = NULL;
    if (file->state) file->reader->access->close(file);
    file->is_open = 0;
}

static int64_t row_bytes(const lloyd_rows *rows)
{
    return rows->dim * (int64_t)lloyd_type_size(rows->type);
}

/* Of the buffer for rows that lie apart. */
static int64_t span_bytes(const lloyd_rows *rows)
{
    return row_bytes(rows) < SPAN_BYTES ? SPAN_BYTES : row_bytes(rows);
}

/* A number of bytes of a file that its reader may know. */
static int64_t bytes_of(int64_t (*bytes)(const lloyd_row_file *file), const lloyd_row_file *file)
{
    return bytes ? bytes(file) : 0;
}

static int64_t file_memory(const lloyd_row_file *file)
{
    return bytes_of(file->reader->access->memory, file);
}

/* Bytes that open files may hold together: small chunk caches stay, a large one only as long as
 * it is the only one. */
static int64_t memory_limit(const lloyd_rows *rows)
{
    int64_t limit = CACHES_BYTES, all = 0;
    for (int i = 0; i < rows->file_count; i++) {
        int64_t bytes = file_memory(&rows->files[i]);
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
        lloyd_row_file *oldest = NULL;
        for (int i = 0; i < rows->file_count; i++) {
            lloyd_row_file *other = &rows->files[i];
            if (!other->is_open) continue;
            open++;
            held += file_memory(other);
            if (!oldest || other->used < oldest->used) oldest = other;
        }
        if (!oldest || (open < KEEP_OPEN && held <= limit)) return;
        close_file(oldest);
    }
}

static lloyd_status open_file(const lloyd_rows *rows, lloyd_row_file *file)
{
    LLOYD_TRY(file->reader->access->open(file));
    if (!file->native) return LLOYD_OK;
    lloyd_extents_of all = file->reader->access->extents(file);
    return lloyd_extents_open(&all, rows->unbuffered, &file->extents);
}

static lloyd_status use_file(lloyd_rows *rows, lloyd_row_file *file)
{
    file->used = ++rows->clock;
    if (file->is_open) return LLOYD_OK;
    make_room(rows, file_memory(file));
    lloyd_status status = open_file(rows, file);
    if (status == LLOYD_OK) {
        file->is_open = 1;
    } else {
        close_file(file);
    }
    return status;
}

/* Shape and type of a file's rows against those of the files before it. */
static lloyd_status accept_file(lloyd_rows *rows, lloyd_row_file *file)
{
    const lloyd_row_file *other = rows->files;
    int64_t elements;
    if (file->columns == 0)
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "%s has rows of zero columns; there is nothing to cluster", file->where);
    if (__builtin_add_overflow(file->rows, rows->count, &elements) ||
        __builtin_mul_overflow(elements, file->columns, &elements) ||
        elements > INT64_MAX / (int64_t)sizeof(double)) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s has %lld x %lld elements, more than 2^63 bytes; the file may be damaged",
            file->where, (long long)file->rows, (long long)file->columns);
    }
    if (file == rows->files) {
        rows->dim = file->columns;
        rows->type = file->type;
    }
    if (file->columns != rows->dim) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s has %lld columns, but %s has %lld; all inputs must have the same number",
            file->where, (long long)file->columns, other->where, (long long)rows->dim);
    }
    if (file->type != rows->type) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s is of type %s, but %s is of type %s; all inputs must have the same type",
            file->where, lloyd_type_name(file->type), other->where, lloyd_type_name(rows->type));
    }
    rows->rounded |= file->wide;
    file->first = rows->count;
    rows->count += file->rows;
    return LLOYD_OK;
}

static lloyd_status look_at(lloyd_rows *rows, lloyd_row_file *file)
{
    LLOYD_TRY(lloyd_reader_find(file->path, &file->headerless, &file->reader));
    LLOYD_TRY(file->reader->access->inspect(file));
    return accept_file(rows, file);
}

static lloyd_status open_all(lloyd_input_list *list, lloyd_headerless headerless, lloyd_rows *rows)
{
    LLOYD_TRY(
        lloyd_alloc(&rows->files, list->count, sizeof *rows->files, "the list of input files"));
    rows->file_count = list->count;
    for (int i = 0; i < list->count; i++) {
        rows->files[i].path = list->items[i].path;
        rows->files[i].dataset = list->items[i].dataset;
        rows->files[i].headerless = headerless;
        list->items[i] = (lloyd_input){0};
    }
    for (int i = 0; i < rows->file_count; i++) LLOYD_TRY(look_at(rows, &rows->files[i]));
    if (rows->count > 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT, "%s%s has no rows; there is nothing to cluster",
                      rows->files[0].where, rows->file_count > 1 ? " (like all other inputs)" : "");
}

lloyd_status lloyd_rows_open(const char *const *inputs, int count, lloyd_rows **rows)
{
    const lloyd_input_form form = {0};
    return lloyd_rows_open_form(inputs, count, &form, rows);
}

lloyd_status lloyd_rows_open_form(const char *const *inputs, int count,
                                  const lloyd_input_form *form, lloyd_rows **rows)
{
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
        status = lloyd_input_expand(inputs[i], form, &list);
    if (status == LLOYD_OK) status = open_all(&list, form->headerless, opened);
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
    lloyd_scratch_close(&rows->scratch);
    pthread_mutex_destroy(&rows->lock);
    for (int i = 0; i < rows->file_count; i++) {
        lloyd_row_file *file = &rows->files[i];
        close_file(file);
        if (file->reader) file->reader->access->release(file);
        free(file->path);
        free(file->dataset);
        free(file->weights);
        free(file->where);
        lloyd_watch_free(&file->watch);
    }
    lloyd_gaps_free(&rows->gaps);
    lloyd_free(rows->kept.numbers);
    lloyd_free(rows->spans);
    lloyd_free(rows->files);
    lloyd_free(rows);
}

int64_t lloyd_rows_count(const lloyd_rows *rows)
{
    return rows->kept.numbers ? rows->kept.total : rows->count - rows->gaps.rows;
}

int64_t lloyd_rows_stored(const lloyd_rows *rows)
{
    return rows->count;
}

void lloyd_rows_keep(lloyd_rows *rows, int64_t *numbers, int64_t first, int64_t count,
                     int64_t total)
{
    lloyd_gaps_free(&rows->gaps);
    lloyd_free(rows->kept.numbers);
    rows->kept = (lloyd_kept){numbers, first, count, total};
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
    return rows->kept.numbers ? rows->kept.numbers[row - rows->kept.first]
                              : lloyd_gaps_original(&rows->gaps, row);
}

int64_t lloyd_rows_run(const lloyd_rows *rows, int64_t row, int64_t count)
{
    return rows->kept.numbers ? lloyd_kept_run(rows->kept.numbers + (row - rows->kept.first), count)
                              : lloyd_gaps_run(&rows->gaps, row, count);
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
    return rows->files[index].dataset;
}

const char *lloyd_rows_weights_dataset(const lloyd_rows *rows, int index)
{
    return rows->files[index].weights;
}

static lloyd_status describe(lloyd_rows *rows, lloyd_row_file *file, lloyd_rows_about *about)
{
    LLOYD_TRY(use_file(rows, file));
    about->path = file->path;
    about->dataset = file->dataset;
    about->type = file->wide ? "float64" : lloyd_type_name(rows->type);
    about->rows = file->rows;
    file->reader->access->describe(file, &about->stored, about->storage, sizeof about->storage);
    return LLOYD_OK;
}

lloyd_status lloyd_rows_describe(lloyd_rows *rows, int index, lloyd_rows_about *about)
{
    lloyd_row_file *file = &rows->files[index];
    pthread_mutex_lock(&rows->lock);
    lloyd_status status = describe(rows, file, about);
    pthread_mutex_unlock(&rows->lock);
    return status;
}

int64_t lloyd_rows_memory(const lloyd_rows *rows)
{
    int64_t thread = 0, shared = 0; /* the largest of any file */
    for (int i = 0; i < rows->file_count; i++) {
        const lloyd_row_file *file = &rows->files[i];
        const lloyd_row_access *access = file->reader->access;
        int64_t of_thread = file->native ? lloyd_extents_memory(rows->unbuffered)
                                         : bytes_of(access->thread_memory, file);
        int64_t of_all = bytes_of(access->shared_memory, file);
        if (of_thread > thread) thread = of_thread;
        if (of_all > shared) shared = of_all;
    }
    int64_t apart = rows->kept.count * (int64_t)sizeof *rows->kept.numbers;
    if (rows->kept.numbers)
        apart +=
            span_bytes(rows) + rows->scratch.threads * lloyd_extents_pick_memory(row_bytes(rows));
    return memory_limit(rows) + CONVERSION_BYTES + shared + rows->scratch.threads * thread + apart +
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
    lloyd_rows_where_stored(rows, lloyd_rows_original(rows, row), text, bytes);
}

void lloyd_rows_where_stored(const lloyd_rows *rows, int64_t row, char *text, size_t bytes)
{
    const lloyd_row_file *file = &rows->files[find_file(rows, row)];
    snprintf(text, bytes, "%s row %lld", file->where, (long long)(row - file->first));
}

void lloyd_rows_metadata(const lloyd_rows *rows, int index, char *text, size_t bytes)
{
    const lloyd_row_file *file = &rows->files[index];
    struct stat info;
    long long size = stat(file->path, &info) == 0 ? (long long)info.st_size : -1;
    snprintf(text, bytes, "%s, %lld rows x %lld columns of %s, %lld bytes", file->where,
             (long long)file->rows, (long long)rows->dim,
             file->wide ? "float64" : lloyd_type_name(rows->type), size);
}

static lloyd_status check_range(const lloyd_rows *rows, int64_t first, int64_t count)
{
    int64_t begin = rows->kept.numbers ? rows->kept.first : 0;
    int64_t n = rows->kept.numbers ? rows->kept.count : lloyd_rows_count(rows);
    if (first >= begin && count >= 0 && first - begin <= n && count <= n - (first - begin))
        return LLOYD_OK;
    return lloyd_fail(
        LLOYD_FAILED,
        "cannot read rows [%lld, %lld + %lld) of %lld: a mistake in the program, please report it",
        (long long)first, (long long)first, (long long)count, (long long)lloyd_rows_count(rows));
}

/* Rows, or weights, [first, first+count) of one file. */
static lloyd_status read_file(lloyd_rows *rows, lloyd_row_file *file, int weights, int64_t first,
                              int64_t count, char *out)
{
    const lloyd_row_access *access = file->reader->access;
    LLOYD_TRY(use_file(rows, file));
    if (weights)
        return access->read_weights(file, &rows->scratch, first, count, (float *)(void *)out);
    if (!file->native) return access->read(file, &rows->scratch, first, count, out);
    return lloyd_extents_read(file->extents, &rows->scratch, first * row_bytes(rows),
                              count * row_bytes(rows), out);
}

/* Reads the rows (or, with `weights`, the weights) of a range of the dataset file by file. */
static lloyd_status read_files(lloyd_rows *rows, int64_t first, int64_t count, int weights,
                               char *out)
{
    int64_t bytes = weights ? (int64_t)sizeof(float) : row_bytes(rows);
    for (int i = count > 0 ? find_file(rows, first) : 0; count > 0; i++) {
        lloyd_row_file *file = &rows->files[i];
        int64_t from = first - file->first, here = file->rows - from;
        if (here > count) here = count;
        if (here == 0) continue; /* a file without rows */
        LLOYD_TRY(read_file(rows, file, weights, from, here, out));
        out += here * bytes;
        first += here;
        count -= here;
    }
    return LLOYD_OK;
}

/* ---- Rows that are kept --------------------------------------------------------------------- */

/* The rows of one span, with what lies between them, by way of a buffer. */
static lloyd_status read_span(lloyd_rows *rows, const int64_t *numbers, int64_t count, int weights,
                              char *out)
{
    const int64_t bytes = weights ? (int64_t)sizeof(float) : row_bytes(rows);
    const int64_t all = numbers[count - 1] - numbers[0] + 1;
    if (all == count) return read_files(rows, numbers[0], count, weights, out);
    if (!rows->spans)
        LLOYD_TRY(lloyd_alloc(&rows->spans, span_bytes(rows), 1, "rows that lie apart"));
    LLOYD_TRY(read_files(rows, numbers[0], all, weights, rows->spans));
    for (int64_t i = 0; i < count; i++)
        memcpy(out + i * bytes, rows->spans + (numbers[i] - numbers[0]) * bytes, (size_t)bytes);
    return LLOYD_OK;
}

/* Rows of one file that can do so, by several threads. */
static lloyd_status pick_rows(lloyd_rows *rows, lloyd_row_file *file, const int64_t *numbers,
                              int64_t count, char *out)
{
    LLOYD_TRY(use_file(rows, file));
    return file->native
               ? lloyd_extents_pick(file->extents, &rows->scratch, numbers, file->first, count, out)
               : file->reader->access->pick(file, &rows->scratch, numbers, file->first, count, out);
}

/* How many of the numbers are rows of this file. */
static int64_t count_of_file(const lloyd_row_file *file, const int64_t *numbers, int64_t count)
{
    int64_t low = 1, high = count, end = file->first + file->rows;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (numbers[middle] < end) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Rows between two others that are read with them: few bytes, or not even the rest of a chunk. */
static int64_t gap_rows(const lloyd_row_file *file, int64_t bytes)
{
    int64_t few = GAP_BYTES / bytes, together = bytes_of(file->reader->access->together, file);
    return few > together ? few : together;
}

/* Rows, or weights, by their numbers in the dataset. */
static lloyd_status read_kept(lloyd_rows *rows, const int64_t *numbers, int64_t count, int weights,
                              char *out)
{
    const int64_t bytes = weights ? (int64_t)sizeof(float) : row_bytes(rows);
    for (int64_t here; count > 0; numbers += here, out += here * bytes, count -= here) {
        lloyd_row_file *file = &rows->files[find_file(rows, numbers[0])];
        here = count_of_file(file, numbers, count);
        if (!weights && (file->native || file->reader->access->pick)) {
            LLOYD_TRY(pick_rows(rows, file, numbers, here, out));
            continue;
        }
        here = lloyd_kept_span(numbers, here, gap_rows(file, bytes), span_bytes(rows) / bytes);
        LLOYD_TRY(read_span(rows, numbers, here, weights, out));
    }
    return LLOYD_OK;
}

/* Between two rows that are left out, those that stay follow each other. */
static lloyd_status read_runs(lloyd_rows *rows, int64_t first, int64_t count, int weights,
                              char *out)
{
    int64_t bytes = weights ? (int64_t)sizeof(float) : row_bytes(rows);
    LLOYD_TRY(check_range(rows, first, count));
    if (rows->kept.numbers)
        return read_kept(rows, rows->kept.numbers + (first - rows->kept.first), count, weights,
                         out);
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
    int64_t last = lloyd_rows_original(rows, first + count - 1);
    for (int i = find_file(rows, lloyd_rows_original(rows, first));
         i < rows->file_count && rows->files[i].first <= last; i++)
        LLOYD_TRY(lloyd_watch_check(&rows->files[i].watch));
    return LLOYD_OK;
}

static lloyd_status open_weights(lloyd_row_file *file, const char *dataset)
{
    close_file(file);
    free(file->weights);
    file->weights = NULL;
    if (!file->reader->access->inspect_weights) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s is a %s file, which has no dataset of weights; rows with weights are read from "
            "HDF5 files",
            file->path, file->reader->name);
    }
    if (asprintf(&file->weights, "%s%s", *dataset == '/' ? "" : "/", dataset) < 0) {
        file->weights = NULL;
        return lloyd_fail(LLOYD_FAILED, "cannot open the weights: out of memory");
    }
    return file->reader->access->inspect_weights(file);
}

lloyd_status lloyd_rows_open_weights(lloyd_rows *rows, const char *dataset)
{
    if (*dataset == '\0')
        return lloyd_fail(LLOYD_USAGE, "the name of the weights' dataset is empty");
    for (int i = 0; i < rows->file_count; i++) LLOYD_TRY(open_weights(&rows->files[i], dataset));
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
