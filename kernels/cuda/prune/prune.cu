/* See prune.h: memory, groups, and the launches of a pass. */
#include "kernels/cuda/prune/prune.h"

#include "kernels/cuda/assign/exact.h"
#include "kernels/cuda/assign/filter.h"
#include "kernels/cuda/int8/prepare.h"
#include "kernels/cuda/prune/apart.h"
#include "kernels/cuda/prune/candidates.h"
#include "kernels/cuda/prune/grouping.h"
#include "kernels/cuda/prune/image.cuh"
#include "kernels/cuda/prune/move.h"
#include "kernels/cuda/prune/needed.h"
#include "kernels/cuda/prune/own.h"
#include "kernels/cuda/prune/pairs.h"
#include "kernels/cuda/row_distance.cuh"
#include "kernels/cuda/slots.h"

#include <algorithm>
#include <cmath>

namespace
{

enum {
    LEAST_GROUPS = 4,
    MOST_TILE = 8192, /* rows */
    LEAST_TILE = PRUNE_SCAN,
    WARPS = 12, /* of a block, about */
    TURNS = 12  /* of each of them, at least, so that they end together */
};

/* Bytes of rows and bounds that warps have at a time, so that they stay in the L2 cache. */
constexpr int64_t CACHED = 28 << 20;

int tile_rows(const cuda_gpu &gpu, const lloyd_kernels_config *config, int64_t groups)
{
    const int64_t bytes = lloyd_cuda_int8_stride(config->dim) + groups * (int64_t)sizeof(uint16_t);
    const int64_t warps = gpu.multiprocessors * (int64_t)WARPS;
    int rows = MOST_TILE;
    while (rows > LEAST_TILE && (cuda_divide_up(warps, groups) * rows * bytes > CACHED ||
                                 config->n_local * groups < TURNS * warps * rows))
        rows /= 2;
    return rows;
}

/* Whether candidates leave their distances: where rounding a row costs its bounds more than that takes. */
bool tightens(const lloyd_kernels_config *config)
{
    return !lloyd_cuda_int8_exact(config);
}

/* The sizes of groups and tiles. */
void choose_sizes(cuda_kernels *cuda, cuda_prune *s)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    s->group_centroids = lloyd_cuda_prune_group(config, cuda->set);
    s->groups = (int)cuda_divide_up(cuda->set, s->group_centroids);
    s->tiles = s->group_centroids / lloyd_cuda_prune_tile(config->dim);
    s->tile_rows = tile_rows(cuda->gpu, config, s->groups);
}

/* Groups that have not moved, and bounds that claim nothing. */
lloyd_status begin_bounds(cuda_kernels *cuda, cuda_prune *s)
{
    const lloyd_kernels_config *config = &cuda->base.config;
    const char *what = "beginning to prune";
    const auto clear = [&](auto &array, int value, int64_t count) {
        if (count == 0) return LLOYD_OK;
        return lloyd_cuda_check(cudaMemsetAsync(array.data, value,
                                                (size_t)count * sizeof *array.data, cuda->stream),
                                what);
    };
    LLOYD_TRY(clear(s->moved, 0, s->groups));
    LLOYD_TRY(clear(s->drift, 0, s->groups));
    LLOYD_TRY(clear(s->seen, 0, s->seen.count));
    LLOYD_TRY(clear(s->uncounted, 0, s->uncounted.count));
    LLOYD_TRY(clear(s->whole_drift, 0, s->groups));
    LLOYD_TRY(clear(s->bounds, 0, lloyd_cuda_prune_tiles(cuda, s) * s->groups * s->tile_rows));
    LLOYD_TRY(clear(s->bounded, 0xff, config->n_local));
    LLOYD_TRY(clear(s->moved_at, 0, cuda->set));
    LLOYD_TRY(clear(s->measured_at, 0, s->measured_at.count));
    LLOYD_TRY(clear(s->path, 0, s->path.count));
    s->version = 0;
    LLOYD_TRY(clear(s->reach, 0, s->reach.count)); /* of rows in no launch, too */
    s->per_unit = (double)PRUNE_DISTANCE / std::sqrt(cuda->filter->nearest);
    return lloyd_cuda_check(cudaMemcpyAsync(s->before, cuda->centroids,
                                            (size_t)(cuda->set * config->dim) * sizeof(float),
                                            cudaMemcpyDeviceToDevice, cuda->stream),
                            what);
}

lloyd_status prepare(cuda_kernels *cuda, int slot)
{
    cuda_prune *s = &cuda->filter->prune;
    LLOYD_TRY(lloyd_cuda_int8_prepare(cuda, slot));
    if (s->ready && s->prepared == cuda->centroids) return LLOYD_OK;
    s->apart.found = false;
    if (!s->ready) {
        choose_sizes(cuda, s);
        LLOYD_TRY(lloyd_cuda_grouping_end(cuda, s));
        LLOYD_TRY(begin_bounds(cuda, s));
    } else {
        LLOYD_TRY(lloyd_cuda_prune_move(cuda, s));
    }
    LLOYD_TRY(lloyd_cuda_prune_make_image(cuda, s));
    s->ready = true;
    s->prepared = cuda->centroids;
    return LLOYD_OK;
}

/* Rows [begin, begin + count) of a slot; `begun`: with first bounds. */
lloyd_status look(cuda_kernels *cuda, int slot, int64_t begin, int count, const cuda_decision &d,
                  bool begun, prune_params *params)
{
    cuda_prune *s = &cuda->filter->prune;
    prune_own own = {};
    prune_params &p = own.p;
    p.f = lloyd_cuda_int8_params(cuda, slot, begin, count, d);
    p.f.order = s->order;
    p.f.lists = lloyd_cuda_prune_lists(cuda, count);
    p.first = cuda->slots[slot].first + begin;
    p.tile_rows = s->tile_rows;
    p.part = p.first / p.tile_rows;
    p.groups = s->groups;
    p.tiles = s->tiles;
    p.group_centroids = s->group_centroids;
    p.digits = lloyd_cuda_prune_digits(&cuda->base.config);
    p.image = s->image;
    p.bias = s->bias;
    p.drift = s->drift;
    p.whole_drift = s->whole_drift;
    p.per_unit = s->per_unit;
    p.bounds = s->bounds;
    p.row = s->row;
    p.reach = s->reach;
    p.hits = s->hits;
    p.hit = s->hit;
    p.most_hits = (unsigned)s->hit.count;
    p.next = s->next;
    p.segments = cuda->gpu.multiprocessors;
    p.taken = s->taken;
    own.labels = d.labels + begin;
    own.place = s->place;
    own.bounded = s->bounded;
    own.row = s->row;
    own.version = s->version;
    own.moved_at = s->moved_at;
    own.distance = s->distance;
    own.measured_at = s->measured_at;
    own.stale = s->stale;
    own.far = s->far;
    own.path = s->path;
    own.needed = lloyd_cuda_needed_bits(cuda, slot);
    own.needed_at = cuda->slots[slot].first % 8 + begin;
    own.rows = cuda_part(d.rows, begin, count);
    *params = p;
    LLOYD_TRY(lloyd_cuda_prune_look(cuda, own));
    return begun ? lloyd_cuda_apart_begin(cuda, own) : LLOYD_OK;
}

} // namespace

bool lloyd_cuda_prune_serves(const cuda_gpu &gpu, const lloyd_kernels_config *config, int64_t set)
{
    return config->prune != LLOYD_PRUNE_OFF && config->prune_group > 0 && set == config->k &&
           lloyd_cuda_int8_serves(gpu, config, set) &&
           (config->prune == LLOYD_PRUNE_ON || set >= LEAST_GROUPS * PRUNE_LEAST_GROUP);
}

int64_t lloyd_cuda_prune_tiles(const cuda_kernels *cuda, const cuda_prune *s)
{
    return cuda_divide_up(cuda->base.config.n_local, s->tile_rows);
}

void lloyd_cuda_prune_list(cuda_buffers &buffer, cuda_prune *s, const cuda_gpu &gpu,
                           const lloyd_kernels_config *config, int64_t set, int64_t block)
{
    const bool serves = lloyd_cuda_prune_serves(gpu, config, set);
    const int64_t groups = serves ? cuda_divide_up(set, lloyd_cuda_prune_group(config, set)) : 0;
    const int64_t rows = serves ? tile_rows(gpu, config, groups) : 1;
    const char *groups_of = "groups of centroids", *known = "what pruning knows of rows";
    buffer.optional(serves, s->order, set, groups_of);
    buffer.optional(serves, s->place, set, groups_of);
    buffer.optional(serves, s->image, serves ? lloyd_cuda_prune_image_bytes(config, set) : 0,
                    groups_of);
    buffer.optional(serves, s->bias, serves ? lloyd_cuda_prune_places(config, set) : 0, groups_of);
    buffer.optional(serves, s->before, set * config->dim, groups_of);
    buffer.optional(serves, s->moved_at, set, groups_of);
    buffer.optional(serves, s->moved, groups, groups_of);
    buffer.optional(serves, s->drift, groups, groups_of);
    buffer.optional(serves, s->whole_drift, groups, groups_of);
    buffer.optional(serves, s->shift, groups + 1, groups_of);
    buffer.optional(serves, s->bounds, cuda_divide_up(config->n_local, rows) * groups * rows,
                    "bounds of groups of centroids");
    buffer.optional(serves, s->bounded, config->n_local, known);
    buffer.optional(serves, s->row, block, known);
    buffer.optional(serves, s->reach, block + 2 * rows, known);
    const bool measured = serves && !lloyd_cuda_int8_exact(config);
    buffer.optional(measured, s->distance, config->n_local, known);
    buffer.optional(measured, s->measured_at, config->n_local, known);
    buffer.optional(measured, s->stale, 1, known);
    lloyd_cuda_needed_list(buffer, s, config, set, serves);
    buffer.optional(serves, s->hits, block, known);
    buffer.optional(serves, s->hit, block * PRUNE_ROOM, known);
    buffer.optional(serves, s->next, 2, known);
    buffer.optional(serves, s->uncounted, LLOYD_COUNTERS, known);
    buffer.optional(serves, s->taken, gpu.multiprocessors, known);
    buffer.optional(serves, s->seen, 2, known);
    lloyd_cuda_apart_list(buffer, &s->apart, config, set, (int)groups);
}

void lloyd_cuda_prune_forget(cuda_kernels *cuda)
{
    cuda_prune *s = &cuda->filter->prune;
    lloyd_cuda_grouping_free(s);
    s->ready = s->apart.found = false;
    s->choice = {};
}

lloyd_status lloyd_cuda_prune_ready(cuda_kernels *cuda, bool *ready)
{
    cuda_prune *s = &cuda->filter->prune;
    if (!s->ready && !s->grouping) {
        choose_sizes(cuda, s);
        LLOYD_TRY(lloyd_cuda_grouping_begin(cuda, s));
    }
    *ready = s->ready || lloyd_cuda_grouping_done(s);
    return LLOYD_OK;
}

prune_tightening lloyd_cuda_prune_tightening(const cuda_kernels *cuda, int slot)
{
    const cuda_prune *s = &cuda->filter->prune;
    if (!tightens(&cuda->base.config)) return {};
    return {s->bounds,    s->drift,  s->per_unit,       cuda->slots[slot].first,
            s->tile_rows, s->groups, s->group_centroids};
}

int8_lists lloyd_cuda_prune_lists(const cuda_kernels *cuda, int count)
{
    int8_lists lists = lloyd_cuda_int8_lists(cuda, count);
    lists.order = cuda->filter->prune.order;
    return lists;
}

/* Compares rows with the groups that their bounds do not rule out, and finds new bounds of these; `hits_follow`: the candidates will be
 * looked at. */
static lloyd_status compare(cuda_kernels *cuda, int slot, int64_t begin, int count,
                            const cuda_decision &d, bool hits_follow, prune_params *p)
{
    cuda_prune *s = &cuda->filter->prune;
    LLOYD_TRY(prepare(cuda, slot));
    CUDA_TRY(cudaMemsetAsync(s->next, 0, 2 * sizeof *s->next.data, cuda->stream), "pruning");
    LLOYD_TRY(look(cuda, slot, begin, count, d, !s->choice.bounded && !s->choice.near, p));
    p->hits_follow = hits_follow && tightens(&cuda->base.config);
    return lloyd_cuda_prune_pairs(cuda->gpu, *p, lloyd_cuda_int8_unsigned(&cuda->base.config),
                                  cuda->stream);
}

lloyd_status lloyd_cuda_prune_find(cuda_kernels *cuda, int slot, int64_t begin, int count,
                                   const cuda_decision &d)
{
    prune_params p;
    LLOYD_TRY(compare(cuda, slot, begin, count, d, true, &p));
    return lloyd_cuda_prune_list_rows(cuda->gpu, p, cuda->stream);
}

lloyd_status lloyd_cuda_prune_sample(cuda_kernels *cuda, int slot, int count,
                                     const cuda_decision &d)
{
    prune_params p;
    cuda_prune *s = &cuda->filter->prune;
    cuda_decision uncounted = d;
    uncounted.counters = s->uncounted;
    LLOYD_TRY(compare(cuda, slot, 0, count, uncounted, false, &p));
    return lloyd_cuda_check(cudaMemcpyAsync(&s->seen[1], &s->next[1], sizeof *s->seen.data,
                                            cudaMemcpyDeviceToDevice, cuda->stream),
                            "pruning");
}

lloyd_status lloyd_cuda_prune_count(cuda_kernels *cuda, int slot, int count, const cuda_decision &d,
                                    bool begin, prune_forecast *forecast)
{
    prune_params p;
    cuda_prune *s = &cuda->filter->prune;
    unsigned long long seen[2];
    LLOYD_TRY(prepare(cuda, slot));
    CUDA_TRY(cudaMemsetAsync(s->seen, 0, sizeof *s->seen.data, cuda->stream), "pruning");
    LLOYD_TRY(look(cuda, slot, 0, count, d, begin, &p));
    LLOYD_TRY(lloyd_cuda_prune_count_pairs(cuda->gpu, p, s->seen, cuda->stream));
    LLOYD_TRY(lloyd_cuda_fetch(cuda, seen, s->seen, sizeof seen));
    forecast->share = (double)seen[0] / ((double)count * s->groups);
    forecast->hits = begin ? 0 : (double)seen[1] / count;
    return LLOYD_OK;
}
