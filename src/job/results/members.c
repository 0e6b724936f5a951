/* See members.h. */
#include "job/results/members.h"

#include "base/clock.h"
#include "base/memory.h"
#include "io/writers/array.h"
#include "job/results/slices.h"

#include <omp.h>

enum {
    BLOCKS = 1 << 17,       /* members on their way to other ranks at a time, and from them */
    LEAST_SLICE = 1 << 16,  /* members: smaller ones save no memory worth the rounds */
    MOST_SLICES = 1 << 14,  /* of all ranks and rounds, where there are fewer ranks */
    PLACED_ALONE = 1 << 12, /* members that one thread places */
    MOST_PARTS = 64,        /* threads that place members, at most */
    LINE = 8,               /* words that a processor writes to memory together */
    NO_PART = 255
};

typedef struct gathering {
    lloyd_comm *comm;
    const lloyd_member_rows *rows;
    int64_t k, n;
    int rounds;
    lloyd_array *members, *offsets_array;
    double writing; /* seconds */

    int64_t *offsets; /* [k + 1] */
    lloyd_slices slices;
    lloyd_member_batch batch;
    int64_t batch_at, batch_count; /* local rows that are in the batch; those before are done */
    int64_t next;                  /* of the batch */

    int64_t room;                 /* members in a block, of which there is one for each rank */
    lloyd_placed *send, *receive; /* [ranks * room] */
    int64_t *counts;              /* [ranks] */

    /* the slice of this rank in this round: places [begin, end) of all members */
    int64_t begin, end;
    lloyd_member *slice; /* [end - begin] */

    /* Every thread places the members of its own part of the clusters, every parts-th one. A place that
     * threads count together would make each wait for its last write to memory. */
    int parts;
    int64_t pitch;   /* of a part in `filled` */
    int64_t *filled; /* [parts * pitch] where the next member of a cluster goes in the slice */
    uint8_t *part;   /* [batch.rows] whose a member is */
    int32_t *listed; /* [batch.rows] numbers of members, part by part */
    int64_t next_listed[MOST_PARTS][MOST_PARTS]; /* where a thread lists the next one of a part */
    int64_t begin_listed[MOST_PARTS + 1];
} gathering;

/* --- the plan --- */

/* One rank alone sends nothing. No more than a batch has rows. */
static int64_t room_of(int64_t n, int ranks)
{
    if (ranks == 1) return 0;
    int64_t most = n / ranks + 1, room = ranks < BLOCKS ? BLOCKS / ranks : 1;
    return most < room ? most : room;
}

static int64_t slice_rows(int64_t n, int64_t slices)
{
    return n / slices + 1;
}

static int64_t bytes_of_batch(int64_t rows)
{
    return lloyd_member_batch_bytes(rows) + rows * (int64_t)(sizeof(uint8_t) + sizeof(int32_t));
}

static int64_t pitch_of(int64_t k, int parts)
{
    return (k / parts + 1 + LINE) / LINE * LINE + LINE;
}

lloyd_members_plan lloyd_members_plan_for(int64_t n, int64_t k, int ranks, int64_t most)
{
    const int64_t least = LEAST_SLICE * (int64_t)sizeof(lloyd_member);
    const int64_t members = (most > least ? most : least) / (int64_t)sizeof(lloyd_member);
    const int64_t most_rounds = ranks < MOST_SLICES ? MOST_SLICES / ranks : 1;
    int64_t rounds = (n / ranks + members) / members;
    if (rounds > most_rounds) rounds = most_rounds;
    const int64_t slices = ranks * rounds;
    return (lloyd_members_plan){.rounds = (int)rounds,
                                .bytes =
                                    slice_rows(n, slices) * (int64_t)sizeof(lloyd_member) +
                                    2 * ranks * room_of(n, ranks) * (int64_t)sizeof(lloyd_placed) +
                                    (2 * k + 1 + ranks + 3 * LINE * MOST_PARTS) *
                                        (int64_t)sizeof(int64_t) +
                                    bytes_of_batch(lloyd_member_batch_rows(slice_rows(n, slices))) +
                                    lloyd_slices_bytes((int)slices)};
}

/* --- a round --- */

/* Where the next member of a cluster goes. */
static int64_t *filled(const gathering *g, int64_t cluster)
{
    const uint32_t number = (uint32_t)cluster, parts = (uint32_t)g->parts; /* K < 2^31 */
    return &g->filled[number % parts * g->pitch + number / parts];
}

/* Begins the slice of this rank: every cluster in it has a part of it. */
static void begin_slice(gathering *g, int round)
{
    const int64_t number = (int64_t)round * g->comm->size + g->comm->rank;
    g->begin = lloyd_slices_begin(&g->slices, number);
    g->end = lloyd_slices_begin(&g->slices, number + 1);
    g->batch_at = g->batch_count = g->next = 0;
    if (g->begin == g->end) return;
    const int64_t last = lloyd_cluster_at(g->offsets, g->k, g->end - 1);
    for (int64_t c = lloyd_cluster_at(g->offsets, g->k, g->begin); c <= last; c++)
        *filled(g, c) = g->offsets[c] > g->begin ? g->offsets[c] - g->begin : 0;
}

/* Puts the members of the batch into the blocks of the ranks that own their slices. Stops at a block that is
 * full: *full = 1. */
static void distribute(gathering *g, int round, int *full)
{
    const int ranks = g->comm->size;
    for (; g->next < g->batch_count; g->next++) {
        const lloyd_placed *member = &g->batch.placed[g->next];
        int slice = lloyd_slices_of(&g->slices, member);
        if (slice / ranks != round) continue;
        int owner = slice % ranks;
        *full = g->counts[owner] == g->room;
        if (*full) return;
        g->send[owner * g->room + g->counts[owner]++] = *member;
    }
}

/* Fills the blocks; *more = 1 if rows of this rank are left for the next time. */
static lloyd_status fill_blocks(gathering *g, int round, int64_t *more)
{
    const lloyd_member_rows *rows = g->rows;
    int full = 0;
    memset(g->counts, 0, (size_t)g->comm->size * sizeof *g->counts);
    for (;;) {
        distribute(g, round, &full);
        *more = full;
        if (full) return LLOYD_OK;
        g->batch_at += g->batch_count;
        g->next = 0;
        g->batch_count = rows->count - g->batch_at;
        if (g->batch_count > g->batch.rows) g->batch_count = g->batch.rows;
        if (g->batch_count == 0) return LLOYD_OK;
        LLOYD_TRY(lloyd_member_batch_read(&g->batch, rows, g->batch_at, g->batch_count));
    }
}

static int is_of_slice(const gathering *g, const lloyd_placed *member, int slice)
{
    return slice < 0 || lloyd_slices_of(&g->slices, member) == slice;
}

static void place(gathering *g, const lloyd_placed *member)
{
    g->slice[(*filled(g, member->cluster))++] = member->member;
}

/* Whose each of the members is that thread `reader` reads, and how many each has of them. */
static void count_part(gathering *g, const lloyd_placed *members, int64_t count, int slice,
                       int reader)
{
    const uint32_t parts = (uint32_t)g->parts;
    int64_t of_part[MOST_PARTS] = {0};
    for (int64_t i = count * reader / g->parts; i < count * (reader + 1) / g->parts; i++) {
        g->part[i] = NO_PART;
        if (!is_of_slice(g, &members[i], slice)) continue;
        g->part[i] = (uint8_t)((uint32_t)members[i].cluster % parts);
        of_part[g->part[i]]++;
    }
    memcpy(g->next_listed[reader], of_part, sizeof of_part);
}

/* From how many there are: where those of a part begin that a thread read. */
static void find_begins(gathering *g)
{
    int64_t begin = 0;
    for (int part = 0; part < g->parts; part++) {
        g->begin_listed[part] = begin;
        for (int reader = 0; reader < g->parts; reader++) {
            const int64_t count = g->next_listed[reader][part];
            g->next_listed[reader][part] = begin;
            begin += count;
        }
    }
    g->begin_listed[g->parts] = begin;
}

static void list_part(gathering *g, int64_t count, int reader)
{
    int64_t next[MOST_PARTS];
    memcpy(next, g->next_listed[reader], sizeof next);
    for (int64_t i = count * reader / g->parts; i < count * (reader + 1) / g->parts; i++)
        if (g->part[i] != NO_PART) g->listed[next[g->part[i]]++] = (int32_t)i;
}

static void place_part(gathering *g, const lloyd_placed *members, int part)
{
    for (int64_t at = g->begin_listed[part]; at < g->begin_listed[part + 1]; at++)
        place(g, &members[g->listed[at]]);
}

/* Each to the next place of its cluster. Those of other slices are left out, where `slice` >= 0. */
static void place_members(gathering *g, const lloyd_placed *members, int64_t count, int slice)
{
    if (count <= PLACED_ALONE || g->parts == 1) {
        for (int64_t i = 0; i < count; i++)
            if (is_of_slice(g, &members[i], slice)) place(g, &members[i]);
        return;
    }
#pragma omp parallel num_threads(g->parts)
    {
        const int first = omp_get_thread_num(), threads = omp_get_num_threads();
        for (int reader = first; reader < g->parts; reader += threads)
            count_part(g, members, count, slice, reader);
#pragma omp barrier
#pragma omp single
        find_begins(g);
        for (int reader = first; reader < g->parts; reader += threads) list_part(g, count, reader);
#pragma omp barrier
        for (int part = first; part < g->parts; part += threads) place_part(g, members, part);
    }
}

/* One rank has all members of the slice. */
static lloyd_status gather_own(gathering *g, int round)
{
    const lloyd_member_rows *rows = g->rows;
    for (int64_t at = 0; at < rows->count; at += g->batch.rows) {
        int64_t count = rows->count - at;
        if (count > g->batch.rows) count = g->batch.rows;
        LLOYD_TRY(lloyd_member_batch_read(&g->batch, rows, at, count));
        place_members(g, g->batch.placed, count, g->rounds > 1 ? round : -1);
    }
    return LLOYD_OK;
}

/* All ranks send and receive until none has any left. */
static lloyd_status gather(gathering *g, int round)
{
    lloyd_comm *comm = g->comm;
    int64_t more = 1;
    if (comm->size == 1) return gather_own(g, round);
    while (more > 0) {
        LLOYD_TRY(comm->agree(comm, fill_blocks(g, round, &more)));
        LLOYD_TRY(comm->exchange(comm, g->send, g->receive, g->room, sizeof *g->send, g->counts));
        for (int r = 0; r < comm->size; r++)
            place_members(g, g->receive + r * g->room, g->counts[r], -1);
        LLOYD_TRY(lloyd_comm_sum_host(comm, &more, 1));
    }
    return LLOYD_OK;
}

/* The part of each cluster. */
static void sort_slice(gathering *g, int threads)
{
    if (g->begin == g->end) return;
    const int64_t first = lloyd_cluster_at(g->offsets, g->k, g->begin);
    const int64_t last = lloyd_cluster_at(g->offsets, g->k, g->end - 1);
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (int64_t c = first; c <= last; c++) {
        int64_t from = g->offsets[c] > g->begin ? g->offsets[c] : g->begin;
        int64_t to = g->offsets[c + 1] < g->end ? g->offsets[c + 1] : g->end;
        lloyd_members_sort(g->slice + (from - g->begin), to - from);
    }
}

static lloyd_status write_slice(gathering *g)
{
    const int64_t count = g->end - g->begin;
    int64_t *numbers = (int64_t *)g->slice; /* each is written where one is read already */
    for (int64_t i = 0; i < count; i++) {
        int64_t row = g->slice[i].row;
        memcpy(&numbers[i], &row, sizeof row);
    }
    return lloyd_array_write(g->members, g->begin, count, numbers);
}

static lloyd_status run_rounds(gathering *g, int threads)
{
    for (int round = 0; round < g->rounds; round++) {
        begin_slice(g, round);
        LLOYD_TRY(gather(g, round));
        sort_slice(g, threads);
        const double start = lloyd_seconds();
        LLOYD_TRY(g->comm->agree(g->comm, write_slice(g)));
        g->writing += lloyd_seconds() - start;
    }
    return LLOYD_OK;
}

/* --- begin and end --- */

static lloyd_status make_room(gathering *g)
{
    const char *what = "the members of the clusters";
    const int ranks = g->comm->size;
    const int64_t slice = slice_rows(g->n, (int64_t)ranks * g->rounds),
                  batch = lloyd_member_batch_rows(slice);
    g->parts = g->rows->threads < MOST_PARTS ? g->rows->threads : MOST_PARTS;
    g->pitch = pitch_of(g->k, g->parts);
    g->room = room_of(g->n, ranks);
    LLOYD_TRY(lloyd_alloc(&g->slice, slice, sizeof *g->slice, what));
    LLOYD_TRY(lloyd_alloc(&g->filled, g->parts * g->pitch, sizeof *g->filled, what));
    LLOYD_TRY(lloyd_alloc(&g->part, batch, sizeof *g->part, what));
    LLOYD_TRY(lloyd_alloc(&g->listed, batch, sizeof *g->listed, what));
    LLOYD_TRY(lloyd_alloc(&g->send, ranks * g->room, sizeof *g->send, what));
    LLOYD_TRY(lloyd_alloc(&g->receive, ranks * g->room, sizeof *g->receive, what));
    LLOYD_TRY(lloyd_alloc(&g->counts, ranks, sizeof *g->counts, what));
    return lloyd_member_batch_open(&g->batch, batch);
}

static lloyd_status open_all(gathering *g, const lloyd_output *output, const int64_t *counts)
{
    LLOYD_TRY(lloyd_alloc(&g->offsets, g->k + 1, sizeof *g->offsets, "the sizes of the clusters"));
    for (int64_t c = 0; c < g->k; c++) g->offsets[c + 1] = g->offsets[c] + counts[c];
    g->n = g->offsets[g->k];
    LLOYD_TRY(make_room(g));
    LLOYD_TRY(lloyd_array_open(output, "/members", &g->members));
    if (g->comm->rank != 0) return LLOYD_OK;
    LLOYD_TRY(lloyd_array_open(output, "/offsets", &g->offsets_array));
    return lloyd_array_write(g->offsets_array, 0, g->k + 1, g->offsets);
}

static lloyd_status close_all(gathering *g)
{
    lloyd_status members = lloyd_array_close(g->members),
                 offsets = lloyd_array_close(g->offsets_array);
    lloyd_slices_free(&g->slices);
    lloyd_member_batch_close(&g->batch);
    lloyd_free(g->offsets);
    lloyd_free(g->slice);
    lloyd_free(g->filled);
    lloyd_free(g->part);
    lloyd_free(g->listed);
    lloyd_free(g->send);
    lloyd_free(g->receive);
    lloyd_free(g->counts);
    return members != LLOYD_OK ? members : offsets;
}

lloyd_status lloyd_members_write(lloyd_comm *comm, const lloyd_output *output,
                                 const lloyd_member_rows *rows, const int64_t *counts, int64_t k,
                                 int rounds, double *seconds)
{
    const double start = lloyd_seconds();
    gathering g = {.comm = comm, .rows = rows, .k = k, .rounds = rounds};
    lloyd_status status = comm->agree(comm, open_all(&g, output, counts));
    if (status == LLOYD_OK)
        status =
            lloyd_slices_find(comm, rows, g.offsets, k, comm->size * rounds, &g.batch, &g.slices);
    if (status == LLOYD_OK) status = run_rounds(&g, rows->threads);
    if (seconds) *seconds = lloyd_seconds() - start - g.writing;
    lloyd_status closed = close_all(&g);
    return status == LLOYD_OK ? comm->agree(comm, closed) : status;
}
