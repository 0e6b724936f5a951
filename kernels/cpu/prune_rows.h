/* Labels of rows with the help of bounds (docs/numerics.md, section 2.8): a block of rows at a time, whose pairs of a row and a group
 * that the bounds do not rule out are collected for each group.
 */
#ifndef LLOYD_KERNELS_CPU_PRUNE_ROWS_H
#define LLOYD_KERNELS_CPU_PRUNE_ROWS_H

#include "kernels/cpu/assign.h"
#include "kernels/cpu/buffers.h"
#include "kernels/cpu/prune.h"

/* The most rows of a block. */
int lloyd_prune_block(const lloyd_pruning *pruning);

/* What a thread needs. */
void lloyd_prune_list_scratch(cpu_buffers *buffers, const lloyd_pruning *pruning,
                              lloyd_prune_scratch *scratch);

/* Labels rows [first, first+rows) of the pass's slot, by the filter on 8-bit integers or the other one. */
void lloyd_prune_rows(cpu_assignment *assignment, int64_t first, int rows, int int8);

/* Chooses the unit of bounds from rows of the slot, if there is none yet. Not by several threads. */
void lloyd_prune_choose_unit(cpu_kernels *cpu, const cpu_slot *slot);

#endif
