/* See row_source.h. */
#include "job/row_source.h"

#include "base/hash.h"
#include "rows/shard.h"

lloyd_status lloyd_row_source_files(const lloyd_comm *comm, lloyd_rows *rows, int weighted,
                                    lloyd_row_source *source)
{
    int64_t n = lloyd_rows_count(rows);
    *source = (lloyd_row_source){
        .n = n,
        .d = lloyd_rows_dim(rows),
        .first = lloyd_shard_first(n, comm->rank, comm->size),
        .type = lloyd_rows_type(rows),
        .rounded = lloyd_rows_rounded(rows),
        .weighted = weighted,
        .skipped = lloyd_rows_skipped(rows),
        .rows = rows,
    };
    source->count = lloyd_shard_first(n, comm->rank + 1, comm->size) - source->first;
    if (source->d <= INT32_MAX) return LLOYD_OK;
    return lloyd_fail(LLOYD_BAD_INPUT, "%s has %lld columns; at most %d can be clustered",
                      lloyd_rows_file(rows, 0), (long long)source->d, INT32_MAX);
}

void lloyd_row_source_agreement(const lloyd_rows *rows, lloyd_agreement *agreement)
{
    char text[1024];
    int files = lloyd_rows_files(rows);
    lloyd_agreement_add(agreement, "%lld rows x %lld columns of %s in %d file%s",
                        (long long)lloyd_rows_count(rows), (long long)lloyd_rows_dim(rows),
                        lloyd_type_name(lloyd_rows_type(rows)), files, files == 1 ? "" : "s");
    for (int i = 0; i < files; i++) {
        lloyd_rows_metadata(rows, i, text, sizeof text);
        lloyd_agreement_add(agreement, "%s", text);
    }
}

void lloyd_row_source_agreement_of_model(const char *name, const lloyd_model *model,
                                         lloyd_agreement *agreement)
{
    uint64_t hash = lloyd_hash((uint64_t)model->cosine, model->centroids,
                               (size_t)(model->k * model->d) * sizeof *model->centroids);
    lloyd_agreement_add(agreement, "the model %s with %lld centroids of %lld columns, hash %016llx",
                        name, (long long)model->k, (long long)model->d, (unsigned long long)hash);
}

/* What all ranks must have alike. */
static lloyd_status compare_memory(lloyd_comm *comm, int64_t d, lloyd_type type)
{
    const lloyd_difference difference = {LLOYD_USAGE,
                                         "give rows of the same columns and type on all ranks"};
    lloyd_agreement agreement = {0};
    lloyd_agreement_add(&agreement, "rows of %lld columns of %s", (long long)d,
                        lloyd_type_name(type));
    return lloyd_agreement_compare(comm, LLOYD_OK, &agreement, &difference);
}

/* *weighted = whether there are weights; a rank without rows need not have any. */
static lloyd_status find_weights(lloyd_comm *comm, const float *weights, int64_t count,
                                 int *weighted)
{
    double some[2] = {weights != NULL, !weights && count > 0};
    LLOYD_TRY(comm->max(comm, some, 2));
    *weighted = some[0] > 0;
    if (some[0] == 0 || some[1] == 0) return LLOYD_OK;
    if (comm->rank != 0) return lloyd_fail(LLOYD_USAGE, "%s", "");
    return lloyd_fail(LLOYD_USAGE, "some ranks give weights and others do not; give them on all "
                                   "ranks or on none");
}

lloyd_status lloyd_row_source_memory(lloyd_comm *comm, const void *data, const float *weights,
                                     int64_t count, int64_t d, lloyd_type type,
                                     lloyd_row_source *source)
{
    static const float none[1]; /* the weights of a rank without rows */
    int weighted = 0;
    LLOYD_TRY(compare_memory(comm, d, type));
    LLOYD_TRY(find_weights(comm, weights, count, &weighted));
    *source = (lloyd_row_source){
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
