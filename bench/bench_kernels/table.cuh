/* The table that is printed, a row for each shape and type, and the same as lines of JSON. */
#ifndef TABLE_CUH
#define TABLE_CUH

#include "bench.cuh"

namespace benchmarks
{

void print_header();
void print_row(lloyd_type type, const shape &s, const figures &f);
void json_row(FILE *file, lloyd_type type, const shape &s, const figures &f);

} // namespace benchmarks

#endif
