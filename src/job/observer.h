/* The observer of a job's iterations: it takes their time, saves and shows them, and lets the caller of the
 * library watch them. */
#ifndef LLOYD_JOB_OBSERVER_H
#define LLOYD_JOB_OBSERVER_H

#include "algorithm/observer.h"
#include "comm/comm.h"
#include "job/checkpoint/checkpoint.h"
#include "job/progress.h"

typedef struct lloyd_job_observer {
    lloyd_observer observer;   /* first: a lloyd_observer * is a lloyd_job_observer * */
    const double *in_fallback; /* seconds that the kernels have spent in the fallback pass so far */
    lloyd_checkpoint *checkpoint;      /* or NULL */
    lloyd_progress *progress;          /* or NULL */
    double seconds[LLOYD_TIME_SHARES]; /* of all iterations; where the kernels are synchronous */
    double began;                      /* the iteration, by lloyd_seconds(); */
    double since;                      /* up to which all of it is accounted for; */
    double fallback;                   /* *in_fallback, when it began */
    lloyd_comm *comm;                  /* of the ranks, where any of them watches, else NULL */
    lloyd_watch watch;
    void *watcher;
    int ended; /* 1: whoever watches wants no further iteration */
} lloyd_job_observer;

/* Watches iterations by these kernels. Ends with whatever it is part of. */
lloyd_job_observer lloyd_job_observer_begin(const lloyd_kernels *kernels,
                                            lloyd_checkpoint *checkpoint, lloyd_progress *progress);

/* Calls options->watch after every iteration; any rank may have one. Collective. */
lloyd_status lloyd_job_observer_watch(lloyd_job_observer *observer, lloyd_comm *comm,
                                      const lloyd_fit_options *options);

#endif
