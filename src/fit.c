/* Lloyd's iteration: assign every row to its nearest centroid, sum the rows of every cluster, make
 * the means the new centroids; until no label changes. Each rank does it for its own rows; one
 * all-reduce of integers per iteration makes the sums, and hence the centroids, the same on all
 * ranks, bit for bit. Everything below reads the same on one core and on a thousand GPUs.
 */
#include "fit.h"

#include "checkpoint.h"

/* One pass over this rank's rows. */
static lloyd_status pass(lloyd_problem *p, int accumulate, lloyd_parts *parts)
{
    lloyd_kernels *kernels = p->kernels;
    LLOYD_TRY(kernels->begin(kernels));
    for (int64_t chunk = 0; chunk < p->shard->chunks; chunk++) {
        int slot;
        LLOYD_TRY(lloyd_shard_load(p->shard, chunk, &slot));
        lloyd_parts_end(parts, LLOYD_PART_ROWS);
        LLOYD_TRY(kernels->assign(kernels, slot));
        lloyd_parts_end(parts, LLOYD_PART_ASSIGN);
        if (accumulate) LLOYD_TRY(kernels->accumulate(kernels, slot));
        lloyd_parts_end(parts, LLOYD_PART_UPDATE);
    }
    return LLOYD_OK;
}

/* Kernels that only enqueue have not assigned anything yet when the pass returns. */
lloyd_status lloyd_assign(lloyd_problem *p, lloyd_progress *progress)
{
    lloyd_parts unused = {.since = 0};
    double start = lloyd_seconds();
    lloyd_status status = pass(p, 0, &unused);
    if (status == LLOYD_OK) status = p->kernels->finish(p->kernels);
    LLOYD_TRY(p->comm->agree(p->comm, status));
    lloyd_progress_phase(progress, "final assignment", lloyd_seconds() - start);
    return LLOYD_OK;
}

static lloyd_status assign_and_sum(lloyd_problem *p)
{
    lloyd_parts *parts = &p->parts;
    double verified = p->kernels->seconds[LLOYD_WORK_VERIFY];
    lloyd_parts_begin(parts);
    LLOYD_TRY(p->comm->agree(p->comm, pass(p, 1, parts)));
    lloyd_parts_end(parts, LLOYD_PART_IDLE);
    verified = p->kernels->seconds[LLOYD_WORK_VERIFY] - verified;
    parts->seconds[LLOYD_PART_VERIFY] += verified;
    parts->seconds[LLOYD_PART_ASSIGN] -= verified;
    int64_t words = lloyd_layout_of_sums(&p->grid, p->d, p->k).words;
    LLOYD_TRY(p->comm->sum(p->comm, p->kernels->sums(p->kernels), words));
    lloyd_parts_end(parts, LLOYD_PART_SUM);
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
                           lloyd_progress *progress, lloyd_checkpoint *checkpoint,
                           lloyd_history *history)
{
    lloyd_kernels *kernels = p->kernels;
    LLOYD_TRY(p->comm->agree(p->comm, kernels->forget_labels(kernels)));
    while (history->iterations < rule->max_iters && !history->converged) {
        double start = lloyd_seconds();
        lloyd_progress_step step = {.restart = restart, .iteration = history->iterations + 1};

        lloyd_found found;
        LLOYD_TRY(assign_and_sum(p));
        LLOYD_TRY(lloyd_problem_found(p, &found));
        step.inertia = found.inertia, step.moved = found.moved;
        step.verified = found.verified, step.empty = found.empty;
        LLOYD_TRY(lloyd_checkpoint_iteration(checkpoint, p, history, progress, &step));

        history->converged = step.moved == 0 || hardly_fell(rule, history, step.inertia);
        lloyd_status status = LLOYD_OK;
        if (!history->converged) {
            if (step.empty > 0 && rule->relocate) LLOYD_TRY(lloyd_problem_relocate(p, step.empty));
            lloyd_parts_begin(&p->parts);
            status = kernels->update(kernels);
            lloyd_parts_end(&p->parts, LLOYD_PART_UPDATE);
        }

        step.seconds = lloyd_seconds() - start;
        if (status == LLOYD_OK) status = lloyd_history_add(history, &step);
        LLOYD_TRY(p->comm->agree(p->comm, status));
        lloyd_progress_iteration(progress, &step);
    }
    if (history->converged) return LLOYD_OK;
    return lloyd_assign(p, progress); /* labels that belong to the centroids that are returned */
}
