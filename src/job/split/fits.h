/* The fits of the clusters that a rank splits: small clusters several at a time, each by one thread (or its part of more than
 * LLOYD_POOL_MOST), since a few thousand rows keep neither the cores nor a GPU busy; on a GPU, for which threads mostly wait,
 * LLOYD_POOL_MOST at a time, unless there is one thread only. Larger ones are fitted one after the other, each by all threads. */
#ifndef LLOYD_SPLIT_FITS_H
#define LLOYD_SPLIT_FITS_H

#include "base/shown.h"
#include "base/threads.h"
#include "job/split/parts.h"
#include "job/split/splitting.h"

#include <stdint.h>

/* Those of the fit of a cluster. */
lloyd_fit_options lloyd_fits_options(const lloyd_splitting *s, int64_t cluster);

/* Decides how many small clusters are fitted at a time, and how many rows these have at most (s->at_once, s->spread, s->small_rows; an iteration of
 * them takes a core some seconds at most), where
 * `largest` is the cluster with the most rows. *bytes: of host memory that fits take, the rows and the results aside. They take no
 * more than the fit of the largest cluster, or than a small part of `limit`. A GPU that starts (lloyd_backend_start()) is not
 * waited for: then *bytes are no less than they, and it, will take, and both numbers are reduced when the fits begin. */
lloyd_status lloyd_fits_plan(lloyd_splitting *s, int64_t largest, int64_t limit, int64_t *bytes);

/* Fits all clusters of `parts`. Ranks agree every few seconds, so all learn of a failure, and none waits for long for another that is
 * at work. Of several clusters that fail, the one that is first in turn is reported: larger ones come first. *done: rows that this rank
 * is through with, in all rounds. Collective. */
lloyd_status lloyd_fits_run(lloyd_splitting *s, const lloyd_parts *parts, lloyd_shown *shown,
                            int64_t *done);

#endif
