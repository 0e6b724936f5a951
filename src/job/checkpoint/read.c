/* See read.h. */
#include "job/checkpoint/read.h"

#include "base/memory.h"
#include "job/checkpoint/common.h"

#include <stdio.h>
#include <string.h>

/* A start that has ended has had the --max-iters of its time. */
static lloyd_status compare_iterations(const lloyd_checkpoint *c, const lloyd_saved *saved)
{
    int64_t max_iters = c->options->max_iters, iterations = saved->run.iterations + saved->known;
    char was[64], is[64];
    if (saved->restart > 0 && saved->max_iters != max_iters) {
        snprintf(was, sizeof was, "--max-iters %lld", (long long)saved->max_iters);
        snprintf(is, sizeof is, "--max-iters %lld", (long long)max_iters);
        return lloyd_checkpoint_refuse(lloyd_checkpoint_file(c), was, is);
    }
    if (iterations <= max_iters) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE,
                      "%s has %lld iterations done, but --max-iters is %lld; give at least %lld, "
                      "or another --checkpoint",
                      lloyd_checkpoint_file(c), (long long)iterations, (long long)max_iters,
                      (long long)iterations);
}

void lloyd_checkpoint_take(lloyd_checkpoint *c, lloyd_saved *saved, lloyd_outcome *best)
{
    lloyd_saved_run *run = &saved->run;
    c->resumed = c->holds = 1;
    c->data = saved->data;
    c->restart = saved->restart;
    c->history = (lloyd_history){.iterations = run->iterations,
                                 .capacity = run->iterations,
                                 .inertia = run->inertia,
                                 .seconds = run->seconds,
                                 .moved = run->moved};
    c->centroids = run->centroids;
    c->drawn = saved->drawn;
    c->seeds = saved->rows;
    c->steps = saved->steps;
    saved->rows = NULL;
    c->last = (lloyd_iteration){.restart = saved->restart,
                                .iteration = saved->known ? run->iterations + 1 : 0,
                                .moved = saved->moved,
                                .inertia = saved->inertia};
    lloyd_checkpoint_place(c, c->place, sizeof c->place);
    *run = (lloyd_saved_run){0};
    run = &saved->best;
    best->history = (lloyd_history){.iterations = run->iterations,
                                    .capacity = run->iterations,
                                    .resumed = run->iterations,
                                    .converged = saved->best_converged,
                                    .inertia = run->inertia,
                                    .seconds = run->seconds,
                                    .moved = run->moved};
    best->inertia = saved->best_inertia;
    best->centroids = run->centroids;
    *run = (lloyd_saved_run){0};
}

static lloyd_status read_file(lloyd_checkpoint *c, lloyd_saved *saved)
{
    LLOYD_TRY(lloyd_saved_read(lloyd_checkpoint_file(c), saved));
    LLOYD_TRY(lloyd_checkpoint_compare(lloyd_checkpoint_file(c), saved->options, c->deciding));
    LLOYD_TRY(compare_iterations(c, saved));
    if (saved->drawn > lloyd_checkpoint_most_seeds(c->options))
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s has more rows of a seeding than this seeding draws; remove it to start "
            "anew",
            lloyd_checkpoint_file(c));
    return lloyd_checkpoint_compare_shape(lloyd_checkpoint_file(c), saved->n, saved->d, saved->type,
                                          c->rows);
}

lloyd_status lloyd_checkpoint_read(lloyd_checkpoint *c, lloyd_saved *saved)
{
    int reads;
    LLOYD_TRY(lloyd_checkpoint_look(lloyd_checkpoint_file(c), c->options->resume, 0, &reads));
    return reads ? read_file(c, saved) : LLOYD_OK;
}

/* What the other ranks must know to make room. */
typedef struct header {
    int64_t found, restart, iterations, known, moved, has_best, best_iterations, best_converged;
    int64_t drawn, steps;
    double inertia, best_inertia;
} header;

static lloyd_status make_room(lloyd_saved_run *run, int64_t iterations, int64_t elements)
{
    run->iterations = iterations;
    LLOYD_TRY(lloyd_alloc(&run->inertia, iterations, sizeof(double), "a checkpoint"));
    LLOYD_TRY(lloyd_alloc(&run->seconds, iterations, sizeof(double), "a checkpoint"));
    LLOYD_TRY(lloyd_alloc(&run->moved, iterations, sizeof(int64_t), "a checkpoint"));
    return lloyd_alloc(&run->centroids, elements, sizeof(float), "a checkpoint");
}

static lloyd_status share_run(lloyd_comm *comm, lloyd_saved_run *run, int64_t elements)
{
    int64_t bytes = run->iterations * 8;
    LLOYD_TRY(comm->broadcast(comm, run->inertia, bytes, 0));
    LLOYD_TRY(comm->broadcast(comm, run->seconds, bytes, 0));
    LLOYD_TRY(comm->broadcast(comm, run->moved, bytes, 0));
    return comm->broadcast(comm, run->centroids, elements * (int64_t)sizeof(float), 0);
}

lloyd_status lloyd_checkpoint_share(lloyd_checkpoint *c, lloyd_saved *saved, int *found)
{
    lloyd_comm *comm = c->comm;
    header h = {saved->run.centroids != NULL || saved->drawn > 0,
                saved->restart,
                saved->run.iterations,
                saved->known,
                saved->moved,
                saved->best.centroids != NULL,
                saved->best.iterations,
                saved->best_converged,
                saved->drawn,
                saved->steps,
                saved->inertia,
                saved->best_inertia};
    LLOYD_TRY(comm->broadcast(comm, &h, sizeof h, 0));
    *found = h.found != 0;
    if (!h.found) return LLOYD_OK;
    int64_t elements = c->k * c->d, own = h.drawn > 0 ? 0 : elements;
    lloyd_status status = LLOYD_OK;
    if (comm->rank != 0) {
        saved->drawn = h.drawn, saved->steps = h.steps;
        saved->restart = h.restart, saved->known = (int)h.known, saved->moved = h.moved;
        saved->inertia = h.inertia, saved->best_inertia = h.best_inertia;
        saved->best_converged = (int)h.best_converged;
        status = make_room(&saved->run, h.iterations, own);
        if (status == LLOYD_OK && h.drawn > 0)
            status = lloyd_alloc(&saved->rows, h.drawn, sizeof *saved->rows, "a checkpoint");
        if (status == LLOYD_OK && h.has_best)
            status = make_room(&saved->best, h.best_iterations, elements);
    }
    LLOYD_TRY(comm->agree(comm, status));
    if (h.drawn > 0)
        LLOYD_TRY(comm->broadcast(comm, saved->rows, h.drawn * (int64_t)sizeof *saved->rows, 0));
    LLOYD_TRY(share_run(comm, &saved->run, own));
    return h.has_best ? share_run(comm, &saved->best, elements) : LLOYD_OK;
}
