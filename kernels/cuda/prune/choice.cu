/* When an iteration is pruned: a model of what it costs, from the share of pairs that fail their bounds. Any choice is right.
 *
 * Where the distances between centroids rule out most pairs, pruning begins at once: a few rows tell. Else bounds have to be found first, by
 * comparing the other pairs, which may take as long as some iterations without pruning. So this is done to a few rows first. An iteration
 * later the share of their pairs that fail says whether the others are worth it; if not, that is tried again after 3, 9, 27 ... iterations.
 */
#include "kernels/cuda/prune/choice.h"

#include "kernels/cuda/assign/filter.h"
#include "kernels/cuda/int8/choice.h"
#include "kernels/cuda/int8/prepare.h"
#include "kernels/cuda/prune/apart.h"
#include "kernels/cuda/prune/prune.cuh"

#include <algorithm>

namespace
{

enum { SPARSER = 3, SAMPLE_PART = 32, LEAST_SAMPLE = 1 << 15 };

/* Nanoseconds on one H200: of a row; of its own distance, for each column; of a bound; of a row and a centroid that are compared, and
 * for each column. */
constexpr double ROW = 0.05, OWN_DIGIT = 0.5e-3, OWN_DIST = 0.85e-3, BOUND = 1.6e-3, PAIR = 0.2e-3,
                 ELEMENT = 5.5e-6;
/* Where the last pass compared so few pairs, the next one is not counted first. */
constexpr double CLEAR = 0.1;
/* Of the time without pruning: pruning begins below the first, since bounds that are in use get better, and ends above the second. */
constexpr double BEGIN = 1, END = 1.15;
/* Above this share of pairs, the distances between centroids are not looked at again. */
constexpr double NOTHING = 0.9;
/* Where an iteration without pruning takes so long, it is worth waiting for the groups. */
constexpr double LONG = 0.1e9;

/* `first`: with first bounds, for which centroids are compared with each other. */
double cost_ratio(const cuda_kernels *cuda, double share, double candidates, double open,
                  bool first)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    const double dim = (double)config->dim, rows = (double)config->n_local;
    const double own = ROW + dim * (lloyd_cuda_int8_exact(config) ? OWN_DIGIT : OWN_DIST);
    const double set = (double)cuda->set, pair = PAIR + dim * ELEMENT;
    const double cost = rows * (own + cuda->filter->prune.groups * BOUND + share * set * pair) +
                        (first ? set * set * pair : 0);
    return (cost + lloyd_cuda_candidate_cost(cuda, candidates * rows, open * rows)) /
           lloyd_cuda_dense_cost(cuda, rows);
}

int sample_rows(const cuda_kernels *cuda, int slot)
{
    const int64_t rows = cuda->slots[slot].count, capacity = cuda->filter->capacity;
    const int64_t most = std::max<int64_t>(rows / SAMPLE_PART, LEAST_SAMPLE);
    return (int)std::min({rows, most, capacity});
}

/* Whether to begin as soon as rows have labels. */
bool is_long(const cuda_kernels *cuda)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    return lloyd_cuda_apart_serves(config, cuda->set) &&
           lloyd_cuda_dense_cost(cuda, (double)config->n_local) > LONG;
}

/* Not now. */
void put_off(prune_choice *c)
{
    c->on = c->bounded = c->sampled = false;
    c->gap *= SPARSER;
    c->wait = c->gap;
}

/* The first pass may find that all pairs fail, and is worth it for those that follow. */
lloyd_status choose_to_begin(cuda_kernels *cuda, int slot, const cuda_decision &d, prune_choice *c)
{
    const int sample = sample_rows(cuda, slot);
    bool ready;
    prune_forecast forecast;
    LLOYD_TRY(lloyd_cuda_prune_ready(cuda, &ready));
    if (c->wait > 0) {
        c->wait--;
        return LLOYD_OK;
    }
    if (!ready && !is_long(cuda)) return LLOYD_OK;
    if (!c->sampled && !c->near && lloyd_cuda_apart_serves(&cuda->base.config, cuda->set)) {
        LLOYD_TRY(lloyd_cuda_prune_count(cuda, slot, sample, d, true, &forecast));
        c->near = forecast.share > NOTHING;
        c->on = cost_ratio(cuda, forecast.share, forecast.hits, 0, true) <= BEGIN;
        if (c->on) return LLOYD_OK;
    }
    if (!c->sampled) {
        c->sampled = true;
        return lloyd_cuda_prune_sample(cuda, slot, sample, d);
    }
    LLOYD_TRY(lloyd_cuda_prune_count(cuda, slot, sample, d, false, &forecast));
    const double open = std::max(0.0, 1 - PRUNE_ROOM / std::max(forecast.hits, 1.0));
    if (cost_ratio(cuda, forecast.share, forecast.hits, open, false) > BEGIN)
        put_off(c);
    else
        c->on = true;
    return LLOYD_OK;
}

lloyd_status choose_to_continue(cuda_kernels *cuda, int slot, const cuda_decision &d,
                                prune_choice *c)
{
    prune_forecast forecast = {c->share, 0};
    if (c->share > CLEAR)
        LLOYD_TRY(lloyd_cuda_prune_count(cuda, slot, sample_rows(cuda, slot), d, false, &forecast));
    bool pays = cost_ratio(cuda, forecast.share, c->candidates, c->open, false) <= END;
    if (!pays && !c->near && lloyd_cuda_apart_serves(&cuda->base.config, cuda->set)) {
        /* some centroids have moved far; first bounds do not know */
        LLOYD_TRY(lloyd_cuda_prune_count(cuda, slot, sample_rows(cuda, slot), d, true, &forecast));
        pays = cost_ratio(cuda, forecast.share, c->candidates, c->open, true) <= BEGIN;
        c->bounded = !pays;
    }
    c->on = pays;
    if (pays) return LLOYD_OK;
    c->gap = 1; /* it did pay */
    put_off(c);
    return LLOYD_OK;
}

} // namespace

lloyd_status lloyd_cuda_prune_choose(cuda_kernels *cuda, int slot, const cuda_decision &d,
                                     bool iteration, bool *pruned)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    prune_choice *c = &cuda->filter->prune.choice;
    *pruned = false;
    /* no distance is known yet, or all are zero */
    if (!iteration || cuda->set > config->k || !(cuda->filter->nearest > 0) ||
        !cuda->filter->int8.choice.labelled ||
        !lloyd_cuda_prune_serves(cuda->gpu, config, cuda->set))
        return LLOYD_OK;
    if (config->prune == LLOYD_PRUNE_ON) {
        *pruned = c->on = c->made = true;
        return LLOYD_OK;
    }
    if (c->gap == 0) c->gap = 1, c->wait = is_long(cuda) ? 0 : 1;
    if (!c->made) {
        c->on = false;
        LLOYD_TRY(c->bounded ? choose_to_continue(cuda, slot, d, c)
                             : choose_to_begin(cuda, slot, d, c));
    }
    c->made = true;
    *pruned = c->on;
    return LLOYD_OK;
}

void lloyd_cuda_prune_counted(cuda_kernels *cuda, const int64_t counters[LLOYD_COUNTERS])
{
    prune_choice *c = &cuda->filter->prune.choice;
    const double rows = (double)counters[LLOYD_COUNT_PRUNED];
    if (!c->on || !(rows > 0)) return;
    /* of the first pass, the share says nothing of the next one */
    c->share = c->bounded ? (double)counters[LLOYD_COUNT_COMPARED] / (rows * (double)cuda->set) : 1;
    c->candidates = (double)counters[LLOYD_COUNT_CANDIDATES] / rows;
    c->open = (double)(counters[LLOYD_COUNT_FALLBACK] - counters[LLOYD_COUNT_INT8_FALLBACK]) / rows;
    c->bounded = true;
}
