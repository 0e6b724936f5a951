/* See backend.h. */
#include "job/backend.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/threads.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/device.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/seed/reduce.h"

#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- what is in this build --- */

#ifdef LLOYD_HAVE_CUDA

enum { HAVE_CUDA = 1 };

static const lloyd_device *const gpu = &lloyd_device_cuda;

static lloyd_status cuda_kernels(const lloyd_kernels_config *config, int device,
                                 lloyd_kernels **kernels)
{
    return lloyd_kernels_cuda(config, device, kernels);
}

static int64_t cuda_bytes(const lloyd_kernels_config *config, int64_t set)
{
    return lloyd_kernels_cuda_bytes(config, set);
}

static int64_t prune_group(const lloyd_kernels_config *config)
{
    return lloyd_kernels_cuda_prune_group(config);
}

static int64_t reduce_bytes(int64_t count, int64_t dim, int64_t leaves)
{
    return lloyd_cuda_reduce_bytes(count, dim, leaves);
}

#else

enum { HAVE_CUDA = 0 };

static lloyd_status no_cuda(void)
{
    return lloyd_fail(LLOYD_FAILED, "this lloyd was built without CUDA");
}

static lloyd_status count_devices(int *count)
{
    *count = 0;
    return LLOYD_OK;
}

static lloyd_status identify(int device, uint64_t *hash, char *name, size_t bytes)
{
    (void)device, (void)hash, (void)name, (void)bytes;
    return no_cuda();
}

static lloyd_status gpu_memory(int device, int64_t *left, int64_t *total)
{
    (void)device, (void)left, (void)total;
    return no_cuda();
}

static lloyd_status keep(int device, int on)
{
    (void)device, (void)on;
    return no_cuda();
}

static int current(void)
{
    return -1;
}

static void make_current(int device)
{
    (void)device;
}

static const lloyd_device no_gpu = {.name = "cuda",
                                    .count = count_devices,
                                    .memory = gpu_memory,
                                    .identity = identify,
                                    .current = current,
                                    .make_current = make_current,
                                    .keep = keep};
static const lloyd_device *const gpu = &no_gpu;

static lloyd_status cuda_kernels(const lloyd_kernels_config *config, int device,
                                 lloyd_kernels **kernels)
{
    (void)config, (void)device, (void)kernels;
    return no_cuda();
}

static int64_t cuda_bytes(const lloyd_kernels_config *config, int64_t set)
{
    (void)config, (void)set;
    return 0;
}

static int64_t prune_group(const lloyd_kernels_config *config)
{
    return config->prune_group;
}

static int64_t reduce_bytes(int64_t count, int64_t dim, int64_t leaves)
{
    (void)count, (void)dim, (void)leaves;
    return 0;
}

#endif

const char *lloyd_backend_features(void)
{
    static char text[64];
    char transports[32];
    snprintf(text, sizeof text, "cpu%s; %s", HAVE_CUDA ? ", cuda" : "",
             lloyd_transports_built(transports, sizeof transports));
    return text;
}

/* --- options --- */

static int is(const char *value, const char *word)
{
    return value && strcmp(value, word) == 0;
}

static lloyd_status needs_gpu(const lloyd_transport *transport)
{
    return lloyd_fail(LLOYD_USAGE,
                      "--comm %s sums in GPU memory, but the CPUs compute here; use --comm mpi",
                      transport->name);
}

static lloyd_status check_transport(const char *name, const char *backend)
{
    const lloyd_transport *transport = lloyd_transport_named(name);
    if (is(name, "auto")) return LLOYD_OK;
    if (!transport) return lloyd_fail(LLOYD_USAGE, "--comm %s: there is no such transport", name);
    if (!transport->built)
        return lloyd_fail(LLOYD_USAGE, "--comm %s: this lloyd was built without %s; use --comm mpi",
                          name, transport->label);
    return transport->needs_gpu && is(backend, "cpu") ? needs_gpu(transport) : LLOYD_OK;
}

lloyd_status lloyd_backend_check(const char *backend, const char *comm)
{
    if (is(backend, "cuda") && !HAVE_CUDA)
        return lloyd_fail(LLOYD_USAGE,
                          "--backend cuda: this lloyd was built without CUDA; use --backend cpu");
    return comm ? check_transport(comm, backend) : LLOYD_OK;
}

/* --- the choice --- */

/* What every rank sends to the others. */
enum { SEES, GPU, FIELDS };

/* This rank's GPU, and mine[FIELDS]: whether it sees any, and which it takes. */
static lloyd_status look(const lloyd_comm *comm, const char *wanted, lloyd_backend *b,
                         int64_t *mine)
{
    int devices = 0;
    lloyd_status status = gpu->count(&devices);
    if (status != LLOYD_OK && is(wanted, "cuda")) return status;
    if (status != LLOYD_OK) lloyd_note("the GPUs cannot be used: %s", lloyd_message());
    if (status != LLOYD_OK || devices == 0) return LLOYD_OK;
    mine[SEES] = 1;
    b->caller = gpu->current();
    if (devices > 1 && comm->local_size > devices) {
        return lloyd_fail(LLOYD_USAGE,
                          "%d ranks run on the node of rank %d, which has %d GPUs; start at most "
                          "one rank per GPU, or use --backend cpu",
                          comm->local_size, comm->rank, devices);
    }
    b->device = devices == 1 ? 0 : comm->local_rank;
    uint64_t hash;
    LLOYD_TRY(gpu->identity(b->device, &hash, b->gpu, sizeof b->gpu));
    memcpy(&mine[GPU], &hash, sizeof hash);
    return LLOYD_OK;
}

static int sees_none(const void *all, int rank)
{
    return !((const int64_t *)all)[(int64_t)rank * FIELDS + SEES];
}

/* Whether another rank has taken this rank's GPU. */
static lloyd_status check_alone(const lloyd_comm *comm, const lloyd_backend *b, const int64_t *all)
{
    int64_t mine = all[(int64_t)comm->rank * FIELDS + GPU];
    for (int r = 0; r < comm->size; r++) {
        if (r == comm->rank || all[(int64_t)r * FIELDS + GPU] != mine) continue;
        return lloyd_fail(
            LLOYD_USAGE,
            "ranks %d and %d would share one GPU (%s); start one rank per GPU (with "
            "Slurm, as many --ntasks-per-node as --gpus-per-node), or use --backend cpu",
            comm->rank, r, b->gpu);
    }
    return LLOYD_OK;
}

/* From what all ranks sent, hence the same on all. */
static lloyd_status decide(const lloyd_comm *comm, const char *wanted, const int64_t *all,
                           lloyd_backend *b)
{
    char text[160];
    int seeing = 0;
    for (int r = 0; r < comm->size; r++) seeing += all[(int64_t)r * FIELDS + SEES] != 0;
    b->cuda = seeing > 0;
    if (seeing == comm->size) return check_alone(comm, b, all);
    if (seeing == 0) {
        if (is(wanted, "auto")) return LLOYD_OK;
        return lloyd_fail(LLOYD_FAILED, "--backend cuda: no GPU is visible; look at nvidia-smi and "
                                        "CUDA_VISIBLE_DEVICES, or use --backend cpu");
    }
    (void)lloyd_text_ranks(comm->size, sees_none, all, text, sizeof text);
    return lloyd_fail(LLOYD_FAILED,
                      "%d of %d ranks see a GPU, but not %s; look at nvidia-smi and "
                      "CUDA_VISIBLE_DEVICES there, or use --backend cpu",
                      seeing, comm->size, text);
}

static lloyd_status choose_devices(lloyd_comm *comm, const char *wanted, int64_t *all,
                                   lloyd_backend *b)
{
    int64_t fields = (int64_t)comm->size * FIELDS;
    lloyd_status status = look(comm, wanted, b, all + (int64_t)comm->rank * FIELDS);
    LLOYD_TRY(comm->agree(comm, status));
    LLOYD_TRY(lloyd_comm_sum_host(comm, all, fields));
    return comm->agree(comm, decide(comm, wanted, all, b));
}

static lloyd_status choose_transport(const lloyd_comm *comm, const char *name, lloyd_backend *b)
{
    const lloyd_transport *transport =
        is(name, "auto") ? lloyd_transport_auto(b->cuda) : lloyd_transport_named(name);
    if (transport->needs_gpu && !b->cuda) return needs_gpu(transport);
    if (comm->size > 1) b->transport = transport;
    return LLOYD_OK;
}

lloyd_status lloyd_backend_choose(lloyd_comm *comm, const char *backend, const char *transport,
                                  lloyd_backend *out)
{
    int64_t *all = NULL;
    *out = (lloyd_backend){.caller = -1};
    if (HAVE_CUDA && !is(backend, "cpu")) {
        int64_t fields = (int64_t)comm->size * FIELDS;
        LLOYD_TRY(lloyd_comm_alloc(comm, &all, fields, sizeof *all, "the GPUs of all ranks"));
        lloyd_status status = choose_devices(comm, backend, all, out);
        lloyd_free(all);
        LLOYD_TRY(status);
    }
    if (!transport) return LLOYD_OK;
    return comm->agree(comm, choose_transport(comm, transport, out));
}

/* --- its start --- */

/* To ask for the memory is what starts a GPU. */
static void *start_gpu(void *data)
{
    const lloyd_backend *backend = data;
    int64_t left, total;
    (void)gpu->memory(backend->device, &left, &total);
    return NULL;
}

void lloyd_backend_start(lloyd_backend *backend)
{
    if (!backend->cuda || backend->starting) return;
    backend->starting = lloyd_thread_start(&backend->starter, start_gpu, backend) == 0;
}

int lloyd_backend_await(lloyd_backend *backend)
{
    if (!backend->starting) return 0;
    (void)pthread_join(backend->starter, NULL);
    backend->starting = 0;
    return 1;
}

void lloyd_backend_leave(lloyd_backend *backend)
{
    (void)lloyd_backend_await(backend);
    if (backend->cuda && backend->caller >= 0) gpu->make_current(backend->caller);
}

const char *lloyd_backend_name(const lloyd_backend *backend)
{
    return backend->cuda ? "cuda" : "cpu";
}

/* --- its parts --- */

lloyd_status lloyd_backend_connect(lloyd_backend *backend, lloyd_comm *comm, lloyd_comm **out)
{
    *out = comm;
    if (!backend->transport) return LLOYD_OK;
    LLOYD_TRY(backend->transport->open(comm, backend->device, out));
    if (*out != comm) backend->sum = *out;
    return LLOYD_OK;
}

void lloyd_backend_disconnect(lloyd_backend *backend)
{
    if (backend->sum) backend->sum->destroy(backend->sum);
    backend->sum = NULL;
}

lloyd_status lloyd_backend_kernels(const lloyd_backend *backend, const lloyd_kernels_config *config,
                                   lloyd_kernels **kernels)
{
    return backend->cuda ? cuda_kernels(config, backend->device, kernels)
                         : lloyd_kernels_cpu(config, kernels);
}

lloyd_status lloyd_backend_keep(const lloyd_backend *backend, int on)
{
    return backend->cuda ? gpu->keep(backend->device, on) : LLOYD_OK;
}

const lloyd_device *lloyd_backend_device(const lloyd_backend *backend)
{
    return backend->cuda ? gpu : &lloyd_device_cpu;
}

int lloyd_backend_threads(const lloyd_comm *comm)
{
    if (comm->threads > 0) return comm->threads;
    const char *wanted = getenv("OMP_NUM_THREADS");
    int threads = wanted ? atoi(wanted) : 0, allowed = omp_get_max_threads();
    if (threads > 0) return threads;
    cpu_set_t cores;
    int bound = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int share = (int)(online / comm->local_size);
    threads = bound < share ? bound : share;
    if (threads > allowed) threads = allowed;
    return threads > 0 ? threads : 1;
}

int64_t lloyd_backend_bytes(const lloyd_backend *backend, const lloyd_kernels_config *config,
                            int64_t set)
{
    return backend->cuda ? cuda_bytes(config, set) : lloyd_kernels_cpu_bytes(config, set);
}

int64_t lloyd_backend_prune_group(const lloyd_backend *backend, const lloyd_kernels_config *config)
{
    return backend->cuda ? prune_group(config) : config->prune_group;
}

int64_t lloyd_backend_reduce_bytes(const lloyd_backend *backend, int64_t count, int64_t dim,
                                   int64_t leaves)
{
    return backend->cuda ? reduce_bytes(count, dim, leaves) : 0;
}

lloyd_status lloyd_backend_memory(const lloyd_backend *backend, int64_t *left, int64_t *used)
{
    int64_t total = 0;
    LLOYD_TRY(gpu->memory(backend->device, left, &total));
    *used = total - *left;
    return LLOYD_OK;
}
