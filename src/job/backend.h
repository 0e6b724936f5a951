/* What computes, and what carries the sums between ranks: chosen once per job, the same on all
 * ranks, and nobody else asks whether this build has CUDA or NCCL.
 *
 * With CUDA every rank has a GPU of its own: the local_rank-th of those it sees, or the only one it
 * sees, as where a launcher gives each rank its own. Device numbers say nothing across processes,
 * so ranks compare the UUIDs of the GPUs they chose.
 */
#ifndef LLOYD_BACKEND_H
#define LLOYD_BACKEND_H

#include "comm/comm.h"
#include "comm/transports.h"
#include "kernels/kernels.h"

#include <pthread.h>
#include <stdint.h>

typedef struct lloyd_backend {
    int cuda;                         /* 1: GPUs, 0: CPUs */
    const lloyd_transport *transport; /* what sums buffers; NULL: one rank, or nothing is summed */
    int device;                       /* this rank's GPU */
    int caller;      /* the GPU that CUDA calls of this thread went to before; -1: unknown */
    char gpu[256];   /* its name, "" on a CPU */
    lloyd_comm *sum; /* the transport's own communicator once connected, else NULL */
    int starting;    /* 1: from lloyd_backend_start() to lloyd_backend_await() */
    pthread_t starter;
} lloyd_backend;

/* LLOYD_USAGE where --backend or --comm names what is not in this build, or where the two do
 * not go together. comm: NULL where there is no such option. */
lloyd_status lloyd_backend_check(const char *backend, const char *comm);

/* backend: "auto" (GPUs if this build has CUDA and the ranks see any), "cuda" or "cpu"; transport:
 * "auto", a name of comm/transports.c, or NULL where nothing is summed. Fails where some ranks see a GPU and others do not, or two ranks would
 * share one. Collective. */
lloyd_status lloyd_backend_choose(lloyd_comm *comm, const char *backend, const char *transport,
                                  lloyd_backend *out);

const char *lloyd_backend_name(const lloyd_backend *backend); /* "cpu", "cuda" */

/* Of a GPU: begins to start it, on a thread of its own. CUDA takes some tenths of a second for that, and whoever uses the GPU
 * waits meanwhile, also who asks how much memory it has or kernels take. What fails here fails again there, and is
 * reported there; where no thread is to be had, nothing begins. The structure stays where it is until lloyd_backend_await(). */
void lloyd_backend_start(lloyd_backend *backend);

/* Waits for it. Returns 1 if it was starting until now. */
int lloyd_backend_await(lloyd_backend *backend);

/* At the end, when the kernels are destroyed. Waits for a GPU that is starting; CUDA calls of this thread go where they went
 * before lloyd_backend_choose(), as in a program that uses another GPU itself. */
void lloyd_backend_leave(lloyd_backend *backend);

/* What sums device buffers: `comm` itself, or NCCL over it. It belongs to the backend; disconnect
 * before the kernels are destroyed and before `comm` is. Collective. */
lloyd_status lloyd_backend_connect(lloyd_backend *backend, lloyd_comm *comm, lloyd_comm **out);
void lloyd_backend_disconnect(lloyd_backend *backend);

lloyd_status lloyd_backend_kernels(const lloyd_backend *backend, const lloyd_kernels_config *config,
                                   lloyd_kernels **kernels);

/* Of a GPU: whether memory that kernels give back is kept for those that are created next (lloyd_device.keep). */
lloyd_status lloyd_backend_keep(const lloyd_backend *backend, int on);

/* What computes, apart from what is computed. */
const lloyd_device *lloyd_backend_device(const lloyd_backend *backend);

/* Threads of this rank: those of `comm` if it has a number of them; OMP_NUM_THREADS if set; else the cores it is bound to, but not more than
 * its share of the node, nor than a program that calls the library has allowed OpenMP. */
int lloyd_backend_threads(const lloyd_comm *comm);

/* Bytes that the kernels and all they do with at most `set` centroids at a time take, of the GPU's
 * memory or of the host's; the rows in their slots and seeding's LLOYD_SEED_ROW_BYTES a row are left out. */
int64_t lloyd_backend_bytes(const lloyd_backend *backend, const lloyd_kernels_config *config,
                            int64_t set);

/* Centroids that share bounds where at least config->prune_group shall; 0 where that is 0. */
int64_t lloyd_backend_prune_group(const lloyd_backend *backend, const lloyd_kernels_config *config);

/* Bytes of the GPU's memory that reducing `leaves` leaves at a time takes, of at most `count` candidates; 0
 * where CPUs compute. */
int64_t lloyd_backend_reduce_bytes(const lloyd_backend *backend, int64_t count, int64_t dim,
                                   int64_t leaves);

/* *left = what this rank's GPU has left; *used = what is in use: CUDA's own context, and whatever
 * else runs there. */
lloyd_status lloyd_backend_memory(const lloyd_backend *backend, int64_t *left, int64_t *used);

/* What is in this build: "cpu, cuda; mpi, nccl". */
const char *lloyd_backend_features(void);

#endif
