/* Some rows of the dataset, which a fit uses instead of all: a list in a file (--rows), or a random sample
 * (--sample, --sample-per-centroid). Which they are depends on the options and the number of rows in the
 * files alone. Every rank marks them all, a bit each, and keeps the numbers of its own share. */
#ifndef LLOYD_SUBSET_H
#define LLOYD_SUBSET_H

#include "comm/comm.h"
#include "io/guard.h"
#include "io/rows.h"
#include "lloyd/lloyd.h"

#include <stdint.h>

typedef struct lloyd_subset {
    int64_t stored;  /* rows of the dataset */
    int64_t wanted;  /* of the subset */
    int64_t skipped; /* of these, bad ones that are left out */
    uint64_t *marks; /* a bit for each row of the dataset, until lloyd_subset_end() */
} lloyd_subset;

/* 1 where the options ask for one. */
int lloyd_subset_is_wanted(const lloyd_fit_options *options);

/* 1 where a fit of a subset labels (or measures) all rows of the inputs, in a pass of its own. */
int lloyd_subset_labels_all(const lloyd_fit_options *options);

/* The options of that pass. */
lloyd_predict_options lloyd_subset_labelling(const lloyd_fit_options *options);

/* Adds the file of --rows to those that are read. */
lloyd_status lloyd_subset_guard(const lloyd_fit_options *options, lloyd_guard *guard);

/* Marks the rows of the subset, and keeps them in `rows`: this rank can read its share of the balanced
 * split. LLOYD_BAD_INPUT where the list has an entry that is no row of the dataset, or is there twice,
 * with the first such entry; or where the ranks have different lists. Collective. */
lloyd_status lloyd_subset_begin(lloyd_comm *comm, const lloyd_fit_options *options,
                                lloyd_rows *rows, lloyd_subset *subset);

/* Looks at the rows of the subset and leaves the bad ones out of it. Collective. */
lloyd_status lloyd_subset_skip_bad(lloyd_comm *comm, lloyd_rows *rows, int cosine,
                                   lloyd_subset *subset);

/* What is marked is not needed any more; `rows` stays as it is. */
void lloyd_subset_end(lloyd_subset *subset);

/* Bytes that a rank takes while it marks; lloyd_rows_memory() counts what stays. */
int64_t lloyd_subset_bytes(int64_t stored);

/* "--sample 1000" into text, which is returned. */
const char *lloyd_subset_text(const lloyd_fit_options *options, char *text, size_t bytes);

#endif
