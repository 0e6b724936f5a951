/* Labels of the rows for which the 8-bit filter leaves several candidates. */
#ifndef LLOYD_KERNELS_CUDA_INT8_DECIDE_H
#define LLOYD_KERNELS_CUDA_INT8_DECIDE_H

#include "kernels/cuda/assign/exact.h"
#include "kernels/cuda/int8/int8.cuh"
#include "kernels/cuda/prune/prune.cuh"

/* Of the rows of a slot that are in the lists, but for those that are left open. The lists are lost. Where there are bounds, all
 * candidates but a row's first one, which is the label that it had, lower them to their distances; not where rows are used as they are. */
lloyd_status lloyd_cuda_int8_decide(cuda_kernels *cuda, int slot, const cuda_decision &d,
                                    const int8_lists &lists, const prune_tightening &bounds);

#endif
