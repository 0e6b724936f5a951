/* Whole iterations, with all that is kept between them. */
#include "data.cuh"
#include "definition.cuh"
#include "timing.cuh"

extern "C" {
#include "base/clock.h"
}

#include <algorithm>

namespace benchmarks
{

namespace
{

enum { ITERATIONS = 10 }; /* of a run */

lloyd_status iterate_often(const bench &b, std::vector<double> *verified_share)
{
    for (int t = 0; t < ITERATIONS; t++) {
        lloyd_found found;
        LLOYD_TRY(iterate(b, &found));
        verified_share->push_back((double)found.fallback_rows / (double)b.size.n);
    }
    return LLOYD_OK;
}

/* Runs of ten iterations from the first centroids; one is the warm-up. */
lloyd_status time_iterations(const bench &b, int repeat, figures *out)
{
    stopwatch watch;
    std::vector<double> times, walls;
    LLOYD_TRY(watch.create());
    for (int run = 0; run < 1 + std::max(1, repeat / 2); run++) {
        double ms;
        out->verified_of_iteration.clear();
        LLOYD_TRY(restart(b));
        double began = lloyd_seconds();
        LLOYD_TRY(watch.start(b.stream));
        LLOYD_TRY(iterate_often(b, &out->verified_of_iteration));
        LLOYD_TRY(watch.stop(b.stream));
        LLOYD_TRY(watch.read(&ms));
        double wall = 1e3 * (lloyd_seconds() - began);
        if (run == 0) continue;
        times.push_back(ms / (double)ITERATIONS);
        walls.push_back(wall / (double)ITERATIONS);
    }
    out->iteration = median(times);
    out->wall = median(walls);
    return LLOYD_OK;
}

lloyd_status run_iterations(const bench &b, const options &o, figures *out)
{
    LLOYD_TRY(time_iterations(b, o.repeat, out));
    return check(b, false, out); /* after ten iterations, with all that is kept between them */
}

} // namespace

const benchmark iteration_benchmark = {"iteration", "a run of ten iterations, divided by ten",
                                       nullptr, run_iterations};

} // namespace benchmarks
