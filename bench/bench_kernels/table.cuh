/* The table that is printed, a row for each shape and type, and the same as lines of JSON. */
#ifndef TABLE_CUH
#define TABLE_CUH

#include "bench.cuh"

namespace benchmarks
{

void print_header(const options &o);
void print_row(lloyd_type type, const shape &s, const figures &f);
/* To o.json. */
void json_row(const options &o, lloyd_type type, const shape &s, const figures &f);

} // namespace benchmarks

#endif
