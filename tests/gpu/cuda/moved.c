#include "moved.h"

#include "case.h"
#include "differ.h"
#include "iterations.h"
#include "measures.h"
#include "results.h"
#include "shapes.h"
#include "transfers.h"

#include "base/memory.h"

/* Labels for the first centroids, which nobody sums. */
static int assign_elsewhere(problem *p, const float *centroids)
{
    int good = set_centroids(p, p->c.k, p->centroids);
    for (int s = 0; s < SIDES && good; s++)
        good = !failed(p, s, p->side[s]->begin(p->side[s]), "begin") &&
               pass(p, s, "assign", assign_chunk, NULL);
    return good && compare_labels(p) && set_centroids(p, p->c.k, centroids);
}

static int set_grid_again(problem *p)
{
    for (int s = 0; s < SIDES; s++)
        TRY(p, s, "set_grid", p->side[s]->set_grid(p->side[s], &p->grid));
    return 1;
}

/* Two starts, and on the way what may come between iterations. */
static int compare_moves(problem *p, int iterations)
{
    enum { ELSEWHERE = 3, SAME_GRID = 5 };
    float *centroids = new_array(SIDES * p->c.k * p->c.d, sizeof *centroids);
    int good = compare_measures(p);
    for (int start = 0; start < 2; start++) {
        good = good && set_centroids(p, p->c.k, p->centroids);
        for (int s = 0; s < SIDES && good; s++)
            good = !failed(p, s, p->side[s]->forget_labels(p->side[s]), "forget_labels");
        for (p->iteration = 1; p->iteration <= iterations && good; p->iteration++) {
            if (p->iteration == ELSEWHERE) good = assign_elsewhere(p, centroids);
            if (p->iteration == SAME_GRID) good = good && set_grid_again(p);
            good = good && compare_iteration(p, centroids);
        }
    }
    p->iteration = 0;
    lloyd_free(centroids);
    return good;
}

/* always: whatever it costs, also where most rows move. */
static void run(const test_case *c, int always, int iterations)
{
    if (!begin_case(c, always ? " (moved rows)" : " (moved rows, chosen)")) return;
    double start = seconds();
    problem p = new_problem(c);
    if (new_kernels(&p) && (!always || override_too(&p, "moved-sums")))
        (void)compare_moves(&p, iterations);
    end_case(&p, start);
    free_problem(&p);
}

void test_moved(void **unused)
{
    (void)unused;
    static const int64_t dims[] = {1, 3, 8, 17, 32, 33, 64, 100, 128, 129, 257, 768};
    static const data_kind kinds[] = {GAUSS, SPREAD, SIFT, COLUMNS, SHARED, FAR, LATTICE};
    /* rows that move are soon so few that the sums are continued */
    static const test_case chosen[] = {
        {SIFT, LLOYD_U8, 60011, 64, 40, 0, UNWEIGHTED, WHOLE},
        {GAUSS, LLOYD_F32, 40011, 32, 20, 0, UNWEIGHTED, RESIDENT},
        {SHARED, LLOYD_F16, 30011, 64, 100, 0, WEIGHTED, STREAMED},
        {SPREAD, LLOYD_F32, 20011, 40, 30, 1, WIDE, ALTERNATE},
    };
    for (int i = 0; i < COUNT_OF(dims) * TYPES; i++) {
        test_case c = varied(i, kinds[i % COUNT_OF(kinds)], options.small ? 97 : 1501,
                             dims[i / TYPES], options.small ? 9 : 5 + 7 * (i % 11));
        if (options.small && i % 4) continue;
        if (options.small && c.d > 100) c.d = 70;
        run(&c, 1, options.small ? 5 : 7);
    }
    for (int i = 0; i < (options.small ? 0 : COUNT_OF(chosen)); i++) run(&chosen[i], 0, 10);
    finish_list();
}
