/* See pipeline.h.
 *
 * Loads are numbered; load i goes through passing slot i modulo their number, and its chunk is the
 * one after that of load i - 1 unless somebody asked for another. Loads [given, started) are on
 * their way. A slot that was given out is free again when the next chunk is asked for: what was
 * asked of it comes before the copy that load_start() enqueues.
 *
 * What is started for the next pass brings all rows, since nothing is known yet of what that will need.
 */
#include "rows/pipeline.h"

#include "base/memory.h"
#include "base/stop.h"
#include "io/readahead.h"

typedef struct passing_slot {
    int64_t chunk;
    int64_t pass; /* that it was started for */
    lloyd_load_need need;
    int buffer; /* that it is copied from or used in, -1: none */
} passing_slot;

struct lloyd_pipeline {
    lloyd_pipeline_ends ends;
    const lloyd_layout *layout;
    lloyd_kernels *kernels;

    int slots;
    passing_slot slot[LLOYD_AHEAD];
    int64_t given, started;

    int64_t pass, reached; /* which pass it is, and the last chunk that it has come to */

    int buffers;
    int64_t buffer_rows;
    void *memory; /* of the buffers */
    lloyd_readahead *readahead;
    int64_t queue[LLOYD_AHEAD]; /* chunks that are being read ahead: [taken, queued) */
    int64_t taken, queued;
};

/* --- in which order chunks come --- */

/* The first chunk from `chunk` on that has this home; without wrapping round, the number of chunks
 * if there is none. */
static int64_t next_of(const lloyd_pipeline *p, lloyd_home home, int64_t chunk, int wrap)
{
    int64_t index, chunks = p->layout->chunks;
    for (int64_t i = 0; i < chunks; i++) {
        int64_t at = chunk + i;
        if (at >= chunks && !wrap) return chunks;
        at %= chunks;
        if (lloyd_layout_home(p->layout, at, &index) == home) return at;
    }
    return chunks;
}

/* The first chunk after `chunk` that passes through a slot, if it is pinned, else -1. */
static int64_t held_after(const lloyd_pipeline *p, int64_t chunk)
{
    int64_t index, chunks = p->layout->chunks;
    for (int64_t i = 1; i <= chunks; i++) {
        int64_t at = chunk + i;
        if (at >= chunks && p->layout->once) return -1;
        at %= chunks;
        lloyd_home home = lloyd_layout_home(p->layout, at, &index);
        if (home != LLOYD_FIXED) return home == LLOYD_PINNED ? at : -1;
    }
    return -1;
}

/* --- from the files --- */

static lloyd_status queue_chunk(lloyd_pipeline *p, int64_t chunk)
{
    int64_t begin = p->ends.first + chunk * p->layout->chunk_rows;
    LLOYD_TRY(
        lloyd_readahead_queue(p->readahead, begin, lloyd_layout_chunk_rows(p->layout, chunk)));
    p->queue[p->queued++ % LLOYD_AHEAD] = chunk;
    return LLOYD_OK;
}

/* Keeps as many reads queued as there are buffers. `chunk` comes first where none is queued. */
static lloyd_status read_ahead(lloyd_pipeline *p, int64_t chunk)
{
    while (p->queued - p->taken < p->buffers) {
        if (p->queued > p->taken) chunk = p->queue[(p->queued - 1) % LLOYD_AHEAD] + 1;
        chunk = next_of(p, LLOYD_STREAMED, chunk, !p->layout->once);
        if (chunk == p->layout->chunks) break;
        LLOYD_TRY(queue_chunk(p, chunk));
    }
    return LLOYD_OK;
}

static lloyd_status take(lloyd_pipeline *p, int *buffer, const void **rows)
{
    p->taken++;
    return lloyd_readahead_take(p->readahead, buffer, rows);
}

/* Waits until nothing uses the slot's buffer any more, and gives it back to be read into. */
static lloyd_status give_back(lloyd_pipeline *p, int number)
{
    passing_slot *slot = &p->slot[number];
    if (slot->buffer < 0) return LLOYD_OK;
    LLOYD_TRY(p->kernels->loaded(p->kernels, (int)p->layout->fixed + number));
    lloyd_readahead_release(p->readahead, slot->buffer);
    slot->buffer = -1;
    return LLOYD_OK;
}

static lloyd_status give_back_others(lloyd_pipeline *p, int number)
{
    for (int other = 0; other < p->slots; other++)
        if (other != number) LLOYD_TRY(give_back(p, other));
    return LLOYD_OK;
}

/* The rows of a streamed chunk. What is read ahead is usually this very chunk. */
static lloyd_status take_chunk(lloyd_pipeline *p, int64_t chunk, int *buffer, const void **rows)
{
    while (p->taken < p->queued && p->queue[p->taken % LLOYD_AHEAD] != chunk) {
        LLOYD_TRY(give_back_others(p, -1));
        LLOYD_TRY(take(p, buffer, rows));
        lloyd_readahead_release(p->readahead, *buffer);
    }
    LLOYD_TRY(read_ahead(p, chunk));
    LLOYD_TRY(take(p, buffer, rows));
    return read_ahead(p, chunk + 1);
}

/* --- into the slots --- */

/* From `rows` into the next slot. */
static lloyd_status start_copy(lloyd_pipeline *p, int64_t chunk, const void *rows,
                               lloyd_load_need need, int64_t pass)
{
    const lloyd_layout *layout = p->layout;
    int number = (int)(p->started % p->slots);
    LLOYD_TRY(p->kernels->load_start(p->kernels, (int)layout->fixed + number,
                                     chunk * layout->chunk_rows,
                                     lloyd_layout_chunk_rows(layout, chunk), rows, need));
    passing_slot *slot = &p->slot[number];
    slot->chunk = chunk, slot->pass = pass, slot->need = need;
    p->started++;
    return LLOYD_OK;
}

static lloyd_status start_held(lloyd_pipeline *p, int64_t chunk, int64_t index,
                               lloyd_load_need need, int64_t pass)
{
    LLOYD_TRY(give_back(p, (int)(p->started % p->slots)));
    return start_copy(p, chunk,
                      p->ends.pinned + index * p->layout->chunk_rows * p->layout->row_bytes, need,
                      pass);
}

static lloyd_status start_streamed(lloyd_pipeline *p, int64_t chunk, lloyd_load_need need)
{
    int number = (int)(p->started % p->slots);
    const void *rows;
    LLOYD_TRY(give_back(p, number));
    LLOYD_TRY(take_chunk(p, chunk, &p->slot[number].buffer, &rows));
    LLOYD_TRY(start_copy(p, chunk, rows, need, p->pass));
    /* The copy before this one is done, or will be before this one begins. */
    return give_back_others(p, number);
}

static lloyd_status start(lloyd_pipeline *p, int64_t chunk, lloyd_load_need need)
{
    int64_t index;
    lloyd_home home = lloyd_layout_home(p->layout, chunk, &index);
    return home == LLOYD_PINNED ? start_held(p, chunk, index, need, p->pass)
                                : start_streamed(p, chunk, need);
}

/* Starts the pinned chunks that come after `chunk`, of which `busy` slots are needed now. */
static lloyd_status start_ahead(lloyd_pipeline *p, int64_t chunk, lloyd_load_need need, int busy)
{
    int64_t pass = p->pass;
    for (int64_t i = p->given; i < p->started; i++) {
        int64_t ahead = p->slot[i % p->slots].chunk;
        if (ahead <= chunk) pass++;
        chunk = ahead;
    }
    while (p->started - p->given < p->slots - busy) {
        int64_t index, next = held_after(p, chunk);
        if (next < 0) break;
        if (next <= chunk) pass++;
        lloyd_layout_home(p->layout, next, &index);
        LLOYD_TRY(start_held(p, next, index, pass == p->pass ? need : LLOYD_ALL_ROWS, pass));
        chunk = next;
    }
    return LLOYD_OK;
}

/* Chunks come in their order: one that does not begins another pass. */
static void reach(lloyd_pipeline *p, int64_t chunk)
{
    if (chunk <= p->reached) p->pass++;
    p->reached = chunk;
}

/* Whether the slot has what is needed of the chunk. */
static int serves(const lloyd_pipeline *p, const passing_slot *slot, int64_t chunk,
                  lloyd_load_need need)
{
    if (slot->chunk != chunk) return 0;
    return slot->need == LLOYD_ALL_ROWS || (slot->need == need && slot->pass == p->pass);
}

lloyd_status lloyd_pipeline_load(lloyd_pipeline *p, int64_t chunk, lloyd_load_need need, int *slot)
{
    reach(p, chunk);
    if (p->started > p->given && !serves(p, &p->slot[p->given % p->slots], chunk, need))
        p->given = p->started; /* they were started in vain */
    if (p->started == p->given) LLOYD_TRY(start(p, chunk, need));
    *slot = (int)(p->layout->fixed + p->given++ % p->slots);
    LLOYD_TRY(p->kernels->load_finish(p->kernels, *slot));
    return start_ahead(p, chunk, need, 1);
}

lloyd_status lloyd_pipeline_pass(lloyd_pipeline *p, int64_t chunk, lloyd_load_need need)
{
    reach(p, chunk);
    return start_ahead(p, chunk, need, 0);
}

/* --- fixed chunks --- */

/* Rows [at, at + count) of a chunk. */
typedef struct span {
    int64_t chunk, at, count;
} span;

/* The next piece of a fixed chunk; starts as zeros. 0: there is none. */
static int next_piece(const lloyd_pipeline *p, span *piece)
{
    piece->at += piece->count;
    if (piece->count == 0 || piece->at == lloyd_layout_chunk_rows(p->layout, piece->chunk)) {
        int64_t from = piece->count == 0 ? 0 : piece->chunk + 1;
        piece->chunk = next_of(p, LLOYD_FIXED, from, 0);
        piece->at = 0;
    }
    if (piece->chunk == p->layout->chunks) return 0;
    int64_t left = lloyd_layout_chunk_rows(p->layout, piece->chunk) - piece->at;
    piece->count = left < p->buffer_rows ? left : p->buffer_rows;
    return 1;
}

static lloyd_status queue_piece(lloyd_pipeline *p, span *piece)
{
    if (piece->chunk == p->layout->chunks || !next_piece(p, piece)) return LLOYD_OK;
    int64_t begin = p->ends.first + piece->chunk * p->layout->chunk_rows + piece->at;
    return lloyd_readahead_queue(p->readahead, begin, piece->count);
}

static lloyd_status copy_piece(lloyd_pipeline *p, const span *piece)
{
    lloyd_kernels *kernels = p->kernels;
    int64_t index;
    int buffer;
    const void *rows;
    lloyd_layout_home(p->layout, piece->chunk, &index);
    LLOYD_TRY(lloyd_readahead_take(p->readahead, &buffer, &rows));
    lloyd_status status = LLOYD_OK;
    if (piece->at == 0) {
        status = kernels->load(kernels, (int)index, piece->chunk * p->layout->chunk_rows,
                               lloyd_layout_chunk_rows(p->layout, piece->chunk), NULL);
    }
    if (status == LLOYD_OK)
        status = kernels->fill(kernels, (int)index, piece->at, piece->count, rows);
    lloyd_readahead_release(p->readahead, buffer);
    return status;
}

lloyd_status lloyd_pipeline_fill(lloyd_pipeline *p)
{
    span ahead = {0}, now = {0};
    for (int b = 0; b < p->buffers; b++) LLOYD_TRY(queue_piece(p, &ahead));
    while (next_piece(p, &now)) {
        LLOYD_TRY(lloyd_stop_check());
        LLOYD_TRY(copy_piece(p, &now));
        LLOYD_TRY(queue_piece(p, &ahead));
    }
    return LLOYD_OK;
}

/* --- life and death --- */

static lloyd_status alloc_buffers(lloyd_pipeline *p)
{
    void *buffers[LLOYD_AHEAD];
    int64_t bytes = lloyd_layout_buffer_bytes(p->layout);
    p->buffers = lloyd_layout_buffers(p->layout, &p->buffer_rows);
    if (p->buffers == 0) return LLOYD_OK;
    LLOYD_TRY(p->kernels->device->host_alloc(p->buffers * bytes, "rows on their way", &p->memory));
    for (int b = 0; b < p->buffers; b++) buffers[b] = (char *)p->memory + b * bytes;
    return lloyd_readahead_open(p->ends.rows, buffers, p->buffers, &p->readahead);
}

lloyd_status lloyd_pipeline_open(const lloyd_pipeline_ends *ends, lloyd_pipeline **pipeline)
{
    LLOYD_TRY(lloyd_alloc(pipeline, 1, sizeof **pipeline, "pipeline"));
    lloyd_pipeline *p = *pipeline;
    p->ends = *ends;
    p->layout = ends->layout;
    p->kernels = ends->kernels;
    p->slots = lloyd_layout_passing_slots(p->layout);
    p->reached = p->layout->chunks;
    for (int s = 0; s < LLOYD_AHEAD; s++) p->slot[s].buffer = -1;
    lloyd_status status = alloc_buffers(p);
    if (status != LLOYD_OK) {
        lloyd_pipeline_close(p);
        *pipeline = NULL;
    }
    return status;
}

lloyd_status lloyd_pipeline_begin(lloyd_pipeline *p)
{
    return read_ahead(p, 0);
}

void lloyd_pipeline_close(lloyd_pipeline *p)
{
    if (!p) return;
    /* Copies may be under way if another rank has failed. */
    for (int s = 0; s < p->slots; s++)
        (void)p->kernels->loaded(p->kernels, (int)p->layout->fixed + s);
    lloyd_readahead_close(p->readahead);
    p->kernels->device->host_free(p->memory);
    lloyd_free(p);
}
