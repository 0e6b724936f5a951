/* The kernels that assign rows to centroids, one table of them (registry.cu), and the shapes of their tiles.
 *
 * A kernel is a file of its own that defines one cuda_assign_kernel. It is handed flash_params (certificate.cuh), and does two things with
 * them: it labels rows and lists those without a certificate, or it finds the candidates of listed rows (the fallback pass). The first
 * kernel of the table that supports the GPU and the shape is taken; nothing else in the choice asks what the GPU is.
 */
#ifndef LLOYD_KERNELS_CUDA_ASSIGN_REGISTRY_H
#define LLOYD_KERNELS_CUDA_ASSIGN_REGISTRY_H

extern "C" {
#include "base/status.h"
#include "base/types.h"
#include "kernels/cuda/device.h"
}

#include <cstdint>

struct flash_params;
struct flash_turns;
struct cuda_assign_kernel;

/* What is to be assigned to what. */
struct cuda_assign_shape {
    int64_t set, dim; /* centroids, columns */
    lloyd_type type;  /* of the rows */
};

/* How a kernel does it. */
struct cuda_assign_config {
    const cuda_assign_kernel
        *kernel; /* NULL: so few centroids that dist() to all of them is cheapest */
    int steps;   /* k-steps of 16 columns that it is compiled for */
    int width;   /* centroids of a tile */
    bool prune;  /* no bound columns: only the products that may matter become scores */
    bool vector; /* rows start at multiples of 16 bytes */
    int group;   /* k-steps in which columns are permuted, flash_column() */
};

struct cuda_assign_kernel {
    const char *name; /* by which tests choose it */
    bool (*supports)(const cuda_gpu &gpu, const cuda_assign_shape &shape);
    /* Sets steps, width, prune and group; vector is set already. */
    void (*configure)(const cuda_assign_shape &shape, cuda_assign_config *config);
    /* Bytes of flash_params::scratch; NULL: none. */
    int64_t (*scratch_bytes)(const cuda_gpu &gpu, const cuda_assign_config &config);
    /* Enqueues it for rows that are there; `fallback`: finds candidates of listed rows. */
    lloyd_status (*launch)(const cuda_gpu &gpu, const flash_params &p, bool fallback,
                           cudaStream_t stream);
    /* Enqueues it for several groups of rows at a time, in pieces of `piece_rows`, without a fallback pass; p.tiles: of the largest
     * group. NULL: launch() of each group. */
    lloyd_status (*launch_groups)(const cuda_gpu &gpu, const flash_params &p,
                                  const flash_turns &turns, cudaStream_t stream);
    int piece_rows;
    bool can_prune;
};

/* What tests and benchmarks ask for; zeros: nothing. */
struct cuda_assign_override {
    const cuda_assign_kernel *kernel; /* this one, where it supports the shape */
    bool other_pruning;               /* prune where it would not, and the reverse */
};

/* The kernel for a shape, configured. Fails if none of the table supports it. */
lloyd_status lloyd_cuda_choose_assign(const cuda_gpu &gpu, const cuda_assign_shape &shape,
                                      const cuda_assign_override &wanted,
                                      cuda_assign_config *config);

/* NULL: there is none of this name. */
const cuda_assign_kernel *lloyd_cuda_find_assign(const char *name);

/* --- the shapes of tiles --- */

/* Of kernels that keep rows in registers. */
struct cuda_assign_tile {
    int steps;   /* k-steps of a row, at most */
    int stages;  /* tiles of centroids in shared memory */
    int groups;  /* warpgroups of 64 rows that multiply */
    int element; /* bytes of the largest element */
};

/* sm90.cu: the first row of enough k-steps. A tile has 128 centroids, so 64 registers of sums, and 4 KiB for every k-step and for the
 * bound columns. */
constexpr cuda_assign_tile SM90_TILES[] = {
    {1, 8, 4,
     4}, /* short products: a fourth warpgroup hides the top-2; fragments are 4 to 16 registers */
    {2, 8, 4, 4}, /* the same */
    {4, 6, 4, 4}, /* the last with 112 registers for a math thread, which 4 warpgroups leave */
    {6, 5, 3,
     4}, /* 24 registers of fragments: three warpgroups; stages are what shared memory has left */
    {8, 4, 3, 2}, /* room for a fourth stage, as rows on their way take half as much */
    {8, 3, 3, 4}, /* float32 rows on their way take 48 KiB */
    {12, 2, 3,
     4}, /* rows are not staged any more; two tiles of 52 KiB beside 72 KiB of fragments */
    {16, 2, 2, 4}, /* 64 registers of fragments: two warpgroups */
};

/* sm90_resident.cu: all centroids are in shared memory, so there are no stages, and as many warpgroups as have registers: half a tile is
 * multiplied at a time, 32 registers of sums. */
constexpr cuda_assign_tile SM90_RESIDENT_TILES[] = {
    {1, 0, 7, 4}, /* 65,536 registers are 72 for each of 896 threads */
    {2, 0, 7, 4}, /* the same */
    {4, 0, 5, 4}, /* 102 for each of 640 */
    {6, 0, 4, 4}, /* 128 for each of 512 */
    {8, 0, 4, 4}, /* the same */
};

/* The first tile of at least so many k-steps, for elements of so many bytes; -1: there is none. */
template <int COUNT>
constexpr int cuda_assign_tile_of(const cuda_assign_tile (&tiles)[COUNT], int64_t steps,
                                  int element)
{
    for (int i = 0; i < COUNT; i++)
        if (tiles[i].steps >= steps && tiles[i].element >= element) return i;
    return -1;
}

#endif
