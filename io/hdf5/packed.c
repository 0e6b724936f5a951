/* A piece of the work is one chunk: under HDF5's lock its bytes are read as stored, then, without,
 * they are inflated, put in order (shuffle stores all first bytes of the elements, then all second
 * ones, ...) and copied to their rows. So one thread reads while the others unpack. What HDF5 does
 * on the way is done here as well: filters that a chunk's mask leaves out, the fill value of chunks
 * that were never written, the part of an edge chunk that lies outside of the dataset. */
#include "io/hdf5/packed.h"

#include "base/memory.h"
#include "io/hdf5/h5.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const int64_t CHUNK_MAX = (int64_t)16 << 20;  /* larger ones, of which each thread would hold
                                                     * two, are left to HDF5 */
static const int64_t BORDER_MAX = (int64_t)1 << 30;  /* a row of chunks */
static const int64_t CHUNK_INDEX = (int64_t)4 << 20; /* HDF5's cache of it */

/* The filters of a dataset, as bits of a chunk's mask; 0: not used. */
typedef struct filters {
    unsigned deflate, shuffle;
} filters;

struct lloyd_packed {
    const char *where; /* "FILE:/DATASET", borrowed */
    int64_t row_bytes;
    hid_t dataset;
    lloyd_type type;
    int64_t rows, columns, size; /* size of an element */
    int64_t chunk_rows, chunk_columns, chunk_bytes, across;
    filters filters;
    char fill[8];       /* an element */
    char *border;       /* a row of chunks as rows, or NULL */
    int64_t border_row; /* number of that row of chunks, -1: none */
};

/* 1 if the filters are known here and in the usual order. `size` is that of an element. */
static int known_filters(hid_t creation, size_t size, filters *known)
{
    int count = H5Pget_nfilters(creation);
    *known = (filters){0, 0};
    for (int i = 0; i < count; i++) {
        unsigned flags, config, values[1] = {0};
        size_t parameters = 1;
        H5Z_filter_t filter =
            H5Pget_filter2(creation, (unsigned)i, &flags, &parameters, values, 0, NULL, &config);
        if (filter == H5Z_FILTER_SHUFFLE && i == 0 && parameters > 0 && values[0] == size) {
            known->shuffle = 1U << i;
        } else if (filter == H5Z_FILTER_DEFLATE && i == count - 1) {
            known->deflate = 1U << i;
        } else {
            return 0;
        }
    }
    return count >= 0;
}

static size_t element_size(hid_t dataset)
{
    hid_t type = H5Dget_type(dataset);
    size_t size = type >= 0 ? H5Tget_size(type) : 0;
    if (type >= 0) H5Tclose(type);
    return size;
}

int lloyd_packed_suits(hid_t dataset, const lloyd_storage *storage)
{
    if (storage->layout != H5D_CHUNKED || storage->chunk_bytes < 1 ||
        storage->chunk_bytes > CHUNK_MAX ||
        storage->chunks_across > BORDER_MAX / storage->chunk_bytes)
        return 0;
    hid_t creation = H5Dget_create_plist(dataset);
    if (creation < 0) return 0;
    filters known;
    unsigned options = 0;
    hsize_t chunk[2];
    /* Chunks at the edge may be stored without filters, and nothing in the chunk says so. */
    int suits = H5Pget_chunk(creation, 2, chunk) == 2 &&
                H5Pget_chunk_opts(creation, &options) >= 0 && options == 0 &&
                known_filters(creation, element_size(dataset), &known);
    H5Pclose(creation);
    return suits;
}

/* The value of elements that were never written: zero where the file defines none. */
static lloyd_status read_fill(hid_t creation, lloyd_type type, lloyd_packed *p)
{
    H5D_fill_value_t defined = H5D_FILL_VALUE_UNDEFINED;
    hid_t native = lloyd_h5_native(type);
    herr_t result = H5Pfill_value_defined(creation, &defined);
    if (result >= 0 && defined != H5D_FILL_VALUE_UNDEFINED)
        result = H5Pget_fill_value(creation, native, p->fill);
    H5Tclose(native);
    if (result >= 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT, "cannot read the fill value of %s; the file may be damaged",
                      p->where);
}

static lloyd_status describe(lloyd_packed *p, hid_t creation, lloyd_type type)
{
    hsize_t chunk[2] = {0, 0}, extent[2] = {0, 0};
    int rank = 0;
    LLOYD_TRY(lloyd_h5_shape(p->dataset, p->where, 2, &rank, extent));
    p->type = type;
    p->size = (int64_t)lloyd_type_size(type);
    if (rank != 2 || H5Pget_chunk(creation, 2, chunk) != 2 || chunk[0] < 1 || chunk[1] < 1 ||
        (int64_t)extent[1] * p->size != p->row_bytes ||
        !known_filters(creation, (size_t)p->size, &p->filters)) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "cannot read how %s is stored; the file has changed or is damaged",
                          p->where);
    }
    p->rows = (int64_t)extent[0];
    p->columns = (int64_t)extent[1];
    p->chunk_rows = (int64_t)chunk[0];
    p->chunk_columns = (int64_t)chunk[1];
    p->chunk_bytes = p->chunk_rows * p->chunk_columns * p->size;
    p->across = (p->columns - 1) / p->chunk_columns + 1;
    p->border_row = -1;
    return read_fill(creation, type, p);
}

lloyd_status lloyd_packed_open(hid_t dataset, lloyd_type type, const char *where, int64_t row_bytes,
                               lloyd_packed **packed)
{
    LLOYD_TRY(lloyd_alloc(packed, 1, sizeof **packed, "a chunked dataset"));
    (*packed)->where = where;
    (*packed)->row_bytes = row_bytes;
    (*packed)->dataset = dataset;
    hid_t creation = H5Dget_create_plist(dataset);
    lloyd_status status = describe(*packed, creation, type);
    if (creation >= 0) H5Pclose(creation);
    if (status != LLOYD_OK) {
        lloyd_packed_close(*packed);
        *packed = NULL;
    }
    return status;
}

void lloyd_packed_close(lloyd_packed *packed)
{
    if (!packed) return;
    lloyd_free(packed->border);
    lloyd_free(packed);
}

/* Compressed chunks are not larger than this, unless a compressor was careless. */
static int64_t stored_bytes(int64_t chunk_bytes)
{
    return (int64_t)compressBound((uLong)chunk_bytes);
}

int64_t lloyd_packed_thread_memory(const lloyd_storage *storage)
{
    return storage->chunk_bytes + stored_bytes(storage->chunk_bytes);
}

int64_t lloyd_packed_memory(const lloyd_storage *storage, int64_t row_bytes)
{
    return storage->chunk_rows * row_bytes + CHUNK_INDEX;
}

/* ---- One chunk ------------------------------------------------------------------------------ */

/* What the threads work on: chunks (row, column) for rows of chunks from `first_row` on. A row that
 * the wanted range covers goes to its place in `out`, any other to the border. */
typedef struct job {
    lloyd_packed *packed;
    lloyd_scratch *scratch;
    int64_t first_row;
    int64_t first, count; /* wanted rows of the dataset */
    char *out;            /* they are wanted here; NULL: all goes to the border */
} job;

/* A chunk on its way. */
typedef struct chunk {
    const lloyd_packed *packed;
    int64_t row, column;   /* number of the chunk, down and across */
    int64_t rows, columns; /* of it that lie in the dataset */
    char *target;          /* of its first element; rows are row_bytes apart */
    char *raw, *stored;    /* the thread's buffers: of chunk_bytes; of at least as many */
    int64_t bytes;         /* as stored */
    uint32_t left_out;     /* its filter mask */
} chunk;

static lloyd_status damaged(const chunk *c, const char *what)
{
    const lloyd_packed *p = c->packed;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "cannot read rows %lld to %lld of %s: %s; the file may be damaged or "
                      "the disk failing",
                      (long long)(c->row * p->chunk_rows),
                      (long long)(c->row * p->chunk_rows + c->rows - 1), p->where, what);
}

/* Lets HDF5 read the chunk into the target: one that was never written, most of all, which the
 * functions for single chunks refuse. Where HDF5 fills nothing in, the fill value stays. */
static lloyd_status read_by_hdf5(const chunk *c)
{
    const lloyd_packed *p = c->packed;
    hsize_t at[2] = {(hsize_t)(c->row * p->chunk_rows), (hsize_t)(c->column * p->chunk_columns)},
            size[2] = {(hsize_t)c->rows, (hsize_t)c->columns}, origin[2] = {0, 0},
            target[2] = {(hsize_t)c->rows, (hsize_t)p->columns};
    for (int64_t i = 0; i < c->rows; i++)
        for (int64_t j = 0; j < c->columns; j++)
            memcpy(c->target + i * p->row_bytes + j * p->size, p->fill, (size_t)p->size);
    hid_t type = lloyd_h5_native(p->type), stored = H5Dget_space(p->dataset),
          memory = H5Screate_simple(2, target, NULL);
    int failed = stored < 0 || memory < 0 ||
                 H5Sselect_hyperslab(stored, H5S_SELECT_SET, at, NULL, size, NULL) < 0 ||
                 H5Sselect_hyperslab(memory, H5S_SELECT_SET, origin, NULL, size, NULL) < 0 ||
                 H5Dread(p->dataset, type, memory, stored, H5P_DEFAULT, c->target) < 0;
    char text[256];
    if (failed) lloyd_h5_reason(text, sizeof text);
    H5Tclose(type);
    if (stored >= 0) H5Sclose(stored);
    if (memory >= 0) H5Sclose(memory);
    return failed ? damaged(c, text) : LLOYD_OK;
}

/* The chunk's bytes as they are stored, into the thread's buffer; or *done = 1: its elements are in
 * the target. */
static lloyd_status fetch(chunk *c, lloyd_scratch *scratch, int worker, int *done)
{
    const lloyd_packed *p = c->packed;
    hsize_t at[2] = {(hsize_t)(c->row * p->chunk_rows), (hsize_t)(c->column * p->chunk_columns)},
            bytes = 0;
    int64_t room = stored_bytes(p->chunk_bytes);
    *done = 0;
    LLOYD_H5_SCOPE;
    if (H5Dget_chunk_storage_size(p->dataset, at, &bytes) < 0) bytes = 0;
    if (bytes > 2 * (hsize_t)room)
        return damaged(c, "a chunk is stored in more bytes than it can need");
    c->bytes = (int64_t)bytes;
    if (c->bytes > room) room = c->bytes;
    LLOYD_TRY(lloyd_scratch_buffer(scratch, worker, p->chunk_bytes + room, &c->raw));
    c->stored = c->raw + p->chunk_bytes;
    if (c->bytes > 0 && H5Dread_chunk(p->dataset, H5P_DEFAULT, at, &c->left_out, c->stored) >= 0)
        return LLOYD_OK;
    *done = 1;
    return read_by_hdf5(c);
}

/* Puts `count` elements of constant size in order, of the `all` that were shuffled. */
static inline void gather_bytes(const char *in, int64_t all, int64_t count, int64_t size, char *out)
{
    for (int64_t i = 0; i < count; i++)
        for (int64_t b = 0; b < size; b++) out[i * size + b] = in[b * all + i];
}

static void unshuffle(const char *in, int64_t all, int64_t count, int64_t size, char *out)
{
    switch (size) { /* with the size known, the loops become vector instructions */
    case 1: gather_bytes(in, all, count, 1, out); return;
    case 2: gather_bytes(in, all, count, 2, out); return;
    default: gather_bytes(in, all, count, 4, out); return;
    }
}

static lloyd_status inflate_to(const chunk *c, char *out)
{
    uLongf bytes = (uLongf)c->packed->chunk_bytes;
    int result = uncompress((Bytef *)out, &bytes, (const Bytef *)c->stored, (uLong)c->bytes);
    if (result != Z_OK) return damaged(c, "a chunk does not inflate");
    return (int64_t)bytes == c->packed->chunk_bytes
               ? LLOYD_OK
               : damaged(c, "a chunk inflates to another size than it should have");
}

/* Whether the chunk's rows follow each other in the target as they do in the chunk. */
static int is_whole(const chunk *c)
{
    return c->columns == c->packed->chunk_columns && c->packed->across == 1;
}

/* Copies the elements of a whole chunk to their rows. */
static void copy_rows(const chunk *c, const char *elements)
{
    const lloyd_packed *p = c->packed;
    int64_t stride = p->chunk_columns * p->size;
    for (int64_t i = 0; i < c->rows; i++)
        memcpy(c->target + i * p->row_bytes, elements + i * stride, (size_t)(c->columns * p->size));
}

/* The stored chunk into the target, which is written to directly where the order allows it. */
static lloyd_status unpack(const chunk *c)
{
    const lloyd_packed *p = c->packed;
    int shuffled = p->filters.shuffle && !(c->left_out & p->filters.shuffle);
    char *packed = c->stored;
    if (p->filters.deflate && !(c->left_out & p->filters.deflate)) {
        packed = is_whole(c) && c->rows == p->chunk_rows && !shuffled ? c->target : c->raw;
        LLOYD_TRY(inflate_to(c, packed));
    } else if (c->bytes != p->chunk_bytes) {
        return damaged(c, "a chunk is stored in another number of bytes than it should have");
    }
    if (packed == c->target) return LLOYD_OK;
    int64_t all = p->chunk_rows * p->chunk_columns;
    if (shuffled && is_whole(c)) {
        unshuffle(packed, all, c->rows * p->columns, p->size, c->target);
    } else if (shuffled) {
        char *elements = packed == c->raw ? c->stored : c->raw;
        unshuffle(packed, all, all, p->size, elements);
        copy_rows(c, elements);
    } else {
        copy_rows(c, packed);
    }
    return LLOYD_OK;
}

/* Rows of the dataset in row of chunks `row`. */
static int64_t rows_in(const lloyd_packed *p, int64_t row)
{
    int64_t left = p->rows - row * p->chunk_rows;
    return left < p->chunk_rows ? left : p->chunk_rows;
}

static int is_covered(const lloyd_packed *p, int64_t row, int64_t first, int64_t count)
{
    int64_t begin = row * p->chunk_rows;
    return begin >= first && begin + rows_in(p, row) <= first + count;
}

static lloyd_status unpack_piece(void *task, int64_t piece, int worker)
{
    const job *j = task;
    const lloyd_packed *p = j->packed;
    chunk c = {.packed = p, .row = j->first_row + piece / p->across, .column = piece % p->across};
    int64_t left = p->columns - c.column * p->chunk_columns;
    c.rows = rows_in(p, c.row);
    c.columns = left < p->chunk_columns ? left : p->chunk_columns;
    int wanted = j->out && is_covered(p, c.row, j->first, j->count);
    c.target = wanted ? j->out + (c.row * p->chunk_rows - j->first) * p->row_bytes : p->border;
    c.target += c.column * p->chunk_columns * p->size;
    int done;
    LLOYD_TRY(fetch(&c, j->scratch, worker, &done));
    return done ? LLOYD_OK : unpack(&c);
}

/* ---- All of them ---------------------------------------------------------------------------- */

static lloyd_status need_border(lloyd_packed *p)
{
    p->border_row = -1; /* until it is complete */
    if (p->border) return LLOYD_OK;
    return lloyd_alloc(&p->border, p->chunk_rows, (size_t)p->row_bytes, "a row of chunks");
}

/* The part of the border that is wanted. */
static void copy_border(const lloyd_packed *p, int64_t first, int64_t count, char *out)
{
    int64_t begin = p->border_row * p->chunk_rows, end = begin + rows_in(p, p->border_row);
    int64_t from = begin > first ? begin : first, to = end < first + count ? end : first + count;
    memcpy(out + (from - first) * p->row_bytes, p->border + (from - begin) * p->row_bytes,
           (size_t)((to - from) * p->row_bytes));
}

/* The row of chunks that the range begins in the middle of. */
static lloyd_status read_head(lloyd_packed *p, lloyd_scratch *scratch, int64_t row)
{
    if (p->border_row == row) return LLOYD_OK;
    LLOYD_TRY(need_border(p));
    job head = {.packed = p, .scratch = scratch, .first_row = row};
    LLOYD_TRY(lloyd_pool_run(scratch->pool, p->across, unpack_piece, &head));
    p->border_row = row;
    return LLOYD_OK;
}

lloyd_status lloyd_packed_read(lloyd_packed *packed, lloyd_scratch *scratch, int64_t first,
                               int64_t count, char *out)
{
    lloyd_packed *p = packed;
    int64_t row = first / p->chunk_rows, last = (first + count - 1) / p->chunk_rows;
    if (!is_covered(p, row, first, count)) {
        LLOYD_TRY(read_head(p, scratch, row));
        copy_border(p, first, count, out);
        row++;
    }
    if (row > last) return LLOYD_OK;
    int tail = !is_covered(p, last, first, count); /* goes to the border, and from there */
    if (tail) LLOYD_TRY(need_border(p));
    job all = {p, scratch, row, first, count, out};
    LLOYD_TRY(lloyd_pool_run(scratch->pool, (last - row + 1) * p->across, unpack_piece, &all));
    if (tail) {
        p->border_row = last;
        copy_border(p, first, count, out);
    }
    return LLOYD_OK;
}
