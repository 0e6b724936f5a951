/* A run of many iterations from the first centroids, iteration by iteration: what pruning gains depends on how far it is. */
#include "data.cuh"
#include "definition.cuh"
#include "rows.cuh"
#include "timing.cuh"

namespace benchmarks
{

namespace
{

/* One iteration of the run. */
struct step {
    double ms = 0;
    lloyd_found found = {};
};

lloyd_status take_steps(const bench &b, std::vector<step> *steps)
{
    stopwatch watch;
    LLOYD_TRY(watch.create());
    LLOYD_TRY(restart(b));
    for (step &one : *steps) {
        LLOYD_TRY(watch.start(b.stream));
        LLOYD_TRY(iterate(b, &one.found));
        LLOYD_TRY(watch.stop(b.stream));
        LLOYD_TRY(watch.read(&one.ms));
    }
    return LLOYD_OK;
}

/* Equal labels have equal numbers: to compare runs. */
lloyd_status hash_labels(const bench &b, uint64_t *hash)
{
    std::vector<int32_t> labels((size_t)b.size.n);
    LLOYD_TRY(b.kernels->labels(b.kernels, 0, b.size.n, labels.data()));
    *hash = 0;
    for (int32_t label : labels) *hash = mixed(*hash ^ (uint64_t)label);
    return LLOYD_OK;
}

lloyd_status time_run(const bench &b, const options &o, figures *out)
{
    std::vector<step> steps((size_t)o.iterations);
    uint64_t hash;
    LLOYD_TRY(take_steps(b, &steps)); /* a warm-up */
    LLOYD_TRY(take_steps(b, &steps));
    out->run = 0;
    double compared = 0;
    printf(
        "iteration        ms      moved     int8 %%   pruned %%  compared %%  candidates   fallback\n");
    for (size_t t = 0; t < steps.size(); t++) {
        const lloyd_found &f = steps[t].found;
        const double rows = (double)b.size.n, pruned = (double)f.pruned_rows;
        const double share = pruned > 0 ? (double)f.compared / (pruned * (double)b.size.k) : NAN;
        out->run += 1e-3 * steps[t].ms;
        compared += pruned > 0 ? (double)f.compared / (rows * (double)b.size.k) : 1;
        printf("%9zu %9.3f %10lld %10.1f %10.1f %11.3f %11lld %10lld\n", t + 1, steps[t].ms,
               (long long)f.moved, 100 * (double)f.int8_rows / rows, 100 * pruned / rows,
               100 * share, (long long)f.int8_candidates,
               (long long)(f.fallback_rows - f.int8_fallback_rows));
    }
    LLOYD_TRY(hash_labels(b, &hash));
    printf(
        "%zu iterations: %.4f s, comparisons of %.2f iterations; inertia %.17g, labels %016llx\n",
        steps.size(), out->run, compared, steps.back().found.inertia, (unsigned long long)hash);
    return check(b, false, out);
}

} // namespace

const benchmark run_benchmark = {"run", "--iterations iterations, one after the other", nullptr,
                                 time_run, true};

} // namespace benchmarks
