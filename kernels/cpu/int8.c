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

/* Of all rows of bytes. */
enum { LEAST_BYTE = -128, GREATEST_BYTE = 255 };

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
    if (set->exact) CPU_BUFFER(buffers, set->middle, set->dim, "the filter's origin");
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

enum { LANES = 16 };

/* Sums over the columns of a centroid. */
typedef struct sums {
    double square;   /* |C|^2 */
    double operand;  /* |c^|^2 */
    double residual; /* |C - c^|^2 */
    double cross;    /* C . (C - c^) */
    double shift;    /* m . c^ */
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

/* codes[j] = the code of C[j] in the unit `scale`, and the sums. Any codes are right: what they leave of C
 * is measured. */
LLOYD_CLONES static sums encode_centroid(const float *c, const float *centre, double scale,
                                         int64_t dim, int16_t *codes)
{
    double square[LANES] = {0}, operand[LANES] = {0}, residual[LANES] = {0}, cross[LANES] = {0},
           shift[LANES] = {0}, inverse = 1 / scale;
    int64_t total = 0;
    for (int64_t j0 = 0; j0 < dim; j0 += LANES) {
        double value[LANES] = {0}, near[LANES], m[LANES] = {0};
        int lanes = (int)(dim - j0 < LANES ? dim - j0 : LANES);
        for (int l = 0; l < lanes; l++) m[l] = (double)centre[j0 + l];
        for (int l = 0; l < lanes; l++) value[l] = (double)c[j0 + l] - m[l];
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
    sums s = encode_centroid(centroid, set->centre, set->scale, set->dim, codes);
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
static double length_of_centre(const lloyd_int8_set *set)
{
    double square = 0;
    for (int64_t j = 0; set->exact && j < set->dim; j++)
        square += (double)set->centre[j] * (double)set->centre[j];
    return sqrt(square) * UP;
}

/* Rows that are used as they are do not mind where the origin is: the centroids' unit is smallest in
 * the middle of their range. It is an integer near those of the rows, so that squares are integers too. */
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
        float middle = rintf(least / 2 + most / 2);
        middle = middle > LEAST_BYTE ? middle : LEAST_BYTE;
        set->middle[j] = (int16_t)(middle < GREATEST_BYTE ? middle : GREATEST_BYTE);
        set->centre[j] = (float)set->middle[j];
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
    set->centre_length = length_of_centre(set);
    set->reach = (sqrt(square) + set->centre_length) * UP;
    set->greatest_bias = bias * UP;
    set->usable = 1;
    return LLOYD_OK;
}

/* --- rows --- */

/* Roundings of a sum in LANES, beside one for each element of a lane. */
enum { MORE_ROUNDINGS = 8 };

/* What rounding a row leaves of it: sums over its columns. */
typedef struct rounded {
    int64_t square; /* of the codes */
    float residual; /* A of 2.6 */
} rounded;

/* codes[j] = the code of x - centre in the unit `scale`; rest[j] = what it leaves. Any codes are right. */
LLOYD_CLONES static void encode_part(const float *x, const float *centre, float scale, int64_t n,
                                     int8_t *codes, float *rest)
{
    float inverse = 1 / scale;
    for (int64_t j = 0; j < n; j++) {
        float value = x[j] - centre[j], quotient = value * inverse;
        quotient = quotient > GREATEST ? GREATEST : quotient;
        quotient = quotient < -GREATEST ? -GREATEST : quotient;
        float near = (quotient + 0x1.8p23F) - 0x1.8p23F; /* rintf() */
        codes[j] = (int8_t)(int32_t)near;
        rest[j] = fmaf(-near, scale, value);
    }
}

LLOYD_CLONES static void add_residuals(const float *rest, int64_t n, float *sum)
{
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int l = 0; l < LANES; l++) sum[l] = fmaf(rest[j + l], rest[j + l], sum[l]);
    for (int l = 0; j + l < n; l++) sum[l] = fmaf(rest[j + l], rest[j + l], sum[l]);
}

LLOYD_CLONES static int32_t sum_squares(const int8_t *codes, int64_t n)
{
    int32_t sum = 0;
    for (int64_t j = 0; j < n; j++) sum += codes[j] * codes[j];
    return sum;
}

static rounded encode_row(const float *x, const float *centre, float scale, int64_t dim,
                          int8_t *codes)
{
    enum { PART = 512 };
    float residual[LANES] = {0}, rest[PART];
    rounded row = {0, 0};
    for (int64_t j0 = 0; j0 < dim; j0 += PART) {
        int64_t n = dim - j0 < PART ? dim - j0 : PART;
        encode_part(x + j0, centre + j0, scale, n, codes + j0, rest);
        add_residuals(rest, n, residual);
        row.square += sum_squares(codes + j0, n);
    }
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) residual[l] += residual[l + half];
    row.residual = residual[0];
    return row;
}

/* Words that are `stride` apart: bytes of a row, of which those that are signed are raised by OFFSET. */
static void pack_row(const lloyd_int8_set *set, const void *row, int is_signed, int64_t stride,
                     int32_t *word)
{
    enum { COLUMNS = LLOYD_INT8_COLUMNS };
    const uint32_t raise = is_signed ? 0x80808080U : 0;
    const char *bytes = row;
    int64_t whole = set->dim / COLUMNS, left = set->dim - whole * COLUMNS;
    for (int64_t w = 0; w < whole; w++, bytes += COLUMNS, word += stride) {
        uint32_t packed;
        memcpy(&packed, bytes, sizeof packed);
        packed ^= raise;
        memcpy(word, &packed, sizeof packed);
    }
    if (left > 0) {
        uint32_t packed = 0;
        memcpy(&packed, bytes, (size_t)left);
        packed ^= raise;
        memcpy(word, &packed, sizeof packed);
    }
}

#define SQUARE_FROM(type)                                                                          \
    LLOYD_CLONES static int64_t square_from_##type(const type *x, const int16_t *middle,           \
                                                   int64_t dim)                                    \
    {                                                                                              \
        enum { PART = 4096 };                                                                      \
        int64_t total = 0;                                                                         \
        for (int64_t j0 = 0; j0 < dim; j0 += PART) {                                               \
            int64_t end = dim - j0 < PART ? dim : j0 + PART;                                       \
            int32_t sum = 0;                                                                       \
            for (int64_t j = j0; j < end; j++) {                                                   \
                int16_t t = (int16_t)(x[j] - middle[j]);                                           \
                sum += t * t;                                                                      \
            }                                                                                      \
            total += sum;                                                                          \
        }                                                                                          \
        return total;                                                                              \
    }

/* |X|^2 of a row of bytes, exactly: less than 2^18 for each column. */
SQUARE_FROM(uint8_t)
SQUARE_FROM(int8_t)

/* The row has no candidates to be found: any centroid may be the nearest. */
static void leave_open(lloyd_int8_scratch *s, int i)
{
    s->factor[i] = 0;
    s->threshold[i] = INFINITY;
    s->count[i] = 0;
}

/* What the bound needs of a row, with the names of 2.6. */
typedef struct row_bound {
    double scale;     /* f */
    double length;    /* |x^| */
    double residual;  /* a */
    double reach;     /* |X| */
    double distance;  /* Z */
    double roundings; /* n */
} row_bound;

static int bound_row(const lloyd_int8_set *set, const row_bound *x, lloyd_int8_row *encoded)
{
    double dim = (double)set->dim, a = x->residual;
    double products = x->length * set->length + set->greatest_bias;
    double lengths = (x->reach + set->reach) * (x->reach + set->reach);
    if (!(products + lengths < 0x1p100)) return 0;
    encoded->factor = (float)(x->scale * set->scale);
    encoded->distance = x->distance;
    encoded->spread = (a + set->residual + 0x1p-50 * set->reach) * UP;
    encoded->rounding = (0x1p-22 * products + (dim + 16) * 0x1p-52 * lengths +
                         a * (set->residual + 0x1p-50 * set->reach) +
                         0x1p-23 * a * (x->length + x->roundings * a)) *
                            UP +
                        0x1p-120;
    return 1;
}

static int encode_bytes(const lloyd_int8_set *set, const void *row, int32_t *words, int64_t stride,
                        lloyd_int8_row *encoded)
{
    int64_t square = set->is_signed ? square_from_int8_t(row, set->middle, set->dim)
                                    : square_from_uint8_t(row, set->middle, set->dim);
    double reach = sqrt((double)square) * UP;
    pack_row(set, row, set->is_signed, stride, words);
    return bound_row(set,
                     &(row_bound){.scale = 1,
                                  .length = reach + set->centre_length,
                                  .reach = reach,
                                  .distance = (double)square / 2},
                     encoded);
}

int lloyd_int8_encode(const lloyd_int8_set *set, const void *row, int8_t *codes, int32_t *words,
                      int64_t stride, lloyd_int8_row *encoded)
{
    if (set->exact) return encode_bytes(set, row, words, stride, encoded);
    float scale = greatest_difference(row, set->centre, set->dim) / GREATEST;
    if (scale == 0) scale = 1;
    if (!((double)scale >= LEAST_UNIT && (double)scale <= GREATEST_UNIT)) return 0;
    rounded x = encode_row(row, set->centre, scale, set->dim, codes);
    pack_row(set, codes, 1, stride, words);
    double unit = (double)scale, square = unit * unit * (double)x.square,
           length = sqrt(square) * UP;
    double roundings = ceil((double)set->dim / LANES) + MORE_ROUNDINGS;
    double residual =
        (sqrt((double)x.residual) * (1 + roundings * 0x1p-23) + 0x1p-22 * length) * UP;
    return bound_row(set,
                     &(row_bound){.scale = unit,
                                  .length = length,
                                  .residual = residual,
                                  .reach = (length + residual) * UP,
                                  .distance = (square - (double)x.residual) / 2,
                                  .roundings = roundings},
                     encoded);
}

void lloyd_int8_take(const lloyd_int8_set *set, lloyd_int8_scratch *s, int i, const void *row)
{
    if (!lloyd_int8_encode(set, row, s->codes, s->words + i, ROWS, &s->row[i])) {
        leave_open(s, i);
        return;
    }
    s->factor[i] = s->row[i].factor;
    s->best[i] = -INFINITY;
    s->threshold[i] = -INFINITY;
    s->count[i] = 0;
}

/* --- candidates --- */

/* Centroids whose score is below this are farther than `reach`. Rounded down. */
static float threshold_of(const lloyd_int8_row *row, double reach)
{
    double square = reach * reach, z = row->distance;
    double least = z - square / 2 - row->spread * reach - row->rounding;
    return (float)(least - 0x1p-23 * fabs(least) - 0x1p-120);
}

/* More than the roundings of dist(), and of thresholds in double. */
static const double UP_REACH = 1 + 0x1p-38;

float lloyd_int8_threshold(const lloyd_int8_row *row, double distance)
{
    return threshold_of(row, sqrt(distance) * UP_REACH);
}

void lloyd_int8_limit(lloyd_int8_scratch *s, int i, double distance)
{
    if (s->threshold[i] == INFINITY) return;
    s->threshold[i] = lloyd_int8_threshold(&s->row[i], distance);
}

/* The label is not farther than the centroid with the best score so far. */
static void raise_threshold(lloyd_int8_scratch *s, int i)
{
    const lloyd_int8_row *row = &s->row[i];
    double f = row->spread, half = row->distance - (double)s->best[i] + row->rounding;
    double reach = (f + sqrt(f * f + 2 * (half > 0 ? half : 0))) * UP_REACH;
    float least = threshold_of(row, reach);
    if (least > s->threshold[i]) s->threshold[i] = least;
}

/* best = the greatest scores of a tile. */
LLOYD_CLONES static void take_best(const float *scores, float *best)
{
    float most[ROWS];
    memcpy(most, best, sizeof most);
    for (int k = 0; k < TILE; k++) {
        const float *row = scores + k * ROWS;
        for (int i = 0; i < ROWS; i++) most[i] = row[i] > most[i] ? row[i] : most[i];
    }
    memcpy(best, most, sizeof most);
}

/* Rows of which no distance is known have a threshold from the first tile on. */
static void begin_thresholds(lloyd_int8_scratch *s, int rows)
{
    float best[ROWS];
    int without = 0;
    for (int i = 0; i < rows; i++) without += s->threshold[i] == -INFINITY;
    if (without == 0) return;
    for (int i = 0; i < ROWS; i++) best[i] = -INFINITY;
    take_best(s->scores, best);
    for (int i = 0; i < rows; i++) {
        if (s->threshold[i] != -INFINITY) continue;
        s->best[i] = best[i];
        raise_threshold(s, i);
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

/* A score that is better than all before reaches the threshold: it is among the hits. */
static void collect_hits(lloyd_int8_scratch *s, int64_t k0)
{
    for (int k = 0; k < TILE; k++) {
        for (uint64_t left = s->hits[k]; left; left &= left - 1) {
            int i = __builtin_ctzll(left);
            float score = s->scores[k * ROWS + i];
            if (score < s->threshold[i]) continue; /* it was raised since */
            if (score > s->best[i]) {
                s->best[i] = score;
                raise_threshold(s, i);
            }
            append(s, i, (int32_t)(k0 + k), score);
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
        if (k0 == 0) begin_thresholds(s, rows);
        set->product->hits(s->scores, s->threshold, s->hits);
        collect_hits(s, k0);
    }
    for (int i = 0; i < rows; i++) prune(s, i);
}
