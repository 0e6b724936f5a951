/* Exact sums per cluster. */
#ifndef LLOYD_KERNELS_CPU_SUMS_H
#define LLOYD_KERNELS_CPU_SUMS_H

#include "kernels/cpu/cpu.h"

/* The memory of sums of so many words and rows, and for each thread of all digits of the wide columns. */
void lloyd_cpu_list_sums(cpu_buffers *buffers, cpu_kernels *cpu, int64_t words, int64_t rows,
                         int64_t wide);

/* To be called by all that look at cpu->totals: makes them those of the rows of this rank, unless they have been
 * since the last accumulate(). */
void lloyd_cpu_take_totals(cpu_kernels *cpu);

/* Of the table in kernels.h. */
lloyd_status lloyd_cpu_set_grid(lloyd_kernels *kernels, const lloyd_grid *grid);
lloyd_status lloyd_cpu_squares(lloyd_kernels *kernels, int slot, int64_t *words);
lloyd_status lloyd_cpu_begin(lloyd_kernels *kernels);
lloyd_status lloyd_cpu_accumulate(lloyd_kernels *kernels, int slot);
lloyd_status lloyd_cpu_sums(lloyd_kernels *kernels, lloyd_buffer *sums);
lloyd_status lloyd_cpu_relocate(lloyd_kernels *kernels, int32_t from, int32_t to,
                                const int64_t *words);

#endif
