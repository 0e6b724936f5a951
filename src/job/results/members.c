/* See members.h. */
#include "job/results/members.h"

#include "base/memory.h"
#include "io/writers/array.h"
#include "job/results/slices.h"

#include <omp.h>

enum {
    BLOCKS = 1 << 17,       /* members on their way to other ranks at a time, and from them */
    LEAST_SLICE = 1 << 16,  /* members: smaller ones save no memory worth the rounds */
    MOST_SLICES = 1 << 14,  /* of all ranks and rounds, where there are fewer ranks */
    PLACED_ALONE = 1 << 12, /* members that one thread places */
};

typedef struct gathering {
    lloyd_comm *comm;
    const lloyd_member_rows *rows;
    int64_t k, n;
    int rounds;
    lloyd_array *members, *offsets_array;

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
    int64_t *filled;     /* [k] where the next member of a cluster goes in it */
} gathering;

/* --- the plan --- */

/* One rank alone sends nothing. */
static int64_t room_of(int64_t n, int ranks)
{
    if (ranks == 1) return 0;
    int64_t most = n / ranks + 1, room = BLOCKS / ranks + 1;
    return most < room ? most : room;
}

static int64_t slice_rows(int64_t n, int64_t slices)
{
    return n / slices + 1;
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
                                    (2 * k + 1 + ranks) * (int64_t)sizeof(int64_t) +
                                    LLOYD_MEMBER_BATCH_BYTES + lloyd_slices_bytes((int)slices)};
}

/* --- a round --- */

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
        g->filled[c] = g->offsets[c] > g->begin ? g->offsets[c] - g->begin : 0;
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
        if (g->batch_count > LLOYD_MEMBER_BATCH) g->batch_count = LLOYD_MEMBER_BATCH;
        if (g->batch_count == 0) return LLOYD_OK;
        LLOYD_TRY(lloyd_member_batch_read(&g->batch, rows, g->batch_at, g->batch_count));
    }
}

/* Which of some threads has a cluster: each about as many. */
static int thread_of(int64_t cluster, int threads)
{
    const uint32_t mixed = (uint32_t)cluster * 2654435761u; /* Knuth's multiplicative hash */
    return (int)((uint64_t)mixed * (uint64_t)threads >> 32);
}

/* Each to the next place of its cluster. Those of other slices are left out, where `slice` >= 0. Every thread looks at all of them and
 * places those of its own clusters: a place that threads count together would make each wait for its last write to memory. */
static void place_members(gathering *g, const lloyd_placed *members, int64_t count, int slice)
{
#pragma omp parallel num_threads(g->rows->threads) if (count > PLACED_ALONE)
    {
        const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
        for (int64_t i = 0; i < count; i++) {
            if (thread_of(members[i].cluster, threads) != thread) continue;
            if (slice >= 0 && lloyd_slices_of(&g->slices, &members[i]) != slice) continue;
            g->slice[g->filled[members[i].cluster]++] = members[i].member;
        }
    }
}

/* One rank has all members of the slice. */
static lloyd_status gather_own(gathering *g, int round)
{
    const lloyd_member_rows *rows = g->rows;
    for (int64_t at = 0; at < rows->count; at += LLOYD_MEMBER_BATCH) {
        int64_t count = rows->count - at;
        if (count > LLOYD_MEMBER_BATCH) count = LLOYD_MEMBER_BATCH;
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
        LLOYD_TRY(g->comm->agree(g->comm, write_slice(g)));
    }
    return LLOYD_OK;
}

/* --- begin and end --- */

static lloyd_status make_room(gathering *g)
{
    const char *what = "the members of the clusters";
    const int ranks = g->comm->size;
    g->room = room_of(g->n, ranks);
    LLOYD_TRY(lloyd_alloc(&g->slice, slice_rows(g->n, (int64_t)ranks * g->rounds), sizeof *g->slice,
                          what));
    LLOYD_TRY(lloyd_alloc(&g->filled, g->k, sizeof *g->filled, what));
    LLOYD_TRY(lloyd_alloc(&g->send, ranks * g->room, sizeof *g->send, what));
    LLOYD_TRY(lloyd_alloc(&g->receive, ranks * g->room, sizeof *g->receive, what));
    LLOYD_TRY(lloyd_alloc(&g->counts, ranks, sizeof *g->counts, what));
    return lloyd_member_batch_open(&g->batch);
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
    lloyd_free(g->send);
    lloyd_free(g->receive);
    lloyd_free(g->counts);
    return members != LLOYD_OK ? members : offsets;
}

lloyd_status lloyd_members_write(lloyd_comm *comm, const lloyd_output *output,
                                 const lloyd_member_rows *rows, const int64_t *counts, int64_t k,
                                 int rounds)
{
    gathering g = {.comm = comm, .rows = rows, .k = k, .rounds = rounds};
    lloyd_status status = comm->agree(comm, open_all(&g, output, counts));
    if (status == LLOYD_OK)
        status =
            lloyd_slices_find(comm, rows, g.offsets, k, comm->size * rounds, &g.batch, &g.slices);
    if (status == LLOYD_OK) status = run_rounds(&g, rows->threads);
    lloyd_status closed = close_all(&g);
    return status == LLOYD_OK ? comm->agree(comm, closed) : status;
}
