/* See groups.h. */
#include "algorithm/groups/groups.h"

#include "algorithm/groups/relocate_groups.h"
#include "algorithm/permutation.h"
#include "base/memory.h"
#include "base/stop.h"

#include <string.h>

lloyd_status lloyd_grouped_open(lloyd_problem *problem, lloyd_group *group, int64_t count,
                                lloyd_grouped *g)
{
    const char *what = "groups of rows";
    *g = (lloyd_grouped){.problem = problem, .group = group, .count = count};
    LLOYD_TRY(lloyd_alloc(&g->rows, count + 1, sizeof *g->rows, what));
    LLOYD_TRY(lloyd_alloc(&g->clusters, count + 1, sizeof *g->clusters, what));
    LLOYD_TRY(lloyd_alloc(&g->active, count, sizeof *g->active, what));
    LLOYD_TRY(lloyd_alloc(&g->moved, count, sizeof *g->moved, what));
    LLOYD_TRY(lloyd_alloc(&g->relocated, count, sizeof *g->relocated, what));
    for (int64_t i = 0; i < count; i++) {
        g->rows[i + 1] = g->rows[i] + group[i].count;
        g->clusters[i + 1] = g->clusters[i] + group[i].k;
        g->active[i] = 1;
    }
    return LLOYD_OK;
}

void lloyd_grouped_close(lloyd_grouped *g)
{
    lloyd_free(g->rows);
    lloyd_free(g->clusters);
    lloyd_free(g->active);
    lloyd_free(g->moved);
    lloyd_free(g->relocated);
}

/* --- the first centroids --- */

lloyd_status lloyd_grouped_begin_at(lloyd_grouped *g, const int64_t *rows)
{
    const lloyd_problem *p = g->problem;
    lloyd_kernels *kernels = p->kernels;
    const lloyd_groups groups = {g->count, g->rows, g->clusters, g->active};
    LLOYD_TRY(kernels->set_groups(kernels, &groups));
    return kernels->set_rows(kernels, p->k, rows);
}

lloyd_status lloyd_grouped_seed_random(lloyd_grouped *g)
{
    int64_t *rows = NULL;
    LLOYD_TRY(lloyd_alloc(&rows, g->problem->k, sizeof *rows, "seed rows"));
    for (int64_t i = 0; i < g->count; i++) {
        const lloyd_group *group = &g->group[i];
        for (int64_t k = 0; k < group->k; k++)
            rows[g->clusters[i] + k] = g->rows[i] + lloyd_permuted(group->count, group->seed, k);
    }
    const lloyd_status status = lloyd_grouped_begin_at(g, rows);
    lloyd_free(rows);
    return status;
}

/* --- iterations --- */

/* `count` clusters are empty, of active groups and of others. */
static lloyd_status relocate(lloyd_grouped *g, int64_t count)
{
    lloyd_kernels *kernels = g->problem->kernels;
    int32_t *empty = NULL;
    int wanted = 0;
    LLOYD_TRY(lloyd_alloc(&empty, count, sizeof *empty, "empty clusters"));
    lloyd_status status = kernels->empty_clusters(kernels, count, empty);
    for (int64_t e = 0, i = 0; e < count && status == LLOYD_OK; e++) {
        while (empty[e] >= g->clusters[i + 1]) i++;
        wanted |= g->active[i];
    }
    if (wanted && status == LLOYD_OK) status = lloyd_grouped_relocate(g, empty, count);
    lloyd_free(empty);
    return status;
}

static int any_active(const lloyd_grouped *g)
{
    for (int64_t i = 0; i < g->count; i++)
        if (g->active[i]) return 1;
    return 0;
}

/* In a group where no label changed none will: its sums, and so its centroids, stay as they are. They may not if these are of sums that had a
 * row for an empty cluster elsewhere than the labels say. */
static void end_groups(lloyd_grouped *g)
{
    for (int64_t i = 0; i < g->count; i++) {
        if (!g->active[i]) continue;
        g->group[i].iterations++;
        g->group[i].converged = g->moved[i] == 0;
        g->group[i].left = g->group[i].converged && g->relocated[i];
        g->active[i] = !g->group[i].converged;
        g->relocated[i] = 0;
    }
}

static lloyd_status iterate_once(lloyd_grouped *g, const lloyd_rule *rule)
{
    const lloyd_problem *p = g->problem;
    lloyd_kernels *kernels = p->kernels;
    lloyd_found found;
    LLOYD_TRY(lloyd_stop_check());
    LLOYD_TRY(kernels->begin(kernels));
    LLOYD_TRY(kernels->assign(kernels, 0));
    LLOYD_TRY(kernels->accumulate(kernels, 0));
    LLOYD_TRY(kernels->inertia(kernels, p->squares, &found));
    LLOYD_TRY(kernels->groups_moved(kernels, g->moved));
    end_groups(g);
    if (rule->relocate && found.empty > 0) LLOYD_TRY(relocate(g, found.empty));
    return kernels->update(kernels);
}

/* Labels of the groups that have not converged, for the centroids that they have now. */
static lloyd_status assign_rest(lloyd_grouped *g)
{
    lloyd_kernels *kernels = g->problem->kernels;
    LLOYD_TRY(kernels->begin(kernels));
    LLOYD_TRY(kernels->assign(kernels, 0));
    return kernels->finish(kernels);
}

lloyd_status lloyd_grouped_iterate(lloyd_grouped *g, const lloyd_rule *rule)
{
    lloyd_kernels *kernels = g->problem->kernels;
    LLOYD_TRY(kernels->forget_labels(kernels));
    for (int64_t i = 0; i < rule->max_iters && any_active(g); i++) LLOYD_TRY(iterate_once(g, rule));
    return any_active(g) ? assign_rest(g) : LLOYD_OK;
}
