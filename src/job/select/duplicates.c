/* See duplicates.h. */
#include "job/select/duplicates.h"

#include "base/memory.h"
#include "base/shown.h"
#include "base/text.h"
#include "job/select/bits.h"
#include "job/select/pick.h"
#include "kernels/blas.h"
#include "kernels/similar.h"

#include <stdio.h>

enum { LEAST = 256 }; /* rows of a block, and that are compared between two looks at the clock */

static const double SHOWN = 4e9; /* products of a thread, likewise */

typedef struct finding {
    const lloyd_duplicates *job;
    int64_t first, end;    /* clusters */
    int64_t largest;       /* rows of one of them */
    int64_t block, others; /* rows there is room for, in `rows` and in `later` */
    lloyd_directions rows, later;
    lloyd_similarity similarity;
    lloyd_pick *pick;
    int64_t *members;        /* row numbers of the clusters of a block, or of a large one */
    int64_t *places;         /* [block or others] of the rows in /members */
    int64_t *numbers;        /* the same in the dataset */
    int64_t *stay;           /* [block] */
    int64_t *begin, *counts; /* of the clusters of a block: [end - first + 1] */
    char *similar;           /* [others] */
    uint64_t *kept;
    lloyd_shown shown;
    double done, compared; /* work of clusters that are finished; pairs of others */
    int64_t dropped;       /* rows */
} finding;

static int64_t size_of(const finding *f, int64_t cluster)
{
    return f->job->clusters->offsets[cluster + 1] - f->job->clusters->offsets[cluster];
}

/* ---- Work, and who does it ------------------------------------------------------------------ */

/* Comparisons, and what a row costs besides. */
static double work_of(double size)
{
    enum { ROW = 1000 };
    return size * size / 2 + ROW * size;
}

int64_t lloyd_duplicates_first(const lloyd_clusters *c, int rank, int size)
{
    double all = 0, before = 0;
    int64_t k = 0;
    if (rank == size) return c->k;
    for (int64_t i = 0; i < c->k; i++) all += work_of((double)(c->offsets[i + 1] - c->offsets[i]));
    for (; k < c->k && before < all * rank / size; k++)
        before += work_of((double)(c->offsets[k + 1] - c->offsets[k]));
    return k;
}

/* ---- What is shown -------------------------------------------------------------------------- */

/* So many more pairs have been compared. */
static void show(void *context, int64_t pairs)
{
    finding *f = context;
    char rows[32], found[64];
    f->compared += (double)pairs;
    snprintf(found, sizeof found, "%s rows left out",
             lloyd_text_count(f->dropped, rows, sizeof rows));
    lloyd_shown_at(&f->shown, f->done + f->compared, found);
}

/* Clusters of which that much is the work are done. */
static void finish(finding *f, double work)
{
    f->done += work;
    f->compared = 0;
    show(f, 0);
}

/* ---- Memory --------------------------------------------------------------------------------- */

static int64_t bytes_per_row(const finding *f)
{
    const int64_t lists = 3 * (int64_t)sizeof(int64_t) + 1; /* places, numbers, stay, similar */
    return lloyd_directions_bytes(lloyd_rows_dim(f->job->rows)) + lloyd_pick_bytes_per_row() +
           lists;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* How many rows there is room for. */
static lloyd_status plan(finding *f)
{
    const lloyd_clusters *c = f->job->clusters;
    const int64_t all = c->offsets[f->end] - c->offsets[f->first];
    for (int64_t k = f->first; k < f->end; k++)
        if (size_of(f, k) > f->largest) f->largest = size_of(f, k);
    const int64_t fixed = lloyd_rows_memory(f->job->rows) + lloyd_pick_bytes(f->job->rows) +
                          f->job->threads * LLOYD_SIMILARITY_SCRATCH * (int64_t)sizeof(float) +
                          (f->end - f->first + 1) * 2 * (int64_t)sizeof(int64_t) +
                          f->largest * (int64_t)sizeof(int64_t);
    const int64_t each = bytes_per_row(f) + (int64_t)sizeof(int64_t), least = 2 * LEAST * each;
    if (lloyd_blas_take(f->job->threads) > 0)
        return lloyd_fail(
            LLOYD_FAILED,
            "the limit on address space (ulimit -v) leaves no room for the buffers of "
            "the BLAS of %d threads; raise it, or use fewer threads",
            f->job->threads);
    if (f->job->memory < fixed + least)
        return lloyd_fail(
            LLOYD_FAILED,
            "near-duplicates need at least %lld MB of memory, but there are %lld MB; raise "
            "--max-host-memory, or make smaller clusters",
            (long long)(fixed + least) / 1000000 + 1, (long long)f->job->memory / 1000000);
    const int64_t room = (f->job->memory - fixed) / each;
    f->block = f->largest <= room ? smaller(room, all) : room / 2;
    f->others = f->largest <= f->block ? 0 : smaller(room / 2, f->largest);
    if (f->block < 1) f->block = 1;
    return LLOYD_OK;
}

static lloyd_status open_directions(lloyd_directions *d, int64_t dim, int64_t count)
{
    d->dim = dim;
    LLOYD_TRY(lloyd_alloc(&d->rows, count * dim, sizeof *d->rows, "rows of clusters"));
    LLOYD_TRY(lloyd_alloc(&d->unit, count * dim, sizeof *d->unit, "directions of rows"));
    return lloyd_alloc(&d->squares, count, sizeof *d->squares, "lengths of rows");
}

static void close_directions(lloyd_directions *d)
{
    lloyd_free(d->rows);
    lloyd_free(d->unit);
    lloyd_free(d->squares);
}

static lloyd_status open_all(finding *f)
{
    const int64_t dim = lloyd_rows_dim(f->job->rows), clusters = f->end - f->first;
    const int64_t most = f->block > f->others ? f->block : f->others;
    const char *what = "rows of clusters";
    LLOYD_TRY(open_directions(&f->rows, dim, f->block));
    LLOYD_TRY(open_directions(&f->later, dim, f->others));
    LLOYD_TRY(lloyd_pick_open(f->job->rows, most, f->job->threads, &f->pick));
    LLOYD_TRY(lloyd_alloc(&f->members, f->block > f->largest ? f->block : f->largest,
                          sizeof *f->members, what));
    LLOYD_TRY(lloyd_alloc(&f->places, most, sizeof *f->places, what));
    LLOYD_TRY(lloyd_alloc(&f->numbers, most, sizeof *f->numbers, what));
    LLOYD_TRY(lloyd_alloc(&f->stay, f->block, sizeof *f->stay, what));
    LLOYD_TRY(lloyd_alloc(&f->begin, clusters + 1, sizeof *f->begin, what));
    LLOYD_TRY(lloyd_alloc(&f->counts, clusters, sizeof *f->counts, what));
    LLOYD_TRY(lloyd_alloc(&f->similar, f->others, sizeof *f->similar, what));
    f->similarity = (lloyd_similarity){.threshold = f->job->threshold,
                                       .with_all = f->job->with_all,
                                       .threads = f->job->threads,
                                       .compared = show,
                                       .context = f};
    return lloyd_alloc(&f->similarity.scratch, (int64_t)f->job->threads * LLOYD_SIMILARITY_SCRATCH,
                       sizeof *f->similarity.scratch, "products of rows");
}

static void close_all(finding *f)
{
    close_directions(&f->rows);
    close_directions(&f->later);
    lloyd_pick_close(f->pick);
    lloyd_free(f->members);
    lloyd_free(f->places);
    lloyd_free(f->numbers);
    lloyd_free(f->stay);
    lloyd_free(f->begin);
    lloyd_free(f->counts);
    lloyd_free(f->similar);
    lloyd_free(f->similarity.scratch);
}

/* ---- Rows ----------------------------------------------------------------------------------- */

static lloyd_status bad_row(const finding *f, int64_t row)
{
    char where[512];
    lloyd_rows_where(f->job->rows, row, where, sizeof where);
    return lloyd_fail(LLOYD_BAD_INPUT,
                      "%s (row %lld of the dataset) holds NaN or infinity, but is a member of a "
                      "cluster of %s; give the rows that were clustered as --input",
                      where, (long long)row, f->job->clusters->path);
}

/* into = the rows at places[0 .. count) of /members; members: those from place `base` on. */
static lloyd_status load(finding *f, int64_t base, int64_t count, lloyd_directions *into)
{
    for (int64_t i = 0; i < count; i++) f->numbers[i] = f->members[f->places[i] - base];
    LLOYD_TRY(lloyd_pick_read(f->pick, f->numbers, count, into->rows));
    const int64_t bad = lloyd_directions_measure(into, count, f->job->threads);
    return bad < 0 ? LLOYD_OK : bad_row(f, f->numbers[bad]);
}

/* ---- Clusters that fit ---------------------------------------------------------------------- */

/* places[..] = those of the members of clusters [first, end), in the order in which they are visited. */
static void visit_clusters(finding *f, int64_t first, int64_t end)
{
    const int64_t *offsets = f->job->clusters->offsets, base = offsets[first];
    for (int64_t k = first; k <= end; k++) f->begin[k - first] = offsets[k] - base;
#pragma omp parallel for num_threads(f->job->threads) schedule(dynamic, 16)
    for (int64_t k = first; k < end; k++) {
        const uint64_t key = lloyd_visit_key(f->job->seed, k, 0);
        const int64_t size = size_of(f, k);
        for (int64_t i = 0; i < size; i++)
            f->places[offsets[k] - base + i] =
                offsets[k] + lloyd_visit_place(f->job->visit, size, key, i);
    }
}

/* Clusters [first, end), whose rows are there from number f->begin[at] on. */
static void thin_clusters(finding *f, int64_t first, int64_t end, int64_t at)
{
    double work = 0;
    lloyd_similarity_thin(&f->similarity, &f->rows, f->begin + at, end - first, f->stay, f->counts);
    for (int64_t g = 0; g < end - first; g++) {
        const int64_t begin = f->begin[at + g], size = f->begin[at + g + 1] - begin;
        for (int64_t i = 0; i < f->counts[g]; i++)
            lloyd_bits_add(f->kept, f->places[f->stay[begin + i]]);
        f->dropped += size - f->counts[g];
        work += work_of((double)size);
    }
    finish(f, work);
}

static lloyd_status find_in_clusters(finding *f, int64_t first, int64_t end)
{
    const int64_t base = f->job->clusters->offsets[first],
                  count = f->job->clusters->offsets[end] - base;
    const double most = SHOWN / (double)lloyd_rows_dim(f->job->rows) * f->job->threads;
    LLOYD_TRY(lloyd_clusters_read(f->job->clusters, base, count, f->members));
    visit_clusters(f, first, end);
    LLOYD_TRY(load(f, base, count, &f->rows));
    for (int64_t k = first, next; k < end; k = next) {
        double work = 0;
        for (next = k; next < end && work < most; next++) work += work_of((double)size_of(f, next));
        thin_clusters(f, k, next, k - first);
    }
    return LLOYD_OK;
}

/* ---- A cluster that does not ---------------------------------------------------------------- */

/* places[0 .. count) = those of the next members of the cluster, of all or those that are left, at most `most`; *next:
 * where to go on. */
static int64_t next_places(finding *f, int64_t cluster, int all, int64_t most, int64_t *next)
{
    const int64_t base = f->job->clusters->offsets[cluster], size = size_of(f, cluster);
    const uint64_t key = lloyd_visit_key(f->job->seed, cluster, 0);
    int64_t count = 0;
    for (; *next < size && count < most; ++*next) {
        const int64_t place = base + lloyd_visit_place(f->job->visit, size, key, *next);
        if (all || lloyd_bits_has(f->kept, place)) f->places[count++] = place;
    }
    return count;
}

/* Leaves out the member at a place, if it is left. */
static void drop(finding *f, int64_t place)
{
    if (!lloyd_bits_has(f->kept, place)) return;
    lloyd_bits_remove(f->kept, place);
    f->dropped++;
}

/* The next block; first: its first rows are those that later ones are compared with. */
static lloyd_status find_in_block(finding *f, int64_t cluster, int64_t *next, int64_t *first)
{
    const int64_t count = next_places(f, cluster, f->job->with_all, f->block, next);
    const int64_t begin[2] = {0, count};
    int64_t kept;
    LLOYD_TRY(load(f, f->job->clusters->offsets[cluster], count, &f->rows));
    lloyd_similarity_thin(&f->similarity, &f->rows, begin, 1, f->stay, &kept);
    for (int64_t i = 0, next_stay = 0; i < count; i++) {
        if (next_stay < kept && f->stay[next_stay] == i) {
            next_stay++;
        } else {
            drop(f, f->places[i]);
        }
    }
    *first = f->job->with_all ? count : kept;
    return LLOYD_OK;
}

/* Leaves out those of the `count` rows in `later` that are similar to one of the first rows of the block. */
static void compare_later(finding *f, int64_t first, int64_t count)
{
    const int64_t dim = f->later.dim, piece = (int64_t)LEAST * f->job->threads;
    for (int64_t at = 0; at < count; at += piece) {
        const int64_t here = smaller(count - at, piece);
        const lloyd_directions rows = {dim, f->later.rows + at * dim, f->later.unit + at * dim,
                                       f->later.squares + at};
        lloyd_similarity_compare(&f->similarity, &f->rows, first, &rows, here, f->similar + at);
        show(f, here * first);
    }
    for (int64_t i = 0; i < count; i++)
        if (f->similar[i]) drop(f, f->places[i]);
}

static lloyd_status find_in_large(finding *f, int64_t cluster)
{
    const int64_t *offsets = f->job->clusters->offsets, size = size_of(f, cluster);
    LLOYD_TRY(lloyd_clusters_read(f->job->clusters, offsets[cluster], size, f->members));
    for (int64_t i = offsets[cluster]; i < offsets[cluster + 1]; i++) lloyd_bits_add(f->kept, i);
    for (int64_t next = 0, first; next < size;) {
        LLOYD_TRY(find_in_block(f, cluster, &next, &first));
        for (int64_t later = next; later < size;) {
            const int64_t count = next_places(f, cluster, 0, f->others, &later);
            LLOYD_TRY(load(f, offsets[cluster], count, &f->later));
            compare_later(f, first, count);
        }
    }
    finish(f, work_of((double)size));
    return LLOYD_OK;
}

/* ---- All ------------------------------------------------------------------------------------ */

static lloyd_status find_all(finding *f)
{
    const int64_t *offsets = f->job->clusters->offsets;
    for (int64_t k = f->first, next; k < f->end; k = next) {
        for (next = k; next < f->end && offsets[next + 1] - offsets[k] <= f->block;) next++;
        if (next > k) {
            LLOYD_TRY(find_in_clusters(f, k, next));
        } else {
            LLOYD_TRY(find_in_large(f, k));
            next = k + 1;
        }
    }
    return lloyd_rows_check(f->job->rows, 0, lloyd_rows_count(f->job->rows));
}

lloyd_status lloyd_duplicates_find(const lloyd_duplicates *d, int64_t first, int64_t end,
                                   uint64_t *kept)
{
    finding f = {.job = d, .first = first, .end = end, .kept = kept};
    double total = 0;
    for (int64_t k = first; k < end; k++) total += work_of((double)size_of(&f, k));
    lloyd_shown_begin(&f.shown, d->mode, "near-duplicates", total);
    lloyd_blas_use_one_thread(1);
    lloyd_status status = plan(&f);
    if (status == LLOYD_OK) status = open_all(&f);
    if (status == LLOYD_OK) status = find_all(&f);
    lloyd_shown_end(&f.shown);
    close_all(&f);
    return status;
}
