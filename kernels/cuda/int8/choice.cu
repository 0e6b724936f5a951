/* Which filter is the faster one: by what both took a row, where this was measured, else by a model of it. Any choice is right.
 *
 * The first iteration has no labels to start from. In the second one the 8-bit filter is tried on a few rows, before they get their
 * new labels; its time, and the model's of the candidates that it found, are compared with that of the other filter: before this iteration,
 * where it takes long, else after it.
 * While it serves, its iterations are measured. Where it was found to be slower, it is tried again after 3, 9, 27 ... iterations. Times are
 * of this rank, and others may choose otherwise.
 */
#include "kernels/cuda/int8/choice.h"

#include "kernels/cuda/assign/filter.h"
#include "kernels/cuda/int8/prepare.h"

#include <algorithm>
#include <cstring>

namespace
{

/* In nanoseconds on one H200 (docs/results/gpu.md). Of a row and a centroid, for each column: multiplied and compared; of a row: its
 * threshold and its end; of a candidate, for each column: compared by its second digit, or by dist(). */
constexpr double FLOAT16_ELEMENT = 2 / 640e3, FLOAT16_MANY = 2 / 700e3; /* from MANY centroids on */
constexpr double FALLBACK = 1.7; /* a listed row costs so much more than another */
constexpr int64_t MANY = 16384;
constexpr double INT8_ROW = 0.25, DIGIT_ELEMENT = 0.7e-3, DIST_ELEMENT = 1.8e-3;
constexpr double DIST_FAR =
    4.5e-3; /* the last one, where centroids do not fit into the near half of the L2 cache, of so many elements: */
constexpr double NEAR = 5e6;
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

/* By the model. */
bool is_expected_faster(const cuda_kernels *cuda)
{
    const int8_choice *c = &cuda->filter->int8.choice;
    if (!c->schedule.int8)
        return pays(cuda, (double)c->sample.rows, c->sampled_candidates, c->sampled_open);
    const int8_seen seen(*c);
    return pays(cuda, seen.rows, seen.candidates, seen.open);
}

bool is_faster(const cuda_kernels *cuda)
{
    const int8_choice *c = &cuda->filter->int8.choice;
    const int measured = lloyd_int8_is_faster(&c->times, c->schedule.int8);
    return measured < 0 ? is_expected_faster(cuda) : measured > 0;
}

/* The sample's counters and its time, which the host has by now. *now: of a row in this iteration, 0 if that is not known. */
lloyd_status read_sample(cuda_kernels *cuda, int8_choice *c, double *now)
{
    lloyd_sample_times sample = {};
    unsigned long long seen[INT8_SAMPLED];
    static_assert(sizeof seen <= CUDA_PINNED_SAMPLE, "a sample's counters have room");
    memcpy(seen, (const char *)cuda->pinned + CUDA_PINNED, sizeof seen);
    c->sampled_candidates = (double)seen[LLOYD_COUNT_CANDIDATES];
    c->sampled_open = (double)seen[LLOYD_COUNTERS];
    LLOYD_TRY(lloyd_cuda_span_read(&c->part, &sample.part_ns));
    LLOYD_TRY(lloyd_cuda_span_read(&c->sample, &sample.ns));
    sample.part_rows = (double)c->part.rows;
    sample.rows = (double)c->sample.rows;
    sample.others = lloyd_cuda_candidate_cost(cuda, c->sampled_candidates, c->sampled_open);
    c->times.int8 = lloyd_sampled_time(&sample, true);
    *now = lloyd_sampled_time(&sample, false);
    c->schedule.sampled = 1;
    return LLOYD_OK;
}

void begin_iteration(const cuda_kernels *cuda, int8_choice *c)
{
    c->tried = false; /* in one that did not end, */
    for (cuda_span *span : {&c->labelling, &c->part, &c->sample})
        span->ended = false; /* and this */
    const bool judged = c->schedule.int8 || c->schedule.sampled;
    if (c->labelled) lloyd_schedule_next(&c->schedule, judged && is_faster(cuda));
}

/* Of a row by the 16-bit filter, measured or not. */
double float16_time(const cuda_kernels *cuda)
{
    const double measured = cuda->filter->int8.choice.times.float16;
    return measured > 0 ? measured : float16_cost(cuda, 1);
}

/* Waits for the sample. */
lloyd_status decide_now(cuda_kernels *cuda, int8_choice *c)
{
    double now;
    CUDA_TRY(cudaStreamSynchronize(cuda->stream), "trying the 8-bit filter");
    LLOYD_TRY(read_sample(cuda, c, &now));
    c->tried = false;
    if (now > 0 ? now < float16_time(cuda) : is_expected_faster(cuda))
        lloyd_schedule_take(&c->schedule);
    return LLOYD_OK;
}

} // namespace

bool lloyd_cuda_choose_filter(cuda_kernels *cuda, bool iteration)
{
    int8_choice *c = &cuda->filter->int8.choice;
    const lloyd_kernels_config *config = &cuda->base.config;
    /* seeding has larger sets, for which there is no room */
    if (cuda->set > config->k || !lloyd_cuda_int8_serves(cuda->gpu, config, cuda->set))
        return false;
    /* right, if slow, for any labels */
    if (cuda->overrides.filter == LLOYD_FILTER_INT8) return true;
    if (!iteration) return false;
    if (config->filter == LLOYD_FILTER_INT8) return c->labelled;
    if (!c->made) begin_iteration(cuda, c);
    c->made = true;
    return c->schedule.int8 != 0;
}

lloyd_status lloyd_cuda_try_int8(cuda_kernels *cuda, int slot, const cuda_decision &d, bool *int8)
{
    int8_choice *c = &cuda->filter->int8.choice;
    if (!c->made || !c->schedule.due) return LLOYD_OK;
    c->schedule.due = 0;
    const int64_t wave = lloyd_cuda_int8_wave(cuda), rows = cuda->slots[slot].count;
    const int64_t count =
        lloyd_sample_rows(rows, cuda->filter->capacity, wave, int8_cost(cuda, (double)wave, 0, 0));
    LLOYD_TRY(lloyd_cuda_int8_sample(cuda, slot, (int)std::min(wave, count), (int)count, d,
                                     &c->part, &c->sample));
    CUDA_TRY(cudaMemcpyAsync((char *)cuda->pinned + CUDA_PINNED, cuda->filter->int8.sampled,
                             INT8_SAMPLED * sizeof(unsigned long long), cudaMemcpyDeviceToHost,
                             cuda->stream),
             "trying the 8-bit filter");
    c->tried = true;
    if (!lloyd_sample_decides_now((double)rows * float16_time(cuda))) return LLOYD_OK;
    LLOYD_TRY(decide_now(cuda, c));
    *int8 = c->schedule.int8 != 0;
    return LLOYD_OK;
}

/* Events cost an iteration a little, so there are none that nobody needs. The first iteration of a filter loads kernels, and that of the
 * 8-bit filter makes codes of rows. */
bool lloyd_cuda_measures(const cuda_kernels *cuda)
{
    const int8_choice *c = &cuda->filter->int8.choice;
    if (!c->made || !c->labelled || c->labelling.ended) return false;
    return c->schedule.int8 ? c->schedule.again != 0 : c->tried || !(c->times.float16 > 0);
}

double lloyd_cuda_candidate_cost(const cuda_kernels *cuda, double candidates, double open)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    const double dim = (double)config->dim, pairs = (double)cuda->set * dim;
    const double dist = pairs < NEAR ? DIST_ELEMENT : DIST_FAR;
    const double candidate = lloyd_cuda_int8_exact(config) ? DIGIT_ELEMENT : dist;
    return candidates * dim * candidate + open * FALLBACK * pairs * float16_element(cuda);
}

double lloyd_cuda_dense_cost(const cuda_kernels *cuda, double rows)
{
    const int8_choice *c = &cuda->filter->int8.choice;
    const lloyd_filter_times &times = c->times;
    const double other = rows * float16_time(cuda);
    if (times.int8 > 0) return std::min(rows * times.int8, other);
    if (!c->schedule.int8) return other;
    const int8_seen seen(*c);
    const bool own = c->counters[LLOYD_COUNT_INT8] > 0;
    const double part = own ? rows / seen.rows : 0;
    return std::min(int8_cost(cuda, rows, part * seen.candidates, part * seen.open), other);
}

lloyd_status lloyd_cuda_counted(cuda_kernels *cuda, const int64_t counters[LLOYD_COUNTERS])
{
    if (!cuda->filter) return LLOYD_OK;
    double ns;
    int8_choice *c = &cuda->filter->int8.choice;
    LLOYD_TRY(lloyd_cuda_span_read(&c->labelling, &ns));
    const double time = ns / (double)std::max<int64_t>(c->labelling.rows, 1);
    if (ns > 0 && c->schedule.int8) c->times.int8 = time;
    if (ns > 0 && !c->schedule.int8)
        c->times.float16 = lloyd_float16_time(time, float16_cost(cuda, 1));
    if (c->tried) LLOYD_TRY(read_sample(cuda, c, &ns));
    c->tried = false;
    /* of an iteration that left comparisons out, they say little of one that does not */
    if (counters[LLOYD_COUNT_PRUNED] > 0) return LLOYD_OK;
    for (int i = 0; i < LLOYD_COUNTERS; i++) c->counters[i] = counters[i];
    const double rows = (double)cuda->base.config.n_local;
    if (!c->schedule.int8 && rows > 0)
        c->listed = std::min(1.0, (double)counters[LLOYD_COUNT_FALLBACK] / rows);
    return LLOYD_OK;
}

void lloyd_cuda_choose_anew(cuda_kernels *cuda, bool labelled)
{
    int8_choice *c = &cuda->filter->int8.choice;
    c->made = false;
    c->schedule.due = 0;
    c->labelled = labelled;
    if (labelled) return;
    c->schedule = lloyd_schedule_begin();
    c->times = {};
}
