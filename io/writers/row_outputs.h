/* What an output says of each row, and of each cluster's rows: datasets that all ranks write. Laid out here by one
 * rank; written by all with lloyd_array_*. */
#ifndef LLOYD_IO_ROW_OUTPUTS_H
#define LLOYD_IO_ROW_OUTPUTS_H

#include "io/writers/output.h"

#include <stdint.h>

/* Which there are: 1 or 0 each. */
typedef struct lloyd_row_outputs {
    int labels;    /* /labels int32 [N + skipped] */
    int distances; /* /distances float32 [N + skipped] */
    int second;    /* /second/labels and /second/distances, the same */
    int members;   /* /members int64 [N], /offsets int64 [K + 1] */
    int rows; /* /rows int64 [N + skipped]: the numbers of the rows, where they are some of a dataset */
} lloyd_row_outputs;

/* Of how many rows and clusters. */
typedef struct lloyd_row_shape {
    int64_t n, skipped, k;
    int cosine;
} lloyd_row_shape;

/* Bytes of them. */
int64_t lloyd_row_outputs_bytes(const lloyd_row_outputs *outputs, const lloyd_row_shape *shape);

/* Creates them in the partial file, which is there; datasets of distances say what these are. */
lloyd_status lloyd_row_outputs_create(const lloyd_output *output, const lloyd_row_outputs *outputs,
                                      const lloyd_row_shape *shape);

#endif
