/* A queue of ranges, and a thread that reads them in order. A range is waiting, then being read,
 * then ready until it is taken; a buffer is busy from the start of its read until it is
 * released. */
#include "io/readahead.h"

#include "base/memory.h"
#include "base/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 };

typedef struct range {
    int64_t first, count;
    int buffer;
    lloyd_status status;
    char *message; /* of a failure; freed by whoever takes the range */
} range;

struct lloyd_readahead {
    lloyd_rows *rows;
    void **buffers;
    char *busy; /* [count] */
    int count, stop;
    int held;                    /* buffers that the caller has */
    range *ranges;               /* a ring; positions count up for ever */
    int64_t capacity;            /* of the ring, a power of two */
    int64_t taken, read, queued; /* ranges so far; [taken, read) are ready, [read, queued) wait */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static range *at(lloyd_readahead *r, int64_t position)
{
    return &r->ranges[position & (r->capacity - 1)];
}

static int free_buffer(const lloyd_readahead *r)
{
    const char *found = memchr(r->busy, 0, (size_t)r->count);
    return found ? (int)(found - r->busy) : -1;
}

/* Reads the oldest waiting range into a free buffer; called and returns with the lock held. */
static void read_next(lloyd_readahead *r, int buffer)
{
    range now = *at(r, r->read);
    now.buffer = buffer;
    r->busy[buffer] = 1;
    pthread_mutex_unlock(&r->lock);
    now.status = lloyd_rows_read(r->rows, now.first, now.count, r->buffers[buffer]);
    if (now.status != LLOYD_OK) now.message = strdup(lloyd_message());
    pthread_mutex_lock(&r->lock);
    *at(r, r->read++) = now; /* the ring may have moved meanwhile */
    pthread_cond_broadcast(&r->changed);
}

static void *read_ahead(void *data)
{
    lloyd_readahead *r = data;
    pthread_mutex_lock(&r->lock);
    while (!r->stop) {
        int buffer = free_buffer(r);
        if (r->read < r->queued && buffer >= 0) {
            read_next(r, buffer);
        } else {
            pthread_cond_wait(&r->changed, &r->lock);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void free_readahead(lloyd_readahead *r)
{
    for (int64_t i = r->taken; i < r->read; i++) free(at(r, i)->message);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    lloyd_free(r->buffers);
    lloyd_free(r->busy);
    lloyd_free(r->ranges);
    lloyd_free(r);
}

static lloyd_status start(lloyd_readahead *r, void *const *buffers)
{
    LLOYD_TRY(lloyd_alloc(&r->buffers, r->count, sizeof *r->buffers, "the list of buffers"));
    LLOYD_TRY(lloyd_alloc(&r->busy, r->count, 1, "the list of buffers"));
    LLOYD_TRY(lloyd_alloc(&r->ranges, FIRST_CAPACITY, sizeof *r->ranges, "the queue of reads"));
    memcpy(r->buffers, buffers, (size_t)r->count * sizeof *buffers);
    r->capacity = FIRST_CAPACITY;
    int error = lloyd_thread_start(&r->thread, read_ahead, r);
    if (error == 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "cannot start the thread that reads ahead: %s",
                      strerror(error));
}

lloyd_status lloyd_readahead_open(lloyd_rows *rows, void *const *buffers, int count,
                                  lloyd_readahead **readahead)
{
    lloyd_readahead *r;
    *readahead = NULL;
    LLOYD_TRY(lloyd_alloc(&r, 1, sizeof *r, "reading ahead"));
    r->rows = rows;
    r->count = count;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    lloyd_status status = start(r, buffers);
    if (status == LLOYD_OK) {
        *readahead = r;
    } else {
        free_readahead(r);
    }
    return status;
}

/* Makes room for one more range. */
static lloyd_status grow(lloyd_readahead *r)
{
    range *larger;
    if (r->queued - r->taken < r->capacity) return LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(&larger, 2 * r->capacity, sizeof *larger, "the queue of reads"));
    for (int64_t i = r->taken; i < r->queued; i++) larger[i & (2 * r->capacity - 1)] = *at(r, i);
    lloyd_free(r->ranges);
    r->ranges = larger;
    r->capacity *= 2;
    return LLOYD_OK;
}

lloyd_status lloyd_readahead_queue(lloyd_readahead *readahead, int64_t first, int64_t count)
{
    lloyd_readahead *r = readahead;
    pthread_mutex_lock(&r->lock);
    lloyd_status status = grow(r);
    if (status == LLOYD_OK) {
        *at(r, r->queued++) = (range){.first = first, .count = count};
        pthread_cond_broadcast(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return status;
}

/* The oldest range, once it is ready; called and returns with the lock held. */
static lloyd_status wait_for_oldest(lloyd_readahead *r, range *oldest)
{
    if (r->taken == r->queued || (r->taken == r->read && r->held == r->count)) {
        return lloyd_fail(LLOYD_FAILED,
                          "cannot take rows: %s; a mistake in the program, please report it",
                          r->taken == r->queued ? "none are queued" : "all buffers are taken");
    }
    while (r->taken == r->read) pthread_cond_wait(&r->changed, &r->lock);
    *oldest = *at(r, r->taken++);
    if (oldest->status == LLOYD_OK) {
        r->held++;
    } else {
        r->busy[oldest->buffer] = 0;
    }
    pthread_cond_broadcast(&r->changed);
    return LLOYD_OK;
}

lloyd_status lloyd_readahead_take(lloyd_readahead *readahead, int *buffer, const void **rows)
{
    range oldest = {0};
    pthread_mutex_lock(&readahead->lock);
    lloyd_status status = wait_for_oldest(readahead, &oldest);
    pthread_mutex_unlock(&readahead->lock);
    if (status != LLOYD_OK) return status;
    *buffer = oldest.buffer;
    *rows = readahead->buffers[oldest.buffer];
    if (oldest.status == LLOYD_OK) return LLOYD_OK;
    status = lloyd_fail(oldest.status, "%s", oldest.message ? oldest.message : "out of memory");
    free(oldest.message);
    return status;
}

void lloyd_readahead_release(lloyd_readahead *readahead, int buffer)
{
    pthread_mutex_lock(&readahead->lock);
    readahead->busy[buffer] = 0;
    readahead->held--;
    pthread_cond_broadcast(&readahead->changed);
    pthread_mutex_unlock(&readahead->lock);
}

void lloyd_readahead_close(lloyd_readahead *readahead)
{
    if (!readahead) return;
    pthread_mutex_lock(&readahead->lock);
    readahead->stop = 1;
    pthread_cond_broadcast(&readahead->changed);
    pthread_mutex_unlock(&readahead->lock);
    pthread_join(readahead->thread, NULL);
    free_readahead(readahead);
}
