/* Exact pruning, host side: rows are compared only with the groups of centroids that their bounds do not rule out. docs/numerics.md,
 * section 2.8. */
#ifndef LLOYD_KERNELS_CUDA_PRUNE_PRUNE_H
#define LLOYD_KERNELS_CUDA_PRUNE_PRUNE_H

#include "kernels/cuda/int8/int8.cuh"
#include "kernels/cuda/memory/memory.h"
#include "kernels/cuda/state.h"

struct cuda_decision;
struct prune_row;
struct prune_hit;
struct prune_tightening;

/* Whether and when it is used. */
struct prune_choice {
    bool made, on;           /* for the current centroids */
    bool sampled;            /* there are bounds of a sample of rows, */
    bool bounded;            /* of all of them */
    bool near;               /* the distances between centroids rule out next to nothing */
    int gap, wait;           /* iterations between two trials, and until the next one */
    double share;            /* of pairs that the last pass compared, 1: not known */
    double candidates, open; /* of a row in the last pass; share of the rows that were left open */
};

/* What a sample says of a pass: the share of pairs of a row and a group that it compares, and the candidates of a row beside its own. */
struct prune_forecast {
    double share, hits;
};

struct cuda_grouping; /* grouping.cu */

/* How far centroids are from each other (apart.cu): they are rows there. */
struct cuda_apart {
    bool found;                        /* for the current centroids and groups */
    cuda_array<int8_units> units;      /* [1] */
    cuda_array<int32_t> bias;          /* image.cuh */
    cuda_array<uint8_t> codes;         /* [set][stride] */
    cuda_array<int8_row> described;    /* [set] */
    cuda_array<prune_row> row;         /* [set] */
    cuda_array<uint16_t> reach, piece; /* of some of them at a time: zeros, and bounds */
    cuda_array<double> still;          /* [groups], and in whole units: zeros */
    cuda_array<int32_t> still_whole;
    cuda_array<unsigned long long> next; /* [2] */
    cuda_array<uint16_t>
        table; /* [set][groups, to a multiple of 8] per_unit times the least distance to another one of the group, at most */
};

struct cuda_prune {
    cuda_grouping *grouping;            /* under way, or NULL */
    bool ready;                         /* groups are made, and bounds claim something or nothing */
    const float *prepared;              /* the centroids that drift is up to, NULL: others */
    int groups, group_centroids, tiles; /* tiles of centroids in a group */
    int tile_rows;
    double per_unit;
    uint32_t version; /* of the centroids: counts movements */
    prune_choice choice;
    cuda_apart apart;

    cuda_array<int32_t> order, place;       /* [set] */
    cuda_array<uint8_t> image;              /* image.cuh */
    cuda_array<int32_t> bias;               /* the same */
    cuda_array<float> before;               /* [set][D] */
    cuda_array<uint32_t> moved_at;          /* [set] the version in which a centroid last moved */
    cuda_array<unsigned long long> moved;   /* [groups] */
    cuda_array<double> drift;               /* [groups] */
    cuda_array<int32_t> whole_drift, shift; /* [groups], [groups + 1] */
    cuda_array<uint16_t> bounds;            /* [tiles of rows][groups][tile_rows] */
    cuda_array<int32_t> bounded;            /* [n_local] */
    /* dist() of rows that are not used as they are to the centroids `bounded`, and the versions of these: */
    cuda_array<double> distance;      /* [n_local] */
    cuda_array<uint32_t> measured_at; /* [n_local] */
    cuda_array<unsigned> stale;       /* [1] rows of a launch whose distance is not known */

    /* where chunks come and go (needed.h), else NULL: */
    cuda_array<double>
        path; /* [set] how far a centroid has come since `version` 0, in units of bounds, at least */
    cuda_array<float>
        far; /* [n_local] a row's distance to the centroid `bounded`, at most, less the path of that until then */
    cuda_array<uint8_t> needed; /* [slots] bits of their rows */

    cuda_array<prune_row> row; /* of a launch */
    cuda_array<uint16_t> reach;
    cuda_array<int32_t> hits; /* first of all, these rows */
    cuda_array<prune_hit> hit;
    cuda_array<unsigned long long> uncounted; /* [LLOYD_COUNTERS] of what does not count */
    cuda_array<int> taken;                    /* [segments] */
    cuda_array<unsigned long long> next;      /* [2] */
    cuda_array<unsigned long long>
        seen; /* 0: pairs that were counted; 1: hits of the last sample */
};

/* Whether there are bounds for `set` centroids: only for as many as there are clusters, which the plan knows. */
bool lloyd_cuda_prune_serves(const cuda_gpu &gpu, const lloyd_kernels_config *config, int64_t set);
void lloyd_cuda_prune_list(cuda_buffers &buffer, cuda_prune *s, const cuda_gpu &gpu,
                           const lloyd_kernels_config *config, int64_t set, int64_t block);
/* Tiles of all local rows. */
int64_t lloyd_cuda_prune_tiles(const cuda_kernels *cuda, const cuda_prune *s);

/* Bounds claim nothing from now on: other centroids. */
void lloyd_cuda_prune_forget(cuda_kernels *cuda);
/* Finds bounds of the first rows of a slot, whose labels stay as they are. */
lloyd_status lloyd_cuda_prune_sample(cuda_kernels *cuda, int slot, int count,
                                     const cuda_decision &d);
/* What is left of these rows' pairs; `begin`: with first bounds. Waits for it. */
lloyd_status lloyd_cuda_prune_count(cuda_kernels *cuda, int slot, int count, const cuda_decision &d,
                                    bool begin, prune_forecast *forecast);
/* Whether there are groups, which are being made if not. */
lloyd_status lloyd_cuda_prune_ready(cuda_kernels *cuda, bool *ready);
/* As lloyd_cuda_int8_find(): lists the rows of [begin, begin + count) of a slot that may have another label, with their candidates. */
lloyd_status lloyd_cuda_prune_find(cuda_kernels *cuda, int slot, int64_t begin, int count,
                                   const cuda_decision &d);
int8_lists lloyd_cuda_prune_lists(const cuda_kernels *cuda, int count);
/* Where the candidates of a slot's rows leave their distances. */
prune_tightening lloyd_cuda_prune_tightening(const cuda_kernels *cuda, int slot);

#endif
