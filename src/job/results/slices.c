/* See slices.h. */
#include "job/results/slices.h"

#include "base/memory.h"

enum { VALUES = 256, TOP_SHIFT = 120 };

/* A member that is looked for: the one with `before` members of its cluster before it that have the same
 * digits as `number` so far. Found when there are none. */
typedef struct search {
    int64_t cluster, before;
    unsigned __int128 number;
    int64_t *
        histogram; /* [VALUES] of the next byte; shared by those of one cluster and the same digits */
} search;

typedef struct searches {
    search *items; /* [count] in the order of slices, which is that of (cluster, number) */
    int count;
    int64_t *histograms; /* [count * VALUES] */
    int groups;          /* histograms in use */
} searches;

int64_t lloyd_slices_begin(const lloyd_slices *slices, int64_t slice)
{
    return (int64_t)((__int128)slices->n * slice / slices->count);
}

int64_t lloyd_cluster_at(const int64_t *offsets, int64_t k, int64_t place)
{
    int64_t low = 0, high = k; /* offsets[low] <= place < offsets[high] */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (offsets[middle] <= place)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void begin_search(const lloyd_slices *slices, const int64_t *offsets, int64_t k, int slice,
                         search *s)
{
    int64_t place = lloyd_slices_begin(slices, slice);
    *s = (search){.cluster = k}; /* behind all members */
    if (place == slices->n) return;
    s->cluster = lloyd_cluster_at(offsets, k, place);
    s->before = place - offsets[s->cluster];
}

/* Gives each search that is not over a histogram of zeros. */
static void group(searches *all)
{
    const search *last = NULL;
    all->groups = 0;
    for (int i = 0; i < all->count; i++) {
        search *s = &all->items[i];
        s->histogram = NULL;
        if (s->before == 0) continue;
        int same = last && last->cluster == s->cluster && last->number == s->number;
        s->histogram = all->histograms + (int64_t)(same ? all->groups - 1 : all->groups++) * VALUES;
        last = s;
    }
    memset(all->histograms, 0, (size_t)all->groups * VALUES * sizeof *all->histograms);
}

/* The last search, over or not, whose (cluster, digits so far) do not come after those of a member. */
static const search *search_of(const searches *all, int64_t cluster, unsigned __int128 digits)
{
    int low = 0, high = all->count;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        const search *s = &all->items[middle];
        if (s->cluster < cluster || (s->cluster == cluster && s->number <= digits))
            low = middle;
        else
            high = middle;
    }
    return &all->items[low];
}

/* Counts the members that have the digits of a search so far, by their next byte. Of the searches with the
 * same digits the last one is found: if that is over, so are those before it. */
static void count_members(searches *all, const lloyd_placed *placed, int64_t count, int shift)
{
    for (int64_t i = 0; i < count; i++) {
        unsigned __int128 number = lloyd_member_number(&placed[i].member);
        unsigned __int128 digits = shift == TOP_SHIFT ? 0 : number >> (shift + 8) << (shift + 8);
        const search *s = search_of(all, placed[i].cluster, digits);
        if (s->histogram && s->cluster == placed[i].cluster && s->number == digits)
            s->histogram[(int)(number >> shift) & (VALUES - 1)]++;
    }
}

static lloyd_status count_all(searches *all, const lloyd_member_rows *rows,
                              lloyd_member_batch *batch, int shift)
{
    for (int64_t at = 0; at < rows->count; at += batch->rows) {
        int64_t count = rows->count - at;
        if (count > batch->rows) count = batch->rows;
        LLOYD_TRY(lloyd_member_batch_read(batch, rows, at, count));
        count_members(all, batch->placed, count, shift);
    }
    return LLOYD_OK;
}

/* The next byte of a search, from the counts of all ranks. */
static void decide(search *s, int shift)
{
    int value = 0;
    if (!s->histogram) return;
    for (; value < VALUES - 1 && s->before >= s->histogram[value]; value++)
        s->before -= s->histogram[value];
    s->number |= (unsigned __int128)value << shift;
}

static lloyd_status search_all(lloyd_comm *comm, searches *all, const lloyd_member_rows *rows,
                               lloyd_member_batch *batch)
{
    for (int shift = TOP_SHIFT; shift >= 0; shift -= 8) {
        group(all);
        if (all->groups == 0) return LLOYD_OK;
        LLOYD_TRY(comm->agree(comm, count_all(all, rows, batch, shift)));
        LLOYD_TRY(lloyd_comm_sum_host(comm, all->histograms, (int64_t)all->groups * VALUES));
        for (int i = 0; i < all->count; i++) decide(&all->items[i], shift);
    }
    return LLOYD_OK;
}

static lloyd_placed placed_of(const search *s)
{
    uint64_t bits = (uint64_t)(s->number >> 64);
    lloyd_placed placed = {.member.row = (int64_t)(uint64_t)s->number, .cluster = s->cluster};
    memcpy(&placed.member.distance, &bits, sizeof bits);
    return placed;
}

static lloyd_status make_room(lloyd_comm *comm, searches *all, lloyd_slices *slices)
{
    const char *what = "the slices of the members";
    LLOYD_TRY(lloyd_comm_alloc(comm, &slices->first, all->count, sizeof *slices->first, what));
    LLOYD_TRY(lloyd_comm_alloc(comm, &all->items, all->count, sizeof *all->items, what));
    return lloyd_comm_alloc(comm, &all->histograms, (int64_t)all->count * VALUES,
                            sizeof *all->histograms, what);
}

lloyd_status lloyd_slices_find(lloyd_comm *comm, const lloyd_member_rows *rows,
                               const int64_t *offsets, int64_t k, int count,
                               lloyd_member_batch *batch, lloyd_slices *slices)
{
    searches all = {.count = count};
    *slices = (lloyd_slices){.count = count, .n = offsets[k]};
    lloyd_status status = make_room(comm, &all, slices);
    if (status == LLOYD_OK) {
        for (int s = 0; s < count; s++) begin_search(slices, offsets, k, s, &all.items[s]);
        status = search_all(comm, &all, rows, batch);
        for (int s = 0; s < count; s++) slices->first[s] = placed_of(&all.items[s]);
    }
    lloyd_free(all.items);
    lloyd_free(all.histograms);
    return status;
}

void lloyd_slices_free(lloyd_slices *slices)
{
    lloyd_free(slices->first);
    slices->first = NULL;
}

int64_t lloyd_slices_bytes(int count)
{
    return count * (int64_t)(sizeof(lloyd_placed) + sizeof(search) + VALUES * sizeof(int64_t));
}

int lloyd_slices_of(const lloyd_slices *slices, const lloyd_placed *member)
{
    int low = 0, high = slices->count;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (lloyd_placed_before(member, &slices->first[middle]))
            high = middle;
        else
            low = middle;
    }
    return low;
}
