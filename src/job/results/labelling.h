/* The nearest centroid of every row of files, and what else is asked for of the rows, into datasets of an
 * output: what lloyd_predict() does, and a fit of some rows with all the others.
 *
 * The caller fills in the first members, all else is zero; then lloyd_labelling_begin(), the datasets are laid
 * out, lloyd_labelling_write(), and lloyd_labelling_end() whatever fails. */
#ifndef LLOYD_LABELLING_H
#define LLOYD_LABELLING_H

#include "algorithm/problem.h"
#include "base/shown.h"
#include "io/rows.h"
#include "io/writers/array.h"
#include "io/writers/output.h"
#include "io/writers/row_outputs.h"
#include "job/backend.h"
#include "job/plan.h"
#include "job/results/second.h"
#include "lloyd/lloyd.h"

#include <stdint.h>

typedef struct lloyd_labelling {
    /* borrowed */
    lloyd_comm *comm;
    const lloyd_backend *backend;
    lloyd_rows *rows;
    const float *centroids; /* [k * d] */
    int64_t k;
    int cosine;
    const lloyd_predict_options *options; /* chunk_rows, filter, second, members, progress */
    lloyd_row_outputs wanted;
    lloyd_bytes limit; /* of memory of a rank; 0: what there is */

    lloyd_plan plan; /* from lloyd_labelling_begin() on */
    lloyd_problem problem;

    const lloyd_output *output;
    lloyd_array *labels, *distances, *second_labels, *second_distances;

    /* one chunk; of all rows of this rank, where members are wanted */
    int32_t *label;
    double *distance;
    int64_t offset; /* of the chunk in these two */
    /* one chunk */
    float *rounded;
    lloyd_second *second;
    int32_t *second_label;
    double *second_distance;
    float *second_rounded;
    float *min, *max; /* [d] of the rows so far */
    int *low;
    lloyd_range range;    /* with these three, and the first bad row */
    int64_t first, count; /* global rows whose results are here and not written yet */
    int64_t done;         /* rows of this rank that are labelled */
    lloyd_shown shown;
} lloyd_labelling;

/* Plans, and reads the first rows. Collective. */
lloyd_status lloyd_labelling_begin(lloyd_labelling *labelling);

/* Writes what is wanted, whose datasets are in the partial file. LLOYD_BAD_INPUT where a row cannot be
 * labelled. Collective. */
lloyd_status lloyd_labelling_write(lloyd_labelling *labelling, const lloyd_output *output);

void lloyd_labelling_end(lloyd_labelling *labelling);

#endif
