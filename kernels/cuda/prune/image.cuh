/* The centroids as the kernel that compares rows with groups of them reads them, in the order of places, of which there are whole tiles.
 *
 * The image: tile by tile, there digit by digit, 16 centroids by 16, and of these PRUNE_HALF columns by PRUNE_HALF, as two fragments of a
 * matrix instruction. Lane 4 g + t has of each eight codes of centroid g and as many of centroid g + 8: columns 16 t to 16 t + 7 of the
 * half in the first fragment, the next ones in the second. And the biases of scores. There are codes of zero, and biases below all others,
 * in places beyond the last centroid.
 */
#ifndef LLOYD_KERNELS_CUDA_PRUNE_IMAGE_CUH
#define LLOYD_KERNELS_CUDA_PRUNE_IMAGE_CUH

#include "kernels/cuda/prune/prune.h"

constexpr int PRUNE_HALF = 64, PRUNE_PIECES = PRUNE_HALF / INT8_PIECE; /* of a row's columns */
constexpr int PRUNE_FRAGMENT = 32 * INT8_PIECE; /* bytes: 16 centroids, 32 columns */

/* Centroids of a group: what the configuration wants, but */
constexpr int PRUNE_LEAST_GROUP = 64;
constexpr int PRUNE_MOST_GROUPS =
    512; /* more bounds of a row would take more time and memory than they save */
int lloyd_cuda_prune_group(const lloyd_kernels_config *config, int64_t set);
/* Digits of a centroid that scores have: both where rows are used as they are and sums have room for them. Then hardly any centroid but the
 * label's comes near a threshold. Where rows are rounded, that limits what scores say, and the second digit would not help. Nor does it in large
 * groups, with all of which a row is compared if it fails their bound. */
int lloyd_cuda_prune_digits(const lloyd_kernels_config *config);
/* Centroids of a tile: what a warp has room for. Groups are whole tiles. */
int lloyd_cuda_prune_tile(int64_t dim);
int64_t lloyd_cuda_prune_places(const lloyd_kernels_config *config, int64_t set);
/* PRUNE_HALFs of a row, as many as there is a kernel for. */
int lloyd_cuda_prune_halves(int64_t dim);
/* Bytes of the image. */
int64_t lloyd_cuda_prune_image_bytes(const lloyd_kernels_config *config, int64_t set);
/* Makes image and biases of the current centroids, whose digits are there. */
lloyd_status lloyd_cuda_prune_make_image(cuda_kernels *cuda, cuda_prune *s);

/* The bias in a place without a centroid. */
__device__ inline int32_t prune_filler(int digits)
{
    return digits == 1 ? INT8_FILLER : INT8_FINE_FILLER;
}

#endif
