/* Rows that all ranks need: whoever has a row puts its bits into a buffer of zeros, and a sum of
 * integers is the gather. */
#include "problem.h"

#include "base/memory.h"

#include <string.h>

enum { GATHER_BYTES = 4 << 20 };

static lloyd_status put_row(lloyd_problem *p, int64_t row, float *values, int64_t *words)
{
    if (row < p->shard->first || row >= p->shard->first + p->shard->count) return LLOYD_OK;
    LLOYD_TRY(lloyd_shard_row(p->shard, row - p->shard->first, values));
    for (int64_t j = 0; j < p->d; j++) {
        uint32_t bits;
        memcpy(&bits, &values[j], sizeof bits);
        words[j] = bits;
    }
    return LLOYD_OK;
}

static lloyd_status gather_batch(lloyd_problem *p, const int64_t *rows, int64_t count,
                                 int64_t *words, float *out)
{
    lloyd_status status = LLOYD_OK;
    memset(words, 0, (size_t)(count * p->d) * sizeof *words);
    for (int64_t i = 0; i < count && status == LLOYD_OK; i++)
        status = put_row(p, rows[i], out, words + i * p->d);
    LLOYD_TRY(p->comm->agree(p->comm, status));
    LLOYD_TRY(lloyd_comm_sum_host(p->comm, words, count * p->d));
    for (int64_t i = 0; i < count * p->d; i++) {
        uint32_t bits = (uint32_t)words[i];
        memcpy(&out[i], &bits, sizeof bits);
    }
    return LLOYD_OK;
}

/* Rows that travel at a time. */
static int64_t batch_rows(int64_t count, int64_t dim)
{
    int64_t batch = GATHER_BYTES / (8 * dim);
    if (batch < 1) batch = 1;
    return batch < count ? batch : count;
}

int64_t lloyd_gather_bytes(int64_t count, int64_t dim)
{
    return batch_rows(count, dim) * dim * 8;
}

lloyd_status lloyd_problem_gather(lloyd_problem *p, const int64_t *rows, int64_t count, float *out)
{
    int64_t batch = batch_rows(count, p->d);
    int64_t *words = NULL;
    lloyd_status status =
        lloyd_alloc(&words, batch * p->d, sizeof *words, "rows on their way to all ranks");
    status = p->comm->agree(p->comm, status);
    for (int64_t at = 0; at < count && status == LLOYD_OK; at += batch) {
        int64_t here = count - at < batch ? count - at : batch;
        status = gather_batch(p, rows + at, here, words, out + at * p->d);
    }
    lloyd_free(words);
    return status;
}
