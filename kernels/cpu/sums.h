/* Exact sums per cluster. */
#ifndef LLOYD_KERNELS_CPU_SUMS_H
#define LLOYD_KERNELS_CPU_SUMS_H

#include "kernels/cpu/cpu.h"

/* Of the table in kernels.h. */
lloyd_status lloyd_cpu_set_grid(lloyd_kernels *kernels, const lloyd_grid *grid);
lloyd_status lloyd_cpu_squares(lloyd_kernels *kernels, int slot, int64_t *words);
lloyd_status lloyd_cpu_begin(lloyd_kernels *kernels);
lloyd_status lloyd_cpu_accumulate(lloyd_kernels *kernels, int slot);
lloyd_status lloyd_cpu_relocate(lloyd_kernels *kernels, int32_t from, int32_t to,
                                const int64_t *words);

#endif
