/* See int8.h. Names follow section 2.6 of docs/numerics.md: X = x - m and C = c - m are a row and a
 * centroid, x^ and c^ their operands. */
#include "kernels/cpu/int8.h"

#include "kernels/clones.h"
#include "kernels/numerics.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { ROWS = LLOYD_INT8_ROWS, TILE = LLOYD_INT8_CENTROIDS, MOST = LLOYD_INT8_CANDIDATES };

/* Codes of rows are stored as 128 more, which makes them unsigned. */
enum { OFFSET = 128, GREATEST = 127 };

/* More than all roundings of sums of squares and bounds in double are. */
static const double UP = 1 + 0x1p-20;

/* Beyond these nothing is proved: no product underflows or overflows in between. */
static const double LEAST_UNIT = 0x1p-40, GREATEST_UNIT = 0x1p40;

void lloyd_int8_open(lloyd_int8_set *set, const lloyd_int8_product *product, lloyd_type type,
                     int cosine, int64_t dim, int threads)
{
    *set = (lloyd_int8_set){.dim = dim, .threads = threads};
    if (!product || dim > LLOYD_INT8_MOST_COLUMNS) return;
    set->product = product;
    set->exact = !cosine && (type == LLOYD_U8 || type == LLOYD_I8);
    set->is_signed = type == LLOYD_I8;
    set->words = (dim + LLOYD_INT8_COLUMNS - 1) / LLOYD_INT8_COLUMNS;
}

static int64_t padded(int64_t count)
{
    return (count + TILE - 1) / TILE * TILE;
}

/* Columns of a thread's codes: no two threads write to one cache line. */
static int64_t padded_columns(int64_t dim)
{
    const int64_t line = 32;
    return (dim + line - 1) / line * line;
}

void lloyd_int8_list_set(cpu_buffers *buffers, lloyd_int8_set *set, int64_t count)
{
    int64_t room = padded(count);
    if (!set->product) return;
    CPU_BUFFER(buffers, set->operand, room * set->words, "8-bit operands of the centroids");
    CPU_BUFFER(buffers, set->correction, room, "corrections of the centroids");
    CPU_BUFFER(buffers, set->bias, room, "biases of the centroids");
    CPU_BUFFER(buffers, set->centre, set->dim, "the filter's origin");
    CPU_BUFFER(buffers, set->codes, set->threads * padded_columns(set->dim), "codes of centroids");
}

void lloyd_int8_list_scratch(cpu_buffers *buffers, const lloyd_int8_set *set,
                             lloyd_int8_scratch *scratch)
{
    const char *what = "working space of a thread";
    if (!set->product) return;
    CPU_BUFFER(buffers, scratch->words, set->words * ROWS, what);
    CPU_BUFFER(buffers, scratch->codes, set->dim, what);
}

static lloyd_status reserve(lloyd_int8_set *set, int64_t count)
{
    cpu_buffers buffers = {.work = CPU_BUFFERS_RESERVE};
    if (count <= set->capacity) return LLOYD_OK;
    set->capacity = 0;
    lloyd_int8_list_set(&buffers, set, count);
    if (buffers.status == LLOYD_OK) set->capacity = padded(count);
    return buffers.status;
}

/* --- operands --- */

/* Sums over the columns of a row or centroid, C = X for a row. */
typedef struct sums {
    double square;   /* |X|^2 */
    double operand;  /* |x^|^2 */
    double residual; /* |X - x^|^2 */
    double cross;    /* X . (X - x^) */
    double shift;    /* m . x^ */
    int64_t codes;
} sums;

LLOYD_CLONES static float greatest_difference(const float *x, const float *centre, int64_t dim)
{
    float greatest[LLOYD_LANES] = {0};
    int64_t j = 0;
    for (; j + LLOYD_LANES <= dim; j += LLOYD_LANES) {
        for (int l = 0; l < LLOYD_LANES; l++) {
            float t = fabsf(x[j + l] - centre[j + l]);
            greatest[l] = t > greatest[l] ? t : greatest[l];
        }
    }
    for (; j < dim; j++) greatest[0] = fmaxf(greatest[0], fabsf(x[j] - centre[j]));
    for (int l = 1; l < LLOYD_LANES; l++) greatest[0] = fmaxf(greatest[0], greatest[l]);
    return greatest[0];
}

/* codes[j] = the code of X[j] in the unit `scale`, and the sums. Any codes are right: what they leave of X
 * is measured. */
LLOYD_CLONES static sums encode(const float *x, const float *centre, double scale, int64_t dim,
                                int16_t *codes)
{
    enum { LANES = 16 };
    double square[LANES] = {0}, operand[LANES] = {0}, residual[LANES] = {0}, cross[LANES] = {0},
           shift[LANES] = {0}, inverse = 1 / scale;
    int64_t total = 0;
    for (int64_t j0 = 0; j0 < dim; j0 += LANES) {
        double value[LANES] = {0}, near[LANES], m[LANES] = {0};
        int lanes = (int)(dim - j0 < LANES ? dim - j0 : LANES);
        for (int l = 0; l < lanes; l++) m[l] = (double)centre[j0 + l];
        for (int l = 0; l < lanes; l++) value[l] = (double)x[j0 + l] - m[l];
        for (int l = 0; l < LANES; l++) {
            double code = value[l] * inverse;
            code = code > GREATEST ? GREATEST : code;
            code = code < -GREATEST ? -GREATEST : code;
            near[l] = (code + 0x1.8p52) - 0x1.8p52; /* rint() */
        }
        for (int l = 0; l < lanes; l++) codes[j0 + l] = (int16_t)near[l];
        for (int l = 0; l < lanes; l++) total += codes[j0 + l];
        for (int l = 0; l < LANES; l++) {
            double approximate = near[l] * scale, rest = value[l] - approximate;
            square[l] = fma(value[l], value[l], square[l]);
            operand[l] = fma(approximate, approximate, operand[l]);
            residual[l] = fma(rest, rest, residual[l]);
            cross[l] = fma(value[l], rest, cross[l]);
            shift[l] = fma(m[l], approximate, shift[l]);
        }
    }
    return (sums){lloyd_tree(square, LANES),   lloyd_tree(operand, LANES),
                  lloyd_tree(residual, LANES), lloyd_tree(cross, LANES),
                  lloyd_tree(shift, LANES),    total};
}

/* The words of a centroid. */
static void pack_centroid(const lloyd_int8_set *set, const int16_t *codes, int32_t *words)
{
    memset(words, 0, (size_t)set->words * sizeof *words);
    int8_t *bytes = (int8_t *)words;
    for (int64_t j = 0; j < set->dim; j++) bytes[j] = (int8_t)codes[j];
}

/* What the bound needs of all centroids. */
typedef struct greatest {
    double residual, operand, square, shift, bias;
} greatest;

static void prepare_one(lloyd_int8_set *set, const float *centroid, int64_t k, int16_t *codes,
                        greatest *most)
{
    sums s = encode(centroid, set->centre, set->scale, set->dim, codes);
    pack_centroid(set, codes, set->operand + k * set->words);
    double bias = s.square / 2 - s.cross + (set->exact ? s.shift : 0);
    set->bias[k] = (float)bias;
    set->correction[k] = set->exact && !set->is_signed ? 0 : (int32_t)(-(int64_t)OFFSET * s.codes);
    most->residual = fmax(most->residual, s.residual);
    most->operand = fmax(most->operand, s.operand);
    most->square = fmax(most->square, s.square);
    most->bias = fmax(most->bias, fabs(bias));
}

/* Filler of the last tile: no threshold is as low as its scores. */
static void fill_up(lloyd_int8_set *set)
{
    for (int64_t k = set->count; k < padded(set->count); k++) {
        memset(set->operand + k * set->words, 0, (size_t)set->words * sizeof *set->operand);
        set->correction[k] = 0;
        set->bias[k] = INFINITY;
    }
}

/* |m|, which takes part where rows are used as they are. */
static double centre_length(const lloyd_int8_set *set)
{
    double square = 0;
    for (int64_t j = 0; set->exact && j < set->dim; j++)
        square += (double)set->centre[j] * (double)set->centre[j];
    return sqrt(square);
}

/* Rows that are used as they are do not mind where the origin is: the centroids' unit is smallest in
 * the middle of their range. */
static void choose_middle(lloyd_int8_set *set, const float *centroids)
{
#pragma omp parallel for num_threads(set->threads)
    for (int64_t j = 0; j < set->dim; j++) {
        float least = centroids[j], most = centroids[j];
        for (int64_t k = 1; k < set->count; k++) {
            float c = centroids[k * set->dim + j];
            least = c < least ? c : least;
            most = c > most ? c : most;
        }
        set->centre[j] = least / 2 + most / 2;
    }
}

lloyd_status lloyd_int8_prepare(lloyd_int8_set *set, const float *centroids, int64_t count,
                                const float *centre)
{
    set->usable = 0;
    if (!set->product) return LLOYD_OK;
    int64_t dim = set->dim;
    LLOYD_TRY(reserve(set, count));
    set->count = count;
    if (set->exact)
        choose_middle(set, centroids);
    else
        memcpy(set->centre, centre, (size_t)dim * sizeof *centre);
    float most = 0;
#pragma omp parallel for num_threads(set->threads) reduction(max : most)
    for (int64_t k = 0; k < count; k++)
        most = fmaxf(most, greatest_difference(centroids + k * dim, set->centre, dim));
    set->scale = (double)most / GREATEST;
    if (!(set->scale >= LEAST_UNIT && set->scale <= GREATEST_UNIT)) return LLOYD_OK;
    double residual = 0, operand = 0, square = 0, bias = 0;
#pragma omp parallel num_threads(set->threads) reduction(max : residual, operand, square, bias)
    {
        greatest own = {0};
        int16_t *codes = set->codes + omp_get_thread_num() * padded_columns(dim);
#pragma omp for
        for (int64_t k = 0; k < count; k++) prepare_one(set, centroids + k * dim, k, codes, &own);
        residual = own.residual, operand = own.operand, square = own.square, bias = own.bias;
    }
    fill_up(set);
    set->residual = sqrt(residual) * UP;
    set->length = sqrt(operand) * UP;
    set->reach = (sqrt(square) + centre_length(set)) * UP;
    set->greatest_bias = bias * UP;
    set->usable = 1;
    return LLOYD_OK;
}

/* --- rows --- */

/* Word j of row i is at words[j * ROWS + i]. */
static void pack_row(const lloyd_int8_set *set, const int16_t *codes, int i, int32_t *words)
{
    enum { COLUMNS = LLOYD_INT8_COLUMNS };
    for (int64_t j = 0, w = 0; j < set->dim; j += COLUMNS, w++) {
        uint32_t word = 0;
        for (int c = 0; c < COLUMNS && j + c < set->dim; c++)
            word |= (uint32_t)(codes[j + c] + OFFSET) << (8 * c);
        memcpy(&words[w * ROWS + i], &word, sizeof word);
    }
}

LLOYD_CLONES static double square_from(const float *centre, const int16_t *x, int64_t dim,
                                       int64_t *raw)
{
    double square[LLOYD_LANES] = {0};
    int64_t total = 0, j = 0;
    for (; j + LLOYD_LANES <= dim; j += LLOYD_LANES) {
        int32_t part = 0;
        for (int l = 0; l < LLOYD_LANES; l++) {
            double t = (double)x[j + l] - (double)centre[j + l];
            square[l] = fma(t, t, square[l]);
        }
        for (int l = 0; l < LLOYD_LANES; l++) part += (int32_t)x[j + l] * x[j + l];
        total += part;
    }
    for (int l = 0; j < dim; j++, l++) {
        double t = (double)x[j] - (double)centre[j];
        square[l] = fma(t, t, square[l]);
        total += (int32_t)x[j] * x[j];
    }
    *raw = total;
    return lloyd_tree(square, LLOYD_LANES);
}

/* The row has no candidates to be found: any centroid may be the nearest. */
static void leave_open(lloyd_int8_scratch *s, int i)
{
    s->factor[i] = 0;
    s->threshold[i] = INFINITY;
    s->count[i] = 0;
}

/* The bound's share of row i. `scale`: of its codes; `length`: |x^|. */
static void take_bound(const lloyd_int8_set *set, lloyd_int8_scratch *s, int i, double scale,
                       double length, const sums *x)
{
    double dim = (double)set->dim, row = sqrt(x->square) * UP;
    double products = length * set->length + set->greatest_bias;
    double lengths = (row + set->reach) * (row + set->reach);
    if (!(products + lengths < 0x1p100)) {
        leave_open(s, i);
        return;
    }
    s->factor[i] = (float)(scale * set->scale);
    s->best[i] = -INFINITY;
    s->threshold[i] = -INFINITY;
    s->distance[i] = x->square / 2 - x->cross;
    s->spread[i] = (sqrt(x->residual) * UP + set->residual) * UP + 0x1p-50 * (row + set->reach);
    s->rounding[i] =
        (0x1p-22 * products + (dim + 16) * 0x1p-52 * lengths) * UP +
        (sqrt(x->residual) * UP + 0x1p-50 * row) * (set->residual + 0x1p-50 * set->reach) * UP +
        0x1p-120;
    s->count[i] = 0;
}

void lloyd_int8_take(const lloyd_int8_set *set, lloyd_int8_scratch *s, int i, const void *row)
{
    if (set->exact) {
        int64_t raw;
        for (int64_t j = 0; j < set->dim; j++)
            s->codes[j] = set->is_signed ? ((const int8_t *)row)[j] : ((const uint8_t *)row)[j];
        sums x = {.square = square_from(set->centre, s->codes, set->dim, &raw)};
        for (int64_t j = 0; !set->is_signed && j < set->dim; j++) s->codes[j] -= OFFSET;
        pack_row(set, s->codes, i, s->words);
        take_bound(set, s, i, 1, sqrt((double)raw), &x);
        return;
    }
    double scale = (double)greatest_difference(row, set->centre, set->dim) / GREATEST;
    if (scale == 0) scale = 1;
    if (!(scale >= LEAST_UNIT && scale <= GREATEST_UNIT)) {
        leave_open(s, i);
        return;
    }
    sums x = encode(row, set->centre, scale, set->dim, s->codes);
    pack_row(set, s->codes, i, s->words);
    take_bound(set, s, i, scale, sqrt(x.operand) * UP, &x);
}

/* --- candidates --- */

/* best = the greatest scores so far. Returns whether any has risen. */
LLOYD_CLONES static int raise_best(const float *scores, float *best)
{
    float most[ROWS];
    int rises = 0;
    memcpy(most, best, sizeof most);
    for (int k = 0; k < TILE; k++) {
        const float *row = scores + k * ROWS;
        for (int i = 0; i < ROWS; i++) most[i] = row[i] > most[i] ? row[i] : most[i];
    }
    for (int i = 0; i < ROWS; i++) rises |= most[i] > best[i];
    memcpy(best, most, sizeof most);
    return rises;
}

/* A centroid whose score is below the threshold is farther than the one with the best score. */
LLOYD_CLONES static void raise_thresholds(lloyd_int8_scratch *s)
{
    for (int i = 0; i < ROWS; i++) {
        double best = (double)s->best[i], f = s->spread[i], eta = s->rounding[i];
        double distance = s->distance[i] - best + eta;
        distance = distance > 0 ? distance : 0;
        double r = (f + sqrt(f * f + 2 * distance)) * (1 + 0x1p-20);
        double threshold = best - 2 * eta - 2 * r * f - 0x1p-38 * r * r;
        threshold -= 0x1p-23 * fabs(threshold) + 0x1p-120;
        /* rows that are open keep infinity */
        s->threshold[i] = s->threshold[i] < INFINITY ? (float)threshold : INFINITY;
    }
}

/* Keeps the candidates of row i that reach its threshold. */
static void prune(lloyd_int8_scratch *s, int i)
{
    int kept = 0;
    for (int c = 0; c < s->count[i]; c++) {
        if (s->score[i][c] < s->threshold[i]) continue;
        s->score[i][kept] = s->score[i][c];
        s->candidate[i][kept++] = s->candidate[i][c];
    }
    s->count[i] = kept;
}

static void append(lloyd_int8_scratch *s, int i, int32_t k, float score)
{
    if (s->count[i] == MOST) prune(s, i);
    if (s->count[i] == MOST) {
        leave_open(s, i);
        return;
    }
    s->score[i][s->count[i]] = score;
    s->candidate[i][s->count[i]++] = k;
}

static void collect_hits(lloyd_int8_scratch *s, int64_t k0)
{
    for (int k = 0; k < TILE; k++) {
        for (uint64_t left = s->hits[k]; left; left &= left - 1) {
            int i = __builtin_ctzll(left);
            append(s, i, (int32_t)(k0 + k), s->scores[k * ROWS + i]);
        }
    }
}

void lloyd_int8_find(const lloyd_int8_set *set, lloyd_int8_scratch *s, int rows)
{
    for (int i = rows; i < ROWS; i++) leave_open(s, i);
    for (int64_t k0 = 0; k0 < set->count; k0 += TILE) {
        lloyd_int8_tile tile = {set->operand + k0 * set->words, set->correction + k0,
                                set->bias + k0};
        set->product->scores(s->words, s->factor, &tile, set->words, s->scores);
        if (raise_best(s->scores, s->best)) raise_thresholds(s);
        set->product->hits(s->scores, s->threshold, s->hits);
        collect_hits(s, k0);
    }
    for (int i = 0; i < rows; i++) prune(s, i);
}
