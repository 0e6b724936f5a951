/* A fit from its options to its result: what lloyd_fit() over files and lloyd_fit_rows() over rows
 * in memory have in common. They differ in where the rows come from and in where the results go.
 *
 * Between lloyd_job_begin() and lloyd_job_end(), in this order: the caller fills in `source` (and
 * `given`, if there are centroids to begin with), then lloyd_job_plan(), lloyd_job_cluster(),
 * lloyd_job_tell(). All are collective, and lloyd_job_end() follows whatever fails.
 */
#ifndef LLOYD_JOB_H
#define LLOYD_JOB_H

#include "algorithm/problem.h"
#include "io/writers/model.h"
#include "io/writers/output.h"
#include "job/backend.h"
#include "job/balance/balance.h"
#include "job/checkpoint/checkpoint.h"
#include "job/observer.h"
#include "job/plan.h"
#include "job/progress.h"
#include "job/row_source.h"
#include "job/subset/subset.h"

typedef struct lloyd_job {
    lloyd_comm *comm;
    const lloyd_fit_options *options;
    lloyd_row_source source;
    lloyd_backend backend;
    lloyd_plan plan;
    lloyd_problem problem;
    lloyd_progress *progress;     /* or NULL */
    lloyd_checkpoint *checkpoint; /* or NULL */
    lloyd_output output;          /* of a fit of files */
    lloyd_model given;            /* the first centroids, if they are not to be seeded */
    lloyd_candidates *candidates; /* of kmeans-parallel, where there are several starts, or NULL */
    lloyd_subset subset;          /* of the rows in files, where not all are fitted */
    lloyd_job_observer watch;
    int64_t nanoseconds[LLOYD_TIME_SHARES]; /* of the iterations, from lloyd_job_release() on */
    int timed, synchronous;                 /* what they are: kernels.h */
    lloyd_outcome best;
    lloyd_balance balance; /* of its labels, with --max-size */
    double start;
} lloyd_job;

lloyd_job lloyd_job_begin(lloyd_comm *comm, const lloyd_fit_options *options);

/* Errors of options that depend on the source: too many clusters. Not collective. */
lloyd_status lloyd_job_check(const lloyd_job *job);

/* Reads --init MODEL.h5 into `given`. Not collective. */
lloyd_status lloyd_job_read_given(lloyd_job *job);

/* What computes, and what it needs. */
lloyd_status lloyd_job_plan(lloyd_job *job);

/* From the source to rows in the kernels' slots, whose grid is known: the first part of lloyd_job_cluster(). */
lloyd_status lloyd_job_read(lloyd_job *job);

/* From the source to the best labels and centroids, which the kernels then hold; with --max-size the labels are
 * those of job->balance. */
lloyd_status lloyd_job_cluster(lloyd_job *job);

/* counts[k] = rows per cluster, over all ranks; zeros when it begins. */
lloyd_status lloyd_job_count(lloyd_job *job, int64_t *counts);

/* How many distinct rows there are, where the result shows that they are fewer than k; else 0. */
int64_t lloyd_job_distinct(const lloyd_job *job, const int64_t *counts);

/* Of the labels and centroids that the fit ends with. */
double lloyd_job_inertia(const lloyd_job *job);

/* Frees the rows and the kernels, whose labels are not needed any more; what they took is remembered. */
void lloyd_job_release(lloyd_job *job);

/* *result, also for the progress. After it there are no kernels. */
lloyd_status lloyd_job_tell(lloyd_job *job, const int64_t *counts, lloyd_fit_result *result);

/* Ends the fit with `status` and frees everything but the source; returns the status, or that of
 * what fails here. */
lloyd_status lloyd_job_end(lloyd_job *job, lloyd_status status);

#endif
