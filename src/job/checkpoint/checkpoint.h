/* What a fit needs to resume after it was stopped: kept in memory after every iteration, written to
 * a file now and then, when the fit is stopped and when it ends.
 *
 * What is kept of a seeding are the rows that it has drawn. A resumed one compares all rows with them at
 * once, and continues from there.
 *
 * What is kept of an iteration are the centroids it began with and what it found: inertia and
 * moved labels. A resumed fit repeats this one iteration. It gives labels, sums and new centroids
 * once more, bit for bit, so none of these need to be in the file; only how many labels had moved
 * cannot be known again, and is taken from the file. The inertia must come out as it was.
 *
 * Rank 0 keeps and writes; every function is collective that is not called local. NULL is a fit without
 * checkpoints, for which they do nothing.
 */
#ifndef LLOYD_CHECKPOINT_H
#define LLOYD_CHECKPOINT_H

#include "algorithm/history.h"
#include "algorithm/problem.h"
#include "comm/comm.h"
#include "io/rows.h"
#include "job/progress.h"
#include "lloyd/lloyd.h"

typedef struct lloyd_checkpoint lloyd_checkpoint;

/* The best start so far. */
typedef struct lloyd_outcome {
    lloyd_history history;
    double inertia;
    float *centroids; /* [k*d], NULL where there is only one start */
} lloyd_outcome;

/* *checkpoint = NULL without --checkpoint. With --resume and a file there, reads it, refuses other
 * options than it was written with, and other data as far as their shape shows it, and gives *best
 * what it was. The options, `rows` and `best` are borrowed; init: a hash of the centroids of --init
 * MODEL.h5, 0 without. */
lloyd_status lloyd_checkpoint_open(lloyd_comm *comm, const lloyd_fit_options *options,
                                   uint64_t init, const lloyd_rows *rows, lloyd_outcome *best,
                                   lloyd_checkpoint **checkpoint);

int lloyd_checkpoint_resumes(const lloyd_checkpoint *checkpoint); /* 1: a file was read */

/* The start of the algorithm to begin with. */
int64_t lloyd_checkpoint_restart(const lloyd_checkpoint *checkpoint);

/* Takes the fingerprint of the measured data; LLOYD_BAD_INPUT where the checkpoint has another. */
lloyd_status lloyd_checkpoint_check_data(lloyd_checkpoint *checkpoint, lloyd_problem *problem);

/* Gives *seeding the rows and steps that the file has of the unfinished seeding of this start, if any;
 * they are borrowed until the start is seeded. */
void lloyd_checkpoint_resume_seeding(lloyd_checkpoint *checkpoint, int64_t restart,
                                     lloyd_seeding *seeding);

/* A seeding has come to this step: keeps its rows, and writes them if it is time. Local. */
void lloyd_checkpoint_seeding(lloyd_checkpoint *checkpoint, int64_t restart,
                              const lloyd_seed_step *step, lloyd_progress *progress);

/* 1 as long as this start is to be taken from the file and not to be seeded. */
int lloyd_checkpoint_holds(const lloyd_checkpoint *checkpoint, int64_t restart);

/* Gives the kernels the centroids, and `history` the iterations before these. */
lloyd_status lloyd_checkpoint_restore(lloyd_checkpoint *checkpoint, lloyd_problem *problem,
                                      lloyd_history *history);

/* The kernels hold the first centroids of a start. */
lloyd_status lloyd_checkpoint_seeded(lloyd_checkpoint *checkpoint, lloyd_problem *problem,
                                     int64_t restart);

/* An iteration has its labels and sums, and the kernels hold the centroids it began with: keeps
 * them with the history before it, writes this if it is time, and stops (LLOYD_STOPPED) if a signal
 * has asked for it. In an iteration that is repeated, i->moved becomes what it was. */
lloyd_status lloyd_checkpoint_iteration(lloyd_checkpoint *checkpoint, lloyd_problem *problem,
                                        const lloyd_history *history, lloyd_progress *progress,
                                        lloyd_iteration *i);

/* Before the results are written: what is kept and not yet in the file is written, so that they are
 * not lost where they find no room, and that a higher max_iters can continue from it. Where that fails,
 * it is reported and the fit continues. */
void lloyd_checkpoint_last(lloyd_checkpoint *checkpoint, lloyd_progress *progress);

/* 1 on rank 0 if the file holds all that is kept. */
int lloyd_checkpoint_has_all(const lloyd_checkpoint *checkpoint);

/* Before this process ends without lloyd_checkpoint_close(): on rank 0, what is kept and not yet in the
 * file is written. NULL is allowed. Local. */
void lloyd_checkpoint_rescue(lloyd_checkpoint *checkpoint, lloyd_progress *progress);

/* Ends the fit with `status`: after a failure, what is kept and not yet in the file is written; a stop
 * is explained. Returns the status, or LLOYD_FAILED where it was a stop whose
 * checkpoint could not be written. Collective only after LLOYD_STOPPED. Frees. */
lloyd_status lloyd_checkpoint_close(lloyd_checkpoint *checkpoint, lloyd_progress *progress,
                                    lloyd_status status);

/* Bytes of the file, at least. */
int64_t lloyd_checkpoint_file_bytes(const lloyd_fit_options *options, int64_t dim);

/* Bytes that all this takes on a rank, `best` left out. */
int64_t lloyd_checkpoint_bytes(const lloyd_fit_options *options, int rank, int64_t dim);

#endif
