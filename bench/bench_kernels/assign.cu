/* The assignment: the whole step as a fit runs it, then its filter and what follows it, apart. */
#include "data.cuh"
#include "timing.cuh"

namespace benchmarks
{

namespace
{

lloyd_status time_assign(const bench &b, const options &o, figures *out)
{
    auto begin = [&] { return b.kernels->begin(b.kernels); };
    auto assign = [&] { return b.kernels->assign(b.kernels, 0); };
    LLOYD_TRY(restart(b));
    LLOYD_TRY(time_work(b.stream, o.repeat, begin, assign, &out->assign));
    return time_phases(b, o.repeat, begin, &out->filter, &out->verify);
}

} // namespace

const benchmark assign_benchmark = {"assign", "labels of all rows: filter, certificate, fallback",
                                    nullptr, time_assign};

} // namespace benchmarks
