#include "special.h"

#include "case.h"
#include "data.h"
#include "differ.h"
#include "iterations.h"
#include "measures.h"
#include "results.h"
#include "seeding.h"
#include "shapes.h"
#include "transfers.h"
#include "values.h"

#include "base/half.h"
#include "base/memory.h"

#include <math.h>

/* Whether the 8-bit filter is used for all labels, which leaves other rows to the fallback pass. */
static int with_int8(void)
{
    return strstr(options.override, "int8") != NULL || strstr(options.override, "prune") != NULL;
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

void test_no_rows(void **unused)
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

void test_predict(void **unused)
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

void test_cone(void **unused)
{
    (void)unused;
    run_prediction(&(test_case){CONE, LLOYD_F32, CONE_ROWS, CONE_COLUMNS, CONE_CENTROIDS, 1,
                                UNWEIGHTED, WHOLE});
    finish_list();
}

/* The same centroids, when it is known how near rows are to them. */
static void run_known(const test_case *c)
{
    if (!begin_case(c, " (distances known)")) return;
    double start = seconds();
    int64_t empty;
    problem p = new_problem(c);
    int good = new_kernels(&p) && compare_measures(&p);
    if (good) good = override_too(&p, "keep-distances");
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
void test_aligned(void **unused)
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

void test_lossy(void **unused)
{
    (void)unused;
    for (int type = 0; type < TYPES; type++)
        run_prediction(&(test_case){LOSSY, (lloyd_type)type, LOSSY_ROWS, LOSSY_COLUMNS,
                                    2 * LOSSY_ROWS, 0, UNWEIGHTED, WHOLE});
    finish_list();
}

/* Rows without a certificate in an iteration of the GPU's. */
static int count_fallback_rows(problem *p, int64_t *fallback_rows)
{
    lloyd_found found;
    TRY(p, CUDA, "begin", p->side[CUDA]->begin(p->side[CUDA]));
    if (!pass(p, CUDA, "assign", assign_chunk, NULL) ||
        !pass(p, CUDA, "accumulate", accumulate_chunk, NULL))
        return 0;
    TRY(p, CUDA, "inertia", p->side[CUDA]->inertia(p->side[CUDA], p->squares, &found));
    *fallback_rows = found.fallback_rows;
    return 1;
}

/* Once it is known how near rows are to their centroids, fewer of them have no certificate, with the
 * same centroids. */
static int compare_bounds(problem *p, float *centroids, int64_t fallback_rows[2])
{
    lloyd_kernels *cuda = p->side[CUDA];
    if (!compare_measures(p)) return 0;
    TRY(p, CUDA, "set_centroids", cuda->set_centroids(cuda, p->c.k, p->centroids));
    for (int t = 0; t < 3; t++) {
        if (!count_fallback_rows(p, fallback_rows)) return 0;
        TRY(p, CUDA, "update", cuda->update(cuda));
    }
    TRY(p, CUDA, "get_centroids", cuda->get_centroids(cuda, centroids));
    if (!count_fallback_rows(p, &fallback_rows[0])) return 0;
    TRY(p, CUDA, "set_centroids", cuda->set_centroids(cuda, p->c.k, centroids));
    return count_fallback_rows(p, &fallback_rows[1]);
}

void test_local_bound(void **unused)
{
    (void)unused;
    const int64_t n = options.small ? 1003 : 20011, k = options.small ? 50 : 100;
    const test_case c = {SHARED, LLOYD_U8, n, 128, k, 0, UNWEIGHTED, WHOLE};
    if (!begin_case(&c, " (near rows)")) return;
    double start = seconds();
    int64_t fallback_rows[2] = {0, 0};
    problem p = new_problem(&c);
    float *centroids = new_array(c.k * c.d, sizeof *centroids);
    if (new_kernels(&p) && compare_bounds(&p, centroids, fallback_rows) && !with_int8() &&
        !(fallback_rows[0] * 3 < fallback_rows[1] * 2)) {
        p.differences++;
        describe(&p, "fallback rows");
        print_error("%lld fallback rows where distances are known, %lld where not\n",
                    (long long)fallback_rows[0], (long long)fallback_rows[1]);
    }
    end_case(&p, start);
    lloyd_free(centroids);
    free_problem(&p);
    finish_list();
}

/* Centroids far away do not cost other rows their certificates. */
void test_far(void **unused)
{
    (void)unused;
    for (int type = 0; type < TYPES; type++) {
        const test_case c = {FAR, (lloyd_type)type, 1003, 64, 60, 0, UNWEIGHTED, WHOLE};
        if (!begin_case(&c, " (others)")) continue;
        double start = seconds();
        int64_t fallback_rows = 0;
        problem p = new_problem(&c);
        int good = new_kernels(&p) && compare_measures(&p) && set_centroids(&p, c.k, p.centroids);
        for (int s = 0; s < SIDES && good; s++)
            good = !failed(&p, s, p.side[s]->begin(p.side[s]), "begin") &&
                   pass(&p, s, "assign", assign_chunk, NULL);
        if (good && compare_labels(&p) && count_fallback_rows(&p, &fallback_rows) && !with_int8() &&
            4 * fallback_rows > c.n) {
            p.differences++;
            describe(&p, "fallback rows");
            print_error("%lld rows of %lld\n", (long long)fallback_rows, (long long)c.n);
        }
        end_case(&p, start);
        free_problem(&p);
    }
    finish_list();
}

typedef struct reduction_case {
    int64_t n, d, leaves, most;
    int trials;
} reduction_case;

/* Leaves of several blocks each, as full as they can be, and choices until nothing is left. */
void test_reduction(void **unused)
{
    (void)unused;
    static const reduction_case cases[] = {{600, 5, 1, 600, 32},    {700, 8, 2, 900, 3},
                                           {4111, 16, 2, 60, 32},   {2049, 7, 1, 2049, 32},
                                           {9000, 96, 9, 1000, 32}, {24577, 12, 1, 400, 32},
                                           {65536, 8, 2, 40, 40},   {5000, 384, 1, 100, 256}},
                                small[] = {{600, 5, 1, 20, 32}, {50, 8, 2, 60, 3}};
    for (int i = 0; i < (options.small ? COUNT_OF(small) : COUNT_OF(cases)); i++) {
        const reduction_case r = options.small ? small[i] : cases[i];
        const test_case c =
            {i % 3 == 2 ? LATTICE : GAUSS, LLOYD_F32, 100, r.d, 100, 0, UNWEIGHTED, WHOLE};
        if (!begin_case(&c, " (reduction)")) continue;
        double start = seconds();
        problem p = new_problem(&c);
        if (new_kernels(&p)) (void)compare_choices(&p, r.n, r.leaves, r.most, r.trials);
        end_case(&p, start);
        free_problem(&p);
    }
    finish_list();
}

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

void test_defects(void **unused)
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
