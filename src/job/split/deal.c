/* See deal.h. The largest piece of work first, to whoever has the least so far. */
#include "job/split/deal.h"

#include "base/memory.h"

#include <stdlib.h>

/* Comparisons of a row per iteration beside those with centroids: what else is done for it. */
enum { BESIDE = 16 };

/* Passes over the rows in a fit, of which a cluster that is done needs one. */
enum { PASSES = 16 };

typedef struct piece {
    double work;
    int64_t cluster;
} piece;

static double work_of(const int64_t *rows, const int64_t *first, const unsigned char *done,
                      int64_t c)
{
    const double work = (double)rows[c] * (double)(first[c + 1] - first[c] + BESIDE);
    return done && done[c] ? work / PASSES : work;
}

static int by_work(const void *a, const void *b)
{
    const piece *x = a, *y = b;
    if (x->work != y->work) return x->work > y->work ? -1 : 1;
    return x->cluster < y->cluster ? -1 : x->cluster > y->cluster;
}

/* What a rank has in a round so far. */
typedef struct turn {
    double work;
    int64_t number, rows;
} turn;

static int less(const turn *a, const turn *b)
{
    return a->work != b->work ? a->work < b->work : a->number < b->number;
}

/* The one at `at` has grown. */
static void sink(turn *heap, int64_t count, int64_t at)
{
    const turn moved = heap[at];
    for (int64_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && less(&heap[child + 1], &heap[child])) child++;
        if (!less(&heap[child], &moved)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

/* Where a cluster goes: to the turn with the least work, or if that has no room, to the one with the fewest rows. */
static int64_t place_for(const turn *heap, int64_t turns, int64_t rows, int64_t room)
{
    int64_t at = 0;
    if (heap[0].rows + rows <= room) return 0;
    for (int64_t t = 1; t < turns; t++)
        if (heap[t].rows < heap[at].rows ||
            (heap[t].rows == heap[at].rows && heap[t].number < heap[at].number))
            at = t;
    return at;
}

/* 1 if no turn has more than `room` rows. */
static int deal_out(const piece *pieces, const int64_t *rows, int64_t k, int64_t room, turn *heap,
                    int64_t turns, lloyd_deal *deal)
{
    for (int64_t t = 0; t < turns; t++) heap[t] = (turn){.number = t};
    deal->most = 0;
    for (int64_t i = 0; i < k; i++) {
        const int64_t c = pieces[i].cluster, at = place_for(heap, turns, rows[c], room);
        deal->turn[c] = heap[at].number;
        heap[at].work += pieces[i].work;
        heap[at].rows += rows[c];
        if (heap[at].rows > deal->most) deal->most = heap[at].rows;
        if (deal->most > room) return 0;
        sink(heap, turns, at);
    }
    return 1;
}

static lloyd_status find_rounds(const piece *pieces, const int64_t *rows, int64_t k, int ranks,
                                int64_t room, lloyd_deal *deal)
{
    int64_t all = 0;
    for (int64_t c = 0; c < k; c++) all += rows[c];
    deal->rounds = all > 0 ? (all - 1) / room / ranks + 1 : 1;
    for (;; deal->rounds++) {
        turn *heap;
        LLOYD_TRY(lloyd_alloc(&heap, deal->rounds * ranks, sizeof *heap, "turns of ranks"));
        int fits = deal_out(pieces, rows, k, room, heap, deal->rounds * ranks, deal);
        lloyd_free(heap);
        if (fits) return LLOYD_OK;
    }
}

lloyd_status lloyd_split_deal(const int64_t *rows, const int64_t *first, const unsigned char *done,
                              int64_t k, int ranks, int64_t room, lloyd_deal *deal)
{
    piece *pieces;
    *deal = (lloyd_deal){.rounds = 1};
    LLOYD_TRY(lloyd_alloc(&deal->turn, k, sizeof *deal->turn, "turns of clusters"));
    LLOYD_TRY(lloyd_alloc(&pieces, k, sizeof *pieces, "turns of clusters"));
    for (int64_t c = 0; c < k; c++) pieces[c] = (piece){work_of(rows, first, done, c), c};
    qsort(pieces, (size_t)k, sizeof *pieces, by_work);
    lloyd_status status = find_rounds(pieces, rows, k, ranks, room, deal);
    lloyd_free(pieces);
    return status;
}

int64_t lloyd_split_deal_bytes(int64_t k)
{
    return k * (int64_t)(sizeof(piece) + sizeof(int64_t));
}
