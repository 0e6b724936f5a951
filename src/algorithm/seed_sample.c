/* Seeding on a sample (section 8 of the contract): the first rows of the keyed permutation, in the order
 * of the dataset, as if they were the dataset. Every rank keeps those of its own rows, in memory of the
 * kernels, so no row travels, not even between a GPU and its host; as float32, as the kernels see them, so that nothing is read, converted or
 * scaled again in the passes that follow.
 */
#include "algorithm/seed_sample.h"

#include "algorithm/gather.h"
#include "algorithm/permutation.h"
#include "base/memory.h"

#include <math.h>

typedef struct sample {
    int64_t size;         /* rows of all ranks */
    int64_t count, first; /* of this rank, and of those before it */
    int64_t *rows;        /* [most] local numbers, increasing */
    float *values;        /* [count * d], or NULL: the kernels have the only copy */
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

int64_t lloyd_seed_sample_bytes(int copies, int64_t count, int64_t rows, int64_t dim)
{
    return rows * ((copies ? 0 : dim * 4) + 12) + count / 8 + 8 + lloyd_gather_bytes(rows, dim);
}

/* members: a bit for each of this rank's rows. Every rank walks all of the permutation. */
static void mark_rows(const lloyd_problem *p, uint64_t seed, const sample *s, uint64_t *members)
{
    const lloyd_shard *shard = p->shard;
#pragma omp parallel for num_threads(p->kernels->config.threads) schedule(static)
    for (int64_t i = 0; i < s->size; i++) {
        int64_t row = lloyd_permuted(p->n, seed, i) - shard->first;
        if (row < 0 || row >= shard->count) continue;
        uint64_t bit = (uint64_t)1 << row % 64;
#pragma omp atomic
        members[row / 64] |= bit;
    }
}

/* s->rows = the rows whose bits are set. */
static lloyd_status list_rows(const lloyd_problem *p, const uint64_t *members, int64_t words,
                              sample *s)
{
    const int64_t most = lloyd_seed_sample_most(p->n, p->shard->count, s->size);
    int64_t found = 0;
    LLOYD_TRY(lloyd_alloc(&s->rows, most, sizeof *s->rows, "rows of the sample"));
    for (int64_t w = 0; w < words; w++) {
        for (uint64_t left = members[w]; left != 0; left &= left - 1) {
            if (found == most)
                return lloyd_fail(LLOYD_FAILED, "the sample of rows is not evenly spread");
            s->rows[found++] = w * 64 + __builtin_ctzll(left);
        }
    }
    s->count = found;
    return LLOYD_OK;
}

/* Which of this rank's rows are among the first of the permutation. */
static lloyd_status find_rows(const lloyd_problem *p, uint64_t seed, sample *s)
{
    const int64_t words = (p->shard->count + 63) / 64;
    uint64_t *members = NULL;
    LLOYD_TRY(lloyd_alloc(&members, words, sizeof *members, "rows of the sample"));
    mark_rows(p, seed, s, members);
    lloyd_status status = list_rows(p, members, words, s);
    lloyd_free(members);
    return status;
}

static lloyd_status take_weights(const lloyd_problem *p, sample *s)
{
    if (!p->shard->weights) return LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(&s->weights, s->count, sizeof *s->weights, "weights of the sample"));
    for (int64_t i = 0; i < s->count; i++) s->weights[i] = p->shard->weights[s->rows[i]];
    return LLOYD_OK;
}

/* For kernels that use the rows where they are. */
static lloyd_status take_values(lloyd_problem *p, sample *s)
{
    if (p->kernels->copies) return LLOYD_OK;
    LLOYD_TRY(lloyd_alloc(&s->values, s->count * p->d, sizeof *s->values, "rows of the sample"));
    return lloyd_problem_take(p, s->rows, s->count, s->values, NULL);
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
static lloyd_status open_problem(lloyd_problem *p, sample *s)
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
                                   .threads = p->kernels->config.threads,
                                   .filter = p->kernels->config.filter};
    LLOYD_TRY(lloyd_shard_over(s->values, s->weights, s->first, layout, &sub->shard));
    LLOYD_TRY(p->kernels->create(p->kernels, &config, &sub->kernels));
    LLOYD_TRY(lloyd_shard_attach(sub->shard, sub->kernels));
    if (p->kernels->copies) LLOYD_TRY(lloyd_problem_take(p, s->rows, s->count, NULL, sub->shard));
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
    if (status == LLOYD_OK) status = take_weights(p, &s);
    if (status == LLOYD_OK) status = take_values(p, &s);
    status = p->comm->agree(p->comm, status);
    if (status == LLOYD_OK) status = find_place(p, &s);
    if (status == LLOYD_OK) status = p->comm->agree(p->comm, open_problem(p, &s));
    if (status == LLOYD_OK) status = method(&s.problem, seeding, centroids);
    close_sample(&s);
    return status;
}
