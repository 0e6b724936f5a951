/* Rows summed in shared memory, unsorted. */
#ifndef LLOYD_KERNELS_CUDA_UPDATE_SHARED_H
#define LLOYD_KERNELS_CUDA_UPDATE_SHARED_H

#include "kernels/cuda/update/update.h"

/* Whether clusters are so few, and rows so many, that rows are summed in shared
 * memory, of which a block can have `shared_bytes`, unsorted. */
bool lloyd_cuda_shares_sums(const lloyd_kernels_config *config, cuda_arithmetic arithmetic,
                            int shared_bytes);

/* Whether no sorting is planned for, as rows are summed in shared memory, of which a
 * block can have `shared_bytes`, in whichever way the data will ask for. (It takes sorting all the same
 * where columns have more than two digits.) */
bool lloyd_cuda_plans_to_share(const lloyd_kernels_config *config, int shared_bytes);

/* Adds the rows of a slot, at least one, to the sums. Only where
 * lloyd_cuda_shares_sums(). */
lloyd_status lloyd_cuda_add_shared(cuda_kernels *cuda, int slot);

#endif
