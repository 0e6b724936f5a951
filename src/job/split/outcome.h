/* What comes after all clusters are split: the results of all ranks, and the model. */
#ifndef LLOYD_SPLIT_OUTCOME_H
#define LLOYD_SPLIT_OUTCOME_H

#include "io/writers/row_outputs.h"
#include "job/split/splitting.h"

/* What is written of the rows, and of how many. */
lloyd_row_outputs lloyd_split_outputs(const lloyd_split_options *options);
lloyd_row_shape lloyd_split_shape(const lloyd_splitting *splitting);

/* Brings the centroids to rank 0 and the other results to all ranks. Collective. */
lloyd_status lloyd_split_gather(lloyd_splitting *splitting);

/* Writes the model, rows and all. Collective. */
lloyd_status lloyd_split_write(lloyd_splitting *splitting);

#endif
