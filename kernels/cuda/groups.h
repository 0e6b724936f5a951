/* Groups of rows, each with centroids of its own: lloyd_kernels.set_groups(). Each has an origin and a scale of the filter of its own, and
 * tiles of the image. Their memory is not planned by itself: it is less than what the kernels of each group alone would have. */
#ifndef LLOYD_KERNELS_CUDA_GROUPS_H
#define LLOYD_KERNELS_CUDA_GROUPS_H

#include "kernels/cuda/groups.cuh"
#include "kernels/cuda/memory/memory.h"
#include "kernels/cuda/state.h"

struct cuda_groups {
    int64_t count, most;               /* most: centroids of a group */
    int64_t *rows, *centroids, *tiles; /* [count + 1], on the host */
    const unsigned char *active;
    cuda_array<cuda_group> group;         /* [count] */
    cuda_array<unsigned long long> moved; /* [count] 0 between two assignments */
    int64_t *counted;                     /* [count] pinned: of the last assignment */
};

lloyd_status lloyd_cuda_set_groups(lloyd_kernels *kernels, const lloyd_groups *groups);
lloyd_status lloyd_cuda_groups_moved(lloyd_kernels *kernels, int64_t *moved);
void lloyd_cuda_groups_free(cuda_kernels *cuda);

/* How many groups of rows there are for the filter: one without groups. */
int64_t lloyd_cuda_group_count(const cuda_kernels *cuda);
/* The most rows of a group; without groups `all`. */
int64_t lloyd_cuda_most_rows(const cuda_kernels *cuda, int64_t all);
/* Group g, once lloyd_cuda_send_groups() was called. */
cuda_group lloyd_cuda_group(const cuda_kernels *cuda, int64_t g);
/* Places of centroids in the image, in tiles of `width`; > 0. */
int64_t lloyd_cuda_places(const cuda_kernels *cuda, int64_t set, int width);

/* The groups as they are on the device, with tiles of `width` from then on. */
lloyd_status lloyd_cuda_send_groups(cuda_kernels *cuda, int width);
cuda_group_table lloyd_cuda_group_table(const cuda_kernels *cuda);
/* At the end of an assignment: counters[0] += labels that changed in all of them, which are known then. */
lloyd_status lloyd_cuda_end_groups(cuda_kernels *cuda, unsigned long long *counters);

#endif
