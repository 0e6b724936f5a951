/* See member_rows.h. */
#include "job/results/member_rows.h"

#include "base/memory.h"

enum {
    READ_ALONE = 1 << 12, /* rows that one thread looks at */
    /* of a batch: a few megabytes, so threads seldom wait for each other */
    LEAST_ROWS = 1 << 16,
    MOST_ROWS = 1 << 19,
    PART = 8 /* of a slice */
};

int64_t lloyd_member_batch_rows(int64_t slice)
{
    const int64_t rows = slice / PART < MOST_ROWS ? slice / PART : MOST_ROWS;
    return rows > LEAST_ROWS ? rows : LEAST_ROWS;
}

int64_t lloyd_member_batch_bytes(int64_t rows)
{
    return rows * (int64_t)(sizeof(lloyd_placed) + sizeof(int32_t));
}

lloyd_status lloyd_member_batch_open(lloyd_member_batch *batch, int64_t rows)
{
    const char *what = "rows that are sorted by cluster";
    batch->rows = rows;
    LLOYD_TRY(lloyd_alloc(&batch->placed, rows, sizeof *batch->placed, what));
    return lloyd_alloc(&batch->labels, rows, sizeof *batch->labels, what);
}

void lloyd_member_batch_close(lloyd_member_batch *batch)
{
    lloyd_free(batch->placed);
    lloyd_free(batch->labels);
    *batch = (lloyd_member_batch){.placed = NULL};
}

/* The numbers of rows [at, at + count) in the dataset: in runs that no row is left out of. */
static void number_rows(const lloyd_member_rows *rows, int64_t at, int64_t count,
                        lloyd_placed *placed)
{
    for (int64_t i = 0; i < count;) {
        int64_t row = rows->first + at + i, run = count - i, number = row;
        if (rows->files) {
            run = lloyd_rows_run(rows->files, row, count - i);
            number = lloyd_rows_original(rows->files, row);
        }
#pragma omp parallel for num_threads(rows->threads) if (run > READ_ALONE)
        for (int64_t j = 0; j < run; j++) placed[i + j].member.row = number + j;
        i += run;
    }
}

lloyd_status lloyd_member_batch_read(lloyd_member_batch *batch, const lloyd_member_rows *rows,
                                     int64_t at, int64_t count)
{
    const int32_t *labels = rows->labels ? rows->labels + at : batch->labels;
    if (!rows->labels) LLOYD_TRY(rows->kernels->labels(rows->kernels, at, count, batch->labels));
    number_rows(rows, at, count, batch->placed);
#pragma omp parallel for num_threads(rows->threads) if (count > READ_ALONE)
    for (int64_t i = 0; i < count; i++) {
        batch->placed[i].cluster = labels[i];
        batch->placed[i].member.distance = rows->distances[at + i];
    }
    return LLOYD_OK;
}
