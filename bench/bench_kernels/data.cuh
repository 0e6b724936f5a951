/* The kernels of the benchmark, with their rows and first centroids. */
#ifndef DATA_CUH
#define DATA_CUH

#include "bench.cuh"

namespace benchmarks
{

enum { SAMPLE = 4096 }; /* rows whose labels are compared with the definition */

/* Fills in all of *b but its size and type. */
lloyd_status prepare(bench *b, const options &o);

/* Back to the first centroids, and labels that nobody has. */
lloyd_status restart(const bench &b);

/* One iteration as a fit enqueues it. Waits for what it has found, not for the new centroids. */
lloyd_status iterate(const bench &b, lloyd_found *found);

} // namespace benchmarks

#endif
