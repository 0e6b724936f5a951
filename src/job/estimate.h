/* How long a fit will take, from a moment of clustering rows that are made up. */
#ifndef LLOYD_ESTIMATE_H
#define LLOYD_ESTIMATE_H

#include "comm/comm.h"
#include "job/backend.h"
#include "job/plan.h"
#include "lloyd/lloyd.h"

/* Seconds, of the slowest rank. Neither has reading or copying rows in it, nor the sums over ranks. */
typedef struct lloyd_estimate {
    double seeding, iteration; /* of one start; seeding is 0 where it takes next to nothing */
} lloyd_estimate;

/* Clusters some made-up rows with as many centroids as the plan has, seeds a few, and scales what that took:
 * about a second, or what some iterations of a few hundred rows take if that is more. Before the
 * memory of the fit is allocated. Collective: all ranks fail, or none. */
lloyd_status lloyd_estimate_fit(lloyd_comm *comm, const lloyd_backend *backend,
                                const lloyd_plan *plan, const lloyd_fit_options *options,
                                int weighted, lloyd_estimate *estimate);

/* Prints it for --dry-run. */
void lloyd_estimate_print(const lloyd_fit_options *options, const lloyd_plan *plan,
                          const lloyd_estimate *estimate);

#endif
