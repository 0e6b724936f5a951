/* Filter, certificate and fallback pass. */
#ifndef LLOYD_KERNELS_CPU_ASSIGN_H
#define LLOYD_KERNELS_CPU_ASSIGN_H

#include "kernels/cpu/cpu.h"

/* Up to this many centroids dist() to all of them is cheaper than a filter. */
enum { LLOYD_CPU_FEW = 4 };

/* What the filter on 8-bit integers has cost so far in this pass, of all threads. */
typedef struct cpu_int8_cost {
    int64_t scores;
    int64_t candidates; /* compared by dist() */
    int64_t open;       /* rows that had too many of them */
} cpu_int8_cost;

/* What a thread has of a pass over a slot; rows are numbered within the slot. */
typedef struct cpu_assignment {
    cpu_kernels *cpu;
    const cpu_slot *slot;
    cpu_scratch *scratch;
    cpu_int8_cost *cost;
    int64_t counters[LLOYD_COUNTERS];
    double fallback_seconds; /* of this thread */
} cpu_assignment;

/* The memory of a set of at most `count` centroids, but for cpu->int8. */
void lloyd_cpu_list_set(cpu_buffers *buffers, cpu_kernels *cpu, int64_t count);

/* Derives the filter's view of the set from cpu->centroids. */
lloyd_status lloyd_cpu_prepare(cpu_kernels *cpu);

/* Row i has this label. */
void lloyd_cpu_set_label(cpu_assignment *assignment, int64_t i, int32_t label);

/* Row i is labelled later, by the filter in float32. */
void lloyd_cpu_leave_open(cpu_assignment *assignment, int64_t i);

/* Adds to assignment->cost. Any number of threads may do so. */
void lloyd_cpu_count_cost(cpu_assignment *assignment, int64_t scores, int64_t candidates,
                          int64_t open);

/* The nearest to a row of `count` candidates and the one that is known, ties to the smallest number. */
cpu_known lloyd_cpu_nearest_of(const cpu_kernels *cpu, const float *row, const int32_t *candidates,
                               int count, cpu_known nearest);

/* out[D] = the filter's operand of a row; returns its squared length. 0: products with one of this length could overflow. */
double lloyd_cpu_operand(const cpu_kernels *cpu, const float *row, float *out);
int lloyd_cpu_fits(const cpu_kernels *cpu, double norm);

/* scratch->scores[k][i] (leading dimension LLOYD_CPU_ROWS) = the products of operands: points[rows][D] and
 * centroids[tile][D], at most LLOYD_CPU_CENTROIDS. */
void lloyd_cpu_score_tile(const cpu_kernels *cpu, cpu_scratch *scratch, const float *centroids,
                          const float *points, int rows, int tile);

/* Labels the rows of a slot with the nearest member of the current set, of any size. Adds to
 * counters[LLOYD_COUNTERS]. */
void lloyd_cpu_nearest(cpu_kernels *cpu, int slot, int64_t *counters);

/* Of the table in kernels.h. */
lloyd_status lloyd_cpu_set_centroids(lloyd_kernels *kernels, int64_t count, const float *centroids);
lloyd_status lloyd_cpu_assign(lloyd_kernels *kernels, int slot);

#endif
