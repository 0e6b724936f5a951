/* Stored rows as float32, and the first pass over them. */
#ifndef LLOYD_KERNELS_CPU_ROWS_H
#define LLOYD_KERNELS_CPU_ROWS_H

#include "kernels/cpu/cpu.h"

/* Row i of the slot as the algorithm sees it: D floats, of unit length for cosine. A pointer into the slot or
 * to `buffer`, which holds D floats. */
const float *lloyd_cpu_row(const cpu_kernels *cpu, const cpu_slot *slot, int64_t i, float *buffer);

/* Of the table in kernels.h. */
lloyd_status lloyd_cpu_measure(lloyd_kernels *kernels, int slot, lloyd_range *range);
lloyd_status lloyd_cpu_measure_weighted(lloyd_kernels *kernels, int slot,
                                        lloyd_product_range *range);
lloyd_status lloyd_cpu_rows(lloyd_kernels *kernels, int slot, const int64_t *rows, int64_t count,
                            float *out);

#endif
