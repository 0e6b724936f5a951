/* A clock that only moves forward. */
#ifndef LLOYD_BASE_CLOCK_H
#define LLOYD_BASE_CLOCK_H

#include <time.h>

/* Seconds since some fixed moment. */
static inline double lloyd_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Seconds of a processor that this thread has had. */
static inline double lloyd_thread_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
