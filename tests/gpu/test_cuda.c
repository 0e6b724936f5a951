/* The CUDA kernels against the CPU kernels, function by function, to the bit.
 *
 * A case is one problem (data, type, shape, metric, weights, the way rows are cut into slots). Both
 * kernels get the same calls of kernels.h, and every number that comes back is compared; only the
 * count of verified rows may differ, since the filters do. A difference is printed with its place
 * and both values, and the next case follows, so that one run on a GPU tells everything. The cases
 * run in a child process: one that hangs, crashes or loses the device costs that case and no other.
 *
 *     test_cuda [--small] [--verbose] [--threads T] [--random N] [--seed S] [--case I] [--one-process]
 *
 * --small (or LLOYD_TEST_SMALL=1) is for slow tools: few and tiny cases, but every kernel. --case
 * repeats one case. Exit status 77 without a GPU.
 */
#include "base/half.h"
#include "base/memory.h"
#include "kernels/kernels.h"
#include "kernels/numerics.h"

#include <cuda_runtime_api.h>

#include <omp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    SKIPPED = 77,      /* exit statuses */
    LOST = 99,         /* of a child that cannot go on */
    CASE_SECONDS = 30, /* then a case hangs */
    ALL_SECONDS = 300, /* then no further child takes over from one that was lost */
    MOST_THREADS = 16,
    TYPES = LLOYD_I8 + 1,
    TALLIES = 40
};

static struct {
    int small, verbose, one_process, threads, only, pretend;
    int64_t random;
    uint64_t seed;
    double budget; /* the most N*K*D of a case */
} options = {.threads = 0, .only = -1, .random = 60, .seed = 1, .budget = 5e8};

/* What outlives a child. */
typedef struct progress_of_all {
    int next; /* the number of the next case */
    int from; /* cases before this one were run by a child that has ended */
    int cases, bad_cases;
    int here;     /* bad cases of this cmocka test */
    time_t began; /* of the case that runs, 0: none does */
    char name[256];
    struct {
        char what[48];
        int count[TYPES];
    } tally[TALLIES]; /* how often something differed */
} progress_of_all;

static progress_of_all *progress;

/* --- numbers --- */

static uint64_t state;

static uint64_t next_word(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void seed_words(uint64_t seed)
{
    state = (seed + 1) * 0x9e3779b97f4a7c15;
    for (int i = 0; i < 8; i++) next_word();
}

static int64_t below(int64_t limit)
{
    return (int64_t)(next_word() % (uint64_t)limit);
}

/* Nearly normal, within (-4, 4). */
static float bell(void)
{
    uint64_t word = next_word();
    int sum = 0;
    for (int i = 0; i < 64; i += 16) sum += (int)(word >> i & 0xffff);
    return (float)(sum - 2 * 65535) * 0x1p-15F;
}

/* --- cases --- */

typedef enum data_kind {
    GAUSS,
    LATTICE,    /* small integers: ties everywhere */
    DUPLICATES, /* rows and centroids several times */
    SIFT,       /* 0 .. 255, most of them small */
    TINY,
    HUGE_VALUES,
    OFFSET,
    OUTLIER,  /* a few elements of rows and centroids far away */
    BISECTOR, /* rows within a unit in the last place of the middle between two centroids */
    COLUMNS,  /* columns of very different size */
    SUBNORMAL,
    SHARED, /* few tight clusters, most of them with several centroids */
    FAR,    /* centroids farther out than any row, some of them behind a row */
    SPREAD, /* some elements of any size: columns of many digits */
    ZEROS,
    KINDS,        /* what follows has a test of its own */
    CONE = KINDS, /* unit rows that differ by little more than their own roundings */
    ALIGNED,      /* roundings of operands are as bad as they can be */
    LOSSY         /* so are those of sums */
} data_kind;

static const char *const kind_names[LOSSY + 1] =
    {"gauss",         "lattice", "duplicates", "sift",        "tiny",           "huge",
     "offset",        "outlier", "bisector",   "columns",     "subnormal",      "shared clusters",
     "far centroids", "spread",  "zeros",      "narrow cone", "aligned errors", "lossy sums"};

typedef enum weighting { UNWEIGHTED, WEIGHTED, WIDE, WEIGHTINGS } weighting;

static const char *const weighting_names[WEIGHTINGS] = {"", ", weights", ", wide weights"};

/* How rows get into slots. The order in which the CUDA kernels see the chunks is reversed where
 * that may not matter. */
typedef enum layout {
    WHOLE,     /* one slot */
    RESIDENT,  /* a slot for each chunk, the last slot for the first chunk */
    STREAMED,  /* one slot, loaded again in every pass */
    ALTERNATE, /* the same with two slots, copied beside the computing */
    PIECES,    /* as RESIDENT, filled in pieces; and one slot without rows */
    LAYOUTS
} layout;

static const char *const layout_names[LAYOUTS] = {"", ", resident chunks", ", streamed",
                                                  ", two slots", ", filled in pieces"};

typedef struct test_case {
    data_kind kind;
    lloyd_type type;
    int64_t n, d, k;
    int cosine;
    weighting weighting;
    layout layout;
} test_case;

enum { CPU, CUDA, SIDES };
static const char *const side_names[SIDES] = {"cpu", "cuda"};

typedef struct problem {
    test_case c;
    char *rows;       /* [n*d] as stored */
    float *weights;   /* [n] or NULL */
    float *centroids; /* [k*d] */
    lloyd_kernels *side[SIDES];
    int64_t chunk_rows, chunks;
    int64_t loaded[SIDES]; /* resident chunks */
    lloyd_grid grid;
    lloyd_dd squares; /* Q */
    int reversed;
    int differences;
    int iteration; /* for messages, 0: none */
    int64_t verified[SIDES];
} problem;

static void *new_array(int64_t count, size_t size)
{
    void *memory;
    assert_int_equal(lloyd_alloc(&memory, count, size, "test"), LLOYD_OK);
    return memory;
}

static int is_float(lloyd_type type)
{
    return type == LLOYD_F32 || type == LLOYD_F16 || type == LLOYD_BF16;
}

/* --- data --- */

static float tiny_value(lloyd_type type)
{
    if (!is_float(type)) return (float)below(2);
    return bell() * (type == LLOYD_F16 ? 1e-6F : 1e-38F);
}

static float huge_value(lloyd_type type)
{
    if (!is_float(type)) return below(2) ? 1000 : -1000; /* clamped to the ends of the range */
    return bell() * (type == LLOYD_F16 ? 1e4F : 1e37F);
}

static float offset_value(lloyd_type type)
{
    switch (type) {
    case LLOYD_F32: return 1000 + bell() * 1e-3F;
    case LLOYD_F16: return 1000 + bell() * 2;
    case LLOYD_BF16: return 1000 + bell() * 16;
    case LLOYD_U8: return (float)(200 + below(3));
    case LLOYD_I8: break;
    }
    return (float)(-100 - below(3));
}

static float column_value(lloyd_type type, int64_t j)
{
    int column = (int)(j * 37 % 120);
    if (!is_float(type)) return (float)below(1 + column);
    return ldexpf(bell(), type == LLOYD_F16 ? column % 24 - 14 : column - 60);
}

static float subnormal_value(lloyd_type type)
{
    switch (type) {
    case LLOYD_F32: return ldexpf(bell(), -148 + (int)below(30));
    case LLOYD_F16: return ldexpf(bell(), -24 + (int)below(12));
    case LLOYD_BF16: return ldexpf(bell(), -132 + (int)below(14));
    case LLOYD_U8:
    case LLOYD_I8: break;
    }
    return (float)below(3);
}

static float spread_value(lloyd_type type)
{
    if (!is_float(type)) return (float)below(200);
    if (type == LLOYD_F16) return ldexpf(bell(), (int)below(26) - 13);
    return ldexpf(bell(), below(16) ? 0 : (int)below(180) - 90);
}

static float ordinary_value(lloyd_type type)
{
    if (type == LLOYD_U8) return 128 + 30 * bell();
    if (type == LLOYD_I8) return 30 * bell();
    return below(64) ? bell() : -0.0F;
}

/* An element of column j before it is rounded to its type. */
static float value_of(const test_case *c, int64_t j)
{
    switch (c->kind) {
    case LATTICE: return (float)(below(5) - (c->type == LLOYD_U8 ? 0 : 2));
    case SIFT: return (float)(below(4) ? below(40) : below(c->type == LLOYD_I8 ? 128 : 256));
    case TINY: return tiny_value(c->type);
    case HUGE_VALUES: return huge_value(c->type);
    case OFFSET: return offset_value(c->type);
    case COLUMNS: return column_value(c->type, j);
    case SUBNORMAL: return subnormal_value(c->type);
    case SPREAD: return spread_value(c->type);
    case ZEROS: return 0;
    case BISECTOR: /* even, so that the middle of two is an element of every type */
        if (c->type != LLOYD_F32) return (float)(2 * below(60));
        return bell();
    case GAUSS:
    case DUPLICATES:
    case OUTLIER:
    case SHARED:
    case FAR:
    case CONE:
    case ALIGNED:
    case LOSSY: break;
    }
    return ordinary_value(c->type);
}

static float clamp(float value, float least, float most)
{
    return value < least ? least : value > most ? most : value;
}

static char *element_at(const problem *p, int64_t i, int64_t j)
{
    return p->rows + (i * p->c.d + j) * (int64_t)lloyd_type_size(p->c.type);
}

static void store(problem *p, int64_t i, int64_t j, float value)
{
    char *at = element_at(p, i, j);
    uint16_t half;
    switch (p->c.type) {
    case LLOYD_F32: memcpy(at, &value, sizeof value); break;
    case LLOYD_F16:
        half = lloyd_f16_from_float(clamp(value, -65504, 65504));
        memcpy(at, &half, sizeof half);
        break;
    case LLOYD_BF16:
        half = lloyd_bf16_from_float(clamp(value, -1e38F, 1e38F));
        memcpy(at, &half, sizeof half);
        break;
    case LLOYD_U8: *(uint8_t *)at = (uint8_t)lrintf(clamp(value, 0, 255)); break;
    case LLOYD_I8: *(int8_t *)at = (int8_t)lrintf(clamp(value, -128, 127)); break;
    }
}

static float stored(const problem *p, int64_t i, int64_t j)
{
    const char *at = element_at(p, i, j);
    float value;
    uint16_t half;
    switch (p->c.type) {
    case LLOYD_F16: memcpy(&half, at, sizeof half); return lloyd_f16_to_float(half);
    case LLOYD_BF16: memcpy(&half, at, sizeof half); return lloyd_bf16_to_float(half);
    case LLOYD_U8: return (float)*(const uint8_t *)at;
    case LLOYD_I8: return (float)*(const int8_t *)at;
    case LLOYD_F32: break;
    }
    memcpy(&value, at, sizeof value);
    return value;
}

static void copy_row(problem *p, int64_t to, int64_t from)
{
    memcpy(element_at(p, to, 0), element_at(p, from, 0),
           (size_t)p->c.d * lloyd_type_size(p->c.type));
}

/* The middle between two centroids, and a few elements moved to a neighbouring number. */
static void store_bisector(problem *p, int64_t i)
{
    int64_t d = p->c.d;
    const float *a = p->centroids + below(p->c.k) * d, *b = p->centroids + below(p->c.k) * d;
    for (int64_t j = 0; j < d; j++) store(p, i, j, a[j] / 2 + b[j] / 2);
    for (int64_t moves = below(4); is_float(p->c.type) && moves > 0; moves--) {
        char *at = element_at(p, i, below(d)); /* the last bit of a number, little-endian */
        *at = (char)(*at ^ 1);
    }
}

static void draw_rows(problem *p)
{
    const test_case *c = &p->c;
    int64_t distinct = c->kind == DUPLICATES ? 1 + c->n / 8 : c->n;
    for (int64_t i = 0; i < c->n; i++) {
        if (c->kind == BISECTOR)
            store_bisector(p, i);
        else if (i >= distinct)
            copy_row(p, i, below(distinct));
        else
            for (int64_t j = 0; j < c->d; j++) store(p, i, j, value_of(c, j));
    }
    for (int64_t i = 0; c->kind == OUTLIER && i <= c->n / 100; i++)
        store(p, below(c->n), below(c->d), -1e7F);
}

/* A row of zeros has no direction. */
static void mend_zero_rows(problem *p)
{
    for (int64_t i = 0; i < p->c.n; i++) {
        int zero = 1;
        for (int64_t j = 0; j < p->c.d && zero; j++) zero = stored(p, i, j) == 0;
        if (zero) store(p, i, i % p->c.d, 1);
    }
}

/* Half of them rows, half of them fresh; not so many rows that each is taken several times. */
static void draw_centroids(problem *p)
{
    const test_case *c = &p->c;
    for (int64_t k = 0; k < c->k; k++) {
        int copied = c->kind != BISECTOR && (k < c->n / 4 || c->kind == DUPLICATES) && below(2);
        int64_t row = copied ? below(c->n) : -1;
        float shift = c->kind == LATTICE && below(2) ? 0.5F : 0;
        float *centroid = p->centroids + k * c->d;
        for (int64_t j = 0; j < c->d; j++)
            centroid[j] = row < 0 ? value_of(c, j) + shift : stored(p, row, j);
        if (c->kind == DUPLICATES && k > 0 && below(2))
            memcpy(centroid, p->centroids + below(k) * c->d, (size_t)c->d * sizeof *centroid);
    }
    for (int64_t i = 0; c->kind == OUTLIER && i <= c->k / 50; i++)
        p->centroids[below(c->k * c->d)] = 1e6F;
    if (c->kind == ZEROS) {
        for (int64_t i = 0; i < c->k / 2 * c->d; i++)
            p->centroids[c->k * c->d - 1 - i] = bell() * 1e-3F;
    }
}

static double squares_of(const float *x, int64_t d)
{
    double sums[LLOYD_LANES] = {0};
    for (int64_t j = 0; j < d; j++)
        sums[j % LLOYD_LANES] = fma((double)x[j], (double)x[j], sums[j % LLOYD_LANES]);
    return lloyd_tree(sums, LLOYD_LANES);
}

static void normalise_centroids(problem *p)
{
    for (int64_t k = 0; k < p->c.k; k++) {
        float *centroid = p->centroids + k * p->c.d;
        double square = squares_of(centroid, p->c.d);
        for (int64_t j = 0; square > 0 && j < p->c.d; j++)
            centroid[j] = lloyd_normalised(centroid[j], sqrt(square));
    }
}

static void draw_weights(problem *p)
{
    if (p->c.weighting == UNWEIGHTED) return;
    p->weights = new_array(p->c.n, sizeof *p->weights);
    for (int64_t i = 0; i < p->c.n; i++) {
        float weight = (float)below(3000) * 1e-3F;
        p->weights[i] = p->c.weighting == WIDE ? ldexpf(weight, (int)below(60) - 50) : weight;
        if (i % 17 == 3) p->weights[i] = 0;
    }
    if (p->c.n > 0) p->weights[p->c.n - 1] = 1.5F;
}

enum { CONE_ROWS = 1025, CONE_COLUMNS = 3, CONE_CENTROIDS = 5 };

/* The last row is none of the sample that the filter's scale is made from. Its operand is off by more
 * than scores have room for. */
static void draw_cone(problem *p)
{
    static const float last[] = {1.00573123F, 1.00573111F, 8.50163762e-09F},
                       first[] = {0.707106769F, 0.707106769F, -4.10364009e-08F};
    for (int64_t i = 0; i < CONE_ROWS; i++) {
        float height = (float)(((double)i - 511.5) / 511.5 * 7e-8);
        const float row[] = {1, 1, height}, *from = i < CONE_ROWS - 1 ? row : last;
        for (int64_t j = 0; j < CONE_COLUMNS; j++) store(p, i, j, from[j]);
    }
    memcpy(p->centroids, first, sizeof first);
    for (int k = 1; k < CONE_CENTROIDS; k++) {
        float *centroid = p->centroids + k * CONE_COLUMNS, apart = (float)(k + 1) * 0x1p-24F;
        centroid[0] = first[0] + apart, centroid[1] = first[1] - apart, centroid[2] = 0;
    }
}

enum { ALIGNED_COLUMNS = 80, ALIGNED_PAIRS = 16, ALIGNED_CENTROIDS = 4 * ALIGNED_PAIRS + 2 };

/* A row and its two centroids (float32), of a pattern of signs: mirrored, for the other sign. */
typedef struct aligned_pair {
    double row[ALIGNED_COLUMNS], nearer[ALIGNED_COLUMNS], farther[ALIGNED_COLUMNS];
} aligned_pair;

/* All elements are +-95, where float16 has steps of 1/16, and centroids 30 apart from them. The
 * roundings of the operands, of nearly half a step, lie along the difference of row and centroid, so
 * that the product makes the nearer centroid the farther one, by as much as roundings can. `exact`:
 * the farther one has no roundings. With float32 rows, these have some as well. */
static void draw_aligned_pair(lloyd_type type, int exact, aligned_pair *pair)
{
    const double apart = 30, rounding = 0.031, step = 0.0625,
                 of_row = type == LLOYD_F32 ? rounding : 0;
    for (int j = 0; j < ALIGNED_COLUMNS; j++) {
        const double x = below(2) ? 95 : -95, sign = below(2) ? 1 : -1;
        const double other = type == LLOYD_F32 || below(2) ? -sign : sign;
        pair->row[j] = x - of_row * sign;
        pair->nearer[j] = x - apart * sign + rounding * sign;
        if (exact)
            pair->farther[j] = x - (apart - step) * other;
        else
            pair->farther[j] =
                x - (apart - step - (of_row > 0 ? step : 0)) * other - rounding * other;
    }
    /* the last column decides */
    const int last = ALIGNED_COLUMNS - 1;
    const double inwards = pair->row[last] > 0 ? -1 : 1;
    pair->nearer[last] = pair->row[last];
    pair->farther[last] = pair->row[last] + (exact ? 12.25 : of_row > 0 ? 3 : 2) * inwards;
}

/* A row per pair; what is left of the rows, an even number, is as near to a centroid as can be. */
static void draw_aligned(problem *p)
{
    const test_case *c = &p->c;
    const float middle = c->type == LLOYD_U8 ? 128 : 0;
    aligned_pair pair = {{0}, {0}, {0}};
    for (int i = 0; i < 2 * ALIGNED_PAIRS; i++) {
        const double sign = i % 2 ? -1 : 1;
        if (i % 2 == 0) draw_aligned_pair(c->type, c->type != LLOYD_F32 && i % 4 == 0, &pair);
        for (int j = 0; j < ALIGNED_COLUMNS; j++) {
            store(p, i, j, middle + (float)(sign * pair.row[j]));
            p->centroids[2 * i * ALIGNED_COLUMNS + j] = middle + (float)(sign * pair.nearer[j]);
            p->centroids[(2 * i + 1) * ALIGNED_COLUMNS + j] =
                middle + (float)(sign * pair.farther[j]);
        }
    }
    for (int64_t i = 2 * ALIGNED_PAIRS; i < c->n; i++) {
        float *centroid = p->centroids + (4 * ALIGNED_PAIRS + i % 2) * ALIGNED_COLUMNS;
        for (int j = 0; j < ALIGNED_COLUMNS; j++) {
            store(p, i, j, middle + (float)(i % 2 ? -pair.row[j] : pair.row[j]));
            centroid[j] = stored(p, i, j);
        }
    }
}

enum { LOSSY_COLUMNS = 4096, LOSSY_ROWS = 16, LOSSY_STEP = 16 };

/* Elements are +-33, which neither the filter's origin nor its scale change by anything but a power of
 * two. Of each row and its negative, one centroid is off by 1/32 in a column of every step: a tensor
 * core's sum, cut after each, has then lost nearly its last bit 256 times, which is 40 units of a
 * score. The other, off by 1 in eight columns, loses nothing; it is the farther one, by 4 units. */
static void draw_lossy(problem *p)
{
    const float middle = p->c.type == LLOYD_U8 ? 128 : 0;
    for (int64_t i = 0; i < LOSSY_ROWS; i++) {
        float *nearer = p->centroids + 2 * i * LOSSY_COLUMNS, *farther = nearer + LOSSY_COLUMNS;
        for (int64_t j = 0; j < LOSSY_COLUMNS; j++) {
            float sign = below(2) ? 1 : -1;
            if (i % 2) sign = stored(p, i - 1, j) > middle ? -1 : 1;
            store(p, i, j, middle + 33 * sign);
            nearer[j] = middle + sign * (j % LOSSY_STEP ? 33 : 33 - 0x1p-5F);
            farther[j] = middle + sign * (j < 8 ? 34 : 33);
        }
    }
}

/* Of four centroids, one is a row drawn out to as much as six times its length, the next about as far
 * from this row, and two are rows with noise. */
static void draw_far(problem *p)
{
    const test_case *c = &p->c;
    const float middle = c->type == LLOYD_U8 ? 128 : 0;
    int64_t row = 0;
    float factor = 1;
    for (int64_t k = 0; k < c->k; k++) {
        float *centroid = p->centroids + k * c->d;
        double length = 0, square = 0;
        if (k % 4 != 1) row = below(c->n);
        if (k % 4 == 0) factor = 1 + 0.001F * (float)below(5000);
        for (int64_t j = 0; j < c->d; j++) {
            const float x = stored(p, row, j) - middle;
            centroid[j] = k % 4 == 0 ? factor * x : bell();
            length += (double)x * x;
            square += (double)centroid[j] * centroid[j];
        }
        const float apart = (factor - 1) * (0.5F + 0.001F * (float)below(600));
        const float share =
            square > 0 ? (float)sqrt(length / square) * (k % 4 == 1 ? apart : 0.1F) : 0;
        for (int64_t j = 0; j < c->d; j++)
            centroid[j] =
                k % 4 == 0 ? middle + centroid[j] : stored(p, row, j) + share * centroid[j];
    }
}

/* Which centroid is nearest, one pass cannot tell of most rows; of some, that only few come into
 * question. */
static void draw_shared(problem *p)
{
    const test_case *c = &p->c;
    int64_t clusters = c->k / 3 + 1;
    float *centres = new_array(clusters * c->d, sizeof *centres);
    float apart = is_float(c->type) ? 10 : 80, noise = is_float(c->type) ? 0.02F : 4;
    for (int64_t i = 0; i < clusters * c->d; i++)
        centres[i] = (c->type == LLOYD_U8 ? 128 : 0) + apart * ((float)below(2001) * 1e-3F - 1);
    for (int64_t i = 0; i < c->n; i++) {
        const float *centre = centres + below(clusters) * c->d;
        for (int64_t j = 0; j < c->d; j++) store(p, i, j, centre[j] + noise * bell());
    }
    for (int64_t k = 0; k < c->k; k++) {
        const float *centre = centres + below(clusters) * c->d;
        for (int64_t j = 0; j < c->d; j++) p->centroids[k * c->d + j] = centre[j] + noise * bell();
    }
    lloyd_free(centres);
}

static void draw(problem *p)
{
    const test_case *c = &p->c;
    p->rows = new_array(c->n * c->d, lloyd_type_size(c->type));
    p->centroids = new_array(c->k * c->d, sizeof *p->centroids);
    if (c->kind == CONE) { /* whose centroids are of unit length, but for their roundings */
        draw_cone(p);
        return;
    }
    if (c->kind == ALIGNED || c->kind == LOSSY) {
        c->kind == LOSSY ? draw_lossy(p) : draw_aligned(p);
        return;
    }
    if (c->kind == BISECTOR) draw_centroids(p);
    if (c->kind == SHARED)
        draw_shared(p);
    else
        draw_rows(p);
    if (c->cosine) mend_zero_rows(p);
    if (c->kind == FAR)
        draw_far(p);
    else if (c->kind != BISECTOR && c->kind != SHARED)
        draw_centroids(p);
    if (c->cosine) normalise_centroids(p);
    draw_weights(p);
}

/* --- what differs --- */

static void describe(const problem *p, const char *what)
{
    char when[32] = "";
    int at = 0;
    while (at < TALLIES - 1 && progress->tally[at].what[0] &&
           strcmp(progress->tally[at].what, what) != 0)
        at++;
    (void)snprintf(progress->tally[at].what, sizeof progress->tally[at].what, "%.47s", what);
    progress->tally[at].count[p->c.type]++;
    if (p->iteration > 0) (void)snprintf(when, sizeof when, ", iteration %d", p->iteration);
    print_error("DIFFERS %s\n        %s%s: ", progress->name, what, when);
}

static int failed(problem *p, int side, lloyd_status status, const char *what)
{
    if (status == LLOYD_OK) return 0;
    p->differences++;
    describe(p, what);
    print_error("%s fails with %d: %s\n", side_names[side], (int)status, lloyd_message());
    if (side == CUDA && p->side[CUDA]->sums(p->side[CUDA]).place == LLOYD_CUDA) {
        cudaError_t error = cudaDeviceSynchronize();
        if (error != cudaSuccess && !options.one_process) {
            print_error("        the device is lost (%s); going on in a new process\n",
                        cudaGetErrorString(error));
            (void)fflush(NULL);
            _exit(LOST);
        }
    }
    return 1;
}

/* Calls a function of kernels.h on one side; returns 0 from the calling function if it fails. */
#define TRY(p, side, what, call)                                                                   \
    do {                                                                                           \
        if (failed((p), (side), (call), (what))) return 0;                                         \
    } while (0)

typedef enum number_kind { I32, I64, F32, F64 } number_kind;

static size_t number_size(number_kind kind)
{
    return kind == I32 || kind == F32 ? 4 : 8;
}

static const char *text_of(number_kind kind, const void *array, int64_t i, char *text, size_t size)
{
    const char *at = (const char *)array + i * (int64_t)number_size(kind);
    int32_t i32;
    int64_t i64;
    float f32;
    double f64;
    switch (kind) {
    case I32: memcpy(&i32, at, sizeof i32), (void)snprintf(text, size, "%d", i32); break;
    case I64:
        memcpy(&i64, at, sizeof i64), (void)snprintf(text, size, "%lld", (long long)i64);
        break;
    case F32:
        memcpy(&f32, at, sizeof f32);
        (void)snprintf(text, size, "%.9g (%a)", (double)f32, (double)f32);
        break;
    case F64:
        memcpy(&f64, at, sizeof f64), (void)snprintf(text, size, "%.17g (%a)", f64, f64);
        break;
    }
    return text;
}

/* 1 if `count` numbers of both sides have the same bits. An array of `width` > 1 columns is
 * described by row and column. *first = the first that differs. */
static int same_to(problem *p, const char *what, number_kind kind, const void *cpu,
                   const void *cuda, int64_t count, int64_t width, int64_t *first)
{
    size_t size = number_size(kind);
    const char *a = cpu, *b = cuda;
    int64_t wrong = 0;
    char left[96], right[96];
    if (count == 0 || memcmp(a, b, (size_t)count * size) == 0) return 1;
    *first = 0;
    for (int64_t i = count - 1; i >= 0; i--) {
        if (memcmp(a + i * (int64_t)size, b + i * (int64_t)size, size) == 0) continue;
        *first = i;
        wrong++;
    }
    p->differences++;
    describe(p, what);
    print_error("%lld of %lld differ, first [%lld]", (long long)wrong, (long long)count,
                (long long)(width > 1 ? *first / width : *first));
    if (width > 1) print_error("[%lld]", (long long)(*first % width));
    print_error(": cpu %s, cuda %s\n", text_of(kind, a, *first, left, sizeof left),
                text_of(kind, b, *first, right, sizeof right));
    return 0;
}

static int same(problem *p, const char *what, number_kind kind, const void *cpu, const void *cuda,
                int64_t count, int64_t width)
{
    int64_t first;
    return same_to(p, what, kind, cpu, cuda, count, width, &first);
}

static int same_count(problem *p, const char *what, const int64_t values[SIDES])
{
    return same(p, what, I64, &values[CPU], &values[CUDA], 1, 1);
}

/* --- rows into slots --- */

static int64_t chunk_first(const problem *p, int64_t chunk)
{
    int64_t first = chunk * p->chunk_rows;
    return first < p->c.n ? first : p->c.n;
}

static int64_t chunk_count(const problem *p, int64_t chunk)
{
    return chunk_first(p, chunk + 1) - chunk_first(p, chunk);
}

static int is_resident(const problem *p)
{
    return p->c.layout == WHOLE || p->c.layout == RESIDENT || p->c.layout == PIECES;
}

static int slot_of(const problem *p, int64_t chunk)
{
    if (p->c.layout == STREAMED) return 0;
    if (p->c.layout == ALTERNATE) return (int)(chunk % 2);
    return (int)(p->chunks - 1 - chunk);
}

/* Where the kernels copy rows, the memory they were given is another after every call: it may be
 * used again. */
static lloyd_status give(problem *p, int side, int slot, int64_t first, int64_t at, int64_t count,
                         int pieces)
{
    lloyd_kernels *kernels = p->side[side];
    const char *rows = element_at(p, first + at, 0);
    size_t bytes = (size_t)(count * p->c.d) * lloyd_type_size(p->c.type);
    if (!kernels->copies) return kernels->load(kernels, slot, first, count, rows);
    char *borrowed = new_array((int64_t)bytes, 1);
    memcpy(borrowed, rows, bytes);
    lloyd_status status = pieces ? kernels->fill(kernels, slot, at, count, borrowed)
                                 : kernels->load(kernels, slot, first, count, borrowed);
    memset(borrowed, 0xff, bytes);
    lloyd_free(borrowed);
    return status;
}

/* As give(), by a copy that other work does not wait for. */
static lloyd_status give_beside(problem *p, int side, int slot, int64_t first, int64_t count)
{
    lloyd_kernels *kernels = p->side[side];
    size_t bytes = (size_t)(count * p->c.d) * lloyd_type_size(p->c.type);
    void *pinned;
    LLOYD_TRY(kernels->host_alloc(kernels, (int64_t)bytes + 1, "test", &pinned));
    memcpy(pinned, element_at(p, first, 0), bytes);
    lloyd_status status = kernels->load_start(kernels, slot, first, count, pinned);
    if (status == LLOYD_OK) status = kernels->load_finish(kernels, slot);
    if (status == LLOYD_OK) status = kernels->loaded(kernels, slot);
    memset(pinned, 0xff, bytes);
    kernels->host_free(kernels, pinned);
    return status;
}

static lloyd_status load_pieces(problem *p, int side, int slot, int64_t first, int64_t count)
{
    lloyd_kernels *kernels = p->side[side];
    int64_t piece = 1 + count / 3;
    LLOYD_TRY(kernels->load(kernels, slot, first, count, NULL));
    for (int64_t at = 0; at < count; at += piece) {
        int64_t here = count - at < piece ? count - at : piece;
        LLOYD_TRY(give(p, side, slot, first, at, here, 1));
    }
    return LLOYD_OK;
}

/* *slot = where chunk number `chunk` is, loaded if need be. */
static int load(problem *p, int side, int64_t chunk, int *slot)
{
    int64_t first = chunk_first(p, chunk), count = chunk_count(p, chunk);
    *slot = slot_of(p, chunk);
    if (is_resident(p) && (p->loaded[side] >> chunk & 1)) return 1;
    p->loaded[side] |= (int64_t)1 << chunk;
    if (p->c.layout == PIECES && p->side[side]->copies)
        TRY(p, side, "load and fill", load_pieces(p, side, *slot, first, count));
    else if (p->c.layout == ALTERNATE && p->side[side]->copies)
        TRY(p, side, "load beside", give_beside(p, side, *slot, first, count));
    else
        TRY(p, side, "load", give(p, side, *slot, first, 0, count, 0));
    return 1;
}

typedef lloyd_status (*chunk_work)(lloyd_kernels *kernels, int slot, int64_t first, void *result);

/* Does something with all chunks of one side. */
static int pass(problem *p, int side, const char *what, chunk_work work, void *result)
{
    for (int64_t i = 0; i < p->chunks; i++) {
        int slot;
        int64_t chunk = side == CUDA && p->reversed ? p->chunks - 1 - i : i;
        if (!load(p, side, chunk, &slot)) return 0;
        if (failed(p, side, work(p->side[side], slot, chunk_first(p, chunk), result), what))
            return 0;
    }
    return 1;
}

/* --- before the first iteration --- */

static lloyd_status measure_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *range)
{
    (void)first;
    return kernels->measure(kernels, slot, range);
}

static lloyd_status measure_weighted_chunk(lloyd_kernels *kernels, int slot, int64_t first,
                                           void *range)
{
    (void)first;
    return kernels->measure_weighted(kernels, slot, range);
}

static lloyd_status square_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *words)
{
    (void)first;
    return kernels->squares(kernels, slot, words);
}

/* An exponent of smallest ordinary values: now and then one for which a wide column needs many digits. */
static int any_ordinary(const lloyd_grid *grid, int top)
{
    return below(3) ? top : top - 2 * grid->bits - (int)below(100);
}

/* The digits of columns that begin at grid.top and end at low[], as for a dataset that may be larger
 * than these rows. */
static void choose_digits(problem *p, const int *low)
{
    lloyd_grid *grid = &p->grid;
    double cut;
    grid->cut = 0;
    for (int64_t j = 0; j < p->c.d; j++) {
        int top = grid->top[j];
        grid->digits[j] = lloyd_grid_digits(grid->bits, top, low[j], any_ordinary(grid, top), &cut);
        if (cut > 0) grid->cut = 1;
    }
    lloyd_grid_number(grid, p->c.d);
    grid->weight_top = grid->bits, grid->weight_digits = 1;
    if (!p->weights) return;
    double greatest = 0;
    int lowest = LLOYD_NO_BITS;
    for (int64_t i = 0; i < p->c.n; i++) {
        double weight = (double)p->weights[i];
        greatest = fmax(greatest, weight);
        if (weight > 0 && lloyd_lowest(weight) < lowest) lowest = lloyd_lowest(weight);
    }
    int top = lloyd_exponent(greatest);
    grid->weight_top = top;
    grid->weight_digits = lloyd_grid_digits(grid->bits, top, lowest, any_ordinary(grid, top), &cut);
    if (cut > 0) grid->cut = 1;
}

static int compare_range(problem *p, float *values, int *low)
{
    int64_t d = p->c.d;
    for (int s = 0; s < SIDES; s++) {
        lloyd_range range = {.min = values + s * 2 * d,
                             .max = values + s * 2 * d + d,
                             .low = low + s * d,
                             .bad_row = -1};
        for (int64_t j = 0; j < d; j++) {
            range.min[j] = INFINITY, range.max[j] = -INFINITY;
            range.low[j] = LLOYD_NO_BITS;
        }
        if (!pass(p, s, "measure", measure_chunk, &range)) return 0;
        /* Which of the two zeros came first is nobody's business. */
        for (int64_t j = 0; j < d; j++) range.min[j] += 0.0F, range.max[j] += 0.0F;
        int64_t bad[SIDES] = {-1, range.bad_row};
        same_count(p, "measure: bad row", bad);
    }
    same(p, "measure: lowest bits", I32, low, low + d, d, 1);
    return same(p, "measure: min, max", F32, values, values + 2 * d, 2 * d, d);
}

static int compare_products(problem *p, double *values, int *low)
{
    int64_t d = p->c.d;
    for (int s = 0; s < SIDES; s++) {
        lloyd_product_range range = {values + s * 2 * d, values + s * 2 * d + d, low + s * d};
        for (int64_t j = 0; j < d; j++) low[s * d + j] = LLOYD_NO_BITS;
        if (!pass(p, s, "measure_weighted", measure_weighted_chunk, &range)) return 0;
    }
    same(p, "measure_weighted: lowest bits", I32, low, low + d, d, 1);
    return same(p, "measure_weighted", F64, values, values + 2 * d, 2 * d, d);
}

/* The words of a column may be carried or not; their sum counts. */
static int compare_squares(problem *p, int64_t *words)
{
    enum { COUNT = LLOYD_SQUARE_DIGITS };
    int64_t d = p->c.d;
    for (int s = 0; s < SIDES; s++) {
        int64_t *own = words + s * COUNT * d;
        if (!pass(p, s, "squares", square_chunk, own)) return 0;
        for (int64_t j = 0; j < d; j++) {
            lloyd_carry(own + COUNT * j, COUNT, p->grid.bits);
            lloyd_total total = {own + COUNT * j, COUNT, p->grid.bits, p->grid.square_top[j]};
            if (s == CPU) p->squares = lloyd_dd_add(p->squares, lloyd_dd_total(total));
        }
    }
    return same(p, "squares: [column][word]", I64, words, words + COUNT * d, COUNT * d, COUNT);
}

static int compare_measures(problem *p)
{
    int64_t d = p->c.d;
    float *ranges = new_array(4 * d, sizeof *ranges);
    double *products = new_array(4 * d, sizeof *products);
    int *low = new_array(2 * d, sizeof *low);
    int64_t *words = new_array(2 * LLOYD_SQUARE_DIGITS * d, sizeof *words);
    int good = compare_range(p, ranges, low);
    p->grid.bits = lloyd_bits(p->c.n << (d % 3 == 0 ? 22 : 0), LLOYD_ELEMENT_BITS);
    for (int64_t j = 0; j < d; j++) {
        p->grid.top[j] = lloyd_exponent(fmax(fabs((double)ranges[j]), fabs((double)ranges[d + j])));
        p->grid.square_top[j] = 2 * p->grid.top[j];
    }
    if (p->weights) good = good && compare_products(p, products, low);
    for (int64_t j = 0; j < d && p->weights; j++) {
        p->grid.top[j] = lloyd_exponent(products[j]);
        p->grid.square_top[j] = lloyd_exponent(products[d + j]);
    }
    choose_digits(p, low);
    for (int s = 0; s < SIDES && good; s++)
        good = !failed(p, s, p->side[s]->set_grid(p->side[s], &p->grid), "set_grid");
    good = good && compare_squares(p, words);
    lloyd_free(ranges);
    lloyd_free(products);
    lloyd_free(low);
    lloyd_free(words);
    return good;
}

/* --- single rows --- */

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

static int compare_rows(problem *p)
{
    float *out = new_array(SIDES * ROWS_ASKED * p->c.d, sizeof *out);
    int good = 1;
    for (int64_t chunk = 0; chunk < p->chunks && good; chunk++)
        good = compare_chunk_rows(p, chunk, out);
    good = good && compare_takes(p, out);
    lloyd_free(out);
    return good;
}

/* --- centroids --- */

static int set_centroids(problem *p, int64_t count, const float *centroids)
{
    for (int s = 0; s < SIDES; s++)
        TRY(p, s, "set_centroids", p->side[s]->set_centroids(p->side[s], count, centroids));
    return 1;
}

/* out: [2*count*d] */
static int compare_centroids(problem *p, int64_t count, float *out)
{
    int64_t words = count * p->c.d;
    for (int s = 0; s < SIDES; s++)
        TRY(p, s, "get_centroids", p->side[s]->get_centroids(p->side[s], out + s * words));
    return same(p, "centroids", F32, out, out + words, words, p->c.d);
}

/* --- labels and what follows from them --- */

static double definition(const float *x, const float *c, int64_t d)
{
    double sums[LLOYD_LANES] = {0};
    for (int64_t j = 0; j < d; j++) {
        double t = (double)x[j] - (double)c[j];
        sums[j % LLOYD_LANES] = fma(t, t, sums[j % LLOYD_LANES]);
    }
    return lloyd_tree(sums, LLOYD_LANES);
}

/* Whether a wrong label is farther, or as far and not the smallest. */
static int explain_label(problem *p, int64_t row, int32_t a, int32_t b)
{
    int64_t d = p->c.d, k = p->c.k;
    int slot;
    if (!load(p, CPU, row / p->chunk_rows, &slot)) return 0;
    float *x = new_array(d, sizeof *x), *c = new_array(k * d, sizeof *c);
    lloyd_kernels *cpu = p->side[CPU];
    if (cpu->rows(cpu, slot, &row, 1, x) == LLOYD_OK && cpu->get_centroids(cpu, c) == LLOYD_OK) {
        print_error("        dist() of that row: to %d %a", a, definition(x, c + a * d, d));
        if (b >= 0 && b < k) print_error(", to %d %a", b, definition(x, c + b * d, d));
        print_error("\n");
    }
    lloyd_free(x);
    lloyd_free(c);
    return 0;
}

static int compare_labels(problem *p)
{
    int64_t n = p->c.n, first, half = n / 2;
    int32_t *labels = new_array(SIDES * n, sizeof *labels);
    int good = 1;
    for (int s = 0; s < SIDES && good; s++) { /* in two parts: rows need not begin at 0 */
        lloyd_kernels *kernels = p->side[s];
        good = !failed(p, s, kernels->labels(kernels, half, n - half, labels + s * n + half),
                       "labels") &&
               !failed(p, s, kernels->labels(kernels, 0, half, labels + s * n), "labels");
    }
    if (good && !same_to(p, "labels", I32, labels, labels + n, n, 1, &first))
        good = explain_label(p, first, labels[first], labels[n + first]);
    lloyd_free(labels);
    return good;
}

static int compare_counts(problem *p)
{
    int64_t k = p->c.k, *counts = new_array(SIDES * k, sizeof *counts);
    int good = 1;
    for (int64_t i = 0; i < SIDES * k; i++) counts[i] = i % k; /* the function adds */
    for (int s = 0; s < SIDES && good; s++)
        good = !failed(p, s, p->side[s]->count_labels(p->side[s], counts + s * k), "count_labels");
    good = good && same(p, "count_labels", I64, counts, counts + k, k, 1);
    lloyd_free(counts);
    return good;
}

static lloyd_status distances_of_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *out)
{
    return kernels->distances(kernels, slot, (double *)out + first);
}

static lloyd_status span_of_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *span)
{
    (void)first;
    return kernels->distance_span(kernels, slot, span);
}

typedef struct exact_total {
    int top, bits, count;
    int64_t words[LLOYD_MOST_TOTAL];
} exact_total;

static lloyd_status total_of_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *result)
{
    exact_total *total = result;
    (void)first;
    return kernels->total_distance(kernels, slot, total->top, total->bits, total->count,
                                   total->words);
}

static int compare_distances(problem *p)
{
    int64_t n = p->c.n;
    double *out = new_array(SIDES * n, sizeof *out);
    lloyd_span span[SIDES];
    exact_total total[SIDES];
    int good = 1;
    for (int s = 0; s < SIDES && good; s++) {
        span[s] = (lloyd_span){LLOYD_NO_TOP, LLOYD_NO_BITS};
        good = pass(p, s, "distances", distances_of_chunk, out + s * n) &&
               pass(p, s, "distance_span", span_of_chunk, &span[s]);
    }
    good = good && same(p, "distances", F64, out, out + n, n, 1) &&
           same(p, "distance_span", I32, &span[CPU], &span[CUDA], 2, 1);
    lloyd_free(out);
    if (!good || span[CPU].top < span[CPU].low) return good;
    int bits = p->grid.bits, count = (span[CPU].top - span[CPU].low + bits - 1) / bits;
    for (int s = 0; s < SIDES && good; s++) {
        total[s] = (exact_total){span[CPU].top, bits, count, {7, 11}};
        good = pass(p, s, "total_distance", total_of_chunk, &total[s]);
    }
    return good && same(p, "total_distance", I64, total[CPU].words, total[CUDA].words, count, 1);
}

typedef struct far_list {
    int64_t want, count;
    lloyd_far_row *rows;
} far_list;

static lloyd_status farthest_of_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *result)
{
    far_list *list = result;
    (void)first;
    return kernels->farthest(kernels, slot, list->want, list->rows, &list->count);
}

static int same_lists(problem *p, const far_list list[SIDES])
{
    int64_t counts[SIDES] = {list[CPU].count, list[CUDA].count};
    if (!same_count(p, "farthest: how many", counts)) return 0;
    for (int64_t i = 0; i < counts[CPU]; i++) {
        const lloyd_far_row *a = &list[CPU].rows[i], *b = &list[CUDA].rows[i];
        int64_t rows[SIDES] = {a->row, b->row}, labels[SIDES] = {a->label, b->label};
        if (!same(p, "farthest: distance", F64, &a->distance, &b->distance, 1, 1) ||
            !same_count(p, "farthest: row", rows) || !same_count(p, "farthest: label", labels)) {
            print_error("        at %lld of the %lld farthest\n", (long long)i,
                        (long long)list[CPU].want);
            return 0;
        }
    }
    return 1;
}

/* The caller frees list[CPU].rows. */
static int find_farthest(problem *p, int64_t want, far_list list[SIDES])
{
    lloyd_far_row *rows = new_array(SIDES * want, sizeof *rows);
    int good = 1;
    for (int s = 0; s < SIDES; s++) list[s] = (far_list){want, 0, rows + s * want};
    for (int s = 0; s < SIDES && good; s++)
        good = pass(p, s, "farthest", farthest_of_chunk, &list[s]);
    return good && same_lists(p, list);
}

static int compare_farthest(problem *p)
{
    const int64_t wants[] = {1, 37, p->c.n + 3};
    int good = 1;
    for (int i = 0; i < 3 && good; i++) {
        far_list list[SIDES];
        good = find_farthest(p, wants[i], list);
        lloyd_free(list[CPU].rows);
    }
    return good;
}

static int compare_results(problem *p)
{
    return compare_counts(p) && compare_distances(p) && compare_farthest(p);
}

/* --- iterations --- */

static lloyd_status assign_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *unused)
{
    (void)first, (void)unused;
    return kernels->assign(kernels, slot);
}

static lloyd_status accumulate_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *unused)
{
    (void)first, (void)unused;
    return kernels->accumulate(kernels, slot);
}

/* The words of sums(), wherever they are. */
static lloyd_status fetch_sums(lloyd_kernels *kernels, int64_t *out, int64_t words)
{
    lloyd_buffer sums = kernels->sums(kernels);
    size_t bytes = (size_t)words * sizeof *out;
    if (sums.place == LLOYD_HOST) {
        memcpy(out, sums.data, bytes);
        return LLOYD_OK;
    }
    cudaError_t error = cudaStreamSynchronize((cudaStream_t)sums.stream);
    if (error == cudaSuccess) error = cudaMemcpy(out, sums.data, bytes, cudaMemcpyDeviceToHost);
    if (error == cudaSuccess) return LLOYD_OK;
    return lloyd_fail(LLOYD_FAILED, "copying the sums: %s", cudaGetErrorString(error));
}

static int compare_sums(problem *p, const char *what)
{
    int64_t k = p->c.k, d = p->c.d;
    lloyd_sum_layout l = lloyd_layout_of_sums(&p->grid, d, k);
    int64_t *sums = new_array(SIDES * l.words, sizeof *sums);
    const int64_t *other = sums + l.words;
    int good = 1;
    for (int s = 0; s < SIDES && good; s++) {
        good = !failed(p, s, fetch_sums(p->side[s], sums + s * l.words, l.words), "sums");
        if (good) p->verified[s] = sums[(s + 1) * l.words - 1];
    }
    good = good && same(p, what, I64, sums, other, k * d, d) &&
           same(p, "second digits", I64, sums + l.seconds_at, other + l.seconds_at, k * l.seconds,
                l.seconds) &&
           same(p, "more digits", I64, sums + l.wide_at, other + l.wide_at, l.masses_at - l.wide_at,
                l.wide) &&
           same(p, "masses", I64, sums + l.masses_at, other + l.masses_at,
                l.counters_at - l.masses_at, k) &&
           same(p, "labels changed", I64, sums + l.counters_at, other + l.counters_at, 1, 1);
    lloyd_free(sums);
    return good;
}

static int compare_inertia(problem *p, int64_t *empty)
{
    lloyd_found found[SIDES];
    for (int s = 0; s < SIDES; s++)
        TRY(p, s, "inertia", p->side[s]->inertia(p->side[s], p->squares, &found[s]));
    int64_t moved[SIDES] = {found[CPU].moved, found[CUDA].moved};
    int64_t empties[SIDES] = {found[CPU].empty, found[CUDA].empty};
    *empty = empties[CPU];
    return same(p, "inertia", F64, &found[CPU].inertia, &found[CUDA].inertia, 1, 1) &&
           same(p, "inertia: largest", F64, &found[CPU].largest, &found[CUDA].largest, 1, 1) &&
           same_count(p, "inertia: moved", moved) && same_count(p, "inertia: empty", empties);
}

/* words = a row in digits, as relocate() takes it. */
static int digits_of_row(problem *p, int64_t row, float *x, int64_t *words)
{
    const lloyd_grid *grid = &p->grid;
    lloyd_sum_layout l = lloyd_layout_of_sums(grid, p->c.d, p->c.k);
    int64_t digit[LLOYD_MOST_DIGITS] = {0}, count = lloyd_row_words(&l);
    double weight = p->weights ? (double)p->weights[row] : 1;
    int slot;
    if (!load(p, CPU, row / p->chunk_rows, &slot)) return 0;
    TRY(p, CPU, "rows", p->side[CPU]->rows(p->side[CPU], slot, &row, 1, x));
    memset(words, 0, (size_t)count * sizeof *words);
    for (int64_t j = 0; j < p->c.d; j++) {
        lloyd_digits_of(weight * (double)x[j], grid->top[j], grid->bits, grid->digits[j], digit);
        words[j] = digit[0];
        if (grid->digits[j] > 1) words[l.dim + grid->second[j]] = digit[1];
        for (int t = 2; t < grid->digits[j]; t++)
            words[l.dim + l.seconds + (t - 2) * l.wide + grid->wide_number[j]] = digit[t];
    }
    lloyd_digits_of(weight, grid->weight_top, grid->bits, grid->weight_digits,
                    words + count - grid->weight_digits);
    return 1;
}

static int move_rows(problem *p, const far_list *list, const int32_t *clusters, float *x,
                     int64_t *move)
{
    for (int64_t i = 0; i < list->count; i++) {
        if (!digits_of_row(p, list->rows[i].row, x, move)) return 0;
        for (int s = 0; s < SIDES; s++)
            TRY(p, s, "relocate",
                p->side[s]->relocate(p->side[s], list->rows[i].label, clusters[i], move));
    }
    return compare_sums(p, "sums after relocate");
}

static int compare_relocation(problem *p, int64_t empty)
{
    enum { MOST = 50 };
    int64_t want = empty < MOST ? empty : MOST;
    int32_t *clusters = new_array(SIDES * empty, sizeof *clusters);
    float *x = new_array(p->c.d, sizeof *x);
    lloyd_sum_layout l = lloyd_layout_of_sums(&p->grid, p->c.d, p->c.k);
    int64_t *move = new_array(lloyd_row_words(&l), sizeof *move);
    far_list list[SIDES];
    int good = find_farthest(p, want, list);
    for (int s = 0; s < SIDES && good; s++) {
        lloyd_kernels *kernels = p->side[s];
        good = !failed(p, s, kernels->empty_clusters(kernels, empty, clusters + s * empty),
                       "empty_clusters");
    }
    good = good && same(p, "empty_clusters", I32, clusters, clusters + empty, empty, 1) &&
           move_rows(p, &list[CPU], clusters, x, move);
    lloyd_free(list[CPU].rows);
    lloyd_free(clusters);
    lloyd_free(x);
    lloyd_free(move);
    return good;
}

static int iterate(problem *p, float *centroids)
{
    int64_t empty;
    for (int s = 0; s < SIDES; s++) {
        TRY(p, s, "begin", p->side[s]->begin(p->side[s]));
        if (!pass(p, s, "assign", assign_chunk, NULL)) return 0;
    }
    if (!compare_labels(p)) return 0;
    if (p->iteration == 1 && !compare_results(p)) return 0;
    for (int s = 0; s < SIDES; s++) {
        if (!pass(p, s, "accumulate", accumulate_chunk, NULL)) return 0;
    }
    if (!compare_sums(p, "sums") || !compare_inertia(p, &empty)) return 0;
    if (empty > 0 && p->iteration != 2 && !compare_relocation(p, empty)) return 0;
    for (int s = 0; s < SIDES; s++) TRY(p, s, "update", p->side[s]->update(p->side[s]));
    return compare_centroids(p, p->c.k, centroids);
}

/* Iterations, and at the end the labels of the last centroids, as a fit does. */
static int compare_iterations(problem *p)
{
    int good = set_centroids(p, p->c.k, p->centroids);
    float *centroids = new_array(SIDES * p->c.k * p->c.d, sizeof *centroids);
    good = good && compare_centroids(p, p->c.k, centroids);
    for (int s = 0; s < SIDES && good; s++)
        good = !failed(p, s, p->side[s]->forget_labels(p->side[s]), "forget_labels");
    int iterations = options.small ? 2 : 4;
    for (p->iteration = 1; p->iteration <= iterations && good; p->iteration++)
        good = iterate(p, centroids);
    for (int s = 0; s < SIDES && good; s++) good = pass(p, s, "assign", assign_chunk, NULL);
    good = good && compare_labels(p) && compare_results(p);
    p->iteration = 0;
    lloyd_free(centroids);
    return good;
}

/* --- seeding --- */

typedef struct comparison {
    int64_t base;
    double greatest;
} comparison;

static lloyd_status seed_compare_chunk(lloyd_kernels *kernels, int slot, int64_t first,
                                       void *result)
{
    comparison *c = result;
    (void)first;
    return kernels->seed_compare(kernels, slot, c->base, &c->greatest);
}

static int compare_picks(problem *p, int exponent, int bits, int64_t total)
{
    const int64_t targets[] = {0,         total - 1,    total / 2,   total / 3,
                               total / 7, below(total), below(total)};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        int64_t row[SIDES];
        for (int s = 0; s < SIDES; s++)
            TRY(p, s, "seed_pick",
                p->side[s]->seed_pick(p->side[s], exponent, bits, targets[i], &row[s]));
        if (!same_count(p, "seed_pick", row)) return 0;
    }
    return 1;
}

static int compare_sample(problem *p, int exponent, int bits, int64_t total, int64_t capacity)
{
    int64_t *rows = new_array(SIDES * capacity, sizeof *rows), count[SIDES];
    int64_t offset = ((int64_t)1 << 33) + 5, oversampling = 2 * p->c.k;
    uint64_t seed = next_word();
    int good = 1, round = (int)below(5);
    for (int s = 0; s < SIDES && good; s++) {
        lloyd_kernels *kernels = p->side[s];
        good =
            !failed(p, s,
                    kernels->seed_sample(kernels, exponent, bits, total, oversampling, seed, round,
                                         offset, capacity, rows + s * capacity, &count[s]),
                    "seed_sample");
    }
    good = good && same_count(p, "seed_sample: how many", count) &&
           same(p, "seed_sample: rows", I64, rows, rows + capacity, count[CPU], 1);
    lloyd_free(rows);
    return good;
}

/* Everything that is drawn from masses of at most `greatest`. */
static int compare_draws(problem *p, double greatest)
{
    int exponent = lloyd_exponent(greatest);
    int bits = lloyd_bits(p->c.n << (p->c.d % 2 ? 20 : 0), LLOYD_MASS_BITS);
    int64_t total[SIDES];
    for (int s = 0; s < SIDES; s++)
        TRY(p, s, "seed_total", p->side[s]->seed_total(p->side[s], exponent, bits, &total[s]));
    if (!same_count(p, "seed_total", total)) return 0;
    if (total[CPU] == 0) return 1;
    return compare_picks(p, exponent, bits, total[CPU]) &&
           compare_sample(p, exponent, bits, total[CPU], p->c.n) &&
           compare_sample(p, exponent, bits, total[CPU] * 2, 3);
}

typedef struct attempt {
    int exponent, bits;
    int64_t totals[LLOYD_MOST_TRIALS];
} attempt;

static lloyd_status seed_try_chunk(lloyd_kernels *kernels, int slot, int64_t first, void *result)
{
    attempt *a = result;
    (void)first;
    return kernels->seed_try(kernels, slot, a->exponent, a->bits, a->totals);
}

/* What some rows, a few or many, would leave of masses of at most `greatest`. */
static int compare_tries(problem *p, double greatest)
{
    static const int64_t counts[] = {1, 2, 9, 33, LLOYD_MOST_TRIALS};
    int64_t d = p->c.d, count = counts[below(p->c.n * d > 100000 ? 4 : 5)];
    float *tried = new_array(count * d, sizeof *tried);
    attempt a[SIDES];
    for (int64_t i = 0; i < count; i++) {
        memcpy(tried + i * d, p->centroids + below(p->c.k) * d, (size_t)d * sizeof *tried);
        if (i % 3 != 0) tried[i * d + below(d)] -= 1;
    }
    int good = set_centroids(p, count, tried);
    for (int s = 0; s < SIDES && good; s++) {
        a[s] = (attempt){.exponent = lloyd_exponent(greatest),
                         .bits = lloyd_bits(p->c.n, LLOYD_MASS_BITS)};
        good = pass(p, s, "seed_try", seed_try_chunk, &a[s]);
    }
    good = good && same(p, "seed_try", I64, a[CPU].totals, a[CUDA].totals, count, 1);
    lloyd_free(tried);
    return good;
}

/* Compares the rows with `count` centroids more, and draws and tries. */
static int compare_seeds(problem *p, int64_t base, int64_t count, const float *centroids)
{
    comparison c[SIDES] = {{base, 0}, {base, 0}};
    if (!set_centroids(p, count, centroids)) return 0;
    for (int s = 0; s < SIDES; s++) {
        if (!pass(p, s, "seed_compare", seed_compare_chunk, &c[s])) return 0;
    }
    return same(p, "seed_compare: mass", F64, &c[CPU].greatest, &c[CUDA].greatest, 1, 1) &&
           compare_draws(p, c[CPU].greatest) && compare_tries(p, c[CPU].greatest);
}

static int compare_masses(problem *p, int64_t seeds)
{
    int64_t *masses = new_array(SIDES * seeds, sizeof *masses);
    int good = 1;
    for (int s = 0; s < SIDES && good; s++)
        good =
            !failed(p, s, p->side[s]->seed_masses(p->side[s], masses + s * seeds), "seed_masses");
    good = good && same(p, "seed_masses", I64, masses, masses + seeds, seeds, 1);
    lloyd_free(masses);
    return good;
}

/* Seeds: one centroid, a few, and then more than K, as kmeans|| has them. */
static int compare_rounds(problem *p)
{
    enum { MOST = 300 };
    int64_t d = p->c.d, many = 2 * p->c.k + 3 < MOST ? 2 * p->c.k + 3 : MOST, few = 3;
    double greatest = 1;
    for (int64_t i = 0; p->weights && i < p->c.n; i++)
        greatest = fmax(greatest, (double)p->weights[i]);
    float *seeds = new_array((1 + few + many) * d, sizeof *seeds);
    for (int64_t i = 0; i < 1 + few + many; i++) {
        memcpy(seeds + i * d, p->centroids + below(p->c.k) * d, (size_t)d * sizeof *seeds);
        if (i % 3 == 0) seeds[i * d + below(d)] += 1;
    }
    int good = compare_draws(p, greatest) && compare_seeds(p, 0, 1, seeds) &&
               compare_seeds(p, 1, few, seeds + d) &&
               compare_seeds(p, 1 + few, many, seeds + (1 + few) * d) &&
               compare_masses(p, 1 + few + many);
    lloyd_free(seeds);
    return good;
}

static int compare_seeding(problem *p)
{
    int good = 1;
    for (int s = 0; s < SIDES && good; s++)
        good = !failed(p, s, p->side[s]->seed_begin(p->side[s]), "seed_begin");
    good = good && compare_rounds(p);
    for (int s = 0; s < SIDES; s++) {
        if (failed(p, s, p->side[s]->seed_end(p->side[s]), "seed_end")) good = 0;
    }
    return good;
}

/* --- choosing among candidates --- */

enum { MOST_LEAVES = 11 };

typedef struct reduction {
    lloyd_reduction r;
    lloyd_leaf leaf[MOST_LEAVES];
    int64_t leaves, all; /* choices of all leaves */
    float *points;
    double *weights;
    int64_t *members;
} reduction;

/* Points like the centroids, many of them twice, and weights of all sizes, 0 among them. */
static void draw_points(const problem *p, int64_t count, float *points, double *weights)
{
    const int64_t d = p->c.d;
    for (int64_t i = 0; i < count; i++) {
        float *x = points + i * d;
        memcpy(x, p->centroids + below(p->c.k) * d, (size_t)d * sizeof *x);
        for (int j = 0; j < 3 && i % 4 != 0; j++) x[below(d)] += (float)(below(9) - 4);
        for (int64_t j = 0; j < d && i % 2 != 0; j++) x[j] *= 1 + 0.25F * bell();
        weights[i] = i % 7 == 0 ? 0 : i % 3 == 0 ? ldexp(1, (int)below(50)) : (double)below(1000);
    }
}

/* Every leaf has one of `leaves` points in turn. */
static reduction new_reduction(problem *p, int64_t count, int64_t leaves, int64_t most, int trials)
{
    reduction n = {.leaves = leaves, .points = new_array(count * p->c.d, sizeof(float))};
    n.weights = new_array(count, sizeof *n.weights);
    n.members = new_array(count, sizeof *n.members);
    draw_points(p, count, n.points, n.weights);
    n.r = (lloyd_reduction){.count = count,
                            .dim = p->c.d,
                            .points = n.points,
                            .weights = n.weights,
                            .k = count,
                            .trials = trials,
                            .seed = next_word(),
                            .threads = options.threads,
                            .room = INT64_MAX};
    int64_t at = 0;
    for (int64_t l = 0; l < leaves; l++) {
        lloyd_leaf *leaf = &n.leaf[l];
        *leaf = (lloyd_leaf){.number = 3 * l + below(3), .members = n.members + at};
        for (int64_t i = l; i < count; i += leaves) n.members[at + leaf->count++] = i;
        at += leaf->count;
        leaf->most = most < leaf->count ? most : leaf->count;
        n.all += leaf->most;
    }
    return n;
}

static void free_reduction(reduction *n)
{
    lloyd_free(n->points);
    lloyd_free(n->weights);
    lloyd_free(n->members);
}

/* *calls = how many it took. */
static int choose(problem *p, int s, reduction *n, lloyd_choice *choices, int *calls)
{
    *calls = 0;
    for (int64_t l = 0; l < n->leaves; l++) {
        n->leaf[l].choices = choices;
        choices += n->leaf[l].most;
    }
    for (int64_t at = 0, done = 0; at < n->leaves; at += done, ++*calls) {
        TRY(p, s, "reduce",
            p->side[s]->reduce(p->side[s], &n->r, n->leaf + at, n->leaves - at, &done));
        assert_true(done > 0 && done <= n->leaves - at);
    }
    return 1;
}

/* As many leaves at a time as the GPU likes, and one. */
static int compare_choices(problem *p, int64_t count, int64_t leaves, int64_t most, int trials)
{
    reduction n = new_reduction(p, count, leaves, most, trials);
    lloyd_choice *choices = new_array(SIDES * n.all, sizeof *choices);
    int calls, good = choose(p, CPU, &n, choices, &calls);
    for (int once = 0; once < 2 && good; once++) {
        if (once) n.r.room = lloyd_cuda_reduce_bytes(n.leaf[0].count, p->c.d, 1);
        good =
            choose(p, CUDA, &n, choices + n.all, &calls) &&
            same(p, "reduce: [choice][gain, point]", I64, choices, choices + n.all, 2 * n.all, 2);
        int wanted =
            once ? (int)leaves : (int)(leaves + LLOYD_LEAVES_AT_ONCE - 1) / LLOYD_LEAVES_AT_ONCE;
        if (good && calls != wanted) {
            p->differences++;
            describe(p, "reduce");
            print_error("%d calls for %lld leaves\n", calls, (long long)leaves);
        }
    }
    lloyd_free(choices);
    free_reduction(&n);
    return good;
}

static int compare_reduction(problem *p)
{
    static const int trials[] = {1, 2, 31, 32, 33, LLOYD_MOST_TRIALS};
    int64_t leaves = 1 + below(MOST_LEAVES), count = leaves + below(options.small ? 90 : 700);
    return compare_choices(p, count, leaves, 1 + below(40), trials[below(6)]);
}

/* --- a case --- */

static void choose_chunks(problem *p)
{
    const test_case *c = &p->c;
    int64_t parts = c->layout == WHOLE ? 1 : 3 + c->n % 3;
    p->chunk_rows = 1 + c->n / parts;
    if (c->layout == WHOLE) p->chunk_rows = c->n > 0 ? c->n : 1;
    p->chunks = (c->n + p->chunk_rows - 1) / p->chunk_rows;
    if (c->layout == PIECES) p->chunks++;
    p->reversed = c->n % 2 && c->layout != WHOLE;
}

/* Those filled in pieces are made by others of their kind, which do not live on. */
static lloyd_status new_cuda_kernels(const test_case *c, const lloyd_kernels_config *config,
                                     lloyd_kernels **kernels)
{
    lloyd_kernels *parent;
    if (c->layout != PIECES) return lloyd_kernels_cuda(config, 0, kernels);
    lloyd_kernels_config other =
        {.n_local = 5, .dim = 3, .k = 2, .chunk_rows = 5, .slots = 1, .threads = 1};
    LLOYD_TRY(lloyd_kernels_cuda(&other, 0, &parent));
    lloyd_status status = parent->create(parent, config, kernels);
    parent->destroy(parent);
    return status;
}

/* kernels/cuda/assign.cu: --pretend 80 tests what labels rows on older GPUs, --pretend 1 the
 * streaming kernel where the resident one would be chosen, 2 the other choice of sifting, 4 the other
 * sort, 8 both steps of verification where few rows would be compared with all centroids at once, 32
 * sorted rows where they would be summed in shared memory. */
void lloyd_cuda_pretend(lloyd_kernels *kernels, int pretended);

static int new_kernels(problem *p)
{
    const test_case *c = &p->c;
    int64_t slots = is_resident(p) ? p->chunks : c->layout == ALTERNATE ? 2 : 1;
    lloyd_kernels_config config = {.n_local = c->n,
                                   .dim = c->d,
                                   .k = c->k,
                                   .chunk_rows = p->chunk_rows,
                                   .slots = slots > 0 ? (int)slots : 1,
                                   .type = c->type,
                                   .cosine = c->cosine,
                                   .weights = p->weights,
                                   .threads = options.threads};
    lloyd_status status = lloyd_kernels_cpu(&config, &p->side[CPU]);
    if (status == LLOYD_OK) status = new_cuda_kernels(c, &config, &p->side[CUDA]);
    if (status == LLOYD_OK) lloyd_cuda_pretend(p->side[CUDA], options.pretend);
    if (status == LLOYD_OK) return 1;
    p->differences++;
    describe(p, "create");
    print_error("fails with %d: %s\n", (int)status, lloyd_message());
    return 0;
}

static void free_problem(problem *p)
{
    for (int s = 0; s < SIDES; s++) {
        if (p->side[s]) p->side[s]->destroy(p->side[s]);
    }
    lloyd_free(p->rows);
    lloyd_free(p->weights);
    lloyd_free(p->centroids);
    lloyd_grid_free(&p->grid);
}

static problem new_problem(const test_case *c)
{
    problem p = {.c = *c};
    draw(&p);
    choose_chunks(&p);
    assert_int_equal(lloyd_grid_alloc(&p.grid, c->d), LLOYD_OK);
    return p;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* 0: this case is not for this process. Numbers its words by the case, so that any case can be
 * repeated alone. */
static int begin_case(const test_case *c, const char *what)
{
    int number = progress->next++;
    if (number < progress->from || (options.only >= 0 && number != options.only)) return 0;
    (void)snprintf(progress->name, sizeof progress->name,
                   "case %d%s: %s %s, n %lld d %lld k %lld%s%s%s", number, what,
                   kind_names[c->kind], lloyd_type_name(c->type), (long long)c->n, (long long)c->d,
                   (long long)c->k, c->cosine ? ", cosine" : "", weighting_names[c->weighting],
                   layout_names[c->layout]);
    progress->cases++;
    progress->began = time(NULL);
    seed_words(options.seed * 1000003 + (uint64_t)number);
    return 1;
}

static void end_case(const problem *p, double start)
{
    double share = p->c.n > 0 ? 100 / (double)p->c.n : 0;
    progress->began = 0;
    if (p->differences > 0) progress->bad_cases++, progress->here++;
    if (options.verbose) {
        print_message("%s %s (%.2f s; verified at last: cpu %.1f %%, cuda %.1f %%)\n",
                      p->differences ? "WRONG" : "ok   ", progress->name, seconds() - start,
                      (double)p->verified[CPU] * share, (double)p->verified[CUDA] * share);
    }
}

/* Parts that do not need each other are all run, even if one of them differs. */
static void run_case(const test_case *c)
{
    if (!begin_case(c, "")) return;
    double start = seconds();
    problem p = new_problem(c);
    if (new_kernels(&p)) {
        (void)compare_measures(&p);
        (void)compare_rows(&p);
        (void)compare_seeding(&p);
        (void)compare_reduction(&p);
        (void)compare_iterations(&p);
    }
    end_case(&p, start);
    free_problem(&p);
}

/* Fewer rows where all of them would be too much work. */
static void run_within_budget(test_case c)
{
    double most = options.budget / ((double)c.k * (double)c.d);
    if ((double)c.n > most) c.n = (int64_t)most | 1;
    run_case(&c);
}

/* One of `count` choices, another for every `what`, so that no two go hand in hand. */
static int pick(int number, int what, int count)
{
    uint64_t word = ((uint64_t)number * 16 + (uint64_t)what + 1) * 0x9e3779b97f4a7c15;
    word = (word ^ word >> 29) * 0xbf58476d1ce4e5b9;
    return (int)((word >> 33) % (uint64_t)count);
}

/* Metric, weights and layout by the number of the case in its list; one case in two is plain. */
static test_case varied(int i, data_kind kind, int64_t n, int64_t d, int64_t k)
{
    int weights = pick(i, 0, 6);
    return (test_case){.kind = kind,
                       .type = (lloyd_type)(i % TYPES),
                       .n = n,
                       .d = d,
                       .k = k,
                       .cosine = kind != ZEROS && pick(i, 1, 4) == 0,
                       .weighting = weights < WEIGHTINGS ? (weighting)weights : UNWEIGHTED,
                       .layout = (layout)pick(i, 2, LAYOUTS)};
}

static void finish_list(void)
{
    int bad = progress->here;
    progress->here = 0;
    assert_int_equal(bad, 0);
}

/* --- lists of cases --- */

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof *(array)))

/* Every number of columns with every type. */
static void test_columns(void **unused)
{
    (void)unused;
    static const int64_t all[] = {1,   2,   3,   8,   16,  17,  32,  33,  64,   96,   100,
                                  128, 129, 192, 255, 256, 257, 384, 768, 1000, 1536, 4096};
    static const int64_t some[] = {7, 8, 16, 33, 64, 100, 256, 257, 320};
    static const int64_t ks[] = {256, 7, 1000, 61, 2, 300};
    static const int64_t ns[] = {1003, 191, 5003, 193, 640};
    const int64_t *dims = options.small ? some : all;
    int count = options.small ? COUNT_OF(some) : COUNT_OF(all), i = 0;
    for (int at = 0; at < count; at++) {
        for (int type = 0; type < TYPES; type++, i++) {
            test_case c = varied(i, (data_kind)(i % (KINDS - 1)), ns[pick(i, 3, COUNT_OF(ns))],
                                 dims[at], ks[pick(i, 4, COUNT_OF(ks))]);
            c.type = (lloyd_type)type;
            if (options.small) c.n = 70 + 31 * (i % 3), c.k = i % 7 == 1 ? 3 : 40 + i % 50;
            run_within_budget(c);
        }
    }
    finish_list();
}

/* Every kind of data with every type. */
static void test_kinds(void **unused)
{
    (void)unused;
    static const int64_t dims[] = {128, 32, 100, 17, 300};
    int i = 0;
    for (int kind = 0; kind < KINDS; kind++) {
        for (int type = 0; type < TYPES; type++, i++) {
            for (int round = 0; round < (options.small ? 0 : 2); round++) {
                test_case c = varied(i + 3 * round, (data_kind)kind, round ? 1501 : 2003,
                                     dims[(i + round) % COUNT_OF(dims)], round ? 300 : 128);
                c.type = (lloyd_type)type;
                if (round == 0) c.cosine = 0, c.weighting = UNWEIGHTED;
                run_within_budget(c);
            }
        }
    }
    if (options.small) run_within_budget(varied(0, ZEROS, 97, 5, 6));
    finish_list();
}

/* Numbers of clusters around the sizes of tiles, and many. */
static void test_clusters(void **unused)
{
    (void)unused;
    static const int64_t ks[] = {1,   2,   3,   4,   5,    6,    7,    8,    9,    31,
                                 63,  64,  65,  127, 128,  129,  191,  193,  255,  256,
                                 257, 511, 512, 513, 1000, 1024, 1025, 2048, 4097, 65536};
    static const int64_t dims[] = {64, 3, 128, 20, 257};
    for (int i = 0; i < 2 * TYPES && options.small; i++) /* several tiles of either kind */
        run_case(&(test_case){GAUSS, (lloyd_type)(i % TYPES), i % 2 ? 150 : 401,
                              i < TYPES ? 64 : 264, i % 2 ? 530 : 270, 0, UNWEIGHTED, WHOLE});
    for (int i = 0; i < COUNT_OF(ks) && !options.small; i++) {
        int64_t d = ks[i] > 5000 ? 16 : dims[i % COUNT_OF(dims)];
        run_within_budget(varied(i,
                                 (data_kind)(i % 5 == 4 ? LATTICE
                                             : i % 2    ? SIFT
                                                        : GAUSS),
                                 1003, d, ks[i]));
    }
    finish_list();
}

/* Sums in shared memory (update_shared.cu): every way to deal rows to lanes, with every type. */
static void test_few_clusters(void **unused)
{
    (void)unused;
    static const int64_t dims[] = {1, 2, 3, 8, 9, 10, 16, 17, 24, 32, 33, 50, 64, 100, 128, 250};
    static const int64_t ks[] = {2, 3, 5, 7};
    for (int i = 0; i < TYPES * COUNT_OF(dims); i++) {
        test_case c = varied(i, (data_kind)(i % 7), options.small ? 641 : 2017,
                             dims[i % COUNT_OF(dims)], ks[pick(i, 3, COUNT_OF(ks))]);
        if (i % 3 > 0) c.layout = WHOLE;
        if (options.small && i % 4 != i / COUNT_OF(dims) % 4) continue;
        run_within_budget(c);
    }
    finish_list();
}

/* Numbers of rows around the sizes of tiles. */
static void test_rows(void **unused)
{
    (void)unused;
    static const int64_t ns[] = {1,   2,   5,   31,  33,  63,  64,  65,  127,  128,  129,  191,
                                 192, 193, 255, 256, 257, 383, 384, 385, 1003, 5003, 20011};
    static const int64_t dims[] = {128, 100, 17, 300};
    static const data_kind kinds[] = {GAUSS, SIFT, DUPLICATES};
    for (int i = 0; i < (options.small ? 2 : COUNT_OF(ns)); i++) {
        test_case c = varied(i, kinds[i % 3], ns[i], dims[i % 4], options.small ? 20 : 200);
        run_within_budget(c);
    }
    finish_list();
}

/* Every metric with every weighting and every layout. */
static void test_layouts(void **unused)
{
    (void)unused;
    static const int64_t dims[] = {17, 64, 300};
    int i = 0;
    for (int cosine = 0; cosine < 2; cosine++) {
        for (int weights = 0; weights < WEIGHTINGS; weights++) {
            for (int place = 0; place < LAYOUTS; place++, i++) {
                test_case c = varied(i, (data_kind)(i % 7), 1203, dims[i % 3], 40);
                c.cosine = cosine, c.weighting = (weighting)weights, c.layout = (layout)place;
                if (options.small && i % 4) continue;
                if (options.small) c.n = 103, c.d = i % 8 ? 17 : 9;
                run_within_budget(c);
            }
        }
    }
    finish_list();
}

/* Few cases of real size: several rounds of every persistent kernel. */
static void test_large(void **unused)
{
    (void)unused;
    static const test_case cases[] = {
        {GAUSS, LLOYD_F32, 120011, 128, 100, 0, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_F16, 30011, 96, 1000, 0, UNWEIGHTED, STREAMED},
        {SIFT, LLOYD_U8, 20011, 128, 1000, 0, UNWEIGHTED, RESIDENT},
        {GAUSS, LLOYD_BF16, 3001, 768, 1000, 1, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_I8, 100003, 64, 256, 0, WEIGHTED, PIECES},
        {GAUSS, LLOYD_F16, 1003, 4096, 700, 0, UNWEIGHTED, WHOLE},
        {LATTICE, LLOYD_F32, 3001, 8, 65536, 0, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_F32, 1003, 32, 65536, 0, UNWEIGHTED, ALTERNATE},
        {COLUMNS, LLOYD_F32, 200003, 3, 1000, 0, WIDE, WHOLE},
        /* sort.cu: blocks order their rows, on their way into the order of all */
        {SIFT, LLOYD_U8, 600011, 168, 1000, 0, UNWEIGHTED, WHOLE},
        /* update_shared.cu: one tile of columns or several, more rows of a block than its sums hold */
        {SIFT, LLOYD_U8, 600011, 32, 300, 0, UNWEIGHTED, WHOLE},
        {SIFT, LLOYD_U8, 600011, 16, 300, 0, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_F16, 530003, 8, 1000, 0, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_F32, 540011, 11, 200, 1, WEIGHTED, WHOLE},
        {GAUSS, LLOYD_F16, 65537, 64, 256, 0, UNWEIGHTED, RESIDENT},
        {GAUSS, LLOYD_F32, 20011, 128, 97, 0, WIDE, STREAMED},
        {COLUMNS, LLOYD_BF16, 30011, 90, 131, 0, UNWEIGHTED, WHOLE},
        /* the same where only the larger memory holds them: one tile of columns, three and four; as many
         * clusters as there may be */
        {SIFT, LLOYD_U8, 600011, 128, 400, 0, UNWEIGHTED, WHOLE},
        {SIFT, LLOYD_U8, 70001, 160, 1000, 0, UNWEIGHTED, WHOLE},
        {COLUMNS, LLOYD_I8, 70001, 37, 1000, 0, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_I8, 66011, 70, 600, 0, WEIGHTED, WHOLE},
        {GAUSS, LLOYD_F16, 70001, 64, 1000, 0, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_F32, 70001, 61, 1000, 1, UNWEIGHTED, WHOLE},
        {SHARED, LLOYD_F32, 140011, 29, 1600, 0, UNWEIGHTED, WHOLE},
        {SHARED, LLOYD_F16, 140011, 36, 2048, 0, UNWEIGHTED, WHOLE},
        /* update_wide.cu */
        {SPREAD, LLOYD_F32, 60011, 40, 200, 0, UNWEIGHTED, WHOLE},
        {SPREAD, LLOYD_BF16, 30011, 33, 97, 1, WIDE, STREAMED},
        {SPREAD, LLOYD_F16, 100003, 64, 300, 0, UNWEIGHTED, RESIDENT},
        {SPREAD, LLOYD_F16, 30011, 7, 3000, 0, WIDE, WHOLE},
        {GAUSS, LLOYD_F16, 18000011, 2, 1, 0, UNWEIGHTED, WHOLE},
        {SHARED, LLOYD_F16, 150011, 96, 1000, 0, UNWEIGHTED, WHOLE},
        {SHARED, LLOYD_U8, 60011, 128, 3000, 0, UNWEIGHTED, STREAMED},
        {SHARED, LLOYD_F32, 30011, 300, 700, 0, UNWEIGHTED, WHOLE},
        {SHARED, LLOYD_BF16, 20011, 128, 17000, 0, UNWEIGHTED, WHOLE},
        /* centroids that are streamed, more than one tile of rows in a block: with a slab, and without */
        {SHARED, LLOYD_F16, 100019, 128, 1100, 0, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_U8, 70001, 64, 8200, 0, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_F32, 60013, 120, 8200, 0, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_U8, 40009, 64, 16400, 0, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_F32, 30011, 120, 16400, 0, UNWEIGHTED, WHOLE},
    };
    for (int i = 0; i < COUNT_OF(cases) && !options.small; i++) run_case(&cases[i]);
    finish_list();
}

static void test_random(void **unused)
{
    (void)unused;
    static const int64_t ks[] = {1, 2, 7, 40, 256, 1000, 3000};
    for (int64_t i = 0; i < (options.small ? 0 : options.random); i++) {
        seed_words(options.seed * 7919 + (uint64_t)i);
        int64_t d = 1 + below(below(4) ? 300 : 2000), k = ks[below(COUNT_OF(ks))];
        test_case c =
            varied((int)below(1 << 20), (data_kind)below(KINDS), 1 + below(4000), d, 1 + below(k));
        c.type = (lloyd_type)below(TYPES);
        run_within_budget(c);
    }
    finish_list();
}

/* A rank without rows takes part in everything that is not done per slot. */
static void run_without_rows(const test_case *c)
{
    if (!begin_case(c, " (no rows)")) return;
    double start = seconds();
    problem p = new_problem(&(test_case){GAUSS, c->type, 1, c->d, c->k, 0, UNWEIGHTED, WHOLE});
    p.c.n = 0;
    choose_chunks(&p);
    if (new_kernels(&p)) {
        p.grid.bits = p.grid.weight_top = 30, p.grid.weight_digits = 1;
        for (int64_t j = 0; j < c->d; j++)
            p.grid.top[j] = (int)j, p.grid.digits[j] = 1 + (int)(j % 4);
        lloyd_grid_number(&p.grid, c->d);
        int good = 1;
        for (int s = 0; s < SIDES; s++)
            good = good && !failed(&p, s, p.side[s]->set_grid(p.side[s], &p.grid), "set_grid");
        (void)(good && compare_seeding(&p) && compare_iterations(&p));
    }
    end_case(&p, start);
    free_problem(&p);
}

static void test_no_rows(void **unused)
{
    (void)unused;
    for (int type = 0; type < TYPES; type++)
        run_without_rows(&(test_case){GAUSS, (lloyd_type)type, 0, 5 + 20 * type, 3 + 8 * type, 0,
                                      UNWEIGHTED, WHOLE});
    finish_list();
}

/* Labels of new data: nothing but rows and centroids was given before. */
static void run_prediction(const test_case *c)
{
    if (!begin_case(c, " (predict)")) return;
    double start = seconds();
    problem p = new_problem(c);
    int good = new_kernels(&p) && set_centroids(&p, c->k, p.centroids);
    double *out = new_array(SIDES * c->n, sizeof *out);
    for (int s = 0; s < SIDES && good; s++)
        good = pass(&p, s, "assign", assign_chunk, NULL) &&
               pass(&p, s, "distances", distances_of_chunk, out + s * c->n);
    (void)(good && compare_labels(&p) && same(&p, "distances", F64, out, out + c->n, c->n, 1));
    lloyd_free(out);
    end_case(&p, start);
    free_problem(&p);
}

static void test_predict(void **unused)
{
    (void)unused;
    static const int64_t dims[] = {3, 64, 100, 300};
    for (int i = 0; i < (options.small ? 5 : 20); i++) {
        test_case c = varied(i, (data_kind)(i % KINDS), options.small ? 75 : 1003, dims[i % 4],
                             i % 3 ? 60 : 4);
        c.weighting = UNWEIGHTED;
        run_prediction(&c);
    }
    finish_list();
}

static void test_cone(void **unused)
{
    (void)unused;
    run_prediction(&(test_case){CONE, LLOYD_F32, CONE_ROWS, CONE_COLUMNS, CONE_CENTROIDS, 1,
                                UNWEIGHTED, WHOLE});
    finish_list();
}

/* The same centroids, when it is known how near rows are to them. */
static void run_known(const test_case *c)
{
    enum { KNOWN = 16, ALL = 63 }; /* of lloyd_cuda_pretend() */
    if (!begin_case(c, " (distances known)")) return;
    double start = seconds();
    int64_t empty;
    problem p = new_problem(c);
    int good = new_kernels(&p) && compare_measures(&p);
    if (good && options.pretend <= ALL) lloyd_cuda_pretend(p.side[CUDA], options.pretend | KNOWN);
    for (int t = 0; t < 2 && good; t++) {
        good = set_centroids(&p, c->k, p.centroids);
        for (int s = 0; s < SIDES && good; s++)
            good = !failed(&p, s, p.side[s]->begin(p.side[s]), "begin") &&
                   pass(&p, s, "assign", assign_chunk, NULL) &&
                   pass(&p, s, "accumulate", accumulate_chunk, NULL);
        good = good && compare_labels(&p) && compare_inertia(&p, &empty);
    }
    end_case(&p, start);
    free_problem(&p);
}

/* `n`: with few rows, the typical distance is that of the aligned ones; with many, it is a quarter. */
static void test_aligned(void **unused)
{
    (void)unused;
    static const lloyd_type types[] = {LLOYD_U8, LLOYD_I8, LLOYD_F32};
    for (int i = 0; i < COUNT_OF(types); i++) {
        for (int64_t n = 2 * ALIGNED_PAIRS + 2; n <= 512; n += 478)
            run_known(&(test_case){ALIGNED, types[i], n, ALIGNED_COLUMNS, ALIGNED_CENTROIDS, 0,
                                   UNWEIGHTED, WHOLE});
    }
    finish_list();
}

static void test_lossy(void **unused)
{
    (void)unused;
    for (int type = 0; type < TYPES; type++)
        run_prediction(&(test_case){LOSSY, (lloyd_type)type, LOSSY_ROWS, LOSSY_COLUMNS,
                                    2 * LOSSY_ROWS, 0, UNWEIGHTED, WHOLE});
    finish_list();
}

/* Rows without a certificate in an iteration of the GPU's. */
static int count_verified(problem *p, int64_t *verified)
{
    lloyd_found found;
    TRY(p, CUDA, "begin", p->side[CUDA]->begin(p->side[CUDA]));
    if (!pass(p, CUDA, "assign", assign_chunk, NULL) ||
        !pass(p, CUDA, "accumulate", accumulate_chunk, NULL))
        return 0;
    TRY(p, CUDA, "inertia", p->side[CUDA]->inertia(p->side[CUDA], p->squares, &found));
    *verified = found.verified;
    return 1;
}

/* Once it is known how near rows are to their centroids, fewer of them have no certificate, with the
 * same centroids. */
static int compare_bounds(problem *p, float *centroids, int64_t verified[2])
{
    lloyd_kernels *cuda = p->side[CUDA];
    if (!compare_measures(p)) return 0;
    TRY(p, CUDA, "set_centroids", cuda->set_centroids(cuda, p->c.k, p->centroids));
    for (int t = 0; t < 3; t++) {
        if (!count_verified(p, verified)) return 0;
        TRY(p, CUDA, "update", cuda->update(cuda));
    }
    TRY(p, CUDA, "get_centroids", cuda->get_centroids(cuda, centroids));
    if (!count_verified(p, &verified[0])) return 0;
    TRY(p, CUDA, "set_centroids", cuda->set_centroids(cuda, p->c.k, centroids));
    return count_verified(p, &verified[1]);
}

static void test_local_bound(void **unused)
{
    (void)unused;
    const int64_t n = options.small ? 1003 : 20011, k = options.small ? 50 : 100;
    const test_case c = {SHARED, LLOYD_U8, n, 128, k, 0, UNWEIGHTED, WHOLE};
    if (!begin_case(&c, " (near rows)")) return;
    double start = seconds();
    int64_t verified[2] = {0, 0};
    problem p = new_problem(&c);
    float *centroids = new_array(c.k * c.d, sizeof *centroids);
    if (new_kernels(&p) && compare_bounds(&p, centroids, verified) &&
        !(verified[0] * 3 < verified[1] * 2)) {
        p.differences++;
        describe(&p, "verified");
        print_error("%lld rows with what is known of distances, %lld without\n",
                    (long long)verified[0], (long long)verified[1]);
    }
    end_case(&p, start);
    lloyd_free(centroids);
    free_problem(&p);
    finish_list();
}

/* Centroids far away do not cost other rows their certificates. */
static void test_far(void **unused)
{
    (void)unused;
    for (int type = 0; type < TYPES; type++) {
        const test_case c = {FAR, (lloyd_type)type, 1003, 64, 60, 0, UNWEIGHTED, WHOLE};
        if (!begin_case(&c, " (others)")) continue;
        double start = seconds();
        int64_t verified = 0;
        problem p = new_problem(&c);
        int good = new_kernels(&p) && compare_measures(&p) && set_centroids(&p, c.k, p.centroids);
        for (int s = 0; s < SIDES && good; s++)
            good = !failed(&p, s, p.side[s]->begin(p.side[s]), "begin") &&
                   pass(&p, s, "assign", assign_chunk, NULL);
        if (good && compare_labels(&p) && count_verified(&p, &verified) && 4 * verified > c.n) {
            p.differences++;
            describe(&p, "verified");
            print_error("%lld rows of %lld\n", (long long)verified, (long long)c.n);
        }
        end_case(&p, start);
        free_problem(&p);
    }
    finish_list();
}

/* --- many candidates --- */

/* Leaves of several blocks each, as full as they can be, and choices until nothing is left. */
static void test_reduction(void **unused)
{
    (void)unused;
    static const struct {
        int64_t n, d, leaves, most;
        int trials;
    } cases[] = {{600, 5, 1, 600, 32},   {700, 8, 2, 900, 3},     {4111, 16, 2, 60, 32},
                 {2049, 7, 1, 2049, 32}, {9000, 96, 9, 1000, 32}, {24577, 12, 1, 400, 32},
                 {65536, 8, 2, 40, 40},  {5000, 384, 1, 100, 256}};
    for (int i = 0; i < (options.small ? 2 : COUNT_OF(cases)); i++) {
        const test_case c =
            {i % 3 == 2 ? LATTICE : GAUSS, LLOYD_F32, 100, cases[i].d, 100, 0, UNWEIGHTED, WHOLE};
        if (!begin_case(&c, " (reduction)")) continue;
        double start = seconds();
        problem p = new_problem(&c);
        if (new_kernels(&p))
            (void)compare_choices(&p, cases[i].n, cases[i].leaves, cases[i].most, cases[i].trials);
        end_case(&p, start);
        free_problem(&p);
    }
    finish_list();
}

/* --- rows that cannot be clustered --- */

static void spoil(problem *p, int64_t row, int64_t column, float value)
{
    if (value == 0)
        for (int64_t j = 0; j < p->c.d; j++) store(p, row, j, 0);
    else if (p->c.type == LLOYD_F32)
        store(p, row, column, value);
    else { /* store() clamps */
        uint16_t half =
            p->c.type == LLOYD_F16 ? lloyd_f16_from_float(value) : lloyd_bf16_from_float(value);
        memcpy(element_at(p, row, column), &half, sizeof half);
    }
}

static void run_defects(const test_case *c, const float *values, int count)
{
    if (!begin_case(c, " (defects)")) return;
    double start = seconds();
    problem p = new_problem(c);
    lloyd_range range[SIDES];
    int good = 1;
    for (int i = 0; i < count; i++) spoil(&p, below(c->n), below(c->d), values[i]);
    p.reversed = 0;
    good = new_kernels(&p);
    for (int s = 0; s < SIDES; s++) {
        float *ends = new_array(2 * c->d, sizeof *ends);
        int *low = new_array(c->d, sizeof *low);
        range[s] = (lloyd_range){.min = ends, .max = ends + c->d, .low = low, .bad_row = -1};
        good = good && pass(&p, s, "measure", measure_chunk, &range[s]);
        lloyd_free(ends);
        lloyd_free(low);
    }
    if (good) {
        int64_t rows[SIDES] = {range[CPU].bad_row, range[CUDA].bad_row};
        int64_t defects[SIDES] = {(int64_t)range[CPU].defect, (int64_t)range[CUDA].defect};
        (void)(same_count(&p, "measure: bad row", rows) &&
               same_count(&p, "measure: defect", defects));
    }
    end_case(&p, start);
    free_problem(&p);
}

static void test_defects(void **unused)
{
    (void)unused;
    static const float nothing_finite[] = {NAN, INFINITY, -INFINITY}, mixed[] = {0, NAN, 0},
                       zeros[] = {0, 0};
    int i = 0;
    for (int type = 0; type < TYPES; type++) {
        for (int d = 1; d < 300; d = (options.small ? 8 : 2) * d + 3) {
            test_case c = varied(i++, GAUSS, options.small ? 90 : 1003, d, 3);
            c.type = (lloyd_type)type, c.cosine = 0;
            if (is_float(c.type)) run_defects(&c, nothing_finite, 3);
            if (is_float(c.type)) run_defects(&c, nothing_finite, 1);
            c.cosine = 1;
            run_defects(&c, is_float(c.type) ? mixed : zeros, 2);
            if (is_float(c.type)) run_defects(&c, nothing_finite, 3);
        }
    }
    finish_list();
}

/* --- the program --- */

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defects),   cmocka_unit_test(test_no_rows),
        cmocka_unit_test(test_reduction), cmocka_unit_test(test_predict),
        cmocka_unit_test(test_cone),      cmocka_unit_test(test_local_bound),
        cmocka_unit_test(test_aligned),   cmocka_unit_test(test_lossy),
        cmocka_unit_test(test_far),       cmocka_unit_test(test_rows),
        cmocka_unit_test(test_columns),   cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_clusters),  cmocka_unit_test(test_few_clusters),
        cmocka_unit_test(test_layouts),   cmocka_unit_test(test_large),
        cmocka_unit_test(test_random),
    };
    int devices = 0;
    if (lloyd_cuda_devices(&devices) != LLOYD_OK) {
        print_error("test_cuda: %s\n", lloyd_message());
        return EXIT_FAILURE;
    }
    if (devices < 1) {
        print_error("SKIPPED test_cuda: NO GPU. NOTHING WAS TESTED.\n");
        return SKIPPED;
    }
    progress->next = 0;
    progress->here = 0;
    return cmocka_run_group_tests(tests, NULL, NULL) ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Waits for a child. Returns its exit status, or LOST where it hangs or was ended by a signal. */
static int watch(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        time_t began = progress->began;
        if (began && time(NULL) - began > CASE_SECONDS) {
            print_error("DIFFERS %s\n        still running after %d seconds; ended\n",
                        progress->name, CASE_SECONDS);
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return LOST;
        }
        usleep(20000);
    }
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    print_error("DIFFERS %s\n        ended by signal %d\n", progress->name, WTERMSIG(status));
    return LOST;
}

/* Children, until one of them has come to the end. */
static int supervise(void)
{
    int status = LOST;
    double start = seconds();
    while (status == LOST && seconds() - start < ALL_SECONDS) {
        (void)fflush(NULL);
        pid_t child = fork();
        if (child < 0) return EXIT_FAILURE;
        if (child == 0) {
            status = run_all();
            cudaDeviceReset();
            (void)fflush(NULL);
            _exit(status);
        }
        status = watch(child);
        if (status != LOST) break;
        progress->bad_cases++;
        progress->from = progress->next;
        progress->began = 0;
    }
    return status;
}

static int64_t number_after(int argc, char **argv, int *i)
{
    char *end = NULL;
    int64_t value = *i + 1 < argc ? strtoll(argv[*i + 1], &end, 10) : -1;
    if (value >= 0 && end && *end == 0) {
        ++*i;
        return value;
    }
    print_error("test_cuda: %s needs a number\n", argv[*i]);
    exit(2);
}

static void read_options(int argc, char **argv)
{
    const char *small = getenv("LLOYD_TEST_SMALL");
    options.small = small && strcmp(small, "0") != 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--small") == 0)
            options.small = 1;
        else if (strcmp(argv[i], "--verbose") == 0)
            options.verbose = 1;
        else if (strcmp(argv[i], "--one-process") == 0)
            options.one_process = 1;
        else if (strcmp(argv[i], "--threads") == 0)
            options.threads = (int)number_after(argc, argv, &i);
        else if (strcmp(argv[i], "--pretend") == 0)
            options.pretend = (int)number_after(argc, argv, &i);
        else if (strcmp(argv[i], "--random") == 0)
            options.random = number_after(argc, argv, &i);
        else if (strcmp(argv[i], "--seed") == 0)
            options.seed = (uint64_t)number_after(argc, argv, &i);
        else if (strcmp(argv[i], "--case") == 0)
            options.only = (int)number_after(argc, argv, &i);
        else {
            print_error("test_cuda: no option %s\n", argv[i]);
            exit(2);
        }
    }
    int processors = omp_get_num_procs();
    if (options.threads < 1)
        options.threads = processors < MOST_THREADS ? processors : MOST_THREADS;
}

static void print_tally(void)
{
    for (int i = 0; i < TALLIES && progress->tally[i].what[0]; i++) {
        print_message("differs: %-40s", progress->tally[i].what);
        for (int type = 0; type < TYPES; type++)
            print_message("  %s %d", lloyd_type_name((lloyd_type)type),
                          progress->tally[i].count[type]);
        print_message("\n");
    }
}

int main(int argc, char **argv)
{
    double start = seconds();
    read_options(argc, argv);
    int flags = MAP_SHARED | MAP_ANONYMOUS;
    /* cppcheck-suppress invalidFunctionArg; as mmap(2) wants it */
    progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (progress == MAP_FAILED) return EXIT_FAILURE;
    int status = options.one_process ? run_all() : supervise();
    if (options.one_process) cudaDeviceReset();
    if (status == SKIPPED) return SKIPPED;
    print_tally();
    if (status == LOST) print_message("given up: too much time was lost\n");
    print_message("test_cuda: %d cases, %d of them differ, %.0f s\n", progress->cases,
                  progress->bad_cases, seconds() - start);
    return status || progress->bad_cases ? EXIT_FAILURE : EXIT_SUCCESS;
}
