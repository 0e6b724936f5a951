/* See layout.h. */
#include "rows/layout.h"

enum {
    STREAM_BYTES = 64 << 20,      /* of a chunk that CPUs work on */
    GPU_STREAM_BYTES = 256 << 20, /* shorter ones leave the GPU idle between kernels */
    LEAST_BYTES = 1 << 18,        /* chunks are not made smaller than this to fit a limit */
    STAGED_BYTES = 32 << 20,      /* of a buffer that rows pass through once */
    PAGE = 4096
};

static const int64_t most_rows = (int64_t)1 << 30; /* of a slot */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* How many rows fit into `bytes`: from 1 to as many as a slot can hold or there are. */
static int64_t rows_in(int64_t bytes, int64_t row_bytes, int64_t rows)
{
    int64_t fit = least(least(bytes / row_bytes, most_rows), rows);
    return fit < 1 ? 1 : fit;
}

lloyd_layout lloyd_layout_streamed(int64_t rows, int64_t row_bytes, int copies, int64_t chunk_rows)
{
    chunk_rows = least(least(chunk_rows, most_rows), rows);
    if (chunk_rows < 1) chunk_rows = 1;
    return (lloyd_layout){
        .rows = rows,
        .row_bytes = row_bytes,
        .copies = copies,
        .chunk_rows = chunk_rows,
        .chunks = rows / chunk_rows + (rows % chunk_rows > 0),
    };
}

lloyd_layout lloyd_layout_fixed(int64_t rows, int64_t row_bytes, int copies)
{
    lloyd_layout layout = lloyd_layout_streamed(rows, row_bytes, copies, most_rows);
    layout.fixed = layout.chunks;
    return layout;
}

/* --- homes --- */

/* Of `total` things in a row, `marked` are marked, as evenly as can be: how many of the first
 * `count` are. */
static int64_t marked_before(int64_t count, int64_t marked, int64_t total)
{
    return total > 0 ? (int64_t)((__int128)count * marked / total) : 0;
}

lloyd_home lloyd_layout_home(const lloyd_layout *l, int64_t chunk, int64_t *index)
{
    int64_t fixed = marked_before(chunk, l->fixed, l->chunks);
    *index = fixed;
    if (marked_before(chunk + 1, l->fixed, l->chunks) > fixed) return LLOYD_FIXED;
    int64_t passing = chunk - fixed, all = l->chunks - l->fixed;
    int64_t pinned = marked_before(passing, l->pinned, all);
    *index = pinned;
    if (marked_before(passing + 1, l->pinned, all) > pinned) return LLOYD_PINNED;
    *index = passing - pinned;
    return LLOYD_STREAMED;
}

int64_t lloyd_layout_chunk_rows(const lloyd_layout *l, int64_t chunk)
{
    return least(l->chunk_rows, l->rows - chunk * l->chunk_rows);
}

static int64_t chunks_of(const lloyd_layout *l, lloyd_home home)
{
    if (home == LLOYD_FIXED) return l->fixed;
    return home == LLOYD_PINNED ? l->pinned : l->chunks - l->fixed - l->pinned;
}

int64_t lloyd_layout_rows(const lloyd_layout *l, lloyd_home home)
{
    int64_t index, chunks = chunks_of(l, home), rows = chunks * l->chunk_rows;
    if (chunks == 0 || lloyd_layout_home(l, l->chunks - 1, &index) != home) return rows;
    return rows - (l->chunks * l->chunk_rows - l->rows); /* the last chunk is shorter */
}

/* --- what chunks pass through --- */

int lloyd_layout_passing_slots(const lloyd_layout *l)
{
    return (int)least(l->chunks - l->fixed, LLOYD_AHEAD);
}

int lloyd_layout_slots(const lloyd_layout *l)
{
    int passing = lloyd_layout_passing_slots(l);
    return (int)l->fixed + passing + (passing > 0);
}

int lloyd_layout_buffers(const lloyd_layout *l, int64_t *rows)
{
    int64_t streamed = chunks_of(l, LLOYD_STREAMED), fixed = lloyd_layout_rows(l, LLOYD_FIXED);
    *rows = l->chunk_rows;
    if (streamed > 0) return (int)least(streamed, LLOYD_AHEAD);
    if (!l->copies || fixed == 0) return 0;
    *rows = rows_in(STAGED_BYTES, l->row_bytes, l->chunk_rows);
    return (int)least((fixed + *rows - 1) / *rows, LLOYD_AHEAD);
}

int64_t lloyd_layout_buffer_bytes(const lloyd_layout *l)
{
    int64_t rows;
    if (lloyd_layout_buffers(l, &rows) == 0) return 0;
    return (rows * l->row_bytes + PAGE - 1) / PAGE * PAGE;
}

lloyd_bytes lloyd_layout_bytes(const lloyd_layout *l)
{
    int64_t rows, passing = lloyd_layout_passing_slots(l);
    lloyd_bytes bytes = {.host = lloyd_layout_buffers(l, &rows) * lloyd_layout_buffer_bytes(l)};
    int64_t fixed = lloyd_layout_rows(l, LLOYD_FIXED) * l->row_bytes;
    if (!l->copies) {
        bytes.host += fixed;
        return bytes;
    }
    bytes.host += lloyd_layout_rows(l, LLOYD_PINNED) * l->row_bytes;
    bytes.gpu = fixed + (passing * l->chunk_rows + (passing > 0)) * l->row_bytes;
    return bytes;
}

/* --- the choice --- */

typedef struct chooser {
    lloyd_bytes limit;
    lloyd_layout_need need;
    const void *context;
} chooser;

/* What is left of the limit; negative: it does not fit. */
static lloyd_bytes left(const chooser *c, const lloyd_layout *l)
{
    lloyd_bytes rows = lloyd_layout_bytes(l), rest = c->need(c->context, l->chunk_rows);
    return (lloyd_bytes){c->limit.host - rows.host - rest.host, c->limit.gpu - rows.gpu - rest.gpu};
}

static int fits(const chooser *c, const lloyd_layout *l)
{
    lloyd_bytes room = left(c, l);
    return room.host >= 0 && (!l->copies || room.gpu >= 0);
}

/* Whether what chunks pass through takes no more than an eighth of what there is for rows. */
static int leaves_room(const chooser *c, const lloyd_layout *l)
{
    lloyd_bytes room = left(c, l), buffers = lloyd_layout_bytes(l);
    return buffers.host <= room.host / 7 && (!l->copies || buffers.gpu <= room.gpu / 7);
}

/* Streams in the largest usual chunks that leave room for others to stay, else in the smallest. */
static lloyd_layout choose_chunks(const chooser *c, int64_t rows, int64_t row_bytes, int copies)
{
    int64_t chunk = rows_in(copies ? GPU_STREAM_BYTES : STREAM_BYTES, row_bytes, rows);
    int64_t smallest = rows_in(LEAST_BYTES, row_bytes, rows);
    for (;; chunk = chunk / 2 > smallest ? chunk / 2 : smallest) {
        lloyd_layout layout = lloyd_layout_streamed(rows, row_bytes, copies, chunk);
        if (chunk == smallest || leaves_room(c, &layout)) return layout;
    }
}

/* *home = as many chunks, of `all`, as fit. What fits by their size is where to begin: the last
 * chunk may be short, and if few are left to pass through, so are their slots and buffers. */
static void fill(const chooser *c, lloyd_layout *l, int64_t *home, int64_t room, int64_t all)
{
    *home = all;
    if (fits(c, l)) return;
    *home = least(room / (l->chunk_rows * l->row_bytes), all - 1);
    do ++*home;
    while (*home < all && fits(c, l));
    --*home;
}

int lloyd_layout_choose(int64_t rows, int64_t row_bytes, int copies, lloyd_bytes limit,
                        lloyd_layout_need need, const void *context, lloyd_layout *layout)
{
    const chooser c = {limit, need, context};
    *layout = lloyd_layout_fixed(rows, row_bytes, copies);
    if (fits(&c, layout)) return 1;
    *layout = choose_chunks(&c, rows, row_bytes, copies);
    if (layout->chunks == 0 || !fits(&c, layout)) return 0;
    lloyd_bytes room = left(&c, layout);
    fill(&c, layout, &layout->fixed, copies ? room.gpu : room.host, layout->chunks);
    if (!copies || layout->fixed == layout->chunks) return 1;
    room = left(&c, layout);
    fill(&c, layout, &layout->pinned, room.host, layout->chunks - layout->fixed);
    return 1;
}

lloyd_layout lloyd_layout_once(int64_t rows, int64_t row_bytes, int copies, lloyd_bytes limit,
                               lloyd_layout_need need, const void *context)
{
    const chooser c = {limit, need, context};
    return choose_chunks(&c, rows, row_bytes, copies);
}
