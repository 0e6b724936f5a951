/* Reads are cut into pieces that begin at round offsets of the file. Without the page cache,
 * offset, length and memory must be multiples of a block: a piece is then read into the thread's
 * own buffer, from the block it begins in to the one it ends in, and copied. The copy costs little
 * beside a disk, and is needed for nearly every dataset, since HDF5 places none on a block's
 * border. */
#include "io/readers/extents.h"

#include "base/log.h"
#include "base/memory.h"
#include "io/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int64_t BLOCK = LLOYD_SCRATCH_ALIGNMENT;
static const int64_t PIECE = (int64_t)4 << 20;   /* of a large read */
static const int64_t LEAST = (int64_t)512 << 10; /* worth waking a thread for */

struct lloyd_extents {
    lloyd_extents_of of;
    int unbuffered;
    int opened; /* the extent whose file is open, -1: none */
    int descriptor;
};

/* Opens without the page cache, with it where the file system knows no other way. */
static int open_unbuffered(const char *path)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (descriptor >= 0 || errno != EINVAL) return descriptor;
    lloyd_note("the file system cannot read without its page cache (LLOYD_DIRECT_IO)");
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* A descriptor of ours for the very file that HDF5 has open, whatever its name means by now. */
static int open_same(int descriptor, int unbuffered)
{
    char path[64];
    if (!unbuffered) return fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    return open_unbuffered(path);
}

lloyd_status lloyd_extents_open(const lloyd_extents_of *of, int unbuffered, lloyd_extents **extents)
{
    LLOYD_TRY(lloyd_alloc(extents, 1, sizeof **extents, "a file of rows"));
    lloyd_extents *e = *extents;
    e->of = *of;
    e->unbuffered = unbuffered;
    e->opened = e->descriptor = -1;
    if (of->descriptor < 0) return LLOYD_OK;
    e->opened = 0;
    e->descriptor = open_same(of->descriptor, unbuffered);
    if (e->descriptor >= 0) return LLOYD_OK;
    lloyd_free(e);
    *extents = NULL;
    return lloyd_fail(LLOYD_FAILED, "cannot open %s once more: %s", of->items[0].path,
                      strerror(errno));
}

void lloyd_extents_close(lloyd_extents *extents)
{
    if (!extents) return;
    if (extents->descriptor >= 0) close(extents->descriptor);
    lloyd_free(extents);
}

int64_t lloyd_extents_memory(int unbuffered)
{
    return unbuffered ? PIECE + 2 * BLOCK : 0;
}

/* ---- One extent ----------------------------------------------------------------------------- */

/* A read of bytes that lie together. */
typedef struct stretch {
    const lloyd_extents *extents;
    lloyd_scratch *scratch;
    const char *path;
    int64_t offset, bytes; /* in the file */
    int64_t first;         /* the same place in the dataset */
    int64_t base, piece;   /* piece i is [base + i * piece, + piece) of the file */
    char *out;
} stretch;

/* The row at an offset of the file. */
static long long row_at(const stretch *s, int64_t offset)
{
    return (long long)((s->first + offset - s->offset) / s->extents->of.row_bytes);
}

static lloyd_status failed(const stretch *s, int64_t offset)
{
    return lloyd_fail(LLOYD_FAILED,
                      "cannot read row %lld of %s, at byte %lld of %s: %s; the disk or the "
                      "network may be failing",
                      row_at(s, offset), s->extents->of.where, (long long)offset, s->path,
                      strerror(errno));
}

static lloyd_status too_short(const stretch *s, int64_t end)
{
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "cannot read row %lld of %s: %s ends after %lld bytes, too early; it was "
                      "truncated or not copied completely",
                      row_at(s, end), s->extents->of.where, s->path, (long long)end);
}

/* Reads [from, to) of the file to `out`, which has room for [from, limit). With `block` > 1 every
 * call begins at a multiple of it. */
static lloyd_status read_bytes(const stretch *s, int64_t from, int64_t to, int64_t limit,
                               int64_t block, char *out)
{
    int64_t at = from;
    while (at < to) {
        ssize_t got = pread(s->extents->descriptor, out + (at - from), (size_t)(limit - at), at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return failed(s, at < s->offset ? s->offset : at);
        int64_t next = at + got;
        if (next < to) next -= next % block;
        if (next <= at) return too_short(s, at + got);
        at = next;
    }
    return LLOYD_OK;
}

static lloyd_status read_piece(void *task, int64_t number, int worker)
{
    const stretch *s = task;
    int64_t from = s->base + number * s->piece, to = from + s->piece, end = s->offset + s->bytes;
    if (from < s->offset) from = s->offset;
    if (to > end) to = end;
    char *out = s->out + (from - s->offset), *buffer;
    if (!s->extents->unbuffered) return read_bytes(s, from, to, to, 1, out);
    int64_t low = from - from % BLOCK, high = to + (BLOCK - to % BLOCK) % BLOCK;
    LLOYD_TRY(lloyd_scratch_buffer(s->scratch, worker, lloyd_extents_memory(1), &buffer));
    LLOYD_TRY(read_bytes(s, low, to, high, BLOCK, buffer));
    memcpy(out, buffer + (from - low), (size_t)(to - from));
    return LLOYD_OK;
}

/* Large pieces, but for a small read as many as there are threads. */
static int64_t choose_piece(const stretch *s)
{
    int64_t share = s->bytes / s->scratch->threads;
    if (share >= PIECE) return PIECE;
    return share < LEAST ? LEAST : share + (BLOCK - share % BLOCK) % BLOCK;
}

static lloyd_status read_stretch(stretch *s)
{
    s->piece = choose_piece(s);
    s->base = s->offset - s->offset % BLOCK;
    int64_t pieces = (s->offset + s->bytes - s->base + s->piece - 1) / s->piece;
    return lloyd_pool_run(s->scratch->pool, pieces, read_piece, s);
}

/* ---- All of them ---------------------------------------------------------------------------- */

/* Keeps one external file open: rows are mostly read in order. */
static lloyd_status use_extent(lloyd_extents *e, int i)
{
    if (e->opened == i) return LLOYD_OK;
    if (e->descriptor >= 0) close(e->descriptor);
    e->opened = -1;
    const char *path = e->of.items[i].path;
    e->descriptor = e->unbuffered ? open_unbuffered(path) : open(path, O_RDONLY | O_CLOEXEC);
    if (e->descriptor < 0) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "cannot read %s: its data lies in the file %s, which cannot be opened: %s", e->of.where,
            path, strerror(errno));
    }
    e->opened = i;
    return LLOYD_OK;
}

lloyd_status lloyd_extents_read(lloyd_extents *extents, lloyd_scratch *scratch, int64_t first,
                                int64_t bytes, char *out)
{
    int64_t begin = 0; /* of the extent, in the dataset */
    for (int i = 0; i < extents->of.count && bytes > 0; i++) {
        const lloyd_extent *extent = &extents->of.items[i];
        int64_t skip = first - begin, here = extent->bytes - skip;
        begin += extent->bytes;
        if (here <= 0) continue;
        if (here > bytes) here = bytes;
        LLOYD_TRY(use_extent(extents, i));
        stretch s = {.extents = extents,
                     .scratch = scratch,
                     .path = extent->path,
                     .offset = extent->offset + skip,
                     .bytes = here,
                     .first = first,
                     .out = out};
        LLOYD_TRY(read_stretch(&s));
        first += here;
        out += here;
        bytes -= here;
    }
    return LLOYD_OK;
}

/* ---- Rows that lie apart -------------------------------------------------------------------- */

enum { TOGETHER = 256 << 10, NEAR = 16 << 10 }; /* bytes that one call reads; of a gap */

typedef struct picking {
    lloyd_extents *extents;
    lloyd_scratch *scratch;
    const int64_t *numbers;
    int64_t base, count, piece; /* numbers of a piece */
    char *out;
} picking;

int64_t lloyd_extents_pick_memory(int64_t row_bytes)
{
    return (row_bytes < TOGETHER ? TOGETHER : row_bytes) + 2 * BLOCK;
}

/* Numbers [0, count), which lie near each other in one extent, in one read. */
static lloyd_status pick_near(const picking *p, const int64_t *numbers, int64_t count, int worker,
                              char *out)
{
    const int64_t row = p->extents->of.row_bytes, all = numbers[count - 1] - numbers[0] + 1;
    const lloyd_extent *extent = &p->extents->of.items[0];
    stretch s = {.extents = p->extents,
                 .scratch = p->scratch,
                 .path = extent->path,
                 .first = (numbers[0] - p->base) * row};
    s.offset = extent->offset + s.first;
    s.bytes = all * row;
    const int64_t end = s.offset + s.bytes;
    char *buffer;
    if (all == count && !p->extents->unbuffered) return read_bytes(&s, s.offset, end, end, 1, out);
    int64_t low = s.offset, high = end, block = 1;
    if (p->extents->unbuffered) {
        block = BLOCK;
        low -= low % BLOCK;
        high += (BLOCK - high % BLOCK) % BLOCK;
    }
    LLOYD_TRY(lloyd_scratch_buffer(p->scratch, worker, lloyd_extents_pick_memory(row), &buffer));
    LLOYD_TRY(read_bytes(&s, low, end, high, block, buffer));
    for (int64_t i = 0; i < count; i++)
        memcpy(out + i * row, buffer + (s.offset - low) + (numbers[i] - numbers[0]) * row,
               (size_t)row);
    return LLOYD_OK;
}

static lloyd_status pick_piece(void *task, int64_t piece, int worker)
{
    const picking *p = task;
    const int64_t row = p->extents->of.row_bytes, most = row < TOGETHER ? TOGETHER / row : 1;
    int64_t at = piece * p->piece, end = at + p->piece < p->count ? at + p->piece : p->count;
    for (int64_t here; at < end; at += here) {
        here = lloyd_kept_span(p->numbers + at, end - at, NEAR / row, most);
        LLOYD_TRY(pick_near(p, p->numbers + at, here, worker, p->out + at * row));
    }
    return LLOYD_OK;
}

/* Where several files hold the rows, one after the other. */
static lloyd_status pick_in_order(const picking *p)
{
    const int64_t row = p->extents->of.row_bytes;
    for (int64_t at = 0, here; at < p->count; at += here) {
        here = lloyd_kept_run(p->numbers + at, p->count - at);
        LLOYD_TRY(lloyd_extents_read(p->extents, p->scratch, (p->numbers[at] - p->base) * row,
                                     here * row, p->out + at * row));
    }
    return LLOYD_OK;
}

lloyd_status lloyd_extents_pick(lloyd_extents *extents, lloyd_scratch *scratch,
                                const int64_t *numbers, int64_t base, int64_t count, char *out)
{
    const int64_t row = extents->of.row_bytes;
    picking p = {extents, scratch, numbers, base, count, row < TOGETHER ? TOGETHER / row : 1, out};
    if (lloyd_kept_run(numbers, count) == count || extents->of.count != 1) return pick_in_order(&p);
    LLOYD_TRY(use_extent(extents, 0));
    return lloyd_pool_run(scratch->pool, (count + p.piece - 1) / p.piece, pick_piece, &p);
}

lloyd_status lloyd_extents_copy(const lloyd_extents *extents, int64_t first, int64_t bytes,
                                char *out)
{
    const lloyd_extent *extent = &extents->of.items[0];
    const stretch s = {.extents = extents,
                       .path = extent->path,
                       .offset = extent->offset + first,
                       .bytes = bytes,
                       .first = first};
    return read_bytes(&s, s.offset, s.offset + bytes, s.offset + bytes, 1, out);
}
