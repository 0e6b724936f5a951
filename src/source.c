/* See source.h. */
#include "source.h"

#include "shard.h"

lloyd_status lloyd_source_files(const lloyd_comm *comm, lloyd_rows *rows, int weighted,
                                lloyd_source *source)
{
    int64_t n = lloyd_rows_count(rows);
    *source = (lloyd_source){
        .n = n,
        .d = lloyd_rows_dim(rows),
        .first = lloyd_shard_first(n, comm->rank, comm->size),
        .type = lloyd_rows_type(rows),
        .rounded = lloyd_rows_rounded(rows),
        .weighted = weighted,
        .rows = rows,
    };
    source->count = lloyd_shard_first(n, comm->rank + 1, comm->size) - source->first;
    if (source->d <= INT32_MAX) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT, "%s has %lld columns; at most %d can be clustered",
                      lloyd_rows_file(rows, 0), (long long)source->d, INT32_MAX);
}

/* What all ranks must have alike; a rank without rows need not have weights. */
enum { D, LESS_D, TYPE, LESS_TYPE, WEIGHTED, UNWEIGHTED, FIELDS };

static lloyd_status check_alike(const double *most)
{
    if (most[D] != -most[LESS_D]) {
        return lloyd_fail(
            LLOYD_USAGE,
            "the rows of some ranks have %.0f columns, those of others %.0f; all must "
            "have the same",
            -most[LESS_D], most[D]);
    }
    if (most[TYPE] != -most[LESS_TYPE]) {
        return lloyd_fail(LLOYD_USAGE,
                          "the rows of some ranks are %s, those of others %s; all must be the same",
                          lloyd_type_name((lloyd_type)-most[LESS_TYPE]),
                          lloyd_type_name((lloyd_type)most[TYPE]));
    }
    if (most[WEIGHTED] == 0 || most[UNWEIGHTED] == 0) return LLOYD_OK;
    return lloyd_fail(LLOYD_USAGE, "some ranks give weights and others do not; give them on all "
                                   "ranks or on none");
}

lloyd_status lloyd_source_memory(lloyd_comm *comm, const void *data, const float *weights,
                                 int64_t count, int64_t d, lloyd_type type, lloyd_source *source)
{
    static const float none[1]; /* the weights of a rank without rows */
    double most[FIELDS] = {[D] = (double)d,
                           [LESS_D] = -(double)d,
                           [TYPE] = type,
                           [LESS_TYPE] = -(double)type,
                           [WEIGHTED] = weights != NULL,
                           [UNWEIGHTED] = !weights && count > 0};
    LLOYD_TRY(comm->max(comm, most, FIELDS));
    LLOYD_TRY(comm->agree(comm, comm->rank == 0 ? check_alike(most) : LLOYD_OK));
    int weighted = most[WEIGHTED] > 0;
    *source = (lloyd_source){
        .n = count,
        .d = d,
        .first = count,
        .count = count,
        .type = type,
        .weighted = weighted,
        .data = data,
        .weights = weighted && !weights ? none : weights,
    };
    LLOYD_TRY(lloyd_comm_sum_host(comm, &source->n, 1));
    LLOYD_TRY(comm->exclusive_scan(comm, &source->first));
    lloyd_status status = LLOYD_OK;
    if (source->n == 0 && comm->rank == 0)
        status = lloyd_fail(LLOYD_BAD_INPUT, "no rank has any rows; there is nothing to cluster");
    return comm->agree(comm, status);
}
