/* Pruning on the CPU: whole iterations, in each of which all labels are compared with the definition; on data made to defeat the bounds.
 * And the products of groups against plain sums.
 */
#include "grids.h"

#include "base/memory.h"
#include "kernels/cpu/assign.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/prune.h"
#include "kernels/dist.h"
#include "kernels/prune_bound.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t state = 0x853c49e6748fea9bU;

static uint32_t draw(void)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 20);
}

static int below(int n)
{
    return (int)(draw() % (uint32_t)n);
}

static float bell(void)
{
    float sum = 0;
    for (int i = 0; i < 12; i++) sum += (float)draw() * 0x1p-32F;
    return sum - 6;
}

/* --- problems --- */

enum { MOST_COLUMNS = 512 };

typedef enum row_kind {
    NOISE,
    CLUSTERS,
    TIGHT,
    LATTICE,
    COPIES,
    OFFSET,
    OUTLIERS,
    BYTES,
    KINDS
} row_kind;
static const char *const kind_names[] = {"noise",  "clusters", "tight",    "lattice",
                                         "copies", "offset",   "outliers", "bytes"};

typedef struct problem {
    row_kind kind;
    int n, d, k, cosine, slots, threads, group;
    lloyd_type type;
    lloyd_filter filter;
    lloyd_prune prune;
    float *x, *c; /* rows and first centroids */
    unsigned char *bytes;
} problem;

static float element(const problem *p, int i, int j)
{
    static float centres[64][MOST_COLUMNS];
    int cluster = i % 40;
    if (i < 64) centres[i][j] = 3 * bell();
    switch (p->kind) {
    case CLUSTERS: return centres[cluster][j] + bell() * 0.5F;
    case TIGHT: return centres[cluster][j] + bell() * 1e-4F;
    case LATTICE: return (float)(below(3) - 1);
    case COPIES: return i >= 50 ? p->x[i % 50 * p->d + j] : bell();
    case OFFSET: return 1000 + bell();
    case OUTLIERS: return i % 97 == 5 && j % 3 == 0 ? 1e12F * bell() : centres[cluster][j] + bell();
    case BYTES: return (float)(below(60) + 3 * (cluster + j) % 190);
    default: return bell();
    }
}

static void fill(problem *p)
{
    int64_t count = (int64_t)p->n * p->d;
    assert_int_equal(lloyd_alloc(&p->x, count, sizeof *p->x, "test"), LLOYD_OK);
    assert_int_equal(lloyd_alloc(&p->bytes, count, 1, "test"), LLOYD_OK);
    assert_int_equal(lloyd_alloc(&p->c, (int64_t)p->k * p->d, sizeof *p->c, "test"), LLOYD_OK);
    for (int i = 0; i < p->n; i++)
        for (int j = 0; j < p->d; j++) p->x[i * p->d + j] = element(p, i, j);
    for (int64_t i = 0; i < count && p->kind == BYTES; i++) {
        if (p->type == LLOYD_I8) p->x[i] -= 128;
        p->bytes[i] = (unsigned char)(int)p->x[i];
    }
    for (int k = 0; k < p->k; k++)
        memcpy(p->c + k * p->d, p->x + below(p->n) * p->d, (size_t)p->d * sizeof *p->c);
}

static void release(problem *p)
{
    lloyd_free(p->x);
    lloyd_free(p->c);
    lloyd_free(p->bytes);
}

/* Two digits for every column, of which the last may be cut: sums are not what is tested. */
static void make_grid(const problem *p, lloyd_grid *grid)
{
    float least[MOST_COLUMNS] = {0}, most[MOST_COLUMNS];
    const lloyd_range range = {.min = least, .max = most};
    for (int j = 0; j < p->d; j++) {
        most[j] = 1;
        for (int i = 0; i < p->n; i++) most[j] = fmaxf(most[j], fabsf(p->x[i * p->d + j]));
    }
    grid_of_digits(&range, p->d, p->type == LLOYD_F32 || p->cosine ? 2 : 1, grid);
}

static lloyd_kernels *new_kernels(const problem *p)
{
    lloyd_kernels *kernels;
    lloyd_kernels_config config = {.n_local = p->n,
                                   .dim = p->d,
                                   .k = p->k,
                                   .chunk_rows = p->n,
                                   .slots = p->slots,
                                   .type = p->type,
                                   .cosine = p->cosine,
                                   .threads = p->threads,
                                   .filter = p->filter,
                                   .prune = p->prune,
                                   .prune_group = p->group};
    assert_int_equal(lloyd_kernels_cpu(&config, &kernels), LLOYD_OK);
    const char *rows = p->type == LLOYD_F32 ? (const char *)p->x : (const char *)p->bytes;
    int64_t size = p->d * (int64_t)lloyd_type_size(p->type);
    for (int s = 0; s < p->slots; s++) {
        int64_t first = (int64_t)p->n * s / p->slots, end = (int64_t)p->n * (s + 1) / p->slots;
        assert_int_equal(kernels->load(kernels, s, first, end - first, rows + first * size),
                         LLOYD_OK);
    }
    return kernels;
}

/* --- iterations --- */

static void check_labels(const problem *p, lloyd_kernels *kernels, int iteration)
{
    int32_t *labels;
    float *row, *c;
    assert_int_equal(lloyd_alloc(&labels, p->n, sizeof *labels, "test"), LLOYD_OK);
    assert_int_equal(lloyd_alloc(&row, p->d, sizeof *row, "test"), LLOYD_OK);
    assert_int_equal(lloyd_alloc(&c, (int64_t)p->k * p->d, sizeof *c, "test"), LLOYD_OK);
    assert_int_equal(kernels->labels(kernels, 0, p->n, labels), LLOYD_OK);
    assert_int_equal(kernels->get_centroids(kernels, c), LLOYD_OK);
    for (int s = 0; s < p->slots; s++) {
        for (int64_t i = (int64_t)p->n * s / p->slots; i < (int64_t)p->n * (s + 1) / p->slots;
             i++) {
            double least = INFINITY;
            int label = 0;
            assert_int_equal(kernels->rows(kernels, s, &i, 1, row), LLOYD_OK);
            for (int k = 0; k < p->k; k++) {
                double distance = lloyd_dist(row, c + (int64_t)k * p->d, p->d);
                if (distance < least) least = distance, label = k;
            }
            if (labels[i] != label)
                print_error(
                    "%s, d %d, k %d, group %d, filter %d, cosine %d, slots %d, type %s: row %d has label %d, not "
                    "%d, in iteration %d\n",
                    kind_names[p->kind], p->d, p->k, p->group, (int)p->filter, p->cosine, p->slots,
                    lloyd_type_name(p->type), (int)i, labels[i], label, iteration);
            assert_int_equal(labels[i], label);
        }
    }
    lloyd_free(labels);
    lloyd_free(row);
    lloyd_free(c);
}

/* Counters of the pass. */
static const int64_t *pass(const problem *p, lloyd_kernels *kernels, int iteration)
{
    assert_int_equal(kernels->begin(kernels), LLOYD_OK);
    for (int s = 0; s < p->slots; s++) {
        assert_int_equal(kernels->assign(kernels, s), LLOYD_OK);
        assert_int_equal(kernels->accumulate(kernels, s), LLOYD_OK);
    }
    check_labels(p, kernels, iteration);
    const int64_t *counters = sums_of(kernels) + lloyd_cpu(kernels)->layout.counters_at;
    int64_t compared = counters[LLOYD_COUNT_COMPARED], pruned = counters[LLOYD_COUNT_PRUNED];
    assert_in_range(compared, 0, pruned * p->k);
    assert_in_range(counters[LLOYD_COUNT_INT8_FALLBACK], 0, counters[LLOYD_COUNT_INT8]);
    assert_true(counters[LLOYD_COUNT_CANDIDATES] >= 2 * counters[LLOYD_COUNT_INT8_FALLBACK]);
    if (p->prune == LLOYD_PRUNE_ON) assert_int_equal(pruned, iteration > 1 ? p->n : 0);
    if (p->prune == LLOYD_PRUNE_OFF) assert_int_equal(pruned, 0);
    return counters;
}

/* Some centroids jump: to a row, onto another one, or as far from a row as its own centroid is, on the other side: ties that go to
 * the smaller number. */
static void jump(const problem *p, lloyd_kernels *kernels)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    size_t size = (size_t)p->d * sizeof *p->x;
    for (int n = 0; n < 1 + p->k / 10; n++) {
        int i = below(p->n), way = below(3);
        float *c = cpu->centroids + below(p->k) * p->d;
        const float *x = p->x + i * p->d, *own = cpu->centroids + cpu->labels[i] * p->d;
        if (way == 0) memcpy(c, x, size);
        if (way == 1) memmove(c, cpu->centroids + below(p->k) * p->d, size);
        for (int j = 0; j < p->d && way == 2; j++) {
            c[j] = 2 * x[j] - own[j];
            if (below(4 * p->d) == 0) c[j] = nextafterf(c[j], bell() * INFINITY);
        }
    }
    assert_int_equal(lloyd_cpu_prepare(cpu), LLOYD_OK);
    assert_int_equal(lloyd_prune_update(&cpu->pruning, cpu->centroids, &cpu->int8), LLOYD_OK);
}

enum { JUMPS = 1, ALTERNATES = 2 };

/* The share of comparisons that the last pass made. */
static double run(problem p, int iterations, int how)
{
    lloyd_grid grid;
    int64_t compared = 0;
    fill(&p);
    make_grid(&p, &grid);
    lloyd_kernels *kernels = new_kernels(&p);
    assert_int_equal(kernels->set_grid(kernels, &grid), LLOYD_OK);
    for (int start = 0; start < 2; start++) {
        assert_int_equal(kernels->set_centroids(kernels, p.k, p.c), LLOYD_OK);
        assert_int_equal(kernels->forget_labels(kernels), LLOYD_OK);
        for (int t = 1; t <= iterations; t++) {
            const int64_t *counters = pass(&p, kernels, t);
            compared = counters[LLOYD_COUNT_COMPARED];
            assert_int_equal(kernels->update(kernels), LLOYD_OK);
            if ((how & JUMPS) && !p.cosine && t % 3 == 2) jump(&p, kernels);
            if (how & ALTERNATES) lloyd_cpu(kernels)->pruning.extent = (lloyd_prune_extent)(t % 3);
        }
        (void)pass(&p, kernels, iterations + 1);
        (void)pass(&p, kernels, iterations + 2);     /* once more: nothing has moved */
        memcpy(p.c, p.x, (size_t)p.d * sizeof *p.c); /* another start */
    }
    kernels->destroy(kernels);
    lloyd_grid_free(&grid);
    double share = (double)compared / ((double)p.n * p.k);
    release(&p);
    return share;
}

static void test_iterations(void **unused)
{
    (void)unused;
    static const int dims[] = {1, 7, 37, 128}, sets[] = {5, 33, 100, 257};
    static const lloyd_filter filters[] = {LLOYD_FILTER_INT8, LLOYD_FILTER_FLOAT,
                                           LLOYD_FILTER_AUTO};
    for (row_kind kind = 0; kind < KINDS; kind++) {
        for (int n = 0; n < 8; n++) {
            problem p = {.kind = kind,
                         .n = 150 + below(100),
                         .d = dims[n % 4],
                         .k = sets[below(4)],
                         .slots = 1 + n % 3,
                         .threads = 1 + n % 2,
                         .group = n % 3 == 2 ? 96 : 32,
                         .filter = filters[n % 3],
                         .prune = LLOYD_PRUNE_ON};
            p.type = kind != BYTES ? LLOYD_F32 : n % 2 ? LLOYD_U8 : LLOYD_I8;
            p.cosine = n == 5 && kind != LATTICE && kind != OUTLIERS;
            (void)run(p, 7, JUMPS);
        }
    }
}

/* Where clusters are apart, hardly anything is compared, by either filter. */
static void test_share(void **unused)
{
    (void)unused;
    problem p = {.kind = CLUSTERS,
                 .n = 1500,
                 .d = 32,
                 .k = 40 * 8,
                 .slots = 1,
                 .threads = 2,
                 .group = 32,
                 .type = LLOYD_F32,
                 .prune = LLOYD_PRUNE_ON};
    p.filter = LLOYD_FILTER_INT8;
    assert_true(run(p, 9, 0) < 0.5);
    p.filter = LLOYD_FILTER_FLOAT;
    assert_true(run(p, 9, 0) < 0.5);
}

/* The others: labels do not depend on it. */
static void test_choices(void **unused)
{
    (void)unused;
    static const lloyd_prune choices[] = {LLOYD_PRUNE_AUTO, LLOYD_PRUNE_OFF};
    for (int c = 0; c < 2; c++) {
        for (row_kind kind = 0; kind < KINDS; kind++) {
            problem p = {.kind = kind,
                         .n = 2500,
                         .d = 9,
                         .k = kind % 2 ? 300 : 100,
                         .slots = 1,
                         .threads = 2,
                         .group = 32,
                         .type = kind == BYTES ? LLOYD_U8 : LLOYD_F32,
                         .prune = choices[c]};
            (void)run(p, 3, JUMPS);
        }
    }
}

/* Passes with bounds, without them, and with those of some rows, in turn: labels that are found without them count too. */
static void test_alternation(void **unused)
{
    (void)unused;
    for (row_kind kind = 0; kind < KINDS; kind++) {
        problem p = {.kind = kind,
                     .n = 1500,
                     .d = 9,
                     .k = 100,
                     .slots = 1,
                     .threads = 2,
                     .group = 32,
                     .type = kind == BYTES ? LLOYD_U8 : LLOYD_F32};
        (void)run(p, 9, JUMPS | ALTERNATES);
    }
}

/* Centroid `k` of one column goes to `to`, and the next pass has this extent. */
static void move(lloyd_kernels *kernels, int k, float to, lloyd_prune_extent extent)
{
    cpu_kernels *cpu = lloyd_cpu(kernels);
    cpu->centroids[k] = to;
    assert_int_equal(lloyd_cpu_prepare(cpu), LLOYD_OK);
    assert_int_equal(lloyd_prune_update(&cpu->pruning, cpu->centroids, &cpu->int8), LLOYD_OK);
    cpu->pruning.extent = extent;
}

/* Rows leave a centroid whose group is far from them otherwise, in a pass without bounds, and come back in one with them. */
static void test_return(void **unused)
{
    (void)unused;
    problem p = {.kind = NOISE, .n = 100, .d = 1, .k = 64, .slots = 1, .threads = 1, .group = 32};
    lloyd_grid grid;
    fill(&p);
    for (int i = 0; i < p.n; i++) p.x[i] = 4 + (float)i * 1e-3F;
    for (int k = 0; k < p.k; k++) p.c[k] = (float)(k % 2 ? 1000 + k : -1000 - k);
    p.c[0] = 0, p.c[1] = 10;
    make_grid(&p, &grid);
    lloyd_kernels *kernels = new_kernels(&p);
    assert_int_equal(kernels->set_grid(kernels, &grid), LLOYD_OK);
    assert_int_equal(kernels->set_centroids(kernels, p.k, p.c), LLOYD_OK);
    assert_int_equal(kernels->forget_labels(kernels), LLOYD_OK);
    (void)pass(&p, kernels, 1);
    move(kernels, 1, 10, LLOYD_PRUNE_ALL);
    (void)pass(&p, kernels, 2);
    move(kernels, 1, 5, LLOYD_PRUNE_NONE);
    assert_int_equal(pass(&p, kernels, 3)[LLOYD_COUNT_MOVED], p.n);
    move(kernels, 1, 10, LLOYD_PRUNE_ALL);
    assert_int_equal(pass(&p, kernels, 4)[LLOYD_COUNT_MOVED], p.n);
    kernels->destroy(kernels);
    lloyd_grid_free(&grid);
    release(&p);
}

/* --- products --- */

enum { ROWS = 100, MOST_WORDS = 48 };

static struct {
    int32_t codes[ROWS * MOST_WORDS], operand[LLOYD_GROUP_TILE * MOST_WORDS],
        correction[LLOYD_GROUP_TILE], own[ROWS];
    float factor[ROWS], threshold[ROWS], bias[LLOYD_GROUP_TILE], best[ROWS],
        score[LLOYD_GROUP_TILE];
    uint32_t hits[ROWS];
    uint16_t list[ROWS];
} s;

static void fill_products(int words)
{
    for (int i = 0; i < ROWS * words; i++)
        s.codes[i] = below(5) ? (int32_t)(draw() << 4 ^ draw()) : -1;
    for (int i = 0; i < LLOYD_GROUP_TILE * words; i++) {
        int8_t bytes[4];
        for (int b = 0; b < 4; b++) bytes[b] = (int8_t)(below(5) ? below(255) - 127 : 127);
        memcpy(&s.operand[i], bytes, sizeof bytes);
    }
    for (int k = 0; k < LLOYD_GROUP_TILE; k++) {
        s.correction[k] = below(20000) - 10000;
        s.bias[k] = below(9) ? bell() * 100 : INFINITY;
    }
    for (int i = 0; i < ROWS; i++) {
        s.factor[i] = (1 + bell() / 8) / 256;
        s.threshold[i] = below(3) ? bell() * 2000 : 1e9F;
        s.own[i] = below(100);
    }
}

static void score_plainly(int row, int words)
{
    for (int k = 0; k < LLOYD_GROUP_TILE; k++) {
        int32_t sum = s.correction[k];
        for (int w = 0; w < words; w++) {
            uint8_t x[4];
            int8_t c[4];
            memcpy(x, &s.codes[row * words + w], 4);
            memcpy(c, &s.operand[w * LLOYD_GROUP_TILE + k], 4);
            for (int b = 0; b < 4; b++) sum += x[b] * c[b];
        }
        s.score[k] = fmaf((float)sum, s.factor[row], -s.bias[k]);
    }
}

static void check_products(const lloyd_int8_product *product, int words, int count)
{
    const lloyd_group_rows rows = {words, s.codes, s.factor, s.threshold, s.own};
    const lloyd_group_tile tile = {32, s.operand, s.correction, s.bias};
    uint32_t all = 0;
    fill_products(words);
    for (int i = 0; i < count; i++) {
        s.list[i] = (uint16_t)below(ROWS);
        s.best[i] = below(2) ? -INFINITY : bell() * 5000;
    }
    float before[ROWS];
    memcpy(before, s.best, sizeof before);
    uint32_t any = product->group_scores(&rows, s.list, count, &tile, s.best, s.hits);
    for (int i = 0; i < count; i++) {
        uint32_t hits = 0;
        float best = before[i];
        score_plainly(s.list[i], words);
        for (int k = 0; k < LLOYD_GROUP_TILE; k++) {
            if (s.own[s.list[i]] == tile.first + k) continue;
            best = fmaxf(best, s.score[k]);
            if (s.score[k] >= s.threshold[s.list[i]]) hits |= (uint32_t)1 << k;
        }
        assert_true(s.best[i] == best);
        assert_int_equal(s.hits[i], hits);
        all |= hits;
    }
    assert_true((all != 0) == (any != 0));
}

static void test_products(void **unused)
{
    (void)unused;
    int kinds;
    const lloyd_int8_product *products = lloyd_int8_products(&kinds);
    for (int n = 0; n < kinds; n++) {
        if (!products[n].is_supported()) continue;
        for (int words = 4; words <= MOST_WORDS; words += 4)
            for (int count = 1; count <= 40; count++) check_products(&products[n], words, count);
    }
}

static void test_failing(void **unused)
{
    (void)unused;
    for (int n = 0; n < 100000; n++) {
        uint16_t bound[64], drift[64], reach = (uint16_t)below(below(2) ? 65536 : 10);
        int groups = 1 + below(64);
        for (int g = 0; g < 64; g++) {
            drift[g] = (uint16_t)below(below(2) ? 65536 : 10);
            int sum = reach + drift[g] + below(3) - 1;
            bound[g] = (uint16_t)(below(2)           ? below(65536)
                                  : sum < 0          ? 0
                                  : sum < PRUNE_MOST ? sum
                                                     : PRUNE_MOST);
        }
        uint64_t bits = lloyd_group_failing(bound, drift, reach, groups);
        for (int g = 0; g < 64; g++) {
            int sum = reach + drift[g] < PRUNE_MOST ? reach + drift[g] : PRUNE_MOST;
            assert_int_equal(bits >> g & 1, g < groups && bound[g] <= sum);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),   cmocka_unit_test(test_failing),
        cmocka_unit_test(test_iterations), cmocka_unit_test(test_share),
        cmocka_unit_test(test_choices),    cmocka_unit_test(test_alternation),
        cmocka_unit_test(test_return),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
