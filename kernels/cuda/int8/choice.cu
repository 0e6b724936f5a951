/* Which filter is the faster one: a model of what both cost a row. Any choice is right.
 *
 * The first iteration has no labels to start from. In the second one the 8-bit filter is tried on a few rows, before they get their
 * new labels; while it serves, the counters of an iteration say what it cost. Where it was found to be slower, it is tried again after
 * 3, 9, 27 ... iterations.
 */
#include "kernels/cuda/int8/choice.h"

#include "kernels/cuda/assign/filter.h"
#include "kernels/cuda/int8/prepare.h"

#include <algorithm>

namespace
{

enum { SPARSER = 3 };

/* In nanoseconds on one H200 (docs/results/gpu.md). Of a row and a centroid, for each column: multiplied and compared; of a row: its
 * threshold and its end; of a candidate, for each column: compared by its second digit, or by dist(). */
constexpr double FLOAT16_ELEMENT = 2 / 640e3, FLOAT16_MANY = 2 / 700e3; /* from MANY centroids on */
constexpr double FALLBACK = 1.7; /* a listed row costs so much more than another */
constexpr int64_t MANY = 16384;
constexpr double INT8_ROW = 0.25, DIGIT_ELEMENT = 0.7e-3, DIST_ELEMENT = 1.8e-3;
constexpr double INT8_ELEMENT[] = {2 / 1250e3, 2 / 1415e3, 2 / 1300e3, 2 / 740e3};

double int8_element(int64_t dim)
{
    return INT8_ELEMENT[dim <= 128 ? 0 : dim <= 512 ? 1 : dim <= 768 ? 2 : 3];
}

double float16_element(const cuda_kernels *cuda)
{
    return cuda->set < MANY ? FLOAT16_ELEMENT : FLOAT16_MANY;
}

/* What each filter costs. */
double float16_cost(const cuda_kernels *cuda, double rows)
{
    const double pairs = (double)cuda->set * (double)cuda->base.config.dim;
    return rows * pairs * float16_element(cuda) * (1 + FALLBACK * cuda->filter->int8.choice.listed);
}

/* The 8-bit filter, if of `rows` rows `open` are left open, and others have `candidates`. */
double int8_cost(const cuda_kernels *cuda, double rows, double candidates, double open)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    const double pairs = (double)cuda->set * (double)config->dim;
    return rows * (pairs * int8_element(config->dim) + INT8_ROW) +
           lloyd_cuda_candidate_cost(cuda, candidates, open);
}

bool pays(const cuda_kernels *cuda, double rows, double candidates, double open)
{
    return int8_cost(cuda, rows, candidates, open) < float16_cost(cuda, rows);
}

lloyd_status sample_pays(cuda_kernels *cuda, int slot, bool *found)
{
    unsigned long long seen[INT8_SAMPLED];
    LLOYD_TRY(lloyd_cuda_fetch(cuda, seen, cuda->filter->int8.sampled, sizeof seen));
    *found = pays(cuda, lloyd_cuda_int8_sample_rows(cuda, slot),
                  (double)seen[LLOYD_COUNT_CANDIDATES], (double)seen[LLOYD_COUNTERS]);
    return LLOYD_OK;
}

/* What the last iteration with this filter has counted. */
struct int8_seen {
    double rows, candidates, open;

    explicit int8_seen(const int8_choice &c)
    {
        const int64_t left =
            c.counters[LLOYD_COUNT_FALLBACK] - c.counters[LLOYD_COUNT_INT8_FALLBACK];
        open = (double)left;
        rows = (double)(c.counters[LLOYD_COUNT_INT8] + left);
        candidates = (double)c.counters[LLOYD_COUNT_CANDIDATES];
    }
};

bool last_paid(const cuda_kernels *cuda)
{
    const int8_seen seen(cuda->filter->int8.choice);
    return pays(cuda, seen.rows, seen.candidates, seen.open);
}

lloyd_status choose(cuda_kernels *cuda, int slot, int8_choice *c)
{
    c->due = false;
    if (!c->labelled) {
        c->int8 = c->sampled = false;
        c->gap = 1;
        c->wait = 0;
        return LLOYD_OK;
    }
    bool found = false;
    if (c->int8)
        found = last_paid(cuda);
    else if (c->sampled)
        LLOYD_TRY(sample_pays(cuda, slot, &found));
    else
        c->due = --c->wait <= 0;
    if ((c->int8 || c->sampled) && !found) {
        c->gap *= SPARSER;
        c->wait = c->gap;
    }
    c->int8 = found;
    c->sampled = false;
    return LLOYD_OK;
}

} // namespace

lloyd_status lloyd_cuda_choose_filter(cuda_kernels *cuda, int slot, bool iteration, bool *int8)
{
    int8_choice *c = &cuda->filter->int8.choice;
    *int8 = false;
    const lloyd_kernels_config *config = &cuda->base.config;
    /* seeding has larger sets, for which there is no room */
    if (cuda->set > config->k || !lloyd_cuda_int8_serves(cuda->gpu, config, cuda->set))
        return LLOYD_OK;
    if (cuda->overrides.filter == LLOYD_FILTER_INT8) { /* right, if slow, for any labels */
        *int8 = true;
        return LLOYD_OK;
    }
    if (!iteration) return LLOYD_OK;
    if (config->filter == LLOYD_FILTER_INT8) {
        *int8 = c->labelled;
        return LLOYD_OK;
    }
    if (!c->made) LLOYD_TRY(choose(cuda, slot, c));
    c->made = true;
    *int8 = c->int8;
    return LLOYD_OK;
}

double lloyd_cuda_candidate_cost(const cuda_kernels *cuda, double candidates, double open)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    const double dim = (double)config->dim, pairs = (double)cuda->set * dim;
    const double candidate = lloyd_cuda_int8_exact(config) ? DIGIT_ELEMENT : DIST_ELEMENT;
    return candidates * dim * candidate + open * FALLBACK * pairs * float16_element(cuda);
}

double lloyd_cuda_dense_cost(const cuda_kernels *cuda, double rows)
{
    const double other = float16_cost(cuda, rows);
    if (!cuda->filter->int8.choice.int8) return other;
    const int8_seen seen(cuda->filter->int8.choice); /* of all ranks */
    const bool own = cuda->filter->int8.choice.counters[LLOYD_COUNT_INT8] > 0;
    const double part = own ? rows / seen.rows : 0;
    return std::min(int8_cost(cuda, rows, part * seen.candidates, part * seen.open), other);
}

void lloyd_cuda_counted(cuda_kernels *cuda, const int64_t counters[LLOYD_COUNTERS], double rows)
{
    /* of an iteration that left comparisons out, they say little of one that does not */
    if (!cuda->filter || counters[LLOYD_COUNT_PRUNED] > 0) return;
    int8_choice *c = &cuda->filter->int8.choice;
    for (int i = 0; i < LLOYD_COUNTERS; i++) c->counters[i] = counters[i];
    if (!c->int8 && rows > 0)
        c->listed = std::min(1.0, (double)counters[LLOYD_COUNT_FALLBACK] / rows);
}

void lloyd_cuda_choose_anew(cuda_kernels *cuda, bool labelled)
{
    cuda->filter->int8.choice.made = cuda->filter->int8.choice.due = false;
    cuda->filter->int8.choice.labelled = labelled;
}
