/* Lloyd's iteration: assign every row to its nearest centroid, sum the rows of every cluster, make
 * the means the new centroids; until no label changes. Each rank does it for its own rows; one
 * all-reduce of integers per iteration makes the sums, and hence the centroids, the same on all
 * ranks, bit for bit. Everything below reads the same on one core and on a thousand GPUs.
 */
#include "algorithm/fit.h"

#include "algorithm/inertia.h"
#include "algorithm/relocate.h"

static lloyd_status assign_chunk(void *context, lloyd_chunk *chunk)
{
    lloyd_problem *p = context;
    return p->kernels->assign(p->kernels, chunk->slot);
}

static lloyd_status assign_and_accumulate_chunk(void *context, lloyd_chunk *chunk)
{
    lloyd_problem *p = context;
    lloyd_observe_time(p->observer, LLOYD_TIME_ROWS);
    LLOYD_TRY(p->kernels->assign(p->kernels, chunk->slot));
    lloyd_observe_time(p->observer, LLOYD_TIME_ASSIGN);
    LLOYD_TRY(p->kernels->accumulate(p->kernels, chunk->slot));
    lloyd_observe_time(p->observer, LLOYD_TIME_UPDATE);
    return LLOYD_OK;
}

/* One pass over this rank's rows. */
static lloyd_status pass(lloyd_problem *p, lloyd_chunk_work work)
{
    LLOYD_TRY(p->kernels->begin(p->kernels));
    return lloyd_shard_label(p->shard, work, p);
}

/* Kernels that only enqueue have not assigned anything yet when the pass returns. */
lloyd_status lloyd_assign(lloyd_problem *p)
{
    lloyd_status status = pass(p, assign_chunk);
    if (status == LLOYD_OK) status = p->kernels->finish(p->kernels);
    return p->comm->agree(p->comm, status);
}

static lloyd_status assign_and_sum(lloyd_problem *p)
{
    lloyd_buffer sums = {.place = LLOYD_HOST};
    lloyd_status status = pass(p, assign_and_accumulate_chunk);
    if (status == LLOYD_OK) status = p->kernels->sums(p->kernels, &sums);
    lloyd_observe_time(p->observer, LLOYD_TIME_UPDATE);
    LLOYD_TRY(p->comm->agree(p->comm, status));
    lloyd_observe_time(p->observer, LLOYD_TIME_IDLE);
    int64_t words = lloyd_layout_of_sums(&p->grid, p->d, p->k).words;
    LLOYD_TRY(p->comm->sum(p->comm, sums, words));
    lloyd_observe_time(p->observer, LLOYD_TIME_SUM);
    return LLOYD_OK;
}

/* tol: the inertia fell by less than that share of itself. */
static int hardly_fell(const lloyd_rule *rule, const lloyd_history *history, double inertia)
{
    if (rule->tol <= 0 || history->iterations == 0) return 0;
    double previous = history->inertia[history->iterations - 1];
    return previous - inertia < rule->tol * previous;
}

lloyd_status lloyd_iterate(lloyd_problem *p, const lloyd_rule *rule, int64_t restart,
                           lloyd_history *history)
{
    lloyd_kernels *kernels = p->kernels;
    lloyd_observer *o = p->observer;
    int ends = 0;
    LLOYD_TRY(p->comm->agree(p->comm, kernels->forget_labels(kernels)));
    while (history->iterations < rule->max_iters && !history->converged && !ends) {
        lloyd_iteration now = {.restart = restart, .iteration = history->iterations + 1};
        lloyd_found found;
        if (o) o->begin(o);
        LLOYD_TRY(assign_and_sum(p));
        LLOYD_TRY(lloyd_problem_found(p, &found));
        now.inertia = found.inertia, now.moved = found.moved, now.empty = found.empty;
        now.fallback_rows = found.fallback_rows, now.int8_rows = found.int8_rows;
        now.int8_fallback_rows = found.int8_fallback_rows;
        now.int8_candidates = found.int8_candidates;
        now.pruned_rows = found.pruned_rows, now.compared = found.compared;
        now.left_out = found.left_out;
        if (o) LLOYD_TRY(o->found(o, p, history, &now));
        history->converged = now.moved == 0 || hardly_fell(rule, history, now.inertia);
        lloyd_status status = LLOYD_OK;
        if (!history->converged) {
            if (now.empty > 0 && rule->relocate) LLOYD_TRY(lloyd_problem_relocate(p, now.empty));
            lloyd_observe_time(o, LLOYD_TIME_NONE);
            status = kernels->update(kernels);
            lloyd_observe_time(o, LLOYD_TIME_UPDATE);
        }
        if (o) LLOYD_TRY(o->done(o, &now));
        ends = now.ends;
        if (status == LLOYD_OK) status = lloyd_history_add(history, &now);
        LLOYD_TRY(p->comm->agree(p->comm, status));
    }
    return LLOYD_OK;
}
