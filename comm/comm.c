/* See comm.h. */
#include "comm/comm.h"

#include "base/memory.h"

#include <string.h>

lloyd_status lloyd_comm_alloc(lloyd_comm *comm, void *out, int64_t count, size_t size,
                              const char *what)
{
    lloyd_status status = comm->agree(comm, lloyd_alloc(out, count, size, what));
    if (status == LLOYD_OK) return status;
    void *memory;
    memcpy(&memory, out, sizeof memory);
    lloyd_free(memory);
    memory = NULL;
    memcpy(out, &memory, sizeof memory);
    return status;
}
