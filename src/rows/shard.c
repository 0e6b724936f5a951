/* A rank's rows; see shard.h. */
#include "rows/shard.h"

#include "base/memory.h"
#include "base/stop.h"

int64_t lloyd_shard_first(int64_t n, int rank, int ranks)
{
    return (int64_t)((__int128)n * rank / ranks);
}

static lloyd_status new_shard(int64_t first, const lloyd_layout *layout, lloyd_shard **shard)
{
    LLOYD_TRY(lloyd_alloc(shard, 1, sizeof **shard, "shard"));
    lloyd_shard *s = *shard;
    s->first = first;
    s->count = layout->rows;
    s->chunk_rows = layout->chunk_rows;
    s->chunks = layout->chunks;
    s->layout = *layout;
    return LLOYD_OK;
}

static lloyd_status read_weights(lloyd_shard *shard)
{
    LLOYD_TRY(
        lloyd_alloc(&shard->own_weights, shard->count, sizeof(float), "the weights of this rank"));
    shard->weights = shard->own_weights;
    return lloyd_rows_read_weights(shard->rows, shard->first, shard->count, shard->own_weights);
}

lloyd_status lloyd_shard_open(lloyd_rows *rows, int64_t first, lloyd_layout layout, int weighted,
                              lloyd_shard **shard)
{
    LLOYD_TRY(new_shard(first, &layout, shard));
    (*shard)->rows = rows;
    lloyd_status status = weighted ? read_weights(*shard) : LLOYD_OK;
    if (status != LLOYD_OK) {
        lloyd_shard_close(*shard);
        *shard = NULL;
    }
    return status;
}

lloyd_status lloyd_shard_over(const void *data, const float *weights, int64_t first,
                              lloyd_layout layout, lloyd_shard **shard)
{
    LLOYD_TRY(new_shard(first, &layout, shard));
    (*shard)->data = data;
    (*shard)->weights = weights;
    return LLOYD_OK;
}

/* --- loading --- */

static int64_t chunk_bytes(const lloyd_shard *shard)
{
    return shard->chunk_rows * shard->layout.row_bytes;
}

/* A chunk from the files to memory, in pieces, so that it can be stopped. */
static lloyd_status read_chunk(lloyd_shard *shard, int64_t chunk, char *memory)
{
    enum { PIECE_BYTES = 64 << 20 };
    const int64_t row_bytes = shard->layout.row_bytes, first = chunk * shard->chunk_rows;
    const int64_t count = lloyd_layout_chunk_rows(&shard->layout, chunk);
    const int64_t piece = row_bytes < PIECE_BYTES ? PIECE_BYTES / row_bytes : 1;
    for (int64_t at = 0; at < count; at += piece) {
        int64_t here = count - at < piece ? count - at : piece;
        LLOYD_TRY(lloyd_stop_check());
        LLOYD_TRY(
            lloyd_rows_read(shard->rows, shard->first + first + at, here, memory + at * row_bytes));
    }
    return LLOYD_OK;
}

/* The chunks that stay on the host have their rows in memory, one after the other. */
static lloyd_status read_host(lloyd_shard *shard, lloyd_home home)
{
    char *memory = shard->memory;
    for (int64_t chunk = 0; chunk < shard->chunks; chunk++) {
        int64_t index;
        if (lloyd_layout_home(&shard->layout, chunk, &index) != home) continue;
        LLOYD_TRY(read_chunk(shard, chunk, memory + index * chunk_bytes(shard)));
    }
    return LLOYD_OK;
}

/* The fixed chunks from host memory to their slots. */
static lloyd_status load_fixed(lloyd_shard *shard)
{
    for (int64_t chunk = 0; chunk < shard->chunks; chunk++) {
        int64_t index;
        if (lloyd_layout_home(&shard->layout, chunk, &index) != LLOYD_FIXED) continue;
        LLOYD_TRY(
            shard->kernels->load(shard->kernels, (int)index, chunk * shard->chunk_rows,
                                 lloyd_layout_chunk_rows(&shard->layout, chunk),
                                 shard->data ? shard->data + index * chunk_bytes(shard) : NULL));
    }
    return LLOYD_OK;
}

static lloyd_status open_pipeline(lloyd_shard *shard)
{
    const lloyd_layout *layout = &shard->layout;
    const lloyd_pipeline_ends ends = {.rows = shard->rows,
                                      .first = shard->first,
                                      .layout = layout,
                                      .pinned = shard->data,
                                      .kernels = shard->kernels};
    LLOYD_TRY(lloyd_pipeline_open(&ends, &shard->pipeline));
    if (layout->copies) LLOYD_TRY(lloyd_pipeline_fill(shard->pipeline));
    if (layout->fixed < layout->chunks) return lloyd_pipeline_begin(shard->pipeline);
    lloyd_pipeline_close(shard->pipeline);
    shard->pipeline = NULL;
    return LLOYD_OK;
}

static lloyd_status bring_rows(lloyd_shard *shard)
{
    lloyd_kernels *kernels = shard->kernels;
    lloyd_home home = shard->layout.copies ? LLOYD_PINNED : LLOYD_FIXED;
    int64_t bytes = lloyd_layout_rows(&shard->layout, home) * shard->layout.row_bytes;
    LLOYD_TRY(lloyd_alloc(&shard->row, shard->layout.row_bytes, 1, "a row"));
    if (bytes > 0) {
        LLOYD_TRY(kernels->device->host_alloc(bytes, "the rows of this rank", &shard->memory));
        shard->data = shard->memory;
        LLOYD_TRY(read_host(shard, home));
    }
    if (!shard->layout.copies) LLOYD_TRY(load_fixed(shard));
    return open_pipeline(shard);
}

lloyd_status lloyd_shard_attach(lloyd_shard *shard, lloyd_kernels *kernels)
{
    shard->kernels = kernels;
    if (!shard->rows) return load_fixed(shard);
    LLOYD_TRY(bring_rows(shard));
    return lloyd_rows_check(shard->rows, shard->first, shard->count);
}

/* After the last chunk of a pass that reads: the files are still those of the first pass. */
static lloyd_status check_files(const lloyd_shard *shard, int64_t chunk)
{
    if (chunk < shard->chunks - 1 || lloyd_layout_rows(&shard->layout, LLOYD_STREAMED) == 0)
        return LLOYD_OK;
    return lloyd_rows_check(shard->rows, shard->first, shard->count);
}

static lloyd_status load(lloyd_shard *shard, int64_t chunk, lloyd_load_need need, int *slot)
{
    int64_t index;
    LLOYD_TRY(lloyd_stop_check());
    if (lloyd_layout_home(&shard->layout, chunk, &index) != LLOYD_FIXED) {
        LLOYD_TRY(lloyd_pipeline_load(shard->pipeline, chunk, need, slot));
    } else {
        *slot = (int)index;
        if (shard->pipeline) LLOYD_TRY(lloyd_pipeline_pass(shard->pipeline, chunk, need));
    }
    return check_files(shard, chunk);
}

lloyd_status lloyd_shard_load(lloyd_shard *shard, int64_t chunk, int *slot)
{
    return load(shard, chunk, LLOYD_ALL_ROWS, slot);
}

static lloyd_status each(lloyd_shard *shard, lloyd_load_need need, lloyd_chunk_work work,
                         void *context)
{
    int ends = 0;
    for (int64_t number = 0; number < shard->chunks && !ends; number++) {
        lloyd_chunk chunk = {.first = number * shard->chunk_rows,
                             .count = lloyd_layout_chunk_rows(&shard->layout, number)};
        LLOYD_TRY(load(shard, number, need, &chunk.slot));
        LLOYD_TRY(work(context, &chunk));
        ends = chunk.ends_pass;
    }
    return LLOYD_OK;
}

lloyd_status lloyd_shard_each(lloyd_shard *shard, lloyd_chunk_work work, void *context)
{
    return each(shard, LLOYD_ALL_ROWS, work, context);
}

lloyd_status lloyd_shard_label(lloyd_shard *shard, lloyd_chunk_work work, void *context)
{
    return each(shard, LLOYD_ROWS_TO_LABEL, work, context);
}

int lloyd_shard_is_fixed(const lloyd_shard *shard, int64_t chunk)
{
    int64_t index;
    return lloyd_layout_home(&shard->layout, chunk, &index) == LLOYD_FIXED;
}

lloyd_status lloyd_shard_row(lloyd_shard *shard, int64_t row, float *out)
{
    lloyd_kernels *kernels = shard->kernels;
    int64_t index, chunk = row / shard->chunk_rows;
    lloyd_home home = lloyd_layout_home(&shard->layout, chunk, &index);
    if (home == LLOYD_FIXED) return kernels->rows(kernels, (int)index, &row, 1, out);
    const char *source = shard->row;
    if (home == LLOYD_STREAMED) {
        LLOYD_TRY(lloyd_rows_read(shard->rows, shard->first + row, 1, shard->row));
    } else {
        int64_t at = row - chunk * shard->chunk_rows;
        source = shard->data + index * chunk_bytes(shard) + at * shard->layout.row_bytes;
    }
    int slot = lloyd_layout_slots(&shard->layout) - 1;
    LLOYD_TRY(kernels->load(kernels, slot, row, 1, source));
    return kernels->rows(kernels, slot, &row, 1, out);
}

void lloyd_shard_close(lloyd_shard *shard)
{
    if (!shard) return;
    lloyd_pipeline_close(shard->pipeline);
    if (shard->memory) shard->kernels->device->host_free(shard->memory);
    lloyd_free(shard->own_weights);
    lloyd_free(shard->row);
    lloyd_free(shard);
}
