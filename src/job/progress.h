/* What a fit shows while it runs: a bar or plain lines on standard error, and a log of JSON lines.
 *
 * Only rank 0 has a lloyd_progress; every function takes NULL and then does nothing, so the
 * algorithm calls them without asking for its rank. Nothing here can stop a fit: a log that cannot
 * be written any more is reported by lloyd_progress_close(). The log's events and fields:
 * docs/log.md.
 */
#ifndef LLOYD_PROGRESS_H
#define LLOYD_PROGRESS_H

#include "algorithm/observer.h"
#include "algorithm/seeding.h"
#include "lloyd/lloyd.h"

#include <stdint.h>
#include <stdio.h>

typedef struct lloyd_progress lloyd_progress;

/* What is known of a run when it begins. Strings are borrowed during the call. */
typedef struct lloyd_progress_run {
    int64_t n, d, k;
    int64_t skipped;    /* bad rows, which are not among the n */
    int64_t stored;     /* rows of the inputs: more where a subset is fitted */
    const char *subset; /* which says so, "--sample 1000", or NULL */
    const char *type;   /* "uint8" */
    int ranks;
    int threads;                /* per rank */
    const char *backend;        /* "cpu" or "cuda" */
    const char *gpu;            /* of this rank, "NVIDIA H200", or NULL */
    const char *comm;           /* "self", "mpi" or "nccl" */
    const char *filter, *prune; /* as asked for */
    const char *init;
    uint64_t seed;
    int64_t n_init, max_iters;
    int files;
    const char *first_file;
    int64_t memory, gpu_memory; /* planned bytes of this rank, on the host and on its GPU */
} lloyd_progress_run;

/* mode: "auto" (a bar on a terminal, plain lines elsewhere), "bar", "plain" or "none". log: a
 * file for JSON lines, which is created, overwritten or (append) continued, or NULL; a file that
 * holds something else than a log is refused. */
lloyd_status lloyd_progress_open(const char *mode, const char *log, int append,
                                 lloyd_progress **progress);

void lloyd_progress_begin(lloyd_progress *progress, const lloyd_progress_run *run);

/* A finished phase, by one of the names that docs/log.md lists. */
void lloyd_progress_phase(lloyd_progress *progress, const char *phase, double seconds);

/* The seeding of a restart begins; it has come to a step. Lines are shown only if it takes seconds, a
 * few seconds apart; the log has at most a few a second. */
void lloyd_progress_seed(lloyd_progress *progress, int64_t restart);
void lloyd_progress_seeding(lloyd_progress *progress, const lloyd_seed_step *step);

/* A round of --max-size is done: rows that are still to be placed, and the clusters that have room for
 * them. Lines are shown only if it takes seconds, a few seconds apart. */
void lloyd_progress_balance(lloyd_progress *progress, int64_t round, int64_t rows, int64_t open,
                            double seconds);

/* A warning by lloyd_note(), on a line of its own. */
void lloyd_progress_warn(lloyd_progress *progress, const char *format, ...) LLOYD_PRINTF(2, 3);

void lloyd_progress_iteration(lloyd_progress *progress, const lloyd_iteration *iteration);

/* What every rank reports at the end. */
typedef struct lloyd_progress_rank {
    int64_t memory_peak;                    /* bytes */
    int64_t nanoseconds[LLOYD_TIME_SHARES]; /* of the iterations, where `timed` */
} lloyd_progress_rank;

void lloyd_progress_end(lloyd_progress *progress, const lloyd_fit_result *result,
                        const lloyd_progress_rank *of_ranks, int ranks, int timed);

/* Also after a failure. LLOYD_FAILED where the log could not be written. NULL is allowed. */
lloyd_status lloyd_progress_close(lloyd_progress *progress);

#endif
