/* See checkpoint.h. */
#include "job/checkpoint/checkpoint.h"

#include "algorithm/gather.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stop.h"
#include "io/writers/checkpoint.h"
#include "job/checkpoint/common.h"
#include "job/checkpoint/read.h"
#include "job/checkpoint/save.h"
#include "job/checkpoint/state.h"
#include "job/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 64 }; /* rows in the fingerprint of the data */

/* --- opening --- */

static lloyd_status prepare(lloyd_checkpoint *c, uint64_t init)
{
    LLOYD_TRY(lloyd_options_every(c->options->checkpoint_every, "iterations", &c->every));
    LLOYD_TRY(lloyd_options_deciding(c->options, init, &c->deciding));
    return lloyd_checkpoint_inputs(c->rows, &c->inputs);
}

static void free_checkpoint(lloyd_checkpoint *c)
{
    lloyd_checkpoint_end_guard(c);
    lloyd_saved_discard(&c->image);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->keeping);
    lloyd_history_free(&c->history);
    lloyd_free(c->centroids);
    lloyd_free(c->seeds);
    free(c->deciding);
    free(c->inputs);
    lloyd_free(c);
}

lloyd_status lloyd_checkpoint_open(lloyd_comm *comm, const lloyd_fit_options *options,
                                   uint64_t init, const lloyd_rows *rows, lloyd_outcome *best,
                                   lloyd_checkpoint **checkpoint)
{
    lloyd_checkpoint *c = NULL;
    lloyd_saved saved = {0};
    *checkpoint = NULL;
    if (!options->checkpoint) return LLOYD_OK;
    LLOYD_TRY(lloyd_comm_alloc(comm, &c, 1, sizeof *c, "the checkpoint"));
    *c = (lloyd_checkpoint){.comm = comm,
                            .options = options,
                            .rows = rows,
                            .best = best,
                            .n = lloyd_rows_count(rows),
                            .k = options->k,
                            .d = lloyd_rows_dim(rows),
                            .kept = lloyd_seconds(),
                            .written = lloyd_seconds()};
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->keeping, NULL);
    int found = 0;
    lloyd_status status = prepare(c, init);
    if (status == LLOYD_OK && comm->rank == 0) status = lloyd_checkpoint_read(c, &saved);
    status = comm->agree(comm, status);
    if (status == LLOYD_OK) status = lloyd_checkpoint_share(c, &saved, &found);
    if (status == LLOYD_OK && found) lloyd_checkpoint_take(c, &saved, best);
    lloyd_saved_free(&saved);
    if (status != LLOYD_OK) {
        free_checkpoint(c);
        return status;
    }
    *checkpoint = c;
    lloyd_checkpoint_start_guard(c);
    return LLOYD_OK;
}

int lloyd_checkpoint_resumes(const lloyd_checkpoint *c)
{
    return c && c->resumed;
}

int64_t lloyd_checkpoint_restart(const lloyd_checkpoint *c)
{
    return c ? c->restart : 0;
}

/* --- the data --- */

/* The columns' statistics notice every other value; some whole rows, that rows were exchanged. */
static lloyd_status hash_data(const lloyd_checkpoint *c, lloyd_problem *p, uint64_t *hash)
{
    int64_t rows[SAMPLES];
    float *sample = NULL;
    int64_t elements = SAMPLES * c->d;
    LLOYD_TRY(
        lloyd_comm_alloc(p->comm, &sample, elements, sizeof *sample, "rows to know the data"));
    for (int64_t i = 0; i < SAMPLES; i++)
        rows[i] = (int64_t)((__int128)(p->n - 1) * i / (SAMPLES - 1));
    lloyd_status status = lloyd_problem_gather(p, rows, SAMPLES, sample);
    *hash = lloyd_hash(p->statistics, sample, (size_t)elements * sizeof *sample);
    lloyd_free(sample);
    return status;
}

lloyd_status lloyd_checkpoint_check_data(lloyd_checkpoint *c, lloyd_problem *p)
{
    if (!c) return LLOYD_OK;
    uint64_t hash = 0;
    LLOYD_TRY(hash_data(c, p, &hash));
    lloyd_status status = LLOYD_OK;
    if (c->comm->rank == 0 && c->resumed && hash != c->data)
        status = lloyd_checkpoint_other_data(lloyd_checkpoint_file(c));
    c->data = hash;
    return c->comm->agree(c->comm, status);
}

/* --- resuming --- */

int lloyd_checkpoint_holds(const lloyd_checkpoint *c, int64_t restart)
{
    return c && c->holds && c->restart == restart && c->drawn == 0;
}

void lloyd_checkpoint_resume_seeding(lloyd_checkpoint *c, int64_t restart, lloyd_seeding *seeding)
{
    char text[64];
    if (!c || !c->holds || c->restart != restart || c->drawn == 0) return;
    seeding->rows = c->seeds;
    seeding->count = c->drawn;
    seeding->done = c->steps;
    if (c->comm->rank == 0)
        lloyd_note("resuming from %s, after %s", lloyd_checkpoint_file(c),
                   lloyd_checkpoint_place(c, text, sizeof text));
}

lloyd_status lloyd_checkpoint_restore(lloyd_checkpoint *c, lloyd_problem *p, lloyd_history *history)
{
    char text[64];
    lloyd_status status = p->kernels->set_centroids(p->kernels, c->k, c->centroids);
    if (status == LLOYD_OK) status = lloyd_history_extend(history, &c->history);
    LLOYD_TRY(c->comm->agree(c->comm, status));
    history->resumed = history->iterations;
    c->holds = 0;
    c->repeats = c->last.iteration > 0;
    if (c->comm->rank == 0) {
        lloyd_note("resuming from %s, after %s", lloyd_checkpoint_file(c),
                   lloyd_checkpoint_place(c, text, sizeof text));
        return LLOYD_OK;
    }
    lloyd_free(c->centroids);
    c->centroids = NULL;
    lloyd_history_free(&c->history);
    return LLOYD_OK;
}

/* --- keeping --- */

/* What rank 0 has of an unfinished seeding. */
static lloyd_status keep_rows(lloyd_checkpoint *c, int64_t restart, const lloyd_seed_step *step)
{
    if (c->drawn == 0) {
        lloyd_free(c->seeds);
        c->seeds = NULL;
        LLOYD_TRY(lloyd_alloc(&c->seeds, lloyd_checkpoint_most_seeds(c->options), sizeof *c->seeds,
                              "rows for the checkpoint"));
        lloyd_history_free(&c->history);
        c->last = (lloyd_iteration){0};
    } else if (c->holds) { /* what is there has no room for more */
        int64_t *seeds = NULL;
        LLOYD_TRY(lloyd_alloc(&seeds, lloyd_checkpoint_most_seeds(c->options), sizeof *seeds,
                              "rows for the checkpoint"));
        lloyd_free(c->seeds);
        c->seeds = seeds;
        c->drawn = 0;
        c->holds = 0;
    }
    /* those that were kept are the first of these */
    memcpy(c->seeds + c->drawn, step->rows + c->drawn,
           (size_t)(step->count - c->drawn) * sizeof *c->seeds);
    c->drawn = step->count;
    c->steps = step->done;
    c->restart = restart;
    c->dirty = 1;
    return LLOYD_OK;
}

void lloyd_checkpoint_seeding(lloyd_checkpoint *c, int64_t restart, const lloyd_seed_step *step,
                              lloyd_progress *progress)
{
    const double soon = 0.4;
    if (!c || c->comm->rank != 0 || !step->rows) return;
    pthread_mutex_lock(&c->keeping);
    int is_first = c->drawn == 0;
    lloyd_status status = keep_rows(c, restart, step);
    pthread_mutex_unlock(&c->keeping);
    double now = lloyd_seconds(), seconds = now - c->kept;
    c->kept = now;
    if (status == LLOYD_OK && (is_first || seconds > soon)) status = lloyd_checkpoint_draft(c);
    if (status != LLOYD_OK) lloyd_note("no checkpoint was written: %s", lloyd_message());
    if (lloyd_checkpoint_in_rounds(c)) c->since++;
    if (status == LLOYD_OK && lloyd_checkpoint_is_time(c))
        lloyd_checkpoint_try_to_save(c, progress);
}

/* What rank 0 has of an iteration: the history before it, what it found (NULL: the first centroids of a
 * start, before any), and the centroids it began with. */
static lloyd_status keep_all(lloyd_checkpoint *c, lloyd_problem *p, const lloyd_history *history,
                             const lloyd_iteration *i)
{
    if (history) LLOYD_TRY(lloyd_history_extend(&c->history, history));
    c->last = i ? *i : (lloyd_iteration){0};
    c->dirty = 0; /* until the centroids belong to the rest again */
    if (!c->centroids) {
        LLOYD_TRY(lloyd_alloc(&c->centroids, c->k * c->d, sizeof *c->centroids,
                              "centroids for the checkpoint"));
    }
    LLOYD_TRY(p->kernels->get_centroids(p->kernels, c->centroids));
    c->dirty = 1;
    return LLOYD_OK;
}

/* And its image, where a pass may take longer than there is time after a signal. If that fails, it is
 * tried again when it is time to write. */
static lloyd_status keep_safe(lloyd_checkpoint *c, lloyd_problem *p, const lloyd_history *history,
                              const lloyd_iteration *i)
{
    const double soon = 0.4;
    pthread_mutex_lock(&c->keeping);
    lloyd_status status = keep_all(c, p, history, i);
    pthread_mutex_unlock(&c->keeping);
    double now = lloyd_seconds(), seconds = now - c->kept;
    c->kept = now;
    if (status == LLOYD_OK && (!i || i->iteration == 1 || seconds > soon) &&
        lloyd_checkpoint_draft(c) != LLOYD_OK)
        lloyd_note("no checkpoint was written: %s", lloyd_message());
    return status;
}

static lloyd_status keep_seeds(lloyd_checkpoint *c, lloyd_problem *p, int64_t restart)
{
    if (c->comm->rank != 0) return LLOYD_OK;
    pthread_mutex_lock(&c->keeping);
    lloyd_history_free(&c->history);
    c->restart = restart;
    c->drawn = 0;
    c->dirty = 0;
    pthread_mutex_unlock(&c->keeping);
    return keep_safe(c, p, NULL, NULL);
}

lloyd_status lloyd_checkpoint_seeded(lloyd_checkpoint *c, lloyd_problem *p, int64_t restart)
{
    if (!c) return LLOYD_OK;
    c->holds = 0;
    if (c->comm->rank != 0) c->drawn = 0;
    return c->comm->agree(c->comm, keep_seeds(c, p, restart));
}

static lloyd_status repeat(lloyd_checkpoint *c, lloyd_iteration *i)
{
    c->repeats = 0;
    i->moved = c->last.moved;
    if (i->inertia == c->last.inertia) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "iteration %lld, repeated from %s, has the inertia %.17g, but had %.17g; the "
                      "data have changed, or a machine computes wrongly",
                      (long long)i->iteration, lloyd_checkpoint_file(c), i->inertia,
                      c->last.inertia);
}

static lloyd_status keep(lloyd_checkpoint *c, lloyd_problem *p, const lloyd_history *history,
                         lloyd_progress *progress, lloyd_iteration *i)
{
    if (c->repeats) return repeat(c, i);
    if (c->comm->rank != 0) return LLOYD_OK;
    LLOYD_TRY(keep_safe(c, p, history, i));
    c->since++;
    if (lloyd_checkpoint_is_time(c)) lloyd_checkpoint_try_to_save(c, progress);
    return LLOYD_OK;
}

lloyd_status lloyd_checkpoint_iteration(lloyd_checkpoint *c, lloyd_problem *p,
                                        const lloyd_history *history, lloyd_progress *progress,
                                        lloyd_iteration *i)
{
    if (!c) return LLOYD_OK;
    lloyd_status status = keep(c, p, history, progress, i);
    if (status == LLOYD_OK) status = lloyd_stop_check();
    return c->comm->agree(c->comm, status);
}

/* --- the end --- */

/* Rank 0 reports what is left behind; all ranks return LLOYD_STOPPED, or LLOYD_FAILED. */
static lloyd_status explain_stop(lloyd_checkpoint *c, lloyd_progress *progress, const char *signal)
{
    if (c->comm->rank != 0) return lloyd_fail(LLOYD_STOPPED, "%s", "");
    lloyd_status status =
        lloyd_checkpoint_is_unsaved(c) ? lloyd_checkpoint_save(c, progress) : LLOYD_OK;
    if (status == LLOYD_OK && *c->place != '\0')
        status = lloyd_saved_sync(lloyd_checkpoint_file(c));
    if (status != LLOYD_OK)
        return lloyd_fail(LLOYD_FAILED, "stopped by %s, but without a new checkpoint: %s", signal,
                          lloyd_message());
    if (*c->place != '\0')
        return lloyd_fail(
            LLOYD_STOPPED,
            "stopped by %s; the same command with --resume continues from %s, after %s", signal,
            lloyd_checkpoint_file(c), c->place);
    return lloyd_fail(LLOYD_STOPPED,
                      "stopped by %s before there was anything to keep; the same command with "
                      "--resume starts anew",
                      signal);
}

static lloyd_status stop(lloyd_checkpoint *c, lloyd_progress *progress)
{
    int signal = 0;
    LLOYD_TRY(lloyd_checkpoint_signal(c->comm, &signal));
    return c->comm->agree(c->comm, explain_stop(c, progress, lloyd_stop_name(signal)));
}

void lloyd_checkpoint_last(lloyd_checkpoint *c, lloyd_progress *progress)
{
    if (c && c->comm->rank == 0 && lloyd_checkpoint_is_unsaved(c))
        lloyd_checkpoint_try_to_save(c, progress);
}

int lloyd_checkpoint_has_all(const lloyd_checkpoint *c)
{
    return c && c->comm->rank == 0 && c->centroids && !c->unsaved;
}

void lloyd_checkpoint_rescue(lloyd_checkpoint *c, lloyd_progress *progress)
{
    if (!c || c->comm->rank != 0 || !lloyd_checkpoint_is_unsaved(c)) return;
    lloyd_checkpoint_try_to_save(c, progress);
    if (!lloyd_checkpoint_is_unsaved(c))
        lloyd_progress_warn(progress,
                            "a checkpoint was written: --resume continues from %s, after %s",
                            lloyd_checkpoint_file(c), c->place);
}

/* After a failure: its status and message stay what they are. */
static void leave(lloyd_checkpoint *c, lloyd_progress *progress, lloyd_status status)
{
    char message[LLOYD_MESSAGE_BYTES];
    snprintf(message, sizeof message, "%s", lloyd_message());
    lloyd_checkpoint_rescue(c, progress);
    (void)lloyd_fail(status, "%s", message);
}

lloyd_status lloyd_checkpoint_close(lloyd_checkpoint *c, lloyd_progress *progress,
                                    lloyd_status status)
{
    if (!c) return status;
    lloyd_checkpoint_end_guard(c);
    if (status == LLOYD_STOPPED)
        status = stop(c, progress);
    else if (status != LLOYD_OK)
        leave(c, progress, status);
    free_checkpoint(c);
    return status;
}

int64_t lloyd_checkpoint_file_bytes(const lloyd_fit_options *options, int64_t dim)
{
    int64_t starts = options->n_init > 1 ? 2 : 1; /* this one and the best */
    return options->checkpoint ? starts * options->k * dim * (int64_t)sizeof(float) : 0;
}

int64_t lloyd_checkpoint_bytes(const lloyd_fit_options *options, int rank, int64_t dim)
{
    if (!options->checkpoint) return 0;
    int64_t set = options->k * dim * 4, centroids = rank == 0 || options->resume ? set : 0;
    int64_t rows = lloyd_checkpoint_most_seeds(options) * 8;
    centroids += rank == 0 ? 4 * rows : options->resume ? rows : 0;
    /* the image, twice while it is made */
    if (rank == 0) centroids += 2 * set * (options->n_init > 1 ? 2 : 1);
    return centroids + SAMPLES * dim * 4 + lloyd_gather_bytes(SAMPLES, dim);
}
