/* See row_results.h. */
#include "job/results/row_results.h"

#include "base/memory.h"
#include "io/writers/array.h"
#include "job/results/members.h"
#include "rows/bad_rows.h"

#include <math.h>
#include <string.h>

enum { ROWS = 1 << 20 }; /* written at a time */

/* --- distances --- */

int lloyd_row_results_need_distances(const lloyd_row_outputs *wanted)
{
    return wanted->distances || wanted->members;
}

static lloyd_status measure_chunk(void *context, lloyd_chunk *chunk)
{
    const lloyd_row_results *r = context;
    lloyd_kernels *kernels = r->problem->kernels;
    return kernels->distances(kernels, chunk->slot, r->distances + chunk->first);
}

lloyd_status lloyd_row_results_measure(lloyd_row_results *r)
{
    lloyd_problem *p = r->problem;
    LLOYD_TRY(lloyd_comm_alloc(p->comm, &r->distances, p->shard->count, sizeof *r->distances,
                               "the distances of the rows"));
    return p->comm->agree(p->comm, lloyd_shard_each(p->shard, measure_chunk, r));
}

/* --- datasets of one number a row --- */

/* out[0 .. count) = what belongs to local rows [at, at + count). */
typedef lloyd_status (*row_values)(const lloyd_row_results *results, int64_t at, int64_t count,
                                   void *out);

static lloyd_status take_labels(const lloyd_row_results *r, int64_t at, int64_t count, void *out)
{
    lloyd_kernels *kernels = r->problem->kernels;
    if (!r->labels) return kernels->labels(kernels, at, count, out);
    memcpy(out, r->labels + at, (size_t)count * sizeof *r->labels);
    return LLOYD_OK;
}

static lloyd_status take_distances(const lloyd_row_results *r, int64_t at, int64_t count, void *out)
{
    float *rounded = out;
    for (int64_t i = 0; i < count; i++) rounded[i] = (float)r->distances[at + i];
    return LLOYD_OK;
}

/* Of four bytes each; *skipped for rows that are left out. */
static lloyd_status write_values(const lloyd_row_results *r, const lloyd_output *output,
                                 const char *name, row_values take, const void *skipped)
{
    const lloyd_shard *shard = r->problem->shard;
    const size_t size = 4;
    void *values = NULL;
    lloyd_array *array = NULL;
    int64_t count = shard->count, at_once = count < ROWS ? count : ROWS;
    lloyd_status status = lloyd_alloc(&values, at_once, size, "results to write");
    if (status == LLOYD_OK) status = lloyd_array_open(output, name, &array);
    for (int64_t at = 0; at < count && status == LLOYD_OK; at += at_once) {
        int64_t here = count - at < at_once ? count - at : at_once;
        status = take(r, at, here, values);
        if (status == LLOYD_OK)
            status = lloyd_bad_rows_write(r->rows, array, shard->first + at, here, values, size,
                                          skipped);
    }
    lloyd_free(values);
    lloyd_status closed = lloyd_array_close(array);
    return status != LLOYD_OK ? status : closed;
}

/* The numbers of the rows in the dataset. */
static lloyd_status write_numbers(const lloyd_row_results *r, const lloyd_output *output)
{
    const lloyd_shard *shard = r->problem->shard;
    int64_t *numbers = NULL;
    lloyd_array *array = NULL;
    int64_t count = shard->count, at_once = count < ROWS ? count : ROWS;
    lloyd_status status = lloyd_alloc(&numbers, at_once, sizeof *numbers, "results to write");
    if (status == LLOYD_OK) status = lloyd_array_open(output, "/rows", &array);
    for (int64_t at = 0; at < count && status == LLOYD_OK; at += at_once) {
        int64_t here = count - at < at_once ? count - at : at_once, first = shard->first + at;
        for (int64_t i = 0; i < here; i++) numbers[i] = lloyd_rows_original(r->rows, first + i);
        status = lloyd_array_write(array, first, here, numbers);
    }
    lloyd_free(numbers);
    lloyd_status closed = lloyd_array_close(array);
    return status != LLOYD_OK ? status : closed;
}

static lloyd_status write_own(const lloyd_row_results *r, const lloyd_output *output)
{
    const int32_t no_label = LLOYD_SKIPPED;
    const float no_distance = NAN;
    if (r->wanted.rows) LLOYD_TRY(write_numbers(r, output));
    if (r->wanted.labels) LLOYD_TRY(write_values(r, output, "/labels", take_labels, &no_label));
    if (!r->wanted.distances) return LLOYD_OK;
    return write_values(r, output, "/distances", take_distances, &no_distance);
}

/* --- all --- */

lloyd_status lloyd_row_results_write(lloyd_row_results *r, const lloyd_output *output,
                                     const int64_t *counts)
{
    const lloyd_problem *p = r->problem;
    LLOYD_TRY(p->comm->agree(p->comm, write_own(r, output)));
    if (!r->wanted.members) return LLOYD_OK;
    const lloyd_member_rows rows = {.first = p->shard->first,
                                    .count = p->shard->count,
                                    .distances = r->distances,
                                    .labels = r->labels,
                                    .kernels = p->kernels,
                                    .files = r->rows,
                                    .threads = p->kernels->config.threads};
    return lloyd_members_write(p->comm, output, &rows, counts, p->k, r->rounds,
                               &r->members_seconds);
}
