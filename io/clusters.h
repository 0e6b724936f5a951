/* Clusters in files that fit and predict have written: the rows of each, and which cluster of the next level each
 * belongs to. */
#ifndef LLOYD_IO_CLUSTERS_H
#define LLOYD_IO_CLUSTERS_H

#include "base/status.h"

#include <stdint.h>

/* /members and /offsets of a file (docs/formats.md). */
typedef struct lloyd_clusters {
    const char *path;        /* borrowed */
    int64_t k, count;        /* clusters; members of all */
    int64_t rows, dim;       /* of the dataset, in which members are numbered */
    int64_t *offsets;        /* [k + 1] from 0 to count, not decreasing */
    struct lloyd_list *list; /* the file, which stays open */
} lloyd_clusters;

/* LLOYD_BAD_INPUT where the file has no members, or where they do not fit each other. Close it also after a
 * failure. `path` is borrowed. */
lloyd_status lloyd_clusters_open(const char *path, lloyd_clusters *clusters);
void lloyd_clusters_close(lloyd_clusters *clusters);

/* out[0 .. count) = the row numbers of members [first, first + count), each at least 0 and below `rows`
 * (else LLOYD_BAD_INPUT). */
lloyd_status lloyd_clusters_read(const lloyd_clusters *clusters, int64_t first, int64_t count,
                                 int64_t *out);

/* The clusters that those of another file are in: of a clustering of its centroids, or of the model that it splits. */
typedef struct lloyd_parents {
    const char *path; /* borrowed */
    int64_t k;        /* clusters */
    int64_t count;    /* centroids that are clustered */
    int32_t *labels;  /* [count] each at least 0 and below k */
} lloyd_parents;

/* Of the `count` clusters of `below`: from /parents of it, if it is of a split of a model with as many clusters as the file at
 * `path`, else from the /labels there. LLOYD_BAD_INPUT where there are neither, or where one is left out. Free it also after a
 * failure. Both names are borrowed. */
lloyd_status lloyd_parents_read(const char *path, const char *below, int64_t count,
                                lloyd_parents *parents);
void lloyd_parents_free(lloyd_parents *parents);

#endif
