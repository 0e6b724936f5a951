/* See checkpoint.h. */
#include "job/checkpoint.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stop.h"
#include "io/threads.h"
#include "io/writers/checkpoint.h"
#include "job/options.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SAMPLES = 64 }; /* rows in the fingerprint of the data */

struct lloyd_checkpoint {
    lloyd_comm *comm;
    const lloyd_fit_options *options;
    const lloyd_rows *rows;
    const lloyd_outcome *best;
    int64_t k, d;
    lloyd_every every;
    uint64_t data; /* the fingerprint: of the file that was read, then of the data */
    char *deciding, *inputs;

    int resumed; /* a file was read */
    int holds;   /* what follows is from the file, and not yet restored */
    int repeats; /* the next iteration is `last` once more */

    /* what is kept: on rank 0, and on all ranks from reading until it is restored */
    int64_t restart;
    lloyd_history history; /* the iterations before `last` */
    lloyd_step last;       /* the last one that was finished; its iteration is 0 for none */
    float *centroids;      /* [k*d] which `last` began with, or the first ones; NULL: none */
    int64_t drawn, steps;  /* of a seeding that is not finished, instead of all these; 0: it is */
    int64_t *seeds;        /* [drawn], with room for the most */

    int dirty;      /* 1: what is kept is newer than the image */
    double kept;    /* when it was */
    int64_t since;  /* iterations since the file was written */
    double written; /* when it was */

    /* Of rank 0: the last finished iteration as the bytes of a file, to be written at any moment. */
    pthread_mutex_t keeping; /* of what is kept, where the guard looks at it; taken before `lock` */
    pthread_mutex_t lock;    /* of the rest */
    lloyd_saved_image image;
    char place[64]; /* what is in it, or in the file that was read: "iteration 12"; "": nothing */
    int unsaved;    /* 1: the image is newer than the file */

    pthread_t guard;
    int guarded; /* 1: that thread runs */
    atomic_int ending;
};

static const char *file_of(const lloyd_checkpoint *c)
{
    return c->options->checkpoint;
}

/* Finished iterations of the start that is kept. */
static int64_t done(const lloyd_checkpoint *c)
{
    return c->last.iteration > 0 ? c->last.iteration : c->history.iterations;
}

static int is_parallel(const lloyd_checkpoint *c)
{
    return strcmp(c->options->init, "kmeans-parallel") == 0;
}

/* The most rows that an unfinished seeding has drawn; 0: it draws all at once. */
static int64_t most_seeds(const lloyd_fit_options *o)
{
    if (!lloyd_options_tries(o)) return 0;
    return strcmp(o->init, "kmeans-parallel") == 0 ? lloyd_seed_candidates(o->k) : o->k;
}

/* "iteration 12", or "iteration 3 of run 2" where there are several. */
static const char *place(const lloyd_checkpoint *c, char *text, size_t bytes)
{
    char run[32] = "";
    if (c->options->n_init > 1)
        snprintf(run, sizeof run, " of run %lld", (long long)c->restart + 1);
    if (c->drawn > 0)
        snprintf(text, bytes, "%lld %s%s of the seeding%s", (long long)c->steps,
                 is_parallel(c) ? "round" : "centroid", c->steps == 1 ? "" : "s", run);
    else if (done(c) > 0)
        snprintf(text, bytes, "iteration %lld%s", (long long)done(c), run);
    else
        snprintf(text, bytes, "the seeding%s", run);
    return text;
}

/* --- writing --- */

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
        .n = lloyd_rows_count(c->rows),
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
    LLOYD_TRY(lloyd_saved_draft(file_of(c), &saved, &c->image));
    pthread_mutex_lock(&c->lock);
    lloyd_status status = lloyd_saved_adopt(file_of(c), &c->image);
    place(c, c->place, sizeof c->place);
    c->unsaved = status == LLOYD_OK;
    c->dirty = status != LLOYD_OK;
    pthread_mutex_unlock(&c->lock);
    return status;
}

/* The same if it is not there already. */
static lloyd_status draft(lloyd_checkpoint *c)
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
    if (c->unsaved) status = lloyd_saved_store(file_of(c), &c->image, lloyd_stop_wish());
    if (status == LLOYD_OK) c->unsaved = 0;
    pthread_mutex_unlock(&c->lock);
    return status;
}

static int is_unsaved(lloyd_checkpoint *c)
{
    pthread_mutex_lock(&c->keeping);
    pthread_mutex_lock(&c->lock);
    int unsaved = c->unsaved || c->dirty;
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_unlock(&c->keeping);
    return unsaved;
}

static lloyd_status save(lloyd_checkpoint *c, lloyd_progress *progress)
{
    double start = lloyd_seconds();
    c->since = 0;
    lloyd_status status = draft(c);
    if (status == LLOYD_OK) status = store(c);
    c->written = lloyd_seconds();
    if (status == LLOYD_OK) lloyd_progress_phase(progress, "checkpoint", c->written - start);
    return status;
}

/* A fit that computes well is not ended because a checkpoint cannot be written: the one before is
 * still there, and the next may succeed. */
static void try_to_save(lloyd_checkpoint *c, lloyd_progress *progress)
{
    if (save(c, progress) != LLOYD_OK)
        lloyd_progress_warn(progress, "no checkpoint was written: %s", lloyd_message());
}

static int is_time(const lloyd_checkpoint *c)
{
    if (c->every.iterations > 0) return c->since >= c->every.iterations;
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
    if (draft(c) == LLOYD_OK) status = store(c);
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
        lloyd_note("%s: %s has all up to %s; the pass that has begun is finished if there is time",
                   name, file_of(c), c->place);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static void start_guard(lloyd_checkpoint *c)
{
    c->guarded = c->comm->rank == 0 && lloyd_thread_start(&c->guard, guard, c) == 0;
}

static void end_guard(lloyd_checkpoint *c)
{
    atomic_store(&c->ending, 1);
    if (c->guarded) pthread_join(c->guard, NULL);
    c->guarded = 0;
}

/* --- opening --- */

static lloyd_status refuse_options(const char *file, const char *was, const char *is)
{
    return lloyd_fail(LLOYD_USAGE,
                      "%s was written with %s, but this command has %s; give the options it was "
                      "written with, or another --checkpoint",
                      file, was, is);
}

/* The first line in which two lists of options differ is the message. */
static lloyd_status compare_options(const char *file, const char *was, const char *is)
{
    while (*was != '\0' || *is != '\0') {
        int was_length = (int)strcspn(was, "\n"), is_length = (int)strcspn(is, "\n");
        if (was_length != is_length || strncmp(was, is, (size_t)is_length) != 0) {
            char old[512], new[512];
            snprintf(old, sizeof old, "%.*s", was_length, was);
            snprintf(new, sizeof new, "%.*s", is_length, is);
            return refuse_options(file, old, new);
        }
        was += was_length + (was[was_length] == '\n');
        is += is_length + (is[is_length] == '\n');
    }
    return LLOYD_OK;
}

/* A start that has ended has had the --max-iters of its time. */
static lloyd_status compare_iterations(const lloyd_checkpoint *c, const lloyd_saved *saved)
{
    int64_t max_iters = c->options->max_iters, iterations = saved->run.iterations + saved->known;
    char was[64], is[64];
    if (saved->restart > 0 && saved->max_iters != max_iters) {
        snprintf(was, sizeof was, "--max-iters %lld", (long long)saved->max_iters);
        snprintf(is, sizeof is, "--max-iters %lld", (long long)max_iters);
        return refuse_options(file_of(c), was, is);
    }
    if (iterations <= max_iters) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE,
                      "%s has %lld iterations done, but --max-iters is %lld; give at least %lld, "
                      "or another --checkpoint",
                      file_of(c), (long long)iterations, (long long)max_iters,
                      (long long)iterations);
}

static lloyd_status compare_shape(const lloyd_checkpoint *c, const lloyd_saved *saved)
{
    int64_t n = lloyd_rows_count(c->rows);
    const char *type = lloyd_type_name(lloyd_rows_type(c->rows));
    if (saved->n == n && saved->d == c->d && strcmp(saved->type, type) == 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "%s was made from %lld rows x %lld columns of %s, but the input is %lld x "
                      "%lld of %s; give the data it was made from, or another --checkpoint",
                      file_of(c), (long long)saved->n, (long long)saved->d, saved->type,
                      (long long)n, (long long)c->d, type);
}

/* The file's arrays become the checkpoint's and the outcome's. */
static void take(lloyd_checkpoint *c, lloyd_saved *saved, lloyd_outcome *best)
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
    c->last = (lloyd_step){.restart = saved->restart,
                           .iteration = saved->known ? run->iterations + 1 : 0,
                           .moved = saved->moved,
                           .inertia = saved->inertia};
    place(c, c->place, sizeof c->place);
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
    LLOYD_TRY(lloyd_saved_read(file_of(c), saved));
    LLOYD_TRY(compare_options(file_of(c), saved->options, c->deciding));
    LLOYD_TRY(compare_iterations(c, saved));
    if (saved->drawn > most_seeds(c->options))
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s has more rows of a seeding than this seeding draws; remove it to start "
            "anew",
            file_of(c));
    return compare_shape(c, saved);
}

/* Rank 0: whether a file can be made there, and what is in the one that is there. */
static lloyd_status open_file(lloyd_checkpoint *c, lloyd_saved *saved)
{
    const lloyd_fit_options *o = c->options;
    LLOYD_TRY(lloyd_saved_check_writable(o->checkpoint));
    int there = lloyd_saved_exists(o->checkpoint);
    if (there && o->resume) return read_file(c, saved);
    if (there) {
        LLOYD_TRY(lloyd_saved_check_replaceable(o->checkpoint));
        lloyd_note("%s is there and will be replaced; --resume would go on from it", o->checkpoint);
    } else if (o->resume) {
        lloyd_note("there is no %s yet: the fit starts anew", o->checkpoint);
    }
    return LLOYD_OK;
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

/* All ranks get what rank 0 has read: a file that is read by each may not be the same one for all,
 * where a network file system has not heard yet of the latest. */
static lloyd_status share(lloyd_checkpoint *c, lloyd_saved *saved, int *found)
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

/* The input files, one per line. */
static lloyd_status list_inputs(lloyd_checkpoint *c)
{
    size_t bytes = 0;
    FILE *out = open_memstream(&c->inputs, &bytes);
    for (int i = 0; out && i < lloyd_rows_files(c->rows); i++)
        fprintf(out, "%s%s", i > 0 ? "\n" : "", lloyd_rows_file(c->rows, i));
    if (out && fclose(out) == 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "out of memory for the list of input files");
}

static lloyd_status prepare(lloyd_checkpoint *c, uint64_t init)
{
    LLOYD_TRY(lloyd_options_every(c->options, &c->every));
    LLOYD_TRY(lloyd_options_deciding(c->options, init, &c->deciding));
    return list_inputs(c);
}

static void free_checkpoint(lloyd_checkpoint *c)
{
    end_guard(c);
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
                            .k = options->k,
                            .d = lloyd_rows_dim(rows),
                            .kept = lloyd_seconds(),
                            .written = lloyd_seconds()};
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->keeping, NULL);
    int found = 0;
    lloyd_status status = prepare(c, init);
    if (status == LLOYD_OK && comm->rank == 0) status = open_file(c, &saved);
    status = comm->agree(comm, status);
    if (status == LLOYD_OK) status = share(c, &saved, &found);
    if (status == LLOYD_OK && found) take(c, &saved, best);
    lloyd_saved_free(&saved);
    if (status != LLOYD_OK) {
        free_checkpoint(c);
        return status;
    }
    *checkpoint = c;
    start_guard(c);
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
    if (c->comm->rank == 0 && c->resumed && hash != c->data) {
        status = lloyd_fail(LLOYD_BAD_INPUT,
                            "%s was made from other data: the shape is the same, but not the "
                            "values or their order; give the data it was made from, or another "
                            "--checkpoint",
                            file_of(c));
    }
    c->data = hash;
    return c->comm->agree(c->comm, status);
}

/* --- going on --- */

int lloyd_checkpoint_holds(const lloyd_checkpoint *c, int64_t restart)
{
    return c && c->holds && c->restart == restart && c->drawn == 0;
}

void lloyd_checkpoint_go_on(lloyd_checkpoint *c, int64_t restart, lloyd_seeding *seeding)
{
    char text[64];
    if (!c || !c->holds || c->restart != restart || c->drawn == 0) return;
    seeding->rows = c->seeds;
    seeding->count = c->drawn;
    seeding->done = c->steps;
    if (c->comm->rank == 0)
        lloyd_note("going on from %s, after %s", file_of(c), place(c, text, sizeof text));
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
        lloyd_note("going on from %s, after %s", file_of(c), place(c, text, sizeof text));
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
        LLOYD_TRY(lloyd_alloc(&c->seeds, most_seeds(c->options), sizeof *c->seeds,
                              "rows for the checkpoint"));
        lloyd_history_free(&c->history);
        c->last = (lloyd_step){0};
    } else if (c->holds) { /* what is there has no room for more */
        int64_t *seeds = NULL;
        LLOYD_TRY(
            lloyd_alloc(&seeds, most_seeds(c->options), sizeof *seeds, "rows for the checkpoint"));
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
    if (status == LLOYD_OK && (is_first || seconds > soon)) status = draft(c);
    if (status != LLOYD_OK) lloyd_note("no checkpoint was written: %s", lloyd_message());
    if (is_parallel(c)) c->since++;
    if (status == LLOYD_OK && is_time(c)) try_to_save(c, progress);
}

/* What rank 0 has of an iteration: the history before it, what it found (NULL: the first centroids of a
 * start, before any), and the centroids it began with. */
static lloyd_status keep_all(lloyd_checkpoint *c, lloyd_problem *p, const lloyd_history *history,
                             const lloyd_step *step)
{
    if (history) LLOYD_TRY(lloyd_history_extend(&c->history, history));
    c->last = step ? *step : (lloyd_step){0};
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
                              const lloyd_step *step)
{
    const double soon = 0.4;
    pthread_mutex_lock(&c->keeping);
    lloyd_status status = keep_all(c, p, history, step);
    pthread_mutex_unlock(&c->keeping);
    double now = lloyd_seconds(), seconds = now - c->kept;
    c->kept = now;
    if (status == LLOYD_OK && (!step || step->iteration == 1 || seconds > soon) &&
        draft(c) != LLOYD_OK)
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

static lloyd_status repeat(lloyd_checkpoint *c, lloyd_step *step)
{
    c->repeats = 0;
    step->moved = c->last.moved;
    if (step->inertia == c->last.inertia) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "iteration %lld, repeated from %s, has the inertia %.17g, but had %.17g; the "
                      "data have changed, or a machine computes wrongly",
                      (long long)step->iteration, file_of(c), step->inertia, c->last.inertia);
}

static lloyd_status keep(lloyd_checkpoint *c, lloyd_problem *p, const lloyd_history *history,
                         lloyd_progress *progress, lloyd_step *step)
{
    if (c->repeats) return repeat(c, step);
    if (c->comm->rank != 0) return LLOYD_OK;
    LLOYD_TRY(keep_safe(c, p, history, step));
    c->since++;
    if (is_time(c)) try_to_save(c, progress);
    return LLOYD_OK;
}

lloyd_status lloyd_checkpoint_iteration(lloyd_checkpoint *c, lloyd_problem *p,
                                        const lloyd_history *history, lloyd_progress *progress,
                                        lloyd_step *step)
{
    if (!c) return LLOYD_OK;
    lloyd_status status = keep(c, p, history, progress, step);
    if (status == LLOYD_OK) status = lloyd_stop_check();
    return c->comm->agree(c->comm, status);
}

/* --- the end --- */

/* The signal that a rank was sent, on all ranks. */
static lloyd_status agree_on_signal(lloyd_comm *comm, int *signal)
{
    double value = lloyd_stop_signal();
    LLOYD_TRY(comm->max(comm, &value, 1));
    *signal = (int)value;
    return LLOYD_OK;
}

/* Rank 0 says what is left behind; all ranks return LLOYD_STOPPED, or LLOYD_FAILED. */
static lloyd_status explain_stop(lloyd_checkpoint *c, lloyd_progress *progress, const char *signal)
{
    if (c->comm->rank != 0) return lloyd_fail(LLOYD_STOPPED, "%s", "");
    lloyd_status status = is_unsaved(c) ? save(c, progress) : LLOYD_OK;
    if (status == LLOYD_OK && *c->place != '\0') status = lloyd_saved_sync(file_of(c));
    if (status != LLOYD_OK)
        return lloyd_fail(LLOYD_FAILED, "stopped by %s, but without a new checkpoint: %s", signal,
                          lloyd_message());
    if (*c->place != '\0')
        return lloyd_fail(LLOYD_STOPPED,
                          "stopped by %s; the same command with --resume goes on from %s, after %s",
                          signal, file_of(c), c->place);
    return lloyd_fail(LLOYD_STOPPED,
                      "stopped by %s before there was anything to keep; the same command with "
                      "--resume starts anew",
                      signal);
}

static lloyd_status stop(lloyd_checkpoint *c, lloyd_progress *progress)
{
    int signal = 0;
    LLOYD_TRY(agree_on_signal(c->comm, &signal));
    return c->comm->agree(c->comm, explain_stop(c, progress, lloyd_stop_name(signal)));
}

void lloyd_checkpoint_last(lloyd_checkpoint *c, lloyd_progress *progress)
{
    if (c && c->comm->rank == 0 && is_unsaved(c)) try_to_save(c, progress);
}

int lloyd_checkpoint_has_all(const lloyd_checkpoint *c)
{
    return c && c->comm->rank == 0 && c->centroids && !c->unsaved;
}

/* After a failure: its status and message stay what they are. */
static void leave(lloyd_checkpoint *c, lloyd_progress *progress, lloyd_status status)
{
    char message[LLOYD_MESSAGE_BYTES];
    if (c->comm->rank != 0 || !is_unsaved(c)) return;
    snprintf(message, sizeof message, "%s", lloyd_message());
    try_to_save(c, progress);
    if (!is_unsaved(c))
        lloyd_progress_warn(progress,
                            "a checkpoint was written: --resume goes on from %s, after %s",
                            file_of(c), c->place);
    (void)lloyd_fail(status, "%s", message);
}

lloyd_status lloyd_checkpoint_close(lloyd_checkpoint *c, lloyd_progress *progress,
                                    lloyd_status status)
{
    if (!c) return status;
    end_guard(c);
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
    int64_t rows = most_seeds(options) * 8;
    centroids += rank == 0 ? 4 * rows : options->resume ? rows : 0;
    /* the image, twice while it is made */
    if (rank == 0) centroids += 2 * set * (options->n_init > 1 ? 2 : 1);
    return centroids + SAMPLES * dim * 4 + lloyd_gather_bytes(SAMPLES, dim);
}
