#include "transfers.h"

#include "differ.h"
#include "values.h"

#include "base/memory.h"

enum { ROWS_ASKED = 9 };

static int compare_chunk_rows(problem *p, int64_t chunk, float *out)
{
    int64_t first = chunk_first(p, chunk), count = chunk_count(p, chunk), asked[ROWS_ASKED];
    if (count == 0) return 1;
    for (int i = 0; i < ROWS_ASKED; i++) asked[i] = first + below(count);
    asked[1] = first, asked[2] = first + count - 1, asked[3] = asked[2];
    for (int s = 0; s < SIDES; s++) {
        int slot;
        if (!load(p, s, chunk, &slot)) return 0;
        TRY(p, s, "rows",
            p->side[s]->rows(p->side[s], slot, asked, ROWS_ASKED, out + s * ROWS_ASKED * p->c.d));
    }
    return same(p, "rows: [of 9 rows][column]", F32, out, out + ROWS_ASKED * p->c.d,
                ROWS_ASKED * p->c.d, p->c.d);
}

/* Rows of a slot that go to other kernels, behind one that is there already. */
static int compare_taken(problem *p, int64_t chunk, lloyd_kernels *to, float *out)
{
    int64_t first = chunk_first(p, chunk), count = chunk_count(p, chunk), asked[ROWS_ASKED],
            all[ROWS_ASKED];
    int slot;
    if (count == 0) return 1;
    for (int i = 0; i < ROWS_ASKED; i++) asked[i] = first + below(count), all[i] = i;
    if (!load(p, CPU, chunk, &slot)) return 0;
    TRY(p, CPU, "rows", p->side[CPU]->rows(p->side[CPU], slot, asked, ROWS_ASKED, out));
    if (!load(p, CUDA, chunk, &slot)) return 0;
    TRY(p, CUDA, "load", to->load(to, 1, 0, ROWS_ASKED, NULL));
    TRY(p, CUDA, "fill", to->fill(to, 1, 0, 1, out));
    TRY(p, CUDA, "take",
        p->side[CUDA]->take(p->side[CUDA], slot, asked + 1, ROWS_ASKED - 1, to, 1, 1));
    TRY(p, CUDA, "rows", to->rows(to, 1, all, ROWS_ASKED, out + ROWS_ASKED * p->c.d));
    return same(p, "take: [of 9 rows][column]", F32, out, out + ROWS_ASKED * p->c.d,
                ROWS_ASKED * p->c.d, p->c.d);
}

static int compare_takes(problem *p, float *out)
{
    lloyd_kernels *to = NULL;
    lloyd_kernels_config config = {.n_local = ROWS_ASKED,
                                   .dim = p->c.d,
                                   .k = 1,
                                   .chunk_rows = ROWS_ASKED,
                                   .slots = 2,
                                   .type = LLOYD_F32,
                                   .threads = 1};
    TRY(p, CUDA, "create", p->side[CUDA]->create(p->side[CUDA], &config, &to));
    int good = 1;
    for (int64_t chunk = 0; chunk < p->chunks && good; chunk++)
        good = compare_taken(p, chunk, to, out);
    to->destroy(to);
    return good;
}

int compare_rows(problem *p)
{
    float *out = new_array(SIDES * ROWS_ASKED * p->c.d, sizeof *out);
    int good = 1;
    for (int64_t chunk = 0; chunk < p->chunks && good; chunk++)
        good = compare_chunk_rows(p, chunk, out);
    good = good && compare_takes(p, out);
    lloyd_free(out);
    return good;
}

int set_centroids(problem *p, int64_t count, const float *centroids)
{
    for (int s = 0; s < SIDES; s++)
        TRY(p, s, "set_centroids", p->side[s]->set_centroids(p->side[s], count, centroids));
    return 1;
}

int compare_centroids(problem *p, int64_t count, float *out)
{
    int64_t words = count * p->c.d;
    for (int s = 0; s < SIDES; s++)
        TRY(p, s, "get_centroids", p->side[s]->get_centroids(p->side[s], out + s * words));
    return same(p, "centroids", F32, out, out + words, words, p->c.d);
}
