/* The transports: what can carry the sums over ranks. A new one is a file beside nccl.c and a row of
 * the table in transports.c. */
#ifndef LLOYD_COMM_TRANSPORTS_H
#define LLOYD_COMM_TRANSPORTS_H

#include "comm/comm.h"

#include <stddef.h>

typedef struct lloyd_transport {
    const char *name;  /* the value of --comm */
    const char *label; /* its name in messages */
    int built;         /* 1: in this build */
    int needs_gpu;     /* 1: sums buffers in device memory only */
    int64_t gpu_bytes; /* host memory that it takes where GPUs compute */
    /* *comm = what sums buffers over the ranks of `base`, by the GPU `device`: `base` itself, or a
     * communicator over it that is to be destroyed before. Collective. */
    lloyd_status (*open)(lloyd_comm *base, int device, lloyd_comm **comm);
} lloyd_transport;

/* The row of that name, NULL where there is none; and the one that "auto" is where GPUs compute
 * (gpu = 1) or CPUs. */
const lloyd_transport *lloyd_transport_named(const char *name);
const lloyd_transport *lloyd_transport_auto(int gpu);

/* "mpi, nccl": those of this build. */
const char *lloyd_transports_built(char *text, size_t bytes);

#endif
