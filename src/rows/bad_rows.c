/* See bad_rows.h. */
#include "rows/bad_rows.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/stop.h"
#include "rows/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_BYTES = 16 << 20, WRITE_ELEMENTS = 1 << 16, NAMED = 3 };

/* ---- Looking --------------------------------------------------------------------------------- */

enum { SOUND, NOT_FINITE, ZERO };

/* What is found: runs of bad rows, as pairs (first, count) of their numbers in the dataset, and how many there
 * are of each kind. */
typedef struct findings {
    int64_t *pairs, count, room;
    lloyd_bad_rows bad;
    int wanted; /* 1: the runs too */
} findings;

/* What a row of floating-point numbers is whose elements have these bits of exponent, and all but the
 * sign. */
#define LOOK(type, exponent, magnitude)                                                            \
    do {                                                                                           \
        const type *row = data;                                                                    \
        type bits = 0;                                                                             \
        for (int64_t j = 0; j < dim; j++) {                                                        \
            wrong |= (row[j] & (exponent)) == (exponent);                                          \
            bits |= row[j] & (magnitude);                                                          \
        }                                                                                          \
        zero = bits == 0;                                                                          \
    } while (0)

static unsigned char look_at(lloyd_type type, const void *data, int64_t dim, int cosine)
{
    int wrong = 0, zero = 0;
    switch (type) {
    case LLOYD_F32: LOOK(uint32_t, 0x7f800000U, 0x7fffffffU); break;
    case LLOYD_F16: LOOK(uint16_t, 0x7c00, 0x7fff); break;
    case LLOYD_BF16: LOOK(uint16_t, 0x7f80, 0x7fff); break;
    case LLOYD_U8:
    case LLOYD_I8: LOOK(uint8_t, 0x100, 0xff); break; /* no exponent is that large */
    }
    return wrong ? NOT_FINITE : zero && cosine ? ZERO : SOUND;
}

static lloyd_status add_row(findings *f, int64_t row)
{
    int64_t *last = f->count > 0 ? f->pairs + 2 * (f->count - 1) : NULL;
    if (!f->wanted) return LLOYD_OK;
    if (last && last[0] + last[1] == row) {
        last[1]++;
        return LLOYD_OK;
    }
    if (!f->pairs || f->count == f->room) {
        int64_t room = f->room ? 2 * f->room : 64;
        int64_t *pairs = realloc(f->pairs, (size_t)room * 2 * sizeof *pairs);
        if (!pairs) return lloyd_fail(LLOYD_FAILED, "out of memory for the list of bad rows");
        f->pairs = pairs;
        f->room = room;
    }
    f->pairs[2 * f->count] = row;
    f->pairs[2 * f->count++ + 1] = 1;
    return LLOYD_OK;
}

static lloyd_status collect(const lloyd_rows *rows, const unsigned char *kind, int64_t first,
                            int64_t count, findings *f)
{
    for (int64_t i = 0; i < count; i++) {
        if (kind[i] == SOUND) continue;
        f->bad.not_finite += kind[i] == NOT_FINITE;
        f->bad.zero += kind[i] == ZERO;
        LLOYD_TRY(add_row(f, lloyd_rows_original(rows, first + i)));
    }
    return LLOYD_OK;
}

static lloyd_status look_at_all(lloyd_rows *rows, int64_t first, int64_t count, int cosine,
                                char *buffer, unsigned char *kind, int64_t piece, findings *f)
{
    lloyd_type type = lloyd_rows_type(rows);
    int64_t dim = lloyd_rows_dim(rows), row_bytes = dim * (int64_t)lloyd_type_size(type);
    for (int64_t at = 0; at < count; at += piece) {
        int64_t here = count - at < piece ? count - at : piece;
        LLOYD_TRY(lloyd_stop_check());
        LLOYD_TRY(lloyd_rows_read(rows, first + at, here, buffer));
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < here; i++)
            kind[i] = look_at(type, buffer + i * row_bytes, dim, cosine);
        LLOYD_TRY(collect(rows, kind, first + at, here, f));
    }
    return lloyd_rows_check(rows, first, count);
}

static lloyd_status find(lloyd_rows *rows, int64_t first, int64_t count, int cosine, findings *f)
{
    lloyd_type type = lloyd_rows_type(rows);
    int64_t row_bytes = lloyd_rows_dim(rows) * (int64_t)lloyd_type_size(type);
    int64_t piece = row_bytes < BUFFER_BYTES ? BUFFER_BYTES / row_bytes : 1;
    if (piece > count) piece = count;
    if (count == 0 || (!cosine && (type == LLOYD_U8 || type == LLOYD_I8))) return LLOYD_OK;
    char *buffer = NULL;
    unsigned char *kind = NULL;
    lloyd_status status = lloyd_alloc(&buffer, piece, (size_t)row_bytes, "rows to look at");
    if (status == LLOYD_OK) status = lloyd_alloc(&kind, piece, 1, "rows to look at");
    if (status == LLOYD_OK)
        status = look_at_all(rows, first, count, cosine, buffer, kind, piece, f);
    lloyd_free(buffer);
    lloyd_free(kind);
    return status;
}

static lloyd_status sum_up(lloyd_comm *comm, lloyd_bad_rows *bad)
{
    int64_t both[2] = {bad->not_finite, bad->zero};
    LLOYD_TRY(lloyd_comm_sum_host(comm, both, 2));
    *bad = (lloyd_bad_rows){.not_finite = both[0], .zero = both[1]};
    return LLOYD_OK;
}

lloyd_status lloyd_bad_rows_count(lloyd_comm *comm, lloyd_rows *rows, int64_t first, int64_t count,
                                  int cosine, lloyd_bad_rows *bad)
{
    findings f = {.wanted = 0};
    LLOYD_TRY(comm->agree(comm, find(rows, first, count, cosine, &f)));
    *bad = f.bad;
    return sum_up(comm, bad);
}

/* ---- Leaving out ----------------------------------------------------------------------------- */

/* The runs of all ranks, in order; every rank has put its own at their place. */
static lloyd_status gather(lloyd_comm *comm, const findings *f, int64_t **pairs, int64_t *count)
{
    int64_t before = f->count;
    *count = f->count;
    LLOYD_TRY(lloyd_comm_sum_host(comm, count, 1));
    LLOYD_TRY(comm->exclusive_scan(comm, &before));
    LLOYD_TRY(lloyd_comm_alloc(comm, pairs, 2 * *count, sizeof **pairs, "the list of bad rows"));
    if (f->count > 0) memcpy(*pairs + 2 * before, f->pairs, (size_t)f->count * 2 * sizeof **pairs);
    return *count > 0 ? lloyd_comm_sum_host(comm, *pairs, 2 * *count) : LLOYD_OK;
}

/* "a.h5:/train row 3, a.h5:/train row 17 and more" */
static void name_first(const lloyd_rows *rows, const int64_t *pairs, int64_t count, int64_t all,
                       char *text, size_t bytes)
{
    int named = 0;
    *text = '\0';
    for (int64_t i = 0; i < count && named < NAMED; i++) {
        for (int64_t r = 0; r < pairs[2 * i + 1] && named < NAMED; r++) {
            size_t used = strlen(text);
            if (named++ > 0) used += (size_t)snprintf(text + used, bytes - used, ", ");
            lloyd_rows_where_stored(rows, pairs[2 * i] + r, text + used, bytes - used);
        }
    }
    size_t used = strlen(text);
    if (all > named) snprintf(text + used, bytes - used, " and more");
}

static lloyd_status report(const lloyd_rows *rows, const int64_t *pairs, int64_t count,
                           const lloyd_bad_rows *bad, int cosine)
{
    int64_t all = bad->not_finite + bad->zero, n = lloyd_rows_count(rows);
    char text[1600], kinds[64] = "";
    if (all == n) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "all %lld rows are bad: they hold NaN or infinity%s; nothing is left to "
                          "cluster",
                          (long long)n, cosine ? ", or zeros only" : "");
    }
    if (all == 0) return LLOYD_OK;
    if (cosine)
        snprintf(kinds, sizeof kinds, " (%lld NaN or infinite, %lld all zeros)",
                 (long long)bad->not_finite, (long long)bad->zero);
    name_first(rows, pairs, count, all, text, sizeof text);
    lloyd_note("%lld of %lld rows %s skipped%s: %s", (long long)all, (long long)n,
               all == 1 ? "is" : "are", kinds, text);
    return LLOYD_OK;
}

static lloyd_status find_all(lloyd_comm *comm, lloyd_rows *rows, int cosine, findings *f,
                             int64_t **pairs, int64_t *count)
{
    int64_t n = lloyd_rows_count(rows), first = lloyd_shard_first(n, comm->rank, comm->size);
    int64_t end = lloyd_shard_first(n, comm->rank + 1, comm->size);
    LLOYD_TRY(comm->agree(comm, find(rows, first, end - first, cosine, f)));
    LLOYD_TRY(sum_up(comm, &f->bad));
    LLOYD_TRY(gather(comm, f, pairs, count));
    return comm->agree(comm, report(rows, *pairs, *count, &f->bad, cosine));
}

lloyd_status lloyd_bad_rows_find(lloyd_comm *comm, lloyd_rows *rows, int cosine, int64_t **pairs,
                                 int64_t *count)
{
    findings f = {.wanted = 1};
    *pairs = NULL;
    *count = 0;
    lloyd_status status = find_all(comm, rows, cosine, &f, pairs, count);
    free(f.pairs);
    if (status == LLOYD_OK) return LLOYD_OK;
    lloyd_free(*pairs);
    *pairs = NULL;
    return status;
}

lloyd_status lloyd_bad_rows_skip(lloyd_comm *comm, lloyd_rows *rows, int cosine)
{
    int64_t *pairs, count;
    LLOYD_TRY(lloyd_bad_rows_find(comm, rows, cosine, &pairs, &count));
    lloyd_status status = comm->agree(comm, lloyd_rows_skip(rows, pairs, count));
    lloyd_free(pairs);
    return status;
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* What is still to be written: rows [row, last) that stay, with their elements. */
typedef struct rest {
    int64_t row, last;
    const char *data;
    size_t size;
    const void *skipped;
} rest;

/* The elements of places [begin, end) of the dataset. */
static void spread(const lloyd_rows *rows, int64_t begin, int64_t end, rest *r, char *out)
{
    for (int64_t place = begin; place < end;) {
        int64_t next = r->row < r->last ? lloyd_rows_original(rows, r->row) : end;
        for (; place < next && place < end; place++, out += r->size)
            memcpy(out, r->skipped, r->size);
        if (place == end) return;
        int64_t run = lloyd_rows_run(rows, r->row, r->last - r->row);
        if (run > end - place) run = end - place;
        size_t bytes = (size_t)run * r->size;
        memcpy(out, r->data, bytes);
        out += bytes;
        r->data += bytes;
        r->row += run;
        place += run;
    }
}

static lloyd_status write_spread(const lloyd_rows *rows, lloyd_array *array, int64_t first,
                                 int64_t count, const char *data, size_t size, const void *skipped)
{
    char *buffer = NULL;
    int64_t last = first + count, n = lloyd_rows_count(rows);
    rest r = {first, last, data, size, skipped};
    int64_t place = first == 0 ? 0 : lloyd_rows_original(rows, first - 1) + 1;
    int64_t end =
        last == n ? n + lloyd_rows_skipped(rows) : lloyd_rows_original(rows, last - 1) + 1;
    LLOYD_TRY(lloyd_alloc(&buffer, WRITE_ELEMENTS, size, "results to write"));
    lloyd_status status = LLOYD_OK;
    while (place < end && status == LLOYD_OK) {
        int64_t here = end - place < WRITE_ELEMENTS ? end - place : WRITE_ELEMENTS;
        spread(rows, place, place + here, &r, buffer);
        status = lloyd_array_write(array, place, here, buffer);
        place += here;
    }
    lloyd_free(buffer);
    return status;
}

lloyd_status lloyd_bad_rows_write(const lloyd_rows *rows, lloyd_array *array, int64_t first,
                                  int64_t count, const void *data, size_t size, const void *skipped)
{
    if (count == 0) return LLOYD_OK;
    if (lloyd_rows_skipped(rows) == 0) return lloyd_array_write(array, first, count, data);
    return write_spread(rows, array, first, count, data, size, skipped);
}
