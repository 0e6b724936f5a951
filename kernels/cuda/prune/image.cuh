/* The first digits of the centroids as the kernel that compares rows with groups of them reads them: tile by tile in the order of places, of a
 * tile 16 centroids by 16, of these PRUNE_HALF columns by PRUNE_HALF, as two fragments of a matrix instruction. Lane 4 g + t has of each
 * eight codes of centroid g and as many of centroid g + 8: columns 16 t to 16 t + 7 of the half in the first fragment, the next ones in the
 * second.
 */
#ifndef LLOYD_KERNELS_CUDA_PRUNE_IMAGE_CUH
#define LLOYD_KERNELS_CUDA_PRUNE_IMAGE_CUH

#include "kernels/cuda/prune/prune.h"

constexpr int PRUNE_HALF = 64, PRUNE_PIECES = PRUNE_HALF / INT8_PIECE; /* of a row's columns */
constexpr int PRUNE_FRAGMENT = 32 * INT8_PIECE; /* bytes: 16 centroids, 32 columns */

/* Centroids of a tile: what a warp has room for. Groups are whole tiles. */
int lloyd_cuda_prune_tile(int64_t dim);
/* PRUNE_HALFs of a row, as many as there is a kernel for. */
int lloyd_cuda_prune_halves(int64_t dim);
/* Bytes of it. */
int64_t lloyd_cuda_prune_image_bytes(int64_t set, int64_t dim);
/* Makes that of the current centroids, whose digits are there. */
lloyd_status lloyd_cuda_prune_make_image(cuda_kernels *cuda, cuda_prune *s);

#endif
