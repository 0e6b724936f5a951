/* Arrays of the CPU kernels, and the lists of them that allocation, release and the plan share.
 *
 * A module that has memory lists its arrays once, in a function
 *
 *     void list(cpu_buffers *buffers, my_state *s, ...sizes...)
 *     {
 *         CPU_BUFFER(buffers, s->name, elements, "what it is");
 *     }
 *
 * which is called to allocate, to release, and, with a state that holds nothing, to count bytes for the plan. Nothing else in
 * this folder allocates, so nothing is allocated that is not planned.
 */
#ifndef LLOYD_KERNELS_CPU_BUFFERS_H
#define LLOYD_KERNELS_CPU_BUFFERS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Reserving replaces an array: what it held is lost. */
typedef enum cpu_buffer_work {
    CPU_BUFFERS_RESERVE,
    CPU_BUFFERS_RELEASE,
    CPU_BUFFERS_COUNT
} cpu_buffer_work;

typedef struct cpu_buffers {
    cpu_buffer_work work;
    lloyd_status status; /* of reserving: after the first failure nothing more is tried */
    int64_t bytes;       /* counted */
} cpu_buffers;

/* One array of a list: `array` is a pointer, NULL or its memory; `count` elements, zeroed. A count of 0 gives a valid
 * pointer too. */
#define CPU_BUFFER(buffers, array, count, what)                                                    \
    lloyd_cpu_buffer((buffers), &(array), (count), sizeof *(array), (what))

void lloyd_cpu_buffer(cpu_buffers *buffers, void *array, int64_t count, size_t size,
                      const char *what);

#endif
