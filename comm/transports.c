/* See transports.h. The one file that asks whether this build has NCCL. */
#include "comm/transports.h"

#ifdef LLOYD_HAVE_NCCL
#include "comm/nccl.h"
#endif

#include <stdio.h>
#include <string.h>

static lloyd_status open_mpi(lloyd_comm *base, int device, lloyd_comm **comm)
{
    (void)device;
    *comm = base;
    return LLOYD_OK;
}

#ifdef LLOYD_HAVE_NCCL
enum { HAVE_NCCL = 1 };
static lloyd_status (*const open_nccl)(lloyd_comm *, int, lloyd_comm **) = lloyd_comm_nccl;
#else
enum { HAVE_NCCL = 0 };
#define open_nccl NULL
#endif

/* "auto" takes the last that is built and can sum what the kernels compute. */
static const lloyd_transport transports[] = {
    {"mpi", "MPI", 1, 0, 16 << 20, open_mpi},             /* pinned memory of staging_cuda.c */
    {"nccl", "NCCL", HAVE_NCCL, 1, 350 << 20, open_nccl}, /* seen with 2.28 on two GPUs */
};
enum { COUNT = sizeof transports / sizeof transports[0] };

const lloyd_transport *lloyd_transport_named(const char *name)
{
    for (int i = 0; i < COUNT; i++)
        if (strcmp(transports[i].name, name) == 0) return &transports[i];
    return NULL;
}

const lloyd_transport *lloyd_transport_auto(int gpu)
{
    int i = COUNT - 1;
    while (!transports[i].built || (transports[i].needs_gpu && !gpu)) i--;
    return &transports[i];
}

const char *lloyd_transports_built(char *text, size_t bytes)
{
    size_t at = 0;
    for (int i = 0; i < COUNT; i++) {
        if (!transports[i].built) continue;
        int written =
            snprintf(text + at, bytes - at, "%s%s", at > 0 ? ", " : "", transports[i].name);
        if (written > 0 && (size_t)written < bytes - at) at += (size_t)written;
    }
    return text;
}
