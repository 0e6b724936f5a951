/* What --dry-run prints. */
#ifndef LLOYD_JOB_PLAN_PRINT_H
#define LLOYD_JOB_PLAN_PRINT_H

#include "job/estimate.h"
#include "job/plan.h"

/* Prints the plans of all ranks on rank 0; estimate: NULL if there is none. Collective. */
lloyd_status lloyd_plan_print(lloyd_comm *comm, const lloyd_backend *backend,
                              const lloyd_rows *rows, const lloyd_fit_options *options,
                              const lloyd_plan *plan, const lloyd_estimate *estimate);

#endif
