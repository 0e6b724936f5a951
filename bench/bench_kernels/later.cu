/* A whole iteration that follows others. The first one has no labels to start from, and its centroids are rows; most
 * iterations of a fit are like those after the second. */
#include "data.cuh"
#include "definition.cuh"
#include "timing.cuh"

#include "kernels/cuda/assign/filter.h"

namespace benchmarks
{

namespace
{

/* To the state after o.after iterations from the first centroids. */
lloyd_status go_ahead(const bench &b, const options &o)
{
    LLOYD_TRY(restart(b));
    for (int t = 0; t < o.after; t++) {
        lloyd_found found;
        LLOYD_TRY(iterate(b, &found));
    }
    return LLOYD_OK;
}

lloyd_status time_later(const bench &b, const options &o, figures *out)
{
    lloyd_found found = {};
    auto ahead = [&] { return go_ahead(b, o); };
    auto begin = [&] {
        LLOYD_TRY(go_ahead(b, o));
        return b.kernels->begin(b.kernels);
    };
    auto labelled = [&] {
        LLOYD_TRY(begin());
        return b.kernels->assign(b.kernels, 0);
    };
    auto accumulate = [&] { return b.kernels->accumulate(b.kernels, 0); };
    auto whole = [&] { return iterate(b, &found); };
    LLOYD_TRY(time_work(b.stream, o.repeat, ahead, whole, &out->later));
    out->later_proved = 1 - (double)found.fallback_rows / (double)b.size.n;
    out->later_int8 = (double)found.int8_rows / (double)b.size.n;
    if (found.int8_fallback_rows > 0)
        out->later_candidates = (double)found.int8_candidates / (double)found.int8_fallback_rows;
    out->later_moved = (double)found.moved / (double)b.size.n;
    const lloyd_filter_times &measured = lloyd_cuda(b.kernels)->filter->int8.choice.times;
    out->measured_float16 = measured.float16;
    out->measured_int8 = measured.int8;
    LLOYD_TRY(time_phases(b, o.repeat, begin, &out->later_filter, &out->later_verify));
    LLOYD_TRY(time_work(b.stream, o.repeat, labelled, accumulate, &out->later_update));
    LLOYD_TRY(go_ahead(b, o));
    return check(b, false, out);
}

} // namespace

const benchmark later_benchmark =
    {"later", "one iteration after --after others, its assignment, and its sums", nullptr,
     time_later};

} // namespace benchmarks
