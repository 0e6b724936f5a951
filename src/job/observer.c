/* See observer.h. */
#include "job/observer.h"

#include "base/clock.h"

static void begin(lloyd_observer *self)
{
    lloyd_job_observer *w = (lloyd_job_observer *)(void *)self;
    w->began = w->since = lloyd_seconds();
    w->fallback = *w->in_fallback;
}

static void spent(lloyd_observer *self, lloyd_time_share share)
{
    lloyd_job_observer *w = (lloyd_job_observer *)(void *)self;
    double now = lloyd_seconds();
    if (share < LLOYD_TIME_SHARES) w->seconds[share] += now - w->since;
    w->since = now;
}

static lloyd_status found(lloyd_observer *self, lloyd_problem *problem,
                          const lloyd_history *history, lloyd_iteration *i)
{
    lloyd_job_observer *w = (lloyd_job_observer *)(void *)self;
    return lloyd_checkpoint_iteration(w->checkpoint, problem, history, w->progress, i);
}

/* One rank is enough to end the fit. */
static lloyd_status ask_watcher(lloyd_job_observer *w, lloyd_iteration *i)
{
    if (!w->comm) return LLOYD_OK;
    const lloyd_iteration_info info = {.restart = i->restart,
                                       .iteration = i->iteration,
                                       .inertia = i->inertia,
                                       .moved = i->moved,
                                       .empty = i->empty,
                                       .seconds = i->seconds};
    double ends = w->watch && w->watch(w->watcher, &info) != 0;
    LLOYD_TRY(w->comm->max(w->comm, &ends, 1));
    i->ends = w->ended = ends > 0;
    return LLOYD_OK;
}

/* What the kernels have spent in the fallback pass was counted as assignment. */
static lloyd_status done(lloyd_observer *self, lloyd_iteration *i)
{
    lloyd_job_observer *w = (lloyd_job_observer *)(void *)self;
    double fallback = *w->in_fallback - w->fallback;
    w->seconds[LLOYD_TIME_FALLBACK] += fallback;
    w->seconds[LLOYD_TIME_ASSIGN] -= fallback;
    i->seconds = lloyd_seconds() - w->began;
    lloyd_progress_iteration(w->progress, i);
    return ask_watcher(w, i);
}

lloyd_job_observer lloyd_job_observer_begin(const lloyd_kernels *kernels,
                                            lloyd_checkpoint *checkpoint, lloyd_progress *progress)
{
    return (lloyd_job_observer){.observer = {begin, spent, found, done},
                                .in_fallback = &kernels->seconds[LLOYD_WORK_FALLBACK],
                                .checkpoint = checkpoint,
                                .progress = progress};
}

lloyd_status lloyd_job_observer_watch(lloyd_job_observer *observer, lloyd_comm *comm,
                                      const lloyd_fit_options *options)
{
    double any = options->watch != NULL;
    LLOYD_TRY(comm->max(comm, &any, 1));
    observer->comm = any > 0 ? comm : NULL;
    observer->watch = options->watch;
    observer->watcher = options->watcher;
    return LLOYD_OK;
}
