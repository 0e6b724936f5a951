/* See masses.h. */
#include "algorithm/masses.h"

#include "algorithm/gather.h"
#include "kernels/numerics.h"

#include <math.h>
#include <string.h>

/* The masses as they are; no mass of this rank is above `greatest`. Collective. */
static lloyd_status weigh(lloyd_problem *p, double greatest, lloyd_masses *m)
{
    LLOYD_TRY(p->comm->max(p->comm, &greatest, 1));
    m->exponent = lloyd_exponent(greatest);
    m->bits = lloyd_bits(p->n, LLOYD_MASS_BITS);
    lloyd_status status = p->kernels->seed_total(p->kernels, m->exponent, m->bits, &m->own);
    LLOYD_TRY(p->comm->agree(p->comm, status));
    m->total = m->before = m->own;
    LLOYD_TRY(lloyd_comm_sum_host(p->comm, &m->total, 1));
    return p->comm->exclusive_scan(p->comm, &m->before);
}

lloyd_status lloyd_masses_draw(lloyd_problem *p, const lloyd_masses *m, const uint64_t *random,
                               int count, int64_t *rows)
{
    lloyd_status status = LLOYD_OK;
    for (int i = 0; i < count; i++) {
        int64_t target = (int64_t)(((unsigned __int128)random[i] * (uint64_t)m->total) >> 64);
        rows[i] = 0;
        if (target < m->before || target - m->before >= m->own || status != LLOYD_OK) continue;
        status =
            p->kernels->seed_pick(p->kernels, m->exponent, m->bits, target - m->before, &rows[i]);
        rows[i] += p->shard->first;
    }
    LLOYD_TRY(p->comm->agree(p->comm, status));
    return lloyd_comm_sum_host(p->comm, rows, count);
}

/* A comparison of this rank's rows with centroids of number `base` and more. */
typedef struct comparison {
    lloyd_kernels *kernels;
    int64_t base;
    double greatest; /* mass after it */
} comparison;

static lloyd_status compare_chunk(void *context, lloyd_chunk *chunk)
{
    comparison *c = context;
    return c->kernels->seed_compare(c->kernels, chunk->slot, c->base, &c->greatest);
}

static lloyd_status compare_rows(lloyd_problem *p, comparison *c, int64_t count,
                                 const float *centroids)
{
    LLOYD_TRY(p->kernels->set_centroids(p->kernels, count, centroids));
    return lloyd_shard_each(p->shard, compare_chunk, c);
}

lloyd_status lloyd_masses_compare(lloyd_problem *p, int64_t base, int64_t count,
                                  const float *centroids, lloyd_masses *m)
{
    comparison c = {.kernels = p->kernels, .base = base};
    LLOYD_TRY(p->comm->agree(p->comm, compare_rows(p, &c, count, centroids)));
    return weigh(p, c.greatest, m);
}

lloyd_status lloyd_masses_begin(lloyd_problem *p, const lloyd_seeding *s, int64_t *rows,
                                float *vectors, int64_t most, lloyd_masses *m)
{
    LLOYD_TRY(weigh(p, p->max_weight, m));
    if (!s->rows) return LLOYD_OK;
    memcpy(rows, s->rows, (size_t)s->count * sizeof *rows);
    LLOYD_TRY(lloyd_problem_gather(p, rows, s->count, vectors));
    for (int64_t at = 0; at < s->count; at += most) {
        int64_t here = s->count - at < most ? s->count - at : most;
        LLOYD_TRY(lloyd_masses_compare(p, at, here, vectors + at * p->d, m));
    }
    return LLOYD_OK;
}

void lloyd_masses_report(const lloyd_seeding *s, lloyd_seed_step step, const lloyd_masses *m)
{
    if (!s->watch) return;
    step.potential = m ? ldexp((double)m->total, m->exponent - m->bits) : NAN;
    s->watch(s->watcher, &step);
}
