/* See many.h. */
#include "job/split/many.h"

#include "algorithm/grid.h"
#include "algorithm/groups/groups.h"
#include "algorithm/groups/seed_groups.h"
#include "algorithm/inertia.h"
#include "algorithm/seed_parallel.h"
#include "base/memory.h"
#include "job/job.h"
#include "job/options.h"
#include "kernels/numerics.h"
#include "kernels/reduce.h"

#include <string.h>

enum { LEAVES_BYTES = 1 << 28 }; /* of the GPU, for leaves that are reduced at a time */

static int is_parallel(const lloyd_fit_options *o)
{
    return strcmp(o->init, "kmeans-parallel") == 0;
}

int lloyd_many_fits(const lloyd_fit_options *o, int64_t rows, int weighted)
{
    const int parallel = is_parallel(o);
    if (weighted || o->max_iters < 1 || o->tol > 0 || o->n_init > 1 || o->k > rows) return 0;
    if (!parallel && strcmp(o->init, "random") != 0) return 0;
    return !parallel || (lloyd_options_sample(o, rows, 0) == rows &&
                         lloyd_reduce_leaves(lloyd_seed_candidates(o->k)) == 1);
}

/* Several clusters, as one job, which plans for no seeding: that is planned here. */
typedef struct many {
    const lloyd_fit_options *options; /* [count] */
    const lloyd_small_rows *rows;
    lloyd_small_result *results;
    int64_t count, all; /* all: rows */
    lloyd_fit_options together;
    lloyd_job job;
    lloyd_group *groups; /* [count] */
    lloyd_grouped grouped;
} many;

static lloyd_fit_options options_together(const lloyd_fit_options *one, int64_t k)
{
    lloyd_fit_options together = *one;
    together.k = k;
    together.init = "random";
    together.filter = "float16";
    together.prune = "off";
    return together;
}

static lloyd_status find_groups(many *m)
{
    m->together = options_together(&m->options[0], 0);
    LLOYD_TRY(lloyd_alloc(&m->groups, m->count, sizeof *m->groups, "groups of rows"));
    for (int64_t i = 0; i < m->count; i++) {
        const lloyd_fit_options *o = &m->options[i];
        m->groups[i] = (lloyd_group){.count = m->rows[i].count, .k = o->k, .seed = o->seed};
        m->together.k += o->k;
        m->all += m->rows[i].count;
    }
    return LLOYD_OK;
}

static lloyd_status plan(lloyd_job *j, const lloyd_small_rows *rows, int64_t all)
{
    LLOYD_TRY(
        lloyd_row_source_memory(j->comm, rows->data, NULL, all, rows->d, rows->type, &j->source));
    return lloyd_job_plan(j);
}

/* Bytes of the GPU for the leaves of as many groups as are reduced at a time, of `count` groups of up to k clusters: of all, unless that
 * is much. */
static int64_t room_for_leaves(const lloyd_backend *backend, int64_t k, int64_t d, int64_t count)
{
    const int64_t points = lloyd_seed_candidates(k);
    const int64_t one = lloyd_backend_reduce_bytes(backend, points, d, 1);
    const int64_t leaves = one > 0 ? LEAVES_BYTES / one : 1;
    return lloyd_backend_reduce_bytes(backend, points, d,
                                      leaves < 1       ? 1
                                      : leaves < count ? leaves
                                                       : count);
}

static int64_t most_clusters(const many *m)
{
    int64_t most = 0;
    for (int64_t i = 0; i < m->count; i++)
        if (m->options[i].k > most) most = m->options[i].k;
    return most;
}

static lloyd_status fit(many *m)
{
    lloyd_grouped *g = &m->grouped;
    const lloyd_fit_options *o = m->options;
    const lloyd_rule rule = {.max_iters = o->max_iters,
                             .relocate = strcmp(o->empty, "relocate") == 0};
    LLOYD_TRY(lloyd_grouped_open(&m->job.problem, m->groups, m->count, g));
    const int64_t room = room_for_leaves(&m->job.backend, most_clusters(m), m->rows->d, m->count);
    LLOYD_TRY(is_parallel(o) ? lloyd_grouped_seed_parallel(g, room) : lloyd_grouped_seed_random(g));
    return lloyd_grouped_iterate(g, &rule);
}

/* --- results --- */

/* The exact inertia of a group whose distances are known. */
static lloyd_status find_inertia(const many *m, int64_t i, const double *distances, double *inertia)
{
    const lloyd_problem *all = &m->job.problem;
    lloyd_shard shard = {.count = m->rows[i].count};
    lloyd_problem alone = {.comm = all->comm,
                           .shard = &shard,
                           .kernels = all->kernels,
                           .n = m->rows[i].count,
                           .grid = {.bits = lloyd_bits(m->rows[i].count, LLOYD_ELEMENT_BITS)}};
    return lloyd_problem_inertia_of(&alone, distances, inertia);
}

static lloyd_status take_group(const many *m, int64_t i, const float *centroids,
                               const int32_t *labels, const double *distances)
{
    const lloyd_group *group = &m->groups[i];
    lloyd_small_result *result = &m->results[i];
    const int64_t first = m->grouped.clusters[i], d = m->rows->d;
    memcpy(result->centroids, centroids + first * d, (size_t)(group->k * d) * sizeof *centroids);
    for (int64_t r = 0; r < group->count; r++) {
        result->labels[r] = labels[r] - (int32_t)first;
        result->counts[result->labels[r]]++;
    }
    if (result->distances)
        memcpy(result->distances, distances, (size_t)group->count * sizeof *distances);
    result->iterations = group->iterations;
    result->converged = group->converged;
    return find_inertia(m, i, distances, &result->inertia);
}

static lloyd_status take_groups(const many *m, float *centroids, int32_t *labels, double *distances,
                                unsigned char *done)
{
    lloyd_kernels *kernels = m->job.problem.kernels;
    LLOYD_TRY(kernels->get_centroids(kernels, centroids));
    LLOYD_TRY(kernels->labels(kernels, 0, m->all, labels));
    LLOYD_TRY(kernels->distances(kernels, 0, distances));
    for (int64_t i = 0; i < m->count; i++) {
        const int64_t at = m->grouped.rows[i];
        if (m->groups[i].left) continue;
        LLOYD_TRY(take_group(m, i, centroids, labels + at, distances + at));
        done[i] = 1;
    }
    return LLOYD_OK;
}

static lloyd_status take_results(const many *m, unsigned char *done)
{
    const char *what = "results of clusters";
    float *centroids = NULL;
    int32_t *labels = NULL;
    double *distances = NULL;
    lloyd_status status =
        lloyd_alloc_uncleared(&centroids, m->together.k * m->rows->d, sizeof *centroids, what);
    if (status == LLOYD_OK) status = lloyd_alloc_uncleared(&labels, m->all, sizeof *labels, what);
    if (status == LLOYD_OK)
        status = lloyd_alloc_uncleared(&distances, m->all, sizeof *distances, what);
    if (status == LLOYD_OK) status = take_groups(m, centroids, labels, distances, done);
    lloyd_free(centroids);
    lloyd_free(labels);
    lloyd_free(distances);
    return status;
}

/* --- all of it --- */

/* What cannot be done with all of them is left to the fits of each: rows of which some cannot be clustered, and which they name; sums that
 * would lose something. */
static lloyd_status run(many *m, unsigned char *done, int *apart)
{
    lloyd_job *j = &m->job;
    LLOYD_TRY(plan(j, m->rows, m->all));
    const lloyd_status status = lloyd_job_read(j);
    if (status == LLOYD_BAD_INPUT) return LLOYD_OK;
    LLOYD_TRY(status);
    *apart = !lloyd_problem_cuts_nothing(&j->problem);
    if (*apart) return LLOYD_OK;
    LLOYD_TRY(fit(m));
    return take_results(m, done);
}

lloyd_status lloyd_many_fit(lloyd_comm *self, const lloyd_fit_options *options,
                            const lloyd_small_rows *rows, lloyd_small_result *results,
                            int64_t count, unsigned char *done, int *apart)
{
    many m = {.options = options, .rows = rows, .results = results, .count = count};
    memset(done, 0, (size_t)count);
    *apart = 0;
    lloyd_status status = find_groups(&m);
    m.job = lloyd_job_begin(self, &m.together);
    if (status == LLOYD_OK) status = run(&m, done, apart);
    lloyd_grouped_close(&m.grouped);
    status = lloyd_job_end(&m.job, status);
    lloyd_free(m.groups);
    return status;
}

/* ---- Memory --------------------------------------------------------------------------------- */

/* Of results, before they are copied to where those of all clusters are. */
static int64_t bytes_of_results(int64_t rows, int64_t k, int64_t d)
{
    return rows * (int64_t)(sizeof(int32_t) + sizeof(double)) + k * d * (int64_t)sizeof(float);
}

/* What seeding takes, of `count` groups of k clusters each. */
static lloyd_bytes bytes_of_seeding(const lloyd_job *j, int64_t k, int64_t count)
{
    const lloyd_kernels_config *config = &j->plan.kernels;
    const int64_t round = count * lloyd_seed_round_candidates(k);
    const int64_t sets = lloyd_backend_bytes(&j->backend, config, round) -
                         lloyd_backend_bytes(&j->backend, config, count * k);
    return (lloyd_bytes){count * lloyd_grouped_seed_bytes(k),
                         j->plan.n * LLOYD_SEED_ROW_BYTES + (sets > 0 ? sets : 0) +
                             room_for_leaves(&j->backend, k, config->dim, count)};
}

lloyd_status lloyd_many_bytes(lloyd_comm *self, const lloyd_fit_options *options,
                              const lloyd_small_rows *rows, int64_t count, lloyd_bytes *bytes)
{
    const int64_t k = count * options->k;
    const lloyd_fit_options together = options_together(options, k);
    lloyd_bytes seeding = {0, 0};
    lloyd_job job = lloyd_job_begin(self, &together);
    lloyd_status status = plan(&job, rows, rows->count);
    if (status == LLOYD_OK && is_parallel(options))
        seeding = bytes_of_seeding(&job, options->k, count);
    status = lloyd_job_end(&job, status);
    *bytes = (lloyd_bytes){job.plan.total - job.plan.program + seeding.host +
                               bytes_of_results(rows->count, k, rows->d),
                           job.plan.gpu_total + seeding.gpu};
    return status;
}
