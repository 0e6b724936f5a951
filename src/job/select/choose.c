/* See choose.h. */
#include "job/select/choose.h"

#include "base/memory.h"
#include "job/select/bits.h"
#include "job/select/quotas.h"
#include "job/select/visit.h"

enum { PIECE = 1 << 18 }; /* members that are read together */

/* Of each cluster: how many members are left, how many of them are selected, and where they begin among all that
 * are left. */
typedef struct counts {
    int64_t *sizes, *quotas, *begin;
} counts;

static void free_counts(counts *c)
{
    lloyd_free(c->sizes);
    lloyd_free(c->quotas);
    lloyd_free(c->begin);
}

static lloyd_status count_members(const lloyd_choosing *c, counts *n)
{
    const int64_t k = c->clusters->k, *offsets = c->clusters->offsets;
    LLOYD_TRY(lloyd_alloc(&n->sizes, k, sizeof *n->sizes, "sizes of clusters"));
    LLOYD_TRY(lloyd_alloc(&n->quotas, k, sizeof *n->quotas, "shares of clusters"));
    LLOYD_TRY(lloyd_alloc(&n->begin, k + 1, sizeof *n->begin, "offsets of clusters"));
    for (int64_t i = 0; i < k; i++) {
        n->sizes[i] = c->kept ? lloyd_bits_count(c->kept, offsets[i], offsets[i + 1])
                              : offsets[i + 1] - offsets[i];
        n->begin[i + 1] = n->begin[i] + n->sizes[i];
    }
    return LLOYD_OK;
}

static lloyd_status set_quotas(const lloyd_choosing *c, counts *n)
{
    const lloyd_select_options *o = c->options;
    const int64_t k = c->clusters->k, most = o->nearest > 0 ? o->nearest : o->farthest;
    if (o->sample > 0)
        return lloyd_quotas_share_levels(n->sizes, k, c->parents, c->levels, o->sample, o->seed,
                                         n->quotas);
    for (int64_t i = 0; i < k; i++)
        n->quotas[i] = most > 0 && most < n->sizes[i] ? most : n->sizes[i];
    return LLOYD_OK;
}

static lloyd_visit visit_of(const lloyd_select_options *o)
{
    if (o->sample > 0) return lloyd_visit_named(o->order);
    return o->farthest > 0 ? LLOYD_VISIT_FARTHEST : LLOYD_VISIT_NEAREST;
}

/* chosen: of all members that are left, numbered one cluster after the other. */
static void choose_members(const lloyd_choosing *c, const counts *n, uint64_t *chosen)
{
    const lloyd_visit visit = visit_of(c->options);
#pragma omp parallel for schedule(dynamic, 64)
    for (int64_t k = 0; k < c->clusters->k; k++) {
        const uint64_t key = lloyd_visit_key(c->options->seed, k, 1);
        for (int64_t i = 0; i < n->quotas[k]; i++)
            lloyd_bits_add(chosen, n->begin[k] + lloyd_visit_place(visit, n->sizes[k], key, i));
    }
}

static lloyd_status mark(const lloyd_clusters *c, int64_t row, uint64_t *marks)
{
    if (lloyd_bits_has(marks, row))
        return lloyd_fail(LLOYD_BAD_INPUT, "/members of %s has row %lld twice; the file is damaged",
                          c->path, (long long)row);
    lloyd_bits_add(marks, row);
    return LLOYD_OK;
}

/* Goes through all members once. */
static lloyd_status mark_rows(const lloyd_choosing *c, const uint64_t *chosen, int64_t *piece,
                              uint64_t *marks)
{
    int64_t number = 0; /* of those that are left */
    for (int64_t at = 0; at < c->clusters->count; at += PIECE) {
        const int64_t left = c->clusters->count - at, count = left < PIECE ? left : PIECE;
        LLOYD_TRY(lloyd_clusters_read(c->clusters, at, count, piece));
        for (int64_t i = 0; i < count; i++) {
            if (c->kept && !lloyd_bits_has(c->kept, at + i)) continue;
            if (lloyd_bits_has(chosen, number++)) LLOYD_TRY(mark(c->clusters, piece[i], marks));
        }
    }
    return LLOYD_OK;
}

static lloyd_status choose(const lloyd_choosing *c, const counts *n, uint64_t *marks)
{
    uint64_t *chosen = NULL;
    int64_t *piece = NULL;
    lloyd_status status = lloyd_alloc(&chosen, lloyd_bits_words(n->begin[c->clusters->k]),
                                      sizeof *chosen, "marks of members");
    if (status == LLOYD_OK)
        status = lloyd_alloc(&piece, PIECE, sizeof *piece, "members of clusters");
    if (status == LLOYD_OK) {
        choose_members(c, n, chosen);
        status = mark_rows(c, chosen, piece, marks);
    }
    lloyd_free(piece);
    lloyd_free(chosen);
    return status;
}

lloyd_status lloyd_choose(const lloyd_choosing *choosing, uint64_t *marks,
                          lloyd_select_result *result)
{
    const int64_t k = choosing->clusters->k;
    counts n = {.sizes = NULL};
    lloyd_status status = count_members(choosing, &n);
    if (status == LLOYD_OK) status = set_quotas(choosing, &n);
    if (status == LLOYD_OK) status = choose(choosing, &n, marks);
    if (status == LLOYD_OK) {
        result->available = n.begin[k];
        for (int64_t i = 0; i < k; i++) {
            result->selected += n.quotas[i];
            result->touched += n.quotas[i] > 0;
        }
    }
    free_counts(&n);
    return status;
}
