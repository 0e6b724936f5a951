/* See similar.h.
 *
 * A BLAS multiplies tiles of rows of length 1 in float32. What a product can be off by is known (slack()), and
 * pairs within that of the threshold, which are few, are decided by the definition. So the result does not
 * depend on the BLAS, on tiles or threads. */
#include "kernels/similar.h"

#include "kernels/clones.h"
#include "kernels/dist.h"
#include "kernels/numerics.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <string.h>

enum {
    TILE_ROWS = 128,
    TILE_COLUMNS = LLOYD_SIMILARITY_SCRATCH / TILE_ROWS,
    LARGE = 4096 /* rows of a group that all threads work on together */
};

/* ---- The definition ------------------------------------------------------------------------- */

LLOYD_CLONES static double product(const float *x, const float *y, int64_t dim)
{
    double p[LLOYD_LANES] = {0};
    int64_t j = 0;
    for (; j + LLOYD_LANES <= dim; j += LLOYD_LANES) {
        for (int l = 0; l < LLOYD_LANES; l++) p[l] = fma((double)x[j + l], (double)y[j + l], p[l]);
    }
    for (int l = 0; j + l < dim; l++) p[l] = fma((double)x[j + l], (double)y[j + l], p[l]);
    return lloyd_tree(p, LLOYD_LANES);
}

/* The product of two squared lengths, of float32 elements, neither overflows nor underflows. */
int lloyd_is_similar(const float *x, double xx, const float *y, double yy, int64_t dim,
                     double threshold)
{
    return product(x, y, dim) > lloyd_mul(threshold, sqrt(lloyd_mul(xx, yy)));
}

/* ---- Scores --------------------------------------------------------------------------------- */

/* What a score may differ by from the similarity that the definition compares, on either side; numerics 11.3. */
static double slack(int64_t dim)
{
    const double roundings = (double)(dim + 8) * 0x1p-24;
    if (roundings > 0.5) return 4; /* says nothing: all pairs are decided by the definition */
    return (roundings / (1 - roundings) + 0x1p-22) * (1 + 0x1p-19) + (double)(dim + 64) * 0x1p-52 +
           (double)dim * 0x1p-120;
}

LLOYD_CLONES static float maximum(const float *values, int64_t count)
{
    float most = values[0];
    for (int64_t i = 1; i < count; i++) most = values[i] > most ? values[i] : most;
    return most;
}

LLOYD_CLONES static void scale(const float *row, int64_t dim, double length, float *unit)
{
    for (int64_t j = 0; j < dim; j++) unit[j] = lloyd_normalised(row[j], length);
}

int64_t lloyd_directions_bytes(int64_t dim)
{
    return 2 * dim * (int64_t)sizeof(float) + (int64_t)sizeof(double);
}

int64_t lloyd_directions_measure(lloyd_directions *d, int64_t count, int threads)
{
    int64_t bad = INT64_MAX;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(min : bad)
    for (int64_t i = 0; i < count; i++) {
        const float *row = d->rows + i * d->dim;
        const double square = lloyd_square(row, d->dim); /* of finite elements it is finite */
        d->squares[i] = square;
        if (!isfinite(square) && i < bad) bad = i;
        scale(row, d->dim, square > 0 ? sqrt(square) : 1, d->unit + i * d->dim);
    }
    return bad == INT64_MAX ? -1 : bad;
}

/* Whether row i of a is similar to one of rows [j0, j0 + count) of b, with which it has these scores. */
static int is_similar_to_one(const lloyd_similarity *s, const lloyd_directions *a, int64_t i,
                             const lloyd_directions *b, int64_t j0, int64_t count,
                             const float *scores)
{
    if (count == 0) return 0;
    const double most = (double)maximum(scores, count), off = slack(a->dim),
                 least = s->threshold - off;
    if (most < least) return 0;
    if (most > s->threshold + off) return 1;
    for (int64_t j = 0; j < count; j++) {
        if ((double)scores[j] >= least &&
            lloyd_is_similar(a->rows + i * a->dim, a->squares[i], b->rows + (j0 + j) * b->dim,
                             b->squares[j0 + j], a->dim, s->threshold))
            return 1;
    }
    return 0;
}

/* scores[i * TILE_COLUMNS + j], of rows i0 + i of a and j0 + j of b. */
static void score(const lloyd_directions *a, int64_t i0, int64_t rows, const lloyd_directions *b,
                  int64_t j0, int64_t columns, float *scores)
{
    const int dim = (int)a->dim;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)columns, dim, 1.0F,
                a->unit + i0 * a->dim, dim, b->unit + j0 * b->dim, dim, 0.0F, scores, TILE_COLUMNS);
}

/* dropped[i] = 1 for those of rows i0 + i that are similar to one of the columns. Several threads may do other
 * columns. */
static void mark(const lloyd_similarity *s, const lloyd_directions *a, int64_t i0, int64_t rows,
                 const lloyd_directions *b, int64_t j0, int64_t columns, float *scores,
                 char *dropped)
{
    score(a, i0, rows, b, j0, columns, scores);
    for (int64_t i = 0; i < rows; i++) {
        if (__atomic_load_n(&dropped[i], __ATOMIC_RELAXED)) continue;
        if (is_similar_to_one(s, a, i0 + i, b, j0, columns, scores + i * TILE_COLUMNS))
            __atomic_store_n(&dropped[i], 1, __ATOMIC_RELAXED);
    }
}

static int64_t at_most(int64_t count, int64_t most)
{
    return count < most ? count : most;
}

/* ---- Thinning out --------------------------------------------------------------------------- */

static void move(lloyd_directions *d, int64_t from, int64_t to)
{
    const size_t bytes = (size_t)d->dim * sizeof(float);
    if (from == to) return;
    memcpy(d->rows + to * d->dim, d->rows + from * d->dim, bytes);
    memcpy(d->unit + to * d->dim, d->unit + from * d->dim, bytes);
    d->squares[to] = d->squares[from];
}

/* Whether row i of the tile from i0 on is similar to one before it in the tile that it is compared with. stays: the
 * rows of the tile, `count` of them, that stay; they are at `end` too, unless with_all is set. */
static int is_similar_in_tile(const lloyd_similarity *s, const lloyd_directions *d, int64_t i0,
                              int64_t i, const float *scores, int64_t end, const int64_t *stays,
                              int64_t count)
{
    float with_kept[TILE_ROWS];
    if (s->with_all) return is_similar_to_one(s, d, i0 + i, d, i0, i, scores);
    for (int64_t j = 0; j < count; j++) with_kept[j] = scores[stays[j]];
    return is_similar_to_one(s, d, i0 + i, d, end, count, with_kept);
}

/* The rows of a tile among themselves: those that stay, of those that are not dropped yet, are the next after `end`. */
static int64_t thin_tile(const lloyd_similarity *s, lloyd_directions *d, int64_t i0, int64_t rows,
                         int64_t first, int64_t end, const char *dropped, float *scores,
                         int64_t *places)
{
    int64_t stays[TILE_ROWS], count = 0;
    score(d, i0, rows, d, i0, rows, scores);
    for (int64_t i = 0; i < rows; i++) {
        if (dropped[i] ||
            is_similar_in_tile(s, d, i0, i, scores + i * TILE_COLUMNS, end, stays, count))
            continue;
        if (!s->with_all) move(d, i0 + i, end + count);
        places[end + count - first] = i0 + i;
        stays[count++] = i;
    }
    return end + count;
}

/* One group; with the scratch of `threads` threads. reports: whether it calls compared(). */
static int64_t thin(const lloyd_similarity *s, lloyd_directions *d, int64_t first, int64_t count,
                    int threads, float *scratch, int reports, int64_t *places)
{
    int64_t end = first; /* first + the number of those that stay */
    for (int64_t i0 = first; i0 < first + count; i0 += TILE_ROWS) {
        const int64_t rows = at_most(first + count - i0, TILE_ROWS),
                      before = s->with_all ? i0 : end; /* of those to compare with */
        char dropped[TILE_ROWS] = {0};
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
        for (int64_t j0 = first; j0 < before; j0 += TILE_COLUMNS)
            mark(s, d, i0, rows, d, j0, at_most(before - j0, TILE_COLUMNS),
                 scratch + (int64_t)omp_get_thread_num() * LLOYD_SIMILARITY_SCRATCH, dropped);
        if (reports && s->compared) s->compared(s->context, rows * (before - first));
        end = thin_tile(s, d, i0, rows, first, end, dropped, scratch, places);
    }
    return end - first;
}

void lloyd_similarity_thin(const lloyd_similarity *s, lloyd_directions *d, const int64_t *begin,
                           int64_t groups, int64_t *places, int64_t *kept)
{
#pragma omp parallel for num_threads(s->threads) schedule(dynamic)
    for (int64_t g = 0; g < groups; g++) {
        float *scratch = s->scratch + (int64_t)omp_get_thread_num() * LLOYD_SIMILARITY_SCRATCH;
        const int64_t size = begin[g + 1] - begin[g];
        if (size <= LARGE) kept[g] = thin(s, d, begin[g], size, 1, scratch, 0, places + begin[g]);
    }
    for (int64_t g = 0; g < groups; g++) {
        const int64_t size = begin[g + 1] - begin[g];
        if (size > LARGE)
            kept[g] = thin(s, d, begin[g], size, s->threads, s->scratch, 1, places + begin[g]);
    }
}

void lloyd_similarity_compare(const lloyd_similarity *s, const lloyd_directions *d, int64_t first,
                              const lloyd_directions *others, int64_t count, char *dropped)
{
    memset(dropped, 0, (size_t)count);
#pragma omp parallel for num_threads(s->threads) schedule(dynamic)
    for (int64_t i0 = 0; i0 < count; i0 += TILE_ROWS) {
        float *scratch = s->scratch + (int64_t)omp_get_thread_num() * LLOYD_SIMILARITY_SCRATCH;
        const int64_t rows = at_most(count - i0, TILE_ROWS);
        for (int64_t j0 = 0; j0 < first; j0 += TILE_COLUMNS)
            mark(s, others, i0, rows, d, j0, at_most(first - j0, TILE_COLUMNS), scratch,
                 dropped + i0);
    }
}
