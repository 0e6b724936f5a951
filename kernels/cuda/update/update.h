/* Exact sums of the rows of every cluster. */
#ifndef LLOYD_KERNELS_CUDA_UPDATE_UPDATE_H
#define LLOYD_KERNELS_CUDA_UPDATE_UPDATE_H

#include "kernels/cuda/state.h"

lloyd_status lloyd_cuda_accumulate(lloyd_kernels *kernels, int slot);
/* Whether no sorting is planned for, as rows are summed in shared memory, of which a
 * block can have `shared_bytes`, in whichever way the data will ask for. (It takes sorting all the same
 * where columns have more than two digits.) */
bool lloyd_cuda_plans_to_share(const lloyd_kernels_config *config, int shared_bytes);

#endif
