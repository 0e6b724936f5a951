/* See buffers.h. */
#include "kernels/cpu/buffers.h"

#include "base/memory.h"

#include <string.h>

void lloyd_cpu_buffer(cpu_buffers *buffers, void *array, int64_t count, size_t size,
                      const char *what)
{
    if (buffers->work == CPU_BUFFERS_COUNT) {
        buffers->bytes += count * (int64_t)size;
        return;
    }
    if (buffers->status != LLOYD_OK) return;
    void *memory;
    memcpy(&memory, array, sizeof memory);
    lloyd_free(memory);
    memory = NULL;
    memcpy(array, &memory, sizeof memory);
    if (buffers->work == CPU_BUFFERS_RESERVE)
        buffers->status = lloyd_alloc(array, count, size, what);
}
