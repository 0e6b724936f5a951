/* A pool that sleeps between tasks. OpenMP's would spin, on cores that the kernels need, and a
 * second team beside theirs starts threads anew. Parts are handed out in increasing order, which
 * keeps reads near each other, and makes the lowest failure certain to be found. */
#include "base/threads.h"

#include "base/memory.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEWEST = 4 };

int lloyd_thread_start(pthread_t *thread, void *(*run)(void *), void *data)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* which the new thread inherits */
    int error = pthread_create(thread, NULL, run, data);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

struct lloyd_pool {
    int threads; /* wanted, the caller's included */
    int started; /* of the others */
    int serial;  /* for the next thread to name itself; the caller is worker 0 */
    int stop;
    pthread_t *others;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    /* The task. */
    int64_t task_number; /* tasks so far */
    lloyd_pool_piece run;
    void *task;
    int64_t next, count; /* pieces [next, count) are to be done */
    int working;         /* threads that are at a piece */
    int64_t failed;      /* the lowest piece that failed, -1: none */
    lloyd_status status;
    char message[2048];
};

int lloyd_pool_size(void)
{
    cpu_set_t cores;
    int count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : FEWEST;
    if (count < FEWEST) return FEWEST;
    return count < LLOYD_POOL_MOST ? count : LLOYD_POOL_MOST;
}

static void note_failure(lloyd_pool *pool, int64_t piece, lloyd_status status)
{
    if (pool->failed >= 0 && pool->failed < piece) return;
    pool->failed = piece;
    pool->status = status;
    snprintf(pool->message, sizeof pool->message, "%s", lloyd_message());
}

/* Does pieces as long as there are any; called and returns with the lock held. */
static void work(lloyd_pool *pool, int worker)
{
    pool->working++;
    while (pool->next < pool->count && pool->failed < 0) {
        int64_t piece = pool->next++;
        pthread_mutex_unlock(&pool->lock);
        lloyd_status status = pool->run(pool->task, piece, worker);
        pthread_mutex_lock(&pool->lock);
        if (status != LLOYD_OK) note_failure(pool, piece, status);
    }
    if (--pool->working == 0) pthread_cond_broadcast(&pool->changed);
}

static void *help(void *data)
{
    lloyd_pool *pool = data;
    pthread_mutex_lock(&pool->lock);
    int worker = ++pool->serial;
    int64_t seen = 0;
    while (!pool->stop) {
        if (pool->task_number > seen) {
            seen = pool->task_number;
            work(pool, worker);
        } else {
            pthread_cond_wait(&pool->changed, &pool->lock);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

lloyd_status lloyd_pool_open(int threads, lloyd_pool **pool)
{
    LLOYD_TRY(lloyd_alloc(pool, 1, sizeof **pool, "a pool of threads"));
    lloyd_status status =
        lloyd_alloc(&(*pool)->others, threads, sizeof *(*pool)->others, "a pool of threads");
    if (status != LLOYD_OK) {
        lloyd_free(*pool);
        *pool = NULL;
        return status;
    }
    (*pool)->threads = threads;
    pthread_mutex_init(&(*pool)->lock, NULL);
    pthread_cond_init(&(*pool)->changed, NULL);
    return LLOYD_OK;
}

void lloyd_pool_close(lloyd_pool *pool)
{
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = 1;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->started; i++) pthread_join(pool->others[i], NULL);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    lloyd_free(pool->others);
    lloyd_free(pool);
}

/* As many threads as `count` pieces can use, if the system gives them. */
static void start_threads(lloyd_pool *pool, int64_t count)
{
    while (pool->started + 1 < pool->threads && pool->started + 1 < count &&
           lloyd_thread_start(&pool->others[pool->started], help, pool) == 0)
        pool->started++;
}

lloyd_status lloyd_pool_run(lloyd_pool *pool, int64_t count, lloyd_pool_piece run, void *task)
{
    start_threads(pool, count);
    pthread_mutex_lock(&pool->lock);
    pool->run = run;
    pool->task = task;
    pool->next = 0;
    pool->count = count;
    pool->failed = -1;
    pool->task_number++;
    if (count > 1) pthread_cond_broadcast(&pool->changed);
    work(pool, 0);
    while (pool->working > 0) pthread_cond_wait(&pool->changed, &pool->lock);
    lloyd_status status = pool->failed >= 0 ? pool->status : LLOYD_OK;
    if (status != LLOYD_OK) lloyd_fail(status, "%s", pool->message);
    pool->next = pool->count = 0;
    pthread_mutex_unlock(&pool->lock);
    return status;
}
