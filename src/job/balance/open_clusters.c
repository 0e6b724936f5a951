/* See open_clusters.h. */
#include "job/balance/open_clusters.h"

#include "base/memory.h"

#include <string.h>

enum { BATCH_BYTES = 16 << 20 /* rows as float32 that are assigned at a time */ };

struct lloyd_open_clusters {
    lloyd_problem *problem;
    lloyd_kernels *others; /* which assign rows to open clusters */
    int64_t count, batch;
    int32_t *clusters; /* [count] that are open, in increasing order */
    float *centroids;  /* [count * d] theirs; room for all */
    int64_t *numbers;  /* [batch] local rows */
    float *values;     /* [batch * d] these rows */
    int32_t *label;    /* [batch] among the open clusters */
    double *distance;  /* [batch] */
};

/* --- memory --- */

static int64_t batch_of(const lloyd_kernels_config *config)
{
    int64_t rows = BATCH_BYTES / (int64_t)sizeof(float) / config->dim;
    if (rows > config->chunk_rows) rows = config->chunk_rows;
    return rows > 0 ? rows : 1;
}

lloyd_kernels_config lloyd_open_clusters_config(const lloyd_kernels_config *config, int copies)
{
    lloyd_kernels_config others = *config;
    others.n_local = others.chunk_rows = batch_of(config);
    others.k = 1; /* nothing is summed */
    others.slots = 1;
    others.type = LLOYD_F32;
    others.cosine = 0; /* rows are scaled already */
    others.weights = NULL;
    others.timed = 0;
    others.prune_group = 0; /* bounds are of rows that stay */
    /* on GPUs the 8-bit filter serves iterations only, which have labels to start from */
    if (copies) others.filter = LLOYD_FILTER_FLOAT;
    return others;
}

int64_t lloyd_open_clusters_bytes(const lloyd_kernels_config *config, int64_t k)
{
    const int64_t row = config->dim * (int64_t)sizeof(float);
    return k * (row + (int64_t)sizeof(int32_t)) +
           batch_of(config) * (row + (int64_t)(sizeof(int64_t) + sizeof(int32_t) + sizeof(double)));
}

static lloyd_status make_room(lloyd_open_clusters *o, const lloyd_kernels_config *config)
{
    const char *what = "rows that move to another cluster";
    const int64_t k = o->problem->k;
    LLOYD_TRY(lloyd_alloc(&o->clusters, k, sizeof *o->clusters, what));
    LLOYD_TRY(lloyd_alloc(&o->centroids, k * config->dim, sizeof *o->centroids, what));
    LLOYD_TRY(lloyd_alloc(&o->numbers, o->batch, sizeof *o->numbers, what));
    LLOYD_TRY(lloyd_alloc(&o->values, o->batch * config->dim, sizeof *o->values, what));
    LLOYD_TRY(lloyd_alloc(&o->label, o->batch, sizeof *o->label, what));
    return lloyd_alloc(&o->distance, o->batch, sizeof *o->distance, what);
}

lloyd_status lloyd_open_clusters_begin(lloyd_problem *problem, lloyd_open_clusters **open)
{
    lloyd_kernels *kernels = problem->kernels;
    const lloyd_kernels_config others =
        lloyd_open_clusters_config(&kernels->config, kernels->copies);
    LLOYD_TRY(lloyd_alloc(open, 1, sizeof **open, "rows that move to another cluster"));
    lloyd_open_clusters *o = *open;
    *o = (lloyd_open_clusters){.problem = problem,
                               .count = problem->k,
                               .batch = batch_of(&kernels->config)};
    LLOYD_TRY(make_room(o, &kernels->config));
    for (int64_t c = 0; c < o->count; c++) o->clusters[c] = (int32_t)c;
    LLOYD_TRY(kernels->get_centroids(kernels, o->centroids));
    return kernels->create(kernels, &others, &o->others);
}

void lloyd_open_clusters_end(lloyd_open_clusters *o)
{
    if (!o) return;
    if (o->others) o->others->destroy(o->others);
    lloyd_free(o->clusters);
    lloyd_free(o->centroids);
    lloyd_free(o->numbers);
    lloyd_free(o->values);
    lloyd_free(o->label);
    lloyd_free(o->distance);
    lloyd_free(o);
}

/* --- a round --- */

/* What a pass works on. */
typedef struct pass {
    lloyd_open_clusters *open;
    const lloyd_applicants *rows;
    double *distances;
} pass;

static void close_full(lloyd_open_clusters *o, const int64_t *room)
{
    const int64_t dim = o->problem->d, before = o->count;
    o->count = 0;
    for (int64_t i = 0; i < before; i++) {
        if (room[o->clusters[i]] == 0) continue;
        if (o->count < i)
            memcpy(o->centroids + o->count * dim, o->centroids + i * dim,
                   (size_t)dim * sizeof *o->centroids);
        o->clusters[o->count++] = o->clusters[i];
    }
}

/* The rows `numbers` of a slot. */
static lloyd_status apply_batch(const pass *p, int slot, int64_t count)
{
    lloyd_open_clusters *o = p->open;
    lloyd_kernels *kernels = o->problem->kernels, *others = o->others;
    LLOYD_TRY(kernels->rows(kernels, slot, o->numbers, count, o->values));
    LLOYD_TRY(others->load(others, 0, 0, count, o->values));
    LLOYD_TRY(others->forget_labels(others));
    LLOYD_TRY(others->assign(others, 0));
    LLOYD_TRY(others->labels(others, 0, count, o->label));
    LLOYD_TRY(others->distances(others, 0, o->distance));
    for (int64_t i = 0; i < count; i++) {
        p->rows->clusters[o->numbers[i]] = ~o->clusters[o->label[i]];
        p->distances[o->numbers[i]] = o->distance[i];
    }
    return LLOYD_OK;
}

/* The next batch of local rows that apply, from *at on, which moves. */
static int64_t next_batch(const pass *p, int64_t *at, int64_t end)
{
    int64_t count = 0;
    for (; *at < end && count < p->open->batch; (*at)++)
        if (p->rows->clusters[*at] < 0) p->open->numbers[count++] = *at;
    return count;
}

/* Rows [first, end) are a chunk, which is brought into a slot if any of them applies. */
static lloyd_status apply_chunk(const pass *p, int64_t chunk, int64_t first, int64_t end)
{
    int slot;
    int64_t at = first, count = next_batch(p, &at, end);
    if (count == 0) return LLOYD_OK;
    LLOYD_TRY(lloyd_shard_load(p->open->problem->shard, chunk, &slot));
    for (; count > 0; count = next_batch(p, &at, end)) LLOYD_TRY(apply_batch(p, slot, count));
    return LLOYD_OK;
}

lloyd_status lloyd_open_clusters_apply(lloyd_open_clusters *o, const int64_t *room,
                                       const lloyd_applicants *rows, double *distances)
{
    const pass p = {o, rows, distances};
    const lloyd_shard *shard = o->problem->shard;
    close_full(o, room);
    LLOYD_TRY(o->others->set_centroids(o->others, o->count, o->centroids));
    for (int64_t chunk = 0; chunk < shard->chunks; chunk++) {
        const int64_t first = chunk * shard->chunk_rows;
        LLOYD_TRY(
            apply_chunk(&p, chunk, first, first + lloyd_layout_chunk_rows(&shard->layout, chunk)));
    }
    return LLOYD_OK;
}
