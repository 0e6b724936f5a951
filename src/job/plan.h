/* The plan: who owns which rows, what stays in memory, and how many bytes everything takes. Every
 * allocation larger than a page of bookkeeping is counted here, and --dry-run shows the sum. */
#ifndef LLOYD_PLAN_H
#define LLOYD_PLAN_H

#include "comm/comm.h"
#include "io/rows.h"
#include "job/backend.h"
#include "job/results/members.h"
#include "job/row_source.h"
#include "kernels/kernels.h"
#include "lloyd/lloyd.h"
#include "rows/layout.h"

#include <stdint.h>

typedef struct lloyd_plan {
    int64_t n, d, k;
    int64_t first, count;         /* global rows of this rank */
    lloyd_layout layout;          /* where they live */
    lloyd_kernels_config kernels; /* without weights */

    /* bytes of this rank on the host */
    int64_t program; /* what the process holds before it reads anything */
    int64_t rows;    /* that stay on the host, and the buffers that others pass through */
    int64_t weights, working, checkpoint, seeding, results;
    int64_t balance;            /* of --max-size, beside `results`; 0: none */
    int64_t bounds;             /* of `working`, or of the GPU's: what pruning keeps */
    lloyd_members_plan members; /* beside `results`; all zeros: none are written */
    int64_t blas_missing;       /* address space that the BLAS will want, under a limit on it */
    int64_t labelling; /* of all rows, after a fit of some: instead of all the others; 0: none */
    int64_t total;     /* the peak: seeding is over before results, members and balance begin */

    /* bytes of this rank's GPU; 0 where CPUs compute */
    int64_t gpu_rows, gpu_working, gpu_seeding, gpu_balance, gpu_total;
    int64_t gpu_reduce; /* of `gpu_seeding`, for the reduction of candidates; 0: the host does it */
    int64_t gpu_free,
        gpu_used; /* what it has, and what is in use before lloyd allocates anything */
} lloyd_plan;

/* What a fit will need, within the memory there is and what the options allow (LLOYD_USAGE: not even
 * the least fits into that). Writes and reads nothing. Collective: all ranks fail, or none. */
lloyd_status lloyd_plan_fit(lloyd_comm *comm, const lloyd_backend *backend,
                            const lloyd_row_source *source, const lloyd_fit_options *options,
                            lloyd_plan *plan);

/* What a labelling of the source's rows by k centroids will need: rows of files are streamed, in chunks of
 * options->chunk_rows (0: the usual ones), those in memory are used in place, and GPUs have a copy of them.
 * limit: of what a rank may take; 0: what there is. Of the plan's bytes only the totals are set. */
lloyd_status lloyd_plan_predict(lloyd_comm *comm, const lloyd_backend *backend,
                                const lloyd_row_source *source, int64_t k, int cosine,
                                const lloyd_predict_options *options, lloyd_bytes limit,
                                lloyd_plan *plan);

/* Of a row as it is stored. */
static inline int64_t lloyd_plan_row_bytes(const lloyd_plan *plan)
{
    return plan->d * (int64_t)lloyd_type_size(plan->kernels.type);
}

#endif
