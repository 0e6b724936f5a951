/* See device.h: its memory and identity are nobody's concern. */
#include "kernels/cpu/device.h"

#include "base/memory.h"

static lloyd_status host_alloc(int64_t bytes, const char *what, void **memory)
{
    return lloyd_alloc(memory, bytes, 1, what);
}

const lloyd_device lloyd_device_cpu = {
    .name = "cpu",
    .host_alloc = host_alloc,
    .host_free = lloyd_free,
};
