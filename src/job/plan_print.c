/* What --dry-run prints; see plan_print.h. */
#include "job/plan_print.h"

#include "base/memory.h"
#include "base/text.h"
#include "job/balance/balance.h"
#include "job/subset/subset.h"

#include <stdio.h>

static void print_bytes(const char *what, int64_t bytes)
{
    char size[32];
    if (bytes > 0) printf("    %-22s %12s\n", what, lloyd_text_bytes(bytes, size, sizeof size));
}

static void print_header(const lloyd_comm *comm, const lloyd_backend *backend,
                         const lloyd_rows *rows, const lloyd_fit_options *options,
                         const lloyd_plan *plan)
{
    char a[32], b[32], size[32], work[32], of[40] = "";
    int files = lloyd_rows_files(rows);
    double flop = 2.0 * (double)plan->n * (double)plan->k * (double)plan->d;
    printf("plan (nothing is read or written)\n");
    if (lloyd_subset_is_wanted(options))
        snprintf(of, sizeof of, " of %s", lloyd_text_count(lloyd_rows_stored(rows), a, sizeof a));
    printf("  dataset          %s%s rows x %s columns of %s in %d file%s, %s\n",
           lloyd_text_count(plan->n, a, sizeof a), of, lloyd_text_count(plan->d, b, sizeof b),
           lloyd_type_name(plan->kernels.type), files, files == 1 ? "" : "s",
           lloyd_text_bytes(plan->n * lloyd_plan_row_bytes(plan), size, sizeof size));
    printf("  clusters         %s by %s, %s\n", lloyd_text_count(plan->k, a, sizeof a),
           options->init, options->metric);
    if (options->max_size > 0)
        printf("  max size         %s rows of a cluster\n",
               lloyd_text_count(lloyd_balance_cap(options->max_size, plan->n, plan->k), a,
                                sizeof a));
    printf("  work             %s per iteration, at most %s iterations, %lld start%s\n",
           lloyd_text_scaled(flop, "FLOP", work, sizeof work),
           lloyd_text_count(options->max_iters, a, sizeof a), (long long)options->n_init,
           options->n_init == 1 ? "" : "s");
    printf("  ranks            %d, %d thread%s each\n", comm->size, plan->kernels.threads,
           plan->kernels.threads == 1 ? "" : "s");
    if (backend->cuda)
        printf("  backend          cuda, one GPU per rank (%s), sums by %s\n", backend->gpu,
               backend->transport ? backend->transport->label : "MPI");
    else
        printf("  backend          cpu\n");
}

/* Where the rows of all ranks live, and what moves in every pass. */
static void print_homes(const lloyd_backend *backend, const lloyd_plan *plan,
                        const int64_t homes[3])
{
    char text[3][32];
    const char *fast = backend->cuda ? "GPU memory" : "memory";
    int64_t pinned = homes[LLOYD_PINNED], streamed = homes[LLOYD_STREAMED];
    if (pinned + streamed == 0) {
        printf("  rows             stay in %s\n", fast);
        return;
    }
    for (int p = 0; p < 3; p++) lloyd_text_count(homes[p], text[p], sizeof text[p]);
    printf("  rows             %s stay in %s, ", text[LLOYD_FIXED], fast);
    if (backend->cuda) printf("%s in host memory, ", text[LLOYD_PINNED]);
    printf("%s are read in every pass\n", text[LLOYD_STREAMED]);
    printf("  every pass       reads %s from the files",
           lloyd_text_bytes(streamed * lloyd_plan_row_bytes(plan), text[0], sizeof text[0]));
    if (backend->cuda)
        printf(", copies %s to the GPUs",
               lloyd_text_bytes((pinned + streamed) * lloyd_plan_row_bytes(plan), text[1],
                                sizeof text[1]));
    printf(", in chunks of %s rows\n",
           lloyd_text_count(plan->kernels.chunk_rows, text[2], sizeof text[2]));
}

/* How the members of all clusters are sorted. */
static void print_members(const lloyd_plan *plan)
{
    if (plan->members.rounds == 0) return;
    printf("  members          sorted by all ranks together in %d round%s\n", plan->members.rounds,
           plan->members.rounds == 1 ? "" : "s");
}

/* ", at most 64.0 GB" */
static void print_limit(int64_t limit)
{
    char size[32];
    if (limit > 0) printf(", at most %s", lloyd_text_bytes(limit, size, sizeof size));
}

static void print_own(const lloyd_backend *backend, const lloyd_fit_options *options,
                      const lloyd_plan *plan)
{
    char size[32];
    printf("  memory of rank 0");
    print_limit(options->max_host_memory);
    printf("\n");
    print_bytes("program, libraries", plan->program);
    print_bytes("rows, buffers", plan->rows);
    print_bytes("weights", plan->weights);
    print_bytes("working space", plan->working);
    snprintf(size, sizeof size, "  bounds, groups of %lld", (long long)plan->kernels.prune_group);
    print_bytes(size, plan->bounds);
    print_bytes("checkpoint", plan->checkpoint);
    print_bytes("seeding", plan->seeding);
    print_bytes("results", plan->results);
    print_bytes("clusters of max size", plan->balance);
    print_bytes("or labelling all rows", plan->labelling);
    print_bytes("members of clusters", plan->members.bytes);
    if (!backend->cuda) return;
    printf("  GPU memory of rank 0 (%s are free)",
           lloyd_text_bytes(plan->gpu_free, size, sizeof size));
    print_limit(options->max_device_memory);
    printf("\n");
    print_bytes("CUDA and others, now", plan->gpu_used);
    print_bytes("rows, slots", plan->gpu_rows);
    print_bytes("working space", plan->gpu_working);
    print_bytes("seeding", plan->gpu_seeding);
    print_bytes("clusters of max size", plan->gpu_balance);
}

/* What all ranks send each other. */
enum { FIRST, COUNT, HOMES, ROWS = HOMES + 3, TOTAL, GPU_TOTAL, FIELDS };

static void print_ranks(const int64_t *all, int size, int cuda)
{
    enum { SHOWN = 16 };
    int64_t host = 0, gpu = 0;
    printf("  memory per rank\n");
    for (int r = 0; r < size; r++) {
        const int64_t *rank = all + (int64_t)r * FIELDS;
        char a[32], b[32], c[32], d[32], e[32], on_gpu[48] = "";
        host += rank[TOTAL];
        gpu += rank[GPU_TOTAL];
        if (r >= SHOWN) continue;
        if (cuda)
            snprintf(on_gpu, sizeof on_gpu, ", %s on its GPU",
                     lloyd_text_bytes(rank[GPU_TOTAL], c, sizeof c));
        printf("    rank %-5d %15s rows from %-15s %s of rows%s, %s in all (%lld bytes)\n", r,
               lloyd_text_count(rank[COUNT], a, sizeof a),
               lloyd_text_count(rank[FIRST], b, sizeof b),
               lloyd_text_bytes(rank[ROWS], d, sizeof d), on_gpu,
               lloyd_text_bytes(rank[TOTAL], e, sizeof e), (long long)rank[TOTAL]);
    }
    if (size > SHOWN) printf("    and %d ranks more like these\n", size - SHOWN);
    char text[32];
    printf("    %-22s %12s", "all ranks together", lloyd_text_bytes(host, text, sizeof text));
    if (cuda) printf(", %s of GPU memory", lloyd_text_bytes(gpu, text, sizeof text));
    printf("\n");
}

lloyd_status lloyd_plan_print(lloyd_comm *comm, const lloyd_backend *backend,
                              const lloyd_rows *rows, const lloyd_fit_options *options,
                              const lloyd_plan *plan, const lloyd_estimate *estimate)
{
    int64_t *all = NULL, fields = (int64_t)comm->size * FIELDS;
    LLOYD_TRY(lloyd_comm_alloc(comm, &all, fields, sizeof *all, "the plans of all ranks"));
    int64_t *mine = all + (int64_t)comm->rank * FIELDS;
    mine[FIRST] = plan->first, mine[COUNT] = plan->count;
    for (int p = 0; p < 3; p++) mine[HOMES + p] = lloyd_layout_rows(&plan->layout, (lloyd_home)p);
    mine[ROWS] = plan->rows, mine[TOTAL] = plan->total, mine[GPU_TOTAL] = plan->gpu_total;
    lloyd_status status = lloyd_comm_sum_host(comm, all, fields);
    if (status == LLOYD_OK && comm->rank == 0) {
        int64_t homes[3] = {0, 0, 0};
        for (int64_t at = 0; at < fields; at += FIELDS)
            for (int p = 0; p < 3; p++) homes[p] += all[at + HOMES + p];
        print_header(comm, backend, rows, options, plan);
        if (estimate) lloyd_estimate_print(options, plan, estimate);
        print_homes(backend, plan, homes);
        print_members(plan);
        print_own(backend, options, plan);
        print_ranks(all, comm->size, backend->cuda);
    }
    lloyd_free(all);
    return status;
}
