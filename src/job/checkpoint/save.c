/* See save.h. */
#include "job/checkpoint/save.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/stop.h"
#include "base/threads.h"

#include <time.h>

static lloyd_saved_run saved_run(const lloyd_history *history, float *centroids)
{
    return (lloyd_saved_run){.iterations = history->iterations,
                             .inertia = history->inertia,
                             .seconds = history->seconds,
                             .moved = history->moved,
                             .centroids = centroids};
}

/* Puts what is kept into the image. Waits for the lock of HDF5 while the older image can still be
 * written. */
static lloyd_status make_image(lloyd_checkpoint *c)
{
    lloyd_saved saved = {
        .n = c->n,
        .d = c->d,
        .k = c->k,
        .type = (char *)lloyd_type_name(lloyd_rows_type(c->rows)),
        .inputs = c->inputs,
        .version = (char *)LLOYD_VERSION,
        .command = (char *)(c->options->command ? c->options->command : ""),
        .options = c->deciding,
        .max_iters = c->options->max_iters,
        .data = c->data,
        .restart = c->restart,
        .run = saved_run(&c->history, c->drawn > 0 ? NULL : c->centroids),
        .drawn = c->drawn,
        .rows = c->seeds,
        .steps = c->steps,
        .known = c->last.iteration > 0,
        .moved = c->last.moved,
        .inertia = c->last.inertia,
    };
    if (c->best->centroids) {
        saved.best = saved_run(&c->best->history, c->best->centroids);
        saved.best_inertia = c->best->inertia;
        saved.best_converged = c->best->history.converged;
    }
    LLOYD_TRY(lloyd_saved_draft(lloyd_checkpoint_file(c), &saved, &c->image));
    pthread_mutex_lock(&c->lock);
    lloyd_status status = lloyd_saved_adopt(lloyd_checkpoint_file(c), &c->image);
    lloyd_checkpoint_place(c, c->place, sizeof c->place);
    c->unsaved = status == LLOYD_OK;
    c->dirty = status != LLOYD_OK;
    pthread_mutex_unlock(&c->lock);
    return status;
}

lloyd_status lloyd_checkpoint_draft(lloyd_checkpoint *c)
{
    pthread_mutex_lock(&c->keeping);
    lloyd_status status = c->dirty ? make_image(c) : LLOYD_OK;
    pthread_mutex_unlock(&c->keeping);
    return status;
}

/* Writes the image if it is newer than the file. By the fit, or by the guard. */
static lloyd_status store(lloyd_checkpoint *c)
{
    lloyd_status status = LLOYD_OK;
    pthread_mutex_lock(&c->lock);
    if (c->unsaved)
        status = lloyd_saved_store(lloyd_checkpoint_file(c), &c->image, lloyd_stop_request());
    if (status == LLOYD_OK) c->unsaved = 0;
    pthread_mutex_unlock(&c->lock);
    return status;
}

int lloyd_checkpoint_is_unsaved(lloyd_checkpoint *c)
{
    pthread_mutex_lock(&c->keeping);
    pthread_mutex_lock(&c->lock);
    int unsaved = c->unsaved || c->dirty;
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_unlock(&c->keeping);
    return unsaved;
}

lloyd_status lloyd_checkpoint_save(lloyd_checkpoint *c, lloyd_progress *progress)
{
    double start = lloyd_seconds();
    c->since = 0;
    lloyd_status status = lloyd_checkpoint_draft(c);
    if (status == LLOYD_OK) status = store(c);
    c->written = lloyd_seconds();
    if (status == LLOYD_OK) lloyd_progress_phase(progress, "checkpoint", c->written - start);
    return status;
}

void lloyd_checkpoint_try_to_save(lloyd_checkpoint *c, lloyd_progress *progress)
{
    if (lloyd_checkpoint_save(c, progress) != LLOYD_OK)
        lloyd_progress_warn(progress, "no checkpoint was written: %s", lloyd_message());
}

int lloyd_checkpoint_is_time(const lloyd_checkpoint *c)
{
    if (c->every.count > 0) return c->since >= c->every.count;
    return lloyd_seconds() - c->written >= c->every.seconds;
}

/* --- the guard --- */

/* Naps until the fit ends, or for so many times 20 ms. Returns whether it ends. */
static int wait_for_end(const lloyd_checkpoint *c, int naps)
{
    const struct timespec nap = {.tv_nsec = 20000000};
    for (; naps > 0 && !atomic_load(&c->ending); naps--) (void)nanosleep(&nap, NULL);
    return atomic_load(&c->ending);
}

/* Whoever asks to stop may not wait until a pass is done: mpirun kills its ranks after a second. So the
 * last finished iteration is written at once, and the fit stops when it can. Short passes have no image
 * beforehand: the fit itself is soon there, and if it is not, the image is made here. */
static lloyd_status save_at_once(lloyd_checkpoint *c)
{
    lloyd_status status = store(c);
    int several =
        c->options->n_init > 1; /* then the best start is the fit's, and may be changing */
    if (wait_for_end(c, 5) || several) return status;
    if (lloyd_checkpoint_draft(c) == LLOYD_OK) status = store(c);
    return status;
}

static void *guard(void *context)
{
    lloyd_checkpoint *c = context;
    while (lloyd_stop_signal() == 0 && !wait_for_end(c, 1)) continue;
    if (lloyd_stop_signal() == 0) return NULL;
    const char *name = lloyd_stop_name(lloyd_stop_signal());
    lloyd_status status = save_at_once(c);
    if (wait_for_end(c, 20)) return NULL; /* it says more */
    pthread_mutex_lock(&c->lock);
    if (status != LLOYD_OK)
        lloyd_note("%s: no checkpoint was written: %s", name, lloyd_message());
    else if (*c->place != '\0')
        lloyd_note("%s: %s holds all up to %s; the current pass is finished if there is time", name,
                   lloyd_checkpoint_file(c), c->place);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

void lloyd_checkpoint_start_guard(lloyd_checkpoint *c)
{
    c->guarded = c->comm->rank == 0 && lloyd_thread_start(&c->guard, guard, c) == 0;
}

void lloyd_checkpoint_end_guard(lloyd_checkpoint *c)
{
    atomic_store(&c->ending, 1);
    if (c->guarded) pthread_join(c->guard, NULL);
    c->guarded = 0;
}
