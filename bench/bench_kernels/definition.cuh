/* What the kernels must give, computed as docs/numerics.md defines it by code that shares nothing with
 * them: one thread per distance, one atomic per element.
 */
#ifndef DEFINITION_CUH
#define DEFINITION_CUH

#include "bench.cuh"

namespace benchmarks
{

/* One iteration from where the kernels are; out->wrong grows by what is not as defined. `fresh`:
 * after restart(), so all labels must change. */
lloyd_status check(const bench &b, bool fresh, figures *out);

} // namespace benchmarks

#endif
