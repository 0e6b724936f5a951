/* Sizes and splits; see plan.h. */
#include "plan.h"

#include "base/memory.h"
#include "problem.h"
#include "text.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STREAM_BYTES = 64 << 20, /* of a chunk, where the user names no size */
    GPU_STREAM_BYTES = 256 << 20,
    GPU_COPY_BYTES = 32 << 20, /* pinned memory that copies to and from a GPU pass through */
    GPU_RESERVE = 1 << 30,     /* of a GPU, for NCCL and the driver; an eighth of a small one */
    LABEL_ROWS = 1 << 20,      /* labels written at a time */
    BLAS_BYTES = 1 << 20, /* packed operands and stack of a thread inside the BLAS and OpenMP */
    HISTORY = 1 << 14,    /* iterations; a longer history is not worth counting */
};

/* Threads of this rank: OMP_NUM_THREADS if set; else the cores it is bound to, but not more than
 * its share of the node. */
static int choose_threads(const lloyd_comm *comm)
{
    const char *wanted = getenv("OMP_NUM_THREADS");
    int threads = wanted ? atoi(wanted) : 0;
    if (threads > 0) return threads;
    cpu_set_t cores;
    int bound = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int share = (int)(online / comm->local_size);
    threads = bound < share ? bound : share;
    return threads > 0 ? threads : 1;
}

static lloyd_status split(const lloyd_comm *comm, const lloyd_rows *rows, lloyd_plan *plan)
{
    plan->n = lloyd_rows_count(rows);
    plan->d = lloyd_rows_dim(rows);
    plan->first = lloyd_shard_first(plan->n, comm->rank, comm->size);
    plan->count = lloyd_shard_first(plan->n, comm->rank + 1, comm->size) - plan->first;
    plan->kernels = (lloyd_kernels_config){
        .n_local = plan->count,
        .dim = plan->d,
        .k = plan->k,
        .type = lloyd_rows_type(rows),
        .threads = choose_threads(comm),
    };
    if (plan->d <= INT32_MAX) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT, "%s has %lld columns; at most %d can be clustered",
                      lloyd_rows_file(rows, 0), (long long)plan->d, INT32_MAX);
}

static int64_t row_bytes(const lloyd_plan *plan)
{
    return plan->d * (int64_t)lloyd_type_size(plan->kernels.type);
}

/* Rows per chunk and slots. A resident shard is cut only where a slot's row numbers would not fit
 * 31 bits. */
static void choose_chunks(const lloyd_backend *backend, lloyd_plan *plan, int64_t chunk_rows)
{
    const int64_t most = (int64_t)1 << 30;
    int64_t rows = plan->resident ? most
                   : chunk_rows > 0
                       ? chunk_rows
                       : (backend->cuda ? GPU_STREAM_BYTES : STREAM_BYTES) / row_bytes(plan);
    if (rows > plan->count) rows = plan->count;
    if (rows > most) rows = most;
    if (rows < 1) rows = 1;
    plan->kernels.chunk_rows = rows;
    int64_t chunks = (plan->count + rows - 1) / rows;
    plan->kernels.slots = plan->resident && chunks > 0 ? (int)chunks : 1;
    plan->rows = (plan->resident ? plan->count : rows) * row_bytes(plan);
    plan->gpu_rows = backend->cuda ? plan->rows : 0;
    if (backend->cuda && plan->resident)
        plan->rows = lloyd_shard_staged_rows(plan->count, row_bytes(plan)) * row_bytes(plan);
}

/* Kernels that are planned do not exist yet, but with weights they take more. */
static const float some_weight = 1;

/* Memory that seeding needs beside everything else. */
typedef struct seeding_need {
    int64_t set;     /* centroids of the largest set it makes */
    int64_t host;    /* bytes */
    int64_t kernels; /* bytes where the kernels have theirs: on the host, or on the GPU */
} seeding_need;

static seeding_need need_of_seeding(const lloyd_comm *comm, const lloyd_backend *backend,
                                    const lloyd_plan *plan, const char *init)
{
    int64_t k = plan->k, centroids = k * plan->d * 4, state = 12 * plan->count;
    if (strcmp(init, "kmeans++") == 0) return (seeding_need){k, centroids + k * 16, state};
    if (strcmp(init, "random") == 0)
        return (seeding_need){k, centroids + k * 8 + lloyd_gather_bytes(k, plan->d), 0};
    if (strcmp(init, "kmeans-parallel") != 0)
        return (seeding_need){k, 2 * centroids + k * 8, 0}; /* a model */
    int64_t most = lloyd_seed_candidates(k), round = lloyd_seed_round_candidates(k);
    int64_t candidates = most * (plan->d * 4 + 20) + round * 8 + lloyd_gather_bytes(round, plan->d);
    lloyd_kernels_config reduce = plan->kernels;
    reduce.n_local = reduce.chunk_rows = (most + comm->size - 1) / comm->size;
    reduce.k = 1, reduce.slots = 1, reduce.type = LLOYD_F32, reduce.weights = &some_weight;
    int64_t reducing = lloyd_backend_bytes(backend, &reduce, 1) + 12 * reduce.n_local;
    return (seeding_need){round, centroids + candidates, state > reducing ? state : reducing};
}

static void count_bytes(const lloyd_comm *comm, const lloyd_backend *backend,
                        const lloyd_rows *rows, const lloyd_fit_options *options, lloyd_plan *plan)
{
    seeding_need need = need_of_seeding(comm, backend, plan, options->init);
    lloyd_kernels_config config = plan->kernels;
    if (options->weights) config.weights = &some_weight;
    int64_t kernels = lloyd_backend_bytes(backend, &config, need.set);
    int64_t labels = plan->count < LABEL_ROWS ? plan->count : LABEL_ROWS;
    int64_t centroids = plan->k * plan->d * 4;
    plan->weights = options->weights ? plan->count * 4 : 0;
    plan->results = (comm->rank == 0 ? centroids + plan->k * 8 : 0) + labels * 4 +
                    (options->n_init > 1 ? centroids : 0);
    plan->seeding = need.host;
    plan->working = plan->d * 48 +
                    (options->max_iters < HISTORY ? options->max_iters : HISTORY) * 48 +
                    lloyd_rows_memory(rows);
    if (backend->cuda) {
        plan->gpu_working = kernels - plan->gpu_rows;
        plan->gpu_seeding = need.kernels;
        plan->gpu_total = plan->gpu_rows + plan->gpu_working + plan->gpu_seeding;
        plan->working += GPU_COPY_BYTES;
    } else {
        plan->seeding += need.kernels;
        plan->working += kernels + plan->kernels.threads * (int64_t)BLAS_BYTES;
    }
    int64_t phase = plan->seeding > plan->results ? plan->seeding : plan->results;
    plan->total = plan->program + plan->rows + plan->weights + plan->working + phase;
}

/* Whether resident rows leave enough for the others. */
static int fits(const lloyd_comm *comm, const lloyd_backend *backend, const lloyd_plan *plan)
{
    int64_t available = plan->program + lloyd_memory_available() / comm->local_size;
    if (!backend->cuda) return plan->total <= available - available / 16;
    int64_t reserve = plan->gpu_free / 8 < GPU_RESERVE ? plan->gpu_free / 8 : GPU_RESERVE;
    return plan->gpu_total <= plan->gpu_free - reserve;
}

/* The program's own bytes, after the GPU's driver has taken its share of them. */
static lloyd_status begin_plan(const lloyd_backend *backend, lloyd_plan *plan)
{
    if (backend->cuda) LLOYD_TRY(lloyd_backend_memory(backend, &plan->gpu_free, &plan->gpu_used));
    plan->program = lloyd_memory_now();
    return LLOYD_OK;
}

lloyd_status lloyd_plan_fit(lloyd_comm *comm, const lloyd_backend *backend, const lloyd_rows *rows,
                            const lloyd_fit_options *options, lloyd_plan *plan)
{
    *plan = (lloyd_plan){.k = options->k};
    LLOYD_TRY(begin_plan(backend, plan));
    LLOYD_TRY(split(comm, rows, plan));
    plan->kernels.cosine = strcmp(options->metric, "cosine") == 0;
    plan->resident = options->chunk_rows == 0;
    choose_chunks(backend, plan, options->chunk_rows);
    count_bytes(comm, backend, rows, options, plan);
    if (plan->resident && !fits(comm, backend, plan)) {
        plan->resident = 0;
        choose_chunks(backend, plan, 0);
        count_bytes(comm, backend, rows, options, plan);
    }
    return LLOYD_OK;
}

lloyd_status lloyd_plan_predict(lloyd_comm *comm, const lloyd_backend *backend,
                                const lloyd_rows *rows, int64_t k, int cosine, int64_t chunk_rows,
                                lloyd_plan *plan)
{
    *plan = (lloyd_plan){.k = k};
    LLOYD_TRY(split(comm, rows, plan));
    plan->kernels.cosine = cosine;
    choose_chunks(backend, plan, chunk_rows);
    return LLOYD_OK;
}

/* --- --dry-run --- */

static void print_bytes(const char *what, int64_t bytes)
{
    if (bytes > 0) printf("    %-22s %12.1f MB\n", what, (double)bytes / 1e6);
}

static void print_header(const lloyd_comm *comm, const lloyd_backend *backend,
                         const lloyd_rows *rows, const lloyd_fit_options *options,
                         const lloyd_plan *plan)
{
    char a[32], b[32], size[32];
    int files = lloyd_rows_files(rows);
    double flop = 2.0 * (double)plan->n * (double)plan->k * (double)plan->d;
    printf("plan (nothing is read or written)\n");
    printf("  dataset          %s x %s %s in %d file%s, %s\n",
           lloyd_text_count(plan->n, a, sizeof a), lloyd_text_count(plan->d, b, sizeof b),
           lloyd_type_name(plan->kernels.type), files, files == 1 ? "" : "s",
           lloyd_text_bytes(plan->n * row_bytes(plan), size, sizeof size));
    printf("  clusters         %s by %s, %s\n", lloyd_text_count(plan->k, a, sizeof a),
           options->init, options->metric);
    printf("  work             %.3g TFLOP per iteration, at most %s iterations, %lld start%s\n",
           flop / 1e12, lloyd_text_count(options->max_iters, a, sizeof a),
           (long long)options->n_init, options->n_init == 1 ? "" : "s");
    printf("  ranks            %d, %d thread%s each\n", comm->size, plan->kernels.threads,
           plan->kernels.threads == 1 ? "" : "s");
    if (backend->cuda)
        printf("  backend          cuda, one GPU per rank (%s), sums by %s\n", backend->gpu,
               backend->nccl ? "NCCL" : "MPI");
    else
        printf("  backend          cpu\n");
    if (plan->resident)
        printf("  rows             stay in %smemory\n", backend->cuda ? "GPU " : "");
    else
        printf("  rows             are read again in every pass, %s at a time\n",
               lloyd_text_count(plan->kernels.chunk_rows, a, sizeof a));
}

static void print_own(const lloyd_backend *backend, const lloyd_plan *plan)
{
    char size[32];
    printf("  memory of rank 0\n");
    print_bytes("program, libraries", plan->program);
    print_bytes("rows", plan->rows);
    print_bytes("weights", plan->weights);
    print_bytes("working space", plan->working);
    print_bytes("seeding", plan->seeding);
    print_bytes("results", plan->results);
    if (!backend->cuda) return;
    printf("  GPU memory of rank 0 (%s are free)\n",
           lloyd_text_bytes(plan->gpu_free, size, sizeof size));
    print_bytes("CUDA and others, now", plan->gpu_used);
    print_bytes("rows", plan->gpu_rows);
    print_bytes("working space", plan->gpu_working);
    print_bytes("seeding", plan->gpu_seeding);
}

/* What all ranks tell each other. */
enum { FIRST, COUNT, ROWS, TOTAL, GPU_TOTAL, FIELDS };

static void print_ranks(const int64_t *all, int size, int cuda)
{
    enum { SHOWN = 16 };
    int64_t host = 0, gpu = 0;
    printf("  memory per rank\n");
    for (int r = 0; r < size; r++) {
        const int64_t *rank = all + (int64_t)r * FIELDS;
        char a[32], b[32], on_gpu[48] = "";
        host += rank[TOTAL];
        gpu += rank[GPU_TOTAL];
        if (r >= SHOWN) continue;
        if (cuda)
            snprintf(on_gpu, sizeof on_gpu, " %10.1f MB on its GPU", (double)rank[GPU_TOTAL] / 1e6);
        printf("    rank %-5d %15s rows from %-15s %10.1f MB of rows%s %10.1f MB in all (%lld "
               "bytes)\n",
               r, lloyd_text_count(rank[COUNT], a, sizeof a),
               lloyd_text_count(rank[FIRST], b, sizeof b), (double)rank[ROWS] / 1e6, on_gpu,
               (double)rank[TOTAL] / 1e6, (long long)rank[TOTAL]);
    }
    if (size > SHOWN) printf("    and %d ranks more like these\n", size - SHOWN);
    printf("  all ranks together     %12.1f MB", (double)host / 1e6);
    if (cuda) printf(", %.1f MB of GPU memory", (double)gpu / 1e6);
    printf("\n");
}

lloyd_status lloyd_plan_print(lloyd_comm *comm, const lloyd_backend *backend,
                              const lloyd_rows *rows, const lloyd_fit_options *options,
                              const lloyd_plan *plan)
{
    int64_t *all = NULL, fields = (int64_t)comm->size * FIELDS;
    LLOYD_TRY(comm->agree(comm, lloyd_alloc(&all, fields, sizeof *all, "the plans of all ranks")));
    int64_t *mine = all + (int64_t)comm->rank * FIELDS;
    mine[FIRST] = plan->first, mine[COUNT] = plan->count;
    mine[ROWS] = plan->rows, mine[TOTAL] = plan->total, mine[GPU_TOTAL] = plan->gpu_total;
    lloyd_status status = lloyd_comm_sum_host(comm, all, fields);
    if (status == LLOYD_OK && comm->rank == 0) {
        print_header(comm, backend, rows, options, plan);
        print_own(backend, plan);
        print_ranks(all, comm->size, backend->cuda);
    }
    lloyd_free(all);
    return status;
}
