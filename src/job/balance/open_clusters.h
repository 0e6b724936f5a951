/* The nearest of the clusters that have room, for some rows of a rank: kernels of their own are given the centroids
 * of these clusters, and the rows a batch at a time. */
#ifndef LLOYD_OPEN_CLUSTERS_H
#define LLOYD_OPEN_CLUSTERS_H

#include "algorithm/problem.h"
#include "job/balance/admission.h"

#include <stdint.h>

typedef struct lloyd_open_clusters lloyd_open_clusters;

/* All clusters of the problem, whose kernels hold the centroids, are open at first. Not collective; close it also
 * after a failure, before these kernels. */
lloyd_status lloyd_open_clusters_begin(lloyd_problem *problem, lloyd_open_clusters **open);
void lloyd_open_clusters_end(lloyd_open_clusters *open); /* NULL is allowed */

/* Closes the clusters without room for good, and lets each row that applies to a cluster apply to the nearest of
 * those that are open: rows->clusters and `distances`, which is rows->distances. A pass over the chunks that
 * have such rows. Not collective. */
lloyd_status lloyd_open_clusters_apply(lloyd_open_clusters *open, const int64_t *room,
                                       const lloyd_applicants *rows, double *distances);

/* The kernels that this takes beside those of `config`, and bytes on the host apart from them. */
lloyd_kernels_config lloyd_open_clusters_config(const lloyd_kernels_config *config, int copies);
int64_t lloyd_open_clusters_bytes(const lloyd_kernels_config *config, int64_t k);

#endif
