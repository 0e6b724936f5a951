/* --max-size: labels of which no cluster has more than so many rows (section 13 of the contract). */
#ifndef LLOYD_BALANCE_H
#define LLOYD_BALANCE_H

#include "algorithm/problem.h"
#include "job/progress.h"

#include <stdint.h>

typedef struct lloyd_balance {
    int64_t cap;   /* the most rows of a cluster; 0: there is no limit, and nothing below */
    int64_t moved; /* rows, of all ranks, that are not in the cluster of the nearest centroid */
    double inertia, before; /* of these labels, and of the nearest centroids */
    int64_t *counts;        /* [k] rows per cluster, of all ranks */
    int32_t *labels;        /* [rows of this rank] */
    double *distances;      /* [rows of this rank] to the centroids of their labels */
} lloyd_balance;

/* The most rows of a cluster: factor * n / k rounded up, exactly, and n if that is less. factor: >= 1, finite. */
int64_t lloyd_balance_cap(double factor, int64_t n, int64_t k);

/* From the labels and centroids that the kernels hold, whose inertia is `before`. balance->cap is set, all else 0. The
 * kernels stay as they are. Free with lloyd_balance_free(), also after a failure. Can be stopped. Collective. */
lloyd_status lloyd_balance_find(lloyd_problem *problem, double before, lloyd_progress *progress,
                                lloyd_balance *balance);
void lloyd_balance_free(lloyd_balance *balance);

/* Bytes of this rank on the host, and those of kernels, which are on the host or on the GPU: lloyd_open_clusters_config(). */
int64_t lloyd_balance_bytes(const lloyd_kernels_config *config, int64_t k);

#endif
