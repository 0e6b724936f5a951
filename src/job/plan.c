/* Sizes and splits; see plan.h. */
#include "job/plan.h"

#include "algorithm/gather.h"
#include "algorithm/seed.h"
#include "algorithm/seed_parallel.h"
#include "algorithm/seed_sample.h"
#include "base/memory.h"
#include "job/balance/balance.h"
#include "job/balance/open_clusters.h"
#include "job/checkpoint/checkpoint.h"
#include "job/options.h"
#include "job/results/second.h"
#include "kernels/blas.h"

#include <string.h>
#include <sys/resource.h>

enum {
    GPU_RESERVE = 1 << 30, /* of a GPU, for NCCL and the driver; an eighth of a small one */
    LABEL_ROWS = 1 << 20,  /* labels written at a time */
    BLAS_BYTES = 1 << 20,  /* packed operands and stack of a thread inside the BLAS and OpenMP */
    HISTORY = 1 << 14,     /* iterations; a longer history is not worth counting */
    MEMBERS_PART = 16,     /* of what there is, for sorting members */
};

static void take_source(const lloyd_comm *comm, const lloyd_row_source *source, lloyd_plan *plan)
{
    plan->n = source->n;
    plan->d = source->d;
    plan->first = source->first;
    plan->count = source->count;
    plan->kernels = (lloyd_kernels_config){
        .n_local = plan->count,
        .dim = plan->d,
        .k = plan->k,
        .type = source->type,
        .threads = lloyd_backend_threads(comm),
    };
}

/* Kernels that are planned do not exist yet, but with weights they take more. */
static const float some_weight = 1;

/* Memory that seeding needs beside everything else. */
typedef struct seeding_need {
    int64_t set;     /* centroids of the largest set it makes */
    int64_t host;    /* bytes */
    int64_t kernels; /* bytes where the kernels have theirs: on the host, or on the GPU */
} seeding_need;

/* GPU memory for reducing the candidates of kmeans-parallel: for some leaves at a time, unless that is
 * more than a small part of what there is. */
static int64_t room_for_leaves(const lloyd_backend *backend, const lloyd_plan *plan, int ranks,
                               int64_t limit)
{
    enum { PART = 12, ONE_PART = 4 };
    int64_t most = lloyd_seed_candidates(plan->k);
    int64_t points = most < LLOYD_LEAF_MOST ? most : LLOYD_LEAF_MOST;
    int64_t own = (lloyd_reduce_leaves(most) + ranks - 1) / ranks;
    int64_t one = lloyd_backend_reduce_bytes(backend, points, plan->d, 1);
    if (one == 0 || one > limit / ONE_PART) return 0;
    int64_t leaves = limit / PART / one;
    if (leaves < 1) leaves = 1;
    if (leaves > LLOYD_LEAVES_AT_ONCE) leaves = LLOYD_LEAVES_AT_ONCE;
    return (leaves < own ? leaves : own) * one;
}

/* Of a method that looks at `rows` of this rank. */
static seeding_need need_of_method(const lloyd_plan *plan, const lloyd_fit_options *options,
                                   int64_t rows)
{
    const char *init = options->init;
    int64_t k = plan->k, centroids = k * plan->d * 4, state = LLOYD_SEED_ROW_BYTES * rows;
    if (strcmp(init, "kmeans++") == 0) {
        int64_t trials = lloyd_seed_trials(k, (int)options->init_trials);
        return (seeding_need){trials > k ? trials : k,
                              centroids + k * 16 + trials * (plan->d * 4 + 24) +
                                  lloyd_gather_bytes(trials, plan->d),
                              state};
    }
    if (strcmp(init, "random") == 0)
        return (seeding_need){k, centroids + k * 8 + lloyd_gather_bytes(k, plan->d), 0};
    if (strcmp(init, "kmeans-parallel") != 0)
        return (seeding_need){k, 2 * centroids + k * 8, 0}; /* a model */
    int64_t candidates =
        lloyd_seed_parallel_bytes(k, plan->d, (int)options->init_trials, plan->gpu_reduce > 0);
    return (seeding_need){lloyd_seed_round_candidates(k), centroids + candidates,
                          state > plan->gpu_reduce ? state : plan->gpu_reduce};
}

/* On a sample, what would be needed for it is needed by kernels of its own. */
static seeding_need need_of_seeding(const lloyd_backend *backend, const lloyd_plan *plan,
                                    const lloyd_fit_options *options, int weighted)
{
    int64_t size = lloyd_options_sample(options, plan->n, weighted);
    if (size == plan->n || !lloyd_options_tries(options))
        return need_of_method(plan, options, plan->count);
    int64_t rows = lloyd_seed_sample_most(plan->n, plan->count, size);
    seeding_need need = need_of_method(plan, options, rows);
    lloyd_kernels_config config = plan->kernels;
    config.n_local = config.chunk_rows = rows;
    config.k = 1, config.slots = 1, config.type = LLOYD_F32, config.cosine = 0;
    config.prune_group = 0;
    config.weights = weighted ? &some_weight : NULL;
    need.kernels += lloyd_backend_bytes(backend, &config, need.set);
    if (backend->cuda) need.kernels += rows * plan->d * 4;
    need.host += lloyd_seed_sample_bytes(backend->cuda, plan->count, rows, plan->d);
    need.set = plan->k;
    return need;
}

/* What a plan is made from. */
typedef struct planner {
    lloyd_comm *comm;
    const lloyd_backend *backend;
    const lloyd_row_source *source;
    const lloyd_fit_options *options; /* or, of a prediction: */
    const lloyd_predict_options *predict;
    lloyd_plan *plan;
} planner;

/* Of io/, for rows in files. */
static int64_t reading_bytes(const planner *p)
{
    return p->source->rows ? lloyd_rows_memory(p->source->rows) : 0;
}

/* --max-size: the distances are among those bytes. */
static void count_balance(const planner *p, lloyd_plan *plan)
{
    if (p->options->max_size == 0) return;
    const lloyd_kernels_config others =
        lloyd_open_clusters_config(&plan->kernels, p->backend->cuda);
    const int64_t kernels = lloyd_backend_bytes(p->backend, &others, plan->k);
    plan->balance = lloyd_balance_bytes(&plan->kernels, plan->k);
    if (p->backend->cuda)
        plan->gpu_balance = kernels + others.chunk_rows * plan->d * (int64_t)sizeof(float);
    else
        plan->balance += kernels;
}

/* Of pinned memory: less than twice what is copied at most, there and in a second buffer, where this is little. */
static int64_t pinned_bytes(const planner *p)
{
    const int64_t most = lloyd_backend_device(p->backend)->pinned,
                  rows = p->plan->count * p->plan->d * (int64_t)sizeof(float);
    return rows < most / 4 ? 4 * rows : most;
}

/* Everything but the rows, for chunks of plan->kernels.chunk_rows. */
static void count_rest(const planner *p, lloyd_plan *plan)
{
    const lloyd_fit_options *options = p->options;
    seeding_need need = need_of_seeding(p->backend, plan, options, p->source->weighted);
    lloyd_kernels_config config = plan->kernels;
    if (p->source->weighted) config.weights = &some_weight;
    int64_t kernels = lloyd_backend_bytes(p->backend, &config, need.set);
    config.prune_group = 0;
    plan->bounds = kernels - lloyd_backend_bytes(p->backend, &config, need.set);
    int64_t labels = plan->count < LABEL_ROWS ? plan->count : LABEL_ROWS;
    int64_t centroids = plan->k * plan->d * 4;
    plan->weights = p->source->weighted && p->source->rows ? plan->count * 4 : 0;
    plan->results = (p->comm->rank == 0 ? centroids + plan->k * 8 : 0) + labels * 4 +
                    (options->n_init > 1 ? centroids : 0) +
                    (options->n_init > 1 && strcmp(options->init, "kmeans-parallel") == 0
                         ? lloyd_candidates_bytes(plan->k, plan->d)
                         : 0);
    if ((options->distances || options->members) && options->max_size == 0)
        plan->results += plan->count * (int64_t)sizeof(double);
    plan->seeding = need.host;
    plan->working = plan->d * 96 +
                    (options->max_iters < HISTORY ? options->max_iters : HISTORY) * 48 +
                    reading_bytes(p);
    if (p->backend->cuda) {
        plan->gpu_working = kernels;
        plan->gpu_seeding = need.kernels;
        plan->working += pinned_bytes(p);
        if (p->backend->transport) plan->working += p->backend->transport->gpu_bytes;
    } else {
        plan->seeding += need.kernels;
        plan->working += kernels + plan->kernels.threads * (int64_t)BLAS_BYTES;
    }
    count_balance(p, plan);
    int64_t last = plan->results + plan->members.bytes + plan->balance;
    int64_t phase = plan->seeding > last ? plan->seeding : last;
    plan->checkpoint = lloyd_checkpoint_bytes(options, p->comm->rank, plan->d);
    plan->total = plan->program + plan->weights + plan->working + plan->checkpoint + phase;
    plan->gpu_total =
        plan->gpu_working +
        (plan->gpu_seeding > plan->gpu_balance ? plan->gpu_seeding : plan->gpu_balance);
}

static lloyd_bytes need_for_chunks(const void *context, int64_t chunk_rows)
{
    const planner *p = context;
    lloyd_plan plan = *p->plan;
    plan.kernels.chunk_rows = chunk_rows;
    count_rest(p, &plan);
    return (lloyd_bytes){plan.total, plan.gpu_total};
}

/* Takes over plan->layout. */
static void use_layout(lloyd_plan *plan)
{
    int slots = lloyd_layout_slots(&plan->layout);
    plan->kernels.chunk_rows = plan->layout.chunk_rows;
    plan->kernels.slots = slots > 0 ? slots : 1;
    lloyd_bytes bytes = lloyd_layout_bytes(&plan->layout);
    plan->rows = bytes.host;
    plan->gpu_rows = bytes.gpu;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Address space of the stacks of all threads (OpenMP's, those that read, MPI's) and of what the BLAS has
 * not got yet; beside the plan's bytes, of which only what is used counts. */
static int64_t threads_space(const planner *p)
{
    struct rlimit stack;
    int threads = p->plan->kernels.threads;
    int64_t bytes = 8 << 20;
    if (getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur < (rlim_t)1 << 40)
        bytes = (int64_t)stack.rlim_cur;
    return (2 * threads + 6) * bytes + p->plan->blas_missing;
}

/* What the limit on address space leaves, in the plan's bytes; INT64_MAX without one. */
static int64_t space(const planner *p)
{
    int64_t left = lloyd_memory_space(NULL);
    return left == INT64_MAX ? left : p->plan->program + left - threads_space(p);
}

/* What the machine has for this rank, beside what others use, and the limits of the process allow: a
 * sixteenth is left to the system, and some of the GPU to NCCL and the driver. */
static lloyd_bytes available(const planner *p)
{
    const lloyd_plan *plan = p->plan;
    int64_t host = plan->program + lloyd_memory_available() / p->comm->local_size;
    int64_t reserve = plan->gpu_free / 8 < GPU_RESERVE ? plan->gpu_free / 8 : GPU_RESERVE;
    return (lloyd_bytes){least(host - host / 16, space(p)), plan->gpu_free - reserve};
}

/* Memory that is not there under that limit is not tried: some libraries ask for it forever. */
static lloyd_status check_space(const planner *p, int64_t total)
{
    int64_t limit, left = lloyd_memory_space(&limit), here = space(p);
    if (left == INT64_MAX || total <= here) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED,
                      "the limit on address space (ulimit -v) allows rank %d %lld MB, but it needs "
                      "at least %lld MB; raise the limit, or use more ranks or fewer threads "
                      "(OMP_NUM_THREADS, now %d)",
                      p->comm->rank, (long long)limit / 1000000,
                      ((long long)limit + total - here) / 1000000 + 1, p->plan->kernels.threads);
}

static int64_t limited(int64_t available, int64_t limit)
{
    return limit > 0 && limit < available ? limit : available;
}

/* What a user allows must be enough; what the machine has was only estimated, and is tried. What the
 * program itself takes differs a little from rank to rank and from run to run: the least that is named
 * must be enough next time. */
static lloyd_status check_limit(const char *option, int64_t limit, double most, int64_t program)
{
    const int64_t mega = 1000000;
    if (limit == 0 || most <= (double)limit) return LLOYD_OK;
    return lloyd_fail(
        LLOYD_USAGE,
        "%s allows each rank %lld bytes, but the largest needs at least %lldMB; allow that "
        "much, or use more ranks",
        option, (long long)limit, ((long long)most + program / 16) / mega + 2);
}

/* All ranks compare the limits with the same numbers. Collective. */
static lloyd_status check_limits(const planner *p)
{
    const lloyd_plan *plan = p->plan;
    const lloyd_fit_options *o = p->options;
    double most[] = {(double)plan->total, (double)plan->gpu_total, (double)plan->program};
    LLOYD_TRY(p->comm->max(p->comm, most, 3));
    lloyd_status status =
        check_limit("--max-host-memory", o->max_host_memory, most[0], (int64_t)most[2]);
    if (status == LLOYD_OK && p->backend->cuda)
        status = check_limit("--max-device-memory", o->max_device_memory, most[1], 0);
    if (status == LLOYD_OK) status = check_space(p, plan->total);
    return p->comm->agree(p->comm, status);
}

/* The program's own bytes, after the GPU's driver has taken its share of them. */
static lloyd_status begin_plan(const lloyd_comm *comm, const lloyd_backend *backend,
                               lloyd_plan *plan)
{
    if (backend->cuda) LLOYD_TRY(lloyd_backend_memory(backend, &plan->gpu_free, &plan->gpu_used));
    plan->program = lloyd_memory_now();
    plan->blas_missing = backend->cuda ? 0 : lloyd_blas_take(lloyd_backend_threads(comm));
    return LLOYD_OK;
}

/* Rows in memory stay where they are; GPUs have a copy of them. */
static void choose_layout(const planner *p)
{
    lloyd_plan *plan = p->plan;
    const lloyd_fit_options *o = p->options;
    int copies = p->backend->cuda;
    if (!p->source->rows) {
        plan->layout = lloyd_layout_fixed(plan->count, lloyd_plan_row_bytes(plan), copies);
        return;
    }
    if (o->chunk_rows > 0) {
        plan->layout =
            lloyd_layout_streamed(plan->count, lloyd_plan_row_bytes(plan), copies, o->chunk_rows);
        return;
    }
    lloyd_bytes limit = available(p);
    limit.host = limited(limit.host, o->max_host_memory);
    limit.gpu = limited(limit.gpu, o->max_device_memory);
    lloyd_layout_choose(plan->count, lloyd_plan_row_bytes(plan), copies, limit, need_for_chunks, p,
                        &plan->layout);
}

/* Whether the layout does, as far as it tells before its slots are known. */
static int fits_on_gpu(const planner *p)
{
    const lloyd_layout *l = &p->plan->layout;
    return lloyd_layout_bytes(l).gpu + need_for_chunks(p, l->chunk_rows).gpu <=
           limited(available(p).gpu, p->options->max_device_memory);
}

/* On a GPU the 8-bit filter may keep codes beside the rows. Where there is no room for them, or they would take the place of rows, it
 * is done without. */
static void choose_filter(const planner *p)
{
    lloyd_plan *plan = p->plan;
    choose_layout(p);
    if (!p->backend->cuda || plan->kernels.filter != LLOYD_FILTER_AUTO) return;
    const lloyd_layout with = plan->layout;
    const int fits = fits_on_gpu(p);
    if (fits && with.fixed == with.chunks) return;
    plan->kernels.filter = LLOYD_FILTER_FLOAT;
    choose_layout(p);
    if (fits && with.chunk_rows == plan->layout.chunk_rows && with.fixed == plan->layout.fixed)
        plan->kernels.filter = LLOYD_FILTER_AUTO;
}

/* What the plan takes beside its layout as it is now; its slots, which have codes, are known only then. */
static lloyd_bytes need_for_layout(const planner *p)
{
    lloyd_plan plan = *p->plan;
    use_layout(&plan);
    count_rest(p, &plan);
    return (lloyd_bytes){plan.total + plan.rows, plan.gpu_total + plan.gpu_rows};
}

/* Whether copying the rows that do not stay on the GPU takes less time than computing with the 8-bit filter and no bounds, by a model of
 * one H200: nanoseconds of a byte on its bus, and of a column of a row and a centroid. */
static int hides_copies(const lloyd_plan *plan)
{
    const double byte = 0.02, element = 1.6e-6, room = 4.0 / 3;
    const double rows = (double)plan->count, columns = rows * (double)plan->d;
    const double copied = rows - (double)lloyd_layout_rows(&plan->layout, LLOYD_FIXED);
    return room * byte * copied * (double)plan->layout.row_bytes <=
           element * columns * (double)plan->k;
}

/* The layout beside bounds of groups of so many centroids (0: none). Whether all rows are where they were `without`. */
static int leaves_rows(const planner *p, int64_t group, const lloyd_layout *without)
{
    lloyd_plan *plan = p->plan;
    plan->kernels.prune_group = group;
    choose_layout(p);
    const lloyd_layout *with = &plan->layout;
    return fits_on_gpu(p) && with->chunk_rows == without->chunk_rows &&
           with->fixed == without->fixed;
}

/* Beside such bounds as many chunks stay as have room, and the others are copied from the host. Whether these fit there, and copies cost no
 * time. */
static int moves_rows_at_no_cost(const planner *p, int64_t group, const lloyd_layout *without)
{
    lloyd_plan *plan = p->plan;
    const lloyd_bytes all = available(p);
    const lloyd_bytes limit = {limited(all.host, p->options->max_host_memory),
                               limited(all.gpu, p->options->max_device_memory)};
    int64_t least = -1, most = without->fixed; /* chunks: none fits, or so many do; no more may */
    plan->kernels.prune_group = group;
    plan->layout = *without;
    while (least < most) {
        const int64_t stay = least + (most - least + 1) / 2;
        plan->layout.fixed = stay;
        plan->layout.pinned = without->pinned + without->fixed - stay;
        if (need_for_layout(p).gpu <= limit.gpu)
            least = stay;
        else
            most = stay - 1;
    }
    if (least < 0) return 0;
    plan->layout.fixed = least;
    plan->layout.pinned = without->pinned + without->fixed - least;
    return need_for_layout(p).host <= limit.host && hides_copies(plan);
}

/* kmeans++ on all rows passes over them for each cluster, and compares with few. */
static int seeding_is_short(const planner *p)
{
    const lloyd_fit_options *o = p->options;
    return strcmp(o->init, "kmeans++") != 0 ||
           lloyd_options_sample(o, p->plan->n, p->source->weighted) < p->plan->n;
}

/* On a GPU: bounds of the smallest groups of centroids that take the place of no rows. Where rows come and go anyway, the 8-bit filter and
 * bounds may take the place of some whose copies cost no time, as computing takes longer: with many centroids. Bounds of few groups do
 * not: when a centroid is relocated, all of its group's are void (docs/results/gpu.md). */
static void choose_gpu_groups(const planner *p)
{
    enum {
        GROUP = 64,
        GROUPS = 4,
        WORTH = 64
    }; /* the smallest; how many at least, and to be worth rows */
    lloyd_plan *plan = p->plan;
    const lloyd_layout without = plan->layout;
    const lloyd_filter filter = plan->kernels.filter,
                       wanted = lloyd_options_filter(p->options->filter);
    const int prunes = plan->kernels.prune != LLOYD_PRUNE_OFF;
    const int any = plan->kernels.prune == LLOYD_PRUNE_ON; /* also few groups, for tests */
    const int64_t worth = any ? GROUPS : WORTH;
    if (!p->backend->cuda || wanted == LLOYD_FILTER_FLOAT) return; /* bounds need codes */
    for (int64_t group = GROUP;
         filter == wanted && prunes && (GROUPS * group <= plan->k || (any && group == GROUP));
         group *= 2)
        if (leaves_rows(p, group, &without)) return;
    if (without.fixed < without.chunks && seeding_is_short(p)) {
        plan->kernels.filter = wanted;
        for (int64_t group = GROUP; prunes && worth * group <= plan->k; group *= 2)
            if (moves_rows_at_no_cost(p, group, &without)) return;
        if (moves_rows_at_no_cost(p, 0, &without)) return;
    }
    plan->kernels.filter = filter;
    plan->kernels.prune_group = 0;
    plan->layout = without;
}

/* Members are sorted within a small part of what there is, as more rounds cost little, and within less where
 * even that is too much. */
static void plan_members(const planner *p, int64_t limit)
{
    enum { LEAST = 1 << 20 };
    lloyd_plan *plan = p->plan;
    for (int64_t most = limit / MEMBERS_PART;; most /= 2) {
        lloyd_layout least;
        plan->members = lloyd_members_plan_for(plan->n, plan->k, p->comm->size, most);
        (void)lloyd_layout_choose(plan->count, lloyd_plan_row_bytes(plan), p->backend->cuda,
                                  (lloyd_bytes){0, 0}, need_for_chunks, p, &least);
        int64_t bytes = need_for_chunks(p, least.chunk_rows).host + lloyd_layout_bytes(&least).host;
        if (bytes <= limit || most < LEAST) return;
    }
}

/* Whether the layout with bounds leaves rows where they are without; of rows of which some are read in every pass, three fourths. */
static int spares_rows(const planner *p, const lloyd_layout *without)
{
    const lloyd_layout *with = &p->plan->layout;
    int64_t bytes = lloyd_layout_bytes(with).host + need_for_chunks(p, with->chunk_rows).host;
    int64_t rows = lloyd_layout_rows(with, LLOYD_FIXED),
            before = lloyd_layout_rows(without, LLOYD_FIXED);
    if (bytes > limited(available(p).host, p->options->max_host_memory)) return 0;
    return without->fixed < without->chunks ? 4 * rows >= 3 * before : rows == before;
}

/* On CPUs: how many centroids share bounds. The fewer, the more is skipped, and the more memory they take. */
static void choose_groups(const planner *p)
{
    enum { LEAST = 32, GROUPS = 4 };
    lloyd_plan *plan = p->plan;
    const lloyd_layout without = plan->layout;
    const int any = plan->kernels.prune == LLOYD_PRUNE_ON; /* also one group, for tests */
    if (p->backend->cuda || plan->kernels.prune == LLOYD_PRUNE_OFF) return;
    for (int64_t group = LEAST; GROUPS * group <= plan->k || (any && group == LEAST); group *= 2) {
        plan->kernels.prune_group = group;
        choose_layout(p);
        if (spares_rows(p, &without)) return;
    }
    plan->kernels.prune_group = 0;
    plan->layout = without;
}

lloyd_status lloyd_plan_fit(lloyd_comm *comm, const lloyd_backend *backend,
                            const lloyd_row_source *source, const lloyd_fit_options *options,
                            lloyd_plan *plan)
{
    const planner p = {comm, backend, source, options, NULL, plan};
    *plan = (lloyd_plan){.k = options->k};
    LLOYD_TRY(comm->agree(comm, begin_plan(comm, backend, plan)));
    take_source(comm, source, plan);
    plan->kernels.cosine = strcmp(options->metric, "cosine") == 0;
    plan->kernels.timed = options->log != NULL;
    plan->kernels.filter = lloyd_options_filter(options->filter);
    plan->kernels.prune = lloyd_options_prune(options->prune);
    if (strcmp(options->init, "kmeans-parallel") == 0)
        plan->gpu_reduce = room_for_leaves(backend, plan, comm->size,
                                           limited(plan->gpu_free, options->max_device_memory));
    if (options->members) plan_members(&p, limited(available(&p).host, options->max_host_memory));
    choose_filter(&p);
    choose_groups(&p);
    choose_gpu_groups(&p);
    plan->kernels.prune_group = lloyd_backend_prune_group(backend, &plan->kernels);
    use_layout(plan);
    if (!source->rows) plan->rows = 0; /* the program has them already */
    count_rest(&p, plan);
    plan->total += plan->rows;
    plan->gpu_total += plan->gpu_rows;
    return check_limits(&p);
}

/* The labels, and the distances with their float32 copies, of a chunk. */
enum { PREDICTED_BYTES = 4 + 8 + 4 };

/* Results of a chunk of rows; where members are wanted, labels and distances of all rows. */
static lloyd_bytes predicted_bytes(const planner *p, const lloyd_kernels_config *config)
{
    const lloyd_plan *plan = p->plan;
    lloyd_bytes bytes = {.host = config->chunk_rows * PREDICTED_BYTES};
    if (p->predict->second) {
        const lloyd_kernels_config second = lloyd_second_config(config);
        int64_t kernels = lloyd_backend_bytes(p->backend, &second, plan->k);
        bytes.host += config->chunk_rows * PREDICTED_BYTES + lloyd_second_bytes(config, plan->k);
        if (p->backend->cuda)
            bytes.gpu = kernels + second.chunk_rows * plan->d * (int64_t)sizeof(float);
        else
            bytes.host += kernels;
    }
    if (p->predict->members)
        bytes.host += plan->count * (4 + 8) + plan->k * 8 + plan->members.bytes;
    return bytes;
}

static lloyd_bytes need_for_prediction(const void *context, int64_t chunk_rows)
{
    const planner *p = context;
    lloyd_kernels_config config = p->plan->kernels;
    config.chunk_rows = chunk_rows;
    int64_t kernels = lloyd_backend_bytes(p->backend, &config, config.k);
    lloyd_bytes bytes = predicted_bytes(p, &config);
    bytes.host += p->plan->program + reading_bytes(p);
    *(p->backend->cuda ? &bytes.gpu : &bytes.host) += kernels;
    return bytes;
}

lloyd_status lloyd_plan_predict(lloyd_comm *comm, const lloyd_backend *backend,
                                const lloyd_row_source *source, int64_t k, int cosine,
                                const lloyd_predict_options *options, lloyd_bytes limit,
                                lloyd_plan *plan)
{
    int64_t chunk_rows = options->chunk_rows;
    const planner p = {comm, backend, source, NULL, options, plan};
    *plan = (lloyd_plan){.k = k};
    LLOYD_TRY(begin_plan(comm, backend, plan));
    take_source(comm, source, plan);
    plan->kernels.cosine = cosine;
    lloyd_bytes most = available(&p);
    most = (lloyd_bytes){limited(most.host, limit.host), limited(most.gpu, limit.gpu)};
    if (options->members)
        plan->members = lloyd_members_plan_for(plan->n, k, comm->size, most.host / MEMBERS_PART);
    /* on GPUs the 8-bit filter serves iterations only, which have labels to start from */
    plan->kernels.filter =
        backend->cuda ? LLOYD_FILTER_FLOAT : lloyd_options_filter(options->filter);
    if (chunk_rows > 0) {
        plan->layout = lloyd_layout_streamed(plan->count, lloyd_plan_row_bytes(plan), backend->cuda,
                                             chunk_rows);
    } else {
        plan->layout = lloyd_layout_once(plan->count, lloyd_plan_row_bytes(plan), backend->cuda,
                                         most, need_for_prediction, &p);
    }
    plan->layout.once = 1;
    if (!source->rows) plan->layout.fixed = plan->layout.chunks;
    use_layout(plan);
    if (!source->rows) plan->rows = 0; /* the program has them already */
    lloyd_bytes rest = need_for_prediction(&p, plan->layout.chunk_rows);
    plan->total = rest.host + plan->rows;
    plan->gpu_total = rest.gpu + plan->gpu_rows;
    return check_space(&p, plan->total);
}
