#include "shapes.h"

#include "case.h"
#include "iterations.h"
#include "measures.h"
#include "seeding.h"
#include "transfers.h"
#include "values.h"

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
test_case varied(int i, data_kind kind, int64_t n, int64_t d, int64_t k)
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

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof *(array)))

/* Every number of columns with every type. */
void test_columns(void **unused)
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
void test_kinds(void **unused)
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
void test_clusters(void **unused)
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

/* Sums in shared memory (shared.cu): every way to deal rows to lanes, with every type. */
void test_few_clusters(void **unused)
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
void test_rows(void **unused)
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
void test_layouts(void **unused)
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
void test_large(void **unused)
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
        /* shared.cu: one tile of columns or several, more rows of a block than its sums hold */
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
        /* wide.cu */
        {SPREAD, LLOYD_F32, 60011, 40, 200, 0, UNWEIGHTED, WHOLE},
        {SPREAD, LLOYD_BF16, 30011, 33, 97, 1, WIDE, STREAMED},
        {SPREAD, LLOYD_F16, 100003, 64, 300, 0, UNWEIGHTED, RESIDENT},
        {SPREAD, LLOYD_F16, 30011, 7, 3000, 0, WIDE, WHOLE},
        {GAUSS, LLOYD_F16, 18000011, 2, 1, 0, UNWEIGHTED, WHOLE},
        {SHARED, LLOYD_F16, 150011, 96, 1000, 0, UNWEIGHTED, WHOLE},
        {SHARED, LLOYD_U8, 60011, 128, 3000, 0, UNWEIGHTED, STREAMED},
        {SHARED, LLOYD_F32, 30011, 300, 700, 0, UNWEIGHTED, WHOLE},
        {SHARED, LLOYD_BF16, 20011, 128, 17000, 0, UNWEIGHTED, WHOLE},
        /* centroids that are streamed, more than one tile of rows in a block: with bound columns, and without */
        {SHARED, LLOYD_F16, 100019, 128, 1100, 0, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_U8, 70001, 64, 8200, 0, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_F32, 60013, 120, 8200, 0, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_U8, 40009, 64, 16400, 0, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_F32, 30011, 120, 16400, 0, UNWEIGHTED, WHOLE},
    };
    for (int i = 0; i < COUNT_OF(cases) && !options.small; i++) run_case(&cases[i]);
    finish_list();
}

void test_random(void **unused)
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
