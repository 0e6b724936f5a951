/* See fits.h. */
#include "job/split/fits.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/stop.h"
#include "base/text.h"
#include "comm/self.h"
#include "job/split/centroids.h"
#include "job/split/checkpoint.h"
#include "job/split/many.h"
#include "job/split/small.h"
#include "kernels/blas.h"
#include "kernels/convert.h"

#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HOST_PART = 16,    /* of a rank's memory, for small fits */
    GPU_PART = 4,      /* of what its GPU has left */
    TOGETHER = 64,     /* clusters of a batch, at most, */
    BATCHES = 2,       /* and batches of each thread, at least */
    STARTING = 1 << 30 /* bytes of the host's memory: more than CUDA and one fit take */
};

static const double BETWEEN_AGREEMENTS = 5, /* seconds */
    SMALL_WORK =
        0x1p38; /* rows x sub-clusters x columns: some seconds of a core in each iteration */

lloyd_fit_options lloyd_fits_options(const lloyd_splitting *s, int64_t cluster)
{
    const lloyd_split_options *o = s->options;
    lloyd_fit_options fit;
    lloyd_fit_defaults(&fit);
    fit.k = s->first[cluster + 1] - s->first[cluster];
    fit.seed = o->seed + (uint64_t)cluster;
    fit.init = o->init;
    fit.n_init = o->n_init;
    fit.max_iters = o->max_iters;
    fit.tol = o->tol;
    fit.metric = s->parent.cosine ? "cosine" : "l2";
    fit.empty = o->empty;
    fit.backend = lloyd_backend_name(&s->backend);
    fit.progress = "none";
    return fit;
}

/* ---- The plan ------------------------------------------------------------------------------- */

/* Of `count` fits of clusters like this one at a time, as a batch if there are several. */
static lloyd_status bytes_of_fits(const lloyd_splitting *s, lloyd_comm *self, int64_t cluster,
                                  int64_t count, lloyd_bytes *bytes)
{
    static const float some_weight = 1;
    const lloyd_fit_options fit = lloyd_fits_options(s, cluster);
    const int64_t all = count * s->rows[cluster];
    const lloyd_small_rows rows = {.weights = s->source.weighted ? &some_weight : NULL,
                                   .count = all < LLOYD_GROUPED_ROWS || count == 1
                                                ? all
                                                : LLOYD_GROUPED_ROWS,
                                   .d = s->source.d,
                                   .type = s->source.type};
    return count == 1 ? lloyd_small_bytes(self, &fit, &rows, bytes)
                      : lloyd_many_bytes(self, &fit, &rows, count, bytes);
}

/* This rank alone, with its part of the threads: for the fit of a small cluster. */
static lloyd_status open_alone(const lloyd_splitting *s, lloyd_comm **alone)
{
    LLOYD_TRY(lloyd_comm_self(alone));
    (*alone)->local_rank = s->self->local_rank;
    (*alone)->local_size = s->self->local_size;
    (*alone)->threads = lloyd_backend_threads(s->self) / s->spread;
    return LLOYD_OK;
}

/* Clusters with fewer rows than a small one are small too: they have no more sub-clusters. */
static int is_small(const lloyd_splitting *s, int64_t cluster)
{
    const double comparisons =
        (double)s->rows[cluster] * (double)(s->first[cluster + 1] - s->first[cluster]);
    return s->rows[cluster] <= s->small_rows && comparisons * (double)s->source.d <= SMALL_WORK;
}

/* The one with the most rows, -1 if there is none. */
static int64_t largest_small(const lloyd_splitting *s)
{
    int64_t largest = -1;
    for (int64_t c = 0; c < s->parent.k; c++)
        if (s->rows[c] > 0 && is_small(s, c) && (largest < 0 || s->rows[c] > s->rows[largest]))
            largest = c;
    return largest;
}

/* How many small ones a batch has: larger batches take less time, but each thread needs some. */
static int batch_size(const lloyd_splitting *s)
{
    int64_t small = 0;
    for (int64_t c = 0; c < s->parent.k; c++) small += s->rows[c] > 0 && is_small(s, c);
    const int64_t each = small / ((int64_t)BATCHES * s->at_once * s->comm->size);
    return each > TOGETHER ? TOGETHER : each > 1 ? (int)each : 1;
}

/* Which clusters are small: those of which every thread gets one and has others left. */
static void define_small(lloyd_splitting *s)
{
    const int threads = lloyd_backend_threads(s->self);
    s->spread = threads < LLOYD_POOL_MOST ? threads : LLOYD_POOL_MOST;
    s->at_once = s->backend.cuda && s->spread > 1 ? LLOYD_POOL_MOST : s->spread;
    s->small_rows = s->at_once > 1 ? s->source.n / (2 * (int64_t)s->comm->size * s->spread) : 0;
    s->together = s->backend.cuda && s->at_once > 1 ? batch_size(s) : 1;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Of the fits of small clusters that run at a time: some clusters of a batch may have to be fitted alone. */
static lloyd_status bytes_of_small(const lloyd_splitting *s, lloyd_bytes *bytes)
{
    const lloyd_device *device = lloyd_backend_device(&s->backend);
    const int64_t largest = largest_small(s);
    lloyd_comm *alone = NULL;
    lloyd_bytes one = {0, 0}, batch = {0, 0};
    *bytes = one;
    if (largest < 0) return LLOYD_OK;
    lloyd_status status = open_alone(s, &alone);
    if (status == LLOYD_OK) status = bytes_of_fits(s, alone, largest, 1, &one);
    if (status == LLOYD_OK && s->together > 1)
        status = bytes_of_fits(s, alone, largest, s->together, &batch);
    if (alone) alone->destroy(alone);
    bytes->host = (larger(one.host, batch.host) + device->kept_on_host) * s->at_once;
    bytes->gpu = (larger(one.gpu, batch.gpu) + device->kept) * s->at_once;
    return status;
}

/* Batches have fewer, then fewer are fitted at a time, and then fewer are small, where there is not enough memory for so many fits. */
static lloyd_status limit_small(lloyd_splitting *s, lloyd_bytes most, int64_t *bytes)
{
    lloyd_bytes all;
    LLOYD_TRY(bytes_of_small(s, &all));
    while (all.host > most.host || all.gpu > most.gpu) {
        if (s->together > 1)
            s->together /= 2;
        else if (s->at_once > s->spread)
            s->at_once = s->at_once / 2 > s->spread ? s->at_once / 2 : s->spread;
        else
            s->small_rows /= 2;
        LLOYD_TRY(bytes_of_small(s, &all));
    }
    *bytes = all.host;
    return LLOYD_OK;
}

/* By what the fits take, and there is: of a GPU this is known when it has started. */
static lloyd_status limit_by_memory(lloyd_splitting *s, int64_t *bytes)
{
    const int64_t part = s->limit / HOST_PART;
    lloyd_bytes one, most;
    int64_t used, together;
    LLOYD_TRY(bytes_of_fits(s, s->self, s->largest, 1, &one));
    most = (lloyd_bytes){one.host > part ? one.host : part, 0};
    if (s->backend.cuda) {
        LLOYD_TRY(lloyd_backend_memory(&s->backend, &most.gpu, &used));
        most.gpu /= GPU_PART;
    }
    LLOYD_TRY(limit_small(s, most, &together));
    *bytes = one.host > together ? one.host : together;
    return LLOYD_OK;
}

lloyd_status lloyd_fits_plan(lloyd_splitting *s, int64_t largest, int64_t limit, int64_t *bytes)
{
    s->largest = largest;
    s->limit = limit;
    define_small(s);
    *bytes = STARTING + limit / HOST_PART;
    return s->backend.starting ? LLOYD_OK : limit_by_memory(s, bytes);
}

/* The plan did not wait for the GPU. */
static lloyd_status finish_plan(lloyd_splitting *s)
{
    int64_t bytes;
    return lloyd_backend_await(&s->backend) ? limit_by_memory(s, &bytes) : LLOYD_OK;
}

/* ---- A cluster ------------------------------------------------------------------------------ */

/* A row that cannot be clustered, of part i: its number in the dataset, -1 if all can. */
static int64_t find_bad_row(const lloyd_splitting *s, const lloyd_parts *parts, int64_t i,
                            float *room)
{
    const int64_t d = s->source.d;
    for (int64_t at = parts->begin[i]; at < parts->begin[i + 1]; at++) {
        int finite = 1, zero = s->parent.cosine;
        lloyd_to_float(s->source.type, parts->data + at * lloyd_split_row_bytes(s), d, room);
        for (int64_t j = 0; j < d; j++) finite &= isfinite(room[j]) != 0, zero &= room[j] == 0;
        if (!finite || zero) return parts->numbers[at];
    }
    return -1;
}

/* What failed, and in which cluster; the fit knows the rows of this one only. */
static lloyd_status explain(const lloyd_splitting *s, const lloyd_parts *parts, int64_t i,
                            lloyd_status status)
{
    char message[LLOYD_MESSAGE_BYTES], where[LLOYD_MESSAGE_BYTES / 2];
    float *room = NULL;
    int64_t row = -1;
    if (status == LLOYD_OK || status == LLOYD_STOPPED) return status;
    snprintf(message, sizeof message, "%s", lloyd_message());
    if (status == LLOYD_BAD_INPUT &&
        lloyd_alloc(&room, s->source.d, sizeof *room, "a row") == LLOYD_OK)
        row = find_bad_row(s, parts, i, room);
    lloyd_free(room);
    if (row < 0)
        return lloyd_fail(status, "cluster %lld: %s", (long long)parts->clusters[i], message);
    lloyd_rows_where(s->source.rows, row, where, sizeof where);
    return lloyd_fail(status,
                      "%s cannot be clustered: it holds NaN or infinity%s; remove or repair such "
                      "rows, or give --skip-bad-rows",
                      where, s->parent.cosine ? ", or nothing but zeros" : "");
}

/* What is fitted already, assigned once more. */
static lloyd_status check_inertia(lloyd_splitting *s, int64_t c, const lloyd_split_found *known)
{
    double is, was;
    if (s->inertia[c] == known->inertia) return LLOYD_OK;
    atomic_store(&s->distrusted, 1);
    lloyd_split_checkpoint_distrust(s->checkpoint);
    memcpy(&is, &s->inertia[c], sizeof is);
    memcpy(&was, &known->inertia, sizeof was);
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "cluster %lld, assigned to its sub-centroids in %s, has the inertia %.17g, but "
        "had %.17g; a machine computes wrongly, or did; remove the file to start anew",
        (long long)c, s->options->checkpoint, is, was);
}

static lloyd_status keep(lloyd_splitting *s, int64_t c)
{
    const lloyd_split_found found = {s->inertia[c], s->iterations[c], s->converged[c]};
    s->state[c] = LLOYD_SPLIT_FITTED;
    lloyd_split_checkpoint_keep(s->checkpoint, c, &found);
    return LLOYD_OK;
}

/* The rows of part i, and where its results go. */
static lloyd_small_rows rows_of(const lloyd_splitting *s, const lloyd_parts *parts, int64_t i)
{
    const int64_t begin = parts->begin[i];
    return (lloyd_small_rows){.data = parts->data + begin * lloyd_split_row_bytes(s),
                              .weights = parts->weights ? parts->weights + begin : NULL,
                              .count = parts->begin[i + 1] - begin,
                              .d = s->source.d,
                              .type = s->source.type};
}

static lloyd_small_result result_of(const lloyd_splitting *s, const lloyd_parts *parts, int64_t i)
{
    const int64_t c = parts->clusters[i], begin = parts->begin[i];
    return (lloyd_small_result){.centroids = s->centroids + s->place[c] * s->source.d,
                                .counts = s->counts + s->first[c],
                                .labels = parts->labels + begin,
                                .distances = parts->distances ? parts->distances + begin : NULL};
}

/* What has come of part i; known: what was known of it, or NULL. */
static lloyd_status take_result_of(lloyd_splitting *s, const lloyd_parts *parts, int64_t i,
                                   const lloyd_small_result *result, const lloyd_split_found *known)
{
    const int64_t c = parts->clusters[i], rows = parts->begin[i + 1] - parts->begin[i];
    for (int64_t r = 0; r < rows; r++) result->labels[r] += (int32_t)s->first[c];
    memcpy(&s->inertia[c], &result->inertia, sizeof result->inertia);
    s->iterations[c] = known ? known->iterations : result->iterations;
    s->converged[c] = known ? known->converged : result->converged;
    return known ? check_inertia(s, c, known) : keep(s, c);
}

/* What failed in the fit of a batch, of which it is not known in which cluster. */
static lloyd_status explain_batch(const lloyd_parts *parts, int64_t first, int64_t count,
                                  lloyd_status status)
{
    char message[LLOYD_MESSAGE_BYTES];
    if (status == LLOYD_OK || status == LLOYD_STOPPED) return status;
    snprintf(message, sizeof message, "%s", lloyd_message());
    return lloyd_fail(status, "clusters %lld to %lld: %s", (long long)parts->clusters[first],
                      (long long)parts->clusters[first + count - 1], message);
}

/* `count` parts from number `first` on, by the threads of `self`; done[i] = 0: one of them is still to be fitted. */
static lloyd_status fit_batch(lloyd_splitting *s, lloyd_comm *self, const lloyd_parts *parts,
                              int64_t first, int64_t count, unsigned char *done, int *apart)
{
    lloyd_fit_options fits[TOGETHER];
    lloyd_small_rows rows[TOGETHER];
    lloyd_small_result results[TOGETHER];
    for (int64_t i = 0; i < count; i++) {
        fits[i] = lloyd_fits_options(s, parts->clusters[first + i]);
        rows[i] = rows_of(s, parts, first + i);
        results[i] = result_of(s, parts, first + i);
    }
    LLOYD_TRY(explain_batch(parts, first, count,
                            lloyd_many_fit(self, fits, rows, results, count, done, apart)));
    for (int64_t i = 0; i < count; i++)
        if (done[i]) LLOYD_TRY(take_result_of(s, parts, first + i, &results[i], NULL));
    return LLOYD_OK;
}

/* Part i, by the threads of `self`. */
static lloyd_status fit_one(lloyd_splitting *s, lloyd_comm *self, const lloyd_parts *parts,
                            int64_t i)
{
    const int64_t c = parts->clusters[i];
    const lloyd_fit_options fit = lloyd_fits_options(s, c);
    const lloyd_small_rows rows = rows_of(s, parts, i);
    lloyd_small_result result = result_of(s, parts, i);
    const lloyd_split_found *known = lloyd_split_checkpoint_known(s->checkpoint, c);
    LLOYD_TRY(lloyd_stop_check());
    LLOYD_TRY(explain(s, parts, i,
                      known ? lloyd_small_assign(self, &fit, &rows, &result)
                            : lloyd_small_fit(self, &fit, &rows, &result)));
    return take_result_of(s, parts, i, &result, known);
}

/* ---- The clusters of a round ---------------------------------------------------------------- */

/* A part, or a batch of parts that follow each other, and their rows. */
typedef struct turn {
    int64_t rows, part, count;
    int large;
} turn;

typedef struct fitting {
    lloyd_splitting *s;
    const lloyd_parts *parts;
    lloyd_shown *shown;
    turn *turns;      /* [count] larger ones first */
    int64_t count;    /* at most parts->count */
    int64_t large;    /* of them, which are fitted one after the other */
    lloyd_pool *pool; /* for the others */
    lloyd_comm *alone[LLOYD_POOL_MOST];
    int kept;     /* 1: the memory of GPUs is kept from fit to fit */
    double began; /* lloyd_seconds() when ranks agreed */

    pthread_mutex_t lock;
    int64_t next;   /* turn, while there is no failure */
    int64_t failed; /* the first turn that failed, -1: none */
    lloyd_status status;
    char message[LLOYD_MESSAGE_BYTES];
    int64_t *done; /* rows */
    atomic_int
        apart; /* 1: rows like these cannot be fitted in batches, so that no other is tried */
} fitting;

static int compare_turns(const void *a, const void *b)
{
    const turn *x = a, *y = b;
    if (x->large != y->large) return x->large ? -1 : 1;
    if (x->rows != y->rows) return x->rows < y->rows ? 1 : -1;
    return x->part < y->part ? -1 : x->part > y->part;
}

/* Whether a part can be in a batch: what is fitted already is assigned only. */
static int fits_batch(const fitting *f, int64_t part)
{
    const int64_t c = f->parts->clusters[part];
    const lloyd_fit_options fit = lloyd_fits_options(f->s, c);
    return f->s->together > 1 && !lloyd_split_checkpoint_known(f->s->checkpoint, c) &&
           lloyd_many_fits(&fit, f->parts->begin[part + 1] - f->parts->begin[part],
                           f->parts->weights != NULL);
}

/* Whether a part joins a batch, or what may become one, which ends before it. */
static int joins(const fitting *f, const turn *batch, const turn *own)
{
    return !own->large && !batch->large && batch->count < f->s->together &&
           batch->rows + own->rows <= LLOYD_GROUPED_ROWS && fits_batch(f, batch->part) &&
           fits_batch(f, own->part);
}

/* Larger ones first: at the end no thread waits long for another. */
static lloyd_status find_turns(fitting *f)
{
    const lloyd_parts *parts = f->parts;
    LLOYD_TRY(lloyd_alloc(&f->turns, parts->count, sizeof *f->turns, "the turns of clusters"));
    for (int64_t i = 0; i < parts->count; i++) {
        const turn own = {.rows = parts->begin[i + 1] - parts->begin[i],
                          .part = i,
                          .count = 1,
                          .large = !is_small(f->s, parts->clusters[i])};
        if (f->count > 0 && joins(f, &f->turns[f->count - 1], &own)) {
            f->turns[f->count - 1].rows += own.rows;
            f->turns[f->count - 1].count++;
        } else {
            f->turns[f->count++] = own;
        }
    }
    if (f->count > 0) qsort(f->turns, (size_t)f->count, sizeof *f->turns, compare_turns);
    while (f->large < f->count && f->turns[f->large].large) f->large++;
    return LLOYD_OK;
}

static lloyd_status open_fitting(fitting *f)
{
    LLOYD_TRY(finish_plan(f->s));
    const int at_once = f->s->at_once;
    LLOYD_TRY(find_turns(f));
    if (f->large == f->count) return LLOYD_OK;
    for (int w = 0; w < at_once; w++) LLOYD_TRY(open_alone(f->s, &f->alone[w]));
    (void)lloyd_blas_take(at_once); /* by this thread, once for all */
    return lloyd_pool_open(at_once, &f->pool);
}

static lloyd_status close_fitting(fitting *f)
{
    const lloyd_status status = f->kept ? lloyd_backend_keep(&f->s->backend, 0) : LLOYD_OK;
    lloyd_pool_close(f->pool);
    for (int w = 0; w < LLOYD_POOL_MOST; w++)
        if (f->alone[w]) f->alone[w]->destroy(f->alone[w]);
    lloyd_free(f->turns);
    pthread_mutex_destroy(&f->lock);
    return status;
}

/* The next turn before `end`, -1 if there is none, or it is time to agree with others. */
static int64_t take_turn(fitting *f, int64_t end)
{
    int64_t taken = -1;
    pthread_mutex_lock(&f->lock);
    const int on_time = f->s->comm->size == 1 || lloyd_seconds() - f->began < BETWEEN_AGREEMENTS;
    if (f->failed < 0 && f->next < end && on_time) taken = f->next++;
    pthread_mutex_unlock(&f->lock);
    return taken;
}

/* Of several failures the one that is first in turn is kept: those before it have all been begun. */
static void end_turn(fitting *f, int64_t number, lloyd_status status)
{
    pthread_mutex_lock(&f->lock);
    if (status == LLOYD_OK) {
        *f->done += f->turns[number].rows;
    } else if (f->failed < 0 || number < f->failed) {
        f->failed = number;
        f->status = status;
        snprintf(f->message, sizeof f->message, "%s", lloyd_message());
    }
    pthread_mutex_unlock(&f->lock);
}

static void show(fitting *f)
{
    char rows[32], found[64];
    pthread_mutex_lock(&f->lock);
    const int64_t done = *f->done;
    pthread_mutex_unlock(&f->lock);
    snprintf(found, sizeof found, "%s rows on rank 0", lloyd_text_count(done, rows, sizeof rows));
    lloyd_shown_at(f->shown, (double)done, found);
}

/* The clusters of a batch, and those that could not be fitted with the others alone. */
static lloyd_status fit_turn(fitting *f, lloyd_comm *self, const turn *t)
{
    unsigned char done[TOGETHER] = {0};
    int apart = 0;
    if (t->count > 1 && !atomic_load(&f->apart))
        LLOYD_TRY(fit_batch(f->s, self, f->parts, t->part, t->count, done, &apart));
    if (apart) atomic_store(&f->apart, 1);
    for (int64_t i = 0; i < t->count; i++)
        if (!done[i]) LLOYD_TRY(fit_one(f->s, self, f->parts, t->part + i));
    return LLOYD_OK;
}

/* Turns before `end`. Worker 0 is the thread that asked for it. */
static void fit_turns(fitting *f, lloyd_comm *self, int64_t end, int worker)
{
    for (int64_t number; (number = take_turn(f, end)) >= 0;) {
        end_turn(f, number, fit_turn(f, self, &f->turns[number]));
        if (worker == 0) show(f);
    }
}

static lloyd_status fit_small(void *task, int64_t piece, int worker)
{
    fitting *f = task;
    const int threads = omp_get_max_threads(); /* worker 0 is no thread of the pool's own */
    (void)piece;
    omp_set_num_threads(1); /* where no number is asked for */
    fit_turns(f, f->alone[worker], f->count, worker);
    omp_set_num_threads(threads);
    return LLOYD_OK;
}

/* Large clusters are done, whose fits may need all memory of the GPU. */
static lloyd_status fit_all_small(fitting *f)
{
    if (!f->kept) LLOYD_TRY(lloyd_backend_keep(&f->s->backend, 1));
    f->kept = 1;
    return lloyd_pool_run(f->pool, f->s->at_once, fit_small, f);
}

/* For some seconds. */
static lloyd_status fit_some(fitting *f)
{
    f->began = lloyd_seconds();
    fit_turns(f, f->s->self, f->large, 0);
    if (f->pool && f->failed < 0 && f->next >= f->large) LLOYD_TRY(fit_all_small(f));
    return f->failed < 0 ? LLOYD_OK : lloyd_fail(f->status, "%s", f->message);
}

/* What ranks have finished goes to the checkpoint, also after a failure or a stop, whose message stays. */
static lloyd_status collect(lloyd_splitting *s, lloyd_status status)
{
    char message[LLOYD_MESSAGE_BYTES];
    double distrusted = atomic_load(&s->distrusted);
    if (!s->checkpoint || s->comm->broken) return status;
    if (status == LLOYD_OK) return lloyd_split_collect(s);
    snprintf(message, sizeof message, "%s", lloyd_message());
    lloyd_status collected = s->comm->max(s->comm, &distrusted, 1);
    if (collected == LLOYD_OK && distrusted > 0) lloyd_split_checkpoint_distrust(s->checkpoint);
    if (collected == LLOYD_OK && distrusted == 0) (void)lloyd_split_collect(s);
    return lloyd_fail(status, "%s", message);
}

lloyd_status lloyd_fits_run(lloyd_splitting *s, const lloyd_parts *parts, lloyd_shown *shown,
                            int64_t *done)
{
    lloyd_comm *comm = s->comm;
    fitting f = {.s = s, .parts = parts, .shown = shown, .failed = -1, .done = done};
    pthread_mutex_init(&f.lock, NULL);
    lloyd_status status = comm->agree(comm, open_fitting(&f));
    for (int64_t more = 1; more > 0 && status == LLOYD_OK;) {
        status = collect(s, comm->agree(comm, fit_some(&f)));
        more = f.next < f.count;
        if (status == LLOYD_OK) status = lloyd_comm_sum_host(comm, &more, 1);
    }
    const lloyd_status closed = close_fitting(&f);
    return status == LLOYD_OK ? comm->agree(comm, closed) : status;
}
