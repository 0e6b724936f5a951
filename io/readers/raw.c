/* See raw.h. What a header says is not believed: every number is bounded before it is used, and the
 * size of the file must be the one that follows from the header. */
#include "io/readers/raw.h"

#include "base/memory.h"
#include "io/bytes.h"
#include "io/kept.h"
#include "io/readers/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Layouts -------------------------------------------------------------------------------- */

uint32_t lloyd_raw_number(const unsigned char *bytes, int count)
{
    uint32_t value = 0;
    for (int i = count - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

/* Bytes of an element as it is stored. */
static int64_t element_bytes(const lloyd_raw *raw)
{
    return raw->wide ? (int64_t)sizeof(double) : (int64_t)lloyd_type_size(raw->type);
}

static lloyd_status check_size(const lloyd_raw_head *head, const lloyd_raw *raw)
{
    if (head->size == raw->offset + raw->bytes) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot read %s: it has %lld bytes, but its header (%lld rows of %lld columns) makes "
        "%lld; it was not copied completely, or it is of another format",
        head->path, (long long)head->size, (long long)raw->rows, (long long)raw->columns,
        (long long)(raw->offset + raw->bytes));
}

lloyd_status lloyd_raw_layout(const lloyd_row_reader *reader, const lloyd_raw_head *head,
                              lloyd_raw *raw)
{
    int64_t end;
    memset(raw, 0, sizeof *raw);
    LLOYD_TRY(reader->layout(head, raw));
    if (raw->rows < 0 || raw->columns < 1) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot read %s: its header says %lld rows of %lld columns; there is nothing to "
            "cluster",
            head->path, (long long)raw->rows, (long long)raw->columns);
    }
    if (__builtin_mul_overflow(raw->columns, element_bytes(raw), &raw->stride) ||
        __builtin_add_overflow(raw->stride, raw->prefix, &raw->stride) ||
        __builtin_mul_overflow(raw->rows, raw->stride, &raw->bytes) ||
        __builtin_add_overflow(raw->bytes, raw->offset, &end)) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot read %s: its header says %lld x %lld elements, more than 2^63 bytes; it is "
            "damaged",
            head->path, (long long)raw->rows, (long long)raw->columns);
    }
    return check_size(head, raw);
}

/* ---- Files ---------------------------------------------------------------------------------- */

lloyd_status lloyd_raw_open_head(const char *path, unsigned char *bytes, size_t most,
                                 lloyd_raw_head *head)
{
    struct stat info = {0};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = errno;
    ssize_t count = -1;
    if (descriptor >= 0) {
        int regular = fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode);
        count = regular ? lloyd_bytes_read(descriptor, 0, bytes, most) : -1;
        error = regular ? errno : EINVAL;
    }
    if (count < 0) {
        if (descriptor >= 0) close(descriptor);
        return lloyd_fail(LLOYD_BAD_INPUT, "cannot open %s: %s; check the path", path,
                          error == EINVAL ? "it is not a regular file" : strerror(error));
    }
    *head = (lloyd_raw_head){path, bytes, (size_t)count, (int64_t)info.st_size, descriptor, NULL};
    return LLOYD_OK;
}

lloyd_status lloyd_raw_inspect(const lloyd_row_reader *reader, const char *path,
                               const lloyd_headerless *headerless, int *descriptor, lloyd_raw *raw)
{
    unsigned char *bytes;
    lloyd_raw_head head = {.descriptor = -1};
    LLOYD_TRY(lloyd_alloc(&bytes, LLOYD_RAW_HEADER, 1, "the header of a file"));
    lloyd_status status = lloyd_raw_open_head(path, bytes, LLOYD_RAW_HEADER, &head);
    head.headerless = headerless;
    if (status == LLOYD_OK) status = lloyd_raw_layout(reader, &head, raw);
    lloyd_free(bytes);
    if (status == LLOYD_OK && descriptor) {
        *descriptor = head.descriptor;
    } else if (head.descriptor >= 0) {
        close(head.descriptor);
    }
    return status;
}

/* ---- Reading -------------------------------------------------------------------------------- */

static const int64_t PIECE = (int64_t)1 << 20; /* what a thread unpacks at a time */

/* The state of a file. */
typedef struct state {
    lloyd_raw raw;
    lloyd_extent extent;  /* all rows */
    int descriptor;       /* of the open file */
    lloyd_extents *reads; /* of an open file that is not native */
} state;

static lloyd_status refuse_dataset(const lloyd_row_file *file)
{
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot read dataset %s of %s: it is a %s file, which has no datasets; give the name of "
        "the file alone",
        file->dataset, file->path, file->reader->name);
}

static lloyd_status refuse_order(const lloyd_row_file *file)
{
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot read %s: its elements are big-endian; save them in the order of this machine, "
        "with .astype(x.dtype.newbyteorder('<')) in NumPy, or read them through 'lloyd wrap'",
        file->path);
}

static lloyd_status adopt_layout(lloyd_row_file *file, state *s)
{
    const lloyd_raw *raw = &s->raw;
    if (raw->big_endian && element_bytes(raw) > 1) return refuse_order(file);
    file->rows = raw->rows;
    file->columns = raw->columns;
    file->type = raw->type;
    file->wide = raw->wide;
    file->native = !raw->wide && raw->prefix == 0;
    s->extent = (lloyd_extent){file->path, raw->offset, raw->bytes};
    return LLOYD_OK;
}

static lloyd_status inspect(lloyd_row_file *file)
{
    if (file->dataset) return refuse_dataset(file);
    state *s;
    LLOYD_TRY(lloyd_alloc(&s, 1, sizeof *s, "a file of rows"));
    s->descriptor = -1;
    file->state = s;
    LLOYD_TRY(
        lloyd_raw_inspect(file->reader, file->path, &file->headerless, &s->descriptor, &s->raw));
    lloyd_status status = lloyd_watch_file(&file->watch, file->path, s->descriptor);
    close(s->descriptor);
    s->descriptor = -1;
    LLOYD_TRY(status);
    file->where = strdup(file->path);
    return file->where ? adopt_layout(file, s)
                       : lloyd_fail(LLOYD_FAILED, "cannot open %s: out of memory", file->path);
}

static lloyd_extents_of extents(const lloyd_row_file *file)
{
    const state *s = file->state;
    return (lloyd_extents_of){file->where, &s->extent, 1, s->descriptor, s->raw.stride};
}

static lloyd_status open_file(lloyd_row_file *file)
{
    state *s = file->state;
    s->descriptor = open(file->path, O_RDONLY | O_CLOEXEC);
    if (s->descriptor < 0 && errno != ENOENT) /* the watch says that it was removed */
        return lloyd_fail(LLOYD_BAD_INPUT, "cannot open %s: %s; check the path", file->path,
                          strerror(errno));
    LLOYD_TRY(lloyd_watch_file(&file->watch, file->path, s->descriptor));
    if (file->native) return LLOYD_OK;
    lloyd_extents_of all = extents(file);
    return lloyd_extents_open(&all, 0, &s->reads);
}

static void close_file(lloyd_row_file *file)
{
    state *s = file->state;
    if (!s) return;
    lloyd_extents_close(s->reads);
    s->reads = NULL;
    if (s->descriptor >= 0) close(s->descriptor);
    s->descriptor = -1;
}

static void release(lloyd_row_file *file)
{
    lloyd_free(file->state);
    file->state = NULL;
}

/* Rows of a thread's piece. */
static int64_t piece_rows(const lloyd_raw *raw)
{
    int64_t rows = PIECE / raw->stride;
    return rows < 1 ? 1 : rows;
}

/* Rows on their way: [first, first + count), or those of `count` numbers, less first. */
typedef struct job {
    const lloyd_row_file *file;
    lloyd_scratch *scratch;
    int64_t first, count;
    char *out;
    const int64_t *numbers;
} job;

static lloyd_status check_prefix(const lloyd_row_file *file, const char *stored, int64_t row)
{
    const state *s = file->state;
    unsigned char bytes[4];
    memcpy(bytes, stored, sizeof bytes);
    int64_t columns = (int32_t)lloyd_raw_number(bytes, sizeof bytes);
    if (columns == s->raw.columns) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cannot read row %lld of %s: it says that it has %lld columns, but row 0 has %lld; the "
        "file is damaged, or its rows are of different lengths",
        (long long)row, file->where, (long long)columns, (long long)s->raw.columns);
}

/* The elements of a stored row, as they are in memory. */
static void unpack(const lloyd_raw *raw, const char *stored, char *out)
{
    if (!raw->wide) {
        memcpy(out, stored, (size_t)(raw->columns * element_bytes(raw)));
        return;
    }
    for (int64_t i = 0; i < raw->columns; i++) {
        double value;
        memcpy(&value, stored + i * (int64_t)sizeof value, sizeof value);
        float rounded = (float)value;
        memcpy(out + i * (int64_t)sizeof rounded, &rounded, sizeof rounded);
    }
}

/* Rows [first, first + count) of the file by way of the buffer. */
static lloyd_status unpack_rows(const lloyd_row_file *file, int64_t first, int64_t count,
                                char *buffer, char *out)
{
    const state *s = file->state;
    const lloyd_raw *raw = &s->raw;
    const int64_t row_bytes = raw->columns * (int64_t)lloyd_type_size(raw->type);
    LLOYD_TRY(lloyd_extents_copy(s->reads, first * raw->stride, count * raw->stride, buffer));
    for (int64_t i = 0; i < count; i++) {
        const char *stored = buffer + i * raw->stride;
        if (raw->prefix > 0) LLOYD_TRY(check_prefix(file, stored, first + i));
        unpack(raw, stored + raw->prefix, out + i * row_bytes);
    }
    return LLOYD_OK;
}

static lloyd_status unpack_piece(void *task, int64_t piece, int worker)
{
    const job *j = task;
    const state *s = j->file->state;
    const lloyd_raw *raw = &s->raw;
    const int64_t row_bytes = raw->columns * (int64_t)lloyd_type_size(raw->type);
    int64_t most = piece_rows(raw), at = piece * most, end = at + most;
    char *buffer;
    if (end > j->count) end = j->count;
    LLOYD_TRY(lloyd_scratch_buffer(j->scratch, worker, most * raw->stride, &buffer));
    for (int64_t here; at < end; at += here) {
        here = j->numbers ? lloyd_kept_run(j->numbers + at, end - at) : end - at;
        int64_t first = j->numbers ? j->numbers[at] - j->first : j->first + at;
        LLOYD_TRY(unpack_rows(j->file, first, here, buffer, j->out + at * row_bytes));
    }
    return LLOYD_OK;
}

static lloyd_status read_rows(lloyd_row_file *file, lloyd_scratch *scratch, int64_t first,
                              int64_t count, char *out)
{
    const state *s = file->state;
    int64_t most = piece_rows(&s->raw);
    job all = {file, scratch, first, count, out, NULL};
    return lloyd_pool_run(scratch->pool, (count + most - 1) / most, unpack_piece, &all);
}

static lloyd_status pick_rows(lloyd_row_file *file, lloyd_scratch *scratch, const int64_t *numbers,
                              int64_t base, int64_t count, char *out)
{
    const state *s = file->state;
    int64_t most = piece_rows(&s->raw);
    job all = {file, scratch, base, count, out, numbers};
    return lloyd_pool_run(scratch->pool, (count + most - 1) / most, unpack_piece, &all);
}

static int64_t thread_memory(const lloyd_row_file *file)
{
    const state *s = file->state;
    return piece_rows(&s->raw) * s->raw.stride;
}

static void describe(const lloyd_row_file *file, int64_t *stored, char *text, size_t bytes)
{
    const state *s = file->state;
    *stored = s->raw.bytes;
    snprintf(text, bytes, "%s", file->reader->name);
}

const lloyd_row_access lloyd_raw_access = {
    .inspect = inspect,
    .open = open_file,
    .close = close_file,
    .release = release,
    .extents = extents,
    .read = read_rows,
    .pick = pick_rows,
    .thread_memory = thread_memory,
    .describe = describe,
};
