/* See balance.h. At first every row applies to the cluster of its label. Then, round by round, clusters admit the
 * nearest of their applicants, and the others apply to the nearest cluster that still has room.
 */
#include "job/balance/balance.h"

#include "algorithm/inertia.h"
#include "base/clock.h"
#include "base/memory.h"
#include "job/balance/admission.h"
#include "job/balance/open_clusters.h"

#include <math.h>

/* factor = m 2^(e - 53) with whole m < 2^53, and n < 2^63, k < 2^31: all of it has room in 128 bits. */
int64_t lloyd_balance_cap(double factor, int64_t n, int64_t k)
{
    int exponent;
    if (factor >= (double)k) return n;
    uint64_t m = (uint64_t)ldexp(frexp(factor, &exponent), 53);
    unsigned __int128 rows = (unsigned __int128)m * (uint64_t)n;
    unsigned __int128 clusters = (unsigned __int128)(uint64_t)k << (53 - exponent);
    unsigned __int128 cap = (rows + clusters - 1) / clusters;
    return cap < (unsigned __int128)n ? (int64_t)cap : n;
}

int64_t lloyd_balance_bytes(const lloyd_kernels_config *config, int64_t k)
{
    const int64_t row = sizeof(int32_t) + sizeof(double), cluster = 2 * sizeof(int64_t);
    return config->n_local * row + k * cluster + lloyd_admission_bytes(k) +
           lloyd_open_clusters_bytes(config, k);
}

/* --- rounds --- */

typedef struct balancing {
    lloyd_problem *problem;
    lloyd_progress *progress;
    lloyd_balance *balance;
    lloyd_applicants rows;
    int64_t *room; /* [k] */
    lloyd_admission *admission;
    lloyd_open_clusters *open;
    double began; /* this round, by lloyd_seconds() */
} balancing;

static lloyd_status make_room(balancing *b)
{
    const lloyd_problem *p = b->problem;
    lloyd_balance *found = b->balance;
    const char *what = "labels of clusters of limited size";
    const int64_t count = p->shard->count;
    LLOYD_TRY(lloyd_comm_alloc(p->comm, &found->labels, count, sizeof *found->labels, what));
    LLOYD_TRY(lloyd_comm_alloc(p->comm, &found->distances, count, sizeof *found->distances, what));
    LLOYD_TRY(lloyd_comm_alloc(p->comm, &found->counts, p->k, sizeof *found->counts, what));
    LLOYD_TRY(lloyd_comm_alloc(p->comm, &b->room, p->k, sizeof *b->room, what));
    LLOYD_TRY(lloyd_admission_open(p->comm, p->k, &b->admission));
    b->rows = (lloyd_applicants){.n = p->n,
                                 .first = p->shard->first,
                                 .count = count,
                                 .clusters = found->labels,
                                 .distances = found->distances};
    return LLOYD_OK;
}

/* The rows of a chunk apply to the clusters of their labels. */
static lloyd_status apply_to_nearest(void *context, lloyd_chunk *chunk)
{
    balancing *b = context;
    lloyd_kernels *kernels = b->problem->kernels;
    int32_t *labels = b->balance->labels + chunk->first;
    LLOYD_TRY(kernels->labels(kernels, chunk->first, chunk->count, labels));
    for (int64_t i = 0; i < chunk->count; i++) labels[i] = ~labels[i];
    return kernels->distances(kernels, chunk->slot, b->balance->distances + chunk->first);
}

/* A round ends with clusters that have admitted all they could. */
static lloyd_status admit(balancing *b, int64_t round, int64_t *rejected)
{
    int64_t with_room = 0;
    LLOYD_TRY(lloyd_admit(b->admission, &b->rows, b->room, rejected));
    for (int64_t c = 0; c < b->problem->k; c++) with_room += b->room[c] > 0;
    const double now = lloyd_seconds();
    lloyd_progress_balance(b->progress, round, *rejected, with_room, now - b->began);
    b->began = now;
    return LLOYD_OK;
}

static lloyd_status run_rounds(balancing *b)
{
    const lloyd_problem *p = b->problem;
    int64_t rejected;
    LLOYD_TRY(p->comm->agree(p->comm, lloyd_shard_each(p->shard, apply_to_nearest, b)));
    LLOYD_TRY(admit(b, 1, &rejected));
    b->balance->moved = rejected;
    if (rejected == 0) return LLOYD_OK;
    LLOYD_TRY(p->comm->agree(p->comm, lloyd_open_clusters_begin(b->problem, &b->open)));
    for (int64_t round = 2; rejected > 0; round++) {
        lloyd_status status =
            lloyd_open_clusters_apply(b->open, b->room, &b->rows, b->balance->distances);
        LLOYD_TRY(p->comm->agree(p->comm, status));
        LLOYD_TRY(admit(b, round, &rejected));
    }
    return LLOYD_OK;
}

/* --- all --- */

static lloyd_status find(balancing *b)
{
    lloyd_balance *found = b->balance;
    const int64_t k = b->problem->k;
    LLOYD_TRY(make_room(b));
    for (int64_t c = 0; c < k; c++) b->room[c] = found->cap;
    LLOYD_TRY(run_rounds(b));
    for (int64_t c = 0; c < k; c++) found->counts[c] = found->cap - b->room[c];
    return lloyd_problem_inertia_of(b->problem, found->distances, &found->inertia);
}

lloyd_status lloyd_balance_find(lloyd_problem *problem, double before, lloyd_progress *progress,
                                lloyd_balance *balance)
{
    balancing b = {.problem = problem,
                   .progress = progress,
                   .balance = balance,
                   .began = lloyd_seconds()};
    balance->before = before;
    lloyd_status status = find(&b);
    lloyd_open_clusters_end(b.open);
    lloyd_admission_close(b.admission);
    lloyd_free(b.room);
    return status;
}

void lloyd_balance_free(lloyd_balance *balance)
{
    lloyd_free(balance->counts);
    lloyd_free(balance->labels);
    lloyd_free(balance->distances);
    *balance = (lloyd_balance){.cap = 0};
}
