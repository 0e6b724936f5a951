/* Rows that have moved, in sums that are continued. */
#ifndef LLOYD_KERNELS_CUDA_UPDATE_MOVED_H
#define LLOYD_KERNELS_CUDA_UPDATE_MOVED_H

#include "kernels/cuda/update/update.h"

/* Of the rows of a slot, at least one, all of which are in the sums: takes those whose label is another one than
 * cuda->summed out of these sums, adds them to those of their labels, and notes that. */
lloyd_status lloyd_cuda_add_moved(cuda_kernels *cuda, int slot);

#endif
