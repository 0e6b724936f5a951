/* The rows and first centroids of a shape as files, for other programs that are to cluster the same. */
#ifndef DUMP_CUH
#define DUMP_CUH

#include "bench.cuh"

namespace benchmarks
{

/* Writes FOLDER/rows-TYPE-NxD.npy and FOLDER/centroids-TYPE-NxD-K.npy (float32). There is no bfloat16 in .npy. */
lloyd_status dump(const bench &b, const char *folder);

} // namespace benchmarks

#endif
