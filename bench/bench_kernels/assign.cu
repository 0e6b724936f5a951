/* The assignment: the whole step as a fit runs it, then its filter and what follows it, apart. */
#include "data.cuh"
#include "timing.cuh"

namespace benchmarks
{

namespace
{

lloyd_status time_phases(const bench &b, int repeat, figures *out)
{
    std::vector<double> filter, verify;
    for (int i = 0; i < WARMUPS + repeat; i++) {
        float ms[2];
        LLOYD_TRY(b.kernels->begin(b.kernels));
        LLOYD_TRY(lloyd_cuda_assign_phases(lloyd_cuda(b.kernels), 0, ms));
        if (i < WARMUPS) continue;
        filter.push_back((double)ms[0]);
        verify.push_back((double)ms[1]);
    }
    out->filter = median(filter);
    out->verify = median(verify);
    return LLOYD_OK;
}

lloyd_status time_assign(const bench &b, int repeat, figures *out)
{
    auto begin = [&] { return b.kernels->begin(b.kernels); };
    auto assign = [&] { return b.kernels->assign(b.kernels, 0); };
    LLOYD_TRY(restart(b));
    LLOYD_TRY(time_work(b.stream, repeat, begin, assign, &out->assign));
    return time_phases(b, repeat, out);
}

} // namespace

const benchmark assign_benchmark = {"assign", "labels of all rows: filter, certificate, fallback",
                                    nullptr, time_assign};

} // namespace benchmarks
