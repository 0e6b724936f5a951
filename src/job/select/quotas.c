/* See quotas.h. */
#include "job/select/quotas.h"

#include "algorithm/permutation.h"
#include "base/memory.h"
#include "job/select/visit.h"

#include <string.h>

/* ---- One group ------------------------------------------------------------------------------ */

typedef struct group {
    const int64_t *sizes, *items;
    int64_t count;
} group;

static int64_t item(const group *g, int64_t i)
{
    return g->items ? g->items[i] : i;
}

/* Rows that are taken with at most `most` of each. */
static int64_t taken(const group *g, int64_t most)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < g->count; i++) {
        const int64_t size = g->sizes[item(g, i)];
        sum += size < most ? size : most;
    }
    return sum;
}

/* The greatest number of which no more than `total` are taken; not above the largest size. */
static int64_t level_of(const group *g, int64_t total)
{
    int64_t low = 0, high = 0;
    for (int64_t i = 0; i < g->count; i++)
        if (g->sizes[item(g, i)] > high) high = g->sizes[item(g, i)];
    while (low < high) {
        const int64_t middle = low + (high - low + 1) / 2;
        if (taken(g, middle) <= total) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

void lloyd_quotas_share(const int64_t *sizes, const int64_t *items, int64_t count, int64_t total,
                        uint64_t key, int64_t *quotas)
{
    const group g = {sizes, items, count};
    const int64_t most = level_of(&g, total);
    int64_t left = total - taken(&g, most);
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = item(&g, i);
        quotas[at] = sizes[at] < most ? sizes[at] : most;
    }
    for (int64_t i = 0; i < count && left > 0; i++) {
        const int64_t at = item(&g, lloyd_permuted(count, key, i));
        if (sizes[at] == quotas[at]) continue;
        quotas[at]++;
        left--;
    }
}

/* ---- Levels --------------------------------------------------------------------------------- */

/* The clusters below each parent: children[begin[p] .. begin[p + 1]). */
typedef struct family {
    int64_t *begin, *children;
} family;

static void free_family(family *f)
{
    lloyd_free(f->begin);
    lloyd_free(f->children);
}

static lloyd_status make_family(const lloyd_parents *p, family *f)
{
    LLOYD_TRY(lloyd_alloc(&f->begin, p->k + 2, sizeof *f->begin, "the clusters of a level"));
    LLOYD_TRY(lloyd_alloc(&f->children, p->count, sizeof *f->children, "the clusters of a level"));
    /* begin[k + 2] is used while they are counted: where the next one of a parent goes is at k + 1. */
    for (int64_t i = 0; i < p->count; i++) f->begin[p->labels[i] + 2]++;
    for (int64_t k = 2; k < p->k + 2; k++) f->begin[k] += f->begin[k - 1];
    for (int64_t i = 0; i < p->count; i++) f->children[f->begin[p->labels[i] + 1]++] = i;
    return LLOYD_OK;
}

static lloyd_status share_family(const lloyd_parents *p, const int64_t *sizes,
                                 const int64_t *shares, uint64_t seed, int level, int64_t *quotas)
{
    family f = {.begin = NULL};
    lloyd_status status = make_family(p, &f);
    for (int64_t k = 0; k < p->k && status == LLOYD_OK; k++)
        lloyd_quotas_share(sizes, f.children + f.begin[k], f.begin[k + 1] - f.begin[k], shares[k],
                           lloyd_visit_key(seed, k, level), quotas);
    free_family(&f);
    return status;
}

/* The sizes and shares of the clusters above, then the quotas of those that they have; `level`: of the parents. */
static lloyd_status share_below(const int64_t *sizes, int64_t k, const lloyd_parents *parents,
                                int levels, int level, int64_t total, uint64_t seed,
                                int64_t *quotas)
{
    if (levels == 0) {
        lloyd_quotas_share(sizes, NULL, k, total, lloyd_visit_key(seed, 0, level), quotas);
        return LLOYD_OK;
    }
    int64_t *above = NULL, *shares = NULL;
    lloyd_status status = lloyd_alloc(&above, parents->k, sizeof *above, "sizes of clusters");
    if (status == LLOYD_OK)
        status = lloyd_alloc(&shares, parents->k, sizeof *shares, "shares of clusters");
    for (int64_t i = 0; i < k && status == LLOYD_OK; i++) above[parents->labels[i]] += sizes[i];
    if (status == LLOYD_OK)
        status =
            share_below(above, parents->k, parents + 1, levels - 1, level + 1, total, seed, shares);
    if (status == LLOYD_OK) status = share_family(parents, sizes, shares, seed, level, quotas);
    lloyd_free(above);
    lloyd_free(shares);
    return status;
}

lloyd_status lloyd_quotas_share_levels(const int64_t *sizes, int64_t k,
                                       const lloyd_parents *parents, int levels, int64_t total,
                                       uint64_t seed, int64_t *quotas)
{
    return share_below(sizes, k, parents, levels, 2, total, seed, quotas);
}
