/* See checkpoint.h. */
#include "job/split/checkpoint.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stop.h"
#include "base/threads.h"
#include "io/writers/split_checkpoint.h"
#include "job/checkpoint/common.h"
#include "job/options.h"
#include "job/split/centroids.h"
#include "options/listing.h"
#include "options/table.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Of a cluster. */
typedef struct kept {
    int64_t done; /* 1: it is finished */
    lloyd_split_found found;
} kept;

struct lloyd_split_checkpoint {
    lloyd_splitting *s;
    lloyd_every every;
    char *deciding, *inputs;
    uint64_t clusters, data; /* the fingerprints */
    int64_t filled;          /* clusters that have rows */

    kept *resumed;           /* [parent.k] of the file that was read; NULL: none was */
    int64_t resumed_count;   /* of these clusters, those that are finished */
    lloyd_saved_split saved; /* rank 0: that file, until its centroids are restored */

    /* of rank 0 */
    kept *kept;              /* [parent.k] */
    int64_t done, stored;    /* clusters that are kept, and that the file has */
    int64_t tried;           /* that were kept when it was last written, or could not be */
    int complete;            /* 1: the file has all */
    int distrusted;          /* 1: what is kept may be wrong */
    double written;          /* when it was */
    pthread_mutex_t lock;    /* of these */
    pthread_mutex_t writing; /* of a file; taken before `lock` */
    pthread_t writer;
    int writes; /* 1: that thread runs */
    atomic_int ending;
};

static const char *file_of(const lloyd_split_checkpoint *c)
{
    return c->s->options->checkpoint;
}

/* ---- Fingerprints --------------------------------------------------------------------------- */

/* The sum over ranks modulo 2^64, of halves that cannot overflow. */
static lloyd_status sum_hashes(lloyd_comm *comm, uint64_t *hash)
{
    int64_t halves[2] = {(int64_t)(*hash & UINT32_MAX), (int64_t)(*hash >> 32)};
    LLOYD_TRY(lloyd_comm_sum_host(comm, halves, 2));
    *hash = (uint64_t)halves[0] + ((uint64_t)halves[1] << 32);
    return LLOYD_OK;
}

/* Of the clusters of all rows: a sum over rows, so it depends on no number of ranks. */
static lloyd_status hash_clusters(lloyd_split_checkpoint *c)
{
    const lloyd_splitting *s = c->s;
    const uint64_t of_model = lloyd_hash_word((uint64_t)s->parent.cosine, (uint64_t)s->parent.k);
    for (int64_t i = 0; i < s->source.count; i++) {
        const uint64_t row = lloyd_hash_word(of_model, (uint64_t)(s->source.first + i));
        c->clusters += lloyd_hash_word(row, (uint64_t)s->clusters[i]);
    }
    return sum_hashes(s->comm, &c->clusters);
}

lloyd_status lloyd_split_checkpoint_check_data(lloyd_split_checkpoint *c, uint64_t rows)
{
    if (!c) return LLOYD_OK;
    lloyd_comm *comm = c->s->comm;
    const uint64_t was = c->data;
    c->data = rows;
    LLOYD_TRY(sum_hashes(comm, &c->data));
    const int other = comm->rank == 0 && c->resumed && c->data != was;
    return comm->agree(comm, other ? lloyd_checkpoint_other_data(file_of(c)) : LLOYD_OK);
}

/* ---- Opening -------------------------------------------------------------------------------- */

static lloyd_status prepare(lloyd_split_checkpoint *c)
{
    const lloyd_splitting *s = c->s;
    LLOYD_TRY(lloyd_options_every(s->options->checkpoint_every, "clusters", &c->every));
    LLOYD_TRY(lloyd_options_list(lloyd_commands[LLOYD_COMMAND_SPLIT].options, s->options,
                                 LLOYD_OPTION_DECIDES, 0, &c->deciding));
    LLOYD_TRY(lloyd_checkpoint_inputs(s->source.rows, &c->inputs));
    for (int64_t k = 0; k < s->parent.k; k++) c->filled += s->rows[k] > 0;
    if (s->comm->rank != 0) return LLOYD_OK;
    return lloyd_alloc(&c->kept, s->parent.k, sizeof *c->kept, "the checkpoint");
}

static lloyd_status compare_clusters(const lloyd_split_checkpoint *c)
{
    const lloyd_splitting *s = c->s;
    const lloyd_split_options *o = s->options;
    const lloyd_saved_split *saved = &c->saved;
    int64_t parts = 0, empty = 0;
    if (saved->k != s->parent.k || saved->clusters != c->clusters)
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "%s was made from other clusters than those of the rows in %s; give the "
                          "model or the labels it was made from, or another --checkpoint",
                          file_of(c), o->labels ? o->labels : o->model);
    for (int64_t i = 0; i < saved->done; i++) {
        parts += s->first[saved->cluster[i] + 1] - s->first[saved->cluster[i]];
        empty += s->rows[saved->cluster[i]] == 0;
    }
    if (empty > 0)
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "%s has sub-centroids of clusters without rows; remove it to start anew",
                          file_of(c));
    if (parts == saved->parts) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_BAD_INPUT,
        "%s has %lld sub-centroids of clusters that are split into %lld; remove it to "
        "start anew",
        file_of(c), (long long)saved->parts, (long long)parts);
}

static void take_clusters(lloyd_split_checkpoint *c)
{
    const lloyd_saved_split *saved = &c->saved;
    for (int64_t i = 0; i < saved->done; i++) {
        kept *k = &c->resumed[saved->cluster[i]];
        k->done = 1;
        memcpy(&k->found.inertia, &saved->inertia[i], sizeof k->found.inertia);
        k->found.iterations = saved->iterations[i];
        k->found.converged = saved->converged[i] != 0;
    }
}

/* Rank 0. */
static lloyd_status read_file(lloyd_split_checkpoint *c)
{
    const lloyd_split_options *o = c->s->options;
    lloyd_saved_split *saved = &c->saved;
    int reads;
    LLOYD_TRY(lloyd_checkpoint_look(o->checkpoint, o->resume, 1, &reads));
    if (!reads) return LLOYD_OK;
    LLOYD_TRY(lloyd_saved_split_read(o->checkpoint, saved));
    LLOYD_TRY(lloyd_checkpoint_compare(o->checkpoint, saved->options, c->deciding));
    LLOYD_TRY(lloyd_checkpoint_compare_shape(o->checkpoint, saved->n, saved->d, saved->type,
                                             c->s->source.rows));
    return compare_clusters(c);
}

/* All ranks get what rank 0 has read, the centroids aside. */
static lloyd_status share(lloyd_split_checkpoint *c)
{
    lloyd_splitting *s = c->s;
    const int64_t k = s->parent.k;
    c->resumed_count = c->saved.done;
    LLOYD_TRY(s->comm->broadcast(s->comm, &c->resumed_count, sizeof c->resumed_count, 0));
    if (c->resumed_count == 0) return LLOYD_OK;
    LLOYD_TRY(lloyd_comm_alloc(s->comm, &c->resumed, k, sizeof *c->resumed, "the checkpoint"));
    if (s->comm->rank == 0) {
        take_clusters(c);
        memcpy(c->kept, c->resumed, (size_t)k * sizeof *c->kept);
        c->done = c->stored = c->tried = c->resumed_count;
        c->data = c->saved.data;
        lloyd_note("resuming from %s, after %lld of %lld clusters", file_of(c), (long long)c->done,
                   (long long)c->filled);
    }
    LLOYD_TRY(s->comm->broadcast(s->comm, c->resumed, k * (int64_t)sizeof *c->resumed, 0));
    for (int64_t i = 0; i < k; i++)
        if (c->resumed[i].done) s->state[i] = LLOYD_SPLIT_COLLECTED;
    return LLOYD_OK;
}

static void free_checkpoint(lloyd_split_checkpoint *c)
{
    lloyd_saved_split_free(&c->saved);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->writing);
    lloyd_free(c->resumed);
    lloyd_free(c->kept);
    free(c->deciding);
    free(c->inputs);
    lloyd_free(c);
}

static void *write_now_and_then(void *checkpoint);

static lloyd_status start_writer(lloyd_split_checkpoint *c)
{
    c->writes = lloyd_thread_start(&c->writer, write_now_and_then, c) == 0;
    return c->writes
               ? LLOYD_OK
               : lloyd_fail(LLOYD_FAILED, "cannot start the thread that writes the checkpoint");
}

lloyd_status lloyd_split_checkpoint_open(lloyd_splitting *s, lloyd_split_checkpoint **checkpoint)
{
    lloyd_comm *comm = s->comm;
    lloyd_split_checkpoint *c = NULL;
    *checkpoint = NULL;
    if (!s->options->checkpoint) return LLOYD_OK;
    LLOYD_TRY(lloyd_comm_alloc(comm, &c, 1, sizeof *c, "the checkpoint"));
    *c = (lloyd_split_checkpoint){.s = s, .written = lloyd_seconds()};
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->writing, NULL);
    lloyd_status status = comm->agree(comm, prepare(c));
    if (status == LLOYD_OK) status = hash_clusters(c);
    if (status == LLOYD_OK) status = comm->agree(comm, comm->rank == 0 ? read_file(c) : LLOYD_OK);
    if (status == LLOYD_OK) status = share(c);
    if (status != LLOYD_OK) {
        free_checkpoint(c);
        return status;
    }
    *checkpoint = c;
    return comm->agree(comm, comm->rank == 0 ? start_writer(c) : LLOYD_OK);
}

const lloyd_split_found *lloyd_split_checkpoint_known(const lloyd_split_checkpoint *c,
                                                      int64_t cluster)
{
    return c && c->resumed && c->resumed[cluster].done ? &c->resumed[cluster].found : NULL;
}

int64_t lloyd_split_checkpoint_resumed(const lloyd_split_checkpoint *c)
{
    return c ? c->resumed_count : 0;
}

lloyd_status lloyd_split_checkpoint_restore(lloyd_split_checkpoint *c)
{
    if (!c || c->resumed_count == 0) return LLOYD_OK;
    const lloyd_splitting *s = c->s;
    const int64_t d = s->source.d;
    const float *from = c->saved.centroids;
    for (int64_t i = 0; i < c->saved.done; i++) {
        const int64_t k = c->saved.cluster[i], count = s->first[k + 1] - s->first[k];
        memcpy(s->centroids + s->place[k] * d, from, (size_t)(count * d) * sizeof *from);
        from += count * d;
    }
    lloyd_saved_split_free(&c->saved);
    return lloyd_split_hand_out(c->s);
}

/* ---- Keeping -------------------------------------------------------------------------------- */

void lloyd_split_checkpoint_keep(lloyd_split_checkpoint *c, int64_t cluster,
                                 const lloyd_split_found *found)
{
    if (!c || c->s->comm->rank != 0) return;
    pthread_mutex_lock(&c->lock);
    if (!c->kept[cluster].done) c->done++;
    c->kept[cluster] = (kept){1, *found};
    pthread_mutex_unlock(&c->lock);
}

void lloyd_split_checkpoint_distrust(lloyd_split_checkpoint *c)
{
    pthread_mutex_lock(&c->lock);
    c->distrusted = 1;
    pthread_mutex_unlock(&c->lock);
}

static int is_unsaved(lloyd_split_checkpoint *c)
{
    pthread_mutex_lock(&c->lock);
    const int unsaved = c->done > c->stored && !c->distrusted;
    pthread_mutex_unlock(&c->lock);
    return unsaved;
}

/* The finished clusters of this moment. */
static lloyd_status list_clusters(lloyd_split_checkpoint *c, lloyd_saved_split *saved)
{
    const lloyd_splitting *s = c->s;
    const char *what = "the checkpoint";
    const int64_t most = c->filled;
    int64_t at = 0;
    LLOYD_TRY(lloyd_alloc(&saved->cluster, most, sizeof *saved->cluster, what));
    LLOYD_TRY(lloyd_alloc(&saved->inertia, most, sizeof *saved->inertia, what));
    LLOYD_TRY(lloyd_alloc(&saved->iterations, most, sizeof *saved->iterations, what));
    LLOYD_TRY(lloyd_alloc(&saved->converged, most, sizeof *saved->converged, what));
    pthread_mutex_lock(&c->lock);
    for (int64_t k = 0; k < s->parent.k; k++) {
        const kept *one = &c->kept[k];
        if (!one->done) continue;
        saved->cluster[at] = k;
        memcpy(&saved->inertia[at], &one->found.inertia, sizeof *saved->inertia);
        saved->iterations[at] = one->found.iterations;
        saved->converged[at] = one->found.converged;
        saved->parts += s->first[k + 1] - s->first[k];
        at++;
    }
    pthread_mutex_unlock(&c->lock);
    saved->done = at;
    return LLOYD_OK;
}

/* Which centroid is the next in the file. */
typedef struct filling {
    const lloyd_splitting *s;
    const int64_t *cluster;
    int64_t centroid; /* of that cluster */
} filling;

static void fill(void *context, int64_t count, float *room)
{
    filling *f = context;
    const lloyd_splitting *s = f->s;
    const int64_t d = s->source.d;
    while (count > 0) {
        const int64_t c = *f->cluster, left = s->first[c + 1] - s->first[c] - f->centroid;
        const int64_t here = count < left ? count : left;
        memcpy(room, s->centroids + (s->first[c] + f->centroid) * d,
               (size_t)(here * d) * sizeof *room);
        room += here * d;
        count -= here;
        f->centroid = here < left ? f->centroid + here : 0;
        if (here == left) f->cluster++;
    }
}

static lloyd_status write_clusters(lloyd_split_checkpoint *c, lloyd_saved_split *saved)
{
    lloyd_saved_image image = {.bytes = NULL};
    LLOYD_TRY(list_clusters(c, saved));
    filling f = {.s = c->s, .cluster = saved->cluster};
    const lloyd_saved_centroids centroids = {fill, &f};
    lloyd_status status = lloyd_saved_split_draw(file_of(c), saved, &centroids, &image);
    if (status == LLOYD_OK) status = lloyd_saved_store(file_of(c), &image, lloyd_stop_request());
    lloyd_saved_discard(&image);
    return status;
}

/* What has become unsaved since, if another thread is writing. */
static lloyd_status save(lloyd_split_checkpoint *c)
{
    const lloyd_splitting *s = c->s;
    pthread_mutex_lock(&c->writing);
    if (!is_unsaved(c)) {
        pthread_mutex_unlock(&c->writing);
        return LLOYD_OK;
    }
    lloyd_saved_split saved = {
        .n = s->source.n,
        .d = s->source.d,
        .k = s->parent.k,
        .filled = c->filled,
        .type = (char *)lloyd_type_name(s->source.type),
        .inputs = c->inputs,
        .version = (char *)LLOYD_VERSION,
        .command = (char *)(s->options->command ? s->options->command : ""),
        .options = c->deciding,
        .clusters = c->clusters,
        .data = c->data,
    };
    lloyd_status status = write_clusters(c, &saved);
    lloyd_free(saved.cluster);
    lloyd_free(saved.inertia);
    lloyd_free(saved.iterations);
    lloyd_free(saved.converged);
    pthread_mutex_lock(&c->lock);
    if (status == LLOYD_OK) c->stored = saved.done;
    c->tried = status == LLOYD_OK ? saved.done : c->done;
    c->written = lloyd_seconds();
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_unlock(&c->writing);
    return status;
}

/* A split that computes well is not ended because a checkpoint cannot be written: the one before is still there,
 * and the next may succeed. */
static void try_to_save(lloyd_split_checkpoint *c)
{
    if (save(c) != LLOYD_OK) lloyd_note("no checkpoint was written: %s", lloyd_message());
}

/* ---- The writer ----------------------------------------------------------------------------- */

/* Also after a failure: not before there is as much to write again, or as much time has passed. */
static int is_time(lloyd_split_checkpoint *c)
{
    pthread_mutex_lock(&c->lock);
    const int64_t more = c->distrusted ? 0 : c->done - c->stored;
    const int due = c->every.count > 0 ? c->done - c->tried >= c->every.count
                                       : lloyd_seconds() - c->written >= c->every.seconds;
    pthread_mutex_unlock(&c->lock);
    return more > 0 && due;
}

/* Naps until the split ends, or for so many times 20 ms. Returns whether it ends. */
static int wait_for_end(const lloyd_split_checkpoint *c, int naps)
{
    const struct timespec nap = {.tv_nsec = 20000000};
    for (; naps > 0 && !atomic_load(&c->ending); naps--) (void)nanosleep(&nap, NULL);
    return atomic_load(&c->ending);
}

/* Whoever asks to stop may not wait until the fits of this moment are left: mpirun kills its ranks after a second. */
static void save_at_once(lloyd_split_checkpoint *c, const char *signal)
{
    const lloyd_status status = is_unsaved(c) ? save(c) : LLOYD_OK;
    if (wait_for_end(c, 20)) return; /* it says more */
    pthread_mutex_lock(&c->lock);
    if (status != LLOYD_OK)
        lloyd_note("%s: no checkpoint was written: %s", signal, lloyd_message());
    else if (c->stored > 0)
        lloyd_note("%s: %s holds %lld of %lld clusters, and more if there is time", signal,
                   file_of(c), (long long)c->stored, (long long)c->filled);
    pthread_mutex_unlock(&c->lock);
}

static void *write_now_and_then(void *checkpoint)
{
    lloyd_split_checkpoint *c = checkpoint;
    omp_set_num_threads(1); /* the others compute */
    while (lloyd_stop_signal() == 0 && !wait_for_end(c, 1))
        if (is_time(c)) try_to_save(c);
    if (lloyd_stop_signal() != 0) save_at_once(c, lloyd_stop_name(lloyd_stop_signal()));
    return NULL;
}

static void end_writer(lloyd_split_checkpoint *c)
{
    atomic_store(&c->ending, 1);
    if (c->writes) pthread_join(c->writer, NULL);
    c->writes = 0;
}

/* ---- The end -------------------------------------------------------------------------------- */

void lloyd_split_checkpoint_last(lloyd_split_checkpoint *c)
{
    if (!c || c->s->comm->rank != 0) return;
    if (is_unsaved(c)) try_to_save(c);
    c->complete = !is_unsaved(c);
}

void lloyd_split_checkpoint_rescue(lloyd_split_checkpoint *c)
{
    if (!c || c->s->comm->rank != 0 || !is_unsaved(c)) return;
    try_to_save(c);
    if (!is_unsaved(c))
        lloyd_note(
            "a checkpoint was written: --resume continues from %s, after %lld of %lld clusters",
            file_of(c), (long long)c->stored, (long long)c->filled);
}

/* Rank 0 reports what is left behind; all ranks return LLOYD_STOPPED, or LLOYD_FAILED. */
static lloyd_status explain_stop(lloyd_split_checkpoint *c, const char *signal)
{
    if (c->s->comm->rank != 0) return lloyd_fail(LLOYD_STOPPED, "%s", "");
    lloyd_status status = is_unsaved(c) ? save(c) : LLOYD_OK;
    if (status == LLOYD_OK && c->stored > 0) status = lloyd_saved_sync(file_of(c));
    if (status != LLOYD_OK)
        return lloyd_fail(LLOYD_FAILED, "stopped by %s, but without a new checkpoint: %s", signal,
                          lloyd_message());
    if (c->stored > 0)
        return lloyd_fail(LLOYD_STOPPED,
                          "stopped by %s; the same command with --resume continues from %s, after "
                          "%lld of %lld clusters",
                          signal, file_of(c), (long long)c->stored, (long long)c->filled);
    return lloyd_fail(LLOYD_STOPPED,
                      "stopped by %s before a cluster was finished; the same command with --resume "
                      "starts anew",
                      signal);
}

static lloyd_status stop(lloyd_split_checkpoint *c)
{
    int signal = 0;
    /* before anything that waits for others; explain_stop() tries again, and says why it fails */
    if (c->s->comm->rank == 0 && is_unsaved(c)) (void)save(c);
    LLOYD_TRY(lloyd_checkpoint_signal(c->s->comm, &signal));
    return c->s->comm->agree(c->s->comm, explain_stop(c, lloyd_stop_name(signal)));
}

/* After a failure: its status and message stay what they are. */
static void leave(lloyd_split_checkpoint *c, lloyd_status status)
{
    char message[LLOYD_MESSAGE_BYTES];
    snprintf(message, sizeof message, "%s", lloyd_message());
    lloyd_split_checkpoint_rescue(c);
    if (c->complete)
        lloyd_note(
            "nothing is lost: when the output can be written, the same command with --resume "
            "makes the model from %s",
            file_of(c));
    (void)lloyd_fail(status, "%s", message);
}

lloyd_status lloyd_split_checkpoint_close(lloyd_split_checkpoint *c, lloyd_status status)
{
    if (!c) return status;
    end_writer(c);
    if (status == LLOYD_STOPPED)
        status = stop(c);
    else if (status != LLOYD_OK)
        leave(c, status);
    free_checkpoint(c);
    return status;
}

/* ---- Memory --------------------------------------------------------------------------------- */

int64_t lloyd_split_checkpoint_file_bytes(const lloyd_splitting *s)
{
    const int64_t of_cluster = 8 * 4, of_part = s->source.d * (int64_t)sizeof(float);
    return s->options->checkpoint ? s->parent.k * of_cluster + s->k * of_part : 0;
}

int64_t lloyd_split_checkpoint_bytes(const lloyd_splitting *s)
{
    if (!s->options->checkpoint) return 0;
    const int64_t all = s->parent.k * (int64_t)sizeof(kept);
    const lloyd_split_checkpoint *c = s->checkpoint;
    const int64_t read = c ? c->saved.parts * s->source.d * (int64_t)sizeof(float) : 0;
    /* rank 0: the file twice, while its image is made; what was read is freed before */
    return s->comm->rank == 0 ? all + 2 * lloyd_split_checkpoint_file_bytes(s) - read : all;
}
