/* Rows that all ranks need: every rank takes its own from where they are, in their order; then whoever
 * has a row puts its bits into a buffer of zeros, and a sum of integers is the gather. */
#include "algorithm/gather.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
    GATHER_BYTES = 4 << 20, /* travel at a time */
    FEW = 16 /* rows of a chunk that is not in a slot are read one by one, more with the chunk */
};

/* A row of this rank, by its local number, and its place among those that are gathered. */
typedef struct wanted {
    int64_t row, place;
} wanted;

typedef struct gathering {
    lloyd_problem *problem;
    float *out;      /* where rows go, */
    lloyd_shard *to; /* or the shard in whose slots they go, by their places */
    int64_t batch;   /* rows that travel at a time */
    int64_t *words;  /* [batch * d] */
    int64_t *rows;   /* [batch] */
    wanted *own;     /* [count], sorted by row */
    int64_t own_count;
} gathering;

/* Rows that travel at a time. */
static int64_t batch_rows(int64_t count, int64_t dim)
{
    int64_t batch = GATHER_BYTES / (8 * dim);
    if (batch < 1) batch = 1;
    return batch < count ? batch : count;
}

int64_t lloyd_gather_bytes(int64_t count, int64_t dim)
{
    return batch_rows(count, dim) * (dim + 1) * 8 + count * (int64_t)sizeof(wanted);
}

/* --- this rank's --- */

static int compare_wanted(const void *a, const void *b)
{
    const wanted *x = a, *y = b;
    return x->row != y->row ? (x->row > y->row) - (x->row < y->row)
                            : (x->place > y->place) - (x->place < y->place);
}

static void find_own(gathering *g, const int64_t *rows, int64_t count)
{
    const lloyd_shard *shard = g->problem->shard;
    for (int64_t i = 0; i < count; i++) {
        int64_t row = rows[i] - shard->first;
        if (row >= 0 && row < shard->count)
            g->own[g->own_count++] = (wanted){.row = row, .place = i};
    }
    qsort(g->own, (size_t)g->own_count, sizeof *g->own, compare_wanted);
}

/* Row number `place` of g->to and some after it: *slot = their slot, *at = where in it. Returns how many of
 * `count` are in the slot. */
static int64_t find_slot(const gathering *g, int64_t place, int64_t count, int *slot, int64_t *at)
{
    const int64_t chunk_rows = g->to->chunk_rows;
    *slot = (int)(place / chunk_rows); /* all chunks are fixed */
    *at = place % chunk_rows;
    return count < chunk_rows - *at ? count : chunk_rows - *at;
}

/* `count` rows of a slot that go into slots of other kernels. */
static lloyd_status pass_on(gathering *g, int slot, const wanted *own, int64_t count)
{
    lloyd_kernels *kernels = g->problem->kernels;
    for (int64_t done = 0, here; done < count; done += here) {
        int to_slot;
        int64_t at, most = count - done < g->batch ? count - done : g->batch;
        here = find_slot(g, own[done].place, most, &to_slot, &at);
        for (int64_t i = 0; i < here; i++) g->rows[i] = own[done + i].row;
        LLOYD_TRY(kernels->take(kernels, slot, g->rows, here, g->to->kernels, to_slot, at));
    }
    return LLOYD_OK;
}

/* `count` rows of a slot. */
static lloyd_status take_from_slot(gathering *g, int slot, const wanted *own, int64_t count)
{
    if (g->to) return pass_on(g, slot, own, count);
    lloyd_kernels *kernels = g->problem->kernels;
    const size_t row_bytes = (size_t)g->problem->d * sizeof(float);
    char *values = (char *)g->words;
    for (int64_t at = 0; at < count; at += g->batch) {
        int64_t here = count - at < g->batch ? count - at : g->batch;
        for (int64_t i = 0; i < here; i++) g->rows[i] = own[at + i].row;
        LLOYD_TRY(kernels->rows(kernels, slot, g->rows, here, (float *)(void *)values));
        for (int64_t i = 0; i < here; i++)
            memcpy(g->out + own[at + i].place * g->problem->d, values + (size_t)i * row_bytes,
                   row_bytes);
    }
    return LLOYD_OK;
}

/* A row of a chunk that is in no slot. */
static lloyd_status read_row(gathering *g, const wanted *own)
{
    int slot;
    int64_t at;
    if (!g->to)
        return lloyd_shard_row(g->problem->shard, own->row, g->out + own->place * g->problem->d);
    float *row = (float *)(void *)g->words;
    LLOYD_TRY(lloyd_shard_row(g->problem->shard, own->row, row));
    (void)find_slot(g, own->place, 1, &slot, &at);
    return g->to->kernels->fill(g->to->kernels, slot, at, 1, row);
}

/* `count` rows of a chunk. */
static lloyd_status take_from_chunk(gathering *g, int64_t chunk, const wanted *own, int64_t count)
{
    lloyd_shard *shard = g->problem->shard;
    int slot;
    if (count > FEW || lloyd_shard_is_fixed(shard, chunk)) {
        LLOYD_TRY(lloyd_shard_load(shard, chunk, &slot));
        return take_from_slot(g, slot, own, count);
    }
    for (int64_t i = 0; i < count; i++) LLOYD_TRY(read_row(g, &own[i]));
    return LLOYD_OK;
}

static lloyd_status take_own(gathering *g)
{
    const int64_t chunk_rows = g->problem->shard->chunk_rows;
    for (int64_t begin = 0, end; begin < g->own_count; begin = end) {
        int64_t chunk = g->own[begin].row / chunk_rows;
        for (end = begin; end < g->own_count && g->own[end].row / chunk_rows == chunk;) end++;
        LLOYD_TRY(take_from_chunk(g, chunk, g->own + begin, end - begin));
    }
    return LLOYD_OK;
}

/* --- all ranks' --- */

/* Rows [first, first + count) of those that are gathered. */
static lloyd_status exchange(gathering *g, const int64_t *rows, int64_t first, int64_t count)
{
    const lloyd_problem *p = g->problem;
    float *out = g->out + first * p->d;
    memset(g->words, 0, (size_t)(count * p->d) * sizeof *g->words);
    for (int64_t i = 0; i < count; i++) {
        int64_t row = rows[first + i] - p->shard->first;
        for (int64_t j = i * p->d; row >= 0 && row < p->shard->count && j < (i + 1) * p->d; j++) {
            uint32_t bits;
            memcpy(&bits, &out[j], sizeof bits);
            g->words[j] = bits;
        }
    }
    LLOYD_TRY(lloyd_comm_sum_host(p->comm, g->words, count * p->d));
    for (int64_t j = 0; j < count * p->d; j++) {
        uint32_t bits = (uint32_t)g->words[j];
        memcpy(&out[j], &bits, sizeof bits);
    }
    return LLOYD_OK;
}

static void close_gathering(gathering *g)
{
    lloyd_free(g->words);
    lloyd_free(g->rows);
    lloyd_free(g->own);
}

static lloyd_status open_gathering(gathering *g, int64_t count)
{
    const int64_t d = g->problem->d;
    g->batch = batch_rows(count, d);
    LLOYD_TRY(lloyd_alloc(&g->words, g->batch * d, sizeof *g->words, "rows on their way"));
    LLOYD_TRY(lloyd_alloc(&g->rows, g->batch, sizeof *g->rows, "rows on their way"));
    return lloyd_alloc(&g->own, count, sizeof *g->own, "rows on their way");
}

lloyd_status lloyd_problem_take(lloyd_problem *p, const int64_t *rows, int64_t count, float *out,
                                lloyd_shard *to)
{
    gathering g = {.problem = p, .out = out, .to = to, .own_count = count};
    lloyd_status status = open_gathering(&g, count);
    for (int64_t i = 0; i < count && status == LLOYD_OK; i++)
        g.own[i] = (wanted){.row = rows[i], .place = i};
    if (status == LLOYD_OK) status = take_own(&g);
    close_gathering(&g);
    return status;
}

lloyd_status lloyd_problem_gather(lloyd_problem *p, const int64_t *rows, int64_t count, float *out)
{
    gathering g = {.problem = p, .out = out};
    lloyd_status status = open_gathering(&g, count);
    if (status == LLOYD_OK) {
        find_own(&g, rows, count);
        status = take_own(&g);
    }
    status = p->comm->agree(p->comm, status);
    for (int64_t at = 0; at < count && status == LLOYD_OK && p->comm->size > 1; at += g.batch)
        status = exchange(&g, rows, at, count - at < g.batch ? count - at : g.batch);
    close_gathering(&g);
    return status;
}
