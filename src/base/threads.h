/* Threads beside OpenMP's: one alone, and a pool of them. */
#ifndef LLOYD_BASE_THREADS_H
#define LLOYD_BASE_THREADS_H

#include "base/status.h"

#include <pthread.h>
#include <stdint.h>

/* Starts a thread with all signals blocked: only the main thread handles them. Returns what
 * pthread_create() returns. */
int lloyd_thread_start(pthread_t *thread, void *(*run)(void *), void *data);

/* Threads that work on the pieces of one task at a time, together with the thread that asks for
 * it. */
typedef struct lloyd_pool lloyd_pool;

enum { LLOYD_POOL_MOST = 16 };

/* For reading: the cores of this process, but at least 4, because waiting for a
 * disk takes no core, and at most LLOYD_POOL_MOST, which saturate memory and disks. */
int lloyd_pool_size(void);

/* A pool of `threads`, the caller's included. The others are started when they are first needed; if
 * the system starts fewer, the pool works with those. */
lloyd_status lloyd_pool_open(int threads, lloyd_pool **pool);
void lloyd_pool_close(lloyd_pool *pool); /* NULL is allowed */

/* Does pieces 0 .. count-1, each once, in any order; `worker` < threads is the number of the
 * thread. After a failure no more pieces are begun. The failure of the lowest piece is returned
 * with its message, so that it is the same whatever the threads did. */
typedef lloyd_status (*lloyd_pool_piece)(void *task, int64_t piece, int worker);
lloyd_status lloyd_pool_run(lloyd_pool *pool, int64_t count, lloyd_pool_piece run, void *task);

#endif
