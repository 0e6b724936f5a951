/* Seeding: masses of rows, and the draws by mass; see kernels.h. */
#ifndef LLOYD_KERNELS_CUDA_SEED_MASSES_H
#define LLOYD_KERNELS_CUDA_SEED_MASSES_H

#include "kernels/cuda/state.h"

/* Device memory of seeding beside LLOYD_SEED_ROW_BYTES a row. */
int64_t lloyd_cuda_seed_scratch_bytes(const lloyd_kernels_config *config);
lloyd_status lloyd_cuda_seed_begin(lloyd_kernels *kernels);
lloyd_status lloyd_cuda_seed_total(lloyd_kernels *kernels, int exponent, int bits, int64_t *total);
lloyd_status lloyd_cuda_seed_pick(lloyd_kernels *kernels, int exponent, int bits, int64_t target,
                                  int64_t *row);
lloyd_status lloyd_cuda_seed_sample(lloyd_kernels *kernels, int exponent, int bits, int64_t total,
                                    int64_t oversampling, uint64_t seed, int round,
                                    int64_t row_offset, int64_t capacity, int64_t *rows,
                                    int64_t *count);
lloyd_status lloyd_cuda_seed_masses(lloyd_kernels *kernels, int64_t *masses);
lloyd_status lloyd_cuda_seed_end(lloyd_kernels *kernels);

#endif
