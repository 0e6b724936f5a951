/* See outputs.h. */
#include "job/outputs.h"

#include "base/memory.h"

#include <string.h>

/* "TARGET\0PART\0" */
static void pack(const lloyd_output *output, char *names)
{
    memcpy(stpcpy(names, output->target) + 1, output->part, strlen(output->part) + 1);
}

lloyd_status lloyd_outputs_share(lloyd_comm *comm, const char *path, lloyd_output *output)
{
    int64_t bytes = 0;
    char *names = NULL;
    if (comm->size == 1) return LLOYD_OK;
    if (comm->rank == 0) bytes = (int64_t)(strlen(output->target) + strlen(output->part) + 2);
    LLOYD_TRY(comm->broadcast(comm, &bytes, sizeof bytes, 0));
    LLOYD_TRY(lloyd_comm_alloc(comm, &names, bytes, 1, "the name of the output"));
    if (comm->rank == 0) pack(output, names);
    lloyd_status status = comm->broadcast(comm, names, bytes, 0), taken = LLOYD_OK;
    if (status == LLOYD_OK && comm->rank != 0)
        taken = lloyd_output_take(path, names, names + strlen(names) + 1, output);
    lloyd_free(names);
    return status == LLOYD_OK ? comm->agree(comm, taken) : status;
}
