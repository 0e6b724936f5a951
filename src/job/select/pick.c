/* See pick.h. */
#include "job/select/pick.h"

#include "base/memory.h"
#include "kernels/convert.h"

#include <stdlib.h>

enum { PIECE_BYTES = 16 << 20 }; /* of stored rows that are read together */

/* A row of the dataset, and where it goes. */
typedef struct place {
    int64_t number, slot;
} place;

struct lloyd_pick {
    lloyd_rows *rows;
    int threads;
    int64_t piece; /* rows */
    place *places; /* [most] */
    char *stored;  /* [piece] rows of the dataset's type */
};

static int64_t row_bytes(const lloyd_rows *rows)
{
    return lloyd_rows_dim(rows) * (int64_t)lloyd_type_size(lloyd_rows_type(rows));
}

static int64_t piece_rows(const lloyd_rows *rows)
{
    const int64_t bytes = row_bytes(rows);
    return bytes < PIECE_BYTES ? PIECE_BYTES / bytes : 1;
}

int64_t lloyd_pick_bytes_per_row(void)
{
    return (int64_t)sizeof(place);
}

int64_t lloyd_pick_bytes(const lloyd_rows *rows)
{
    const int64_t numbers =
        (int64_t)sizeof(int64_t); /* and what the reader takes for rows that lie apart */
    return piece_rows(rows) * (2 * row_bytes(rows) + numbers);
}

lloyd_status lloyd_pick_open(lloyd_rows *rows, int64_t most, int threads, lloyd_pick **pick)
{
    lloyd_pick *g;
    *pick = NULL;
    LLOYD_TRY(lloyd_alloc(&g, 1, sizeof *g, "rows by number"));
    *g = (lloyd_pick){.rows = rows, .threads = threads, .piece = piece_rows(rows)};
    lloyd_status status = lloyd_alloc(&g->places, most, sizeof *g->places, "numbers of rows");
    if (status == LLOYD_OK)
        status = lloyd_alloc(&g->stored, g->piece, (size_t)row_bytes(rows), "rows to read");
    if (status == LLOYD_OK)
        *pick = g;
    else
        lloyd_pick_close(g);
    return status;
}

void lloyd_pick_close(lloyd_pick *pick)
{
    if (!pick) return;
    lloyd_free(pick->places);
    lloyd_free(pick->stored);
    lloyd_free(pick);
}

static int by_number(const void *a, const void *b)
{
    const int64_t x = ((const place *)a)->number, y = ((const place *)b)->number;
    return (x > y) - (x < y);
}

static lloyd_status read_stored(const lloyd_pick *g, const place *places, int64_t count)
{
    int64_t *numbers;
    LLOYD_TRY(lloyd_alloc(&numbers, count, sizeof *numbers, "numbers of rows"));
    for (int64_t i = 0; i < count; i++) numbers[i] = places[i].number;
    lloyd_rows_keep(g->rows, numbers, 0, count, count);
    lloyd_status status = lloyd_rows_read(g->rows, 0, count, g->stored);
    lloyd_rows_keep(g->rows, NULL, 0, 0, 0);
    return status;
}

lloyd_status lloyd_pick_read(lloyd_pick *g, const int64_t *numbers, int64_t count, float *out)
{
    const int64_t bytes = row_bytes(g->rows), dim = lloyd_rows_dim(g->rows);
    const lloyd_type type = lloyd_rows_type(g->rows);
    for (int64_t i = 0; i < count; i++) g->places[i] = (place){numbers[i], i};
    qsort(g->places, (size_t)count, sizeof *g->places, by_number);
    for (int64_t at = 0; at < count; at += g->piece) {
        const int64_t here = count - at < g->piece ? count - at : g->piece;
        const place *places = g->places + at;
        LLOYD_TRY(read_stored(g, places, here));
#pragma omp parallel for num_threads(g->threads) schedule(static)
        for (int64_t i = 0; i < here; i++)
            lloyd_to_float(type, g->stored + i * bytes, dim, out + places[i].slot * dim);
    }
    return LLOYD_OK;
}
