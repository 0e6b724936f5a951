/* See parts.h. */
#include "job/split/parts.h"

#include "base/hash.h"
#include "base/memory.h"
#include "base/stop.h"
#include "io/readahead.h"
#include "job/backend.h"
#include "job/split/mail.h"
#include "rows/shard.h"

#include <stdlib.h>
#include <string.h>

enum {
    READ = 1 << 23,  /* bytes of rows that are read at a time */
    ALONE = 1 << 10, /* rows that one thread moves */
    PIECES = 128     /* of what is read, for threads that place it: one of them begins later */
};

/* The beginning of every piece of a row that travels, and of every result. */
typedef struct header {
    int64_t row;
    int32_t cluster; /* or label */
    float weight;
} header;

typedef struct result {
    header of;
    double distance;
} result;

static int64_t row_bytes_of(const lloyd_row_source *rows)
{
    return rows->d * (int64_t)lloyd_type_size(rows->type);
}

/* Of a row in a record. */
static int64_t piece_bytes(int64_t row_bytes)
{
    const int64_t most = LLOYD_MAIL_MOST - (int64_t)sizeof(header);
    return row_bytes < most ? row_bytes : most;
}

static size_t record_bytes(int64_t row_bytes)
{
    return (sizeof(header) + (size_t)piece_bytes(row_bytes) + 7) / 8 * 8;
}

/* --- the rows of this rank's share, on their way --- */

typedef struct moving {
    lloyd_parts *parts;
    const lloyd_row_source *rows;
    int64_t row_bytes, piece;

    /* what is read: rows [at, at + here) of the share, of which those before `next` are sent, and of that one what is
     * before `sent`; the block of rows behind them is on its way */
    int64_t at_once, at, here, next, sent;
    lloyd_readahead *ahead;
    void *buffers[2];
    int buffer; /* that they are in */
    const char *read;
    float *read_weights;

    int64_t *
        place; /* [k] where the next row of a cluster goes, -1: to no part of this rank in this round */
    int64_t *
        coming; /* [2 * ranks] where the row that comes from a rank goes, and what of it is there */
} moving;

/* Adds the rows that are read, with their numbers: the sum depends on no number of ranks. */
static void hash_rows(const moving *m)
{
    const int64_t first = m->rows->first + m->at, bytes = m->row_bytes;
    uint64_t sum = 0;
#pragma omp parallel for num_threads(lloyd_backend_threads(m->parts->comm)) reduction(+ : sum) if (m->here > ALONE)
    for (int64_t i = 0; i < m->here; i++) {
        uint32_t weight = 0;
        uint64_t hash = lloyd_hash_word(0, (uint64_t)(first + i));
        if (m->read_weights) memcpy(&weight, &m->read_weights[i], sizeof weight);
        hash = lloyd_hash(hash, m->read + i * bytes, (size_t)bytes);
        sum += lloyd_hash_word(hash, weight);
    }
    *m->parts->source->hash += sum;
}

/* Rows of the block that begins at one of the share. */
static int64_t block_rows(const moving *m, int64_t at)
{
    const int64_t left = m->rows->count - at;
    return left < m->at_once ? left : m->at_once;
}

static lloyd_status read_ahead(moving *m, int64_t at)
{
    const int64_t count = block_rows(m, at);
    return count > 0 ? lloyd_readahead_queue(m->ahead, m->rows->first + at, count) : LLOYD_OK;
}

/* A block, and begins with the next one: after the weights, which would wait for it. */
static lloyd_status take_block(moving *m)
{
    const lloyd_row_source *s = m->rows;
    const void *read;
    LLOYD_TRY(lloyd_stop_check());
    LLOYD_TRY(lloyd_readahead_take(m->ahead, &m->buffer, &read));
    m->read = read;
    if (s->weighted)
        LLOYD_TRY(lloyd_rows_read_weights(s->rows, s->first + m->at, m->here, m->read_weights));
    return read_ahead(m, m->at + m->here);
}

static lloyd_status read_more(moving *m)
{
    if (m->here > 0) lloyd_readahead_release(m->ahead, m->buffer);
    m->at += m->here;
    m->here = block_rows(m, m->at);
    m->next = m->sent = 0;
    if (m->here == 0) return LLOYD_OK;
    LLOYD_TRY(take_block(m));
    if (m->parts->source->hash && m->parts->round == 0) hash_rows(m);
    return LLOYD_OK;
}

/* Adds what is left of a row; 0 where there is no more room. */
static int add_row(moving *m, lloyd_mail *mail, int rank, int32_t cluster)
{
    const char *row = m->read + m->next * m->row_bytes;
    while (m->sent < m->row_bytes) {
        char *record = lloyd_mail_add(mail, rank);
        if (!record) return 0;
        const header head = {.row = m->rows->first + m->at + m->next,
                             .cluster = cluster,
                             .weight = m->read_weights ? m->read_weights[m->next] : 1};
        int64_t bytes = m->row_bytes - m->sent < m->piece ? m->row_bytes - m->sent : m->piece;
        memcpy(record, &head, sizeof head);
        memcpy(record + sizeof head, row + m->sent, (size_t)bytes);
        m->sent += bytes;
    }
    m->sent = 0;
    return 1;
}

static lloyd_status write_rows(void *context, lloyd_mail *mail, int64_t *more)
{
    moving *m = context;
    const lloyd_parts *p = m->parts;
    const int ranks = p->comm->size;
    for (;;) {
        for (; m->next < m->here; m->next++) {
            int32_t cluster = p->source->clusters[m->at + m->next];
            const int64_t turn = p->turn[cluster];
            if (turn / ranks != p->round) continue;
            *more = !add_row(m, mail, (int)(turn % ranks), cluster);
            if (*more) return LLOYD_OK;
        }
        LLOYD_TRY(read_more(m));
        *more = 0;
        if (m->here == 0) return LLOYD_OK;
    }
}

static void read_row(void *context, int source, const void *record)
{
    moving *m = context;
    lloyd_parts *p = m->parts;
    int64_t *at = &m->coming[2 * source], *there = at + 1;
    header head;
    memcpy(&head, record, sizeof head);
    if (*there == 0) {
        *at = m->place[head.cluster]++;
        p->numbers[*at] = head.row;
        if (p->weights) p->weights[*at] = head.weight;
    }
    int64_t bytes = m->row_bytes - *there < m->piece ? m->row_bytes - *there : m->piece;
    memcpy(p->data + *at * m->row_bytes + *there, (const char *)record + sizeof head,
           (size_t)bytes);
    *there = *there + bytes == m->row_bytes ? 0 : *there + bytes;
}

/* Of the rows of a block; -1: a row of another round. */
static void find_places(moving *m, int64_t at, int64_t *to)
{
    const int32_t *clusters = m->parts->source->clusters + at;
    const int64_t count = block_rows(m, at);
    for (int64_t i = 0; i < count; i++) {
        int64_t *place = &m->place[clusters[i]];
        to[i] = *place < 0 ? -1 : (*place)++;
    }
}

/* What is read, each row to its place, while one thread finds the places of the next block. */
static void place_rows(moving *m, const int64_t *to, int64_t *next)
{
    const lloyd_parts *p = m->parts;
    const int64_t bytes = m->row_bytes, first = m->rows->first + m->at;
#pragma omp parallel num_threads(lloyd_backend_threads(p->comm)) if (m->here > ALONE)
    {
#pragma omp single nowait
        find_places(m, m->at + m->here, next);
#pragma omp for schedule(dynamic, m->here / PIECES + 1)
        for (int64_t i = 0; i < m->here; i++) {
            if (to[i] < 0) continue;
            memcpy(p->data + to[i] * bytes, m->read + i * bytes, (size_t)bytes);
            p->numbers[to[i]] = first + i;
            if (p->weights) p->weights[to[i]] = m->read_weights[i];
        }
    }
}

/* One rank alone reads its rows, and each goes straight to its place. */
static lloyd_status take_rows(moving *m)
{
    int64_t *places[2] = {NULL, NULL};
    const char *what = "the places of rows";
    lloyd_status status = LLOYD_OK;
    for (int i = 0; i < 2 && status == LLOYD_OK; i++)
        status = lloyd_alloc_uncleared(&places[i], m->at_once, sizeof *places[i], what);
    if (status == LLOYD_OK) find_places(m, 0, places[0]);
    if (status == LLOYD_OK) status = read_more(m);
    for (int now = 0; status == LLOYD_OK && m->here > 0; now = !now) {
        place_rows(m, places[now], places[!now]);
        status = read_more(m);
    }
    lloyd_free(places[0]);
    lloyd_free(places[1]);
    return status;
}

/* --- order --- */

typedef struct placed {
    int64_t number, at;
} placed;

static int by_number(const void *a, const void *b)
{
    const placed *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Moves row order[i].at to place i, along the cycles of this permutation. `row`: room for one. */
static void permute(lloyd_parts *p, placed *order, int64_t begin, int64_t count, int64_t bytes,
                    char *row)
{
    char *data = p->data + begin * bytes;
    for (int64_t start = 0; start < count; start++) {
        if (order[start].at == start) continue;
        float weight = p->weights ? p->weights[begin + start] : 1;
        memcpy(row, data + start * bytes, (size_t)bytes);
        int64_t to = start;
        for (int64_t from = order[to].at; from != start; from = order[to].at) {
            memcpy(data + to * bytes, data + from * bytes, (size_t)bytes);
            if (p->weights) p->weights[begin + to] = p->weights[begin + from];
            order[to].at = to;
            to = from;
        }
        memcpy(data + to * bytes, row, (size_t)bytes);
        if (p->weights) p->weights[begin + to] = weight;
        order[to].at = to;
    }
    for (int64_t i = 0; i < count; i++) p->numbers[begin + i] = order[i].number;
}

/* Rows of several ranks come in turns. */
static lloyd_status sort_part(lloyd_parts *p, int64_t begin, int64_t count, int64_t bytes)
{
    placed *order = NULL;
    char *row = NULL;
    int64_t sorted = 1;
    while (sorted < count && p->numbers[begin + sorted - 1] < p->numbers[begin + sorted]) sorted++;
    if (sorted >= count) return LLOYD_OK;
    lloyd_status status = lloyd_alloc(&order, count, sizeof *order, "the order of rows");
    if (status == LLOYD_OK) status = lloyd_alloc(&row, bytes, 1, "a row");
    if (status == LLOYD_OK) {
        for (int64_t i = 0; i < count; i++) order[i] = (placed){p->numbers[begin + i], i};
        qsort(order, (size_t)count, sizeof *order, by_number);
        permute(p, order, begin, count, bytes, row);
    }
    lloyd_free(order);
    lloyd_free(row);
    return status;
}

static lloyd_status sort_parts(lloyd_parts *p)
{
    const int64_t bytes = row_bytes_of(p->source->rows);
    for (int64_t i = 0; i < p->count; i++)
        LLOYD_TRY(sort_part(p, p->begin[i], p->begin[i + 1] - p->begin[i], bytes));
    return LLOYD_OK;
}

/* --- bring --- */

static lloyd_status check_weights(const lloyd_parts *p)
{
    for (int64_t i = 0; i < p->count && p->weights; i++) {
        int64_t at = p->begin[i];
        while (at < p->begin[i + 1] && p->weights[at] == 0) at++;
        if (at == p->begin[i + 1])
            return lloyd_fail(LLOYD_BAD_INPUT,
                              "all rows of cluster %lld have weight 0, so it cannot be split; give "
                              "one of them a weight, or leave --weights out",
                              (long long)p->clusters[i]);
    }
    return LLOYD_OK;
}

/* Nothing is read of them before all is written: lloyd_parts_bring() fails unless every row has come, and after a fit that
 * fails or stops no labels and distances are returned. */
static lloyd_status open_rows(lloyd_parts *p, int64_t all)
{
    const char *what = "the rows of clusters";
    const lloyd_row_source *s = p->source->rows;
    LLOYD_TRY(lloyd_alloc_uncleared(&p->data, all, (size_t)row_bytes_of(s), what));
    LLOYD_TRY(lloyd_alloc_uncleared(&p->numbers, all, sizeof *p->numbers, what));
    LLOYD_TRY(lloyd_alloc_uncleared(&p->labels, all, sizeof *p->labels, what));
    if (s->weighted) LLOYD_TRY(lloyd_alloc_uncleared(&p->weights, all, sizeof *p->weights, what));
    return p->source->distances
               ? lloyd_alloc_uncleared(&p->distances, all, sizeof *p->distances, what)
               : LLOYD_OK;
}

static lloyd_status open_parts(lloyd_parts *p, const int64_t *rows, int64_t k)
{
    const char *what = "the rows of clusters";
    const int64_t mine = p->round * p->comm->size + p->comm->rank;
    LLOYD_TRY(lloyd_alloc(&p->clusters, k, sizeof *p->clusters, what));
    LLOYD_TRY(lloyd_alloc(&p->begin, k + 1, sizeof *p->begin, what));
    for (int64_t c = 0; c < k; c++) {
        if (p->turn[c] != mine || rows[c] == 0) continue;
        p->clusters[p->count] = c;
        p->begin[p->count + 1] = p->begin[p->count] + rows[c];
        p->count++;
    }
    return open_rows(p, p->begin[p->count]);
}

static int64_t rows_at_once(int64_t count, int64_t row_bytes)
{
    const int64_t most = READ / row_bytes + 1;
    return count < most ? count : most;
}

static lloyd_status open_moving(moving *m, int64_t k, lloyd_mail *mail)
{
    const char *what = "rows on their way to other ranks";
    const lloyd_parts *p = m->parts;
    m->at_once = rows_at_once(m->rows->count, m->row_bytes);
    for (int i = 0; i < 2; i++)
        LLOYD_TRY(lloyd_alloc_uncleared(&m->buffers[i], m->at_once, (size_t)m->row_bytes, what));
    if (m->rows->weighted)
        LLOYD_TRY(lloyd_alloc(&m->read_weights, m->at_once, sizeof *m->read_weights, what));
    LLOYD_TRY(lloyd_readahead_open(m->rows->rows, m->buffers, 2, &m->ahead));
    LLOYD_TRY(read_ahead(m, 0));
    LLOYD_TRY(lloyd_alloc(&m->place, k, sizeof *m->place, what));
    LLOYD_TRY(lloyd_alloc(&m->coming, 2 * (int64_t)p->comm->size, sizeof *m->coming, what));
    for (int64_t c = 0; c < k; c++) m->place[c] = -1;
    for (int64_t i = 0; i < p->count; i++) m->place[p->clusters[i]] = p->begin[i];
    return p->comm->size == 1 ? LLOYD_OK
                              : lloyd_mail_open(p->comm, record_bytes(m->row_bytes), mail);
}

static lloyd_status move_rows(moving *m, int64_t k, lloyd_mail *mail)
{
    lloyd_comm *comm = m->parts->comm;
    const lloyd_mail_ends ends = {write_rows, read_row, m};
    LLOYD_TRY(comm->agree(comm, open_moving(m, k, mail)));
    return comm->size == 1 ? take_rows(m) : lloyd_mail_deliver(mail, &ends);
}

static void close_moving(moving *m, lloyd_mail *mail)
{
    lloyd_readahead_close(m->ahead);
    lloyd_mail_close(mail);
    lloyd_free(m->buffers[0]);
    lloyd_free(m->buffers[1]);
    lloyd_free(m->read_weights);
    lloyd_free(m->place);
    lloyd_free(m->coming);
}

static lloyd_status check_and_sort(lloyd_parts *p)
{
    const lloyd_row_source *rows = p->source->rows;
    LLOYD_TRY(lloyd_rows_check(rows->rows, rows->first, rows->count));
    LLOYD_TRY(sort_parts(p));
    return check_weights(p);
}

lloyd_status lloyd_parts_bring(lloyd_comm *comm, const lloyd_split_source *source,
                               const int64_t *rows, int64_t k, const int64_t *turn, int64_t round,
                               lloyd_parts *parts)
{
    const int64_t row_bytes = row_bytes_of(source->rows);
    lloyd_mail mail = {.comm = NULL};
    *parts = (lloyd_parts){.comm = comm, .source = source, .turn = turn, .round = round};
    moving m = {.parts = parts,
                .rows = source->rows,
                .row_bytes = row_bytes,
                .piece = piece_bytes(row_bytes)};
    LLOYD_TRY(comm->agree(comm, open_parts(parts, rows, k)));
    lloyd_status status = move_rows(&m, k, &mail);
    close_moving(&m, &mail);
    LLOYD_TRY(status);
    return comm->agree(comm, check_and_sort(parts));
}

/* --- and back --- */

typedef struct returning {
    const lloyd_parts *parts;
    int64_t next;
} returning;

/* The rank whose share a row is in. */
static int rank_of(int64_t row, int64_t n, int ranks)
{
    int rank = (int)((__int128)row * ranks / n);
    while (rank + 1 < ranks && lloyd_shard_first(n, rank + 1, ranks) <= row) rank++;
    return rank;
}

static lloyd_status write_results(void *context, lloyd_mail *mail, int64_t *more)
{
    returning *r = context;
    const lloyd_parts *p = r->parts;
    for (; r->next < p->begin[p->count]; r->next++) {
        const int64_t row = p->numbers[r->next];
        result *out = lloyd_mail_add(mail, rank_of(row, p->source->rows->n, p->comm->size));
        *more = out == NULL;
        if (*more) return LLOYD_OK;
        *out = (result){.of = {.row = row, .cluster = p->labels[r->next]},
                        .distance = p->distances ? p->distances[r->next] : 0};
    }
    *more = 0;
    return LLOYD_OK;
}

static void read_result(void *context, int source, const void *record)
{
    const returning *r = context;
    const lloyd_split_source *to = r->parts->source;
    const result *found = record;
    const int64_t at = found->of.row - to->rows->first;
    (void)source;
    to->labels[at] = found->of.cluster;
    if (to->distances) to->distances[at] = found->distance;
}

static void return_own(const lloyd_parts *p)
{
    const lloyd_split_source *to = p->source;
#pragma omp parallel for num_threads(lloyd_backend_threads(p->comm)) if (p->begin[p->count] > ALONE)
    for (int64_t i = 0; i < p->begin[p->count]; i++) {
        const int64_t at = p->numbers[i] - to->rows->first;
        to->labels[at] = p->labels[i];
        if (to->distances) to->distances[at] = p->distances[i];
    }
}

lloyd_status lloyd_parts_return(const lloyd_parts *parts)
{
    lloyd_comm *comm = parts->comm;
    if (comm->size == 1) {
        return_own(parts);
        return LLOYD_OK;
    }
    returning r = {.parts = parts};
    const lloyd_mail_ends ends = {write_results, read_result, &r};
    lloyd_mail mail;
    lloyd_status status = comm->agree(comm, lloyd_mail_open(comm, sizeof(result), &mail));
    if (status == LLOYD_OK) status = lloyd_mail_deliver(&mail, &ends);
    lloyd_mail_close(&mail);
    return status;
}

void lloyd_parts_free(lloyd_parts *parts)
{
    lloyd_free(parts->clusters);
    lloyd_free(parts->begin);
    lloyd_free(parts->data);
    lloyd_free(parts->weights);
    lloyd_free(parts->numbers);
    lloyd_free(parts->labels);
    lloyd_free(parts->distances);
    *parts = (lloyd_parts){.comm = NULL};
}

/* --- memory --- */

int64_t lloyd_parts_row_bytes(int weighted, int distances)
{
    return (int64_t)sizeof(int64_t) + (int64_t)sizeof(int32_t) + (weighted ? 4 : 0) +
           (distances ? 8 : 0);
}

int64_t lloyd_parts_bytes(int ranks, int64_t k, int64_t most, int64_t row_bytes)
{
    const int64_t sorting = 2 * most * (int64_t)sizeof(placed) + row_bytes, /* qsort() copies */
        moving_bytes = lloyd_mail_bytes(ranks, record_bytes(row_bytes)) +
                       rows_at_once(INT64_MAX, row_bytes) * (2 * (row_bytes + 8) + 4) + 8 * k;
    return (sorting > moving_bytes ? sorting : moving_bytes) + 16 * k;
}
