/* lloyd_many_fit(): several clusters fitted as one problem, on a GPU of the tests (gpu.h), give the bits of lloyd_small_fit() of each alone. */
#include "gpu.h"

#include "base/half.h"
#include "base/memory.h"
#include "base/philox.h"
#include "base/stop.h"
#include "comm/self.h"
#include "job/split/many.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 12 /* clusters at a time */ };

/* ---- Clusters ------------------------------------------------------------------------------- */

/* Rows and how they are clustered. */
typedef struct example {
    const char *name, *init, *empty;
    lloyd_type type;
    int cosine;
    int64_t d, max_iters, count; /* columns; clusters that are fitted together */
    int64_t rows[MOST], k[MOST];
    uint64_t seed;
    unsigned char *data;
} example;

static int64_t add_up(const int64_t *values, int64_t number)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < number; i++) sum += values[i];
    return sum;
}

static void *room_for(int64_t number, size_t size)
{
    void *room = NULL;
    assert_int_equal(lloyd_alloc(&room, number, size, "a test"), LLOYD_OK);
    return room;
}

/* What comes of all clusters. */
typedef struct outcome {
    float *centroids;
    int64_t *counts;
    int32_t *labels;
    double *distances;
    lloyd_small_result of[MOST];
    unsigned char done[MOST];
    int apart;
} outcome;

/* distances: 0: those of every second cluster are not wanted. */
static outcome new_outcome(const example *e, int distances)
{
    const int64_t rows = add_up(e->rows, e->count), k = add_up(e->k, e->count);
    outcome o = {.centroids = room_for(k * e->d, sizeof(float)),
                 .counts = room_for(k, sizeof(int64_t)),
                 .labels = room_for(rows, sizeof(int32_t)),
                 .distances = room_for(rows, sizeof(double))};
    for (int64_t i = 0, row = 0, c = 0; i < e->count; row += e->rows[i], c += e->k[i++])
        o.of[i] = (lloyd_small_result){
            .centroids = o.centroids + c * e->d,
            .counts = o.counts + c,
            .labels = o.labels + row,
            .distances = distances || i % 2 ? o.distances + row : NULL,
        };
    return o;
}

static void free_outcome(outcome *o)
{
    lloyd_free(o->centroids);
    lloyd_free(o->counts);
    lloyd_free(o->labels);
    lloyd_free(o->distances);
}

static lloyd_fit_options options_of(const example *e, int64_t i, const char *backend)
{
    lloyd_fit_options o;
    lloyd_fit_defaults(&o);
    o.k = e->k[i];
    o.seed = e->seed + (uint64_t)i;
    o.init = e->init;
    o.empty = e->empty;
    o.max_iters = e->max_iters;
    o.tol = 0;
    o.metric = e->cosine ? "cosine" : "l2";
    o.backend = backend;
    o.progress = "none";
    return o;
}

static lloyd_small_rows rows_of(const example *e, int64_t i)
{
    const int64_t first = add_up(e->rows, i);
    return (lloyd_small_rows){.data = e->data + first * e->d * (int64_t)lloyd_type_size(e->type),
                              .count = e->rows[i],
                              .d = e->d,
                              .type = e->type};
}

static lloyd_status fit_together(const example *e, outcome *o)
{
    lloyd_fit_options options[MOST];
    lloyd_small_rows rows[MOST];
    lloyd_comm *self;
    for (int64_t i = 0; i < e->count; i++) {
        options[i] = options_of(e, i, "cuda");
        rows[i] = rows_of(e, i);
        assert_true(lloyd_many_fits(&options[i], rows[i].count, 0));
    }
    memset(o->done, 2, sizeof o->done);
    o->apart = 2;
    assert_int_equal(lloyd_comm_self(&self), LLOYD_OK);
    self->threads = 1;
    const lloyd_status status =
        lloyd_many_fit(self, options, rows, o->of, e->count, o->done, &o->apart);
    self->destroy(self);
    assert_int_equal(gpu.live, 0);
    return status;
}

static lloyd_status fit_alone(const example *e, int64_t i, lloyd_small_result *result)
{
    const lloyd_fit_options options = options_of(e, i, "cpu");
    const lloyd_small_rows rows = rows_of(e, i);
    lloyd_comm *self;
    assert_int_equal(lloyd_comm_self(&self), LLOYD_OK);
    self->threads = 1;
    const lloyd_status status = lloyd_small_fit(self, &options, &rows, result);
    self->destroy(self);
    return status;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* What differs between the two results of cluster i, NULL: nothing. */
static const char *difference(const example *e, int64_t i, const lloyd_small_result *a,
                              const lloyd_small_result *b)
{
    const size_t rows = (size_t)e->rows[i], k = (size_t)e->k[i];
    if (memcmp(a->labels, b->labels, rows * sizeof *a->labels) != 0) return "labels";
    if (memcmp(a->centroids, b->centroids, k * (size_t)e->d * sizeof *a->centroids) != 0)
        return "centroids";
    if (memcmp(a->counts, b->counts, k * sizeof *a->counts) != 0) return "counts";
    if (a->distances && memcmp(a->distances, b->distances, rows * sizeof *a->distances) != 0)
        return "distances";
    if (bits_of(a->inertia) != bits_of(b->inertia)) return "inertia";
    if (a->iterations != b->iterations) return "iterations";
    return a->converged != b->converged ? "converged" : NULL;
}

/* Fits all clusters together and each alone. How many are left to be fitted alone. */
static int64_t check(const example *e)
{
    outcome together = new_outcome(e, 0), alone = new_outcome(e, 1);
    int64_t left = 0;
    if (fit_together(e, &together) != LLOYD_OK) fail_msg("%s: %s", e->name, lloyd_message());
    assert_int_equal(together.apart, 0);
    for (int64_t i = 0; i < e->count; i++) {
        assert_in_range(together.done[i], 0, 1);
        if (!together.done[i]) { /* its counts are zeros still */
            assert_int_equal(add_up(together.of[i].counts, e->k[i]), 0);
            left++;
            continue;
        }
        assert_int_equal(fit_alone(e, i, &alone.of[i]), LLOYD_OK);
        const char *what = difference(e, i, &together.of[i], &alone.of[i]);
        if (what)
            fail_msg("%s, %s%s, --init %s, --empty %s, %lld iterations: cluster %lld of %lld, of "
                     "%lld rows, into %lld: other %s (%lld iterations, alone %lld)",
                     e->name, lloyd_type_name(e->type), e->cosine ? ", cosine" : "", e->init,
                     e->empty, (long long)e->max_iters, (long long)i, (long long)e->count,
                     (long long)e->rows[i], (long long)e->k[i], what,
                     (long long)together.of[i].iterations, (long long)alone.of[i].iterations);
    }
    free_outcome(&together);
    free_outcome(&alone);
    return left;
}

/* ---- Rows ----------------------------------------------------------------------------------- */

static uint64_t draws;

static int64_t below(int64_t limit)
{
    return (int64_t)(lloyd_philox64(11, 0, draws++, 0) % (uint64_t)limit);
}

/* In [-limit, limit]. */
static double within(double limit)
{
    return limit * ((double)below(1 << 20) * 0x1p-19 - 1);
}

static void put(const example *e, int64_t at, double value)
{
    unsigned char *to = e->data + at * (int64_t)lloyd_type_size(e->type);
    const float rounded = (float)value;
    const uint16_t half = lloyd_f16_from_float(rounded);
    switch (e->type) {
    case LLOYD_U8: *to = (unsigned char)(100 + (int)lrint(value)); break;
    case LLOYD_I8: *(signed char *)to = (signed char)lrint(value); break;
    case LLOYD_F16: memcpy(to, &half, sizeof half); break;
    default: memcpy(to, &rounded, sizeof rounded);
    }
}

/* What rows look like; values are in [-100, 100], and whole ones but for NOISE and TIGHT. */
typedef enum kind {
    NOISE,
    DUPLICATES, /* of a few rows */
    LATTICE,    /* many distances are equal */
    TIGHT,      /* a mixture, with random rows of which clusters become empty */
    KINDS
} kind;

static const char *const kind_names[] = {"noise", "duplicates", "lattice", "tight"};

static double value_of(kind what, const double *centre, int64_t j)
{
    switch (what) {
    case DUPLICATES: return centre[j];
    case LATTICE: return (double)(below(3) - 1);
    case TIGHT: return centre[j] + within(2);
    default: return within(90);
    }
}

static void fill(const example *e, kind what)
{
    enum { CENTRES = 20, COLUMNS = 16 };
    double centres[CENTRES][COLUMNS];
    const int64_t some = what == DUPLICATES ? 4 : CENTRES;
    assert_in_range(e->d, 1, COLUMNS);
    for (int64_t i = 0, row = 0; i < e->count; i++) {
        for (int64_t c = 0; c < CENTRES; c++)
            for (int64_t j = 0; j < e->d; j++) centres[c][j] = rint(within(9)) * 10;
        for (int64_t r = 0; r < e->rows[i]; r++, row++) {
            const double *centre = centres[below(some)];
            for (int64_t j = 0; j < e->d; j++) put(e, row * e->d + j, value_of(what, centre, j));
            if (e->cosine) put(e, row * e->d, (double)(1 + below(3))); /* it has a direction */
        }
    }
}

/* Sizes from 1 on, and numbers of sub-clusters up to that of the rows. */
static void choose_sizes(example *e, int64_t number)
{
    static const int64_t sizes[] = {70, 1, 7, 130, 2, 33, 13, 50, 5, 20};
    enum { SIZES = sizeof sizes / sizeof *sizes, MOST_K = 50 };
    e->count = 1 + number % SIZES;
    for (int64_t i = 0; i < e->count; i++) {
        const int64_t rows = sizes[(number / 3 + i) % SIZES],
                      k[] = {1, 3, 25, rows < MOST_K ? rows : 30, 8, rows / 3},
                      wanted = k[(number + i) % 6];
        e->rows[i] = rows;
        e->k[i] = wanted < 1 ? 1 : wanted < rows ? wanted : rows;
    }
}

static void make_room(example *e)
{
    e->data = room_for(add_up(e->rows, e->count) * e->d, lloyd_type_size(e->type));
}

static void end(example *e)
{
    lloyd_free(e->data);
    e->data = NULL;
}

/* Case `number` of a kind. */
static example example_of(kind what, int64_t number)
{
    static const lloyd_type types[] = {LLOYD_U8, LLOYD_I8, LLOYD_F16, LLOYD_F32};
    static const int64_t iterations[] = {25, 3, 1}, dims[] = {3, 2, 16, 1, 5};
    example e = {.name = kind_names[what],
                 .type = types[number % 4],
                 .cosine = number / 4 % 2 == 1,
                 .init = number / 8 % 2 ? "random" : "kmeans-parallel",
                 .empty = number / 16 % 2 ? "keep" : "relocate",
                 .max_iters = iterations[number / 32 % 3],
                 .d = dims[number % 5],
                 .seed = 17 * (uint64_t)number};
    if (what == LATTICE) e.d = 1 + number % 3 + e.cosine;
    choose_sizes(&e, number);
    make_room(&e);
    fill(&e, what);
    return e;
}

/* The same rows in each of the clusters. */
static example repeated(const char *name, const double *values, int64_t number, int64_t d,
                        int64_t k)
{
    example e = {.name = name,
                 .init = "random",
                 .empty = "relocate",
                 .type = LLOYD_F32,
                 .d = d,
                 .max_iters = 25,
                 .count = MOST};
    for (int64_t i = 0; i < MOST; i++) {
        e.rows[i] = number;
        e.k[i] = k;
    }
    make_room(&e);
    for (int64_t i = 0; i < MOST * number * d; i++) put(&e, i, values[i % (number * d)]);
    return e;
}

/* ---- Tests ---------------------------------------------------------------------------------- */

/* Each kind has half of all combinations of types and options: with those of the other kinds, all pairs of options, and most threes. */
static void test_same(void **unused)
{
    enum { COMBINATIONS = 96 };
    (void)unused;
    for (kind what = 0; what < KINDS; what++) {
        int64_t relocated = 0, left = 0, clusters = 0;
        for (int64_t number = 0; number < COMBINATIONS; number++) {
            if ((number / 4 + number / 8 + number / 16 + (int64_t)what) % 2 == 1) continue;
            example e = example_of(what, number);
            gpu_begin(number % 3 == 0);
            left += check(&e);
            clusters += e.count;
            relocated += gpu.relocated;
            assert_true(gpu.relocated == 0 || strcmp(e.empty, "relocate") == 0);
            end(&e);
        }
        assert_true(relocated > 0);
        assert_true(left < clusters / 5);
    }
}

/* More rows than a round of kmeans-parallel draws. */
static void test_rounds(void **unused)
{
    (void)unused;
    for (int cosine = 0; cosine < 2; cosine++) {
        example e = {.name = "many rows",
                     .init = "kmeans-parallel",
                     .empty = "relocate",
                     .type = cosine ? LLOYD_F16 : LLOYD_F32,
                     .cosine = cosine,
                     .d = 3,
                     .max_iters = 2,
                     .count = 3,
                     .rows = {700, 9, 550},
                     .k = {3, 4, 2},
                     .seed = 5};
        make_room(&e);
        fill(&e, NOISE);
        gpu_begin(0);
        assert_int_equal(check(&e), 0);
        assert_true(gpu.drawn > 100);
        end(&e);
    }
}

/* No label follows a row that an empty cluster got: the centroids are not those of the labels then, and sums that agree with the labels would
 * change them. */
static void test_left(void **unused)
{
    (void)unused;
    /* a mean of zeros is 0; the row -0 goes to the cluster of another 5, and the centroid -0 stays */
    static const double zeros[] = {-0.0, 5, 5};
    /* w stays with the mean of v alone, which is scaled to length 1 once more */
    static const double v[] = {0x1.16p+7, 0x1.02p+9}, w[] = {0x1.160002p+7, 0x1.01fffep+9};
    const double turned[] = {v[0], v[1], w[0], w[1], v[0], v[1]};
    for (int lazy = 0; lazy < 2; lazy++) {
        example e = repeated("-0", zeros, 3, 1, 3);
        gpu_begin(lazy);
        assert_in_range(check(&e), 1, MOST);
        end(&e);
        e = repeated("turned", turned, 3, 2, 2);
        e.cosine = 1;
        gpu_begin(lazy);
        assert_in_range(check(&e), 1, MOST);
        end(&e);
    }
}

/* The label follows it: the cluster need not be fitted alone. */
static void test_followed(void **unused)
{
    (void)unused;
    static const double far[] = {0, 100, 0};
    example e = repeated("far", far, 3, 1, 2);
    gpu_begin(0);
    assert_int_equal(check(&e), 0);
    assert_true(gpu.relocated > 0);
    end(&e);
}

/* Sums that would lose bits are other ones if rows of other clusters are among them. */
static void test_cut(void **unused)
{
    (void)unused;
    example e = example_of(NOISE, 29 * 2 + 1);
    assert_int_equal(e.type, LLOYD_F32);
    for (int cut = 0; cut < 2; cut++) {
        outcome o = new_outcome(&e, 0);
        put(&e, e.d, 0x1p30);
        put(&e, 0, cut ? 0x1p-32 : 0x1p-29); /* 62 bits, 59 bits */
        gpu_begin(0);
        assert_int_equal(fit_together(&e, &o), LLOYD_OK);
        assert_int_equal(o.apart, cut);
        for (int64_t i = 0; i < e.count; i++) assert_int_equal(o.done[i], !cut);
        assert_int_equal(gpu.calls > 0, !cut);
        if (!cut) (void)check(&e); /* other digits than those of each alone */
        free_outcome(&o);
    }
    end(&e);
}

/* It is left to the fit of its cluster to name it. */
static void test_bad_row(void **unused)
{
    (void)unused;
    example e = example_of(NOISE, 29 * 2 + 1);
    outcome o = new_outcome(&e, 0);
    put(&e, (add_up(e.rows, e.count) - 1) * e.d, NAN);
    gpu_begin(0);
    assert_int_equal(fit_together(&e, &o), LLOYD_OK);
    assert_int_equal(o.apart, 0);
    for (int64_t i = 0; i < e.count; i++) assert_int_equal(o.done[i], 0);
    free_outcome(&o);
    end(&e);
}

/* Clusters for which a GPU does all that it does for any. */
static example busy(void)
{
    example e = {.name = "busy",
                 .init = "kmeans-parallel",
                 .empty = "relocate",
                 .type = LLOYD_U8,
                 .d = 2,
                 .max_iters = 4,
                 .count = 6,
                 .rows = {50, 1, 60, 40, 30, 20},
                 .k = {3, 1, 12, 2, 4, 5}};
    make_room(&e);
    fill(&e, LATTICE);
    return e;
}

/* It stops soon after a signal, whenever that comes. */
static void test_stops(void **unused)
{
    (void)unused;
    enum { SOON = 4 };
    example e = busy();
    lloyd_status status = LLOYD_STOPPED;
    int64_t stopped = 0;
    for (int64_t at = 1; status == LLOYD_STOPPED; at++) {
        outcome o = new_outcome(&e, 0);
        gpu_begin(0);
        gpu.stops = at;
        status = fit_together(&e, &o);
        lloyd_stop_clear();
        assert_true(status == LLOYD_STOPPED || status == LLOYD_OK);
        assert_true(gpu.calls <= at + SOON);
        stopped += status == LLOYD_STOPPED;
        free_outcome(&o);
    }
    assert_true(stopped > 0);
    end(&e);
}

/* Whatever fails is reported, and nothing is left behind. */
static void test_failures(void **unused)
{
    (void)unused;
    example e = busy();
    int64_t at = 0;
    do {
        outcome o = new_outcome(&e, 0);
        gpu_begin(0);
        gpu.fails = ++at;
        const lloyd_status status = fit_together(&e, &o);
        assert_int_equal(status, gpu.calls < at ? LLOYD_OK : LLOYD_FAILED);
        if (status != LLOYD_OK) assert_string_equal(lloyd_message(), "the GPU fails on purpose");
        free_outcome(&o);
    } while (gpu.calls == at);
    assert_true(at > 1);
    end(&e);
}

/* What is not done together. */
static void test_refused(void **unused)
{
    (void)unused;
    const example e = {.init = "kmeans-parallel", .empty = "relocate", .max_iters = 25, .k = {9}};
    const lloyd_fit_options good = options_of(&e, 0, "cuda");
    lloyd_fit_options o = good;
    assert_true(lloyd_many_fits(&o, 9, 0));
    assert_false(lloyd_many_fits(&o, 8, 0));
    assert_false(lloyd_many_fits(&o, 9, 1));
    o.init = "random";
    assert_true(lloyd_many_fits(&o, 9, 0));
    o.init = "kmeans++";
    assert_false(lloyd_many_fits(&o, 9, 0));
    o.init = "model.h5";
    assert_false(lloyd_many_fits(&o, 9, 0));
    o = good, o.tol = 1e-4;
    assert_false(lloyd_many_fits(&o, 9, 0));
    o = good, o.n_init = 2;
    assert_false(lloyd_many_fits(&o, 9, 0));
    o = good, o.max_iters = 0;
    assert_false(lloyd_many_fits(&o, 9, 0));
    o = good, o.init_sample = 50; /* of the rows */
    assert_false(lloyd_many_fits(&o, 51, 0));
    o.init = "random";
    assert_true(lloyd_many_fits(&o, 51, 0));
    o = good, o.k = LLOYD_LEAF_MOST; /* more candidates than a leaf has */
    assert_false(lloyd_many_fits(&o, 2 * o.k, 0));
    o.init = "random";
    assert_true(lloyd_many_fits(&o, 2 * o.k, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),    cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_left),    cmocka_unit_test(test_followed),
        cmocka_unit_test(test_cut),     cmocka_unit_test(test_bad_row),
        cmocka_unit_test(test_stops),   cmocka_unit_test(test_failures),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
