/* A rank's rows; see shard.h. */
#include "shard.h"

#include "base/memory.h"

int64_t lloyd_shard_first(int64_t n, int rank, int ranks)
{
    return (int64_t)((__int128)n * rank / ranks);
}

static lloyd_status new_shard(int64_t first, int64_t count, int64_t chunk_rows, int64_t row_bytes,
                              lloyd_shard **shard)
{
    LLOYD_TRY(lloyd_alloc(shard, 1, sizeof **shard, "shard"));
    lloyd_shard *s = *shard;
    s->first = first;
    s->count = count;
    s->chunk_rows = chunk_rows;
    s->chunks = (count + chunk_rows - 1) / chunk_rows;
    s->row_bytes = row_bytes;
    return LLOYD_OK;
}

static lloyd_status read_weights(lloyd_shard *shard)
{
    LLOYD_TRY(
        lloyd_alloc(&shard->weights, shard->count, sizeof(float), "the weights of this rank"));
    return lloyd_rows_read_weights(shard->rows, shard->first, shard->count, shard->weights);
}

lloyd_status lloyd_shard_open(lloyd_rows *rows, int64_t first, int64_t count, int64_t chunk_rows,
                              int resident, int weighted, lloyd_shard **shard)
{
    int64_t row_bytes = lloyd_rows_dim(rows) * (int64_t)lloyd_type_size(lloyd_rows_type(rows));
    LLOYD_TRY(new_shard(first, count, chunk_rows, row_bytes, shard));
    (*shard)->rows = rows;
    (*shard)->resident = resident;
    lloyd_status status = weighted ? read_weights(*shard) : LLOYD_OK;
    if (status != LLOYD_OK) {
        lloyd_shard_close(*shard);
        *shard = NULL;
    }
    return status;
}

lloyd_status lloyd_shard_over(float *data, float *weights, int64_t first, int64_t count,
                              int64_t dim, lloyd_shard **shard)
{
    LLOYD_TRY(new_shard(first, count, count > 0 ? count : 1, dim * (int64_t)sizeof *data, shard));
    (*shard)->resident = 1;
    (*shard)->memory = (char *)data;
    (*shard)->weights = weights;
    return LLOYD_OK;
}

/* --- loading --- */

int64_t lloyd_shard_staged_rows(int64_t count, int64_t row_bytes)
{
    enum { STAGED_BYTES = 64 << 20 };
    int64_t rows = STAGED_BYTES / row_bytes;
    if (rows < 1) rows = 1;
    return rows < count ? rows : count;
}

/* Rows of a chunk that begins with local row `begin`. */
static int64_t chunk_count(const lloyd_shard *shard, int64_t begin)
{
    int64_t left = shard->count - begin;
    return left < shard->chunk_rows ? left : shard->chunk_rows;
}

/* A chunk from the files to its slot, piece by piece; nothing of it stays on the host. */
static lloyd_status read_through(lloyd_shard *shard, int64_t chunk, int64_t staged)
{
    lloyd_kernels *kernels = shard->kernels;
    int64_t begin = chunk * shard->chunk_rows, count = chunk_count(shard, begin);
    LLOYD_TRY(kernels->load(kernels, (int)chunk, begin, count, NULL));
    for (int64_t at = 0; at < count; at += staged) {
        int64_t here = count - at < staged ? count - at : staged;
        LLOYD_TRY(lloyd_rows_read(shard->rows, shard->first + begin + at, here, shard->memory));
        LLOYD_TRY(kernels->fill(kernels, (int)chunk, at, here, shard->memory));
    }
    return LLOYD_OK;
}

static lloyd_status copy_resident(lloyd_shard *shard)
{
    int64_t staged = lloyd_shard_staged_rows(shard->count, shard->row_bytes);
    LLOYD_TRY(lloyd_alloc(&shard->memory, staged * shard->row_bytes, 1, "rows on their way"));
    for (int64_t chunk = 0; chunk < shard->chunks; chunk++)
        LLOYD_TRY(read_through(shard, chunk, staged));
    lloyd_free(shard->memory);
    shard->memory = NULL;
    return LLOYD_OK;
}

static lloyd_status load_resident(lloyd_shard *shard)
{
    for (int64_t chunk = 0; chunk < shard->chunks; chunk++) {
        int64_t begin = chunk * shard->chunk_rows;
        LLOYD_TRY(shard->kernels->load(shard->kernels, (int)chunk, begin, chunk_count(shard, begin),
                                       shard->memory + begin * shard->row_bytes));
    }
    return LLOYD_OK;
}

lloyd_status lloyd_shard_attach(lloyd_shard *shard, lloyd_kernels *kernels)
{
    shard->kernels = kernels;
    if (!shard->rows) return load_resident(shard); /* in memory already */
    if (shard->resident && kernels->copies) return copy_resident(shard);
    int64_t held =
        shard->resident || shard->count < shard->chunk_rows ? shard->count : shard->chunk_rows;
    LLOYD_TRY(lloyd_alloc(&shard->memory, held * shard->row_bytes, 1, "the rows of this rank"));
    if (!shard->resident) return LLOYD_OK;
    LLOYD_TRY(lloyd_rows_read(shard->rows, shard->first, shard->count, shard->memory));
    return load_resident(shard);
}

lloyd_status lloyd_shard_load(lloyd_shard *shard, int64_t chunk, int *slot)
{
    *slot = shard->resident ? (int)chunk : 0;
    if (shard->resident) return LLOYD_OK;
    int64_t begin = chunk * shard->chunk_rows, count = chunk_count(shard, begin);
    LLOYD_TRY(lloyd_rows_read(shard->rows, shard->first + begin, count, shard->memory));
    return shard->kernels->load(shard->kernels, 0, begin, count, shard->memory);
}

lloyd_status lloyd_shard_row(lloyd_shard *shard, int64_t row, float *out)
{
    int slot = shard->resident ? (int)(row / shard->chunk_rows) : 0;
    if (!shard->resident) {
        LLOYD_TRY(lloyd_rows_read(shard->rows, shard->first + row, 1, shard->memory));
        LLOYD_TRY(shard->kernels->load(shard->kernels, 0, row, 1, shard->memory));
    }
    return shard->kernels->rows(shard->kernels, slot, &row, 1, out);
}

void lloyd_shard_close(lloyd_shard *shard)
{
    if (!shard) return;
    if (shard->rows) {
        lloyd_free(shard->memory);
        lloyd_free(shard->weights);
    }
    lloyd_free(shard);
}
