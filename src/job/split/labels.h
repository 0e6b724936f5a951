/* The clusters of the rows: labels in the model that is split, or in a file of lloyd_predict(). */
#ifndef LLOYD_SPLIT_LABELS_H
#define LLOYD_SPLIT_LABELS_H

#include "job/split/splitting.h"

/* LLOYD_BAD_INPUT where there are none, or where they are of other rows or of another model. */
lloyd_status lloyd_split_check_labels(const lloyd_splitting *splitting);

/* Reads those of this rank's share into splitting->clusters, and counts them in splitting->rows. LLOYD_BAD_INPUT where one is
 * none of the model's clusters. */
lloyd_status lloyd_split_read_labels(lloyd_splitting *splitting);

#endif
