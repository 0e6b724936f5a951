/* Rows for the empty clusters of groups (section 9 of the contract), as in relocate.c, but of each group its own rows. There is one rank, and a few
 * clusters are empty if any, so the host looks for the rows. */
#include "algorithm/groups/relocate_groups.h"

#include "algorithm/relocate.h"
#include "base/memory.h"

#include <string.h>

typedef struct relocation {
    const lloyd_grouped *g;
    int32_t *labels;       /* [rows of all groups] */
    double *distances;     /* the same */
    lloyd_far_row *far;    /* [empty] of a group, farthest first */
    int64_t *rows;         /* [empty] the same */
    float *values;         /* [empty * d] */
    int64_t words, *moved; /* [words] a row in digits */
} relocation;

static lloyd_status open_relocation(const lloyd_grouped *g, int64_t empty, relocation *r)
{
    const char *what = "rows for empty clusters";
    const lloyd_problem *p = g->problem;
    const int64_t all = g->rows[g->count];
    const lloyd_sum_layout layout = lloyd_layout_of_sums(&p->grid, p->d, p->k);
    *r = (relocation){.g = g, .words = lloyd_row_words(&layout)};
    LLOYD_TRY(lloyd_alloc_uncleared(&r->labels, all, sizeof *r->labels, what));
    LLOYD_TRY(lloyd_alloc_uncleared(&r->distances, all, sizeof *r->distances, what));
    LLOYD_TRY(lloyd_alloc(&r->far, empty, sizeof *r->far, what));
    LLOYD_TRY(lloyd_alloc(&r->rows, empty, sizeof *r->rows, what));
    LLOYD_TRY(lloyd_alloc(&r->values, empty * p->d, sizeof *r->values, what));
    LLOYD_TRY(lloyd_alloc(&r->moved, r->words, sizeof *r->moved, what));
    LLOYD_TRY(p->kernels->labels(p->kernels, 0, all, r->labels));
    return p->kernels->distances(p->kernels, 0, r->distances);
}

static void close_relocation(relocation *r)
{
    lloyd_free(r->labels);
    lloyd_free(r->distances);
    lloyd_free(r->far);
    lloyd_free(r->rows);
    lloyd_free(r->values);
    lloyd_free(r->moved);
}

/* r->far = the `want` rows of group i, or all, that are farthest from their centroids; ties: the lowest row. How many. */
static int64_t find_farthest(relocation *r, int64_t i, int64_t want)
{
    int64_t found = 0;
    for (int64_t row = r->g->rows[i]; row < r->g->rows[i + 1]; row++) {
        const double distance = r->distances[row];
        if (found == want && !(distance > r->far[found - 1].distance)) continue;
        int64_t at = found < want ? found++ : found - 1;
        for (; at > 0 && distance > r->far[at - 1].distance; at--) r->far[at] = r->far[at - 1];
        r->far[at] = (lloyd_far_row){distance, row, r->labels[row]};
    }
    return found;
}

/* Group i has these empty clusters. */
static lloyd_status relocate_group(relocation *r, int64_t i, const int32_t *empty, int64_t count)
{
    const lloyd_problem *p = r->g->problem;
    lloyd_kernels *kernels = p->kernels;
    const lloyd_sum_layout layout = lloyd_layout_of_sums(&p->grid, p->d, p->k);
    const int64_t found = find_farthest(r, i, count);
    for (int64_t f = 0; f < found; f++) r->rows[f] = r->far[f].row;
    LLOYD_TRY(kernels->rows(kernels, 0, r->rows, found, r->values));
    for (int64_t f = 0; f < found; f++) {
        memset(r->moved, 0, (size_t)r->words * sizeof *r->moved);
        lloyd_problem_row_digits(p, &layout, r->values + f * p->d, 1, r->moved);
        LLOYD_TRY(kernels->relocate(kernels, r->far[f].label, empty[f], r->moved));
    }
    return LLOYD_OK;
}

lloyd_status lloyd_grouped_relocate(lloyd_grouped *g, const int32_t *empty, int64_t count)
{
    relocation r;
    lloyd_status status = open_relocation(g, count, &r);
    for (int64_t at = 0, end, i = 0; at < count && status == LLOYD_OK; at = end) {
        while (empty[at] >= g->clusters[i + 1]) i++;
        for (end = at; end < count && empty[end] < g->clusters[i + 1];) end++;
        if (!g->active[i]) continue;
        status = relocate_group(&r, i, empty + at, end - at);
        g->relocated[i] = 1;
    }
    close_relocation(&r);
    return status;
}
