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
    LABEL_ROWS = 1 << 20,    /* labels written at a time */
    BLAS_BYTES = 1 << 20,    /* packed operands and stack of a thread inside the BLAS and OpenMP */
    HISTORY = 1 << 14,       /* iterations; a longer history is not worth counting */
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
static void choose_chunks(lloyd_plan *plan, int64_t chunk_rows)
{
    const int64_t most = (int64_t)1 << 30;
    int64_t rows = plan->resident   ? most
                   : chunk_rows > 0 ? chunk_rows
                                    : STREAM_BYTES / row_bytes(plan);
    if (rows > plan->count) rows = plan->count;
    if (rows > most) rows = most;
    if (rows < 1) rows = 1;
    plan->kernels.chunk_rows = rows;
    int64_t chunks = (plan->count + rows - 1) / rows;
    plan->kernels.slots = plan->resident && chunks > 0 ? (int)chunks : 1;
    plan->rows = (plan->resident ? plan->count : rows) * row_bytes(plan);
}

/* Memory that seeding needs beside everything else, and the size of the largest centroid set it
 * makes. */
static int64_t seeding_bytes(const lloyd_plan *plan, const char *init, int64_t *set)
{
    int64_t centroids = plan->k * plan->d * 4, state = 12 * plan->count;
    *set = plan->k;
    if (strcmp(init, "kmeans++") == 0) return centroids + state + plan->k * 16;
    if (strcmp(init, "random") == 0) {
        return centroids + plan->k * 8 + lloyd_gather_bytes(plan->k, plan->d);
    }
    if (strcmp(init, "kmeans-parallel") != 0) return 2 * centroids + plan->k * 8; /* a model */
    int64_t most = lloyd_seed_candidates(plan->k), round = lloyd_seed_round_candidates(plan->k);
    *set = round;
    int64_t candidates = most * (plan->d * 4 + 20) + round * 8 + lloyd_gather_bytes(round, plan->d);
    lloyd_kernels_config reduce = plan->kernels;
    reduce.n_local = most, reduce.k = 1, reduce.chunk_rows = 1;
    int64_t reducing = lloyd_kernels_cpu_bytes(&reduce, 1) + 12 * most;
    return centroids + candidates + (state > reducing ? state : reducing);
}

static void count_bytes(lloyd_comm *comm, const lloyd_rows *rows, const lloyd_fit_options *options,
                        lloyd_plan *plan)
{
    int64_t set;
    plan->weights = options->weights ? plan->count * 4 : 0;
    plan->seeding = seeding_bytes(plan, options->init, &set);
    plan->working = lloyd_kernels_cpu_bytes(&plan->kernels, set) +
                    plan->kernels.threads * (int64_t)BLAS_BYTES + plan->d * 48 +
                    (options->max_iters < HISTORY ? options->max_iters : HISTORY) * 48 +
                    lloyd_rows_memory(rows);
    int64_t labels = plan->count < LABEL_ROWS ? plan->count : LABEL_ROWS;
    int64_t centroids = plan->k * plan->d * 4;
    plan->results = (comm->rank == 0 ? centroids + plan->k * 8 : 0) + labels * 4 +
                    (options->n_init > 1 ? centroids : 0);
    int64_t phase = plan->seeding > plan->results ? plan->seeding : plan->results;
    plan->total = plan->program + plan->rows + plan->weights + plan->working + phase;
}

lloyd_status lloyd_plan_fit(lloyd_comm *comm, const lloyd_rows *rows,
                            const lloyd_fit_options *options, lloyd_plan *plan)
{
    *plan = (lloyd_plan){.k = options->k, .program = lloyd_memory_now()};
    LLOYD_TRY(split(comm, rows, plan));
    plan->kernels.cosine = strcmp(options->metric, "cosine") == 0;
    plan->resident = options->chunk_rows == 0;
    choose_chunks(plan, options->chunk_rows);
    count_bytes(comm, rows, options, plan);
    int64_t available = plan->program + lloyd_memory_available() / comm->local_size;
    if (plan->resident && plan->total > available - available / 16) {
        plan->resident = 0;
        choose_chunks(plan, 0);
        count_bytes(comm, rows, options, plan);
    }
    return LLOYD_OK;
}

lloyd_status lloyd_plan_predict(lloyd_comm *comm, const lloyd_rows *rows, int64_t k, int cosine,
                                int64_t chunk_rows, lloyd_plan *plan)
{
    *plan = (lloyd_plan){.k = k, .program = lloyd_memory_now()};
    LLOYD_TRY(split(comm, rows, plan));
    plan->kernels.cosine = cosine;
    choose_chunks(plan, chunk_rows);
    return LLOYD_OK;
}

/* --- --dry-run --- */

static void print_bytes(const char *what, int64_t bytes)
{
    if (bytes > 0) printf("    %-22s %12.1f MB\n", what, (double)bytes / 1e6);
}

static void print_header(const lloyd_comm *comm, const lloyd_rows *rows,
                         const lloyd_fit_options *options, const lloyd_plan *plan)
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
    if (plan->resident)
        printf("  rows             stay in memory\n");
    else
        printf("  rows             are read again in every pass, %s at a time\n",
               lloyd_text_count(plan->kernels.chunk_rows, a, sizeof a));
}

lloyd_status lloyd_plan_print(lloyd_comm *comm, const lloyd_rows *rows,
                              const lloyd_fit_options *options, const lloyd_plan *plan)
{
    enum { FIELDS = 4, SHOWN = 16 };
    int64_t *all = NULL;
    LLOYD_TRY(comm->agree(comm, lloyd_alloc(&all, (int64_t)comm->size * FIELDS, sizeof *all,
                                            "the plans of all ranks")));
    int64_t *mine = all + (int64_t)comm->rank * FIELDS;
    mine[0] = plan->first, mine[1] = plan->count, mine[2] = plan->rows, mine[3] = plan->total;
    lloyd_status status = lloyd_comm_sum_host(comm, all, (int64_t)comm->size * FIELDS);
    if (status == LLOYD_OK && comm->rank == 0) {
        char a[32], b[32];
        print_header(comm, rows, options, plan);
        printf("  memory of rank 0\n");
        print_bytes("program, libraries", plan->program);
        print_bytes("rows", plan->rows);
        print_bytes("weights", plan->weights);
        print_bytes("working space", plan->working);
        print_bytes("seeding", plan->seeding);
        print_bytes("results", plan->results);
        printf("  memory per rank\n");
        for (int r = 0; r < comm->size && r < SHOWN; r++) {
            const int64_t *rank = all + (int64_t)r * FIELDS;
            printf(
                "    rank %-5d %15s rows from %-15s %10.1f MB of rows %10.1f MB in all (%lld bytes)\n",
                r, lloyd_text_count(rank[1], a, sizeof a), lloyd_text_count(rank[0], b, sizeof b),
                (double)rank[2] / 1e6, (double)rank[3] / 1e6, (long long)rank[3]);
        }
        if (comm->size > SHOWN) printf("    and %d ranks more like these\n", comm->size - SHOWN);
    }
    lloyd_free(all);
    return status;
}
