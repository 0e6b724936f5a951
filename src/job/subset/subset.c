/* See subset.h. */
#include "job/subset/subset.h"

#include "algorithm/permutation.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/stop.h"
#include "io/numbers.h"
#include "job/agreement.h"
#include "rows/bad_rows.h"
#include "rows/shard.h"

#include <stdio.h>
#include <string.h>

enum { WORD = 64, BATCH = 1 << 16 };

int lloyd_subset_is_wanted(const lloyd_fit_options *o)
{
    return o->rows || o->sample > 0 || o->sample_per_centroid > 0;
}

int lloyd_subset_labels_all(const lloyd_fit_options *o)
{
    const int any = !o->no_labels || o->distances || o->members;
    return lloyd_subset_is_wanted(o) && any && (!o->label || strcmp(o->label, "all") == 0);
}

lloyd_predict_options lloyd_subset_labelling(const lloyd_fit_options *o)
{
    return (lloyd_predict_options){.distances = o->distances,
                                   .members = o->members,
                                   .filter = o->filter,
                                   .chunk_rows = o->chunk_rows,
                                   .progress = o->progress};
}

const char *lloyd_subset_text(const lloyd_fit_options *o, char *text, size_t bytes)
{
    if (o->rows)
        snprintf(text, bytes, "--rows %s", o->rows);
    else if (o->sample > 0)
        snprintf(text, bytes, "--sample %lld", (long long)o->sample);
    else
        snprintf(text, bytes, "--sample-per-centroid %lld", (long long)o->sample_per_centroid);
    return text;
}

lloyd_status lloyd_subset_guard(const lloyd_fit_options *o, lloyd_guard *guard)
{
    lloyd_numbers *list;
    LLOYD_TRY(lloyd_numbers_open(o->rows, &list));
    lloyd_status status = lloyd_guard_read(guard, "the file of --rows", lloyd_numbers_path(list));
    lloyd_numbers_close(list);
    return status;
}

static int64_t words_for(int64_t stored)
{
    return stored / WORD + 1;
}

int64_t lloyd_subset_bytes(int64_t stored)
{
    return (words_for(stored) + BATCH) * (int64_t)sizeof(uint64_t);
}

/* ---- A list --------------------------------------------------------------------------------- */

/* Marks entry `index` of the list. */
static lloyd_status mark(lloyd_subset *s, const lloyd_numbers *list, int64_t index, int64_t row)
{
    if (row < 0 || row >= s->stored) {
        return lloyd_fail(
            LLOYD_BAD_INPUT,
            "%s: entry %lld (counted from 0) is row %lld, but the inputs have %lld rows, "
            "0 to %lld; correct the list",
            lloyd_numbers_path(list), (long long)index, (long long)row, (long long)s->stored,
            (long long)s->stored - 1);
    }
    const uint64_t bit = (uint64_t)1 << (row % WORD);
    if (s->marks[row / WORD] & bit) {
        return lloyd_fail(LLOYD_BAD_INPUT,
                          "%s: entry %lld (counted from 0) is row %lld once more; each row may be "
                          "there once",
                          lloyd_numbers_path(list), (long long)index, (long long)row);
    }
    s->marks[row / WORD] |= bit;
    return LLOYD_OK;
}

static lloyd_status mark_batch(lloyd_subset *s, const lloyd_numbers *list, int64_t first,
                               int64_t count, int64_t *batch)
{
    LLOYD_TRY(lloyd_stop_check());
    LLOYD_TRY(lloyd_numbers_read(list, first, count, batch));
    for (int64_t i = 0; i < count; i++) LLOYD_TRY(mark(s, list, first + i, batch[i]));
    return LLOYD_OK;
}

static lloyd_status mark_numbers(lloyd_subset *s, const lloyd_numbers *list)
{
    int64_t *batch;
    s->wanted = lloyd_numbers_count(list);
    if (s->wanted == 0)
        return lloyd_fail(LLOYD_BAD_INPUT, "%s has no row numbers; there is nothing to cluster",
                          lloyd_numbers_path(list));
    LLOYD_TRY(lloyd_alloc(&batch, BATCH, sizeof *batch, "row numbers"));
    lloyd_status status = LLOYD_OK;
    for (int64_t at = 0; at < s->wanted && status == LLOYD_OK; at += BATCH)
        status = mark_batch(s, list, at, s->wanted - at < BATCH ? s->wanted - at : BATCH, batch);
    lloyd_free(batch);
    return status;
}

static lloyd_status mark_list(lloyd_subset *s, const char *input)
{
    lloyd_numbers *list;
    LLOYD_TRY(lloyd_numbers_open(input, &list));
    lloyd_status status = mark_numbers(s, list);
    lloyd_numbers_close(list);
    return status;
}

/* ---- A sample ------------------------------------------------------------------------------- */

/* The first rows of the permutation: each is there once. */
static void mark_sample(lloyd_subset *s, uint64_t seed)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < s->wanted; i++) {
        int64_t row = lloyd_permuted(s->stored, seed, i);
        __atomic_fetch_or(&s->marks[row / WORD], (uint64_t)1 << (row % WORD), __ATOMIC_RELAXED);
    }
}

static int64_t sample_size(const lloyd_fit_options *o, int64_t stored)
{
    int64_t size = o->sample;
    if (size == 0 && __builtin_mul_overflow(o->sample_per_centroid, o->k, &size)) size = stored;
    return size < stored ? size : stored;
}

/* ---- Its rows ------------------------------------------------------------------------------- */

static lloyd_status mark_rows(const lloyd_fit_options *o, lloyd_subset *s)
{
    LLOYD_TRY(lloyd_alloc(&s->marks, words_for(s->stored), sizeof *s->marks, "marks of rows"));
    if (o->rows) return mark_list(s, o->rows);
    s->wanted = sample_size(o, s->stored);
    mark_sample(s, o->seed);
    return LLOYD_OK;
}

/* numbers[0 .. count) = the marked rows [first, first + count). */
static void list_rows(const lloyd_subset *s, int64_t first, int64_t count, int64_t *numbers)
{
    int64_t before = 0, listed = 0;
    for (int64_t word = 0; listed < count; word++) {
        uint64_t marks = s->marks[word];
        const int64_t here = __builtin_popcountll(marks);
        if (before + here > first)
            for (int64_t i = before; marks != 0 && listed < count; i++, marks &= marks - 1)
                if (i >= first) numbers[listed++] = word * WORD + __builtin_ctzll(marks);
        before += here;
    }
}

static lloyd_status keep_share(lloyd_comm *comm, const lloyd_subset *s, lloyd_rows *rows)
{
    const int64_t size = s->wanted - s->skipped;
    const int64_t first = lloyd_shard_first(size, comm->rank, comm->size);
    const int64_t count = lloyd_shard_first(size, comm->rank + 1, comm->size) - first;
    int64_t *numbers;
    LLOYD_TRY(lloyd_comm_alloc(comm, &numbers, count, sizeof *numbers, "the numbers of rows"));
    list_rows(s, first, count, numbers);
    lloyd_rows_keep(rows, numbers, first, count, size);
    return LLOYD_OK;
}

/* A list may be another file on each rank's machine. */
static lloyd_status compare(lloyd_comm *comm, lloyd_status status, const lloyd_fit_options *o,
                            const lloyd_subset *s)
{
    lloyd_agreement agreement = {0};
    char text[1024];
    if (status == LLOYD_OK) {
        uint64_t hash = lloyd_hash(0, s->marks, (size_t)words_for(s->stored) * sizeof *s->marks);
        lloyd_agreement_add(&agreement, "the %lld rows of %s, hash %016llx", (long long)s->wanted,
                            lloyd_subset_text(o, text, sizeof text), (unsigned long long)hash);
    }
    return lloyd_agreement_compare(comm, status, &agreement, &lloyd_differing_inputs);
}

lloyd_status lloyd_subset_begin(lloyd_comm *comm, const lloyd_fit_options *options,
                                lloyd_rows *rows, lloyd_subset *subset)
{
    *subset = (lloyd_subset){.stored = lloyd_rows_stored(rows)};
    LLOYD_TRY(compare(comm, mark_rows(options, subset), options, subset));
    return keep_share(comm, subset, rows);
}

lloyd_status lloyd_subset_skip_bad(lloyd_comm *comm, lloyd_rows *rows, int cosine,
                                   lloyd_subset *subset)
{
    int64_t *pairs, count;
    LLOYD_TRY(lloyd_bad_rows_find(comm, rows, cosine, &pairs, &count));
    for (int64_t i = 0; i < count; i++) {
        for (int64_t row = pairs[2 * i]; row < pairs[2 * i] + pairs[2 * i + 1]; row++)
            subset->marks[row / WORD] &= ~((uint64_t)1 << (row % WORD));
        subset->skipped += pairs[2 * i + 1];
    }
    lloyd_free(pairs);
    return subset->skipped > 0 ? keep_share(comm, subset, rows) : LLOYD_OK;
}

void lloyd_subset_end(lloyd_subset *subset)
{
    lloyd_free(subset->marks);
    subset->marks = NULL;
}
