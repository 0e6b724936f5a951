/* Seeding on a sample (section 8 of the contract): the first rows of the keyed permutation, in the order
 * of the dataset, as if they were the dataset. Every rank keeps those of its own rows, in memory of the
 * kernels, so no row travels; as float32, as the kernels see them, so that nothing is read, converted or
 * scaled again in the passes that follow.
 */
#include "problem.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

typedef struct sample {
    int64_t size;         /* rows of all ranks */
    int64_t count, first; /* of this rank, and of those before it */
    int64_t *rows;        /* [most] local numbers, increasing */
    float *values;        /* [count * d] */
    float *weights;       /* [count], or NULL */
    lloyd_problem problem;
} sample;

int64_t lloyd_seed_sample_most(int64_t n, int64_t count, int64_t size)
{
    double expected = (double)size * (double)count / (double)n;
    int64_t most = (int64_t)(expected + 10 * sqrt(expected)) + 64; /* ten standard deviations */
    most = most < count ? most : count;
    return most < size ? most : size;
}

static int compare_rows(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Which of this rank's rows are among the first of the permutation: every rank walks all of it. */
static lloyd_status find_rows(const lloyd_problem *p, uint64_t seed, sample *s)
{
    const lloyd_shard *shard = p->shard;
    const int64_t most = lloyd_seed_sample_most(p->n, shard->count, s->size);
    int64_t found = 0;
    LLOYD_TRY(lloyd_alloc(&s->rows, most, sizeof *s->rows, "rows of the sample"));
#pragma omp parallel for num_threads(p->kernels->config.threads) schedule(static)
    for (int64_t i = 0; i < s->size; i++) {
        int64_t row = lloyd_permuted(p->n, seed, i) - shard->first, at;
        if (row < 0 || row >= shard->count) continue;
#pragma omp atomic capture
        at = found++;
        if (at < most) s->rows[at] = row;
    }
    if (found > most) return lloyd_fail(LLOYD_FAILED, "the sample of rows is not evenly spread");
    s->count = found;
    qsort(s->rows, (size_t)found, sizeof *s->rows, compare_rows);
    return LLOYD_OK;
}

static lloyd_status take_rows(lloyd_problem *p, sample *s)
{
    LLOYD_TRY(lloyd_alloc(&s->values, s->count * p->d, sizeof *s->values, "rows of the sample"));
    LLOYD_TRY(lloyd_problem_take(p, s->rows, s->count, s->values));
    if (!p->shard->weights) return LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(&s->weights, s->count, sizeof *s->weights, "weights of the sample"));
    for (int64_t i = 0; i < s->count; i++) s->weights[i] = p->shard->weights[s->rows[i]];
    return LLOYD_OK;
}

static lloyd_status find_place(const lloyd_problem *p, sample *s)
{
    s->first = s->count;
    LLOYD_TRY(p->comm->exclusive_scan(p->comm, &s->first));
    double greatest = s->weights ? 0 : 1;
    for (int64_t i = 0; s->weights && i < s->count; i++)
        greatest = fmax(greatest, (double)s->weights[i]);
    s->problem.max_weight = greatest;
    return p->comm->max(p->comm, &s->problem.max_weight, 1);
}

/* Kernels of their own for the sample. */
static lloyd_status open_problem(const lloyd_problem *p, sample *s)
{
    lloyd_problem *sub = &s->problem;
    lloyd_layout layout =
        lloyd_layout_fixed(s->count, p->d * (int64_t)sizeof(float), p->kernels->copies);
    lloyd_kernels_config config = {.n_local = s->count,
                                   .dim = p->d,
                                   .k = 1,
                                   .chunk_rows = layout.chunk_rows,
                                   .slots = layout.chunks > 0 ? (int)layout.chunks : 1,
                                   .type = LLOYD_F32,
                                   .weights = s->weights,
                                   .threads = p->kernels->config.threads};
    LLOYD_TRY(lloyd_shard_over(s->values, s->weights, s->first, layout, &sub->shard));
    LLOYD_TRY(p->kernels->create(p->kernels, &config, &sub->kernels));
    LLOYD_TRY(lloyd_shard_attach(sub->shard, sub->kernels));
    return s->weights ? sub->kernels->set_grid(sub->kernels, &p->grid) : LLOYD_OK;
}

static void close_sample(sample *s)
{
    lloyd_shard_close(s->problem.shard);
    if (s->problem.kernels) s->problem.kernels->destroy(s->problem.kernels);
    lloyd_free(s->rows);
    lloyd_free(s->values);
    lloyd_free(s->weights);
}

lloyd_status lloyd_seed_sampled(lloyd_problem *p, const lloyd_seeding *seeding, int64_t size,
                                lloyd_seed_method method, float *centroids)
{
    sample s = {.size = size, .problem = {.comm = p->comm, .n = size, .d = p->d, .k = p->k}};
    lloyd_status status = find_rows(p, seeding->seed, &s);
    if (status == LLOYD_OK) status = take_rows(p, &s);
    status = p->comm->agree(p->comm, status);
    if (status == LLOYD_OK) status = find_place(p, &s);
    if (status == LLOYD_OK) status = p->comm->agree(p->comm, open_problem(p, &s));
    if (status == LLOYD_OK) status = method(&s.problem, seeding, centroids);
    close_sample(&s);
    return status;
}
